//! Server-sent events, read.

use bytes::{Buf, Bytes, BytesMut};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Cuts a stream of bytes, which arrives in pieces of any size, into the data of server-sent events.
///
/// Lines end with LF, CRLF or CR; the space after `data:` may be missing; data of several lines is joined by line
/// breaks. What else an event says of itself is passed over.
#[derive(Debug, Default)]
pub struct EventReader {
    buffer: BytesMut,
    /// How many bytes of `buffer` are known to hold no line end.
    scanned: usize,
    /// Whether an LF that comes next belongs to the line end before it.
    after_cr: bool,
    /// Whether the first line has been read, which may start with a byte order mark.
    begun: bool,
    /// The data of the event that is being read.
    data: Option<BytesMut>,
}

impl EventReader {
    /// Takes the next piece of the stream.
    pub fn feed(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The data of the next event that is there as a whole.
    pub fn next_event(&mut self) -> Option<Bytes> {
        while let Some(line) = self.next_line() {
            if !line.is_empty() {
                self.read_field(line);
            } else if let Some(data) = self.data.take() {
                return Some(data.freeze());
            }
        }
        None
    }

    /// The data of an event that the stream ended in.
    pub fn last_event(mut self) -> Option<Bytes> {
        let rest = self.buffer.split();
        self.read_field(rest);
        self.data.map(BytesMut::freeze)
    }

    /// How many bytes are kept for events that are not there as a whole.
    #[must_use]
    pub fn byte_count(&self) -> usize {
        self.buffer.len() + self.data.as_ref().map_or(0, BytesMut::len)
    }

    fn next_line(&mut self) -> Option<BytesMut> {
        if self.after_cr && !self.buffer.is_empty() {
            self.after_cr = false;
            if self.buffer[0] == b'\n' {
                self.buffer.advance(1);
            }
        }
        let Some(at) = memchr::memchr2(b'\r', b'\n', &self.buffer[self.scanned..]) else {
            self.scanned = self.buffer.len();
            return None;
        };
        let end = self.scanned + at;
        self.scanned = 0;
        let mut line = self.buffer.split_to(end + 1);
        self.after_cr = line[end] == b'\r';
        line.truncate(end);
        Some(line)
    }

    fn read_field(&mut self, mut line: BytesMut) {
        if !self.begun {
            self.begun = true;
            if line.starts_with(BYTE_ORDER_MARK) {
                line.advance(BYTE_ORDER_MARK.len());
            }
        }
        let Some(rest) = line.strip_prefix(b"data") else { return };
        let value_at = match rest {
            [] => line.len(),
            [b':', b' ', ..] => b"data: ".len(),
            [b':', ..] => b"data:".len(),
            _ => return,
        };
        line.advance(value_at);
        match &mut self.data {
            None => self.data = Some(line),
            Some(data) => {
                data.extend_from_slice(b"\n");
                data.extend_from_slice(&line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let mut reader = EventReader::default();
        let mut events = Vec::new();
        for piece in pieces {
            reader.feed(piece);
            events.extend(std::iter::from_fn(|| reader.next_event()));
        }
        events.extend(reader.last_event());
        events.into_iter().map(|data| String::from_utf8_lossy(&data).into_owned()).collect()
    }

    fn of(text: &str) -> Vec<String> {
        events([text.as_bytes()])
    }

    #[test]
    fn lines_may_end_in_any_of_the_three_ways() {
        for text in ["data: a\n\ndata: b\n\n", "data: a\r\n\r\ndata: b\r\n\r\n", "data: a\r\rdata: b\r\r"] {
            assert_eq!(of(text), ["a", "b"], "{text:?}");
        }
    }

    #[test]
    fn the_space_after_data_may_be_missing_and_only_one_is_dropped() {
        assert_eq!(of("data:a\n\ndata:  b\n\ndata\n\n"), ["a", " b", ""]);
    }

    #[test]
    fn data_of_several_lines_is_joined() {
        assert_eq!(of("data: {\ndata: \"a\":1\ndata: }\n\n"), ["{\n\"a\":1\n}"]);
    }

    #[test]
    fn what_is_no_data_is_passed_over() {
        assert_eq!(
            of("\u{feff}: hello\nevent: message\nid: 7\nretry: 5\ndatax: n\ndata: a\n\nevent: x\n\n\n"),
            ["a"]
        );
        assert_eq!(of("\u{feff}data: a\n\n"), ["a"]);
    }

    #[test]
    fn an_event_that_the_stream_ends_in_counts() {
        assert_eq!(of("data: a\n\ndata: b"), ["a", "b"]);
        assert_eq!(of("data: a\n\nevent: b"), ["a"]);
    }

    proptest! {
        #[test]
        fn any_pieces_give_the_same_events(
            words in prop::collection::vec(
                prop::sample::select(vec!["data", ":", " ", "a", "\n", "\r", "\r\n", "\n\n", "data:x", "é"]),
                0..60,
            ),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let text = words.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.sort_unstable();
            let ends = cuts.iter().copied().chain([text.len()]);
            let starts = std::iter::once(0).chain(cuts.iter().copied());
            let pieces: Vec<&[u8]> = starts.zip(ends).map(|(from, to)| &text[from..to]).collect();
            prop_assert_eq!(events(pieces), events([text.as_slice()]));
        }
    }
}
