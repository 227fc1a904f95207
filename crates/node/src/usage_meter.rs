//! `UsageMeter`: the latest events. The shell makes each event's object once and keeps it by the event's number.

use std::sync::Arc;

use paygate_core::usage::{ForeignEvent, Kept, Row, UsageEvent, UsageMeter, UsageSummary};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::call::{Call, Held, UNDEFINED, Value, slot};

/// A meter as JavaScript holds it: its own, or the one of a gate.
pub(crate) struct MeterHandle(pub(crate) Arc<UsageMeter>);

/// An event that a script made, as far as sums need it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenEvent {
    timestamp: Box<str>,
    api_key: Box<str>,
    key_name: Box<str>,
    tool: Box<str>,
    /// Null for what is not finite.
    credits_charged: Option<f64>,
    allowed: bool,
    deny_reason: Option<Box<str>>,
    namespace: Option<Box<str>>,
}

/// `meterNew(eventsMax)`.
pub(crate) fn new(call: &Call<'_>) -> Value {
    call.hold(Held::Meter(MeterHandle(Arc::new(UsageMeter::new(call.number(0))))))
}

/// `meterRecord(meter, event)`.
pub(crate) fn record(call: &Call<'_>) -> Value {
    let event: GivenEvent = call.json(1).expect("always given");
    call.meter().0.record(ForeignEvent {
        timestamp: event.timestamp,
        api_key: event.api_key,
        key_name: event.key_name,
        tool: event.tool,
        credits: event.credits_charged.unwrap_or(f64::NAN),
        allowed: event.allowed,
        reason: event.deny_reason,
        namespace: event.namespace,
    });
    UNDEFINED
}

/// An event as the shell reads it: a row of values.
pub(crate) fn event_row(event: &UsageEvent) -> impl Serialize {
    let UsageEvent { at, tool, credits, allowed, reason, .. } = event;
    (at.0, event.api_key(), event.key_name(), &**tool, credits, allowed, reason.as_deref(), event.namespace())
}

/// Numbers of an event as the shell reads them: time, credits, whether the call was let through, and the places of its
/// texts. lib/usage-meter.js has the same.
const NUMBERS: usize = 3 + TEXTS;
/// Texts of an event: key, the key's name, tool, reason, tenant.
const TEXTS: usize = 5;
/// The place of a text that there is not.
const NO_TEXT: f64 = -1.0;
/// What stands for whether the call was let through in an event that a script made, which has it.
const FOREIGN: f64 = -1.0;

/// The texts of some events. One that is the same as in the event before is there once.
#[derive(Default)]
struct Texts<'a> {
    all: Vec<&'a str>,
    latest: [Option<usize>; TEXTS],
}

impl<'a> Texts<'a> {
    fn place(&mut self, column: usize, text: Option<&'a str>) -> f64 {
        let Some(text) = text else { return NO_TEXT };
        let known = self.latest[column].filter(|at| self.all[*at] == text);
        let at = known.unwrap_or_else(|| {
            self.all.push(text);
            self.all.len() - 1
        });
        self.latest[column] = Some(at);
        count_of(at)
    }

    /// Puts an event down as numbers.
    fn put(&mut self, event: &'a Kept, numbers: &mut [f64]) {
        let Kept::Own(event) = event else {
            numbers[2] = FOREIGN;
            return;
        };
        let texts = [
            Some(event.api_key()),
            Some(event.key_name()),
            Some(&*event.tool),
            event.reason.as_deref(),
            event.namespace(),
        ];
        #[expect(clippy::cast_precision_loss, reason = "dates and credits are below 2^53")]
        let (at, credits) = (event.at.0 as f64, event.credits as f64);
        numbers[..3].copy_from_slice(&[at, credits, f64::from(u8::from(event.allowed))]);
        for (column, text) in texts.into_iter().enumerate() {
            numbers[3 + column] = self.place(column, text);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "what is in memory is far less than 2^53")]
fn count_of(count: usize) -> f64 {
    count as f64
}

/// `meterRead(meter, number, numbers)`: puts down events from a number on, as many as there is room for. `FIRST` is
/// the number of the oldest that is kept, `SECOND` how many were put down; the answer are their texts, if there are any.
pub(crate) fn read(call: &Call<'_>) -> Value {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "events are counted from 0 and are far fewer than 2^53"
    )]
    let number = call.number(1) as u64;
    let read = call.with_numbers(2, |numbers| {
        let (first, events) = call.meter().0.events_from(number, numbers.len() / NUMBERS);
        let mut texts = Texts::default();
        for (numbers, event) in numbers.chunks_exact_mut(NUMBERS).zip(&events) {
            texts.put(event, numbers);
        }
        #[expect(clippy::cast_precision_loss, reason = "events are far fewer than 2^53")]
        call.set(slot::FIRST, first as f64);
        call.set(slot::SECOND, count_of(events.len()));
        if texts.all.is_empty() { UNDEFINED } else { call.json_text(&texts.all) }
    });
    read.expect("the shell passes room")
}

/// `meterCount(meter)`.
pub(crate) fn count(call: &Call<'_>) -> Value {
    call.place(Some(call.meter().0.len()))
}

/// `meterClear(meter)`.
pub(crate) fn clear(call: &Call<'_>) -> Value {
    call.meter().0.clear();
    UNDEFINED
}

/// `meterSummary(meter, since?, namespace?)`.
pub(crate) fn summary(call: &Call<'_>) -> Value {
    let (since, namespace) = (call.text(1), call.text(2));
    let UsageSummary { total_calls, total_credits_spent, total_denied, per_tool, per_key, deny_reasons } =
        call.meter().0.summary(since.as_deref(), namespace.as_deref());
    let rows = |rows: Vec<(Box<str>, Row)>| -> Json {
        let shown = |row: Row| json!({"calls": row.calls, "credits": row.credits, "denied": row.denied});
        rows.into_iter().map(|(name, row)| (name.into(), shown(row))).collect::<Map<_, _>>().into()
    };
    let reasons = deny_reasons.into_iter().map(|(reason, count)| (reason.into(), count.into()));
    call.json_text(&json!({
        "totalCalls": total_calls,
        "totalCreditsSpent": total_credits_spent,
        "totalDenied": total_denied,
        "perTool": rows(per_tool.into_iter().collect()),
        "perKey": rows(per_key.into_iter().collect()),
        "denyReasons": reasons.collect::<Map<_, _>>(),
    }))
}
