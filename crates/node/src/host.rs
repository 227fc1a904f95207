//! The clock as the script sees it.
//!
//! Each call from JavaScript brings its `Date.now()`, so that fake timers move rate windows, quotas and expiry as
//! they move everything else in a test. Threads that no script calls on go by the machine's clock.

use std::cell::Cell;
use std::time::Duration;

use paygate_core::clock::{Clock, SystemClock, Timestamp};

thread_local! {
    static NOW: Cell<Option<i64>> = const { Cell::new(None) };
}

/// Sets the script's time for the calls that follow on this thread.
#[inline]
pub(crate) fn set_now(milliseconds: f64) {
    #[expect(clippy::cast_possible_truncation, reason = "a date has no fraction and ends at 8.64e15 ms")]
    NOW.set(Some(milliseconds as i64));
}

/// Whether this is a thread that a script calls on.
pub(crate) fn is_script_thread() -> bool {
    NOW.get().is_some()
}

/// Tells the script's time on the script's thread, and the machine's on all others.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HostClock;

impl Clock for HostClock {
    #[inline]
    fn wall(&self) -> Timestamp {
        NOW.get().map_or_else(|| SystemClock.wall(), Timestamp)
    }

    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }
}
