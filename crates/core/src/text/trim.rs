//! White space and lengths as JavaScript counts them.

/// Removes JavaScript's white space and line ends from both ends.
///
/// The set is not Unicode's: U+FEFF is removed, U+0085 is not.
///
/// # Examples
/// ```
/// # use paygate_core::text::trim::trim;
/// assert_eq!(trim(" \u{FEFF}a b\n"), "a b");
/// ```
pub fn trim(text: &str) -> &str {
    text.trim_matches(is_white_space)
}

/// Tells whether JavaScript's `trim` removes a character.
pub fn is_white_space(c: char) -> bool {
    matches!(c,
        '\u{9}'..='\u{D}' | ' ' | '\u{A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{2028}' | '\u{2029}'
        | '\u{202F}' | '\u{205F}' | '\u{3000}' | '\u{FEFF}')
}

/// Keeps the first `units` UTF-16 code units.
///
/// Where the cut would fall inside a surrogate pair the whole character is dropped, as Rust text cannot hold half
/// of one: the result is then one unit shorter than JavaScript's.
///
/// # Examples
/// ```
/// # use paygate_core::text::trim::cut;
/// assert_eq!(cut("abc", 2), "ab");
/// assert_eq!(cut("a\u{1F600}", 2), "a");
/// ```
pub fn cut(text: &str, units: usize) -> &str {
    // A character takes at least as many bytes as units.
    if text.len() <= units {
        return text;
    }
    let mut taken = 0;
    let end = text.char_indices().find(|(_, c)| {
        taken += c.len_utf16();
        taken > units
    });
    end.map_or(text, |(at, _)| &text[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_white_space_of_javascript_is_trimmed() {
        let set: Vec<u32> = ('\0'..=char::MAX).filter(|c| is_white_space(*c)).map(u32::from).collect();
        let mut expected: Vec<u32> = (0x9..=0xD).chain([0x20, 0xA0, 0x1680]).chain(0x2000..=0x200A).collect();
        expected.extend([0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF]);
        assert_eq!(set, expected);
        assert_eq!(trim("\u{FEFF}\u{A0}x\u{200B}"), "x\u{200B}");
        assert_eq!(trim("\u{85}x"), "\u{85}x");
        assert_eq!(trim(" \t "), "");
    }

    #[test]
    fn a_cut_counts_utf16_units_and_never_halves_a_character() {
        assert_eq!(cut("", 0), "");
        assert_eq!(cut("abc", 0), "");
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("éèê", 2), "éè");
        assert_eq!(cut("日本語", 3), "日本語");
        let smileys = "\u{1F600}".repeat(150);
        assert_eq!(cut(&smileys, 200), "\u{1F600}".repeat(100));
        assert_eq!(cut(&smileys, 201), "\u{1F600}".repeat(100));
        assert_eq!(cut(&smileys, 300), smileys);
    }
}
