//! Server-sent events, written: one message of the protocol is one event of type `message`.

use bytes::Bytes;

use crate::wire::{Spliced, splice::one_line};

/// Wraps a message into one event.
///
/// Raw line breaks, which in JSON stand only between tokens, become spaces, so that the whole
/// message is one data line; a payload without them is not copied.
#[must_use]
pub fn event(message: Spliced) -> Spliced {
    let head = Bytes::from_static(b"event: message\ndata: ");
    let end = Bytes::from_static(b"\n\n");
    let data = message.into_parts().into_iter().map(one_line);
    Spliced::new(std::iter::once(head).chain(data).chain([end]).collect())
}

/// A comment that keeps the connection from being taken for dead; clients skip it.
#[must_use]
pub fn keep_alive() -> Bytes {
    Bytes::from_static(b": keepalive\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_event_with_one_data_line() {
        let message = Spliced::from(b"{\"a\":1,\r\n\"b\":\"x\\ny\"}".to_vec());
        assert_eq!(event(message).into_bytes(), "event: message\ndata: {\"a\":1,  \"b\":\"x\\ny\"}\n\n");
    }

    #[test]
    fn a_payload_without_line_breaks_is_not_copied() {
        let payload = Bytes::from_static(b"{\"a\":1}");
        let parts = event(Spliced::new(vec![payload.clone()])).into_parts();
        assert_eq!(parts[1].as_ptr(), payload.as_ptr());
    }
}
