//! What is told of calls that have ended, whoever they came from.

use paygate_core::credits::Credits;
use serde::Serialize;

use crate::backend::Backend;
use crate::decided::Done;

/// Characters of a key that are told.
const KEY_SHOWN: usize = 10;

/// Hears of calls that have ended. Must not block: the caller has not been answered yet.
pub trait CallListener: Send + Sync {
    /// A tool call has ended that the gate had let through.
    fn tool_called(&self, event: &ToolCallEvent<'_>);

    /// A batch has ended that the gate had let through.
    fn batch_called(&self, event: &BatchCallEvent);
}

/// A tool call that has ended, as 2.9.0 told it: a remote server's without word of refunds, a router's with the
/// balance before them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolCallEvent<'a> {
    tool: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<String>,
    credits_charged: u64,
    remaining_credits: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refunded: Option<bool>,
}

/// A batch that has ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchCallEvent {
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<String>,
    call_count: usize,
    total_credits_charged: u64,
    remaining_credits: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refunded: Option<u64>,
}

impl<'a> ToolCallEvent<'a> {
    /// Tells of a call: what was decided of it, and how it ended.
    #[must_use]
    pub fn new(
        backend: &'a Backend,
        tool: &'a str,
        key: Option<&str>,
        charged: Credits,
        remaining: Credits,
        done: &Done,
    ) -> Self {
        let refunded = done.refunded().is_some();
        let refund = done.settled.filter(|_| refunded && !backend.is_router());
        Self {
            tool,
            server: backend.prefix_of(tool),
            api_key: shown(key),
            credits_charged: if refunded { 0 } else { charged.get() },
            remaining_credits: refund.map_or(remaining, |refund| refund.balance).get(),
            refunded: (!backend.is_remote()).then_some(refunded),
        }
    }
}

impl BatchCallEvent {
    /// Tells of a batch: how its calls ended, and the balance they left.
    #[must_use]
    pub fn new(backend: &Backend, key: Option<&str>, done: &[Done], remaining: Credits) -> Self {
        let refunded = done.iter().filter_map(Done::refunded);
        Self {
            api_key: shown(key),
            call_count: done.len(),
            total_credits_charged: done.iter().map(Done::credits).sum(),
            remaining_credits: remaining.get(),
            refunded: (!backend.is_remote()).then(|| refunded.map(Credits::get).sum()),
        }
    }
}

fn shown(key: Option<&str>) -> Option<String> {
    key.filter(|key| !key.is_empty()).map(|key| key.chars().take(KEY_SHOWN).collect())
}
