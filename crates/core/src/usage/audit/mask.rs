//! Keys as they are shown where they must not be known.

use crate::text::trim::cut;

/// What every generated key begins with: it tells nothing.
const PREFIX: &str = "pg_";

/// Units of a key that are shown at its beginning and at its end.
const HEAD_UNITS: usize = 7;
const TAIL_UNITS: usize = 4;

/// Keys with fewer units are not shown at all.
const SHOWN_UNITS_MIN: usize = 10;

/// A key as it may be shown: its first seven characters, `...` and its last four.
///
/// Never more than half of a key is shown, not counting the `pg_` that all have; of one with fewer than ten
/// characters nothing is, and an absent one is shown like that too: `***`.
///
/// # Examples
/// ```
/// # use paygate_core::usage::audit::mask_key;
/// assert_eq!(mask_key("pg_1234567890abcdef"), "pg_1234...cdef");
/// assert_eq!(mask_key("1234567890"), "123...90");
/// assert_eq!(mask_key("short"), "***");
/// ```
pub fn mask_key(key: &str) -> String {
    let units = key.encode_utf16().count();
    if units < SHOWN_UNITS_MIN {
        return "***".to_owned();
    }
    let open = if key.starts_with(PREFIX) { PREFIX.len() } else { 0 };
    let half = (units - open) / 2;
    let tail = TAIL_UNITS.min(half / 2);
    let head = HEAD_UNITS.min(open + half - tail);
    format!("{}...{}", cut(key, head), cut_from_end(key, tail))
}

/// Keeps the last UTF-16 units; a character that would be cut in two is dropped.
fn cut_from_end(text: &str, units: usize) -> &str {
    let mut taken = 0;
    let fits = |(_, c): &(usize, char)| {
        taken += c.len_utf16();
        taken <= units
    };
    let start = text.char_indices().rev().take_while(fits).last();
    start.map_or("", |(at, _)| &text[at..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_long_key_shows_its_first_seven_and_last_four_characters() {
        for (key, shown) in [
            ("pg_1234567890abcdef", "pg_1234...cdef"),
            ("pg_ffffffffffffffffffffffffffffffffffffffffffffffff", "pg_ffff...ffff"),
            ("abcdefghijklmnopqrstuv", "abcdefg...stuv"),
        ] {
            assert_eq!(mask_key(key), shown);
        }
    }

    #[test]
    fn a_short_key_shows_half_of_itself_or_nothing() {
        for (key, shown) in [
            ("", "***"),
            ("anonymous", "***"),
            ("123456789", "***"),
            ("1234567890", "123...90"),
            ("pg_demo_0001", "pg_de...01"),
            ("ünïcödé-kéy-ñ", "ünï...y-ñ"),
        ] {
            assert_eq!(mask_key(key), shown);
        }
    }

    #[test]
    fn a_character_is_shown_whole_or_not_at_all() {
        assert_eq!(mask_key("ab\u{1F600}\u{1F600}\u{1F600}\u{1F600}"), "ab...\u{1F600}");
        assert_eq!(cut_from_end("a\u{1F600}", 1), "");
    }

    proptest! {
        #[test]
        fn never_is_more_than_half_shown(key in "\\PC{0,40}") {
            let mask = mask_key(&key);
            prop_assert!(mask == "***" || mask.encode_utf16().count() - 3 <= key.encode_utf16().count() / 2 + 3);
        }
    }
}
