//! Tokens: what stands for an API key, for a while.

use std::sync::Arc;

use indexmap::IndexMap;
use paygate_core::clock::Timestamp;
use paygate_core::key::record::number_value;
use paygate_core::text::number::json_to_number;
use serde::Serialize;
use serde_json::{Map, Value};

use super::client::Credentials;
use super::secret::Fingerprint;

/// Most tokens of one kind at a time of one client and key; older ones go.
const TOKENS_PER_OWNER_MAX: usize = 10_000;

/// What a refresh token is used with.
#[derive(Clone, Copy, Default)]
pub struct RefreshRequest<'a> {
    /// The token.
    pub refresh_token: &'a str,
    /// The client.
    pub client_id: &'a str,
    /// The scope that is wanted, within that of the token. Default: that of the token.
    pub scope: Option<&'a str>,
    /// What the client shows to authenticate.
    pub credentials: Credentials<'a>,
}

/// What a client is given for a code or a refresh token.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenGrant {
    /// Stands for the API key.
    pub access_token: String,
    /// Gets the next access token. Absent where the refresh token that was shown goes on.
    pub refresh_token: Option<String>,
    /// Seconds that the access token lives, as configured; 0 or less is for ever.
    pub expires_in_seconds: f64,
    /// What was granted.
    pub scope: String,
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    Access,
    Refresh,
}

impl TokenKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Refresh => "refresh",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Access, Self::Refresh].into_iter().find(|kind| kind.name() == name)
    }

    /// In front of the digits of a token.
    pub(super) const fn prefix(self) -> &'static str {
        match self {
            Self::Access => "pg_at_",
            Self::Refresh => "pg_rt_",
        }
    }
}

/// What is known of a token. Its text is not.
#[derive(Debug, Clone)]
pub struct Token {
    pub(super) kind: TokenKind,
    pub(super) client_id: Box<str>,
    pub(super) scope: Box<str>,
    pub(super) api_key: Box<str>,
    /// Milliseconds since 1970; 0 is never.
    pub(super) expires_at: f64,
    pub(super) created_at: Box<str>,
    /// Shared by all tokens that came of one approval.
    pub(super) family: Option<Box<str>>,
    /// A refresh token that was answered with the next one.
    pub(super) used: bool,
}

/// The fields of a token in a state file, in their order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenFields<'a> {
    token: &'a Fingerprint,
    token_type: &'static str,
    client_id: &'a str,
    scope: &'a str,
    api_key_ref: &'a str,
    expires_at: Value,
    created_at: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    used: bool,
}

/// Whether the end of a token's life is past; 0 is no end.
pub(super) fn expired(expires_at: f64, now: Timestamp) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a date ends at 8.64e15 ms")]
    let now = now.0 as f64;
    expires_at > 0.0 && expires_at < now
}

/// When something ends that lives so many seconds from now on.
pub(super) fn end_of_life(now: Timestamp, ttl_seconds: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a date ends at 8.64e15 ms")]
    let now = now.0 as f64;
    now + ttl_seconds * 1000.0
}

/// As [`end_of_life`], where 0 or less, or no end, is for ever.
pub(super) fn end_of_token(now: Timestamp, ttl_seconds: f64) -> f64 {
    let mortal = ttl_seconds > 0.0 && ttl_seconds.is_finite();
    if mortal { end_of_life(now, ttl_seconds) } else { 0.0 }
}

impl Token {
    /// The API key that the token stands for.
    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    /// What was granted.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// The client it was issued to.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    pub(super) fn expired(&self, now: Timestamp) -> bool {
        expired(self.expires_at, now)
    }

    /// The token as a state file has it, where its text is a fingerprint.
    pub(super) fn image<'a>(&'a self, name: &'a Fingerprint) -> impl Serialize + 'a {
        TokenFields {
            token: name,
            token_type: self.kind.name(),
            client_id: &self.client_id,
            scope: &self.scope,
            api_key_ref: &self.api_key,
            expires_at: number_value(self.expires_at),
            created_at: &self.created_at,
            family: self.family.as_deref(),
            used: self.used,
        }
    }

    /// A token as a state file has it. `None` without kind, client or key: nobody could use it.
    pub(super) fn from_file(record: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| record.get(name).and_then(Value::as_str);
        Some(Self {
            kind: text("tokenType").and_then(TokenKind::from_name)?,
            client_id: text("clientId")?.into(),
            scope: text("scope").unwrap_or_default().into(),
            api_key: text("apiKeyRef")?.into(),
            expires_at: record.get("expiresAt").map_or(0.0, json_to_number),
            created_at: text("createdAt").unwrap_or_default().into(),
            family: text("family").filter(|family| !family.is_empty()).map(Into::into),
            used: record.get("used") == Some(&Value::Bool(true)),
        })
    }
}

/// All tokens by their fingerprints, in the order in which they were issued.
#[derive(Debug, Default)]
pub(super) struct Tokens(IndexMap<Fingerprint, Arc<Token>>);

impl Tokens {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn find(&self, text: &str) -> Option<(Fingerprint, Arc<Token>)> {
        let name = Fingerprint::of(text);
        self.0.get(&name).map(|token| (name, token.clone()))
    }

    /// Puts a token in as it is.
    pub(super) fn put(&mut self, name: Fingerprint, token: Token) {
        self.0.insert(name, Arc::new(token));
    }

    /// Adds a new token. An owner who has too many loses the oldest.
    pub(super) fn add(&mut self, text: &str, token: Token) {
        let own = |known: &Token| {
            (known.kind, &known.client_id, &known.api_key) == (token.kind, &token.client_id, &token.api_key)
        };
        let mut of_owner = self.0.iter().filter(|(_, known)| own(known)).map(|(name, _)| *name);
        if let Some(oldest) = of_owner.next()
            && 1 + of_owner.count() >= TOKENS_PER_OWNER_MAX
        {
            self.0.shift_remove(&oldest);
        }
        self.put(Fingerprint::of(text), token);
    }

    pub(super) fn remove(&mut self, name: &Fingerprint) {
        self.0.shift_remove(name);
    }

    /// Marks a refresh token as used.
    pub(super) fn mark_used(&mut self, name: &Fingerprint) {
        if let Some(token) = self.0.get_mut(name) {
            Arc::make_mut(token).used = true;
        }
    }

    /// Removes a token and all that came of the same approval.
    pub(super) fn revoke(&mut self, name: &Fingerprint) -> bool {
        let Some(token) = self.0.get(name).cloned() else { return false };
        match &token.family {
            Some(family) => self.0.retain(|_, other| other.family.as_ref() != Some(family)),
            None => drop(self.0.shift_remove(name)),
        }
        true
    }

    /// Removes what has expired. True when there was anything.
    pub(super) fn sweep(&mut self, now: Timestamp) -> bool {
        let before = self.0.len();
        self.0.retain(|_, token| !token.expired(now));
        self.0.len() < before
    }

    /// Has the tokens of a key stand for another one. True when there were any.
    pub(super) fn rename_key(&mut self, old: &str, new: &str) -> bool {
        let mut any = false;
        for token in self.0.values_mut().filter(|token| *token.api_key == *old) {
            Arc::make_mut(token).api_key = new.into();
            any = true;
        }
        any
    }

    /// Whether any token is a client's.
    pub(super) fn concern(&self, client_id: &str) -> bool {
        self.0.values().any(|token| *token.client_id == *client_id)
    }

    /// All tokens and what they are found by.
    pub(super) fn all(&self) -> impl Iterator<Item = (Fingerprint, Arc<Token>)> {
        self.0.iter().map(|(name, token)| (*name, token.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(kind: TokenKind, family: Option<&str>) -> Token {
        Token {
            kind,
            client_id: "c".into(),
            scope: "s".into(),
            api_key: "k".into(),
            expires_at: 0.0,
            created_at: "t".into(),
            family: family.map(Into::into),
            used: false,
        }
    }

    #[test]
    fn zero_is_no_end_and_the_last_moment_counts() {
        assert!(!expired(0.0, Timestamp(i64::MAX)));
        assert!(!expired(5.0, Timestamp(5)));
        assert!(expired(5.0, Timestamp(6)));
        assert_eq!(end_of_token(Timestamp(1), 0.0), 0.0);
        assert_eq!(end_of_token(Timestamp(1), -5.0), 0.0);
        assert_eq!(end_of_token(Timestamp(1), f64::INFINITY), 0.0);
        assert_eq!(end_of_token(Timestamp(1), 0.001), 2.0);
        assert_eq!(end_of_life(Timestamp(1), -1.0), -999.0);
    }

    #[test]
    fn a_family_goes_together_and_a_token_without_one_goes_alone() {
        let mut tokens = Tokens::default();
        tokens.add("a1", token(TokenKind::Access, Some("f")));
        tokens.add("a2", token(TokenKind::Refresh, Some("f")));
        tokens.add("b", token(TokenKind::Access, Some("g")));
        tokens.add("old1", token(TokenKind::Access, None));
        tokens.add("old2", token(TokenKind::Access, None));
        assert!(tokens.revoke(&Fingerprint::of("a2")));
        assert!(!tokens.revoke(&Fingerprint::of("a1")));
        assert!(tokens.revoke(&Fingerprint::of("old1")));
        assert_eq!(tokens.len(), 2);
    }

    #[test]
    fn a_token_reads_as_it_was_written() {
        let image = |token: &Token| serde_json::to_value(token.image(&Fingerprint::of("x"))).unwrap();
        let written = image(&Token { used: true, expires_at: 12.0, ..token(TokenKind::Refresh, Some("f")) });
        assert_eq!(written["expiresAt"].to_string(), "12");
        let reread = Token::from_file(written.as_object().unwrap()).unwrap();
        assert_eq!(image(&reread), written);
        for missing in ["tokenType", "clientId", "apiKeyRef"] {
            let mut record = written.as_object().unwrap().clone();
            record.remove(missing);
            assert!(Token::from_file(&record).is_none(), "{missing}");
        }
    }

    #[test]
    fn an_owner_with_too_many_tokens_loses_the_oldest_of_the_kind() {
        let mut tokens = Tokens::default();
        tokens.add("refresh", token(TokenKind::Refresh, Some("f")));
        for number in 0..=TOKENS_PER_OWNER_MAX {
            tokens.put(Fingerprint::of(&number.to_string()), token(TokenKind::Access, Some("f")));
        }
        tokens.add("one more", token(TokenKind::Access, Some("f")));
        assert!(tokens.find("0").is_none());
        assert!(tokens.find("1").is_some());
        assert!(tokens.find("refresh").is_some());
    }
}
