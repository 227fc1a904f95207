//! The answer to a batch: what each call gave and cost.

use paygate_core::credits::Credits;
use paygate_mcp_wire::wire::{Reply, ToolCall};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::backend::BackendError;
use crate::call::INTERNAL_ERROR;
use crate::decided::Done;

/// The answer to a batch.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchAnswer<'a> {
    results: Vec<EntryAnswer<'a>>,
    /// What the batch cost in the end.
    pub total_credits_charged: u64,
    remaining_credits: u64,
}

/// The answer to one call of a batch.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryAnswer<'a> {
    tool: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<EntryError<'a>>,
    credits_charged: u64,
}

/// Why a call of a batch has no result: as the backend told it, or as we do.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum EntryError<'a> {
    Told(&'a RawValue),
    Own { code: i64, message: String },
}

impl<'a> BatchAnswer<'a> {
    /// The answer to calls that were done, in the same order, and the balance they left.
    #[must_use]
    pub fn new(calls: &'a [ToolCall<'_>], done: &'a [Done], remaining: Credits) -> Self {
        let results = calls.iter().zip(done).map(|(call, done)| EntryAnswer {
            tool: &call.name,
            result: done.answer.as_ref().ok().and_then(Reply::result),
            error: entry_error(&done.answer),
            credits_charged: done.credits(),
        });
        Self {
            results: results.collect(),
            total_credits_charged: done.iter().map(Done::credits).sum(),
            remaining_credits: remaining.get(),
        }
    }
}

fn entry_error(answer: &Result<Reply, BackendError>) -> Option<EntryError<'_>> {
    match answer {
        Ok(reply) => reply.error().map(EntryError::Told),
        Err(error) => Some(EntryError::Own { code: INTERNAL_ERROR, message: error.to_string() }),
    }
}
