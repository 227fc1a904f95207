//! The way of a call: who asks and may they, taken and journalled, done, settled. There is no other path on which
//! credits are taken for a backend's work.

use bytes::Bytes;
use futures_util::future::join_all;
use paygate_core::credits::Credits;
use paygate_core::gate::{
    Arguments, BatchCall, BatchCharge, BatchVerdict, CallRequest, Charged, Judgement, Taken, TooDeep, Verdict,
};
use paygate_mcp_wire::stdio::CallError;
use paygate_mcp_wire::wire::{self, BatchCalls, Envelope, Id, Outgoing, Reply, Spliced, ToolCall, WireError};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::app::App;
use crate::backend::backend::ending;
use crate::session::SessionId;

/// The JSON-RPC code of a refusal by the gate.
pub(crate) const PAYMENT_REQUIRED: i64 = -32402;
const INVALID_PARAMS: i64 = -32602;
const INTERNAL_ERROR: i64 = -32603;

/// Who calls, and from where.
pub(crate) struct Caller<'a> {
    pub(crate) key: Option<&'a str>,
    pub(crate) address: &'a str,
    /// The session that the caller named, whose later messages may be about this call.
    pub(crate) named_session: Option<SessionId>,
}

/// A client's message: as it came, and as it was understood.
pub(crate) struct Message<'a> {
    pub(crate) body: &'a Bytes,
    pub(crate) envelope: &'a Envelope<'a>,
}

impl Message<'_> {
    fn id(&self) -> Id<'_> {
        self.envelope.id
    }

    pub(crate) fn error(&self, code: i64, message: &str) -> Spliced {
        wire::error(self.id(), code, message).into()
    }

    fn refusal(&self, error: &WireError) -> Spliced {
        self.error(error.code(), &error.message())
    }

    fn payment_required(&self, reason: Option<String>, data: &impl Serialize) -> Spliced {
        let message = format!("Payment required: {}", reason.as_deref().unwrap_or("undefined"));
        wire::error_with_data(self.id(), PAYMENT_REQUIRED, &message, data).into()
    }

    /// The backend's answer, or why there is none, under the client's own id.
    pub(crate) fn answer(&self, answer: Result<Reply, CallError>) -> Spliced {
        match answer {
            Ok(reply) => reply.answer(self.id()),
            Err(error) => self.error(INTERNAL_ERROR, &error.to_string()),
        }
    }
}

/// What the refusal of a single call tells.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shortfall {
    pub(crate) credits_required: u64,
    pub(crate) remaining_credits: u64,
}

/// One tool call, from the caller to the answer.
pub(crate) async fn charge_and_call(app: &App, caller: &Caller<'_>, message: &Message<'_>) -> Spliced {
    let call = match ToolCall::from_params(message.envelope.params) {
        Ok(call) => call,
        Err(error) => return message.refusal(&error),
    };
    let request = CallRequest {
        key: caller.key,
        tool: &call.name,
        arguments: Arguments::json(call.arguments.map(RawValue::get)),
        address: Some(caller.address),
    };
    let taken = match take(app, &request).await {
        Ok(taken) => taken,
        Err(error) => return message.error(INVALID_PARAMS, &format!("Invalid params: {error}")),
    };
    if let Verdict::Denied(_) = taken.decision.verdict {
        let data = Shortfall {
            credits_required: app.gate.config().prices.base(&call.name).get(),
            remaining_credits: taken.decision.remaining.get(),
        };
        return message.payment_required(taken.decision.reason(), &data);
    }
    if let Some(charged) = &taken.charge
        && let Err(error) = app.durable(charged.ticket()).await
    {
        taken.charge.into_iter().for_each(Charged::undo);
        return message.error(INTERNAL_ERROR, &format!("ledger unavailable: {error}"));
    }
    let answer = forward(app, caller, message).await;
    if let Some(charged) = taken.charge {
        app.settle(charged, ending(&answer)).await;
    }
    message.answer(answer)
}

/// Takes the price of a call, if all who have a say in it agree.
async fn take(app: &App, request: &CallRequest<'_>) -> Result<Taken, TooDeep> {
    let Some(hooks) = &app.hooks else { return app.gate.charge(request) };
    if hooks.asks()
        && let Some(key) = request.key
        && let Judgement::Passes(price) = app.gate.judge(request)?
        && let Err(reason) = hooks.allows(key, price).await
    {
        let decision = app.gate.refuse_for_team(request, reason.as_deref());
        app.heard(None).await;
        return Ok(Taken { decision, charge: None });
    }
    let taken = app.gate.charge(request)?;
    let paid = matches!(taken.decision.verdict, Verdict::Allowed);
    app.heard(request.key.filter(|_| paid).map(|key| (key, taken.decision.charged))).await;
    Ok(taken)
}

/// As [`take`], for a batch.
async fn take_batch(
    app: &App,
    caller: &Caller<'_>,
    calls: &[BatchCall<'_>],
) -> Result<BatchCharge, TooDeep> {
    let (key, address) = (caller.key, Some(caller.address));
    let Some(hooks) = &app.hooks else { return app.gate.charge_batch(key, calls, address) };
    if hooks.asks()
        && let Some(key) = key
        && let Some(total) = app.gate.judge_batch(Some(key), calls, address)?
        && let Err(reason) = hooks.allows(key, Credits::new(total).unwrap_or(Credits::MAX)).await
        && !app.gate.config().shadow_mode
    {
        let decision = app.gate.refuse_batch_for_team(Some(key), reason.as_deref());
        app.heard(None).await;
        return Ok(BatchCharge { decision, charges: Vec::new() });
    }
    let taken = app.gate.charge_batch(key, calls, address)?;
    let paid = matches!(taken.decision.verdict, BatchVerdict::Allowed);
    app.heard(key.filter(|_| paid).map(|key| (key, taken.decision.total))).await;
    Ok(taken)
}

/// Passes a request on as it is and waits for the answer. While it is under way its session may cancel it.
pub(crate) async fn forward(
    app: &App,
    caller: &Caller<'_>,
    message: &Message<'_>,
) -> Result<Reply, CallError> {
    let pending = app.backend.begin(Outgoing::forward(message.body, message.envelope))?;
    let Some((session, client_id)) = caller.named_session.zip(message.id().raw()) else {
        return pending.answer().await;
    };
    let our_id = pending.id();
    app.sessions.begin_request(session, client_id, our_id);
    let answer = pending.answer().await;
    app.sessions.end_request(session, our_id);
    answer
}

/// What the refusal of a batch tells.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchShortfall {
    failed_index: usize,
    total_credits_required: u64,
    remaining_credits: u64,
}

/// The answer to a batch.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchResult<'a> {
    results: Vec<EntryResult<'a>>,
    total_credits_charged: u64,
    remaining_credits: u64,
}

/// The answer to one call of a batch.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryResult<'a> {
    tool: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<EntryError<'a>>,
    credits_charged: u64,
}

/// Why a call of a batch has no result: as the backend told it, or as we do.
#[derive(Serialize)]
#[serde(untagged)]
enum EntryError<'a> {
    Told(&'a RawValue),
    Own { code: i64, message: String },
}

/// A batch of tool calls, paid for as one, done at the same time, each settled by its own ending.
pub(crate) async fn charge_and_call_batch(app: &App, caller: &Caller<'_>, message: &Message<'_>) -> Spliced {
    let calls = match BatchCalls::from_params(message.envelope.params, app.gate.config().batch_calls_max) {
        Ok(batch) => batch.calls,
        Err(error) => return message.refusal(&error),
    };
    if calls.is_empty() {
        return message.error(INVALID_PARAMS, "Invalid batch: empty calls array");
    }
    let judged: Vec<BatchCall<'_>> =
        calls.iter().map(|call| (&*call.name, Arguments::json(call.arguments.map(RawValue::get)))).collect();
    let too_deep = |error| message.error(INVALID_PARAMS, &format!("Invalid params: {error}"));
    let taken = match take_batch(app, caller, &judged).await {
        Ok(taken) => taken,
        Err(error) => return too_deep(error),
    };
    if let BatchVerdict::Denied { reason, index, .. } = &taken.decision.verdict {
        let total_credits_required = match app.gate.batch_price(&judged) {
            Ok(total) => total,
            Err(error) => return too_deep(error),
        };
        let remaining_credits = taken.decision.remaining.get();
        let data = BatchShortfall { failed_index: *index, total_credits_required, remaining_credits };
        return message.payment_required(Some(reason.to_string()), &data);
    }
    // All charges of a batch became durable, or did not, with one append.
    if let Some(charged) = taken.charges.first()
        && let Err(error) = app.durable(charged.ticket()).await
    {
        taken.charges.into_iter().for_each(Charged::undo);
        return message.error(INTERNAL_ERROR, &format!("ledger unavailable: {error}"));
    }
    // A batch that is let through unpaid as a whole has no charges.
    let charges = taken.charges.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
    let done = join_all(calls.iter().zip(charges).map(async |(call, charged)| {
        let answer = app.backend.request(Outgoing::tool_call(&call.name, call.arguments)).await;
        let credits = match charged {
            Some(charged) => app.settle(charged, ending(&answer)).await.credits,
            None => Credits::ZERO,
        };
        (answer, credits)
    }))
    .await;
    let remaining = match taken.decision.verdict {
        BatchVerdict::Allowed => balance(app, caller.key),
        BatchVerdict::Shadowed(_) | BatchVerdict::Denied { .. } => taken.decision.remaining,
    };
    let results = calls.iter().zip(&done).map(|(call, (answer, credits))| EntryResult {
        tool: &call.name,
        result: answer.as_ref().ok().and_then(Reply::result),
        error: entry_error(answer),
        credits_charged: credits.get(),
    });
    let result = BatchResult {
        results: results.collect(),
        total_credits_charged: done.iter().map(|(_, credits)| credits.get()).sum(),
        remaining_credits: remaining.get(),
    };
    wire::result(message.id(), &result).into()
}

fn entry_error(answer: &Result<Reply, CallError>) -> Option<EntryError<'_>> {
    match answer {
        Ok(reply) => reply.error().map(EntryError::Told),
        Err(error) => Some(EntryError::Own { code: INTERNAL_ERROR, message: error.to_string() }),
    }
}

/// The balance of a key, also when another has taken its place; 0 when there is none.
fn balance(app: &App, key: Option<&str>) -> Credits {
    let account = key.and_then(|key| app.ledger().accounts.current(key));
    account.map_or(Credits::ZERO, |account| account.lock().credits)
}
