//! Puts right, before accounts are read back, what two programs or a failing disk can leave in the books.

use std::collections::HashMap;
use std::sync::Arc;

use paygate_core::clock::Timestamp;
use paygate_core::credits::Credits;
use paygate_core::journal::{Entry, EntryKind};
use paygate_core::ledger::StoredAccount;

use crate::read::AccountRow;

/// Finds what must be entered for every account to be one that memory can hold, and applies it to the rows.
///
/// - What is left on an account whose key was replaced moves to the key that has its place: a charge was dropped, or
///   given back, while the key was being rotated.
/// - A balance below 0 is made 0 by granting what was spent too much: two programs spent the same credits.
pub(crate) fn corrections(rows: &mut [AccountRow], now: Timestamp) -> Vec<Entry> {
    let mut entries = Vec::new();
    let places: HashMap<Arc<str>, usize> =
        rows.iter().enumerate().map(|(place, row)| (row.key.clone(), place)).collect();
    for from in 0..rows.len() {
        let (amount, granted, calls) = (rows[from].credits, rows[from].granted, rows[from].calls);
        if rows[from].successor.is_none() || (amount, granted, calls) == (0, 0, 0) {
            continue;
        }
        let Some(to) = current(rows, &places, from) else { continue };
        entries.push(rows[from].change(EntryKind::RotateOut, now, -amount, -granted, -calls));
        entries.push(rows[to].change(EntryKind::RotateIn, now, amount, granted, calls));
    }
    for row in rows {
        let debt = -row.credits;
        if row.successor.is_none() && debt > 0 {
            entries.push(row.change(EntryKind::Grant, now, debt, debt, 0));
        }
    }
    entries
}

/// The place of the account that a rotated key's has become.
fn current(rows: &[AccountRow], places: &HashMap<Arc<str>, usize>, from: usize) -> Option<usize> {
    let mut place = from;
    // Bounded, should the rows of a damaged database name each other in a ring.
    for _ in 0..rows.len() {
        let Some(successor) = &rows[place].successor else { return Some(place) };
        place = *places.get(successor)?;
    }
    None
}

impl AccountRow {
    /// Changes the numbers and gives the entry that says so.
    fn change(&mut self, kind: EntryKind, at: Timestamp, amount: i64, granted: i64, calls: i64) -> Entry {
        self.credits += amount;
        self.granted += granted;
        self.calls += calls;
        Entry {
            at,
            account: self.id,
            kind,
            amount,
            granted,
            calls,
            balance: balance(self.credits),
            counters: self.counters,
            last_used_at: self.last_used_at,
            tool: None,
            charge: None,
            record: None,
        }
    }

    /// The account as the ledger takes it.
    pub(crate) fn stored(self) -> StoredAccount {
        StoredAccount {
            id: self.id,
            key: self.key,
            record: self.record,
            credits: balance(self.credits),
            granted: u64::try_from(self.granted).unwrap_or(0),
            calls: u64::try_from(self.calls).unwrap_or(0),
            counters: self.counters,
            last_used_at: self.last_used_at,
            successor: self.successor,
        }
    }
}

fn balance(credits: i64) -> Credits {
    u64::try_from(credits).map_or(Credits::ZERO, |credits| Credits::new(credits).unwrap_or(Credits::MAX))
}
