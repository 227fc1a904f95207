//! `UsageMeter`: the latest events. The shell makes each event's object once and keeps it by the event's number.

use std::sync::Arc;

use paygate_core::usage::{ForeignEvent, Kept, Row, UsageEvent, UsageMeter, UsageSummary};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};
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

/// Events as the shell reads them: rows, and null for one that a script made.
struct EventRows<'a>(&'a [Kept]);

impl Serialize for EventRows<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut rows = to.serialize_seq(Some(self.0.len()))?;
        for event in self.0 {
            match event {
                Kept::Own(event) => rows.serialize_element(&event_row(event))?,
                Kept::Foreign(_) => rows.serialize_element(&())?,
            }
        }
        rows.end()
    }
}

/// `meterEvents(meter, number)`: events from a number on; `FIRST` is the number of the oldest that is kept.
pub(crate) fn events(call: &Call<'_>) -> Value {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "events are counted from 0 and are far fewer than 2^53"
    )]
    let (first, events) = {
        let (first, events) = call.meter().0.events_from(call.number(1) as u64);
        (first as f64, events)
    };
    call.set(slot::FIRST, first);
    if events.is_empty() { UNDEFINED } else { call.json_text(&EventRows(&events)) }
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
