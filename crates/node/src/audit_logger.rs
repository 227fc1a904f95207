//! `AuditLogger`: who did what. The shell makes each event's object once, keeps it by the event's number, and tells
//! what a script has changed in it.

use std::sync::Arc;
use std::time::Duration;

use paygate_core::clock::Timestamp;
use paygate_core::usage::audit::{
    AuditEdit, AuditEvent, AuditFilter, AuditLimits, AuditLog, Bound, Capacity, Paging, When,
};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::call::{Call, UNDEFINED, Value, slot};
use crate::host::HostClock;
use crate::key_store::present;

const SECONDS_PER_HOUR: f64 = 3600.0;

/// A log as JavaScript holds it: its own, or the one of a server.
pub(crate) struct AuditHandle(pub(crate) Arc<AuditLog>);

/// Which events are asked for. A bound is absent when there is none, and null when it is no date.
#[derive(Deserialize)]
struct GivenFilter {
    types: Vec<String>,
    actor: String,
    #[serde(default, deserialize_with = "present")]
    since: Option<Json>,
    #[serde(default, deserialize_with = "present")]
    until: Option<Json>,
}

/// What a script has made of an event.
#[derive(Deserialize)]
struct GivenEvent {
    timestamp: String,
    at: Option<i64>,
    #[serde(rename = "type")]
    kind: String,
    actor: String,
    message: String,
}

/// An event as the shell reads it: its number, and what is shown.
struct Row(Arc<AuditEvent>);

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (self.0.number, &*self.0).serialize(to)
    }
}

fn log_of<'a>(call: &'a Call<'_>) -> &'a AuditLog {
    &call.the::<AuditHandle>().0
}

fn bound(given: Option<Json>) -> Option<Bound> {
    given.map(|at| at.as_i64().map_or(Bound::Unreadable, |at| Bound::At(Timestamp(at))))
}

/// The filter that is the second argument, and the part of the list that the two after it ask for.
fn asked(call: &Call<'_>) -> (AuditFilter, Paging) {
    let GivenFilter { types, actor, since, until } = call.json(1).expect("always given");
    let types = types.into_iter().collect();
    let filter = AuditFilter { types, actor, since: bound(since), until: bound(until) };
    (filter, Paging { offset: Some(call.number(2)), limit: Some(call.number(3)) })
}

fn numbers(call: &Call<'_>, events: &[Arc<AuditEvent>]) -> Value {
    call.json_text(&events.iter().map(|event| event.number).collect::<Vec<_>>())
}

#[expect(clippy::cast_precision_loss, reason = "events are far fewer than 2^53")]
fn count(count: u64) -> f64 {
    count as f64
}

/// `auditNew(eventsMax, ageHoursMax)`: what is no limit in 2.9.0 is none here.
pub(crate) fn new(call: &Call<'_>) -> Value {
    let (events_max, hours) = (call.number(0), call.number(1));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates; below 0 is 0")]
    let capacity =
        if events_max.is_nan() || events_max.trunc() == 0.0 { None } else { Some(events_max as usize) };
    let age_max = if hours > 0.0 { Duration::try_from_secs_f64(hours * SECONDS_PER_HOUR).ok() } else { None };
    let limits = AuditLimits { capacity: Capacity::Shared(capacity), age_max };
    call.hold_any(AuditHandle(Arc::new(AuditLog::new(limits, Arc::new(HostClock)))))
}

/// `auditLog(audit, type, actor, message, metadata?)`: the timestamp of a new event. `FIRST` is its number, `SECOND`
/// its id, `THIRD` how many are kept.
pub(crate) fn log(call: &Call<'_>) -> Value {
    let log = log_of(call);
    let metadata: Option<Box<RawValue>> = call.json(4);
    let event = log.log(call.given(1), &call.given(2), call.given(3), &metadata);
    call.set(slot::FIRST, count(event.number));
    call.set(slot::SECOND, count(event.id));
    call.set(slot::THIRD, count(log.len() as u64));
    call.string(&event.when.text())
}

/// `auditEdit(audit, number, event, metadata?)`: whether the event is still kept.
pub(crate) fn edit(call: &Call<'_>) -> Value {
    let GivenEvent { timestamp, at, kind, actor, message } = call.json(2).expect("always given");
    let (when, metadata) = (When::written(timestamp, at.map(Timestamp)), call.json(3));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counted from 0, below 2^53")]
    let number = call.number(1) as u64;
    call.boolean(log_of(call).edit(number, AuditEdit { when, kind, actor, message, metadata }))
}

/// `auditQuery(audit, filter, offset, limit)`: the numbers of the events of a page. `FIRST` is how many were asked for
/// in all, `SECOND` and `THIRD` are offset and limit as they count.
pub(crate) fn query(call: &Call<'_>) -> Value {
    let (filter, paging) = asked(call);
    let page = log_of(call).query(&filter, paging);
    call.set(slot::FIRST, count(page.total as u64));
    call.set(slot::SECOND, page.offset);
    call.set(slot::THIRD, page.limit);
    numbers(call, &page.events)
}

/// `auditAll(audit)`: the numbers of all events, oldest first.
pub(crate) fn all(call: &Call<'_>) -> Value {
    numbers(call, &log_of(call).events())
}

/// `auditShow(audit, numbers)`: pairs of number and event, of those that are still kept.
pub(crate) fn show(call: &Call<'_>) -> Value {
    let numbers: Vec<u64> = call.json(1).expect("always given");
    let rows: Vec<_> = log_of(call).find(&numbers).into_iter().map(Row).collect();
    call.json_text(&rows)
}

/// `auditCsv(audit, filter, offset, limit)`.
pub(crate) fn csv(call: &Call<'_>) -> Value {
    let (filter, paging) = asked(call);
    call.string(&log_of(call).csv(&filter, paging))
}

/// `auditStats(audit)`.
pub(crate) fn stats(call: &Call<'_>) -> Value {
    call.json_text(&log_of(call).stats())
}

/// `auditSize(audit)`.
pub(crate) fn size(call: &Call<'_>) -> Value {
    call.place(Some(log_of(call).len()))
}

/// `auditRetain(audit)`: how many events were too old.
pub(crate) fn enforce_retention(call: &Call<'_>) -> Value {
    call.place(Some(log_of(call).enforce_retention()))
}

/// `auditClear(audit)`.
pub(crate) fn clear(call: &Call<'_>) -> Value {
    log_of(call).clear();
    UNDEFINED
}
