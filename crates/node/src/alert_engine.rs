//! `AlertEngine`: rules over keys. The shell reads the record, live or plain, and keeps the rules of a script.
//!
//! The shared numbers from `LINES` on are what a check looks at: credits, credits spent, calls of the day and their
//! limit, calls of the month and their limit, the end of the key, and whether a rate limit refused.

use std::sync::Arc;

use paygate_core::key::record::prefix;
use paygate_core::usage::{Alert, AlertEngine, AlertFacts, AlertRule};
use serde_json::Value as Json;

use crate::call::{Call, UNDEFINED, Value, slot};
use crate::host::HostClock;

/// The engine of a script, or of a server.
pub(crate) struct AlertsHandle(pub(crate) Arc<AlertEngine>);

/// `alertsNew(types, numbers, dryRun)`: an engine for rules of these types; the numbers are threshold and cooldown
/// of each.
pub(crate) fn new(call: &Call<'_>) -> Value {
    let types: Vec<String> = call.json(0).expect("always given");
    let rules = call.with_numbers(1, |numbers| {
        let (numbers, _) = numbers.as_chunks::<2>();
        let rules = types.iter().zip(numbers);
        rules.map(|(name, [threshold, cooldown])| AlertRule::new(name, *threshold, *cooldown)).collect()
    });
    let dry_run = call.index(2) == 1;
    let engine = AlertEngine::new(rules.unwrap_or_default(), dry_run, Arc::new(HostClock));
    call.hold_any(AlertsHandle(Arc::new(engine)))
}

fn engine<'a>(call: &'a Call<'_>) -> &'a AlertEngine {
    &call.the::<AlertsHandle>().0
}

/// `alertsCheck(alerts, key, name, expiresAt)`: what fires, as `alertsConsume` tells it, or nothing.
pub(crate) fn check(call: &Call<'_>) -> Value {
    let (key, key_name, expires_at) = (call.given(1), call.given(2), call.given(3));
    let at = |index: usize| call.get(slot::LINES + index);
    let alerts = engine(call).check(&AlertFacts {
        key_prefix: prefix(&key),
        key_name: &key_name,
        credits: at(0),
        total_spent: at(1),
        daily_calls: (at(2), at(3)),
        monthly_calls: (at(4), at(5)),
        expiry: (&expires_at, at(6)),
        rate_limited: at(7) == 1.0,
    });
    told(call, &alerts)
}

/// Alerts as rows of number, place of the rule, and alert; nothing for none.
fn told(call: &Call<'_>, alerts: &[Alert]) -> Value {
    if alerts.is_empty() {
        return UNDEFINED;
    }
    call.json_text(&alerts.iter().map(|alert| (alert.number, alert.rule, alert)).collect::<Vec<_>>())
}

/// `alertsDenied(alerts, key)`: a rate limit refused a call of a key.
pub(crate) fn record_denial(call: &Call<'_>) -> Value {
    engine(call).record_rate_limit_denial(prefix(&call.given(1)));
    UNDEFINED
}

/// `alertsConsume(alerts)`: what waits, or nothing.
pub(crate) fn consume(call: &Call<'_>) -> Value {
    told(call, &engine(call).consume())
}

/// `alertsPending(alerts)`.
pub(crate) fn pending(call: &Call<'_>) -> Value {
    call.place(Some(engine(call).pending_count()))
}

/// `alertsClear(alerts)`.
pub(crate) fn clear(call: &Call<'_>) -> Value {
    engine(call).clear();
    UNDEFINED
}

/// `alertsRules(alerts)`: the rules as an operator wrote them.
pub(crate) fn rules(call: &Call<'_>) -> Value {
    let rules: Vec<&Json> = engine(call).rules().iter().map(AlertRule::given).collect();
    call.json_text(&rules)
}
