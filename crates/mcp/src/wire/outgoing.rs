//! Messages on their way to a backend.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Envelope, ToolCall,
    splice::{offset_in, one_line},
};

/// A message for a backend, complete but for its id, which the connection gives it.
///
/// Everything else goes out as the client wrote it, except that raw line breaks between tokens
/// become spaces, since the message travels as one line.
#[derive(Debug, Clone)]
pub struct Outgoing {
    before_id: Bytes,
    after_id: Bytes,
    begins_session: bool,
}

/// The method that begins a session.
const INITIALIZE: &str = "initialize";

impl Outgoing {
    /// Takes over a client's message. `body` is the buffer that `envelope` was read from; no
    /// part of it is copied.
    ///
    /// # Panics
    /// When `body` is another buffer.
    #[must_use]
    pub fn forward(body: &Bytes, envelope: &Envelope<'_>) -> Self {
        let (before, after) = envelope.around_id(body);
        let begins_session = envelope.method.as_deref() == Some(INITIALIZE);
        Self { before_id: one_line(before), after_id: one_line(after), begins_session }
    }

    /// Takes over a client's tool call under another tool name; all other members stay.
    ///
    /// # Panics
    /// When `body`, `envelope` and `call` are not of one message.
    #[must_use]
    pub fn forward_renamed(body: &Bytes, envelope: &Envelope<'_>, call: &ToolCall<'_>, name: &str) -> Self {
        let renamed = |part: &Bytes, at: usize| -> Bytes {
            let after = &part[at + call.name_raw.get().len()..];
            [&part[..at], json(name).as_slice(), after].concat().into()
        };
        let (mut before, mut after) = envelope.around_id(body);
        let at = offset_in(envelope.text, call.name_raw.get());
        if at < before.len() && envelope.id_raw.is_some() {
            before = renamed(&before, at);
        } else {
            let from_end = envelope.text.len() - at;
            after = renamed(&after, after.len() - from_end);
        }
        Self { before_id: one_line(before), after_id: one_line(after), begins_session: false }
    }

    /// Makes a `tools/call` of a name and arguments as written.
    #[must_use]
    pub fn tool_call(name: &str, arguments: Option<&RawValue>) -> Self {
        #[derive(Serialize)]
        struct Params<'a> {
            name: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            arguments: Option<&'a RawValue>,
        }
        Self::request("tools/call", &Params { name, arguments })
    }

    /// Makes a request of our own.
    #[must_use]
    pub fn request(method: &str, params: &impl Serialize) -> Self {
        let after_id = [b",\"method\":", &*json(method), b",\"params\":", &*json(params), b"}"].concat();
        Self {
            before_id: Bytes::from_static(b"{\"jsonrpc\":\"2.0\",\"id\":"),
            after_id: one_line(after_id.into()),
            begins_session: method == INITIALIZE,
        }
    }

    /// Whether the message begins a session.
    pub(crate) fn begins_session(&self) -> bool {
        self.begins_session
    }

    /// The number of bytes of the message without its id.
    #[must_use]
    pub fn byte_count(&self) -> usize {
        self.before_id.len() + self.after_id.len()
    }

    /// Writes the message as one line, under the id given as raw JSON.
    pub fn write_line(&self, id: &str, out: &mut Vec<u8>) {
        out.reserve(self.byte_count() + id.len() + 1);
        out.extend_from_slice(&self.before_id);
        out.extend_from_slice(id.as_bytes());
        out.extend_from_slice(&self.after_id);
        out.push(b'\n');
    }
}

/// Makes a notification of our own.
#[must_use]
pub fn notification(method: &str, params: &impl Serialize) -> Bytes {
    let head = b"{\"jsonrpc\":\"2.0\",\"method\":";
    [head, &*json(method), b",\"params\":", &*json(params), b"}"].concat().into()
}

pub(super) fn json(value: &(impl Serialize + ?Sized)) -> Vec<u8> {
    serde_json::to_vec(value).expect("values with text for member names can always be written")
}
