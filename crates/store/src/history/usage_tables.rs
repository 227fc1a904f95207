//! Writes usage events and, with the last event of each run of them, what the run comes to.
//!
//! Events are numbered without gaps. A *block* of level 0 is a run of [`BLOCK_EVENTS`] of them, one of a higher level is
//! [`FAN_OUT`] blocks of the level below. A block is written in the transaction of its last event; the events after the
//! last block are summed up when they are asked for, so that no question reads more than two blocks of events beside
//! what is packed.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use paygate_core::usage::{UsageEvent, Who};
use rusqlite::{Connection, OptionalExtension, params};

use super::block::{NO_TENANT, Row, Sums, TenantSums, Wanted, pack_course, pack_times};

/// Events of a block of level 0; few in unit tests, so that these get to all levels.
pub(super) const BLOCK_EVENTS: i64 = if cfg!(test) { 32 } else { 4096 };
/// Blocks of which one of the next level is made.
pub(super) const FAN_OUT: i64 = if cfg!(test) { 4 } else { 16 };
/// The highest level, whose blocks have a million events.
pub(super) const TOP_LEVEL: u8 = 2;
/// The sums of a block are kept if they have at most this share of its events as lines; those of its parts are shorter
/// otherwise.
const PACKED_SHARE: u64 = 4;
/// Names that are remembered, before all are forgotten and looked up anew.
const NAMES_MAX: usize = 65_536;
/// Of the events that are kept, the share that calls without a known key may have: they must not push out what keys
/// have used.
const ANONYMOUS_SHARE: u64 = 4;

const INSERT: &str = "INSERT INTO usage (number, at, line, tenant, credits, denied, reason)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const FIND_LINE: &str =
    "SELECT id FROM usage_lines WHERE tool = ?1 AND key = ?2 AND name = ?3 AND tenant = ?4";
const INSERT_LINE: &str =
    "INSERT INTO usage_lines (tool, key, name, tenant, last) VALUES (?1, ?2, ?3, ?4, ?5)";
const FIND_REASON: &str = "SELECT id FROM usage_reasons WHERE reason = ?1 AND tenant = ?2";
const INSERT_REASON: &str = "INSERT INTO usage_reasons (reason, tenant, last) VALUES (?1, ?2, ?3)";
const INSERT_TENANT: &str = "INSERT INTO usage_tenants (namespace) VALUES (?1)";
const INSERT_BLOCK: &str = "INSERT INTO usage_blocks
    (level, block, first_at, last_at, calls, denied, credits, tenants, sums, times, course)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

/// The first number of a block.
pub(super) fn block_start(level: u8, block: i64) -> i64 {
    block * BLOCK_EVENTS * FAN_OUT.pow(level.into())
}

/// What a line is found by: tool, key, name and tenant.
type LineNames = (Box<str>, Box<str>, Box<str>, i64);

/// What the writer knows of the tables, so that it does not look it up for each event.
#[derive(Debug, Default)]
pub(super) struct Names {
    lines: HashMap<LineNames, i64>,
    reasons: HashMap<(Box<str>, i64), i64>,
    tenants: HashMap<Box<str>, i64>,
    /// Counts what other processes have written, and what this one removed, so that nothing that is gone is relied on.
    version: (i64, u64),
    /// Events without a known key.
    anonymous: Option<u64>,
}

/// Writes events in the transaction that is open, and gives how many were left out. The names must be up to date.
pub(super) fn write(
    connection: &Connection,
    names: &mut Names,
    events: &[UsageEvent],
    rows_max: u64,
) -> rusqlite::Result<u64> {
    let (mut number, mut left_out) = (next_number(connection)?, 0);
    for event in events {
        let anonymous = !matches!(event.who, Who::Known(_));
        if anonymous && names.anonymous.unwrap_or(0) >= rows_max / ANONYMOUS_SHARE {
            left_out += 1;
            continue;
        }
        let tenant = match event.namespace() {
            Some(namespace) => names.tenant(connection, namespace)?,
            None => NO_TENANT,
        };
        let line = names.line(connection, event, tenant, number)?;
        let reason = match event.reason.as_deref().filter(|reason| !reason.is_empty()) {
            Some(reason) => Some(names.reason(connection, reason, tenant, number)?),
            None => None,
        };
        let row = params![number, event.at.0, line, tenant, event.credits, !event.allowed, reason];
        connection.prepare_cached(INSERT)?.execute(row)?;
        names.anonymous = names.anonymous.map(|count| count + u64::from(anonymous));
        number += 1;
        if number % BLOCK_EVENTS == 0 {
            close_block(connection, number / BLOCK_EVENTS - 1)?;
        }
    }
    Ok(left_out)
}

impl Names {
    /// Forgets everything, after a transaction that was undone.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Forgets what may be gone. `pruned` counts how often this process removed something.
    pub(super) fn refresh(&mut self, connection: &Connection, pruned: u64) -> rusqlite::Result<()> {
        let version = (connection.pragma_query_value(None, "data_version", |row| row.get(0))?, pruned);
        if version != self.version || self.lines.len() + self.reasons.len() + self.tenants.len() > NAMES_MAX {
            self.forget();
            self.version = version;
        }
        if self.anonymous.is_none() {
            self.anonymous = Some(count_anonymous(connection)?);
        }
        Ok(())
    }

    fn tenant(&mut self, connection: &Connection, namespace: &str) -> rusqlite::Result<i64> {
        if let Some(id) = self.tenants.get(namespace) {
            return Ok(*id);
        }
        let id = match find_tenant(connection, namespace)? {
            Some(id) => id,
            None => connection.prepare_cached(INSERT_TENANT)?.insert([namespace])?,
        };
        self.tenants.insert(namespace.into(), id);
        Ok(id)
    }

    fn line(
        &mut self,
        connection: &Connection,
        event: &UsageEvent,
        tenant: i64,
        number: i64,
    ) -> rusqlite::Result<i64> {
        let name: LineNames =
            (event.tool.as_ref().into(), event.api_key().into(), event.key_name().into(), tenant);
        if let Some(id) = self.lines.get(&name) {
            return Ok(*id);
        }
        let (tool, key, key_name, tenant) = &name;
        let mut find = connection.prepare_cached(FIND_LINE)?;
        let id = match find.query_row((tool, key, key_name, tenant), |row| row.get(0)).optional()? {
            Some(id) => id,
            None => connection.prepare_cached(INSERT_LINE)?.insert((tool, key, key_name, tenant, number))?,
        };
        self.lines.insert(name, id);
        Ok(id)
    }

    fn reason(
        &mut self,
        connection: &Connection,
        reason: &str,
        tenant: i64,
        number: i64,
    ) -> rusqlite::Result<i64> {
        let name = (reason.into(), tenant);
        if let Some(id) = self.reasons.get(&name) {
            return Ok(*id);
        }
        let mut find = connection.prepare_cached(FIND_REASON)?;
        let id = match find.query_row((reason, tenant), |row| row.get(0)).optional()? {
            Some(id) => id,
            None => connection.prepare_cached(INSERT_REASON)?.insert((reason, tenant, number))?,
        };
        self.reasons.insert(name, id);
        Ok(id)
    }
}

/// The number of a tenant, if there are or were events of it.
pub(super) fn find_tenant(connection: &Connection, namespace: &str) -> rusqlite::Result<Option<i64>> {
    let mut find = connection.prepare_cached("SELECT id FROM usage_tenants WHERE namespace = ?1")?;
    find.query_row([namespace], |row| row.get(0)).optional()
}

/// The number of the next event.
pub(super) fn next_number(connection: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT max(coalesce((SELECT max(number) + 1 FROM usage), 0),
        coalesce((SELECT (max(block) + 1) * ?1 FROM usage_blocks WHERE level = 0), 0))";
    connection.prepare_cached(sql)?.query_row([BLOCK_EVENTS], |row| row.get(0))
}

fn count_anonymous(connection: &Connection) -> rusqlite::Result<u64> {
    let mut tenants = TenantSums::default();
    let mut blocks = connection.prepare("SELECT tenants FROM usage_blocks WHERE level = 0")?;
    let mut blocks = blocks.query([])?;
    while let Some(block) = blocks.next()? {
        tenants.add_packed(block.get_ref(0)?.as_blob()?)?;
    }
    each_row(connection, tail_start(connection)?, i64::MAX, |row| {
        tenants.add(&row);
        Ok(())
    })?;
    Ok(tenants.of(NO_TENANT).calls)
}

/// The number of the first event that is in no block.
pub(super) fn tail_start(connection: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT coalesce((max(block) + 1) * ?1, 0) FROM usage_blocks WHERE level = 0";
    connection.prepare_cached(sql)?.query_row([BLOCK_EVENTS], |row| row.get(0))
}

/// The events of some numbers; the last is not among them.
pub(super) fn each_row(
    connection: &Connection,
    start: i64,
    end: i64,
    mut take: impl FnMut(Row) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut rows = connection.prepare_cached(
        "SELECT number, at, line, tenant, credits, denied, reason FROM usage
        WHERE number >= ?1 AND number < ?2 ORDER BY number",
    )?;
    let mut rows = rows.query([start, end])?;
    while let Some(row) = rows.next()? {
        take(Row {
            number: row.get(0)?,
            at: row.get(1)?,
            line: row.get(2)?,
            tenant: row.get(3)?,
            credits: row.get(4)?,
            denied: row.get(5)?,
            reason: row.get(6)?,
        })?;
    }
    Ok(())
}

/// A block as its row has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) first_at: i64,
    pub(super) last_at: i64,
    pub(super) calls: u64,
    pub(super) denied: u64,
    pub(super) credits: i64,
    pub(super) tenants: Vec<u8>,
    pub(super) sums: Option<Vec<u8>>,
    pub(super) times: Option<Vec<u8>>,
    pub(super) course: Option<Vec<u8>>,
}

/// What a block of level 0 must be, by its events.
pub(super) fn block_of_events(connection: &Connection, block: i64) -> rusqlite::Result<Block> {
    let start = block_start(0, block);
    let (mut events, mut sums, mut tenants) = (Vec::new(), Sums::default(), TenantSums::default());
    each_row(connection, start, start + BLOCK_EVENTS, |row| {
        sums.add(&row);
        tenants.add(&row);
        events.push(row);
        Ok(())
    })?;
    let total = sums.total();
    Ok(Block {
        first_at: events.iter().map(|event| event.at).min().unwrap_or(i64::MAX),
        last_at: events.iter().map(|event| event.at).max().unwrap_or(i64::MIN),
        calls: total.calls,
        denied: total.denied,
        credits: total.credits,
        tenants: tenants.pack(),
        sums: Some(sums.pack(start)),
        times: Some(pack_times(&events, &tenants)),
        course: Some(pack_course(&events, &sums)),
    })
}

/// What a block of a higher level must be, by the blocks of the level below; `None` when one of them is not there.
pub(super) fn block_of_blocks(
    connection: &Connection,
    level: u8,
    block: i64,
) -> rusqlite::Result<Option<Block>> {
    let mut whole = Block {
        first_at: i64::MAX,
        last_at: i64::MIN,
        calls: 0,
        denied: 0,
        credits: 0,
        tenants: Vec::new(),
        sums: None,
        times: None,
        course: None,
    };
    let mut tenants = TenantSums::default();
    let mut sums = Some(Sums::default());
    for place in 0..FAN_OUT {
        let part = block * FAN_OUT + place;
        let Some(read) = read_block(connection, level - 1, part)? else { return Ok(None) };
        whole.first_at = whole.first_at.min(read.first_at);
        whole.last_at = whole.last_at.max(read.last_at);
        whole.calls += read.calls;
        whole.denied += read.denied;
        whole.credits = whole.credits.saturating_add(read.credits);
        tenants.add_packed(&read.tenants)?;
        match (&mut sums, &read.sums) {
            (Some(sums), Some(packed)) => {
                sums.add_packed(block_start(level - 1, part), packed, Wanted::All)?;
            }
            _ => sums = None,
        }
    }
    let start = block_start(level, block);
    whole.tenants = tenants.pack();
    let short = |sums: &Sums| sums.lines.len() as u64 <= whole.calls / PACKED_SHARE;
    whole.sums = sums.filter(short).map(|sums| sums.pack(start));
    Ok(Some(whole))
}

/// Reads a block of a higher level, or one of level 0 without its times and course.
pub(super) fn read_block(connection: &Connection, level: u8, block: i64) -> rusqlite::Result<Option<Block>> {
    let mut read = connection.prepare_cached(
        "SELECT first_at, last_at, calls, denied, credits, tenants, sums FROM usage_blocks
        WHERE level = ?1 AND block = ?2",
    )?;
    read.query_row((level, block), |row| {
        Ok(Block {
            first_at: row.get(0)?,
            last_at: row.get(1)?,
            calls: row.get(2)?,
            denied: row.get(3)?,
            credits: row.get(4)?,
            tenants: row.get(5)?,
            sums: row.get(6)?,
            times: None,
            course: None,
        })
    })
    .optional()
}

fn write_block(connection: &Connection, level: u8, number: i64, block: &Block) -> rusqlite::Result<()> {
    let Block { first_at, last_at, calls, denied, credits, tenants, sums, times, course } = block;
    connection.prepare_cached(INSERT_BLOCK)?.execute(params![
        level, number, first_at, last_at, calls, denied, credits, tenants, sums, times, course
    ])?;
    Ok(())
}

/// Writes a block of level 0 whose events are all there, and those of higher levels that it completes.
fn close_block(connection: &Connection, number: i64) -> rusqlite::Result<()> {
    let block = block_of_events(connection, number)?;
    write_block(connection, 0, number, &block)?;
    note_last_use(connection, block_start(0, number), block_start(0, number + 1) - 1)?;
    let mut number = number;
    for level in 1..=TOP_LEVEL {
        if (number + 1) % FAN_OUT != 0 {
            break;
        }
        number /= FAN_OUT;
        if let Some(block) = block_of_blocks(connection, level, number)? {
            write_block(connection, level, number, &block)?;
        }
    }
    Ok(())
}

/// Notes which lines and reasons the events of a block have, so that those that no event has any more can go.
fn note_last_use(connection: &Connection, first: i64, last: i64) -> rusqlite::Result<()> {
    for sql in [
        "UPDATE usage_lines SET last = ?2
            WHERE id IN (SELECT line FROM usage WHERE number >= ?1 AND number <= ?2)",
        "UPDATE usage_reasons SET last = ?2
            WHERE id IN (SELECT reason FROM usage WHERE number >= ?1 AND number <= ?2)",
    ] {
        connection.prepare_cached(sql)?.execute([first, last])?;
    }
    Ok(())
}

/// Forgets the oldest block of events if it is too old, or there are too many; false when nothing has to go.
pub(super) fn prune(connection: &Connection, oldest_kept: i64, rows_max: u64) -> rusqlite::Result<bool> {
    let sql = "SELECT block, last_at FROM usage_blocks WHERE level = 0 ORDER BY block LIMIT 1";
    let oldest: Option<(i64, i64)> =
        connection.prepare_cached(sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((block, last_at)) = oldest else { return Ok(false) };
    let end = block_start(0, block + 1);
    let left = (next_number(connection)? - end).cast_unsigned();
    if last_at >= oldest_kept && left < rows_max {
        return Ok(false);
    }
    let mut gone = Gone::default();
    each_row(connection, block_start(0, block), end, |row| {
        gone.add(&row);
        Ok(())
    })?;
    connection.prepare_cached("DELETE FROM usage WHERE number < ?1")?.execute([end])?;
    let mut delete = connection.prepare_cached("DELETE FROM usage_blocks WHERE level = ?1 AND block = ?2")?;
    let mut place = block;
    for level in 0..=TOP_LEVEL {
        delete.execute((level, place))?;
        place /= FAN_OUT;
    }
    gone.forget_unused(connection, end)?;
    Ok(true)
}

/// The lines and reasons of events that have gone.
#[derive(Default)]
struct Gone {
    lines: HashSet<i64>,
    reasons: HashSet<i64>,
}

impl Gone {
    fn add(&mut self, row: &Row) {
        self.lines.insert(row.line);
        self.reasons.extend(row.reason);
    }

    /// Removes those that no event from a number on has.
    fn forget_unused(mut self, connection: &Connection, from: i64) -> rusqlite::Result<()> {
        let tail = tail_start(connection)?;
        each_row(connection, tail.max(from), i64::MAX, |row| {
            self.lines.remove(&row.line);
            if let Some(reason) = row.reason {
                self.reasons.remove(&reason);
            }
            Ok(())
        })?;
        for (table, ids) in [("usage_lines", self.lines), ("usage_reasons", self.reasons)] {
            let sql = format!("DELETE FROM {table} WHERE id = ?1 AND last < ?2");
            let mut delete = connection.prepare_cached(&sql)?;
            for id in ids {
                delete.execute([id, from])?;
            }
        }
        Ok(())
    }
}

/// What is wrong with the sums, one sentence each.
pub(crate) fn faults(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut faults = Vec::new();
    let (first, end, count): (i64, i64, i64) = connection.query_row(
        "SELECT coalesce(min(number), 0), coalesce(max(number) + 1, 0), count(*) FROM usage",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    if count != end - first {
        faults.push(format!("{} usage events are missing between {first} and {end}", end - first - count));
    }
    let blocks: Vec<(u8, i64)> = connection
        .prepare("SELECT level, block FROM usage_blocks ORDER BY level, block")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let there: HashSet<(u8, i64)> = blocks.iter().copied().collect();
    for block in first / BLOCK_EVENTS..end / BLOCK_EVENTS {
        if !there.contains(&(0, block)) {
            faults.push(format!("the sums of usage events from {} on are missing", block_start(0, block)));
        }
    }
    for (level, block) in blocks {
        let due = match level {
            0 => Some(block_of_events(connection, block)?),
            _ => block_of_blocks(connection, level, block)?,
        };
        let (times, course) =
            packed_events(connection, level, block)?.map(|events| (events.times, events.course)).unzip();
        let kept = read_block(connection, level, block)?.map(|kept| Block { times, course, ..kept });
        if kept != due {
            let start = block_start(level, block);
            faults.push(format!(
                "the sums of usage events from {start} on, of level {level}, are not those of the events"
            ));
        }
    }
    Ok(faults)
}

/// The events of a block of level 0, packed.
pub(super) struct PackedEvents {
    pub(super) times: Vec<u8>,
    pub(super) course: Vec<u8>,
}

/// The packed events of a block, which one of a higher level has not.
pub(super) fn packed_events(
    connection: &Connection,
    level: u8,
    block: i64,
) -> rusqlite::Result<Option<PackedEvents>> {
    let mut read = connection
        .prepare_cached("SELECT times, course FROM usage_blocks WHERE level = ?1 AND block = ?2")?;
    read.query_row((level, block), |row| {
        let (times, course): (Option<_>, Option<_>) = (row.get(0)?, row.get(1)?);
        Ok(times.zip(course).map(|(times, course)| PackedEvents { times, course }))
    })
}

/// The text of a reason as an event has it.
pub(super) fn reason_text(connection: &Connection, id: i64) -> rusqlite::Result<Cow<'static, str>> {
    let mut read = connection.prepare_cached("SELECT reason FROM usage_reasons WHERE id = ?1")?;
    read.query_row([id], |row| row.get::<_, String>(0)).map(Cow::Owned)
}
