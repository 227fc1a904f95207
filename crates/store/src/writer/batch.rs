//! One transaction: entries, the accounts they change, teams, payments, gaps.

use indexmap::IndexMap;
use paygate_core::journal::{AccountId, Entry, EntryKind, Payment, Sequence};
use rusqlite::{Connection, params};

use crate::losses::Gap;
use crate::payments;

/// What one transaction writes.
pub(super) struct Batch {
    pub(super) entries: Vec<(Sequence, Entry)>,
    pub(super) teams: IndexMap<Box<str>, Box<str>>,
    /// Payments, with the entries that grant them.
    pub(super) payments: Vec<(Option<Sequence>, Payment)>,
    /// The last number given when the batch was taken.
    pub(super) through: Sequence,
}

/// The connection that writes, with what it uses again and again.
pub(super) struct Writer {
    pub(super) connection: Connection,
    /// An empty list that has grown to the size of batches.
    pub(super) spare: Vec<(Sequence, Entry)>,
    changes: IndexMap<AccountId, Change>,
}

/// What a batch changes on one account.
struct Change {
    amount: i64,
    granted: i64,
    calls: i64,
    /// The place in the batch of the account's last entry, which has its counters.
    last: usize,
    /// The place of the last entry with the whole record.
    record: Option<usize>,
    /// Whether the batch opens the account.
    opens: bool,
}

const INSERT_ENTRY: &str = "INSERT INTO entries
    (seq, at, account, kind, amount, granted, calls, balance, tool, charge, open)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
const END_CHARGE: &str = "UPDATE entries SET open = 0 WHERE seq = ?1";
const CHANGE_NUMBERS: &str = "UPDATE keys SET
    credits = credits + ?2, granted = granted + ?3, calls = calls + ?4,
    daily_calls = ?5, monthly_calls = ?6, daily_credits = ?7, monthly_credits = ?8, day = ?9, month = ?10,
    last_used_at = ?11
    WHERE id = ?1";
const CHANGE_RECORD: &str = "UPDATE keys SET record = ?2, successor = ?3 WHERE id = ?1";
/// A key that is opened again keeps its place; the numbers of its old account go with that account.
const OPEN_ACCOUNT: &str = "INSERT INTO keys
    (id, key, record, successor, credits, granted, calls, day, month) VALUES (?1, ?2, '', NULL, 0, 0, 0, '', '')
    ON CONFLICT (key) DO UPDATE SET id = ?1, credits = 0, granted = 0, calls = 0 WHERE id <> ?1";
const NOTE_LAST_ACCOUNT: &str = "INSERT INTO meta (name, value) VALUES ('last_account', ?1)
    ON CONFLICT (name) DO UPDATE SET value = max(value, ?1)";
const WRITE_TEAM: &str = "INSERT INTO teams (id, record) VALUES (?1, ?2)
    ON CONFLICT (id) DO UPDATE SET record = ?2";
const WRITE_GAP: &str = "INSERT INTO gaps (first, last) VALUES (?1, ?2)
    ON CONFLICT (first) DO UPDATE SET last = ?2";

#[cfg(test)]
pub(super) const STATEMENTS: [&str; 8] = [
    INSERT_ENTRY,
    END_CHARGE,
    CHANGE_NUMBERS,
    CHANGE_RECORD,
    OPEN_ACCOUNT,
    NOTE_LAST_ACCOUNT,
    WRITE_TEAM,
    WRITE_GAP,
];

impl Writer {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, spare: Vec::new(), changes: IndexMap::new() }
    }

    /// Writes a batch and the gaps that go with it, whole or not at all.
    pub(super) fn write(&mut self, batch: &Batch, gaps: &[Gap]) -> rusqlite::Result<()> {
        run(&self.connection, "BEGIN IMMEDIATE")?;
        let written = self.write_all(batch, gaps).and_then(|()| run(&self.connection, "COMMIT"));
        if written.is_err() && !self.connection.is_autocommit() {
            // Some errors end the transaction by themselves; the others leave it to us, and cannot fail then.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        written
    }

    /// Takes back a written batch, to use its memory again.
    pub(super) fn recycle(&mut self, mut batch: Batch) {
        batch.entries.clear();
        self.spare = batch.entries;
    }

    fn write_all(&mut self, batch: &Batch, gaps: &[Gap]) -> rusqlite::Result<()> {
        self.write_entries(&batch.entries)?;
        self.write_accounts(&batch.entries)?;
        for (id, json) in &batch.teams {
            self.connection.prepare_cached(WRITE_TEAM)?.execute((id, json))?;
        }
        for (entry, payment) in &batch.payments {
            payments::write(&self.connection, *entry, payment)?;
        }
        for gap in gaps {
            write_gap(&self.connection, *gap)?;
        }
        Ok(())
    }

    fn write_entries(&mut self, entries: &[(Sequence, Entry)]) -> rusqlite::Result<()> {
        self.changes.clear();
        let mut insert = self.connection.prepare_cached(INSERT_ENTRY)?;
        for (place, (sequence, entry)) in entries.iter().enumerate() {
            insert.execute(params![
                sequence,
                entry.at.0,
                entry.account.0,
                entry.kind as u8,
                entry.amount,
                entry.granted,
                entry.calls,
                entry.balance.get(),
                entry.tool,
                entry.charge,
                entry.kind == EntryKind::Charge,
            ])?;
            if let Some(charge) = entry.charge {
                self.connection.prepare_cached(END_CHARGE)?.execute([charge])?;
            }
            add(&mut self.changes, place, entry);
        }
        Ok(())
    }

    /// Changes each account once, in the order in which they first appear: of two accounts that one key had, the
    /// later one stays.
    fn write_accounts(&self, entries: &[(Sequence, Entry)]) -> rusqlite::Result<()> {
        for (id, change) in &self.changes {
            let record = change.record.and_then(|place| entries[place].1.record.as_deref());
            if let Some(record) = record {
                if change.opens {
                    self.connection.prepare_cached(OPEN_ACCOUNT)?.execute((id.0, &record.key))?;
                    self.connection.prepare_cached(NOTE_LAST_ACCOUNT)?.execute([id.0])?;
                }
                let whole = (id.0, &record.json, &record.successor);
                self.connection.prepare_cached(CHANGE_RECORD)?.execute(whole)?;
            }
            let Entry { counters, last_used_at, .. } = &entries[change.last].1;
            self.connection.prepare_cached(CHANGE_NUMBERS)?.execute(params![
                id.0,
                change.amount,
                change.granted,
                change.calls,
                counters.daily_calls,
                counters.monthly_calls,
                counters.daily_credits,
                counters.monthly_credits,
                counters.day.as_str(),
                counters.month.as_str(),
                last_used_at.map(|at| at.0),
            ])?;
        }
        Ok(())
    }
}

fn add(changes: &mut IndexMap<AccountId, Change>, place: usize, entry: &Entry) {
    let nothing = Change { amount: 0, granted: 0, calls: 0, last: place, record: None, opens: false };
    let change = changes.entry(entry.account).or_insert(nothing);
    change.amount += entry.amount;
    change.granted += entry.granted;
    change.calls += entry.calls;
    change.last = place;
    if entry.record.is_some() {
        change.record = Some(place);
        change.opens |= matches!(entry.kind, EntryKind::Open | EntryKind::Import | EntryKind::RotateIn);
    }
}

fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// Notes that some numbers have no entries.
pub(super) fn write_gap(connection: &Connection, gap: Gap) -> rusqlite::Result<()> {
    connection.prepare_cached(WRITE_GAP)?.execute((gap.first, gap.last)).map(drop)
}

/// The last numbers that were given to an entry and to an account.
pub(super) fn last_numbers(connection: &Connection) -> rusqlite::Result<(Sequence, u64)> {
    let last = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, Option<u64>>(0));
    let entry = last("SELECT max(seq) FROM entries")?.max(last("SELECT max(last) FROM gaps")?);
    let account = last("SELECT max(value) FROM meta WHERE name = 'last_account'")?;
    Ok((entry.unwrap_or(0), account.unwrap_or(0)))
}
