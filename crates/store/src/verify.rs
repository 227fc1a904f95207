//! Compares the accounts with the entries they are the fold of.

use std::path::Path;

use paygate_core::journal::EntryKind;
use rusqlite::{Connection, OpenFlags};

use crate::history::{audit_faults, usage_faults};

/// What a comparison of accounts and entries found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Accounts compared.
    pub accounts: u64,
    /// Entries read.
    pub entries: u64,
    /// Charges whose calls have not ended.
    pub open: u64,
    /// What does not agree, one sentence each. Accounts are named by their numbers, never by their keys.
    pub faults: Vec<String>,
}

impl Report {
    /// Whether everything agrees.
    pub fn clean(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Recomputes every account from its entries and says where the books disagree.
///
/// Checked: balance, granted and deductions of each account are the sums over its entries; every ending names a charge,
/// and each charge ends at most once and is open exactly until then; each grant for a payment has a payment of its own on
/// record, with the same credits; the sequence has no gaps but those on record, which
/// are the numbers of charges that could not be written and those kept free for another process. Entries of an account
/// whose key was opened anew have no account to compare with and count only for the sequence. What is kept for reports
/// is checked too: usage events are numbered without gaps, and all sums are those of the events.
///
/// # Errors
/// The database cannot be read.
pub fn verify(connection: &Connection) -> rusqlite::Result<Report> {
    // One snapshot, so that commits between two questions do not look like faults.
    let snapshot = connection.unchecked_transaction()?;
    let count = |table: &str| {
        snapshot.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, u64>(0))
    };
    let open = snapshot.query_row("SELECT count(*) FROM entries WHERE open = 1", [], |row| row.get(0))?;
    let mut report =
        Report { accounts: count("keys")?, entries: count("entries")?, open, faults: Vec::new() };
    let checks = [
        accounts_agree,
        endings_name_charges,
        charges_end_once,
        payments_are_granted_once,
        sequence_is_whole,
        history_agrees,
    ];
    for check in checks {
        check(&snapshot, &mut report.faults)?;
    }
    Ok(report)
}

/// As [`verify`], for a database that may be in use by another process.
///
/// # Errors
/// The file cannot be opened or read.
pub fn verify_file(path: &Path) -> rusqlite::Result<Report> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    verify(&Connection::open_with_flags(path, flags)?)
}

/// The version of the tables from which on payments are on record.
const PAYMENTS_SINCE: i64 = 2;

type Faults = Vec<String>;

fn accounts_agree(connection: &Connection, faults: &mut Faults) -> rusqlite::Result<()> {
    let mut rows = connection.prepare(
        "SELECT keys.id, keys.credits, keys.granted, keys.calls,
            coalesce(sums.amount, 0), coalesce(sums.granted, 0), coalesce(sums.calls, 0),
            keys.successor IS NULL
        FROM keys LEFT JOIN (
            SELECT account, sum(amount) AS amount, sum(granted) AS granted, sum(calls) AS calls
            FROM entries GROUP BY account
        ) AS sums ON sums.account = keys.id ORDER BY keys.position",
    )?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        for (at, what) in [(1, "balance"), (2, "granted"), (3, "deductions")] {
            let (kept, sum): (i64, i64) = (row.get(at)?, row.get(at + 3)?);
            if kept != sum {
                faults.push(format!("account {id}: {what} is {kept}, its entries make {sum}"));
            }
        }
        let (credits, granted): (i64, i64) = (row.get(1)?, row.get(2)?);
        // What is left on a rotated account is on its way to the key that has its place.
        if row.get(7)? && credits > granted {
            faults.push(format!("account {id}: the balance {credits} is more than was granted, {granted}"));
        }
    }
    Ok(())
}

fn endings_name_charges(connection: &Connection, faults: &mut Faults) -> rusqlite::Result<()> {
    let mut rows = connection.prepare(
        "SELECT ending.seq, ending.charge FROM entries AS ending
        LEFT JOIN entries AS charge ON charge.seq = ending.charge AND charge.kind = ?1
        WHERE ending.charge IS NOT NULL AND charge.seq IS NULL",
    )?;
    let mut rows = rows.query([EntryKind::Charge as u8])?;
    while let Some(row) = rows.next()? {
        let (ending, charge): (i64, i64) = (row.get(0)?, row.get(1)?);
        faults.push(format!("entry {ending} ends {charge}, which is no charge"));
    }
    Ok(())
}

fn charges_end_once(connection: &Connection, faults: &mut Faults) -> rusqlite::Result<()> {
    let mut rows = connection.prepare(
        "SELECT ending.charge, count(*), max(charge.open) FROM entries AS ending
        JOIN entries AS charge ON charge.seq = ending.charge
        WHERE ending.charge IS NOT NULL GROUP BY ending.charge HAVING count(*) > 1 OR max(charge.open)",
    )?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let (charge, endings, open): (i64, i64, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if endings > 1 {
            faults.push(format!("charge {charge} ends {endings} times"));
        }
        if open {
            faults.push(format!("charge {charge} has ended and is still open"));
        }
    }
    Ok(())
}

fn payments_are_granted_once(connection: &Connection, faults: &mut Faults) -> rusqlite::Result<()> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version < PAYMENTS_SINCE {
        return Ok(());
    }
    let mut rows = connection.prepare(
        "SELECT seq, payments FROM (
            SELECT entries.seq, count(payments.number) AS payments FROM entries
            LEFT JOIN payments ON payments.entry = entries.seq AND payments.credits = entries.amount
            WHERE entries.kind = ?1 GROUP BY entries.seq
        ) WHERE payments <> 1",
    )?;
    let mut rows = rows.query([EntryKind::Payment as u8])?;
    while let Some(row) = rows.next()? {
        let (entry, payments): (i64, i64) = (row.get(0)?, row.get(1)?);
        faults.push(format!("entry {entry} grants {payments} payments"));
    }
    let mut rows = connection.prepare(
        "SELECT payments.number FROM payments
        LEFT JOIN entries ON entries.seq = payments.entry AND entries.kind = ?1
        WHERE payments.entry IS NOT NULL AND entries.seq IS NULL",
    )?;
    let mut rows = rows.query([EntryKind::Payment as u8])?;
    while let Some(row) = rows.next()? {
        faults.push(format!("payment {} is granted by no entry", row.get::<_, i64>(0)?));
    }
    Ok(())
}

/// The version of the tables from which on there is a history.
const HISTORY_SINCE: i64 = 3;

fn history_agrees(connection: &Connection, faults: &mut Faults) -> rusqlite::Result<()> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version >= HISTORY_SINCE {
        faults.extend(usage_faults(connection)?);
        faults.extend(audit_faults(connection)?);
    }
    Ok(())
}

fn sequence_is_whole(connection: &Connection, faults: &mut Faults) -> rusqlite::Result<()> {
    // A run of missing numbers is fine when one gap on record covers it, or several that touch.
    let mut gaps = connection.prepare("SELECT first, last FROM gaps ORDER BY first")?;
    let gaps: Vec<(i64, i64)> =
        gaps.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let mut rows = connection.prepare(
        "SELECT before + 1, seq - 1 FROM (SELECT seq, lag(seq, 1, 0) OVER (ORDER BY seq) AS before FROM entries)
        WHERE seq > before + 1",
    )?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let (first, last): (i64, i64) = (row.get(0)?, row.get(1)?);
        let mut missing = first;
        for (gap_first, gap_last) in &gaps {
            if *gap_first <= missing {
                missing = missing.max(gap_last + 1);
            }
        }
        if missing <= last {
            faults.push(format!("entries {missing} to {last} are missing"));
        }
    }
    Ok(())
}
