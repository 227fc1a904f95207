//! Calls in the last sixty seconds.

use std::collections::VecDeque;

use crate::clock::Timestamp;

/// The length of a window in milliseconds.
pub const WINDOW_MS: i64 = 60_000;

/// An exact sliding window: how many calls are strictly younger than a minute.
///
/// Calls made in the same millisecond share one pair, so a window holds at most 60,000 pairs whatever the limit,
/// and taking, counting and forgetting are O(1) amortised.
#[derive(Debug, Clone, Default)]
pub struct RateWindow {
    runs: VecDeque<Run>,
    calls: u64,
    /// Whether the clock went back between two calls, so that the oldest run need not be the first.
    disordered: bool,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    at: i64,
    calls: u64,
}

impl RateWindow {
    /// Counts a call.
    pub fn take(&mut self, now: Timestamp) {
        self.take_many(now, 1);
    }

    /// Counts several calls made at once.
    pub fn take_many(&mut self, now: Timestamp, calls: u64) {
        if calls == 0 {
            return;
        }
        self.forget_old(now);
        self.calls += calls;
        match self.runs.back_mut() {
            Some(last) if last.at == now.0 => last.calls += calls,
            last => {
                self.disordered |= last.is_some_and(|last| last.at > now.0);
                self.runs.push_back(Run { at: now.0, calls });
            }
        }
    }

    /// The number of calls in the window.
    pub fn count(&mut self, now: Timestamp) -> u64 {
        self.forget_old(now);
        self.calls
    }

    /// Milliseconds until the oldest call leaves the window; `None` when it is empty. Call after [`Self::count`].
    pub fn resets_in_ms(&self, now: Timestamp) -> Option<i64> {
        self.runs.front().map(|oldest| oldest.at + WINDOW_MS - now.0)
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    fn forget_old(&mut self, now: Timestamp) {
        let counts = |run: &Run| now.0 - run.at < WINDOW_MS;
        if self.disordered {
            self.runs.retain(counts);
            self.calls = self.runs.iter().map(|run| run.calls).sum();
            self.disordered = !self.runs.iter().is_sorted_by_key(|run| run.at);
            return;
        }
        while let Some(oldest) = self.runs.front()
            && !counts(oldest)
        {
            self.calls -= oldest.calls;
            self.runs.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_counts_until_it_is_exactly_a_minute_old() {
        let mut window = RateWindow::default();
        window.take(Timestamp(1_000));
        assert_eq!(window.count(Timestamp(60_999)), 1);
        assert_eq!(window.resets_in_ms(Timestamp(60_999)), Some(1));
        assert_eq!(window.count(Timestamp(61_000)), 0);
        assert!(window.is_empty());
    }

    #[test]
    fn calls_of_one_millisecond_share_a_run() {
        let mut window = RateWindow::default();
        for _ in 0..1_000_000 {
            window.take(Timestamp(5));
        }
        assert_eq!((window.runs.len(), window.count(Timestamp(5))), (1, 1_000_000));
    }

    proptest::proptest! {
        #[test]
        fn counts_like_a_list_of_every_call(steps in proptest::collection::vec((-5_000_i64..40_000, 0_u64..3), 1..200)) {
            let (mut window, mut list, mut now) = (RateWindow::default(), Vec::new(), 1_000_000);
            for (step, calls) in steps {
                now += step;
                window.take_many(Timestamp(now), calls);
                // The list forgets at the same moments as the window, as the clock may go back.
                if calls > 0 { list.retain(|at| now - at < WINDOW_MS); }
                list.extend((0..calls).map(|_| now));
                list.retain(|at| now - at < WINDOW_MS);
                proptest::prop_assert_eq!(window.count(Timestamp(now)), list.len() as u64);
                proptest::prop_assert_eq!(window.resets_in_ms(Timestamp(now)), list.first().map(|at| at + WINDOW_MS - now));
            }
        }
    }
}
