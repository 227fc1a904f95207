//! The size of a call's arguments, by which a tool may charge.
//!
//! A caller pays for what the arguments say, not for how they were spelled: the size is that of the text JavaScript
//! prints for them, found here from the raw text without building or printing anything.

use std::borrow::Cow;
use std::collections::HashMap;

use memchr::{memchr, memchr2};

/// The arguments are nested deeper than is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("arguments are nested deeper than {depth_max} levels")]
pub struct TooDeep {
    /// The levels that are allowed.
    pub depth_max: usize,
}

/// Counts the UTF-8 bytes of `JSON.stringify(JSON.parse(raw))`.
///
/// Blanks do not count, numbers count in their shortest form (`1.0` is 1 byte) and as `null` past the range of
/// doubles, characters count as JavaScript prints them however they were escaped, and of members with the same name
/// only the last counts. `raw` must be valid JSON; for other text the count means nothing.
///
/// # Errors
/// [`TooDeep`] when objects and lists are nested more than `depth_max` levels. About half a kilobyte of stack is
/// used for each level.
///
/// # Examples
/// ```
/// # use paygate_core::gate::argument_size::json_bytes;
/// assert_eq!(json_bytes(r#"{ "price": 1.0, "\u0070rice": 2.50 }"#, 64), Ok(r#"{"price":2.5}"#.len() as u64));
/// assert!(json_bytes("[[[]]]", 2).is_err());
/// ```
pub fn json_bytes(raw: &str, depth_max: usize) -> Result<u64, TooDeep> {
    let mut reader = Reader { raw: raw.as_bytes(), at: 0, depth_max };
    reader.skip_blanks();
    reader.value(depth_max)
}

/// Walks over the raw text. It works on bytes and trusts the text to be JSON: other text is misread, but neither
/// panics nor keeps the reader from its end.
struct Reader<'a> {
    raw: &'a [u8],
    at: usize,
    depth_max: usize,
}

impl<'a> Reader<'a> {
    /// Counts the value that begins here and moves behind it.
    fn value(&mut self, levels_left: usize) -> Result<u64, TooDeep> {
        match self.peek() {
            Some(b'"') => Ok(string_bytes(self.string())),
            Some(b'{') => self.object(self.enter(levels_left)?),
            Some(b'[') => self.list(self.enter(levels_left)?),
            _ => Ok(scalar_bytes(self.scalar())),
        }
    }

    fn enter(&self, levels_left: usize) -> Result<usize, TooDeep> {
        levels_left.checked_sub(1).ok_or(TooDeep { depth_max: self.depth_max })
    }

    fn list(&mut self, levels_left: usize) -> Result<u64, TooDeep> {
        let (mut bytes, mut elements) = (0, 0);
        self.step();
        while self.more(b']') {
            bytes += self.value(levels_left)?;
            elements += 1;
        }
        Ok(brackets_and_commas(elements) + bytes)
    }

    fn object(&mut self, levels_left: usize) -> Result<u64, TooDeep> {
        let mut members = Members::default();
        self.step();
        while self.more(b'}') {
            let name = self.string();
            self.skip_blanks();
            self.step(); // over the colon
            let value_bytes = self.value(levels_left)?;
            members.set(name, value_bytes);
        }
        Ok(brackets_and_commas(members.count) + members.bytes)
    }

    /// Moves to the next element or member; false, and behind the bracket, when there is none.
    fn more(&mut self, close: u8) -> bool {
        self.skip_blanks();
        if self.peek() == Some(b',') {
            self.step();
        }
        if self.peek() == Some(close) {
            self.at += 1;
            return false;
        }
        self.peek().is_some()
    }

    /// Takes what stands between the quotes of a string, escapes and all.
    fn string(&mut self) -> &'a [u8] {
        let start = self.at + 1;
        let mut end = start;
        while let Some(found) = self.raw.get(end..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
            end += found;
            if self.raw[end] == b'"' {
                self.at = end + 1;
                return &self.raw[start..end];
            }
            end += 2;
        }
        self.at = self.raw.len();
        &[]
    }

    /// Takes a number, or `true`, `false` or `null`.
    fn scalar(&mut self) -> &'a [u8] {
        let rest = self.raw.get(self.at..).unwrap_or_default();
        let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t');
        let end = rest.iter().position(ends).unwrap_or(rest.len());
        // No value is empty; the step keeps text that has one from being read for ever.
        self.at += end.max(1);
        &rest[..end]
    }

    fn step(&mut self) {
        self.at += 1;
        self.skip_blanks();
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.raw.get(self.at).copied()
    }
}

fn brackets_and_commas(items: u64) -> u64 {
    2 + items.saturating_sub(1)
}

/// Most objects have no more members than this, under names without escapes, and are checked for repeated names
/// without allocating.
const FEW: usize = 8;

/// The members of one object, with what each adds to its size.
#[derive(Default)]
struct Members<'a> {
    count: u64,
    bytes: u64,
    few: [(&'a [u8], u64); FEW],
    many: Option<HashMap<Cow<'a, [u8]>, u64>>,
}

impl<'a> Members<'a> {
    fn set(&mut self, name: &'a [u8], value_bytes: u64) {
        match self.replace(unescaped(name), value_bytes) {
            Some(replaced) => self.bytes = self.bytes - replaced + value_bytes,
            None => {
                self.count += 1;
                self.bytes += string_bytes(name) + 1 + value_bytes;
            }
        }
    }

    /// Keeps the size of a member's value and returns that of the earlier member with the same name.
    fn replace(&mut self, name: Cow<'a, [u8]>, value_bytes: u64) -> Option<u64> {
        if self.many.is_none()
            && let Cow::Borrowed(name) = name
        {
            let count = self.count as usize;
            if let Some((_, known)) = self.few[..count].iter_mut().find(|(known, _)| *known == name) {
                return Some(std::mem::replace(known, value_bytes));
            }
            if let Some(slot) = self.few.get_mut(count) {
                *slot = (name, value_bytes);
                return None;
            }
        }
        self.many().insert(name, value_bytes)
    }

    /// The members in a table that has room for any number and any name.
    #[cold]
    #[inline(never)] // what this needs of the stack is not needed at every level of nesting
    fn many(&mut self) -> &mut HashMap<Cow<'a, [u8]>, u64> {
        let few = &self.few[..FEW.min(self.count as usize)];
        self.many
            .get_or_insert_with(|| few.iter().map(|(name, bytes)| (Cow::Borrowed(*name), *bytes)).collect())
    }
}

fn scalar_bytes(token: &[u8]) -> u64 {
    /// Integers of so few digits are doubles, and print as they were written.
    const EXACT_DIGITS: usize = 15;
    let digits = token.strip_prefix(b"-").unwrap_or(token);
    if token == b"-0" {
        1
    } else if digits.len() <= EXACT_DIGITS && digits.iter().all(u8::is_ascii_digit) {
        token.len() as u64
    } else if digits.first().is_some_and(u8::is_ascii_digit) {
        number_bytes(token)
    } else {
        token.len() as u64 // true, false or null
    }
}

fn number_bytes(token: &[u8]) -> u64 {
    let number: f64 =
        std::str::from_utf8(token).ok().and_then(|token| token.parse().ok()).unwrap_or(f64::NAN);
    let printed =
        if number.is_finite() { ryu_js::Buffer::new().format_finite(number).len() } else { "null".len() };
    printed as u64
}

fn string_bytes(escaped: &[u8]) -> u64 {
    let bytes = |piece: Piece<'_>| match piece {
        Piece::Plain(bytes) => bytes.len() as u64,
        Piece::Unit(code) => printed_bytes(code),
    };
    2 + Pieces(escaped).map(bytes).sum::<u64>()
}

/// The bytes JavaScript prints for a character that came escaped.
fn printed_bytes(code: u32) -> u64 {
    match code {
        0x08 | 0x09 | 0x0A | 0x0C | 0x0D | 0x22 | 0x5C => 2, // a backslash and a letter or itself
        0x00..=0x1F | 0xD800..=0xDFFF => 6,                  // \u and four digits
        0x20..=0x7F => 1,
        0x80..=0x7FF => 2,
        0x800..=0xFFFF => 3,
        _ => 4,
    }
}

/// A name as it is compared: in UTF-8, with lone surrogates encoded as if they were characters.
fn unescaped(escaped: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\\', escaped).is_none() {
        return Cow::Borrowed(escaped);
    }
    let mut name = Vec::with_capacity(escaped.len());
    for piece in Pieces(escaped) {
        match piece {
            Piece::Plain(bytes) => name.extend_from_slice(bytes),
            Piece::Unit(code) => match char::from_u32(code) {
                Some(c) => name.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                None => name.extend([
                    0xE0 | (code >> 12) as u8,
                    0x80 | (code >> 6 & 0x3F) as u8,
                    0x80 | (code & 0x3F) as u8,
                ]),
            },
        }
    }
    Cow::Owned(name)
}

/// A run of a string that stands for itself, or the code point or lone surrogate that an escape stands for.
enum Piece<'a> {
    Plain(&'a [u8]),
    Unit(u32),
}

struct Pieces<'a>(&'a [u8]);

impl<'a> Pieces<'a> {
    fn take(&mut self, bytes: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(bytes.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Takes an escape: `\n`, `\u00e9`, or the two `\u` that are a pair of surrogates.
    fn escape(&mut self) -> u32 {
        match self.0.get(1) {
            Some(b'u') => match (self.unit(0), self.unit(6)) {
                (high @ 0xD800..=0xDBFF, low @ 0xDC00..=0xDFFF) => {
                    self.take(12);
                    0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)
                }
                (unit, _) => {
                    self.take(6);
                    unit
                }
            },
            letter => {
                self.take(2);
                match letter.copied().unwrap_or_default() {
                    b'b' => 0x08,
                    b't' => 0x09,
                    b'n' => 0x0A,
                    b'f' => 0x0C,
                    b'r' => 0x0D,
                    itself => itself.into(),
                }
            }
        }
    }

    /// Reads the unit of a `\uXXXX` at an offset, 0 where there is none.
    fn unit(&self, at: usize) -> u32 {
        let digits =
            self.0.get(at..at + 6).and_then(|escape| escape.strip_prefix(br"\u")).unwrap_or_default();
        digits.iter().fold(0, |unit, digit| unit << 4 | (*digit as char).to_digit(16).unwrap_or_default())
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        match memchr(b'\\', self.0) {
            Some(0) => Some(Piece::Unit(self.escape())),
            None if self.0.is_empty() => None,
            plain => Some(Piece::Plain(self.take(plain.unwrap_or(self.0.len())))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn bytes(raw: &str) -> u64 {
        json_bytes(raw, 64).unwrap()
    }

    #[test]
    fn a_size_is_that_of_the_text_javascript_prints() {
        for (raw, size) in [
            (r#"{"a":1.0}"#, 7),
            (r#"{"a":1e21}"#, 11),
            (r#"{"a":1e20}"#, 27),
            (r#"{"a":-0}"#, 7),
            (r#"{"a":1e400}"#, 10),
            (r#"{"a":0.000001}"#, 14),
            (r#"{"a":1e-7}"#, 10),
            (r#"{"a":123456789012345678901234567890}"#, 28),
            (r#"{"b":1,"a":2,"10":3,"9":4}"#, 26),
            (r#"{"a":1,"a":22}"#, 8),
            (r#"{"a":"\u00e9"}"#, 10),
            (r#"{"a":"\ud83d\ude00"}"#, 12),
            (r#"{"a":"\ud83d"}"#, 14),
            (r#"{"a":"\u0007"}"#, 14),
            (r#"{"a":"\n\t"}"#, 12),
            (r#"{"a":"\/"}"#, 9),
            (r#"{"a":"\u2028"}"#, 11),
            (r#"{"a":"\u007f"}"#, 9),
            (r#"{"__proto__":{"x":1},"y":2}"#, 27),
            (r#"{ "a" : [ 1 , 2 ] }"#, 11),
            ("{}", 2),
            (" [ ] ", 2),
            ("null", 4),
            ("\n\"\"\t", 2),
            (r#"[true,false,null,-12,"é"]"#, 26),
            (r#""\"\\\b\f""#, 10),
            (r#""\ude00\ud83d\u0041\ud83d\ud83d\ude00""#, 25),
        ] {
            assert_eq!(bytes(raw), size, "{raw}");
        }
    }

    #[test]
    fn plain_arguments_count_as_they_stand() {
        for length in [500, 503, 504, 505, 1016, 1017, 2040, 2041, 100 * 1024 - 8] {
            let raw = format!("{{\"t\":\"{}\"}}", "a".repeat(length));
            assert_eq!(bytes(&raw), length as u64 + 8);
        }
    }

    #[test]
    fn of_members_with_one_name_the_last_counts() {
        for (raw, same) in [
            (r#"{"a":1,"\u0061":22,"b":3}"#, r#"{"a":22,"b":3}"#),
            (r#"{"\ud83d\ude00":1,"😀":222}"#, r#"{"😀":222}"#),
            (r#"{"\ud83d":1,"\ud83d":222,"\ude00":3}"#, r#"{"\ud83d":222,"\ude00":3}"#),
            (r#"{"a\/b":[1,2,3],"a/b":[]}"#, r#"{"a/b":[]}"#),
            (r#"{"a":{"a":1,"a":1},"b":0,"a":{"c":2}}"#, r#"{"a":{"c":2},"b":0}"#),
        ] {
            assert_eq!(bytes(raw), bytes(same), "{raw}");
        }
        let members = |range: std::ops::Range<u32>, value| range.map(move |i| format!("\"m{i}\":{value}"));
        let object = |members: Vec<String>| format!("{{{}}}", members.join(","));
        for count in [FEW as u32 - 1, FEW as u32, FEW as u32 + 1, 300] {
            let once = object(members(0..count, "12").collect());
            let thrice = object(
                members(0..count, "1")
                    .chain(members(0..count, "[]"))
                    .chain(members(0..count, "12"))
                    .collect(),
            );
            assert_eq!(bytes(&thrice), bytes(&once), "{count} members");
            assert_eq!(bytes(&once), once.len() as u64);
        }
    }

    #[test]
    fn nesting_is_bounded() {
        for depth in [1_usize, 5, 64] {
            let lists = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            let objects = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
            for raw in [lists, objects] {
                assert_eq!(json_bytes(&raw, depth), Ok(raw.len() as u64));
                assert_eq!(json_bytes(&raw, depth - 1), Err(TooDeep { depth_max: depth - 1 }));
            }
        }
        assert_eq!(json_bytes("1", 0), Ok(1));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "\\PC{0,6}|[\\x00-\\x1f\"\\\\/a]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 12, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..12).prop_map(Value::from),
                prop::collection::hash_map("[a-c\"\\\\é]{0,2}", inner, 0..12)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn printed_json_has_its_own_length(value in any_json()) {
            let printed = value.to_string();
            prop_assert_eq!(bytes(&printed), printed.len() as u64);
            prop_assert_eq!(bytes(&serde_json::to_string_pretty(&value).unwrap()), printed.len() as u64);
        }

        #[test]
        fn text_that_is_not_json_is_read_to_its_end(
            text in "[\\[\\]{}\",:\\\\ué0-9 a-]{0,40}|\\PC{0,40}",
        ) {
            let _any_answer = json_bytes(&text, 64);
        }
    }
}
