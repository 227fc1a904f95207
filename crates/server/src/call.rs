//! The way of a call: who asks and may they, taken and journalled, done, settled. There is no other path on which
//! credits are taken for a backend's work.

use std::borrow::Cow;

use bytes::Bytes;
use paygate_core::credits::Credits;
use paygate_core::gate::{
    Arguments, BatchCall, BatchCharge, BatchVerdict, CallRequest, Decision, DenyReason, Judgement, Taken,
    TooDeep, Verdict,
};
use paygate_mcp_wire::wire::{self, BatchCalls, Envelope, Id, Outcome, Reply, Spliced, ToolCall};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::app::App;
use crate::backend::{BackendError, Pending};
use crate::batch_answer::BatchAnswer;
use crate::call_events::{BatchCallEvent, ToolCallEvent};
use crate::news::Failure;
use crate::session::SessionId;

/// The JSON-RPC code of a refusal by the gate.
pub(crate) const PAYMENT_REQUIRED: i64 = -32402;
const INVALID_PARAMS: i64 = -32602;
pub(crate) const INTERNAL_ERROR: i64 = -32603;

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

    /// The backend's answer, or why there is none, under the client's own id.
    pub(crate) fn answer(&self, answer: Result<Reply, BackendError>) -> Spliced {
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
    let refuse = |tool: &str, code, told: &str| {
        let failure = Failure { code: Some(code), message: told.into(), reason: None };
        app.news.tool_call_failed(&app.gate, caller.key, tool, &failure, None);
        message.error(code, told)
    };
    let call = match ToolCall::from_params(message.envelope.params) {
        Ok(call) => call,
        Err(error) => return refuse("", error.code(), &error.message()),
    };
    if let Err(error) = app.backend.check_tool(&call.name, None) {
        return refuse(&call.name, INVALID_PARAMS, &error.to_string());
    }
    let request = CallRequest {
        key: caller.key,
        tool: &call.name,
        arguments: Arguments::json(call.arguments.map(RawValue::get)),
        address: Some(caller.address),
    };
    let taken = match take(app, &request).await {
        Ok(taken) => taken,
        Err(error) => return refuse(&call.name, INVALID_PARAMS, &format!("Invalid params: {error}")),
    };
    if let Verdict::Denied(reason) = &taken.decision.verdict {
        return deny(app, caller, message, &call, &taken.decision, reason);
    }
    let work = async {
        let pending = app.backend.begin_call(message.body, message.envelope, &call)?;
        answer_of(app, caller, message, pending).await
    };
    let done = match app.till().carry_out(taken.charge, work).await {
        Ok(done) => done,
        Err(error) => return refuse(&call.name, INTERNAL_ERROR, &format!("ledger unavailable: {error}")),
    };
    if let Some(listener) = &app.listener {
        let (charged, remaining) = (taken.decision.charged, taken.decision.remaining);
        let event = ToolCallEvent::new(&app.backend, &call.name, caller.key, charged, remaining, &done);
        listener.tool_called(&event);
    }
    match failure(&done.answer) {
        None => app.news.tool_called(&app.gate, caller.key, &call.name, &done),
        Some(failure) => {
            app.news.tool_call_failed(&app.gate, caller.key, &call.name, &failure, Some(&done));
        }
    }
    message.answer(done.answer)
}

/// Answers a call that the gate refuses.
fn deny(
    app: &App,
    caller: &Caller<'_>,
    message: &Message<'_>,
    call: &ToolCall<'_>,
    decision: &Decision,
    reason: &DenyReason,
) -> Spliced {
    let told = payment_required(decision.reason().as_deref());
    let code = app.backend.refusal_code();
    let failure = Failure { code: Some(code), message: told.as_str().into(), reason: Some(reason) };
    app.news.tool_call_failed(&app.gate, caller.key, &call.name, &failure, None);
    let data = Shortfall {
        credits_required: app.gate.config().prices.base(&call.name).get(),
        remaining_credits: decision.remaining.get(),
    };
    wire::error_with_data(message.id(), code, &told, &data).into()
}

/// What a caller is told who does not get what must be paid for.
fn payment_required(reason: Option<&str>) -> String {
    format!("Payment required: {}", reason.unwrap_or("undefined"))
}

/// What was wrong with an answer, if it is no result.
fn failure(answer: &Result<Reply, BackendError>) -> Option<Failure<'_>> {
    #[derive(Deserialize)]
    struct Told {
        message: String,
    }
    let (code, message) = match answer {
        Ok(reply) => {
            let Outcome::Error { code } = reply.outcome() else { return None };
            let told = reply.error().and_then(|error| serde_json::from_str::<Told>(error.get()).ok());
            (code, told.map_or(Cow::Borrowed("denied"), |told| told.message.into()))
        }
        Err(error) => (Some(INTERNAL_ERROR), error.to_string().into()),
    };
    Some(Failure { code, message, reason: None })
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
async fn take_batch(app: &App, caller: &Caller<'_>, calls: &[BatchCall<'_>]) -> Result<BatchCharge, TooDeep> {
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

/// Passes a request on as it is and waits for the answer.
pub(crate) async fn forward(
    app: &App,
    caller: &Caller<'_>,
    message: &Message<'_>,
) -> Result<Reply, BackendError> {
    let pending = app.backend.begin(message.body, message.envelope)?;
    answer_of(app, caller, message, pending).await
}

/// Waits for an answer. While the request is under way its session may cancel it.
async fn answer_of(
    app: &App,
    caller: &Caller<'_>,
    message: &Message<'_>,
    pending: Pending<'_>,
) -> Result<Reply, BackendError> {
    let named = caller.named_session.zip(message.id().raw()).zip(pending.id());
    let Some(((session, client_id), our_id)) = named else { return pending.answer().await };
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

/// A batch of tool calls, paid for as one, done at the same time, each settled by its own ending.
pub(crate) async fn charge_and_call_batch(app: &App, caller: &Caller<'_>, message: &Message<'_>) -> Spliced {
    let calls = match BatchCalls::from_params(message.envelope.params, app.gate.config().batch_calls_max) {
        Ok(batch) => batch.calls,
        Err(error) => return refuse_batch(app, caller, message, &[], error.code(), &error.message()),
    };
    let refuse = |code, told: &str| refuse_batch(app, caller, message, &calls, code, told);
    if calls.is_empty() {
        return refuse(INVALID_PARAMS, "Invalid batch: empty calls array");
    }
    for (index, call) in calls.iter().enumerate() {
        if let Err(error) = app.backend.check_tool(&call.name, Some(index)) {
            return refuse(INVALID_PARAMS, &error.to_string());
        }
    }
    let judged: Vec<BatchCall<'_>> =
        calls.iter().map(|call| (&*call.name, Arguments::json(call.arguments.map(RawValue::get)))).collect();
    let too_deep = |error| refuse(INVALID_PARAMS, &format!("Invalid params: {error}"));
    let taken = match take_batch(app, caller, &judged).await {
        Ok(taken) => taken,
        Err(error) => return too_deep(error),
    };
    if let BatchVerdict::Denied { reason, index, .. } = &taken.decision.verdict {
        let total_credits_required = match app.gate.batch_price(&judged) {
            Ok(total) => total,
            Err(error) => return too_deep(error),
        };
        let told = payment_required(Some(&reason.to_string()));
        tell_batch_refusal(app, caller, &calls, PAYMENT_REQUIRED, &told);
        let remaining_credits = taken.decision.remaining.get();
        let data = BatchShortfall { failed_index: *index, total_credits_required, remaining_credits };
        return wire::error_with_data(message.id(), PAYMENT_REQUIRED, &told, &data).into();
    }
    let till = app.till();
    let work = calls.iter().map(|call| app.backend.call(call));
    let done = match till.carry_out_batch(taken.charges, work).await {
        Ok(done) => done,
        Err(error) => return refuse(INTERNAL_ERROR, &format!("ledger unavailable: {error}")),
    };
    let remaining = match taken.decision.verdict {
        BatchVerdict::Allowed => till.balance(caller.key),
        BatchVerdict::Shadowed(_) | BatchVerdict::Denied { .. } => taken.decision.remaining,
    };
    if let Some(listener) = &app.listener {
        listener.batch_called(&BatchCallEvent::new(&app.backend, caller.key, &done, remaining));
    }
    app.news.batch_called(&app.gate, caller.key, calls.iter().map(|call| &*call.name).zip(&done));
    wire::result(message.id(), &BatchAnswer::new(&calls, &done, remaining)).into()
}

/// Answers a batch that cannot be judged or done.
fn refuse_batch(
    app: &App,
    caller: &Caller<'_>,
    message: &Message<'_>,
    calls: &[ToolCall<'_>],
    code: i64,
    told: &str,
) -> Spliced {
    tell_batch_refusal(app, caller, calls, code, told);
    message.error(code, told)
}

fn tell_batch_refusal(app: &App, caller: &Caller<'_>, calls: &[ToolCall<'_>], code: i64, told: &str) {
    let failure = Failure { code: Some(code), message: told.into(), reason: None };
    app.news.batch_failed(&app.gate, caller.key, calls.iter().map(|call| &*call.name), &failure);
}
