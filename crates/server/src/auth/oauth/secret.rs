//! What is kept of secrets and tokens: enough to recognise them, not enough to use them.

use std::fmt;

use paygate_core::text::trim::cut;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// In front of the digits of a fingerprint.
const MARK: &str = "sha256:";
/// How much of a secret is shown in lists.
const START_UNITS: usize = 12;

/// The SHA-256 of a secret. Displayed as `sha256:` and 64 hexadecimal digits.
///
/// Secrets and tokens are 32 random bytes, so a plain hash cannot be guessed backwards. A fingerprint that is shown as
/// if it were the secret is recognised by nobody: what is shown is hashed first.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// Reads a fingerprint as it is displayed.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(MARK)?;
        if digits.len() != 64 || !digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let mut bytes = [0_u8; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }

    pub(super) fn recognises(&self, shown: &str) -> bool {
        self.0.ct_eq(&Self::of(shown).0).into()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digits = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let text: String = digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect();
        f.write_str(MARK)?;
        f.write_str(&text)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A client's secret: how it begins, for lists, and its fingerprint. Displayed as `<beginning>:<fingerprint>`, so that
/// 2.9.0, which shows the first twelve characters of what it reads, shows the same ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeptSecret {
    start: Box<str>,
    fingerprint: Fingerprint,
}

impl KeptSecret {
    pub(super) fn of(secret: &str) -> Self {
        // Of a short secret no more than half is shown.
        let units = START_UNITS.min(secret.encode_utf16().count() / 2);
        Self { start: cut(secret, units).into(), fingerprint: Fingerprint::of(secret) }
    }

    /// Reads a secret from a state file: as it is displayed, or plain, as 2.9.0 wrote it.
    pub(super) fn from_file(text: &str) -> Self {
        let kept = text.rfind(MARK).and_then(|at| {
            let start = text[..at].strip_suffix(':')?;
            Some(Self { start: start.into(), fingerprint: Fingerprint::from_text(&text[at..])? })
        });
        kept.unwrap_or_else(|| Self::of(text))
    }

    pub(super) fn recognises(&self, shown: &str) -> bool {
        self.fingerprint.recognises(shown)
    }

    /// How the secret begins.
    pub(super) fn start(&self) -> &str {
        &self.start
    }
}

impl fmt::Display for KeptSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.start, self.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_written_and_is_no_secret() {
        let fingerprint = Fingerprint::of("pg_at_1");
        let written = fingerprint.to_string();
        assert_eq!(Fingerprint::from_text(&written), Some(fingerprint));
        assert!(fingerprint.recognises("pg_at_1"));
        assert!(!fingerprint.recognises(&written));
        for text in
            ["", "sha256:", "sha256:12", &written[7..], &written.to_uppercase(), &written.replace('a', "é")]
        {
            assert_eq!(Fingerprint::from_text(text), None, "{text}");
        }
    }

    #[test]
    fn a_secret_shows_how_it_begins_and_is_recognised_after_a_restart() {
        let plain = format!("pg_secret_{}", "0123456789abcdef".repeat(4));
        let kept = KeptSecret::of(&plain);
        assert_eq!(kept.start(), "pg_secret_01");
        let reread = KeptSecret::from_file(&kept.to_string());
        assert_eq!(reread, kept);
        assert!(reread.recognises(&plain));
        assert!(!reread.recognises(&kept.to_string()));
        assert_eq!(KeptSecret::from_file(&plain), kept);
    }

    #[test]
    fn of_a_short_secret_no_more_than_half_is_shown() {
        assert_eq!(KeptSecret::of("abcdef").start(), "abc");
        assert_eq!(KeptSecret::of("a").start(), "");
        let kept = KeptSecret::from_file(&KeptSecret::of("a").to_string());
        assert!(kept.recognises("a"));
    }
}
