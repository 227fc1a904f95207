//! Reads usage events, and what they come to: blocks that lie within a span of time are taken as they are summed up,
//! those at its ends and the events after the last block one by one.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use paygate_core::clock::Timestamp;
use paygate_core::key::record::Identity;
use paygate_core::usage::{
    AnalyticsQuery, AnalyticsReport, Kept, Selection, Tally, UsageEvent, UsageFilter, UsageHistory,
    UsageLine, UsageSummary, Who, first_told_from,
};
use rusqlite::Connection;

use super::block::{
    Course, Damaged, LineSum, Moment, NO_TENANT, Packed, ReasonSum, Row, Sums, TenantIds, TenantSums, Times,
    Wanted,
};
use super::reader::{Reader, Readers};
use super::usage_tables::{
    BLOCK_EVENTS, Block, FAN_OUT, PackedEvents, TOP_LEVEL, block_start, each_row, find_tenant, next_number,
    packed_events, read_block, reason_text, tail_start,
};

/// Events that are read at a time while they are streamed.
const PAGE: i64 = 1000;
/// Lines that are remembered while events are streamed.
const LINES_MAX: usize = 16_384;

/// The usage events of a database.
pub(super) struct StoredUsage(pub(super) Arc<Readers>);

/// Points in time from the first to the last.
#[derive(Debug, Clone, Copy)]
struct Span {
    first: i64,
    last: i64,
}

impl Span {
    const ALL: Self = Self { first: i64::MIN, last: i64::MAX };

    fn of((first, last): (Timestamp, Timestamp)) -> Self {
        Self { first: first.0, last: last.0 }
    }

    fn since(text: Option<&str>) -> Self {
        text.map_or(Self::ALL, |text| Self { first: first_told_from(text).0, last: i64::MAX })
    }

    fn has(self, at: i64) -> bool {
        self.first <= at && at <= self.last
    }

    fn has_all(self, first: i64, last: i64) -> bool {
        self.first <= first && last <= self.last
    }

    fn has_some(self, first: i64, last: i64) -> bool {
        self.first <= last && first <= self.last
    }
}

/// A question about the events of a span, of one tenant or of all.
struct Question<'a> {
    connection: &'a Connection,
    tenant: Option<Tenant>,
}

/// Whose events are asked for.
struct Tenant {
    id: i64,
    ids: TenantIds,
}

/// Stands for tenants of whom there is nothing.
const UNKNOWN_TENANT: i64 = -1;

fn tenant_id(connection: &Connection, namespace: &str) -> rusqlite::Result<i64> {
    Ok(find_tenant(connection, namespace)?.unwrap_or(UNKNOWN_TENANT))
}

impl<'a> Question<'a> {
    fn new(connection: &'a Connection, namespace: Option<&str>) -> rusqlite::Result<Self> {
        let Some(namespace) = namespace else { return Ok(Self { connection, tenant: None }) };
        let id = tenant_id(connection, namespace)?;
        let ids = |table: &str| -> rusqlite::Result<_> {
            let sql = format!("SELECT id FROM {table} WHERE tenant = ?1");
            connection.prepare_cached(&sql)?.query_map([id], |row| row.get(0))?.collect()
        };
        let ids = TenantIds { lines: ids("usage_lines")?, reasons: ids("usage_reasons")? };
        Ok(Self { connection, tenant: Some(Tenant { id, ids }) })
    }

    fn wanted(&self) -> Wanted<'_> {
        self.tenant.as_ref().map_or(Wanted::All, |tenant| Wanted::Of(&tenant.ids))
    }

    /// Whether the events of a tenant are asked for.
    fn wants(&self, tenant: i64) -> bool {
        self.tenant.as_ref().is_none_or(|wanted| wanted.id == tenant)
    }

    // ── By line ──────────────────────────────────────────────────────────────

    fn sums(&self, span: Span) -> rusqlite::Result<Sums> {
        let mut sums = Sums::default();
        if span.first > span.last {
            return Ok(sums);
        }
        if let Some((first, last)) = self.blocks()? {
            let wide = FAN_OUT.pow(TOP_LEVEL.into());
            for block in first / wide..=last / wide {
                self.add_block(&mut sums, span, TOP_LEVEL, block)?;
            }
        }
        self.each_of_tail(span, |row| sums.add(row))?;
        Ok(sums)
    }

    /// The first and the last block of level 0.
    fn blocks(&self) -> rusqlite::Result<Option<(i64, i64)>> {
        let sql = "SELECT min(block), max(block) FROM usage_blocks WHERE level = 0";
        self.connection
            .prepare_cached(sql)?
            .query_row([], |row| Ok(row.get::<_, Option<i64>>(0)?.zip(row.get(1)?)))
    }

    fn add_block(&self, sums: &mut Sums, span: Span, level: u8, block: i64) -> rusqlite::Result<()> {
        if let Some(found) = read_block(self.connection, level, block)? {
            if !span.has_some(found.first_at, found.last_at) {
                return Ok(());
            }
            let start = block_start(level, block);
            match &found.sums {
                Some(packed) if span.has_all(found.first_at, found.last_at) => {
                    return Ok(sums.add_packed(start, packed, self.wanted())?);
                }
                Some(packed) if level == 0 => {
                    return self.each_of_block(block, &found, packed, |row| {
                        if span.has(row.at) {
                            sums.add(row);
                        }
                    });
                }
                _ => {}
            }
        }
        if level > 0 {
            for part in block * FAN_OUT..(block + 1) * FAN_OUT {
                self.add_block(sums, span, level - 1, part)?;
            }
        }
        Ok(())
    }

    fn each_of_block(
        &self,
        number: i64,
        block: &Block,
        sums: &[u8],
        mut take: impl FnMut(&Row),
    ) -> rusqlite::Result<()> {
        let PackedEvents { times, course } = packed_events(self.connection, 0, number)?.ok_or(Damaged)?;
        let start = block_start(0, number);
        let mut course =
            Course::new(&Packed { start, tenants: &block.tenants, sums, times: &times, course: &course })?;
        while let Some(row) = course.next()? {
            if self.wants(row.tenant) {
                take(&row);
            }
        }
        Ok(())
    }

    fn each_of_tail(&self, span: Span, mut take: impl FnMut(&Row)) -> rusqlite::Result<()> {
        each_row(self.connection, tail_start(self.connection)?, i64::MAX, |row| {
            if span.has(row.at) && self.wants(row.tenant) {
                take(&row);
            }
            Ok(())
        })
    }

    // ── By time ──────────────────────────────────────────────────────────────

    fn buckets(&self, query: &AnalyticsQuery, span: Span) -> rusqlite::Result<Vec<Tally>> {
        let mut buckets = Buckets { query, sums: vec![LineSum::NONE; query.bucket_count()], open: None };
        let mut rows = self.connection.prepare_cached(
            "SELECT block, first_at, last_at, calls, denied, credits, tenants FROM usage_blocks
            WHERE level = 0 AND last_at >= ?1 AND first_at <= ?2 ORDER BY block",
        )?;
        let mut rows = rows.query([span.first, span.last])?;
        while let Some(row) = rows.next()? {
            let (block, first, last): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let tenants = row.get_ref(6)?.as_blob()?;
            let bucket = query.bucket_at(Timestamp(first));
            if !span.has_all(first, last) || bucket.is_none() || bucket != query.bucket_at(Timestamp(last)) {
                self.each_moment(block, tenants, |moment| buckets.add(span, moment))?;
                continue;
            }
            let sum = match &self.tenant {
                None => {
                    let (calls, denied, credits) = (row.get(3)?, row.get(4)?, row.get(5)?);
                    LineSum { calls, denied, credits, ..LineSum::NONE }
                }
                Some(tenant) => {
                    let mut sums = TenantSums::default();
                    sums.add_packed(tenants)?;
                    sums.of(tenant.id)
                }
            };
            buckets.add_sum(bucket, &sum);
        }
        self.each_of_tail(span, |row| buckets.add(span, &row.moment()))?;
        Ok(buckets.sums.iter().map(LineSum::tally).collect())
    }

    fn each_moment(&self, block: i64, tenants: &[u8], mut take: impl FnMut(&Moment)) -> rusqlite::Result<()> {
        let mut read = self
            .connection
            .prepare_cached("SELECT times FROM usage_blocks WHERE level = 0 AND block = ?1")?;
        let mut rows = read.query([block])?;
        let row = rows.next()?.ok_or(Damaged)?;
        let mut times = Times::new(row.get_ref(0)?.as_blob()?, tenants)?;
        while let Some(moment) = times.next()? {
            if self.wants(moment.tenant) {
                take(&moment);
            }
        }
        Ok(())
    }

    // ── Names ────────────────────────────────────────────────────────────────

    fn lines(&self, sums: &Sums) -> rusqlite::Result<Vec<NamedLine>> {
        let mut read =
            self.connection.prepare_cached("SELECT key, name, tool FROM usage_lines WHERE id = ?1")?;
        let named = |(line, sum): (i64, LineSum)| {
            read.query_row([line], |row| {
                Ok(NamedLine { key: row.get(0)?, name: row.get(1)?, tool: row.get(2)?, tally: sum.tally() })
            })
        };
        sums.lines_by_first().into_iter().map(named).collect()
    }

    fn reasons(&self, sums: &Sums) -> rusqlite::Result<Vec<(Cow<'static, str>, u64)>> {
        let named = |(reason, sum): (i64, ReasonSum)| Ok((reason_text(self.connection, reason)?, sum.denied));
        sums.reasons_by_first().into_iter().map(named).collect()
    }
}

struct NamedLine {
    key: String,
    name: String,
    tool: String,
    tally: Tally,
}

impl NamedLine {
    fn lend(&self) -> UsageLine<'_> {
        UsageLine { key: &self.key, key_name: &self.name, tool: &self.tool, tally: self.tally }
    }
}

/// Adds events to buckets; events come nearly in order, so the bucket of the one before is looked at first.
struct Buckets<'a> {
    query: &'a AnalyticsQuery,
    sums: Vec<LineSum>,
    /// The bucket of the last event, with its start and end.
    open: Option<(usize, i64, i64)>,
}

impl Buckets<'_> {
    fn add(&mut self, span: Span, event: &Moment) {
        if !span.has(event.at) {
            return;
        }
        let bucket = match self.open {
            Some((bucket, start, end)) if start <= event.at && event.at < end => bucket,
            _ => {
                let Some(bucket) = self.query.bucket_at(Timestamp(event.at)) else { return };
                // What is before the first bucket is in none, so that one begins here.
                let start = bucket.checked_sub(1).map_or(event.at, |before| self.query.bucket_end(before).0);
                self.open = Some((bucket, start, self.query.bucket_end(bucket).0));
                bucket
            }
        };
        event.add_to(&mut self.sums[bucket]);
    }

    fn add_sum(&mut self, bucket: Option<usize>, sum: &LineSum) {
        if let Some(known) = bucket.and_then(|bucket| self.sums.get_mut(bucket)) {
            known.add(sum);
        }
    }
}

impl UsageHistory for StoredUsage {
    fn count(&self) -> io::Result<u64> {
        self.0.read(count_all)
    }

    fn select(&self, filter: &UsageFilter) -> io::Result<Selection<Kept>> {
        let reader = self.0.reader()?;
        let span = Span::since(filter.since.as_deref());
        let namespace = filter.namespace.as_deref();
        let (count, first, end, tenant) = reader.at_once(|connection| {
            let tenant = namespace.map(|namespace| tenant_id(connection, namespace)).transpose()?;
            let count = if filter.since.is_none() && namespace.is_none() {
                count_all(connection)?
            } else {
                Question::new(connection, namespace)?.sums(span)?.total().calls
            };
            Ok((count, first_number(connection, span)?, next_number(connection)?, tenant))
        })?;
        let entries = Stream {
            reader,
            next: first,
            end,
            span,
            tenant,
            page: VecDeque::new(),
            lines: HashMap::new(),
            reasons: HashMap::new(),
        };
        Ok(Selection { count, entries: Box::new(entries) })
    }

    fn summary(&self, filter: &UsageFilter) -> io::Result<UsageSummary> {
        self.0.read(|connection| {
            let question = Question::new(connection, filter.namespace.as_deref())?;
            let sums = question.sums(Span::since(filter.since.as_deref()))?;
            let (lines, reasons) = (question.lines(&sums)?, question.reasons(&sums)?);
            let reasons = reasons.iter().map(|(reason, count)| (&**reason, *count));
            Ok(UsageSummary::of_sums(lines.iter().map(NamedLine::lend), reasons))
        })
    }

    fn report(&self, query: &AnalyticsQuery, namespace: Option<&str>) -> io::Result<AnalyticsReport> {
        self.0.read(|connection| {
            let question = Question::new(connection, namespace)?;
            let span = Span::of(query.span());
            let lines = question.lines(&question.sums(span)?)?;
            let previous = question.sums(Span::of(query.previous_span()))?.total().tally();
            let buckets = question.buckets(query, span)?;
            Ok(query.report_of_sums(lines.iter().map(NamedLine::lend), buckets, previous))
        })
    }
}

fn count_all(connection: &Connection) -> rusqlite::Result<u64> {
    // Numbers have no gaps. Asked apart, both are looked up rather than searched for.
    let bounds = "SELECT (SELECT min(number) FROM usage), (SELECT max(number) FROM usage)";
    let (first, last): (Option<i64>, Option<i64>) =
        connection.prepare_cached(bounds)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(first.zip(last).map_or(0, |(first, last)| (last - first + 1).cast_unsigned()))
}

/// A number before which no event is in a span.
fn first_number(connection: &Connection, span: Span) -> rusqlite::Result<i64> {
    if span.first == i64::MIN {
        return Ok(0);
    }
    let sql = "SELECT min(block) FROM usage_blocks WHERE level = 0 AND last_at >= ?1";
    let block: Option<i64> = connection.prepare_cached(sql)?.query_row([span.first], |row| row.get(0))?;
    block.map_or_else(|| tail_start(connection), |block| Ok(block * BLOCK_EVENTS))
}

/// Events in order, read page by page, so that no snapshot of the database is held while somebody reads slowly.
struct Stream {
    reader: Reader,
    next: i64,
    end: i64,
    span: Span,
    tenant: Option<i64>,
    page: VecDeque<Kept>,
    lines: HashMap<i64, Line>,
    reasons: HashMap<i64, Cow<'static, str>>,
}

/// A key with a tool, as events have it.
#[derive(Clone)]
struct Line {
    who: Who,
    tool: Arc<str>,
}

impl Iterator for Stream {
    type Item = io::Result<Kept>;

    fn next(&mut self) -> Option<io::Result<Kept>> {
        while self.page.is_empty() && self.next < self.end {
            if let Err(error) = self.turn() {
                self.next = self.end;
                return Some(Err(io::Error::other(error)));
            }
        }
        self.page.pop_front().map(Ok)
    }
}

impl Stream {
    fn turn(&mut self) -> rusqlite::Result<()> {
        if self.lines.len() + self.reasons.len() > LINES_MAX {
            self.lines.clear();
            self.reasons.clear();
        }
        let (start, end) = (self.next, self.end.min(self.next + PAGE));
        let Self { reader, span, tenant, page, lines, reasons, .. } = self;
        let connection = reader.connection();
        each_row(connection, start, end, |row| {
            if !span.has(row.at) || tenant.is_some_and(|tenant| tenant != row.tenant) {
                return Ok(());
            }
            let line = match lines.get(&row.line) {
                Some(line) => line,
                None => lines.entry(row.line).or_insert(read_line(connection, row.line)?),
            };

            let reason = match row.reason {
                None => None,
                Some(id) => Some(match reasons.get(&id) {
                    Some(reason) => reason.clone(),
                    None => reasons.entry(id).or_insert(reason_text(connection, id)?).clone(),
                }),
            };
            page.push_back(Kept::Own(UsageEvent {
                at: Timestamp(row.at),
                who: line.who.clone(),
                tool: line.tool.clone(),
                credits: row.credits,
                allowed: !row.denied,
                reason,
            }));
            Ok(())
        })?;
        self.next = end;
        Ok(())
    }
}

fn read_line(connection: &Connection, id: i64) -> rusqlite::Result<Line> {
    let mut read = connection.prepare_cached(
        "SELECT key, name, tool, tenant, namespace FROM usage_lines
        LEFT JOIN usage_tenants ON usage_tenants.id = tenant WHERE usage_lines.id = ?1",
    )?;
    read.query_row([id], |row| {
        let (prefix, name): (Box<str>, Box<str>) = (row.get(0)?, row.get(1)?);
        let who = if row.get::<_, i64>(3)? != NO_TENANT {
            Who::Known(Arc::new(Identity { prefix, name, namespace: row.get(4)? }))
        } else if name.is_empty() {
            // Nobody has no name; a key that is not known is called so.
            Who::Nobody
        } else {
            Who::Unknown(prefix)
        };
        Ok(Line { who, tool: row.get(2)? })
    })
}
