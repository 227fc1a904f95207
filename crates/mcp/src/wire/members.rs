//! Reads named members of a JSON object without touching their values.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::{error::Category, value::RawValue};

/// Why the members of an object could not be told apart.
#[derive(Debug)]
pub(super) enum MembersError {
    Syntax,
    NotAnObject,
    Duplicate(&'static str),
    Lookalike { found: String, name: &'static str },
}

/// How strictly names are told apart.
#[derive(Clone, Copy)]
pub(super) enum Names {
    /// As written; a name that only resembles a wanted one is an unknown member.
    Exact,
    /// As written; a name that a case-blind reader would take for a wanted one is an error.
    Unmistakable,
}

/// Picks the members `wanted` out of the object `text`, raw and in the order of `wanted`.
pub(super) fn read_members<'a, const N: usize>(
    text: &'a str,
    wanted: [&'static str; N],
    names: Names,
) -> Result<[Option<&'a RawValue>; N], MembersError> {
    let mut source = serde_json::Deserializer::from_str(text);
    let found =
        Members { wanted, names }.deserialize(&mut source).and_then(|found| source.end().map(|()| found));
    match found {
        Ok(found) => found,
        Err(error) if error.classify() != Category::Data => Err(MembersError::Syntax),
        // The reader gave up at the first byte, so what follows has not been looked at.
        Err(_) => match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Err(MembersError::NotAnObject),
            Err(_) => Err(MembersError::Syntax),
        },
    }
}

struct Members<const N: usize> {
    wanted: [&'static str; N],
    names: Names,
}

impl<const N: usize> Members<N> {
    /// Whether `found` would be taken for the lower-case ASCII `name` by a reader blind to case.
    fn resembles(found: &str, name: &str) -> bool {
        // Of all characters outside ASCII only these two fold to an ASCII letter.
        let fold = |c: char| match c {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            c => c.to_ascii_lowercase(),
        };
        found.chars().map(fold).eq(name.chars().map(fold))
    }
}

impl<'de, const N: usize> DeserializeSeed<'de> for Members<N> {
    type Value = Result<[Option<&'de RawValue>; N], MembersError>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        source.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Members<N> {
    type Value = Result<[Option<&'de RawValue>; N], MembersError>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        let mut failure = None;
        // Read to the end even after a failure: text that is no JSON at all is the graver one.
        while let Some(Name(name)) = map.next_key()? {
            let value: &'de RawValue = map.next_value()?;
            if let Some(at) = self.wanted.iter().position(|wanted| *wanted == name) {
                if found[at].replace(value).is_some() {
                    failure.get_or_insert(MembersError::Duplicate(self.wanted[at]));
                }
            } else if let Names::Unmistakable = self.names
                && let Some(like) = self.wanted.iter().find(|wanted| Self::resembles(&name, wanted))
            {
                failure.get_or_insert(MembersError::Lookalike { found: name.into_owned(), name: like });
            }
        }
        Ok(failure.map_or(Ok(found), Err))
    }
}

/// A member's name, borrowed unless it is written with escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        source.deserialize_str(NameVisitor)
    }
}

/// The text of a raw JSON string; `None` when the value is no string.
pub(super) fn read_string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(raw.get()).ok().map(Cow::Owned)
}
