//! What a child says of its own accord.

use std::sync::Weak;

use bytes::Bytes;

use super::{Exit, calls::Calls};
use crate::wire::{self, Envelope, Id};

/// Where a backend's own messages go, given at construction.
///
/// The methods are called in the order in which the child wrote, and before any answer it wrote
/// later is handed over. They run on the task that reads the child, so they must not block.
pub trait Inbound: Send + Sync + 'static {
    /// Takes a notification. `envelope` is a view of `message`.
    fn notification(&self, message: &Bytes, envelope: &Envelope<'_>) {
        let _ = (message, envelope);
    }

    /// Takes a request, which the child waits to see answered. `envelope` is a view of
    /// `request.message`.
    ///
    /// By default `ping` is answered and everything else is refused.
    fn request(&self, request: InboundRequest, envelope: &Envelope<'_>) {
        match envelope.method.as_deref() {
            Some("ping") => {
                let pong = wire::result(request.id(), &serde_json::Map::new());
                request.answer(pong);
            }
            _ => request.refuse(),
        }
    }

    /// Hears that a child runs, the first one or a later one.
    fn started(&self) {}

    /// Hears of the end of a child.
    fn exited(&self, exit: Exit) {
        let _ = exit;
    }

    /// Hears what the child writes to stderr, by the line, line break included.
    fn stderr(&self, text: &str) {
        let _ = text;
    }

    /// Hears of a line on stdout that is no message.
    fn unparsable(&self, line: &str) {
        let _ = line;
    }
}

/// An [`Inbound`] that drops what needs no answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct DropInbound;

impl Inbound for DropInbound {}

/// A request of the child, to be answered by whoever it was meant for, at leisure.
///
/// When it is dropped without an answer it is refused, so that no child waits for ever.
#[derive(Debug)]
pub struct InboundRequest {
    /// The request as the child wrote it.
    pub message: Bytes,
    id: String,
    calls: Weak<Calls>,
    /// Which child asked: an answer must not reach its successor.
    generation: u64,
    answered: bool,
}

impl InboundRequest {
    pub(super) fn new(message: Bytes, id: &str, calls: Weak<Calls>, generation: u64) -> Self {
        Self { message, id: id.to_owned(), calls, generation, answered: false }
    }

    /// The id under which the child expects the answer.
    #[must_use]
    pub fn id(&self) -> Id<'_> {
        Id::Raw(&self.id)
    }

    /// Answers with a whole message, which has to carry this request's [`id`](Self::id). It is
    /// dropped if the child has ended meanwhile.
    pub fn answer(mut self, message: impl Into<Bytes>) {
        self.send(message.into());
    }

    /// Answers that there is no such method.
    pub fn refuse(self) {
        drop(self);
    }

    fn send(&mut self, message: Bytes) {
        self.answered = true;
        if let Some(calls) = self.calls.upgrade() {
            calls.push_urgent(message, self.generation);
        }
    }
}

impl Drop for InboundRequest {
    fn drop(&mut self) {
        if !self.answered {
            let refusal = wire::error(self.id(), -32601, "Method not found");
            self.send(refusal.into());
        }
    }
}
