//! A backend's answer to one request.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{
    Envelope, Id, Spliced, WireError,
    members::{Names, read_members},
};

/// A backend's answer to one request: how the request ended, and the answer's bytes.
///
/// It keeps the buffer it was read into alive. What is to be kept for long is copied out first
/// ([`Spliced::into_bytes`]).
#[derive(Debug, Clone)]
pub struct Reply {
    before_id: Bytes,
    after_id: Bytes,
    /// The result, or the error when the outcome is one.
    payload: Bytes,
    outcome: Outcome,
}

/// How a request ended, as far as its answer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A result.
    Result,
    /// A result that says `isError: true`: the tool ran and failed.
    ToolError,
    /// A JSON-RPC error.
    Error {
        /// Its code, when it has a whole number for one.
        code: Option<i64>,
    },
}

impl Reply {
    /// Reads an answer; of one that has both, the error counts.
    ///
    /// # Errors
    /// [`WireError::NotAReply`] when it holds neither result nor error, and what
    /// [`Envelope::parse_from_backend`] finds.
    pub fn parse(answer: &Bytes) -> Result<Self, WireError> {
        Self::from_envelope(answer, &Envelope::parse_from_backend(answer)?)
    }

    /// Takes over an answer that has been read already. `answer` is the buffer that `envelope`
    /// was read from.
    ///
    /// # Errors
    /// [`WireError::NotAReply`] when it holds neither result nor error.
    ///
    /// # Panics
    /// When `answer` is another buffer.
    pub fn from_envelope(answer: &Bytes, envelope: &Envelope<'_>) -> Result<Self, WireError> {
        let (payload, outcome) = match (envelope.error, envelope.result) {
            (Some(error), _) => (error, Outcome::Error { code: error_code(error) }),
            (None, Some(result)) if is_error(result) => (result, Outcome::ToolError),
            (None, Some(result)) => (result, Outcome::Result),
            (None, None) => return Err(WireError::NotAReply),
        };
        let (before_id, after_id) = envelope.around_id(answer);
        Ok(Self { before_id, after_id, payload: answer.slice_ref(payload.get().as_bytes()), outcome })
    }

    /// How the request ended.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The raw result, when there is one and no error.
    #[must_use]
    pub fn result(&self) -> Option<&RawValue> {
        (!matches!(self.outcome, Outcome::Error { .. })).then(|| self.raw_payload())
    }

    /// The raw error, when there is one.
    #[must_use]
    pub fn error(&self) -> Option<&RawValue> {
        matches!(self.outcome, Outcome::Error { .. }).then(|| self.raw_payload())
    }

    /// The answer under the id that the client gave its request, every other byte as the backend
    /// wrote it. A request without an id is answered with `null`.
    #[must_use]
    pub fn answer(&self, client_id: Id<'_>) -> Spliced {
        let id = Bytes::copy_from_slice(client_id.raw().unwrap_or("null").as_bytes());
        Spliced::new(vec![self.before_id.clone(), id, self.after_id.clone()])
    }

    fn raw_payload(&self) -> &RawValue {
        serde_json::from_slice(&self.payload).expect("the payload was cut out of valid JSON")
    }
}

/// Whether a result has `isError: true` among its own members.
fn is_error(result: &RawValue) -> bool {
    let text = result.get();
    // Few results hold the word at all, and looking for it is far cheaper than reading them.
    // (No JSON writer escapes ASCII letters, so it cannot stand there in another spelling.)
    if memchr::memmem::find(text.as_bytes(), b"\"isError\"").is_none() {
        return false;
    }
    matches!(read_members(text, ["isError"], Names::Exact), Ok([Some(raw)]) if raw.get() == "true")
}

fn error_code(error: &RawValue) -> Option<i64> {
    let [code] = read_members(error.get(), ["code"], Names::Exact).ok()?;
    code?.get().parse().ok()
}
