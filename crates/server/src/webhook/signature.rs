//! Signatures over webhooks, ours and Stripe's: HMAC-SHA256 in lower-case hexadecimal.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// What both ends of a webhook know. It is never shown.
#[derive(Clone)]
pub struct Secret(Box<str>);

impl Secret {
    /// A secret, whose UTF-8 bytes are the key.
    pub fn new(secret: &str) -> Self {
        Self(secret.into())
    }

    /// Signs a text that comes in pieces.
    pub(super) fn sign(&self, pieces: &[&[u8]]) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.0.as_bytes()).expect("a key of HMAC may have any length");
        pieces.iter().for_each(|piece| mac.update(piece));
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The signature of a payload.
///
/// # Examples
/// ```
/// use paygate_server::webhook::{Secret, sign, verify};
///
/// let secret = Secret::new("whsec_test");
/// let signature = sign(br#"1709123456.{"a":1}"#, &secret);
/// assert_eq!(signature, "af5787dee2528ad3b2c3e10986fd65c5e50b77c76ed37c3927652114e825684d");
/// assert!(verify(br#"1709123456.{"a":1}"#, &signature, &secret));
/// ```
pub fn sign(payload: &[u8], secret: &Secret) -> String {
    secret.sign(&[payload])
}

/// Whether a signature is that of a payload, compared in constant time. Upper-case digits are not.
pub fn verify(payload: &[u8], signature: &str, secret: &Secret) -> bool {
    equal(&sign(payload, secret), signature)
}

/// Whether two texts are the same. Takes as long wherever they differ.
pub(super) fn equal(expected: &str, given: &str) -> bool {
    expected.as_bytes().ct_eq(given.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_hmac_of_the_payload() {
        let signature = sign(b"", &Secret::new("k"));
        assert_eq!(signature, "8bb990c40a7d61cb97597a942125025be50ac8beb74436e3735b98893a7f6620");
    }

    #[test]
    fn a_signature_verifies_in_lower_case_alone_and_under_its_own_secret() {
        let secret = Secret::new("k");
        let signature = sign("ünï 漢字 🎉".as_bytes(), &secret);
        assert!(verify("ünï 漢字 🎉".as_bytes(), &signature, &secret));
        assert!(!verify("ünï 漢字 🎉".as_bytes(), &signature.to_uppercase(), &secret));
        assert!(!verify("ünï 漢字 🎉".as_bytes(), &signature, &Secret::new("K")));
        assert!(!verify("ünï 漢字 🎉".as_bytes(), &signature[1..], &secret));
        assert!(!verify(b"another", &signature, &secret));
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::new("whsec_test")), "Secret(…)");
    }
}
