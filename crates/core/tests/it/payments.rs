//! What was paid for is granted once, whoever tells of it how often.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use paygate_core::clock::{ManualClock, Timestamp};
use paygate_core::credits::Credits;
use paygate_core::entropy::SeededEntropy;
use paygate_core::journal::{Journal, MemoryJournal, Payment};
use paygate_core::key::record::Expiry;
use paygate_core::ledger::{KeyOptions, Ledger, LedgerParts, Paid, PaymentError};
use proptest::prelude::*;

use crate::recording::RecordingJournal;

const NOW: Timestamp = Timestamp(1_773_480_413_589);

fn credits(number: u64) -> Credits {
    Credits::new(number).unwrap()
}

fn ledger(journal: Arc<dyn Journal>) -> Ledger {
    let clock = Arc::new(ManualClock::at(NOW));
    Ledger::new(LedgerParts { clock, entropy: Arc::new(SeededEntropy::new(7)), journal })
}

fn in_memory() -> Ledger {
    ledger(Arc::new(MemoryJournal::default()))
}

fn payment(ids: &[&str], key: &str, amount: u64) -> Payment {
    let ids = ids.iter().map(|id| (*id).into()).collect();
    Payment { at: NOW, ids, event: "checkout".into(), key: key.into(), credits: credits(amount) }
}

fn tell(ledger: &Ledger, ids: &[&str], key: &str, amount: u64) -> Paid {
    let written = ledger.grant_once(payment(ids, key, amount)).unwrap();
    ledger.wait(written.ticket).unwrap();
    written.value
}

fn open(ledger: &Ledger, key: &str) {
    let _ = ledger.open(key, "", Credits::ZERO, KeyOptions::default());
}

fn balance(ledger: &Ledger, key: &str) -> u64 {
    ledger.read(key, |record| record.credits.get()).unwrap()
}

#[test]
fn a_parked_payment_goes_once_to_the_key_that_its_owner_names() {
    let ledger = in_memory();
    assert_eq!(tell(&ledger, &["event:1", "session:1"], "nobody", 5), Paid::Parked);
    let assign = |id: &str, key: &str| {
        let assigned = ledger.assign_payment(id, key).unwrap();
        assigned.map(|(payment, written)| (payment.key.to_string(), written.value))
    };
    assert_eq!(assign("event:2", "k"), None);
    assert_eq!(assign("event:1", "k"), Some(("k".to_owned(), Paid::Parked)), "there is no such key");
    open(&ledger, "k");
    let granted = Some(("k".to_owned(), Paid::Granted { balance: credits(5) }));
    assert_eq!(assign("session:1", "k"), granted);
    assert_eq!(assign("event:1", "k"), None);
    assert_eq!(tell(&ledger, &["event:1"], "k", 5), Paid::Repeated);
    assert_eq!(balance(&ledger, "k"), 5);
}

#[test]
fn a_payment_told_of_again_under_any_of_its_ids_is_granted_once() {
    let ledger = in_memory();
    open(&ledger, "k");
    assert_eq!(tell(&ledger, &["event:1", "session:1"], "k", 5), Paid::Granted { balance: credits(5) });
    assert_eq!(tell(&ledger, &["event:1", "session:1"], "k", 5), Paid::Repeated);
    assert_eq!(tell(&ledger, &["event:2", "session:1"], "k", 5), Paid::Repeated);
    assert_eq!(tell(&ledger, &["event:1"], "k", 5), Paid::Repeated);
    assert_eq!(tell(&ledger, &["event:3"], "k", 2), Paid::Granted { balance: credits(7) });
}

#[test]
fn payments_without_an_id_cannot_be_told_apart_and_each_is_granted() {
    let ledger = in_memory();
    open(&ledger, "k");
    tell(&ledger, &[], "k", 5);
    tell(&ledger, &[], "k", 5);
    assert_eq!(balance(&ledger, "k"), 10);
}

#[test]
fn a_rotated_keys_payment_goes_to_the_key_that_has_its_place() {
    let ledger = in_memory();
    open(&ledger, "k");
    let second = ledger.rotate("k").unwrap().value;
    let second = ledger.accounts.at(second).unwrap().lock().key.clone();
    let third = ledger.rotate(&second).unwrap().value;
    assert_eq!(tell(&ledger, &["event:1"], "k", 5), Paid::Granted { balance: credits(5) });
    assert_eq!(ledger.accounts.at(third).unwrap().lock().credits, credits(5));
    assert_eq!(balance(&ledger, &second), 0);
}

#[test]
fn an_expired_keys_payment_is_granted() {
    let ledger = in_memory();
    let expiry = Expiry::new("2001-01-01T00:00:00.000Z");
    let _ = ledger.open("k", "", Credits::ZERO, KeyOptions { expiry, ..KeyOptions::default() });
    assert!(ledger.expired("k"));
    assert_eq!(tell(&ledger, &["event:1"], "k", 5), Paid::Granted { balance: credits(5) });
}

#[test]
fn a_payment_for_an_unknown_or_revoked_key_is_parked_once_and_granted_when_the_key_is_there() {
    let ledger = in_memory();
    open(&ledger, "revoked");
    let _ = ledger.revoke("revoked").unwrap();
    for _ in 0..2 {
        assert_eq!(tell(&ledger, &["event:1", "session:1"], "unknown", 5), Paid::Parked);
        assert_eq!(tell(&ledger, &["event:2"], "revoked", 7), Paid::Parked);
    }
    let parked = ledger.unmatched_payments().unwrap();
    assert_eq!(
        parked,
        [payment(&["event:1", "session:1"], "unknown", 5), payment(&["event:2"], "revoked", 7)]
    );

    open(&ledger, "unknown");
    assert_eq!(tell(&ledger, &["event:3", "session:1"], "unknown", 5), Paid::Granted { balance: credits(5) });
    assert_eq!(tell(&ledger, &["event:1"], "unknown", 5), Paid::Repeated, "the parked payment's other id");
    assert_eq!(ledger.unmatched_payments().unwrap(), [payment(&["event:2"], "revoked", 7)]);
}

#[test]
fn a_payment_that_the_balance_cannot_hold_changes_nothing_and_may_be_told_of_again() {
    let ledger = in_memory();
    open(&ledger, "k");
    tell(&ledger, &["event:1"], "k", Credits::MAX.get());
    let refused = ledger.grant_once(payment(&["event:2"], "k", 1)).unwrap_err();
    assert!(matches!(refused, PaymentError::Credits(_)), "{refused}");
    let _ = ledger.deduct("k", credits(10)).unwrap();
    assert!(matches!(tell(&ledger, &["event:2"], "k", 1), Paid::Granted { .. }));
}

/// Payments, each with an id of its own and one that others may share, for one of a few keys.
fn payments() -> impl Strategy<Value = Vec<(usize, usize, u64)>> {
    prop::collection::vec((0..12_usize, 0..5_usize, 1..100_u64), 1..20)
}

/// What is told, in some order: places in the list of payments, each at least once.
fn tellings(count: usize) -> impl Strategy<Value = Vec<usize>> {
    let again = prop::collection::vec(0..count, 0..3 * count);
    again.prop_flat_map(move |again| Just((0..count).chain(again).collect::<Vec<_>>()).prop_shuffle())
}

fn shuffled() -> impl Strategy<Value = (Vec<(usize, usize, u64)>, Vec<usize>)> {
    payments().prop_flat_map(|payments| {
        let count = payments.len();
        (Just(payments), tellings(count))
    })
}

proptest! {
    #[test]
    fn whatever_is_told_in_whatever_order_each_id_is_granted_at_most_once_and_none_is_lost(
        (payments, tellings) in shuffled(),
        rotations in prop::collection::vec(any::<bool>(), 80),
    ) {
        let journal = Arc::new(RecordingJournal::default());
        let ledger = ledger(journal.clone());
        let mut keys: Vec<String> = (0..5).map(|key| format!("k{key}")).collect();
        // The last key comes to be halfway; until then its payments are parked.
        keys[..4].iter().for_each(|key| open(&ledger, key));
        let mut granted = BTreeMap::<usize, u64>::new();
        for (turn, place) in tellings.iter().enumerate() {
            if turn == tellings.len() / 2 {
                open(&ledger, "k4");
            }
            let (session, key, amount) = payments[*place];
            if rotations[turn % rotations.len()] && key < 4 {
                // Told of under the first name all the same.
                let heir = ledger.rotate(&keys[key]).unwrap().value;
                keys[key] = ledger.accounts.at(heir).unwrap().lock().key.to_string();
            }
            let ids = [format!("event:{place}"), format!("session:{session}")];
            let paid = tell(&ledger, &[&ids[0], &ids[1]], &format!("k{key}"), amount);
            match paid {
                Paid::Granted { .. } => {
                    prop_assert!(granted.insert(session, amount).is_none(), "session {session} was granted twice");
                }
                Paid::Repeated => prop_assert!(granted.contains_key(&session)),
                Paid::Parked => {
                    prop_assert_eq!(key, 4);
                    prop_assert!(!granted.contains_key(&session));
                }
            }
        }
        let parked = ledger.unmatched_payments().unwrap();
        for (session, ..) in &payments {
            let id: Box<str> = format!("session:{session}").into();
            let is_parked = parked.iter().any(|payment| payment.ids.contains(&id));
            prop_assert!(is_parked != granted.contains_key(session), "session {session} is lost");
        }
        let sum: u64 = granted.values().sum();
        prop_assert_eq!(ledger.totals().granted, sum);
        let folded: i64 = journal.fold().values().map(|fold| fold.granted).sum();
        prop_assert_eq!(folded, sum as i64);
    }
}

#[test]
fn threads_that_tell_of_the_same_payments_grant_each_once() {
    let ledger = in_memory();
    open(&ledger, "k");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let ledger = &ledger;
            scope.spawn(move || {
                for step in 0..500 {
                    // Each thread in an order of its own; sessions are shared by two events each.
                    let event = (step * 7 + thread * 131) % 500;
                    let ids = [format!("event:{event}"), format!("session:{}", event / 2)];
                    tell(ledger, &[&ids[0], &ids[1]], "k", 3);
                    if step % 100 == 99 {
                        let current = ledger.accounts.current("k").unwrap().lock().key.clone();
                        let _ = ledger.rotate(&current);
                    }
                }
            });
        }
    });
    assert_eq!(ledger.totals().granted, 250 * 3);
    assert_eq!(ledger.totals().balance, 250 * 3);
}

#[test]
fn a_payment_is_the_same_one_years_later() {
    let clock = Arc::new(ManualClock::at(NOW));
    let parts = LedgerParts {
        clock: clock.clone(),
        entropy: Arc::new(SeededEntropy::new(7)),
        journal: Arc::new(MemoryJournal::default()),
    };
    let ledger = Ledger::new(parts);
    open(&ledger, "k");
    tell(&ledger, &["event:1"], "k", 5);
    clock.advance(Duration::from_secs(10 * 365 * 86_400));
    assert_eq!(tell(&ledger, &["event:1"], "k", 5), Paid::Repeated);
}
