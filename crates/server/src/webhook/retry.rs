//! When a failed delivery is tried again.

use std::time::Duration;

use paygate_core::entropy::Entropy;

use super::delivery::Delivery;

/// The part of a pause that is left to chance, so that many deliveries that failed together do not come back together.
const JITTER: f64 = 0.1;

/// Deliveries that wait for their next attempt.
#[derive(Debug, Default)]
pub(super) struct RetryQueue {
    waiting: Vec<(Duration, Delivery)>,
}

impl RetryQueue {
    /// Puts off a delivery until a moment of the monotonic clock.
    pub(super) fn push(&mut self, due: Duration, delivery: Delivery) {
        self.waiting.push((due, delivery));
    }

    /// Takes what is due, in the order in which it failed.
    pub(super) fn take_due(&mut self, now: Duration) -> Vec<Delivery> {
        let due = self.waiting.extract_if(.., |(due, _)| *due <= now);
        due.map(|(_, delivery)| delivery).collect()
    }

    /// How many deliveries wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

/// The pause after a failed attempt, the first being 0: twice as long each time, and up to a tenth shorter.
pub(super) fn pause_after(attempt: u32, base: Duration, entropy: &dyn Entropy) -> Duration {
    let mut bytes = [0; 4];
    entropy.fill(&mut bytes);
    let chance = f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX);
    let factor = 2_f64.powf(f64::from(attempt)) * (1.0 - JITTER * chance);
    Duration::try_from_secs_f64(base.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use paygate_core::clock::Timestamp;
    use paygate_core::entropy::SeededEntropy;

    use super::*;

    #[test]
    fn each_pause_is_twice_the_last_and_at_most_a_tenth_shorter() {
        let entropy = SeededEntropy::new(1);
        for attempt in 0..20 {
            for _ in 0..50 {
                let pause = pause_after(attempt, Duration::from_secs(1), &entropy).as_secs_f64();
                let whole = f64::from(1_u32 << attempt);
                assert!(pause <= whole && pause >= 0.9 * whole, "{pause} after attempt {attempt}");
            }
        }
    }

    #[test]
    fn pauses_are_spread() {
        let entropy = SeededEntropy::new(1);
        let pause = || pause_after(3, Duration::from_secs(1), &entropy);
        assert_ne!(pause(), pause());
    }

    #[test]
    fn a_pause_that_no_clock_can_measure_never_ends() {
        let entropy = SeededEntropy::new(1);
        assert_eq!(pause_after(u32::MAX, Duration::from_secs(1), &entropy), Duration::MAX);
        assert_eq!(pause_after(u32::MAX, Duration::ZERO, &entropy), Duration::MAX);
    }

    #[test]
    fn what_is_due_comes_in_the_order_in_which_it_failed() {
        let delivery = |id: &str| Delivery::new(id.into(), Vec::new(), Timestamp(0));
        let mut queue = RetryQueue::default();
        for (id, due) in [("a", 5), ("b", 9), ("c", 4)] {
            queue.push(Duration::from_secs(due), delivery(id));
        }
        let ids = |due: Vec<Delivery>| due.into_iter().map(|delivery| delivery.id).collect::<Vec<_>>();
        assert_eq!(ids(queue.take_due(Duration::from_secs(5))), ["a".into(), "c".into()]);
        assert_eq!(queue.len(), 1);
        assert!(queue.take_due(Duration::from_secs(8)).is_empty());
    }
}
