//! Reads accounts, teams and open charges back from the database.

use std::sync::Arc;

use paygate_core::clock::Timestamp;
use paygate_core::credits::Credits;
use paygate_core::journal::AccountId;
use paygate_core::ledger::OpenCharge;
use paygate_core::limit::quota::QuotaCounters;
use paygate_core::text::date::{Day, Month};
use rusqlite::{Connection, Row};
use serde_json::{Map, Value};

/// An account as its row has it.
#[derive(Debug)]
pub(crate) struct AccountRow {
    pub(crate) id: AccountId,
    pub(crate) key: Arc<str>,
    pub(crate) record: Map<String, Value>,
    pub(crate) successor: Option<Arc<str>>,
    pub(crate) credits: i64,
    pub(crate) granted: i64,
    pub(crate) calls: i64,
    pub(crate) counters: QuotaCounters,
    pub(crate) last_used_at: Option<Timestamp>,
}

/// Takes up all accounts, one by one, in the order of their keys.
pub(crate) fn each_account(
    connection: &Connection,
    mut take: impl FnMut(AccountRow),
) -> rusqlite::Result<()> {
    let mut rows = connection.prepare(
        "SELECT id, key, record, successor, credits, granted, calls, daily_calls, monthly_calls,
            daily_credits, monthly_credits, day, month, last_used_at FROM keys ORDER BY position",
    )?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        take(account(row)?);
    }
    Ok(())
}

/// Whether there are accounts that memory cannot hold as they are: a balance below 0, or something left on an account
/// whose key was replaced.
pub(crate) fn any_wrong(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM keys WHERE credits < 0
        OR (successor IS NOT NULL AND (credits <> 0 OR granted <> 0 OR calls <> 0)))";
    connection.query_row(sql, [], |row| row.get(0))
}

fn account(row: &Row<'_>) -> rusqlite::Result<AccountRow> {
    // A number that was none is stored as NULL; it counts as 0.
    let count = |at: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<f64>>(at)?.unwrap_or(0.0));
    let counters = QuotaCounters {
        daily_calls: count(7)?,
        monthly_calls: count(8)?,
        daily_credits: count(9)?,
        monthly_credits: count(10)?,
        day: Day::from_text(row.get_ref(11)?.as_str()?),
        month: Month::from_text(row.get_ref(12)?.as_str()?),
    };
    Ok(AccountRow {
        id: AccountId(row.get(0)?),
        key: row.get(1)?,
        record: object(row, 2)?,
        successor: row.get(3)?,
        credits: row.get(4)?,
        granted: row.get(5)?,
        calls: row.get(6)?,
        counters,
        last_used_at: row.get::<_, Option<i64>>(13)?.map(Timestamp),
    })
}

/// All teams, in the order in which they were made, with their ids.
pub(crate) fn teams(connection: &Connection) -> rusqlite::Result<Vec<(String, Map<String, Value>)>> {
    let mut rows = connection.prepare("SELECT id, record FROM teams ORDER BY position")?;
    rows.query_map([], |row| Ok((row.get(0)?, object(row, 1)?)))?.collect()
}

/// The charges whose calls have not ended.
pub(crate) fn open_charges(connection: &Connection) -> rusqlite::Result<Vec<OpenCharge>> {
    let mut rows = connection
        .prepare("SELECT seq, account, tool, -amount, calls, at FROM entries WHERE open = 1 ORDER BY seq")?;
    let charge = |row: &Row<'_>| {
        Ok(OpenCharge {
            sequence: row.get(0)?,
            account: AccountId(row.get(1)?),
            tool: row.get::<_, Option<Arc<str>>>(2)?.unwrap_or_default(),
            credits: Credits::new(row.get(3)?)
                .ok_or(rusqlite::Error::IntegralValueOutOfRange(3, i64::MAX))?,
            calls: row.get(4)?,
            at: Timestamp(row.get(5)?),
        })
    };
    rows.query_map([], charge)?.collect()
}

/// Ends, without a change, open charges of accounts that were opened anew since: nobody is left to get the credits.
pub(crate) fn end_orphans(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "UPDATE entries SET open = 0 WHERE open = 1 AND account NOT IN (SELECT id FROM keys)";
    connection.execute(sql, []).map(drop)
}

/// The number of accounts.
pub(crate) fn count_accounts(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row("SELECT count(*) FROM keys", [], |row| row.get(0))
}

fn object(row: &Row<'_>, at: usize) -> rusqlite::Result<Map<String, Value>> {
    serde_json::from_str(row.get_ref(at)?.as_str()?).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, error.into())
    })
}
