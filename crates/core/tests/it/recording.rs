//! A journal that keeps everything in memory, and the fold of what it kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use paygate_core::journal::{
    AccountId, Durability, Entry, EntryKind, Journal, JournalError, MemoryJournal, OnDurable, Payment,
    PaymentStanding, Sequence, TeamChange, Ticket,
};

/// Keeps entries as a durable journal would.
#[derive(Default)]
pub(crate) struct RecordingJournal {
    accounts: AtomicU64,
    entries: Mutex<Vec<Entry>>,
    payments: MemoryJournal,
    failing: AtomicBool,
}

/// What the entries of one account sum up to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Fold {
    pub(crate) balance: i64,
    pub(crate) granted: i64,
    pub(crate) calls: i64,
}

impl RecordingJournal {
    pub(crate) fn fail(&self, failing: bool) {
        self.failing.store(failing, Ordering::SeqCst);
    }

    /// The sums of each account.
    pub(crate) fn fold(&self) -> BTreeMap<AccountId, Fold> {
        let mut folds = BTreeMap::<AccountId, Fold>::new();
        for entry in self.entries.lock().iter() {
            let fold = folds.entry(entry.account).or_default();
            fold.balance += entry.amount;
            fold.granted += entry.granted;
            fold.calls += entry.calls;
        }
        folds
    }

    /// Charges that have not ended, and charges that ended more than once.
    pub(crate) fn endings(&self) -> (Vec<Sequence>, Vec<Sequence>) {
        let mut ended = BTreeMap::<Sequence, u32>::new();
        for (at, entry) in self.entries.lock().iter().enumerate() {
            match entry.kind {
                EntryKind::Charge => drop(ended.insert(at as u64 + 1, 0)),
                EntryKind::Keep | EntryKind::Refund => {
                    *ended
                        .get_mut(&entry.charge.expect("an ending names its charge"))
                        .expect("a known charge") += 1;
                }
                _ => {}
            }
        }
        let with = |wanted: fn(&u32) -> bool| ended.iter().filter(|e| wanted(e.1)).map(|e| *e.0).collect();
        (with(|times| *times == 0), with(|times| *times > 1))
    }
}

impl Journal for RecordingJournal {
    fn durability(&self) -> Durability {
        Durability::Process
    }

    fn open_account(&self) -> AccountId {
        AccountId(self.accounts.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn append(&self, entries: Vec<Entry>, _teams: Vec<TeamChange>) -> Ticket {
        let mut kept = self.entries.lock();
        let first = kept.len() as u64 + 1;
        let count = entries.len() as u64;
        kept.extend(entries);
        Ticket { first, last: first + count - 1 }
    }

    fn append_payment(&self, grant: Option<Entry>, payment: Payment) -> Ticket {
        let _ = self.payments.append_payment(grant.clone(), payment);
        self.append(grant.into_iter().collect(), Vec::new())
    }

    fn find_payment(&self, ids: &[Box<str>]) -> Result<Option<PaymentStanding>, JournalError> {
        self.payments.find_payment(ids)
    }

    fn parked_payments(&self) -> Result<Vec<Payment>, JournalError> {
        self.payments.parked_payments()
    }

    fn wait(&self, _ticket: Ticket) -> Result<(), JournalError> {
        if self.failing.load(Ordering::SeqCst) { Err(JournalError(Arc::from("disk full"))) } else { Ok(()) }
    }

    fn when_durable(&self, ticket: Ticket, done: OnDurable) {
        done(self.wait(ticket));
    }
}
