//! The record of payments: written in the transaction that grants them, and asked before the next grant.

use paygate_core::clock::Timestamp;
use paygate_core::credits::Credits;
use paygate_core::journal::{Payment, PaymentStanding, Sequence};
use rusqlite::{Connection, OptionalExtension, params};

const FIND: &str = "SELECT payments.number, payments.entry IS NOT NULL FROM payment_ids
    JOIN payments ON payments.number = payment_ids.payment WHERE payment_ids.id = ?1";
const INSERT: &str = "INSERT INTO payments (at, event, key, credits, entry) VALUES (?1, ?2, ?3, ?4, ?5)";
/// A payment that was parked is granted as it was told of last.
const GRANT: &str = "UPDATE payments SET event = ?2, key = ?3, credits = ?4, entry = ?5
    WHERE number = ?1 AND entry IS NULL";
const INSERT_ID: &str = "INSERT OR IGNORE INTO payment_ids (id, payment) VALUES (?1, ?2)";

#[cfg(test)]
pub(crate) const STATEMENTS: [&str; 4] = [FIND, INSERT, GRANT, INSERT_ID];

/// Writes a payment, granted by an entry or parked. One that is parked already keeps its number.
pub(crate) fn write(
    connection: &Connection,
    entry: Option<Sequence>,
    payment: &Payment,
) -> rusqlite::Result<()> {
    let Payment { at, ids, event, key, credits } = payment;
    let parked =
        find(connection, ids)?.into_iter().find(|(_, standing)| *standing == PaymentStanding::Parked);
    let number = match parked {
        Some((number, _)) => {
            let granted = params![number, event, key, credits.get(), entry];
            connection.prepare_cached(GRANT)?.execute(granted)?;
            number
        }
        None => {
            let new = params![at.0, event, key, credits.get(), entry];
            connection.prepare_cached(INSERT)?.insert(new)?
        }
    };
    let mut insert = connection.prepare_cached(INSERT_ID)?;
    for id in ids {
        insert.execute(params![id, number])?;
    }
    Ok(())
}

/// What became of the payment that has one of some ids; granted wins.
pub(crate) fn standing(
    connection: &Connection,
    ids: &[Box<str>],
) -> rusqlite::Result<Option<PaymentStanding>> {
    Ok(find(connection, ids)?.into_iter().map(|(_, standing)| standing).max())
}

fn find(connection: &Connection, ids: &[Box<str>]) -> rusqlite::Result<Vec<(i64, PaymentStanding)>> {
    let mut find = connection.prepare_cached(FIND)?;
    let mut found = Vec::new();
    for id in ids {
        let payment = find.query_row([id], |row| {
            let granted = row.get::<_, bool>(1)?;
            let standing = if granted { PaymentStanding::Granted } else { PaymentStanding::Parked };
            Ok((row.get(0)?, standing))
        });
        found.extend(payment.optional()?);
    }
    Ok(found)
}

/// All payments that are parked, in the order in which they came.
pub(crate) fn parked(connection: &Connection) -> rusqlite::Result<Vec<Payment>> {
    let mut payments = connection.prepare(
        "SELECT number, at, event, key, credits FROM payments WHERE entry IS NULL ORDER BY number",
    )?;
    let mut ids = connection.prepare("SELECT id FROM payment_ids WHERE payment = ?1 ORDER BY id")?;
    let mut rows = payments.query([])?;
    let mut parked = Vec::new();
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        parked.push(Payment {
            at: Timestamp(row.get(1)?),
            ids: ids.query_map([number], |row| row.get(0))?.collect::<Result<_, _>>()?,
            event: row.get(2)?,
            key: row.get(3)?,
            credits: Credits::new(row.get(4)?).unwrap_or(Credits::MAX),
        });
    }
    Ok(parked)
}
