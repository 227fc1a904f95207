//! The operations that change accounts, each under one account's lock and each with its entry.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use serde_json::Value;

use super::account::{Account, Accounts, KeyOptions};
use super::charge::{Charge, Ending, Outcome, RefundPolicy, Settled};
use crate::clock::{Clock, Timestamp};
use crate::credits::{Credits, CreditsError};
use crate::entropy::{Entropy, random_name};
use crate::journal::{Durability, Entry, EntryKind, Journal, JournalError, StoredRecord, TeamChange, Ticket};
use crate::key::record::{Identity, Record};
use crate::key::team::{Team, Teams};
use crate::limit::rate_limiter::RateLimiter;

/// A change that was made in memory, and what to wait on for it to be durable.
#[derive(Debug)]
#[must_use = "wait on the ticket before the change is acknowledged"]
pub struct Written<T> {
    /// What the operation gives.
    pub value: T,
    /// Waited on with [`Ledger::wait`].
    pub ticket: Ticket,
}

/// What a ledger is built from.
pub struct LedgerParts {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes keys.
    pub entropy: Arc<dyn Entropy>,
    /// Keeps entries.
    pub journal: Arc<dyn Journal>,
}

/// All accounts and everything that changes them.
///
/// The law: on every account `granted = balance + spent`, and none of them is negative. Callable from any thread;
/// an operation holds one account's lock, and then at most its windows' and its team's.
pub struct Ledger {
    /// The accounts.
    pub accounts: Accounts,
    /// The windows of all keys.
    pub limiter: Arc<RateLimiter>,
    /// The teams of all keys.
    pub teams: Arc<Teams>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) journal: Arc<dyn Journal>,
    /// Whether entries are kept at all.
    pub(crate) durable: bool,
    /// Held while a payment is looked up and entered, so that two tellers of one cannot fall between the two.
    pub(super) payments: Mutex<()>,
    unsaved: Mutex<HashMap<usize, Numbers>>,
    any_unsaved: AtomicBool,
    rotation_listeners: RwLock<Vec<RotationListener>>,
}

/// Hears that a key, the first, has been replaced by another.
pub type RotationListener = Box<dyn Fn(&str, &str) + Send + Sync>;

/// The numbers of an account that entries carry, or the difference of two such.
#[derive(Debug, Clone, Copy, Default)]
struct Numbers {
    amount: i64,
    granted: i64,
    calls: i64,
}

impl Numbers {
    fn of(record: &Record) -> Self {
        Self {
            amount: record.credits.as_i64(),
            granted: record.granted.cast_signed(),
            calls: record.calls.cast_signed(),
        }
    }

    fn until(self, after: &Record) -> Self {
        let after = Self::of(after);
        Self {
            amount: after.amount - self.amount,
            granted: after.granted - self.granted,
            calls: after.calls - self.calls,
        }
    }

    fn add(&mut self, other: Self) {
        self.amount += other.amount;
        self.granted += other.granted;
        self.calls += other.calls;
    }

    fn negated(self) -> Self {
        Self { amount: -self.amount, granted: -self.granted, calls: -self.calls }
    }
}

/// One call of a charge: the tool and its price.
pub(crate) type Line = (Arc<str>, Credits);

/// Nothing to wait on.
pub(crate) const NO_TICKET: Ticket = Ticket { first: 0, last: 0 };

impl Ledger {
    /// An empty ledger.
    pub fn new(parts: LedgerParts) -> Self {
        Self {
            accounts: Accounts::default(),
            limiter: Arc::default(),
            teams: Arc::default(),
            durable: parts.journal.durability() != Durability::Memory,
            clock: parts.clock,
            entropy: parts.entropy,
            journal: parts.journal,
            payments: Mutex::default(),
            unsaved: Mutex::default(),
            any_unsaved: AtomicBool::new(false),
            rotation_listeners: RwLock::default(),
        }
    }

    /// The time the ledger goes by.
    pub fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    /// Where entries go.
    pub fn journal(&self) -> &Arc<dyn Journal> {
        &self.journal
    }

    /// Where names come from.
    pub fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.entropy
    }

    /// Waits until a change is durable.
    ///
    /// # Errors
    /// It could not be written.
    pub fn wait(&self, ticket: Ticket) -> Result<(), JournalError> {
        if ticket == NO_TICKET { Ok(()) } else { self.journal.wait(ticket) }
    }

    // ── Opening ──────────────────────────────────────────────────────────────

    /// Opens an account with a new random key and gives its place.
    pub fn create(&self, name: &str, credits: Credits, options: KeyOptions) -> Written<usize> {
        let key = random_name(&*self.entropy, "pg_", 24);
        self.open(&key, name, credits, options)
    }

    /// Opens an account under a given key and gives its place. A key that is known starts over in its old place.
    pub fn open(&self, key: &str, name: &str, credits: Credits, options: KeyOptions) -> Written<usize> {
        self.save_edits();
        let now = self.now();
        let key: Arc<str> = key.into();
        let namespace = options.namespace.as_deref().unwrap_or("default");
        let mut record = Record::new(key.clone(), Identity::new(&key, name, namespace), credits, now);
        record.allowed_tools = options.allowed_tools;
        record.denied_tools = options.denied_tools;
        record.expiry = options.expiry;
        record.quota = options.quota.map(Box::new);
        record.tags = options.tags;
        record.ip_allowlist = options.ip_allowlist;
        self.insert(record, EntryKind::Open, now)
    }

    /// Puts a record into the books under a new account.
    pub(crate) fn insert(&self, record: Record, kind: EntryKind, now: Timestamp) -> Written<usize> {
        let key = record.key.clone();
        let id = self.journal.open_account();
        let account = Arc::new(Account::new(id, record, self.limiter.windows_of(&key)));
        let opened = account.lock();
        let place = self.accounts.insert(key, account.clone());
        let ticket = self.write(|| vec![self.described(kind, &account, &opened, now, Numbers::of(&opened))]);
        drop(opened);
        Written { value: place, ticket }
    }

    /// Writes another record over the one of an account.
    pub(crate) fn replace(
        &self,
        account: &Account,
        known: &mut Record,
        record: Record,
        now: Timestamp,
    ) -> Ticket {
        let before = Numbers::of(known);
        *known = record;
        self.write(|| vec![self.described(EntryKind::Import, account, known, now, before.until(known))])
    }

    // ── Granting and taking by name ──────────────────────────────────────────

    /// Adds credits to a key that may be used. `None` when there is no such key.
    ///
    /// # Errors
    /// The balance would pass the bound; nothing was changed.
    pub fn grant(&self, key: &str, credits: Credits) -> Result<Option<Written<Credits>>, CreditsError> {
        self.save_edits();
        let now = self.now();
        let Some(account) = self.accounts.find(key) else { return Ok(None) };
        let mut record = account.lock();
        if !record.usable(now) {
            return Ok(None);
        }
        record.credits = record.credits.plus(credits)?;
        record.granted += credits.get();
        let ticket = self.write(|| {
            let entry = self.entry(EntryKind::Grant, &account, &record, now);
            vec![Entry { amount: credits.as_i64(), granted: credits.as_i64(), ..entry }]
        });
        Ok(Some(Written { value: record.credits, ticket }))
    }

    /// Takes credits for good from a key that may be used and has them. `None` when it may not or has not.
    pub fn deduct(&self, key: &str, credits: Credits) -> Option<Written<Credits>> {
        self.save_edits();
        let now = self.now();
        let account = self.accounts.find(key)?;
        let mut record = account.lock();
        if !record.usable(now) {
            return None;
        }
        spend(&mut record, now, credits)?;
        let ticket = self.write(|| {
            let entry = self.entry(EntryKind::Spend, &account, &record, now);
            vec![Entry { amount: -credits.as_i64(), calls: 1, ..entry }]
        });
        Some(Written { value: record.credits, ticket })
    }

    // ── Charges ──────────────────────────────────────────────────────────────

    /// Takes the total of some calls in one go: balance, counters and team. The caller holds the account's lock and
    /// has judged that the balance holds the total.
    ///
    /// `open` charges wait for their ending; others are kept at once.
    pub(crate) fn take(
        &self,
        account: &Arc<Account>,
        record: &mut Record,
        now: Timestamp,
        lines: &[Line],
        open: bool,
        team: Option<&mut Team>,
    ) -> Ticket {
        let total = lines.iter().map(|(_, credits)| credits.get()).sum::<u64>();
        let total = Credits::new(total).expect("a total within the balance is within the bound");
        spend(record, now, total).expect("the balance was judged to hold the total, under the same lock");
        #[expect(clippy::cast_precision_loss, reason = "a batch holds far fewer calls than 2^53")]
        record.counters.record(now, lines.len() as f64, total.as_f64());
        let change = team.and_then(|team| {
            team.record(now, total.as_f64());
            self.durable.then(|| team.change())
        });
        if !self.durable {
            return NO_TICKET;
        }
        let kind = if open { EntryKind::Charge } else { EntryKind::Spend };
        let mut left = record.credits.get() + total.get();
        let entries = lines.iter().enumerate().map(|(at, (tool, credits))| {
            left -= credits.get();
            Entry {
                amount: -credits.as_i64(),
                calls: i64::from(at == 0),
                balance: Credits::new(left).expect("between two balances"),
                tool: Some(tool.clone()),
                ..self.entry(kind, account, record, now)
            }
        });
        self.journal.append(entries.collect(), change.into_iter().collect())
    }

    /// Ends a charge, once, by the table of endings.
    pub fn settle(&self, charge: Charge, ending: Ending, policy: RefundPolicy) -> Settled {
        match policy.outcome(ending) {
            Outcome::Kept => self.keep(charge),
            Outcome::Refunded => self.give_back(charge),
        }
    }

    fn keep(&self, charge: Charge) -> Settled {
        self.on_current(&charge.account, |account, record| {
            let ticket = self.write(|| {
                let entry = self.entry(EntryKind::Keep, account, record, self.now());
                vec![Entry { charge: Some(charge.sequence), ..entry }]
            });
            Settled { outcome: Outcome::Kept, credits: charge.credits, balance: record.credits, ticket }
        })
    }

    fn give_back(&self, charge: Charge) -> Settled {
        self.on_current(&charge.account, |account, record| {
            let before = Numbers::of(record);
            let team = self.reverse(&charge, record);
            let ticket = self.write_with(team, || {
                let entry =
                    self.changed(EntryKind::Refund, account, record, self.now(), before.until(record));
                vec![Entry { charge: Some(charge.sequence), tool: Some(charge.tool.clone()), ..entry }]
            });
            Settled { outcome: Outcome::Refunded, credits: Credits::ZERO, balance: record.credits, ticket }
        })
    }

    /// Takes back a charge that never became durable: the journal has dropped its entry. What the account and its team
    /// count in the day and month is written anew.
    pub fn undo(&self, charge: Charge) {
        self.on_current(&charge.account, |account, record| {
            let team = self.reverse(&charge, record);
            self.write_with(team, || vec![self.entry(EntryKind::Describe, account, record, self.now())]);
        });
    }

    /// Moves a charge's credits back and out of all counters. Gives the team's change, if there is one to write.
    fn reverse(&self, charge: &Charge, record: &mut Record) -> Option<TeamChange> {
        return_credits(record, charge.credits, charge.calls);
        record.counters.unrecord_of(charge.day, charge.month, charge.credits.as_f64());
        let mut team = charge.team.as_ref()?.lock();
        team.unrecord(charge.day, charge.month, charge.credits.as_f64());
        self.durable.then(|| team.change())
    }

    /// Gives credits back that no charge is named for, also to keys that were revoked, have expired or were rotated.
    /// Gives the account that got them; `None` when there is no such key, or it had expired before it was made and
    /// so was never charged.
    pub fn goodwill(&self, key: &str, credits: Credits) -> Option<Written<Arc<Account>>> {
        self.save_edits();
        let known = self.accounts.find(key)?;
        self.on_current(&known, |account, record| {
            if record.never_lived() {
                return None;
            }
            let before = Numbers::of(record);
            return_credits(record, credits, 1);
            record.counters.unrecord(credits.as_f64());
            let ticket = self.write(|| {
                vec![self.changed(EntryKind::Goodwill, account, record, self.now(), before.until(record))]
            });
            Some(Written { value: account.clone(), ticket })
        })
    }

    /// Works on the account that has an account's credits now, after rotations, under its lock: no rotation can fall
    /// between finding it and the work.
    pub(super) fn on_current<T>(
        &self,
        known: &Arc<Account>,
        work: impl FnOnce(&Arc<Account>, &mut Record) -> T,
    ) -> T {
        let mut account = known.clone();
        loop {
            let mut record = account.lock();
            // A rotation puts the new account into the table before it lets go of the old one.
            let successor = record.successor.as_deref().and_then(|key| self.accounts.find(key));
            let Some(successor) = successor else { return work(&account, &mut record) };
            drop(record);
            account = successor;
        }
    }

    // ── Rights, limits, labels ───────────────────────────────────────────────

    /// Changes a record other than its money and writes it whole. `None`, and nothing written, when the change
    /// declines by giving `None` or the key is unknown.
    pub fn describe<T>(
        &self,
        key: &str,
        change: impl FnOnce(&mut Record, Timestamp) -> Option<T>,
    ) -> Option<Written<T>> {
        self.save_edits();
        let now = self.now();
        let account = self.accounts.find(key)?;
        let mut record = account.lock();
        let value = change(&mut record, now)?;
        let ticket = self
            .write(|| vec![self.described(EntryKind::Describe, &account, &record, now, Numbers::default())]);
        Some(Written { value, ticket })
    }

    /// Replaces an active key by a new random one, which takes over everything: balance, totals, rights, windows,
    /// team. The old record stays, inactive, showing what it last had. Gives the place of the new one.
    pub fn rotate(&self, key: &str) -> Option<Written<usize>> {
        self.save_edits();
        let now = self.now();
        let old = self.accounts.find(key)?;
        let mut old_record = old.lock();
        if !old_record.active {
            return None;
        }
        let new_key: Arc<str> = random_name(&*self.entropy, "pg_", 24).into();
        let new_record = old_record.renamed(new_key.clone());
        let all = Numbers::of(&old_record);
        old_record.active = false;
        old_record.successor = Some(new_key.clone());

        let id = self.journal.open_account();
        let new = Arc::new(Account::new(id, new_record, self.limiter.windows_of(&new_key)));
        let new_record = new.lock();
        self.limiter.rename(key, &new_key);
        let team = self.teams.rename_member(key, &new_key);
        let ticket = self.write_with(team, || {
            let out = self.described(EntryKind::RotateOut, &old, &old_record, now, all.negated());
            vec![
                Entry { balance: Credits::ZERO, ..out },
                self.described(EntryKind::RotateIn, &new, &new_record, now, all),
            ]
        });
        drop(new_record);
        let place = self.accounts.insert(new_key.clone(), new);
        drop(old_record);
        self.rotation_listeners.read().iter().for_each(|heard| heard(key, &new_key));
        Some(Written { value: place, ticket })
    }

    /// Has somebody hear of every key that is replaced from now on: after the fact, on the thread that replaced it, with
    /// no account locked.
    pub fn when_rotated(&self, listener: RotationListener) {
        self.rotation_listeners.write().push(listener);
    }

    // ── Live records ─────────────────────────────────────────────────────────

    /// Writes one field of the record at a place, as an assignment to a live record does: it counts at once and is
    /// written with the next change of any record, or by [`Self::save_edits`].
    ///
    /// # Errors
    /// A number that is no number of credits; the record is unchanged.
    pub fn edit(&self, place: usize, field: &str, value: Option<Value>) -> Result<(), CreditsError> {
        let Some(account) = self.accounts.at(place) else { return Ok(()) };
        let mut record = account.lock();
        let before = Numbers::of(&record);
        record.set(field, value)?;
        if self.durable {
            let rotated = record.successor.is_some();
            let difference = if rotated { Numbers::default() } else { before.until(&record) };
            self.unsaved.lock().entry(place).or_default().add(difference);
            self.any_unsaved.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Hands the edits of live records to the journal. Gives what to wait on, if there were any.
    pub fn save_edits(&self) -> Option<Ticket> {
        if !self.any_unsaved.swap(false, Ordering::Acquire) {
            return None;
        }
        let edits = std::mem::take(&mut *self.unsaved.lock());
        let mut last = None;
        for (place, difference) in edits {
            let Some(account) = self.accounts.at(place) else { continue };
            let record = account.lock();
            let entry = self.described(EntryKind::Describe, &account, &record, self.now(), difference);
            last = Some(self.journal.append(vec![entry], Vec::new()));
        }
        last
    }

    /// Writes the present state of a team.
    pub fn save_team(&self, change: TeamChange) -> Ticket {
        if self.durable { self.journal.append(Vec::new(), vec![change]) } else { NO_TICKET }
    }

    // ── Entries ──────────────────────────────────────────────────────────────

    fn write(&self, entries: impl FnOnce() -> Vec<Entry>) -> Ticket {
        self.write_with(None, entries)
    }

    fn write_with(&self, team: Option<TeamChange>, entries: impl FnOnce() -> Vec<Entry>) -> Ticket {
        if self.durable { self.journal.append(entries(), team.into_iter().collect()) } else { NO_TICKET }
    }

    pub(super) fn entry(&self, kind: EntryKind, account: &Account, record: &Record, at: Timestamp) -> Entry {
        debug_assert_eq!(
            record.granted,
            record.credits.get() + record.spent.get(),
            "granted = balance + spent"
        );
        Entry {
            at,
            account: account.id,
            kind,
            amount: 0,
            granted: 0,
            calls: 0,
            balance: record.credits,
            counters: record.counters,
            last_used_at: record.last_used_at,
            tool: None,
            charge: None,
            record: None,
        }
    }

    fn changed(
        &self,
        kind: EntryKind,
        account: &Account,
        record: &Record,
        at: Timestamp,
        difference: Numbers,
    ) -> Entry {
        let Numbers { amount, granted, calls } = difference;
        Entry { amount, granted, calls, ..self.entry(kind, account, record, at) }
    }

    fn described(
        &self,
        kind: EntryKind,
        account: &Account,
        record: &Record,
        at: Timestamp,
        difference: Numbers,
    ) -> Entry {
        let json = serde_json::to_string(&record.to_object()).expect("a record is plain JSON");
        let record_now =
            StoredRecord { key: record.key.clone(), json: json.into(), successor: record.successor.clone() };
        Entry { record: Some(Box::new(record_now)), ..self.changed(kind, account, record, at, difference) }
    }
}

/// Moves credits from balance to spent; `None`, and nothing moved, when the balance is below.
fn spend(record: &mut Record, now: Timestamp, credits: Credits) -> Option<()> {
    record.credits = record.credits.minus(credits)?;
    let spent = record.spent.get() + credits.get();
    record.spent = Credits::new(spent).unwrap_or(Credits::MAX);
    record.granted -= spent - record.spent.get();
    record.calls += 1;
    record.last_used_at = Some(now);
    Some(())
}

/// Moves credits from spent back to the balance. What was never spent counts as granted.
fn return_credits(record: &mut Record, credits: Credits, calls: u64) {
    let balance = record.credits.plus(credits).unwrap_or(Credits::MAX);
    let returned = balance.saturating_minus(record.credits);
    let unspent = record.spent.saturating_minus(returned);
    let from_spent = record.spent.saturating_minus(unspent);
    record.granted += returned.get() - from_spent.get();
    record.credits = balance;
    record.spent = unspent;
    record.calls = record.calls.saturating_sub(calls);
}
