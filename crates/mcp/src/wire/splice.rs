//! Messages put together from slices of other messages.

use bytes::Bytes;

use super::Envelope;

/// A message in several slices, so that a long payload is passed on without being copied.
#[derive(Debug, Clone)]
pub struct Spliced {
    parts: Vec<Bytes>,
}

impl Spliced {
    pub(crate) fn new(parts: Vec<Bytes>) -> Self {
        Self { parts }
    }

    /// The number of bytes of all slices together.
    #[must_use]
    pub fn byte_count(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    /// The slices, to be sent one after the other. Nothing is copied.
    #[must_use]
    pub fn into_parts(self) -> Vec<Bytes> {
        self.parts
    }

    /// The message in one piece, and in a buffer of its own. Copies once.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.parts.concat().into()
    }
}

impl From<Vec<u8>> for Spliced {
    fn from(message: Vec<u8>) -> Self {
        Self::new(vec![message.into()])
    }
}

impl Envelope<'_> {
    /// What stands before and after the id. `source` is the buffer this envelope was read from.
    ///
    /// A message without an id gets room for one as its first member.
    pub(super) fn around_id(&self, source: &Bytes) -> (Bytes, Bytes) {
        let text = self.text;
        let Some(raw) = self.id_raw else {
            let rest = text[1..].trim_start();
            let comma = if rest == "}" { "" } else { "," };
            return (Bytes::from_static(b"{\"id\":"), [comma, rest].concat().into());
        };
        let start = offset_in(text, raw);
        let (before, after) = (&text[..start], &text[start + raw.len()..]);
        (source.slice_ref(before.as_bytes()), source.slice_ref(after.as_bytes()))
    }
}

/// Where `part`, a slice of `text`, starts in it.
pub(super) fn offset_in(text: &str, part: &str) -> usize {
    part.as_ptr().addr() - text.as_ptr().addr()
}

/// The JSON without raw line breaks, which can stand only between its tokens. Copied only when
/// there are some.
pub(crate) fn one_line(json: Bytes) -> Bytes {
    if memchr::memchr2(b'\r', b'\n', &json).is_none() {
        return json;
    }
    json.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect()
}
