//! Notices keys that pass their end, and tells the receiver of webhooks.

use std::collections::HashSet;
use std::sync::Weak;
use std::time::Duration;

use paygate_core::clock::Timestamp;
use paygate_core::ledger::Ledger;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::app::App;

/// The pause between two looks at all keys, at least.
const EVERY: Duration = Duration::from_secs(1);
/// The pause is so many times what a look took: with a million keys it takes a while.
const PAUSE_FACTOR: u32 = 50;

/// Keys that are past their end, by the places of their accounts.
#[derive(Default)]
struct Expired(HashSet<usize>);

impl Expired {
    /// Looks at all keys and gives those that have passed their end since the last look. A key whose end is moved to a
    /// later day may pass it again.
    fn look(&mut self, ledger: &Ledger, now: Timestamp) -> Vec<usize> {
        let mut passed = Vec::new();
        for account in ledger.accounts.all() {
            let (place, record) = (account.place(), account.lock());
            if record.expired(now) && record.active {
                if self.0.insert(place) {
                    passed.push(place);
                }
            } else if !self.0.is_empty() {
                self.0.remove(&place);
            }
        }
        passed
    }
}

/// Tells of each key that passes its end, once, as long as the server lives. What had expired before the start is
/// not told of.
pub(crate) async fn watch(app: Weak<App>) {
    let mut expired = Expired::default();
    let mut first = true;
    loop {
        let Some(app) = app.upgrade() else { return };
        let begun = app.uptime();
        let looked = spawn_blocking(move || {
            let ledger = app.ledger();
            let passed = expired.look(ledger, ledger.now());
            for account in passed.into_iter().filter(|_| !first).filter_map(|at| ledger.accounts.at(at)) {
                app.news.key_expired(&account.lock());
            }
            (expired, app.uptime().saturating_sub(begun))
        });
        let took;
        (expired, took) = looked.await.expect("looking at keys cannot panic");
        first = false;
        sleep(EVERY.max(took * PAUSE_FACTOR)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use paygate_core::clock::{Clock, ManualClock};
    use paygate_core::credits::Credits;
    use paygate_core::entropy::SeededEntropy;
    use paygate_core::journal::MemoryJournal;
    use paygate_core::key::record::Expiry;
    use paygate_core::ledger::{KeyOptions, LedgerParts};

    use super::*;

    #[test]
    fn a_key_passes_its_end_once_and_again_when_that_was_moved() {
        let clock = Arc::new(ManualClock::at(Timestamp(1_773_480_413_589)));
        let entropy = Arc::new(SeededEntropy::new(7));
        let journal = Arc::new(MemoryJournal::default());
        let ledger = Ledger::new(LedgerParts { clock: clock.clone(), entropy, journal });
        let in_seconds = |seconds: i64| Timestamp(clock.wall().0 + seconds * 1000).to_string();
        let open = |key: &str, seconds| {
            let expiry = Expiry::new(&in_seconds(seconds));
            ledger.open(key, "", Credits::ZERO, KeyOptions { expiry, ..KeyOptions::default() }).value
        };
        let (short, long, revoked) = (open("short", 5), open("long", 60), open("revoked", 5));
        let _ = ledger.revoke("revoked");
        let mut expired = Expired::default();
        let mut look = || expired.look(&ledger, clock.wall());
        assert!(look().is_empty());

        clock.advance(Duration::from_secs(5));
        assert_eq!(look(), [short]);
        assert!(look().is_empty());

        let _ = ledger.set_expiry("short", in_seconds(10).into());
        assert!(look().is_empty());
        clock.advance(Duration::from_secs(60));
        assert_eq!(look(), [short, long]);
        assert_ne!(long, revoked);
    }
}
