//! `QuotaTracker`: the arithmetic of quotas on the counters of any record, which the shell reads and writes.
//!
//! The shared numbers from `LINES` on are the four counters, then the four limits, then calls and credits.

use paygate_core::clock::Clock;
use paygate_core::limit::quota::{Quota, QuotaCounters, QuotaDemand};
use paygate_core::text::date::{Day, Month};

use crate::call::{Call, UNDEFINED, Value, slot};
use crate::host::HostClock;

const LIMITS: usize = slot::LINES + 4;
const CALLS: usize = slot::LINES + 8;
const CREDITS: usize = slot::LINES + 9;

fn counters(call: &Call<'_>) -> QuotaCounters {
    let at = |index: usize| call.get(slot::LINES + index);
    QuotaCounters {
        daily_calls: at(0),
        monthly_calls: at(1),
        daily_credits: at(2),
        monthly_credits: at(3),
        day: Day::from_text(&call.text(0).unwrap_or_default()),
        month: Month::from_text(&call.text(1).unwrap_or_default()),
    }
}

fn give_back(call: &Call<'_>, counters: &QuotaCounters) {
    let numbers =
        [counters.daily_calls, counters.monthly_calls, counters.daily_credits, counters.monthly_credits];
    for (index, number) in numbers.into_iter().enumerate() {
        call.set(slot::LINES + index, number);
    }
}

/// `quotaRoll(day, month)`: starts over what belongs to another day or month. Gives today's date when anything did;
/// `FIRST` is 1 when the day did, `SECOND` when the month did.
pub(crate) fn roll(call: &Call<'_>) -> Value {
    let mut counters = counters(call);
    let before = counters;
    if !counters.roll(HostClock.wall()) {
        return UNDEFINED;
    }
    call.set_flag(slot::FIRST, before.day != counters.day);
    call.set_flag(slot::SECOND, before.month != counters.month);
    give_back(call, &counters);
    call.string(Day::of(HostClock.wall().0).as_str())
}

/// `quotaCheck(day, month)`: why the demand does not fit, or nothing. Calls of NaN ask for a single call.
pub(crate) fn check(call: &Call<'_>) -> Value {
    let limit = |index: usize| call.get(LIMITS + index);
    let quota = Quota {
        daily_calls: limit(0),
        monthly_calls: limit(1),
        daily_credits: limit(2),
        monthly_credits: limit(3),
    };
    let calls = call.get(CALLS);
    let demand = if calls.is_nan() { QuotaDemand::Call } else { QuotaDemand::Batch(calls) };
    match counters(call).check(&quota, demand, call.get(CREDITS)) {
        Ok(()) => UNDEFINED,
        Err(exceeded) => call.string(&exceeded.to_string()),
    }
}

/// `quotaRecord(day, month)`: counts calls and credits. The counters must stand for today.
pub(crate) fn record(call: &Call<'_>) -> Value {
    let mut counters = counters(call);
    counters.record(HostClock.wall(), call.get(CALLS), call.get(CREDITS));
    give_back(call, &counters);
    UNDEFINED
}

/// `quotaUnrecord(day, month)`: takes one call and its credits back.
pub(crate) fn unrecord(call: &Call<'_>) -> Value {
    let mut counters = counters(call);
    counters.unrecord(call.get(CREDITS));
    give_back(call, &counters);
    UNDEFINED
}
