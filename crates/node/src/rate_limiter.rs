//! `RateLimiter`: rolling windows by name.

use std::sync::Arc;

use paygate_core::clock::Clock;
use paygate_core::limit::rate_limiter::RateLimiter;

use crate::call::{Call, Held, UNDEFINED, Value, slot};
use crate::host::HostClock;

/// A limiter as JavaScript holds it: its own, or the one of a gate's books.
pub(crate) struct LimiterHandle(pub(crate) Arc<RateLimiter>);

/// `limiterNew()`.
pub(crate) fn new(call: &Call<'_>) -> Value {
    call.hold(Held::Limiter(LimiterHandle(Arc::default())))
}

/// `limiterOf(store)`: the limiter of a store's keys.
pub(crate) fn of_store(call: &Call<'_>) -> Value {
    let limiter = call.store().books.ledger.limiter.clone();
    call.hold(Held::Limiter(LimiterHandle(limiter)))
}

/// `limiterCheck(limiter, name, limit)`: whether one more call is within the limit; `FIRST` and `SECOND` are what
/// remains and when the window moves on.
pub(crate) fn check(call: &Call<'_>) -> Value {
    let verdict = call.limiter().0.check(&call.given(1), call.number(2), HostClock.wall());
    call.set(slot::FIRST, verdict.remaining);
    call.set(slot::SECOND, verdict.resets_in_ms);
    if verdict.allowed { UNDEFINED } else { call.string(&verdict.reason()) }
}

/// `limiterRecord(limiter, name)`.
pub(crate) fn record(call: &Call<'_>) -> Value {
    call.limiter().0.record(&call.given(1), HostClock.wall());
    UNDEFINED
}

/// `limiterCount(limiter, name)`: calls in the window.
pub(crate) fn count(call: &Call<'_>) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "a minute holds far fewer calls than 2^53")]
    call.double(call.limiter().0.count(&call.given(1), HostClock.wall()) as f64)
}

/// `limiterSweep(limiter)`: forgets what is older than a minute.
pub(crate) fn sweep(call: &Call<'_>) -> Value {
    call.limiter().0.sweep(HostClock.wall());
    UNDEFINED
}
