//! The books as they are read back: accounts, charges left open, and the sums that must agree.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::account::Account;
use super::charge::{Charge, Ending, RefundPolicy, Settled};
use super::ledger::{Ledger, NO_TICKET, Written};
use crate::clock::Timestamp;
use crate::credits::Credits;
use crate::journal::{AccountId, EntryKind, Sequence};
use crate::key::record::Record;
use crate::limit::quota::QuotaCounters;
use crate::text::date::{Day, Month};

/// An account as a journal has it.
#[derive(Debug, Clone)]
pub struct StoredAccount {
    /// Its number.
    pub id: AccountId,
    /// Its key.
    pub key: Arc<str>,
    /// The record as it was last written whole.
    pub record: Map<String, Value>,
    /// The balance.
    pub credits: Credits,
    /// Everything ever granted.
    pub granted: u64,
    /// Deductions.
    pub calls: u64,
    /// Use in the day and month.
    pub counters: QuotaCounters,
    /// When credits were last taken.
    pub last_used_at: Option<Timestamp>,
    /// The key that took this one's place; the numbers of such an account are those of its record.
    pub successor: Option<Arc<str>>,
}

/// A charge whose call had not ended when the books were last closed.
#[derive(Debug, Clone)]
pub struct OpenCharge {
    /// Its entry.
    pub sequence: Sequence,
    /// Whose.
    pub account: AccountId,
    /// The tool.
    pub tool: Arc<str>,
    /// The price.
    pub credits: Credits,
    /// 1 when it counted as a deduction of its own.
    pub calls: u64,
    /// When it was taken.
    pub at: Timestamp,
}

/// Sums over all accounts that are not rotated away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Everything ever granted.
    pub granted: u64,
    /// All balances.
    pub balance: u64,
    /// Everything spent.
    pub spent: u64,
}

impl Ledger {
    /// Puts back an account that the journal has. Writes nothing. `None` when its record cannot be read.
    pub fn restore(&self, stored: StoredAccount) -> Option<()> {
        let mut record = Record::from_object(stored.key.clone(), &stored.record, self.now())?;
        if stored.successor.is_none() {
            record.credits = stored.credits;
            record.granted = stored.granted;
            record.spent = Credits::new(stored.granted.saturating_sub(stored.credits.get()))?;
            record.calls = stored.calls;
            record.counters = stored.counters;
            record.last_used_at = stored.last_used_at;
            record.forget_odd_numbers();
        }
        record.successor = stored.successor;
        let account = Account::new(stored.id, record, self.limiter.windows_of(&stored.key));
        self.accounts.insert(stored.key, Arc::new(account));
        Some(())
    }

    /// Enters a record from a state file that this program did not write. A key that is known keeps its place and
    /// its account; the difference is entered. `None` when the record cannot be read.
    pub fn import(&self, key: &str, object: &Map<String, Value>) -> Option<Written<usize>> {
        let now = self.now();
        let record = Record::from_object(key.into(), object, now)?;
        let Some((place, account)) = self.accounts.find_full(key) else {
            return Some(self.insert(record, EntryKind::Import, now));
        };
        let mut known = account.lock();
        let ticket = self.replace(&account, &mut known, record, now);
        Some(Written { value: place, ticket })
    }

    /// Settles a charge that an earlier run left open. `None` when its account is gone.
    pub fn settle_left_open(&self, open: &OpenCharge, policy: RefundPolicy) -> Option<Settled> {
        let account = self.accounts.all().into_iter().find(|account| account.id == open.account)?;
        let team = self.teams.of_member(&account.lock().key);
        let charge = Charge {
            account,
            tool: open.tool.clone(),
            credits: open.credits,
            calls: open.calls,
            day: Day::of(open.at.0),
            month: Month::of(open.at.0),
            team,
            sequence: open.sequence,
            ticket: NO_TICKET,
        };
        Some(self.settle(charge, Ending::GatewayRestart, policy))
    }

    /// The sums over all accounts.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for account in self.accounts.all() {
            let record = account.lock();
            if record.successor.is_none() {
                totals.granted += record.granted;
                totals.balance += record.credits.get();
                totals.spent += record.spent.get();
            }
        }
        totals
    }
}
