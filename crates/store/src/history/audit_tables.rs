//! The audit log on disk: one row an event, and a count of each type.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use indexmap::IndexMap;
use paygate_core::clock::{Clock, Timestamp};
use paygate_core::text::clean::sort_properties;
use paygate_core::usage::audit::{AuditEvent, AuditFilter, AuditPage, AuditStats, Bound, Paging, Sort, When};
use paygate_core::usage::{AuditHistory, Order, Selection};
use rusqlite::{Connection, Row, ToSql, params};
use serde_json::value::RawValue;

use super::reader::{Reader, Readers};

/// Events that are read at a time while they are streamed.
const PAGE: usize = 500;
/// Events that are forgotten at a time.
const PRUNED: i64 = 500;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

const COLUMNS: &str = "number, id, at, type, actor, message, metadata";
const INSERT: &str = "INSERT INTO audit (id, at, sort, type, actor, message, metadata)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const COUNT: &str = "INSERT INTO audit_types (type, sort, events, first) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (type) DO UPDATE SET events = events + ?3";

/// What happened to the log.
#[derive(Debug)]
pub(super) enum AuditChange {
    Logged(Arc<AuditEvent>),
    Cleared,
}

/// Writes changes in the transaction that is open.
pub(super) fn write(connection: &Connection, changes: &[AuditChange]) -> rusqlite::Result<()> {
    let mut types = IndexMap::<&str, Counted>::new();
    for change in changes {
        match change {
            AuditChange::Logged(event) => {
                let first = insert(connection, event)?;
                types.entry(&event.kind).or_insert(Counted { events: 0, first }).events += 1;
            }
            AuditChange::Cleared => {
                connection.execute_batch("DELETE FROM audit; DELETE FROM audit_types;")?;
                types.clear();
            }
        }
    }
    let mut count = connection.prepare_cached(COUNT)?;
    for (kind, Counted { events, first }) in types {
        count.execute((kind, Sort::of(kind) as u8, events, first))?;
    }
    Ok(())
}

/// Events of a type, and the number of the first.
struct Counted {
    events: u64,
    first: i64,
}

fn insert(connection: &Connection, event: &AuditEvent) -> rusqlite::Result<i64> {
    let AuditEvent { number: _, id, when, kind, actor, message, metadata } = event;
    let (at, sort) = (when.at.unwrap_or_default().0, Sort::of(kind) as u8);
    let row = params![id, at, sort, kind, actor, message, metadata.get()];
    connection.prepare_cached(INSERT)?.insert(row)
}

/// Forgets some of the oldest events that are too old or too many; false when nothing has to go. Each sort has a number
/// of its own, so that calls push out nothing but calls.
pub(super) fn prune(connection: &Connection, oldest_kept: i64, rows_max: u64) -> rusqlite::Result<bool> {
    let mut more = false;
    for sort in 0..Sort::COUNT {
        let sql = "SELECT coalesce(sum(events), 0) FROM audit_types WHERE sort = ?1";
        let events: u64 = connection.prepare_cached(sql)?.query_row([sort], |row| row.get(0))?;
        let spare = i64::try_from(events.saturating_sub(rows_max)).unwrap_or(i64::MAX).min(PRUNED);
        let mut gone = IndexMap::<String, u64>::new();
        {
            let mut delete = connection.prepare_cached(if spare > 0 { DELETE_FIRST } else { DELETE_OLD })?;
            let mut rows = if spare > 0 {
                delete.query(params![sort, spare])?
            } else {
                delete.query(params![sort, PRUNED, oldest_kept])?
            };
            while let Some(row) = rows.next()? {
                *gone.entry(row.get(0)?).or_default() += 1;
            }
        }
        more |= !gone.is_empty();
        for (kind, events) in gone {
            let sql = "UPDATE audit_types SET events = events - ?2 WHERE type = ?1";
            connection.prepare_cached(sql)?.execute((&kind, events))?;
        }
    }
    if more {
        connection.execute("DELETE FROM audit_types WHERE events = 0", [])?;
    }
    Ok(more)
}

/// The oldest of the sort are looked at; the first that is young enough stays, and so do those after it until it goes.
const DELETE_OLD: &str = "DELETE FROM audit WHERE at < ?3 AND number IN
    (SELECT number FROM audit WHERE sort = ?1 ORDER BY number LIMIT ?2) RETURNING type";
const DELETE_FIRST: &str = "DELETE FROM audit WHERE number IN
    (SELECT number FROM audit WHERE sort = ?1 ORDER BY number LIMIT ?2) RETURNING type";

/// The latest events of each sort, oldest first.
pub(super) fn latest(connection: &Connection, of_each_sort: usize) -> rusqlite::Result<Vec<AuditEvent>> {
    let mut events = Vec::new();
    for sort in 0..Sort::COUNT {
        let sql = format!("SELECT {COLUMNS} FROM audit WHERE sort = ?1 ORDER BY number DESC LIMIT ?2");
        let mut rows = connection.prepare(&sql)?;
        let rows = rows.query_map((sort, of_each_sort), |row| Ok((row.get::<_, i64>(0)?, event(row)?)))?;
        for row in rows {
            events.push(row?);
        }
    }
    events.sort_by_key(|(number, _)| *number);
    Ok(events.into_iter().map(|(_, event)| event).collect())
}

fn event(row: &Row<'_>) -> rusqlite::Result<AuditEvent> {
    let metadata: String = row.get(6)?;
    Ok(AuditEvent {
        number: row.get::<_, i64>(0)?.cast_unsigned(),
        id: row.get(1)?,
        when: When::at(Timestamp(row.get(2)?)),
        kind: row.get::<_, String>(3)?.into(),
        actor: row.get(4)?,
        message: row.get(5)?,
        metadata: RawValue::from_string(metadata).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(6, rusqlite::types::Type::Text, error.into())
        })?,
    })
}

/// The audit events of a database.
pub(super) struct StoredAudit {
    pub(super) readers: Arc<Readers>,
    pub(super) clock: Arc<dyn Clock>,
}

/// A filter as the database understands it; the actor is looked at afterwards.
struct Conditions {
    sql: String,
    values: Vec<Box<dyn ToSql + Send>>,
    /// A part of the actor, in small letters.
    actor: String,
}

/// A row's number, and its event if it can be read.
type NumberedRow = (i64, Option<AuditEvent>);

impl Conditions {
    /// `None` when nothing can fulfil them.
    fn of(filter: &AuditFilter) -> Option<Self> {
        let mut sql = String::from("1");
        let mut values: Vec<Box<dyn ToSql + Send>> = Vec::new();
        for (bound, order) in [(filter.since, ">="), (filter.until, "<=")] {
            match bound {
                None => {}
                Some(Bound::Unreadable) => return None,
                Some(Bound::At(at)) => {
                    sql.push_str(&format!(" AND at {order} ?"));
                    values.push(Box::new(at.0));
                }
            }
        }
        if !filter.types.is_empty() {
            let marks = vec!["?"; filter.types.len()].join(", ");
            sql.push_str(&format!(" AND type IN ({marks})"));
            let mut sorts = [false; Sort::COUNT];
            for kind in &filter.types {
                sorts[Sort::of(kind) as usize] = true;
                values.push(Box::new(kind.clone()));
            }
            // One sort has an index, in which the many calls are not among the few things that admins do.
            if let [sort] = (0..Sort::COUNT).filter(|sort| sorts[*sort]).collect::<Vec<_>>()[..] {
                sql.push_str(&format!(" AND sort = {sort}"));
            }
        }
        Some(Self { sql, values, actor: filter.actor.to_lowercase() })
    }

    fn values(&self) -> Vec<&dyn ToSql> {
        self.values.iter().map(|value| &**value as &dyn ToSql).collect()
    }

    fn count(&self, connection: &Connection, filter: &AuditFilter) -> rusqlite::Result<u64> {
        if !self.actor.is_empty() {
            let mut rows = connection.prepare(&format!("SELECT actor FROM audit WHERE {}", self.sql))?;
            let mut rows = rows.query(&self.values()[..])?;
            let mut count = 0;
            while let Some(row) = rows.next()? {
                count += u64::from(AuditFilter::picks_actor(row.get_ref(0)?.as_str()?, &self.actor));
            }
            return Ok(count);
        }
        // Types are counted already.
        let table = if filter.since.is_none() && filter.until.is_none() {
            let sql = self.sql.as_str();
            format!("SELECT coalesce(sum(events), 0) FROM audit_types WHERE {sql}")
        } else {
            format!("SELECT count(*) FROM audit WHERE {}", self.sql)
        };
        connection.query_row(&table, &self.values()[..], |row| row.get(0))
    }

    /// The next events after a number, in some order, up to an end; with the number to go on from.
    fn page(
        &self,
        connection: &Connection,
        order: Order,
        from: i64,
        end: i64,
        most: usize,
    ) -> rusqlite::Result<(Vec<NumberedRow>, bool)> {
        let (beyond, direction) = match order {
            Order::OldestFirst => ("number > ? AND number <= ?", "ASC"),
            Order::NewestFirst => ("number < ? AND number <= ?", "DESC"),
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM audit WHERE {} AND {beyond} ORDER BY number {direction} LIMIT ?",
            self.sql
        );
        let most_given = i64::try_from(most).unwrap_or(i64::MAX);
        let mut values = self.values();
        values.extend([&from as &dyn ToSql, &end, &most_given]);
        let mut read = connection.prepare_cached(&sql)?;
        let mut rows = read.query(&values[..])?;
        let mut page = Vec::new();
        while let Some(row) = rows.next()? {
            let picked = AuditFilter::picks_actor(row.get_ref(4)?.as_str()?, &self.actor);
            page.push((row.get(0)?, if picked { Some(event(row)?) } else { None }));
        }
        let more = page.len() == most;
        Ok((page, more))
    }
}

fn last_number(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT coalesce(max(number), 0) FROM audit", [], |row| row.get(0))
}

impl AuditHistory for StoredAudit {
    fn select(&self, filter: &AuditFilter, order: Order) -> io::Result<Selection<Arc<AuditEvent>>> {
        let Some(conditions) = Conditions::of(filter) else { return Ok(Vec::new().into()) };
        let reader = self.readers.reader()?;
        let (count, end) = reader
            .at_once(|connection| Ok((conditions.count(connection, filter)?, last_number(connection)?)))?;
        let from = match order {
            Order::OldestFirst => 0,
            Order::NewestFirst => end + 1,
        };
        let page = VecDeque::new();
        let stream = Stream { reader, conditions, order, from, end, page, more: true };
        Ok(Selection { count, entries: Box::new(stream) })
    }

    fn query(&self, filter: &AuditFilter, paging: Paging) -> io::Result<AuditPage> {
        let (offset, limit) = paging.page_bounds();
        let page = |total, events| AuditPage { total, offset, limit, events };
        let Some(conditions) = Conditions::of(filter) else { return Ok(page(0, Vec::new())) };
        let reader = self.readers.reader()?;
        let (total, end) = reader
            .at_once(|connection| Ok((conditions.count(connection, filter)?, last_number(connection)?)))?;
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative; saturates"
        )]
        let (first, last) = (offset as usize, (offset + limit) as usize);
        if first >= total {
            return Ok(page(total, Vec::new()));
        }
        let (order, from, more) = (Order::NewestFirst, end + 1, true);
        let stream = Stream { reader, conditions, order, from, end, page: VecDeque::new(), more };
        let events = stream.skip(first).take(last - first).collect::<io::Result<_>>()?;
        Ok(page(total, events))
    }

    fn stats(&self) -> io::Result<AuditStats> {
        let now = self.clock.wall().0;
        self.readers.read(|connection| {
            let mut events_by_type = IndexMap::new();
            let mut types =
                connection.prepare_cached("SELECT type, events FROM audit_types ORDER BY first")?;
            let mut types = types.query([])?;
            let mut total_events = 0;
            while let Some(row) = types.next()? {
                let events: usize = row.get(1)?;
                total_events += events;
                events_by_type.insert(row.get::<_, String>(0)?.into(), events);
            }
            sort_properties(&mut events_by_type);
            let time = |end: &str| {
                let sql = format!("SELECT at FROM audit ORDER BY number {end} LIMIT 1");
                let mut rows = connection.prepare_cached(&sql)?;
                let mut rows = rows.query([])?;
                let at: Option<i64> = rows.next()?.map(|row| row.get(0)).transpose()?;
                Ok::<_, rusqlite::Error>(at.map(|at| Timestamp(at).to_string()))
            };
            let since = |start: i64| {
                let sql = "SELECT count(*) FROM audit WHERE at >= ?1";
                connection.prepare_cached(sql)?.query_row([start], |row| row.get(0))
            };
            Ok(AuditStats {
                total_events,
                oldest_event: time("ASC")?,
                newest_event: time("DESC")?,
                events_by_type,
                events_last_hour: since(now - HOUR_MS)?,
                events_last_day: since(now - DAY_MS)?,
            })
        })
    }
}

/// Events in order, read page by page, so that no snapshot of the database is held while somebody reads slowly.
struct Stream {
    reader: Reader,
    conditions: Conditions,
    order: Order,
    from: i64,
    end: i64,
    page: VecDeque<Arc<AuditEvent>>,
    more: bool,
}

impl Iterator for Stream {
    type Item = io::Result<Arc<AuditEvent>>;

    fn next(&mut self) -> Option<io::Result<Arc<AuditEvent>>> {
        while self.page.is_empty() && self.more {
            match self.conditions.page(self.reader.connection(), self.order, self.from, self.end, PAGE) {
                Ok((page, more)) => {
                    self.more = more;
                    self.from = page.last().map_or(self.from, |(number, _)| *number);
                    self.page.extend(page.into_iter().filter_map(|(_, event)| event.map(Arc::new)));
                }
                Err(error) => {
                    self.more = false;
                    return Some(Err(io::Error::other(error)));
                }
            }
        }
        self.page.pop_front().map(Ok)
    }
}

/// What is wrong with the counts, one sentence each.
pub(crate) fn faults(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut wrong = connection.prepare(
        "SELECT coalesce(kept.type, counted.type), coalesce(kept.events, 0), coalesce(counted.events, 0)
        FROM audit_types AS kept
        FULL JOIN (SELECT type, count(*) AS events FROM audit GROUP BY type) AS counted
            ON counted.type = kept.type
        WHERE kept.events IS NOT counted.events",
    )?;
    let fault = |row: &Row<'_>| {
        let (kind, kept, counted): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(format!("{kept} audit events of type {kind} are on record, and there are {counted}"))
    };
    wrong.query_map([], fault)?.collect()
}
