//! The laws of the books, under random operations and under threads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use paygate_core::clock::{Clock, ManualClock, Timestamp};
use paygate_core::config::GateConfig;
use paygate_core::credits::Credits;
use paygate_core::entropy::SeededEntropy;
use paygate_core::gate::{Arguments, CallRequest, Charged, Gate, GateParts, PriceList, ToolTerms};
use paygate_core::journal::{Journal, MemoryJournal};
use paygate_core::ledger::{Ending, KeyOptions, Ledger, LedgerParts, Outcome, RefundPolicy};
use paygate_core::usage::UsageMeter;
use proptest::prelude::*;

use crate::recording::RecordingJournal;

fn credits(number: u64) -> Credits {
    Credits::new(number).unwrap()
}

fn config(refunds: RefundPolicy) -> GateConfig {
    let terms = |name: &str, price, calls_per_minute| ToolTerms {
        name: name.into(),
        credits_per_call: credits(price),
        calls_per_minute,
        credits_per_kb: 0.0,
    };
    GateConfig {
        prices: PriceList::new(
            credits(1),
            [terms("dear", 7, 0.0), terms("rare", 2, 3.0), terms("free", 0, 0.0)],
        ),
        global_rate_limit: 0.0,
        refunds,
        ..GateConfig::default()
    }
}

fn gate(config: GateConfig, journal: Arc<dyn Journal>, clock: Arc<ManualClock>) -> Arc<Gate> {
    let parts = LedgerParts { clock, entropy: Arc::new(SeededEntropy::new(7)), journal };
    let parts = GateParts {
        ledger: Arc::new(Ledger::new(parts)),
        meter: Arc::new(UsageMeter::new(100.0)),
        sinks: vec![],
    };
    Arc::new(Gate::new(config, parts))
}

fn call<'a>(key: &'a str, tool: &'a str) -> CallRequest<'a> {
    CallRequest { key: Some(key), tool, arguments: Arguments::None, address: None }
}

/// An operation on one of a few keys.
#[derive(Debug, Clone)]
enum Operation {
    Evaluate(usize, usize),
    Batch(usize, Vec<usize>),
    Charge(usize, usize),
    Settle(usize, Ending),
    Abandon(usize),
    Grant(usize, u64),
    Deduct(usize, u64),
    Goodwill(usize, u64),
    EditCredits(usize, u64),
    EditSpent(usize, u64),
    Rotate(usize),
    Revoke(usize),
    Reimport(usize, u64),
    Wait(u64),
}

const TOOLS: [&str; 4] = ["plain", "dear", "rare", "free"];

fn operation() -> impl Strategy<Value = Operation> {
    let key = || 0..4_usize;
    let tool = || 0..TOOLS.len();
    prop_oneof![
        6 => (key(), tool()).prop_map(|(k, t)| Operation::Evaluate(k, t)),
        4 => (key(), prop::collection::vec(tool(), 1..6)).prop_map(|(k, t)| Operation::Batch(k, t)),
        6 => (key(), tool()).prop_map(|(k, t)| Operation::Charge(k, t)),
        6 => (0..8_usize, prop::sample::select(&Ending::ALL[..])).prop_map(|(c, e)| Operation::Settle(c, e)),
        1 => (0..8_usize).prop_map(Operation::Abandon),
        2 => (key(), 0..50_u64).prop_map(|(k, n)| Operation::Grant(k, n)),
        2 => (key(), 0..20_u64).prop_map(|(k, n)| Operation::Deduct(k, n)),
        1 => (key(), 1..30_u64).prop_map(|(k, n)| Operation::Goodwill(k, n)),
        1 => (key(), 0..90_u64).prop_map(|(k, n)| Operation::EditCredits(k, n)),
        1 => (key(), 0..90_u64).prop_map(|(k, n)| Operation::EditSpent(k, n)),
        1 => key().prop_map(Operation::Rotate),
        1 => key().prop_map(Operation::Revoke),
        1 => (key(), 0..90_u64).prop_map(|(k, n)| Operation::Reimport(k, n)),
        2 => (1..90_000_u64).prop_map(Operation::Wait),
    ]
}

/// What the model knows of one key.
#[derive(Debug, Clone, Copy)]
struct Expected {
    balance: u64,
    spent: u64,
    usable: bool,
}

/// The gate under test beside a model that knows only sums.
struct Side {
    gate: Arc<Gate>,
    journal: Arc<RecordingJournal>,
    clock: Arc<ManualClock>,
    keys: Vec<String>,
    model: BTreeMap<String, Expected>,
    open: Vec<(usize, u64, Charged)>,
    refunds: RefundPolicy,
}

impl Side {
    fn new(refunds: RefundPolicy) -> Self {
        let journal = Arc::new(RecordingJournal::default());
        let clock = Arc::new(ManualClock::at(Timestamp(1_773_480_413_589)));
        let gate = gate(config(refunds), journal.clone(), clock.clone());
        let keys: Vec<_> = (0..4).map(|n| format!("key-{n}")).collect();
        let mut model = BTreeMap::new();
        for key in &keys {
            let _ = gate.ledger().open(key, "k", credits(40), KeyOptions::default());
            model.insert(key.clone(), Expected { balance: 40, spent: 0, usable: true });
        }
        Self { gate, journal, clock, keys, model, open: Vec::new(), refunds }
    }

    fn expected(&mut self, key: usize) -> &mut Expected {
        self.model.get_mut(&self.keys[key]).unwrap()
    }

    fn spend(&mut self, key: usize, price: u64) {
        let expected = self.expected(key);
        expected.balance -= price;
        expected.spent += price;
    }

    fn give_back(&mut self, key: usize, price: u64) {
        let expected = self.expected(key);
        expected.balance += price;
        expected.spent = expected.spent.saturating_sub(price);
    }

    fn apply(&mut self, operation: &Operation) {
        let ledger = self.gate.ledger().clone();
        match operation {
            Operation::Evaluate(key, tool) => {
                let decision = self.gate.evaluate(&call(&self.keys[*key].clone(), TOOLS[*tool])).unwrap();
                if decision.allowed() {
                    assert!(self.expected(*key).usable);
                    self.spend(*key, decision.charged.get());
                }
            }
            Operation::Batch(key, tools) => {
                let calls: Vec<_> = tools.iter().map(|tool| (TOOLS[*tool], Arguments::None)).collect();
                let decision = self.gate.evaluate_batch(Some(&self.keys[*key]), &calls, None).unwrap();
                let charged: u64 = decision.lines.iter().map(|line| line.charged.get()).sum();
                assert_eq!(charged, decision.total.get(), "a batch is paid for whole or not at all");
                self.spend(*key, charged);
            }
            Operation::Charge(key, tool) => {
                let taken = self.gate.charge(&call(&self.keys[*key].clone(), TOOLS[*tool])).unwrap();
                if let Some(charge) = taken.charge {
                    self.spend(*key, taken.decision.charged.get());
                    self.open.push((*key, taken.decision.charged.get(), charge));
                }
            }
            Operation::Settle(which, ending) if *which < self.open.len() => {
                let (key, price, charge) = self.open.remove(*which);
                if charge.settle(*ending).outcome == Outcome::Refunded {
                    self.give_back(key, price);
                }
            }
            Operation::Abandon(which) if *which < self.open.len() => {
                let (key, price, charge) = self.open.remove(*which);
                drop(charge);
                if self.refunds.outcome(Ending::Lost) == Outcome::Refunded {
                    self.give_back(key, price);
                }
            }
            Operation::Settle(..) | Operation::Abandon(_) => {}
            Operation::Grant(key, amount) => {
                if ledger.grant(&self.keys[*key], credits(*amount)).unwrap().is_some() {
                    self.expected(*key).balance += amount;
                }
            }
            Operation::Deduct(key, amount) => {
                if ledger.deduct(&self.keys[*key], credits(*amount)).is_some() {
                    self.spend(*key, *amount);
                }
            }
            Operation::Goodwill(key, amount) => {
                assert!(ledger.goodwill(&self.keys[*key], credits(*amount)).is_some());
                self.give_back(*key, *amount);
            }
            Operation::EditCredits(key, amount) => {
                let place = ledger.accounts.find_full(&self.keys[*key]).unwrap().0;
                ledger.edit(place, "credits", Some((*amount).into())).unwrap();
                self.expected(*key).balance = *amount;
            }
            Operation::EditSpent(key, amount) => {
                let place = ledger.accounts.find_full(&self.keys[*key]).unwrap().0;
                ledger.edit(place, "totalSpent", Some((*amount).into())).unwrap();
                self.expected(*key).spent = *amount;
            }
            Operation::Rotate(key) => {
                if let Some(written) = ledger.rotate(&self.keys[*key]) {
                    let expected = self.model.remove(&self.keys[*key]).unwrap();
                    self.keys[*key] = ledger.accounts.at(written.value).unwrap().lock().key.to_string();
                    self.model.insert(self.keys[*key].clone(), expected);
                }
            }
            Operation::Revoke(key) => {
                let _ = ledger.revoke(&self.keys[*key]);
                self.expected(*key).usable = false;
            }
            Operation::Reimport(key, amount) => {
                // What is still open on the old account ends with it.
                let theirs = |open: &(usize, u64, Charged)| open.0 == *key;
                for (.., charge) in self.open.extract_if(.., |open| theirs(open)) {
                    let _ = charge.settle(Ending::Result);
                }
                let _ = ledger.open(&self.keys[*key], "k", credits(*amount), KeyOptions::default());
                *self.expected(*key) = Expected { balance: *amount, spent: 0, usable: true };
            }
            Operation::Wait(milliseconds) => self.clock.advance(Duration::from_millis(*milliseconds)),
        }
    }

    /// The laws: the books say what the model says, entries sum up to the books, each charge ends at most once.
    fn check(&self) {
        let ledger = self.gate.ledger();
        let _ = ledger.save_edits();
        let folds = self.journal.fold();
        for (key, expected) in &self.model {
            let account = ledger.accounts.find(key).unwrap();
            let record = account.lock();
            assert_eq!(
                (record.credits.get(), record.spent.get()),
                (expected.balance, expected.spent),
                "{key}"
            );
            assert_eq!(record.granted, expected.balance + expected.spent, "granted = balance + spent, {key}");
            let fold = &folds[&account.id];
            assert_eq!(fold.balance.cast_unsigned(), expected.balance, "entries of {key}");
            assert_eq!(fold.granted.cast_unsigned(), record.granted, "entries of {key}");
            assert_eq!(fold.calls.cast_unsigned(), record.calls, "entries of {key}");
        }
        let (open, twice) = self.journal.endings();
        assert_eq!(open.len(), self.open.len(), "open charges are those whose calls have not ended");
        assert_eq!(twice, [0; 0], "no charge ends twice");
    }
}

proptest! {
    #[test]
    fn the_books_keep_their_laws_under_random_operations(
        operations in prop::collection::vec(operation(), 1..120),
        on_failure: bool,
        on_tool_error: bool,
    ) {
        let mut side = Side::new(RefundPolicy { on_failure, on_tool_error });
        for operation in &operations {
            side.apply(operation);
            side.check();
        }
    }
}

#[test]
fn a_million_charges_from_eight_threads_lose_and_make_nothing() {
    const THREADS: u64 = 8;
    const CHARGES: u64 = 1_000_000 / THREADS;
    const GRANTED: u64 = 240_000;
    let clock = Arc::new(ManualClock::at(Timestamp(1_773_480_413_589)));
    let gate = gate(
        config(RefundPolicy { on_failure: true, on_tool_error: false }),
        Arc::new(MemoryJournal::default()),
        clock,
    );
    let keys: Vec<_> = (0..4).map(|n| format!("key-{n}")).collect();
    for key in &keys {
        let _ = gate.ledger().open(key, "k", credits(GRANTED), KeyOptions::default());
    }
    // Each thread reports what it saw taken for good, key by key.
    let taken: Vec<[u64; 4]> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (gate, keys) = (&gate, &keys);
                scope.spawn(move || {
                    let mut taken = [0; 4];
                    for n in 0..CHARGES {
                        let at = ((n + thread) % 4) as usize;
                        let charged = gate.charge(&call(&keys[at], "plain")).unwrap();
                        let Some(charge) = charged.charge else { continue };
                        let ending = if n % 3 == 0 { Ending::TimedOut } else { Ending::Result };
                        taken[at] += charge.settle(ending).credits.get();
                    }
                    taken
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (at, key) in keys.iter().enumerate() {
        let spent: u64 = taken.iter().map(|thread| thread[at]).sum();
        let account = gate.ledger().accounts.find(key).unwrap();
        let record = account.lock();
        assert_eq!(record.credits.get() + spent, GRANTED, "{key}");
        assert_eq!(record.spent.get(), spent, "{key}");
    }
    let totals = gate.ledger().totals();
    assert_eq!(totals.granted, totals.balance + totals.spent);
}

#[test]
fn a_balance_is_never_overdrawn_by_threads() {
    let clock = Arc::new(ManualClock::at(Timestamp(0)));
    let gate = gate(config(RefundPolicy::default()), Arc::new(MemoryJournal::default()), clock);
    let _ = gate.ledger().open("key", "k", credits(500), KeyOptions::default());
    let allowed: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    (0..1000).filter(|_| gate.evaluate(&call("key", "plain")).unwrap().allowed()).count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(allowed, 500);
}

#[test]
fn a_refund_follows_the_key_through_rotations_and_reaches_revoked_keys() {
    let clock = Arc::new(ManualClock::at(Timestamp(1_773_480_413_589)));
    let policy = RefundPolicy { on_failure: true, on_tool_error: false };
    let gate = gate(config(policy), Arc::new(MemoryJournal::default()), clock.clone());
    let ledger = gate.ledger();
    let _ = ledger.open("old", "k", credits(20), KeyOptions::default());
    let charge = gate.charge(&call("old", "dear")).unwrap().charge.unwrap();
    let new = ledger.accounts.at(ledger.rotate("old").unwrap().value).unwrap();
    let new_key = new.lock().key.clone();
    let _ = ledger.revoke(&new_key);

    let settled = charge.settle(Ending::BackendExited);

    assert_eq!((settled.outcome, settled.balance.get()), (Outcome::Refunded, 20));
    let renewed = new.lock();
    assert_eq!((renewed.credits.get(), renewed.spent.get()), (20, 0));
    drop(renewed);
    assert_eq!(
        ledger.accounts.find("old").unwrap().lock().credits.get(),
        13,
        "the old record shows what it had"
    );
    let totals = ledger.totals();
    assert_eq!((totals.granted, totals.balance), (20, 20), "a rotated balance counts once");
}

#[test]
fn a_refund_returns_to_the_day_of_its_charge() {
    let clock = Arc::new(ManualClock::at(Timestamp(1_773_480_413_589)));
    let policy = RefundPolicy { on_failure: true, on_tool_error: false };
    let gate = gate(config(policy), Arc::new(MemoryJournal::default()), clock.clone());
    let _ = gate.ledger().open("key", "k", credits(100), KeyOptions::default());
    let charge = gate.charge(&call("key", "dear")).unwrap().charge.unwrap();
    clock.advance(Duration::from_secs(24 * 3600));
    assert!(gate.evaluate(&call("key", "plain")).unwrap().allowed());

    charge.settle(Ending::TimedOut);

    let account = gate.ledger().accounts.find("key").unwrap();
    let counters = account.lock().counters;
    assert_eq!((counters.daily_calls, counters.daily_credits), (1.0, 1.0), "today is untouched");
    assert_eq!((counters.monthly_calls, counters.monthly_credits), (1.0, 1.0), "the month is its own");
}

#[test]
fn a_charge_that_could_not_be_written_is_undone() {
    let journal = Arc::new(RecordingJournal::default());
    let clock = Arc::new(ManualClock::at(Timestamp(1_773_480_413_589)));
    let gate = gate(config(RefundPolicy::default()), journal.clone(), clock.clone());
    let _ = gate.ledger().open("key", "k", credits(10), KeyOptions::default());
    journal.fail(true);
    let charge = gate.charge(&call("key", "dear")).unwrap().charge.unwrap();
    assert!(gate.ledger().wait(charge.ticket()).is_err());

    charge.undo();

    let account = gate.ledger().accounts.find("key").unwrap();
    let record = account.lock();
    assert_eq!((record.credits.get(), record.spent.get(), record.calls), (10, 0, 0));
    assert_eq!(record.counters.daily_calls, 0.0);
    assert_eq!(gate.meter().summary(None, None).total_credits_spent, 0.0);
    assert!(clock.wall() > Timestamp(0));
}

#[test]
fn a_refund_beside_a_rotation_reaches_the_key_that_has_the_credits() {
    // The account was once looked up before it was locked: a rotation in between took the balance to the new key, and
    // the refund went to the old one, where nobody can spend it.
    const ROUNDS: u64 = 2_000;
    let clock = Arc::new(ManualClock::at(Timestamp(1_773_480_413_589)));
    let policy = RefundPolicy { on_failure: true, on_tool_error: false };
    let gate = gate(config(policy), Arc::new(MemoryJournal::default()), clock);
    for round in 0..ROUNDS {
        let key = format!("key-{round}");
        let _ = gate.ledger().open(&key, "k", credits(7), KeyOptions::default());
        let charge = gate.charge(&call(&key, "dear")).unwrap().charge.unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| charge.settle(Ending::TimedOut));
            scope.spawn(|| gate.ledger().rotate(&key));
        });
        let current = gate.ledger().accounts.current(&key).unwrap();
        assert_eq!(current.lock().credits.get(), 7, "round {round}");
    }
}
