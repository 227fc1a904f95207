//! Where changes become durable before they are acknowledged: the trait, and the journal that keeps nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::clock::Timestamp;
use crate::credits::Credits;
use crate::limit::quota::QuotaCounters;

/// The place of an entry in the books: 1 for the first, without gaps, rising with time on each account.
pub type Sequence = u64;

/// Names an account for the life of its books. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub u64);

/// What a journal promises of an entry before it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: the books end with the process.
    Memory,
    /// The entry survives the end of the process, not a power cut.
    Process,
    /// The entry survives a power cut.
    Power,
}

/// One change of one account.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Whose.
    pub account: AccountId,
    /// What happened.
    pub kind: EntryKind,
    /// Change of the balance.
    pub amount: i64,
    /// Change of what was ever granted. What was spent changes by `granted − amount`.
    pub granted: i64,
    /// Change of the number of deductions.
    pub calls: i64,
    /// The balance afterwards.
    pub balance: Credits,
    /// Use in the day and month afterwards.
    pub counters: QuotaCounters,
    /// When credits were last taken, afterwards.
    pub last_used_at: Option<Timestamp>,
    /// The tool that was paid for.
    pub tool: Option<Arc<str>>,
    /// For an ending: the charge that ended.
    pub charge: Option<Sequence>,
    /// The whole record as JSON, when more than numbers changed.
    pub record: Option<Box<StoredRecord>>,
}

/// A record in full, for entries that open an account or change more than its numbers.
#[derive(Debug, Clone)]
pub struct StoredRecord {
    /// The key.
    pub key: Arc<str>,
    /// The record as the state file has it.
    pub json: Box<str>,
    /// The key that took this one's place.
    pub successor: Option<Arc<str>>,
}

/// What an entry stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum EntryKind {
    /// An account was opened, with what was granted at first.
    Open = 1,
    /// An account was read from a state file that this program did not write.
    Import = 2,
    /// Credits were granted.
    Grant = 3,
    /// A charge was taken whose call has not ended.
    Charge = 4,
    /// A charge was taken for good, in one go.
    Spend = 5,
    /// A charge ended and was kept.
    Keep = 6,
    /// A charge ended and was given back.
    Refund = 7,
    /// Credits were given back that no charge is named for.
    Goodwill = 8,
    /// Limits, rights or labels changed, a number was written by hand, or counters were set right.
    Describe = 9,
    /// The key was replaced by another; its balance moved there.
    RotateOut = 10,
    /// The account took over the balance of the key it replaces.
    RotateIn = 11,
    /// Credits were granted for a payment that is on record.
    Payment = 12,
}

impl EntryKind {
    /// Every kind, in the order of its number.
    pub const ALL: [Self; 12] = [
        Self::Open,
        Self::Import,
        Self::Grant,
        Self::Charge,
        Self::Spend,
        Self::Keep,
        Self::Refund,
        Self::Goodwill,
        Self::Describe,
        Self::RotateOut,
        Self::RotateIn,
        Self::Payment,
    ];
}

/// The change of a team that came with an entry, or by itself.
#[derive(Debug, Clone)]
pub struct TeamChange {
    /// The team.
    pub id: Box<str>,
    /// The team as JSON, afterwards.
    pub json: Box<str>,
}

/// A payment for credits, as the books keep it: whoever tells of it, and however often, it is granted once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// When it was first told of.
    pub at: Timestamp,
    /// The ids it is known by, each with its kind in front. A payment that has one of them is the same payment.
    pub ids: Vec<Box<str>>,
    /// What told of it.
    pub event: Box<str>,
    /// The key that was paid for, as it was told.
    pub key: Box<str>,
    /// What was paid for.
    pub credits: Credits,
}

/// What has become of a payment that is on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PaymentStanding {
    /// There was no key to grant it to.
    Parked,
    /// It was granted.
    Granted,
}

/// The sequence numbers given to the entries of one append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The first entry's.
    pub first: Sequence,
    /// The last entry's.
    pub last: Sequence,
}

/// Why the books could not be kept.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the journal could not be written; nothing was charged: {0}")]
pub struct JournalError(pub Arc<str>);

/// Told once whether a ticket's entries are durable.
pub type OnDurable = Box<dyn FnOnce(Result<(), JournalError>) + Send>;

/// Where entries become durable. Callable from any thread.
///
/// Entries that take a charge ([`EntryKind::Charge`]) are dropped when they cannot be written: their charge is
/// undone in memory by whoever waited. All other entries are kept and written with the next ones.
pub trait Journal: Send + Sync + 'static {
    /// What an acknowledged entry survives.
    fn durability(&self) -> Durability;

    /// A number for a new account.
    fn open_account(&self) -> AccountId;

    /// Hands entries over, in order, and gives them their numbers. Returns at once. May be called under an
    /// account's lock: the numbers of one account's entries rise in the order of its changes.
    fn append(&self, entries: Vec<Entry>, teams: Vec<TeamChange>) -> Ticket;

    /// As [`Self::append`], with a payment that goes on record in the same commit: granted by the entry, or parked when
    /// there is none.
    fn append_payment(&self, grant: Option<Entry>, payment: Payment) -> Ticket;

    /// What became of the payment that has one of some ids, once that is as durable as the journal promises. `None` when
    /// none is on record. Granted wins, should the ids belong to several.
    ///
    /// # Errors
    /// The record cannot be read, or payments wait to be written and cannot be.
    fn find_payment(&self, ids: &[Box<str>]) -> Result<Option<PaymentStanding>, JournalError>;

    /// Payments that are parked, in the order in which they came.
    ///
    /// # Errors
    /// The record cannot be read.
    fn parked_payments(&self) -> Result<Vec<Payment>, JournalError>;

    /// Returns once the entries are as durable as the journal promises.
    ///
    /// # Errors
    /// They could not be written.
    fn wait(&self, ticket: Ticket) -> Result<(), JournalError>;

    /// As [`Self::wait`], but calls back, from any thread, at once if there is nothing to wait for.
    fn when_durable(&self, ticket: Ticket, done: OnDurable);
}

/// A journal that numbers entries and keeps none. Payments it remembers for the life of the process: a few hundred
/// bytes each, and whoever tells of them is trusted.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    sequence: AtomicU64,
    accounts: AtomicU64,
    payments: Mutex<PaymentRecord>,
}

/// Payments on record in memory.
#[derive(Debug, Default)]
struct PaymentRecord {
    standings: HashMap<Box<str>, PaymentStanding>,
    parked: Vec<Payment>,
}

impl PaymentRecord {
    fn find(&self, ids: &[Box<str>]) -> Option<PaymentStanding> {
        ids.iter().filter_map(|id| self.standings.get(id)).max().copied()
    }

    fn enter(&mut self, payment: Payment, standing: PaymentStanding) {
        let mut ids = payment.ids.clone();
        self.parked.retain_mut(|parked| {
            if !parked.ids.iter().any(|id| payment.ids.contains(id)) {
                return true;
            }
            ids.append(&mut parked.ids);
            false
        });
        self.standings.extend(ids.into_iter().map(|id| (id, standing)));
        if standing == PaymentStanding::Parked {
            self.parked.push(payment);
        }
    }
}

impl Journal for MemoryJournal {
    fn durability(&self) -> Durability {
        Durability::Memory
    }

    fn open_account(&self) -> AccountId {
        AccountId(self.accounts.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn append(&self, entries: Vec<Entry>, _teams: Vec<TeamChange>) -> Ticket {
        let count = entries.len() as u64;
        let before = self.sequence.fetch_add(count, Ordering::Relaxed);
        Ticket { first: before + 1, last: before + count }
    }

    fn append_payment(&self, grant: Option<Entry>, payment: Payment) -> Ticket {
        let standing = if grant.is_some() { PaymentStanding::Granted } else { PaymentStanding::Parked };
        self.payments.lock().enter(payment, standing);
        self.append(grant.into_iter().collect(), Vec::new())
    }

    fn find_payment(&self, ids: &[Box<str>]) -> Result<Option<PaymentStanding>, JournalError> {
        Ok(self.payments.lock().find(ids))
    }

    fn parked_payments(&self) -> Result<Vec<Payment>, JournalError> {
        Ok(self.payments.lock().parked.clone())
    }

    fn wait(&self, _ticket: Ticket) -> Result<(), JournalError> {
        Ok(())
    }

    fn when_durable(&self, _ticket: Ticket, done: OnDurable) {
        done(Ok(()));
    }
}
