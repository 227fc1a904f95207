//! Cuts a stream of bytes into lines.

use bytes::{Bytes, BytesMut};

/// How much of either end of a line that is too long is kept, to tell whose it was.
const EDGE_BYTES: usize = 256;

/// Below this much free room a buffer for reading is enlarged.
const ROOM_BYTES_MIN: usize = 8 * 1024;
const ROOM_BYTES: usize = 64 * 1024;

/// Cuts a stream of bytes, which arrives in pieces of any size, into lines.
///
/// Lines end with `\n`; white space around them is dropped and blank ones are skipped. The
/// framer works on bytes, so a character may be spread over two pieces.
#[derive(Debug)]
pub struct LineFramer {
    line_bytes_max: usize,
    buffer: BytesMut,
    /// How many bytes of `buffer` are known to hold no line break.
    scanned: usize,
    /// The edges of the line that is being skipped.
    skipping: Option<Edges>,
}

/// One line of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A line, without its line break and the white space around it.
    Whole(Bytes),
    /// A line that was longer than allowed and has been skipped.
    TooLong(Edges),
}

/// The first and the last bytes of a line that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edges {
    /// The first bytes.
    pub head: Bytes,
    /// The last bytes.
    pub tail: Bytes,
}

impl LineFramer {
    /// Makes a framer that keeps lines of up to `line_bytes_max` bytes and skips longer ones.
    #[must_use]
    pub fn new(line_bytes_max: usize) -> Self {
        Self { line_bytes_max, buffer: BytesMut::new(), scanned: 0, skipping: None }
    }

    /// The buffer to read the next piece into: append to it, and take lines by
    /// [`next_line`](Self::next_line) until there are none.
    pub fn room(&mut self) -> &mut BytesMut {
        if self.buffer.capacity() - self.buffer.len() < ROOM_BYTES_MIN {
            self.buffer.reserve(ROOM_BYTES);
        }
        &mut self.buffer
    }

    /// Takes the next line out of what has been read.
    pub fn next_line(&mut self) -> Option<Line> {
        loop {
            let Some(at) = memchr::memchr(b'\n', &self.buffer[self.scanned..]) else {
                self.scanned = self.buffer.len();
                if self.scanned > self.line_bytes_max {
                    self.skip_buffer();
                }
                return None;
            };
            let mut line = self.buffer.split_to(self.scanned + at + 1);
            line.truncate(line.len() - 1);
            self.scanned = 0;
            if let Some(line) = self.finish_line(line) {
                return Some(line);
            }
        }
    }

    /// Takes what is left when the stream has ended: a last line without a line break.
    pub fn last_line(&mut self) -> Option<Line> {
        self.scanned = 0;
        let rest = self.buffer.split();
        self.finish_line(rest)
    }

    fn finish_line(&mut self, line: BytesMut) -> Option<Line> {
        if let Some(edges) = self.skipping.take() {
            return Some(Line::TooLong(edges.extended(&line)));
        }
        if line.len() > self.line_bytes_max {
            return Some(Line::TooLong(Edges::of(&line)));
        }
        let line = line.freeze();
        let text = line.trim_ascii();
        (!text.is_empty()).then(|| Line::Whole(line.slice_ref(text)))
    }

    fn skip_buffer(&mut self) {
        self.skipping = Some(match self.skipping.take() {
            Some(edges) => edges.extended(&self.buffer),
            None => Edges::of(&self.buffer),
        });
        // A new buffer, since the old one has grown to the size of the longest line.
        self.buffer = BytesMut::new();
        self.scanned = 0;
    }
}

impl Edges {
    /// The edges of a line.
    #[must_use]
    pub fn of(line: &[u8]) -> Self {
        Self { head: Bytes::copy_from_slice(&line[..line.len().min(EDGE_BYTES)]), tail: last_bytes(line) }
    }

    /// The edges of the line that goes on with `more`.
    fn extended(&self, more: &[u8]) -> Self {
        let head = [&self.head, &more[..more.len().min(EDGE_BYTES - self.head.len())]].concat();
        let tail = [&self.tail, &more[more.len().saturating_sub(EDGE_BYTES)..]].concat();
        Self { head: head.into(), tail: last_bytes(&tail) }
    }
}

fn last_bytes(line: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&line[line.len().saturating_sub(EDGE_BYTES)..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(pieces: &[&[u8]], line_bytes_max: usize) -> Vec<Line> {
        let mut framer = LineFramer::new(line_bytes_max);
        let mut lines = Vec::new();
        for piece in pieces {
            framer.room().extend_from_slice(piece);
            lines.extend(std::iter::from_fn(|| framer.next_line()));
        }
        lines.extend(framer.last_line());
        lines
    }

    fn whole(text: &str) -> Line {
        Line::Whole(Bytes::copy_from_slice(text.as_bytes()))
    }

    fn too_long(text: &str) -> Line {
        Line::TooLong(Edges::of(text.as_bytes()))
    }

    #[test]
    fn lines_may_end_in_any_manner() {
        assert_eq!(lines(&[b"a\r\n\n \t\r\n  b c  \nlast"], 100), [whole("a"), whole("b c"), whole("last")]);
        assert_eq!(lines(&[b"a\n"], 100), [whole("a")]);
        assert_eq!(lines(&[b"  \n \r"], 100), []);
    }

    #[test]
    fn a_character_may_be_spread_over_pieces() {
        let text = "é漢🎉".as_bytes();
        let pieces: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(lines(&pieces, 100), [whole("é漢🎉")]);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_alone() {
        assert_eq!(
            lines(&[b"ok\n12345", b"6789\nfine\n123456"], 5),
            [whole("ok"), too_long("123456789"), whole("fine"), too_long("123456")]
        );
    }

    #[test]
    fn what_is_kept_of_a_skipped_line_does_not_grow() {
        let mut framer = LineFramer::new(1000);
        for _ in 0..1000 {
            framer.room().extend_from_slice(&[b'x'; 500]);
            assert_eq!(framer.next_line(), None);
            assert!(framer.buffer.len() <= 1000);
        }
    }

    proptest! {
        #[test]
        fn any_pieces_give_the_same_lines(
            text in prop::collection::vec(prop::sample::select(b"ab \r\n\n\xc3\xa9".as_slice()), 0..900),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
            line_bytes_max in 0..400_usize,
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([text.len()]) {
                pieces.push(&text[from..cut]);
                from = cut;
            }
            prop_assert_eq!(lines(&pieces, line_bytes_max), lines(&[&text], line_bytes_max));
        }

        /// Long lines with few breaks, so that lines are skipped over many pieces.
        #[test]
        fn any_pieces_give_the_same_skipped_lines(
            lengths in prop::collection::vec(0..2000_usize, 1..5),
            size in 1..700_usize,
        ) {
            let text: Vec<u8> = lengths
                .iter()
                .flat_map(|length| (0..*length).map(|i| b'a' + (i % 26) as u8).chain([b'\n']))
                .collect();
            let pieces: Vec<&[u8]> = text.chunks(size).collect();
            prop_assert_eq!(lines(&pieces, 300), lines(&[&text], 300));
        }
    }
}
