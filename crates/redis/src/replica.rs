//! A gate's own copy of keys that lie in Redis, in a ledger.
//!
//! Redis has the truth; the copy follows it. Beside the copy stands what it agreed with Redis on last, so that a
//! deduction that was already made in the copy is not made there twice, and a save adds what changed here instead of
//! writing over what others changed meanwhile.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use paygate_core::credits::Credits;
use paygate_core::key::record::{Field, Record, number_value};
use paygate_core::ledger::{Ledger, Written};
use paygate_core::limit::quota::QuotaCounters;
use paygate_core::text::number::json_to_number;
use serde_json::{Map, Value};

use crate::keyspace::{self, SHARED_NUMBERS, UndecodableField};

/// The numbers that several gates change: balance, credits spent, deductions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Numbers {
    credits: i64,
    spent: i64,
    calls: i64,
}

impl Numbers {
    fn of(record: &Record) -> Self {
        Self {
            credits: record.credits.as_i64(),
            spent: record.spent.as_i64(),
            calls: record.calls.cast_signed(),
        }
    }

    /// What deducting an amount changes.
    fn deduction(amount: Credits, calls: i64) -> Self {
        Self { credits: -amount.as_i64(), spent: amount.as_i64(), calls }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            credits: self.credits + other.credits,
            spent: self.spent + other.spent,
            calls: self.calls + other.calls,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            credits: self.credits - other.credits,
            spent: self.spent - other.spent,
            calls: self.calls - other.calls,
        }
    }
}

/// What is known of a key beside its record.
#[derive(Debug, Clone, Copy)]
struct Agreement {
    /// The numbers Redis and the copy had in common last, and what Redis has taken for us since.
    numbers: Numbers,
    /// What the copy has taken already of deductions that are on their way to Redis.
    ahead: Numbers,
    /// What was changed in the copy alone and waits to be saved.
    alone: Numbers,
    /// Counts the times at which Redis' numbers were taken over. Then the copy is ahead of nothing.
    round: u64,
}

impl Agreement {
    fn on(numbers: Numbers, round: u64) -> Self {
        Self { numbers, ahead: Numbers::default(), alone: Numbers::default(), round }
    }
}

/// Whether Redis has made a change, or may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It has, or nobody can tell.
    ToRedis,
    /// It has not: the change waits to be saved.
    HereAlone,
}

/// A deduction that is on its way to Redis.
#[derive(Debug)]
#[must_use = "it is settled or abandoned once Redis has answered"]
pub struct Deduction {
    key: Box<str>,
    amount: Credits,
    /// What the copy has taken of it already.
    ahead: Numbers,
    round: u64,
}

/// What became of a change in the copy.
#[derive(Debug)]
pub enum Copied {
    /// It is made, or was made before: then there is nothing to wait on.
    Made(Option<Written<()>>),
    /// The copy does not have the key.
    UnknownKey,
    /// The copy cannot follow: it has too few credits, or the key may not be used here. It should be pulled.
    Stale,
}

/// What pulling a record did.
#[derive(Debug)]
pub enum Pulled {
    /// The record at a place is new, or was replaced as a whole.
    Replaced(Written<usize>),
    /// The copy was the same, or the key was rotated away here and stays so.
    Same,
    /// What lies there is no record.
    NoRecord,
}

/// A gate's own copy of keys that lie in Redis. Callable from any thread.
pub struct Replica {
    ledger: Arc<Ledger>,
    agreements: Mutex<HashMap<Box<str>, Agreement>>,
}

impl Replica {
    /// A copy in a ledger, which has not met Redis yet.
    pub fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger, agreements: Mutex::default() }
    }

    // ── Following Redis ──────────────────────────────────────────────────────

    /// Takes over a record as Redis has it.
    ///
    /// # Errors
    /// It cannot be read; the copy is unchanged.
    pub fn pull(&self, hash: &HashMap<String, String>) -> Result<Pulled, UndecodableField> {
        let Some(mut object) = keyspace::decode(hash, self.ledger.now())? else {
            return Ok(Pulled::NoRecord);
        };
        let key = object.get("key").and_then(Value::as_str).unwrap_or_default().to_owned();
        let known = self.ledger.accounts.find(&key);
        if let Some(known) = known {
            let known = known.lock();
            if known.successor.is_some() {
                return Ok(Pulled::Same);
            }
            keep_counters(&mut object, &known.counters);
            if known.to_object() == object {
                self.agree(&key, Numbers::of(&known));
                return Ok(Pulled::Same);
            }
        }
        let Some(written) = self.ledger.import(&key, &object) else { return Ok(Pulled::NoRecord) };
        if let Some(account) = self.ledger.accounts.at(written.value) {
            self.agree(&key, Numbers::of(&account.lock()));
        }
        Ok(Pulled::Replaced(written))
    }

    /// Takes over the balance and the totals of a known key: as Redis has them, or, where it has no such key, those
    /// that a message brought. False when the copy does not have the key, or it was rotated away here.
    pub fn pull_numbers(&self, key: &str, hash: &HashMap<String, String>, message: [Option<f64>; 3]) -> bool {
        let Some((place, account)) = self.ledger.accounts.find_full(key) else { return false };
        if account.lock().successor.is_some() {
            return false;
        }
        let object = keyspace::decode(hash, self.ledger.now()).ok().flatten();
        for (name, told) in SHARED_NUMBERS.into_iter().zip(message) {
            let value = match &object {
                Some(object) => object.get(name).cloned(),
                None => told.filter(|told| told.is_finite()).map(number_value),
            };
            if let Some(value) = value {
                // What is no number of credits is no news.
                let _ = self.ledger.edit(place, name, Some(value));
            }
        }
        self.agree(key, Numbers::of(&account.lock()));
        true
    }

    fn agree(&self, key: &str, numbers: Numbers) {
        let mut agreements = self.agreements.lock();
        let round = agreements.get(key).map_or(0, |known| known.round + 1);
        agreements.insert(key.into(), Agreement::on(numbers, round));
    }

    // ── Deducting and adding ─────────────────────────────────────────────────

    /// Notes a deduction before Redis is asked for it. What the copy has spent and Redis does not know of yet counts
    /// as this deduction: a gate that has charged for a call and now tells Redis charges once.
    pub fn begin(&self, key: &str, amount: Credits) -> Deduction {
        let spent = self.ledger.read(key, |record| record.spent.as_i64());
        let mut agreements = self.agreements.lock();
        let mut begun = Deduction { key: key.into(), amount, ahead: Numbers::default(), round: 0 };
        if let (Some(agreement), Some(spent)) = (agreements.get_mut(key), spent) {
            let Agreement { numbers, ahead, alone, .. } = agreement;
            let unknown = spent - numbers.spent - ahead.spent - alone.spent;
            let ahead = unknown.clamp(0, amount.as_i64());
            let whole = ahead > 0 && ahead == amount.as_i64();
            begun.ahead = Numbers { credits: -ahead, spent: ahead, calls: whole.into() };
            begun.round = agreement.round;
            agreement.ahead = agreement.ahead.plus(begun.ahead);
        }
        begun
    }

    /// Makes a deduction in the copy: Redis has made it, or cannot be asked.
    pub fn settle(&self, deduction: Deduction, known: Known) -> Copied {
        let ahead = self.no_longer_ahead(&deduction);
        let left = deduction.amount.as_i64() - ahead.spent;
        let left = Credits::new(left.cast_unsigned()).expect("a part of the amount");
        let written = if ahead.calls == 0 {
            if self.ledger.accounts.find(&deduction.key).is_none() {
                return Copied::UnknownKey;
            }
            let Some(written) = self.ledger.deduct(&deduction.key, left) else { return Copied::Stale };
            Some(Written { value: (), ticket: written.ticket })
        } else {
            None
        };
        self.note(&deduction.key, Numbers::deduction(deduction.amount, 1), known);
        Copied::Made(written)
    }

    /// Forgets a deduction that Redis refused. What the copy has already taken stays taken until it is pulled.
    pub fn abandon(&self, deduction: Deduction) {
        self.no_longer_ahead(&deduction);
    }

    /// What the copy has taken of a deduction; nothing when the copy was pulled since.
    fn no_longer_ahead(&self, deduction: &Deduction) -> Numbers {
        let mut agreements = self.agreements.lock();
        match agreements.get_mut(&deduction.key) {
            Some(agreement) if agreement.round == deduction.round => {
                agreement.ahead = agreement.ahead.minus(deduction.ahead);
                deduction.ahead
            }
            Some(_) | None => Numbers::default(),
        }
    }

    /// Adds credits in the copy: Redis has added them, or cannot be asked.
    pub fn top_up(&self, key: &str, amount: Credits, known: Known) -> Copied {
        if self.ledger.accounts.find(key).is_none() {
            return Copied::UnknownKey;
        }
        match self.ledger.grant(key, amount) {
            Ok(Some(written)) => {
                self.note(key, Numbers { credits: amount.as_i64(), ..Numbers::default() }, known);
                Copied::Made(Some(Written { value: (), ticket: written.ticket }))
            }
            Ok(None) | Err(_) => Copied::Stale,
        }
    }

    fn note(&self, key: &str, change: Numbers, known: Known) {
        if let Some(agreement) = self.agreements.lock().get_mut(key) {
            let changed = match known {
                Known::ToRedis => &mut agreement.numbers,
                Known::HereAlone => &mut agreement.alone,
            };
            *changed = changed.plus(change);
        }
    }

    // ── Saving ───────────────────────────────────────────────────────────────

    /// What a save has to add to the numbers that Redis has, and from then on counts as added. `None` for a key that
    /// never met Redis: it is written whole, and Redis has its numbers then.
    ///
    /// The record is an object with the fields of a state file.
    pub fn unsaved(&self, key: &str, record: &Map<String, Value>) -> Option<[i64; 3]> {
        let now = given_numbers(record);
        let mut agreements = self.agreements.lock();
        let Some(agreement) = agreements.get_mut(key) else {
            agreements.insert(key.into(), Agreement::on(now, 0));
            return None;
        };
        let unsaved = now.minus(agreement.numbers).minus(agreement.ahead);
        agreement.numbers = agreement.numbers.plus(unsaved);
        agreement.alone = Numbers::default();
        Some([unsaved.credits, unsaved.spent, unsaved.calls])
    }

    /// A save was not made: what it was to add is unsaved again.
    pub fn not_saved(&self, key: &str, [credits, spent, calls]: [i64; 3]) {
        let unsaved = Numbers { credits, spent, calls };
        if let Some(agreement) = self.agreements.lock().get_mut(key) {
            agreement.numbers = agreement.numbers.minus(unsaved);
            agreement.alone = agreement.alone.plus(unsaved);
        }
    }

    /// Redis no longer has a key, or never got it.
    pub fn forget(&self, key: &str) {
        self.agreements.lock().remove(key);
    }
}

fn given_numbers(record: &Map<String, Value>) -> Numbers {
    let [credits, spent, calls] = SHARED_NUMBERS.map(|name| {
        let number = record.get(name).map_or(f64::NAN, json_to_number);
        Credits::floored(number).unwrap_or_default().as_i64()
    });
    Numbers { credits, spent, calls }
}

/// Use of a day and month that Redis has not heard of is not taken back: gates of 2.9.0 write a key's counters only
/// when they happen to write all of it.
fn keep_counters(object: &mut Map<String, Value>, known: &QuotaCounters) {
    let QuotaCounters { daily_calls, monthly_calls, daily_credits, monthly_credits, day, month } = known;
    let (daily, monthly) = ([*daily_calls, *daily_credits], [*monthly_calls, *monthly_credits]);
    keep_period(object, Field::QuotaLastResetDay, day.as_str(), &DAILY, daily);
    keep_period(object, Field::QuotaLastResetMonth, month.as_str(), &MONTHLY, monthly);
}

const DAILY: [Field; 2] = [Field::QuotaDailyCalls, Field::QuotaDailyCredits];
const MONTHLY: [Field; 2] = [Field::QuotaMonthlyCalls, Field::QuotaMonthlyCredits];

/// The later period counts; of the same one, the larger numbers.
fn keep_period(
    object: &mut Map<String, Value>,
    mark: Field,
    known_mark: &str,
    fields: &[Field; 2],
    known: [f64; 2],
) {
    let told_mark = object.get(mark.name()).and_then(Value::as_str).unwrap_or_default();
    let order = told_mark.cmp(known_mark);
    if order == Ordering::Greater {
        return;
    }
    for (field, known) in fields.iter().zip(known) {
        let told = object.get(field.name()).map_or(0.0, json_to_number);
        if order == Ordering::Less || told < known {
            object.insert(field.name().to_owned(), number_value(known));
        }
    }
    object.insert(mark.name().to_owned(), known_mark.into());
}

#[cfg(test)]
mod tests {
    use paygate_core::clock::{Clock, ManualClock, Timestamp};
    use paygate_core::entropy::SystemEntropy;
    use paygate_core::journal::MemoryJournal;
    use paygate_core::ledger::{KeyOptions, LedgerParts};

    use super::*;

    const KEY: &str = "pg_demo";
    const NOW: Timestamp = Timestamp(1_773_480_413_589);

    fn credits(number: u64) -> Credits {
        Credits::new(number).unwrap()
    }

    fn replica() -> Replica {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW));
        let parts = LedgerParts {
            clock,
            entropy: Arc::new(SystemEntropy),
            journal: Arc::new(MemoryJournal::default()),
        };
        Replica::new(Arc::new(Ledger::new(parts)))
    }

    /// What Redis has of the key.
    fn in_redis(fields: &[(&str, &str)]) -> HashMap<String, String> {
        let plain = [("key", KEY), ("name", "demo"), ("createdAt", "2026-03-14T09:26:53.589Z")];
        plain.iter().chain(fields).map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    fn pulled(fields: &[(&str, &str)]) -> Replica {
        let replica = replica();
        assert!(matches!(replica.pull(&in_redis(fields)), Ok(Pulled::Replaced(_))));
        replica
    }

    fn numbers(replica: &Replica) -> [u64; 3] {
        let numbers = |record: &Record| [record.credits.get(), record.spent.get(), record.calls];
        replica.ledger.read(KEY, numbers).unwrap()
    }

    fn record(replica: &Replica) -> Map<String, Value> {
        replica.ledger.read(KEY, Record::to_object).unwrap()
    }

    #[test]
    fn a_deduction_counts_once_in_the_copy() {
        let replica = pulled(&[("credits", "5")]);
        let deduction = replica.begin(KEY, credits(2));
        assert!(matches!(replica.settle(deduction, Known::ToRedis), Copied::Made(Some(_))));
        assert_eq!(numbers(&replica), [3, 2, 1]);
    }

    #[test]
    fn what_a_gate_has_charged_before_is_not_deducted_again() {
        let replica = pulled(&[("credits", "5")]);
        let mut begun = Vec::new();
        for _ in 0..2 {
            let _ = replica.ledger.deduct(KEY, credits(2)).unwrap();
            begun.push(replica.begin(KEY, credits(2)));
        }
        for deduction in begun {
            assert!(matches!(replica.settle(deduction, Known::ToRedis), Copied::Made(None)));
        }
        assert_eq!(numbers(&replica), [1, 4, 2]);
        assert!(matches!(
            replica.settle(replica.begin(KEY, credits(1)), Known::ToRedis),
            Copied::Made(Some(_))
        ));
        assert_eq!(numbers(&replica), [0, 5, 3]);
    }

    #[test]
    fn a_pull_in_between_takes_back_what_the_gate_charged_and_the_answer_takes_it_again() {
        let replica = pulled(&[("credits", "5")]);
        let _ = replica.ledger.deduct(KEY, credits(2)).unwrap();
        let deduction = replica.begin(KEY, credits(2));
        assert!(matches!(replica.pull(&in_redis(&[("credits", "5")])), Ok(Pulled::Replaced(_))));
        assert_eq!(numbers(&replica), [5, 0, 0]);
        assert!(matches!(replica.settle(deduction, Known::ToRedis), Copied::Made(Some(_))));
        assert_eq!(numbers(&replica), [3, 2, 1]);
    }

    #[test]
    fn a_copy_that_cannot_follow_says_so() {
        let replica = pulled(&[("credits", "1")]);
        assert!(matches!(replica.settle(replica.begin(KEY, credits(2)), Known::ToRedis), Copied::Stale));
        assert!(matches!(
            replica.settle(replica.begin("other", credits(2)), Known::ToRedis),
            Copied::UnknownKey
        ));
        assert!(matches!(replica.top_up("other", credits(2), Known::ToRedis), Copied::UnknownKey));
        assert!(matches!(replica.top_up(KEY, Credits::MAX, Known::ToRedis), Copied::Stale));
        let _ = replica.ledger.revoke(KEY).unwrap();
        assert!(matches!(replica.top_up(KEY, credits(1), Known::ToRedis), Copied::Stale));
        assert_eq!(numbers(&replica), [1, 0, 0]);
    }

    #[test]
    fn a_save_adds_what_changed_here_and_nothing_on_its_way() {
        let replica = pulled(&[("credits", "10"), ("totalSpent", "3")]);
        assert_eq!(replica.unsaved(KEY, &record(&replica)), Some([0, 0, 0]));
        let _ = replica.ledger.grant(KEY, credits(7)).unwrap();
        let _ = replica.ledger.deduct(KEY, credits(2)).unwrap();
        let on_its_way = replica.begin(KEY, credits(2));
        let unsaved = replica.unsaved(KEY, &record(&replica)).unwrap();
        assert_eq!(unsaved, [7, 0, 0]);
        replica.not_saved(KEY, unsaved);
        assert_eq!(replica.unsaved(KEY, &record(&replica)), Some([7, 0, 0]));
        assert!(matches!(replica.settle(on_its_way, Known::ToRedis), Copied::Made(None)));
        assert_eq!(replica.unsaved(KEY, &record(&replica)), Some([0, 0, 0]));
    }

    #[test]
    fn what_was_changed_while_redis_was_away_is_saved_once_and_covers_no_later_deduction() {
        let replica = pulled(&[("credits", "10")]);
        let away = replica.begin(KEY, credits(2));
        assert!(matches!(replica.settle(away, Known::HereAlone), Copied::Made(Some(_))));
        assert!(matches!(replica.top_up(KEY, credits(5), Known::HereAlone), Copied::Made(Some(_))));
        let next = replica.begin(KEY, credits(1));
        assert!(matches!(replica.settle(next, Known::ToRedis), Copied::Made(Some(_))));
        assert_eq!(numbers(&replica), [12, 3, 2]);
        let unsaved = replica.unsaved(KEY, &record(&replica)).unwrap();
        assert_eq!(unsaved, [3, 2, 1]);
        replica.not_saved(KEY, unsaved);
        let next = replica.begin(KEY, credits(1));
        assert!(matches!(replica.settle(next, Known::ToRedis), Copied::Made(Some(_))));
        assert_eq!(replica.unsaved(KEY, &record(&replica)), Some([3, 2, 1]));
        assert_eq!(replica.unsaved(KEY, &record(&replica)), Some([0, 0, 0]));
    }

    #[test]
    fn a_key_that_never_met_redis_is_written_whole() {
        let replica = replica();
        let _ = replica.ledger.open(KEY, "demo", credits(5), KeyOptions::default());
        assert_eq!(replica.unsaved(KEY, &record(&replica)), None);
        assert_eq!(replica.unsaved(KEY, &record(&replica)), Some([0, 0, 0]));
        replica.forget(KEY);
        assert_eq!(replica.unsaved(KEY, &record(&replica)), None);
    }

    #[test]
    fn a_refused_deduction_leaves_no_trace() {
        let replica = pulled(&[("credits", "5")]);
        replica.abandon(replica.begin(KEY, credits(2)));
        assert_eq!(numbers(&replica), [5, 0, 0]);
        assert_eq!(replica.unsaved(KEY, &record(&replica)), Some([0, 0, 0]));
    }

    #[test]
    fn the_same_record_is_not_entered_again() {
        let fields =
            [("credits", "5"), ("quota", r#"{"dailyCallLimit":5}"#), ("tags", r#"{"b":"1","a":"2"}"#)];
        let replica = pulled(&fields);
        assert!(matches!(replica.pull(&in_redis(&fields)), Ok(Pulled::Same)));
        assert!(matches!(replica.pull(&HashMap::new()), Ok(Pulled::NoRecord)));
    }

    #[test]
    fn use_that_redis_has_not_heard_of_stays_counted() {
        let replica = pulled(&[("quotaDailyCalls", "7"), ("quotaMonthlyCalls", "9")]);
        let told = |fields: &[(&str, &str)]| {
            replica.pull(&in_redis(fields)).unwrap();
            let counted = |record: &Record| {
                (
                    record.counters.daily_calls,
                    record.counters.monthly_calls,
                    record.counters.day.as_str().to_owned(),
                )
            };
            replica.ledger.read(KEY, counted).unwrap()
        };
        assert_eq!(
            told(&[("quotaDailyCalls", "2"), ("quotaMonthlyCalls", "12")]),
            (7.0, 12.0, "2026-03-14".into())
        );
        assert_eq!(told(&[("quotaLastResetDay", "2026-03-13")]), (7.0, 12.0, "2026-03-14".into()));
        assert_eq!(told(&[("quotaLastResetDay", "2026-03-15")]), (0.0, 12.0, "2026-03-15".into()));
    }

    #[test]
    fn a_key_that_was_rotated_away_does_not_come_back() {
        let replica = pulled(&[("credits", "5")]);
        let _ = replica.ledger.rotate(KEY).unwrap();
        assert!(matches!(replica.pull(&in_redis(&[("credits", "5")])), Ok(Pulled::Same)));
        replica.pull_numbers(KEY, &in_redis(&[("credits", "9")]), [None; 3]);
        assert_eq!(replica.ledger.totals().balance, 5);
    }

    #[test]
    fn numbers_are_those_of_redis_or_of_the_message_where_it_has_none() {
        let replica = pulled(&[("credits", "5")]);
        let told = [Some(8.0), None, Some(2.0)];
        assert!(replica.pull_numbers(KEY, &in_redis(&[("credits", "7"), ("totalSpent", "1")]), told));
        assert_eq!(numbers(&replica), [7, 1, 0]);
        assert!(replica.pull_numbers(KEY, &HashMap::new(), told));
        assert_eq!(numbers(&replica), [8, 1, 2]);
        assert!(replica.pull_numbers(KEY, &HashMap::new(), [Some(-1.0), Some(f64::NAN), Some(1e300)]));
        assert_eq!(numbers(&replica), [0, 1, 2]);
        assert!(!replica.pull_numbers("other", &HashMap::new(), told));
    }
}
