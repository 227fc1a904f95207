//! Authorization codes: what a browser carries from the approval to the client, once and soon. They are never written.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use indexmap::IndexMap;
use paygate_core::clock::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::client::Credentials;
use super::error::OAuthError;
use super::secret::Fingerprint;
use super::token::expired;

/// Longest verifier, in characters.
const VERIFIER_CHARACTERS_MAX: usize = 128;
/// Most codes at a time of one client and key; older ones go.
const CODES_PER_OWNER_MAX: usize = 100;

/// What a code is asked for with. Absent and empty texts are the same.
#[derive(Debug, Clone, Copy, Default)]
pub struct CodeRequest<'a> {
    /// The client.
    pub client_id: &'a str,
    /// Where its user comes back to.
    pub redirect_uri: &'a str,
    /// SHA-256 of the verifier, in base64url without padding.
    pub code_challenge: &'a str,
    /// How the challenge was made; `S256` if at all.
    pub code_challenge_method: Option<&'a str>,
    /// The scope that is wanted. Default: the client's.
    pub scope: Option<&'a str>,
    /// The API key that the tokens are to stand for. Default: the one the client is linked to.
    pub api_key: Option<&'a str>,
}

/// What a code is exchanged with.
#[derive(Clone, Copy, Default)]
pub struct CodeExchange<'a> {
    /// The code.
    pub code: &'a str,
    /// The client.
    pub client_id: &'a str,
    /// The address that the code was issued for.
    pub redirect_uri: &'a str,
    /// What the challenge was made of.
    pub code_verifier: Option<&'a str>,
    /// What the client shows to authenticate.
    pub credentials: Credentials<'a>,
}

/// An approval that waits for its client.
#[derive(Debug)]
pub(super) struct AuthCode {
    pub(super) client_id: Box<str>,
    pub(super) redirect_uri: Box<str>,
    pub(super) challenge: Box<str>,
    pub(super) scope: Box<str>,
    pub(super) api_key: Box<str>,
    pub(super) expires_at: f64,
}

impl AuthCode {
    /// Whether the one who shows the code is the one it was issued to.
    pub(super) fn check(&self, shown: &CodeExchange<'_>, now: Timestamp) -> Result<(), OAuthError> {
        // There is no code without an end, so 0 is an end like any other.
        if self.expired(now) {
            return Err(OAuthError::CodeExpired);
        }
        if *self.client_id != *shown.client_id {
            return Err(OAuthError::ClientMismatch);
        }
        if *self.redirect_uri != *shown.redirect_uri {
            return Err(OAuthError::RedirectUriMismatch);
        }
        let verifier = shown.code_verifier.ok_or(OAuthError::VerifierMissing)?;
        if answers(&self.challenge, verifier) { Ok(()) } else { Err(OAuthError::VerificationFailed) }
    }

    fn expired(&self, now: Timestamp) -> bool {
        self.expires_at <= 0.0 || expired(self.expires_at, now)
    }
}

/// Whether a verifier answers a challenge by S256.
fn answers(challenge: &str, verifier: &str) -> bool {
    if verifier.is_empty() || verifier.chars().count() > VERIFIER_CHARACTERS_MAX {
        return false;
    }
    let made = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
    made.as_bytes().ct_eq(challenge.as_bytes()).into()
}

/// The codes that wait, in the order in which they were issued.
#[derive(Debug, Default)]
pub(super) struct Codes(IndexMap<Fingerprint, AuthCode>);

impl Codes {
    pub(super) fn add(&mut self, text: &str, code: AuthCode) {
        let own = |known: &AuthCode| known.client_id == code.client_id && known.api_key == code.api_key;
        let mut of_owner = self.0.iter().filter(|(_, known)| own(known)).map(|(name, _)| *name);
        if let Some(oldest) = of_owner.next()
            && 1 + of_owner.count() >= CODES_PER_OWNER_MAX
        {
            self.0.shift_remove(&oldest);
        }
        self.0.insert(Fingerprint::of(text), code);
    }

    /// Takes a code out: it works once.
    pub(super) fn take(&mut self, text: &str) -> Option<AuthCode> {
        self.0.shift_remove(&Fingerprint::of(text))
    }

    pub(super) fn sweep(&mut self, now: Timestamp) {
        self.0.retain(|_, code| !code.expired(now));
    }

    pub(super) fn rename_key(&mut self, old: &str, new: &str) {
        for code in self.0.values_mut().filter(|code| *code.api_key == *old) {
            code.api_key = new.into();
        }
    }

    /// Whether any code is a client's.
    pub(super) fn concern(&self, client_id: &str) -> bool {
        self.0.values().any(|code| *code.client_id == *client_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn code(expires_at: f64) -> AuthCode {
        AuthCode {
            client_id: "c".into(),
            redirect_uri: "u:".into(),
            challenge: CHALLENGE.into(),
            scope: "s".into(),
            api_key: "k".into(),
            expires_at,
        }
    }

    fn shown() -> CodeExchange<'static> {
        CodeExchange {
            code: "x",
            client_id: "c",
            redirect_uri: "u:",
            code_verifier: Some(VERIFIER),
            credentials: Credentials::Absent,
        }
    }

    #[test]
    fn the_example_of_the_standard_verifies() {
        assert!(answers(CHALLENGE, VERIFIER));
        assert!(!answers(CHALLENGE, CHALLENGE));
        assert!(!answers(VERIFIER, VERIFIER));
    }

    #[test]
    fn a_verifier_is_neither_empty_nor_too_long() {
        let challenge = |verifier: &str| URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
        let ok = |verifier: &str| answers(&challenge(verifier), verifier);
        assert!(!ok(""));
        assert!(ok("v"));
        assert!(ok(&"v".repeat(128)));
        assert!(!ok(&"v".repeat(129)));
    }

    #[test]
    fn a_code_is_for_one_client_one_address_and_a_while() {
        let now = Timestamp(1_000);
        let refusal = |change: fn(&mut CodeExchange<'static>)| {
            let mut shown = shown();
            change(&mut shown);
            code(1_000.0).check(&shown, now).err()
        };
        assert_eq!(refusal(|_| ()), None);
        assert_eq!(code(999.0).check(&shown(), now), Err(OAuthError::CodeExpired));
        assert_eq!(code(-5.0).check(&shown(), now), Err(OAuthError::CodeExpired));
        assert_eq!(refusal(|shown| shown.client_id = "d"), Some(OAuthError::ClientMismatch));
        assert_eq!(refusal(|shown| shown.redirect_uri = "u:x"), Some(OAuthError::RedirectUriMismatch));
        assert_eq!(refusal(|shown| shown.code_verifier = None), Some(OAuthError::VerifierMissing));
        assert_eq!(refusal(|shown| shown.code_verifier = Some("w")), Some(OAuthError::VerificationFailed));
    }

    #[test]
    fn an_owner_who_asks_for_too_many_codes_loses_the_oldest_and_nobody_elses() {
        let mut codes = Codes::default();
        codes.add("other", AuthCode { api_key: "other".into(), ..code(1e15) });
        for number in 0..=CODES_PER_OWNER_MAX {
            codes.add(&number.to_string(), code(1e15));
        }
        assert!(codes.take("0").is_none());
        assert!(codes.take("1").is_some());
        assert!(codes.take("1").is_none());
        assert!(codes.take("other").is_some());
    }
}
