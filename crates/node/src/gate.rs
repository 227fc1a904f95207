//! `Gate`: the decisions. `evaluate` and `evaluateBatch` are the hot path of the package.

use std::sync::Arc;

use paygate_core::config::GateConfig;
use paygate_core::credits::Credits;
use paygate_core::gate::{
    Arguments, BatchCall, BatchDecision, BatchVerdict, CallRequest, Decision, Gate, GateParts, Judgement,
    PriceList, ToolTerms, Verdict,
};
use paygate_core::ledger::RefundPolicy;
use paygate_core::limit::quota::Quota;
use paygate_core::usage::{EventSink, UsageMeter};
use paygate_server::history;
use paygate_server::webhook::WebhookEmitter;
use serde::Deserialize;

use crate::call::{Arena, Call, Held, UNDEFINED, Value, slot};
use crate::hooks::Hooks;
use crate::key_store::StoreHandle;
use crate::open_call::OpenCall;
use crate::usage_meter::MeterHandle;
use crate::webhook_emitter::{GivenWebhook, WebhookHandle};

/// A gate as JavaScript holds it.
pub(crate) struct GateHandle {
    pub(crate) gate: Arc<Gate>,
    pub(crate) store: Arc<StoreHandle>,
    /// The script's say in decisions on other threads.
    pub(crate) hooks: Arc<Hooks>,
    /// Hears of every decision, if the configuration names a receiver.
    pub(crate) webhook: Option<Arc<WebhookEmitter>>,
}

impl GateHandle {
    /// Notes that a decision may have taken credits.
    #[inline]
    fn charged(&self, call: &Call<'_>) {
        self.store.books.charged();
        self.store.books.announce(call);
    }
}

/// The configuration, as the shell has checked it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenConfig {
    default_credits_per_call: u64,
    tools: Vec<GivenTool>,
    /// Null for what is not a number.
    global_rate_limit: Option<f64>,
    global_quota: Option<[Option<f64>; 4]>,
    shadow_mode: bool,
    refund_on_failure: bool,
    refund_on_tool_error: bool,
    batch_calls_max: usize,
    batch_rate_per_call: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenTool {
    name: Box<str>,
    credits_per_call: u64,
    calls_per_minute: f64,
    credits_per_kb: f64,
}

impl GivenConfig {
    fn valid(self) -> GateConfig {
        let credits = |number| Credits::new(number).expect("the shell checks prices");
        let tools = self.tools.into_iter().map(|tool| ToolTerms {
            name: tool.name.into(),
            credits_per_call: credits(tool.credits_per_call),
            calls_per_minute: tool.calls_per_minute,
            credits_per_kb: tool.credits_per_kb,
        });
        GateConfig {
            prices: PriceList::new(credits(self.default_credits_per_call), tools),
            global_rate_limit: self.global_rate_limit.unwrap_or(f64::NAN),
            global_quota: self.global_quota.map(|limits| {
                let [daily_calls, monthly_calls, daily_credits, monthly_credits] =
                    limits.map(|limit| limit.unwrap_or(f64::NAN));
                Quota { daily_calls, monthly_calls, daily_credits, monthly_credits }
            }),
            shadow_mode: self.shadow_mode,
            refunds: RefundPolicy {
                on_failure: self.refund_on_failure,
                on_tool_error: self.refund_on_tool_error,
            },
            batch_calls_max: self.batch_calls_max,
            batch_rate_per_call: self.batch_rate_per_call,
        }
    }
}

/// `gateNew(store, config, served, webhook?)`: a gate; a server that runs in this process may use it when `served` is 1.
pub(crate) fn new(call: &Call<'_>) -> Value {
    let store = call.store().clone();
    let hooks = Arc::<Hooks>::default();
    let mut sinks: Vec<Arc<dyn EventSink>> = Vec::new();
    if call.index(2) == 1 {
        sinks.push(hooks.clone());
        sinks.extend(history::usage_sink(&store.books.file));
    }
    let webhook = call.json::<GivenWebhook>(3).map(|given| Arc::new(given.emitter()));
    sinks.extend(webhook.clone().map(|webhook| webhook as Arc<dyn EventSink>));
    let config = call.json::<GivenConfig>(1).expect("always given").valid();
    let gate = Gate::new(
        config,
        GateParts {
            ledger: store.books.ledger.clone(),
            meter: Arc::new(UsageMeter::new(UsageMeter::EVENTS_MAX)),
            sinks,
        },
    );
    gate.settle_left_open(store.books.left_open());
    call.hold(Held::Gate(GateHandle { gate: Arc::new(gate), store, hooks, webhook }.into()))
}

/// `gateMeter(gate)`: the gate's meter.
pub(crate) fn meter(call: &Call<'_>) -> Value {
    call.hold(Held::Meter(MeterHandle(call.gate().gate.meter().clone())))
}

/// `gateWebhook(gate)`: the gate's emitter, if it has one.
pub(crate) fn webhook(call: &Call<'_>) -> Value {
    match &call.gate().webhook {
        Some(webhook) => call.hold_any(WebhookHandle(webhook.clone())),
        None => UNDEFINED,
    }
}

/// `gateConfigure(gate, config)`: goes by another configuration from now on.
pub(crate) fn configure(call: &Call<'_>) -> Value {
    call.gate().gate.set_config(call.json::<GivenConfig>(1).expect("always given").valid());
    UNDEFINED
}

/// `gateEvaluator(gate)`: the function behind [`evaluate`].
pub(crate) fn evaluator(call: &Call<'_>) -> Value {
    call.bound(evaluate, call.gate().clone())
}

/// `gateBatchEvaluator(gate)`: the function behind [`evaluate_batch`].
pub(crate) fn batch_evaluator(call: &Call<'_>) -> Value {
    call.bound_batch(evaluate_batch, call.gate().clone())
}

/// `gateCharger(gate)`: the function behind [`charge`].
pub(crate) fn charger(call: &Call<'_>) -> Value {
    call.bound(charge, call.gate().clone())
}

/// `gateBatchCharger(gate)`: the function behind [`charge_batch`].
pub(crate) fn batch_charger(call: &Call<'_>) -> Value {
    call.bound(charge_batch, call.gate().clone())
}

/// How the arguments of a call count: the shell has measured them, where their size matters.
fn arguments(bytes: f64) -> Arguments<'static> {
    if bytes >= 0.0 { Arguments::Bytes(bytes) } else { Arguments::None }
}

/// The price of arguments that were measured cannot fail: only the walk over JSON text can.
const MEASURED: &str = "arguments that are measured are not walked";

/// `(key, tool, address?)`: decides one call. `KIND` is 1 when it may go on, `FIRST` and `SECOND` are what was taken
/// and the balance; the answer is the reason, if there is one.
fn evaluate(call: &Call<'_>) -> Value {
    let arena = Arena::<512>::new();
    let handle = call.gate();
    let request = request(call, &arena, 0);
    let decision = handle.gate.evaluate(&request).expect(MEASURED);
    handle.charged(call);
    answer(call, &decision)
}

/// `(open, key, tool, address?)`: as [`evaluate`], but what is taken is kept in the open call until that has ended.
fn charge(call: &Call<'_>) -> Value {
    let arena = Arena::<512>::new();
    let handle = call.gate();
    let taken = handle.gate.charge(&request(call, &arena, 1)).expect(MEASURED);
    call.the::<Arc<OpenCall>>().keep(handle.clone(), taken.charge.into_iter().collect());
    handle.charged(call);
    answer(call, &taken.decision)
}

#[inline(always)]
fn request<'a, const BYTES: usize>(call: &Call<'_>, arena: &'a Arena<BYTES>, at: usize) -> CallRequest<'a> {
    CallRequest {
        key: arena.read(call, at),
        tool: arena.read(call, at + 1).unwrap_or_default(),
        arguments: arguments(call.get(slot::BYTES)),
        address: if call.count() > at + 2 { arena.read(call, at + 2) } else { None },
    }
}

#[inline(always)]
fn answer(call: &Call<'_>, decision: &Decision) -> Value {
    call.set(slot::FIRST, decision.charged.as_f64());
    call.set(slot::SECOND, decision.remaining.as_f64());
    if matches!(decision.verdict, Verdict::Allowed) {
        call.set(slot::KIND, 1.0);
        return UNDEFINED;
    }
    call.set_flag(slot::KIND, decision.allowed());
    call.optional(decision.reason())
}

/// `gateJudge(gate, key, tool, address?)`: whether all checks pass; `FIRST` is the price.
pub(crate) fn judge(call: &Call<'_>) -> Value {
    let arena = Arena::<512>::new();
    match call.gate().gate.judge(&request(call, &arena, 1)).expect(MEASURED) {
        Judgement::Passes(price) => {
            call.set(slot::FIRST, price.as_f64());
            call.boolean(true)
        }
        Judgement::Fails => call.boolean(false),
    }
}

/// `gateRefuse(gate, key, tool, reason?)`: refuses a call for its team; answers as [`evaluate`].
pub(crate) fn refuse(call: &Call<'_>) -> Value {
    let (key, tool, reason) = (call.text(1), call.given(2), call.text(3));
    let request = CallRequest { key: key.as_deref(), tool: &tool, arguments: Arguments::None, address: None };
    answer(call, &call.gate().gate.refuse_for_team(&request, reason.as_deref()))
}

/// Kinds of answers to a batch, in `KIND`.
mod kind {
    /// All calls are paid for.
    pub(super) const ALLOWED: f64 = 0.0;
    /// The answer is the reason; `FIRST` is the call, `THIRD` is 1 when it is the whole batch's.
    pub(super) const DENIED: f64 = 1.0;
    /// All calls go on, but some unpaid: the answer is a list with the reason of each.
    pub(super) const PARTLY: f64 = 2.0;
    /// All calls go on unpaid; the answer is the reason.
    pub(super) const SHADOWED: f64 = 3.0;
}

/// `(key, address?, ...tools)`: decides a batch of at most 128 calls. Unless `BYTES` is below 0, the
/// sizes of the arguments lie from `LINES` on; what was taken for each call is put there.
fn evaluate_batch(call: &Call<'_>) -> Value {
    let arena = Arena::<4096>::new();
    let handle = call.gate();
    let (key, address) = (arena.read(call, 0), arena.read(call, 1));
    let count = call.count() - 2;
    let measured = call.get(slot::BYTES) >= 0.0;
    let line = |index| -> BatchCall<'_> {
        let tool = arena.read(call, index + 2).unwrap_or_default();
        (tool, if measured { arguments(call.get(slot::LINES + index)) } else { Arguments::None })
    };
    let calls: Vec<_> = (0..count).map(line).collect();
    let decision = handle.gate.evaluate_batch(key, &calls, address).expect(MEASURED);
    handle.charged(call);
    for (index, line) in decision.lines.iter().enumerate() {
        call.set(slot::LINES + index, line.charged.as_f64());
    }
    batch_answer(call, &decision)
}

/// `gateBatch(gate, key, address, tools, sizes)`: as [`evaluate_batch`], for a batch of any length. The sizes come in
/// an array, where what was taken for each call is put.
pub(crate) fn long_batch(call: &Call<'_>) -> Value {
    let decision = with_batch(call, |key, calls, address| {
        let handle = call.gate();
        let decision = handle.gate.evaluate_batch(key, calls, address).expect(MEASURED);
        handle.charged(call);
        decision
    });
    give_lines(call, &decision);
    batch_answer(call, &decision)
}

/// `(open, key, address, tools, sizes)`: as [`long_batch`], but what is taken is kept in the open call until that has
/// ended.
fn charge_batch(call: &Call<'_>) -> Value {
    let handle = call.gate();
    let taken = with_batch(call, |key, calls, address| {
        handle.gate.charge_batch(key, calls, address).expect(MEASURED)
    });
    call.the::<Arc<OpenCall>>().keep(handle.clone(), taken.charges);
    handle.charged(call);
    give_lines(call, &taken.decision);
    batch_answer(call, &taken.decision)
}

/// Puts down what was taken for each call.
fn give_lines(call: &Call<'_>, decision: &BatchDecision) {
    call.with_numbers(4, |numbers| {
        for (number, line) in numbers.iter_mut().zip(&decision.lines) {
            *number = line.charged.as_f64();
        }
    });
}

/// `gateJudgeBatch(gate, key, address, tools, sizes)`: the total when all checks pass, else −1.
pub(crate) fn judge_batch(call: &Call<'_>) -> Value {
    let judged = with_batch(call, |key, calls, address| {
        call.gate().gate.judge_batch(key, calls, address).expect(MEASURED)
    });
    #[expect(clippy::cast_precision_loss, reason = "a total that passed is within a balance")]
    call.double(judged.map_or(-1.0, |total| total as f64))
}

fn with_batch<T>(call: &Call<'_>, act: impl FnOnce(Option<&str>, &[BatchCall<'_>], Option<&str>) -> T) -> T {
    let (key, address) = (call.text(1), call.text(2));
    let tools: Vec<String> = call.json(3).expect("always given");
    let sizes = call.with_numbers(4, |numbers| numbers.to_vec()).unwrap_or_default();
    let calls: Vec<BatchCall<'_>> =
        tools.iter().zip(sizes).map(|(tool, bytes)| (tool.as_str(), arguments(bytes))).collect();
    act(key.as_deref(), &calls, address.as_deref())
}

/// `gateRefuseBatch(gate, key, reason?)`: refuses a batch for its team; answers as [`evaluate_batch`].
pub(crate) fn refuse_batch(call: &Call<'_>) -> Value {
    let (key, reason) = (call.text(1), call.text(2));
    batch_answer(call, &call.gate().gate.refuse_batch_for_team(key.as_deref(), reason.as_deref()))
}

fn batch_answer(call: &Call<'_>, decision: &BatchDecision) -> Value {
    call.set(slot::FIRST, decision.total.as_f64());
    call.set(slot::SECOND, decision.remaining.as_f64());
    match &decision.verdict {
        BatchVerdict::Allowed if decision.lines.iter().any(|line| line.shadowed.is_some()) => {
            call.set(slot::KIND, kind::PARTLY);
            let reasons = decision.lines.iter().map(|line| line.shadowed.as_deref().map(shadow_text));
            call.json_text(&reasons.collect::<Vec<_>>())
        }
        BatchVerdict::Allowed => {
            call.set(slot::KIND, kind::ALLOWED);
            UNDEFINED
        }
        BatchVerdict::Denied { reason, index, whole } => {
            call.set(slot::KIND, kind::DENIED);
            #[expect(clippy::cast_precision_loss, reason = "a batch holds far fewer calls than 2^53")]
            call.set(slot::FIRST, *index as f64);
            call.set_flag(slot::THIRD, *whole);
            match reason {
                paygate_core::gate::DenyReason::Team(None) => UNDEFINED,
                reason => call.string(&reason.to_string()),
            }
        }
        BatchVerdict::Shadowed(reason) => {
            call.set(slot::KIND, kind::SHADOWED);
            call.string(&shadow_text(reason))
        }
    }
}

fn shadow_text(reason: &paygate_core::gate::DenyReason) -> String {
    format!("shadow:{}", reason.event_text())
}

/// `gateRefund(gate, key, tool, credits)`: gives credits back that no charge is named for.
pub(crate) fn refund(call: &Call<'_>) -> Value {
    let handle = call.gate();
    let credits = Credits::exact(call.number(3)).expect("the shell checks the amount");
    handle.gate.refund(&call.given(1), &call.given(2), credits);
    handle.store.books.changed();
    handle.store.books.announce(call);
    UNDEFINED
}

/// `gatePrice(gate, tool)`: the price of one call, whose arguments' size is in `BYTES`.
pub(crate) fn price(call: &Call<'_>) -> Value {
    let config = call.gate().gate.config();
    let price = config.prices.price(&call.given(1), arguments(call.get(slot::BYTES))).expect(MEASURED);
    call.double(price.as_f64())
}

/// `gateFilters(gate, key)`: whether lists of tools are filtered for the key.
pub(crate) fn filters(call: &Call<'_>) -> Value {
    call.boolean(call.gate().gate.filters_tools(call.text(1).as_deref()))
}

/// `gateVisible(gate, key, tool)`: whether the key may see the tool.
pub(crate) fn visible(call: &Call<'_>) -> Value {
    call.boolean(call.gate().gate.tool_visible(call.text(1).as_deref(), &call.given(2)))
}
