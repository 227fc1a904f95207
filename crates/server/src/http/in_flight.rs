//! Counts requests that have not been answered, so that a drain knows when it is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Counts requests under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct InFlightCounter(Arc<Counter>);

#[derive(Debug, Default)]
struct Counter {
    count: AtomicUsize,
    /// Rung whenever nothing is left.
    none_left: Notify,
}

/// One request under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Counter>);

impl InFlightCounter {
    /// Counts a request from now until what is returned is dropped.
    pub(crate) fn enter(&self) -> InFlight {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        InFlight(self.0.clone())
    }

    /// The requests under way.
    pub(crate) fn count(&self) -> usize {
        self.0.count.load(Ordering::Acquire)
    }

    /// Waits until no request is under way.
    pub(crate) async fn none_left(&self) {
        loop {
            let rung = self.0.none_left.notified();
            tokio::pin!(rung);
            // Listens before it looks, so that the last request cannot end in between unheard.
            rung.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            rung.await;
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::Release) == 1 {
            self.0.none_left.notify_waiters();
        }
    }
}
