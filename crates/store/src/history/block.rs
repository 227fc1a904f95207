//! What a run of events comes to, packed into a few bytes an event: sums by line and by reason, and the course of the
//! events in time. A line is a key with a tool.

use foldhash::fast::RandomState;
use paygate_core::usage::Tally;

type Map<V> = std::collections::HashMap<i64, V, RandomState>;

/// Some events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LineSum {
    pub(super) calls: u64,
    pub(super) denied: u64,
    /// Of events that were let through.
    pub(super) credits: i64,
    /// The number of the first of them.
    pub(super) first: i64,
}

/// Refusals for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReasonSum {
    pub(super) denied: u64,
    /// The number of the first of them.
    pub(super) first: i64,
}

/// What some events come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) lines: Map<LineSum>,
    pub(super) reasons: Map<ReasonSum>,
}

/// One event, as its row has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) number: i64,
    pub(super) at: i64,
    pub(super) line: i64,
    pub(super) tenant: i64,
    pub(super) credits: i64,
    pub(super) denied: bool,
    pub(super) reason: Option<i64>,
}

impl LineSum {
    /// No events.
    pub(super) const NONE: Self = Self { calls: 0, denied: 0, credits: 0, first: i64::MAX };

    pub(super) fn add(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.denied = self.denied.saturating_add(other.denied);
        self.credits = self.credits.saturating_add(other.credits);
        self.first = self.first.min(other.first);
    }

    pub(super) fn tally(&self) -> Tally {
        #[expect(clippy::cast_precision_loss, reason = "all credits there are stay below 2^53")]
        Tally { calls: self.calls, credits: self.credits as f64, denied: self.denied }
    }
}

impl Row {
    fn sum(&self) -> LineSum {
        let credits = if self.denied { 0 } else { self.credits };
        LineSum { calls: 1, denied: self.denied.into(), credits, first: self.number }
    }

    pub(super) fn moment(&self) -> Moment {
        Moment { at: self.at, tenant: self.tenant, credits: self.credits, denied: self.denied }
    }
}

impl Sums {
    pub(super) fn add(&mut self, event: &Row) {
        self.add_line(event.line, &event.sum());
        if let Some(reason) = event.reason.filter(|_| event.denied) {
            self.add_reason(reason, &ReasonSum { denied: 1, first: event.number });
        }
    }

    fn add_line(&mut self, line: i64, sum: &LineSum) {
        self.lines.entry(line).and_modify(|known| known.add(sum)).or_insert(*sum);
    }

    fn add_reason(&mut self, reason: i64, sum: &ReasonSum) {
        let add = |known: &mut ReasonSum| {
            known.denied = known.denied.saturating_add(sum.denied);
            known.first = known.first.min(sum.first);
        };
        self.reasons.entry(reason).and_modify(add).or_insert(*sum);
    }

    /// Packs the sums of a run that begins at a number.
    pub(super) fn pack(&self, start: i64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.lines.len() * 8 + self.reasons.len() * 4 + 8);
        put(&mut bytes, self.lines.len() as u64);
        let mut before = 0;
        for (line, sum) in in_order(&self.lines) {
            put_signed(&mut bytes, line - before);
            put(&mut bytes, sum.calls);
            put(&mut bytes, sum.denied);
            put_signed(&mut bytes, sum.credits);
            put_signed(&mut bytes, sum.first - start);
            before = line;
        }
        put(&mut bytes, self.reasons.len() as u64);
        before = 0;
        for (reason, sum) in in_order(&self.reasons) {
            put_signed(&mut bytes, reason - before);
            put(&mut bytes, sum.denied);
            put_signed(&mut bytes, sum.first - start);
            before = reason;
        }
        bytes
    }

    /// Adds the packed sums of a run that begins at a number: the lines and reasons that are wanted.
    pub(super) fn add_packed(
        &mut self,
        start: i64,
        packed: &[u8],
        wanted: Wanted<'_>,
    ) -> Result<(), Damaged> {
        let mut bytes = Unpack(packed);
        let mut line = 0;
        for _ in 0..bytes.count()? {
            line = bytes.next_id(line)?;
            let (calls, denied, credits) = (bytes.number()?, bytes.number()?, bytes.signed()?);
            let sum = LineSum { calls, denied, credits, first: bytes.next_id(start)? };
            if wanted.line(line) {
                self.add_line(line, &sum);
            }
        }
        let mut reason = 0;
        for _ in 0..bytes.count()? {
            reason = bytes.next_id(reason)?;
            let sum = ReasonSum { denied: bytes.number()?, first: bytes.next_id(start)? };
            if wanted.reason(reason) {
                self.add_reason(reason, &sum);
            }
        }
        Ok(())
    }

    /// The sum of everything.
    pub(super) fn total(&self) -> LineSum {
        let mut total = LineSum::NONE;
        self.lines.values().for_each(|sum| total.add(sum));
        total
    }

    /// The lines, in the order in which they first appeared.
    pub(super) fn lines_by_first(&self) -> Vec<(i64, LineSum)> {
        let mut lines: Vec<_> = self.lines.iter().map(|(line, sum)| (*line, *sum)).collect();
        lines.sort_unstable_by_key(|(_, sum)| sum.first);
        lines
    }

    /// The reasons, in the order in which they first appeared.
    pub(super) fn reasons_by_first(&self) -> Vec<(i64, ReasonSum)> {
        let mut reasons: Vec<_> = self.reasons.iter().map(|(reason, sum)| (*reason, *sum)).collect();
        reasons.sort_unstable_by_key(|(_, sum)| sum.first);
        reasons
    }
}

fn in_order<V: Copy>(map: &Map<V>) -> Vec<(i64, V)> {
    let mut entries: Vec<_> = map.iter().map(|(id, sum)| (*id, *sum)).collect();
    entries.sort_unstable_by_key(|(id, _)| *id);
    entries
}

/// Which lines and reasons count.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'a> {
    All,
    /// Those of one tenant.
    Of(&'a TenantIds),
}

/// The lines and reasons of a tenant.
#[derive(Debug, Default)]
pub(super) struct TenantIds {
    pub(super) lines: std::collections::HashSet<i64, RandomState>,
    pub(super) reasons: std::collections::HashSet<i64, RandomState>,
}

impl Wanted<'_> {
    pub(super) fn line(self, line: i64) -> bool {
        match self {
            Self::All => true,
            Self::Of(ids) => ids.lines.contains(&line),
        }
    }

    fn reason(self, reason: i64) -> bool {
        match self {
            Self::All => true,
            Self::Of(ids) => ids.reasons.contains(&reason),
        }
    }
}

/// The tenant of events without a known key.
pub(super) const NO_TENANT: i64 = 0;

/// What some events come to by tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TenantSums(Map<LineSum>);

impl TenantSums {
    pub(super) fn add(&mut self, event: &Row) {
        self.add_sum(event.tenant, &event.sum());
    }

    fn add_sum(&mut self, tenant: i64, sum: &LineSum) {
        self.0.entry(tenant).or_insert(LineSum::NONE).add(sum);
    }

    pub(super) fn of(&self, tenant: i64) -> LineSum {
        self.0.get(&tenant).copied().unwrap_or(LineSum::NONE)
    }

    pub(super) fn pack(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, self.0.len() as u64);
        let mut before = 0;
        for (tenant, sum) in in_order(&self.0) {
            put_signed(&mut bytes, tenant - before);
            put(&mut bytes, sum.calls);
            put(&mut bytes, sum.denied);
            put_signed(&mut bytes, sum.credits);
            before = tenant;
        }
        bytes
    }

    pub(super) fn add_packed(&mut self, packed: &[u8]) -> Result<(), Damaged> {
        for (tenant, sum) in unpack_tenants(packed)? {
            self.add_sum(tenant, &sum);
        }
        Ok(())
    }
}

fn unpack_tenants(packed: &[u8]) -> Result<Vec<(i64, LineSum)>, Damaged> {
    let mut bytes = Unpack(packed);
    let mut tenant = 0;
    let mut sums = Vec::new();
    for _ in 0..bytes.count()? {
        tenant = bytes.next_id(tenant)?;
        let (calls, denied, credits) = (bytes.number()?, bytes.number()?, bytes.signed()?);
        sums.push((tenant, LineSum { calls, denied, credits, first: i64::MAX }));
    }
    Ok(sums)
}

/// When an event was, whose, and for how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) at: i64,
    pub(super) tenant: i64,
    pub(super) credits: i64,
    pub(super) denied: bool,
}

impl Moment {
    pub(super) fn add_to(&self, sum: &mut LineSum) {
        sum.calls += 1;
        if self.denied {
            sum.denied += 1;
        } else {
            sum.credits = sum.credits.saturating_add(self.credits);
        }
    }
}

fn places<V: Copy>(map: &Map<V>) -> Map<u64> {
    in_order(map).into_iter().map(|(id, _)| id).zip(0..).collect()
}

/// Packs when events were, whose, and for how much: what a course of time needs.
pub(super) fn pack_times(events: &[Row], tenants: &TenantSums) -> Vec<u8> {
    let tenants = places(&tenants.0);
    let mut bytes = Vec::with_capacity(events.len() * 6);
    let mut before = 0;
    for event in events {
        put_signed(&mut bytes, event.at - before);
        before = event.at;
        put(&mut bytes, zigzag(event.credits) << 1 | u64::from(event.denied));
        put(&mut bytes, tenants[&event.tenant]);
    }
    bytes
}

/// Packs of which line events were, and why they were refused.
pub(super) fn pack_course(events: &[Row], sums: &Sums) -> Vec<u8> {
    let (lines, reasons) = (places(&sums.lines), places(&sums.reasons));
    let mut bytes = Vec::with_capacity(events.len() * 2);
    for event in events {
        put(&mut bytes, lines[&event.line]);
        if event.denied {
            put(&mut bytes, event.reason.map_or(0, |reason| reasons[&reason] + 1));
        }
    }
    bytes
}

/// The times of a run of events, one by one.
pub(super) struct Times<'a> {
    bytes: Unpack<'a>,
    at: i64,
    tenants: Vec<i64>,
}

impl<'a> Times<'a> {
    pub(super) fn new(packed: &'a [u8], tenants: &[u8]) -> Result<Self, Damaged> {
        let tenants = unpack_tenants(tenants)?.into_iter().map(|(tenant, _)| tenant).collect();
        Ok(Self { bytes: Unpack(packed), at: 0, tenants })
    }

    pub(super) fn next(&mut self) -> Result<Option<Moment>, Damaged> {
        if self.bytes.0.is_empty() {
            return Ok(None);
        }
        self.at = self.bytes.next_id(self.at)?;
        let outcome = self.bytes.number()?;
        let tenant = *self.tenants.get(self.bytes.place()?).ok_or(Damaged)?;
        Ok(Some(Moment { at: self.at, tenant, credits: unzigzag(outcome >> 1), denied: outcome & 1 == 1 }))
    }
}

/// What is packed of a run of events.
pub(super) struct Packed<'a> {
    pub(super) start: i64,
    pub(super) tenants: &'a [u8],
    pub(super) sums: &'a [u8],
    pub(super) times: &'a [u8],
    pub(super) course: &'a [u8],
}

/// A run of events, one by one.
pub(super) struct Course<'a> {
    times: Times<'a>,
    bytes: Unpack<'a>,
    number: i64,
    lines: Vec<i64>,
    reasons: Vec<i64>,
}

impl<'a> Course<'a> {
    pub(super) fn new(packed: &Packed<'a>) -> Result<Self, Damaged> {
        let mut ids = Unpack(packed.sums);
        let (mut lines, mut reasons) = (Vec::new(), Vec::new());
        let mut line = 0;
        for _ in 0..ids.count()? {
            line = ids.next_id(line)?;
            lines.push(line);
            ids.skip(4)?;
        }
        let mut reason = 0;
        for _ in 0..ids.count()? {
            reason = ids.next_id(reason)?;
            reasons.push(reason);
            ids.skip(2)?;
        }
        let times = Times::new(packed.times, packed.tenants)?;
        Ok(Self { times, bytes: Unpack(packed.course), number: packed.start, lines, reasons })
    }

    pub(super) fn next(&mut self) -> Result<Option<Row>, Damaged> {
        let Some(Moment { at, tenant, credits, denied }) = self.times.next()? else { return Ok(None) };
        let line = *self.lines.get(self.bytes.place()?).ok_or(Damaged)?;
        let reason = match if denied { self.bytes.place()? } else { 0 } {
            0 => None,
            place => Some(*self.reasons.get(place - 1).ok_or(Damaged)?),
        };
        let number = self.number;
        self.number += 1;
        Ok(Some(Row { number, at, line, tenant, credits, denied, reason }))
    }
}

/// The bytes are not what was packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sums of usage events are damaged")]
pub(super) struct Damaged;

impl From<Damaged> for rusqlite::Error {
    fn from(damaged: Damaged) -> Self {
        Self::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, Box::new(damaged))
    }
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "the lowest seven bits")]
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "below 128")]
    bytes.push(number as u8);
}

fn put_signed(bytes: &mut Vec<u8>, number: i64) {
    put(bytes, zigzag(number));
}

struct Unpack<'a>(&'a [u8]);

impl Unpack<'_> {
    fn number(&mut self) -> Result<u64, Damaged> {
        let (mut number, mut shift) = (0, 0);
        loop {
            let (byte, rest) = self.0.split_first().ok_or(Damaged)?;
            self.0 = rest;
            if shift > 63 {
                return Err(Damaged);
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
            shift += 7;
        }
    }

    fn signed(&mut self) -> Result<i64, Damaged> {
        self.number().map(unzigzag)
    }

    /// What comes so far after something.
    fn next_id(&mut self, before: i64) -> Result<i64, Damaged> {
        Ok(before.wrapping_add(self.signed()?))
    }

    fn place(&mut self) -> Result<usize, Damaged> {
        usize::try_from(self.number()?).map_err(|_| Damaged)
    }

    /// How many things follow: each has a byte at least, so that damage asks for no memory.
    fn count(&mut self) -> Result<u64, Damaged> {
        let count = self.number()?;
        if count > self.0.len() as u64 { Err(Damaged) } else { Ok(count) }
    }

    fn skip(&mut self, numbers: usize) -> Result<(), Damaged> {
        for _ in 0..numbers {
            self.number()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event() -> impl Strategy<Value = (i64, i64, i64, bool, Option<i64>)> {
        (
            -1_000_000_000_000_000_i64..1_000_000_000_000_000,
            1..50_i64,
            -(1_i64 << 53)..1 << 53,
            any::<bool>(),
            proptest::option::of(1..9_i64),
        )
    }

    fn rows(start: i64, events: Vec<(i64, i64, i64, bool, Option<i64>)>) -> Vec<Row> {
        let row = |(number, (at, line, credits, denied, reason)): (i64, _)| Row {
            number,
            at,
            line,
            tenant: line % 3,
            credits,
            denied,
            reason: if denied { reason } else { None },
        };
        (start..).zip(events).map(row).collect()
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(start in 0..1_i64 << 40, events in proptest::collection::vec(event(), 0..200)) {
            let rows = rows(start, events);
            let mut sums = Sums::default();
            rows.iter().for_each(|row| sums.add(row));
            let packed = sums.pack(start);
            let mut unpacked = Sums::default();
            unpacked.add_packed(start, &packed, Wanted::All).unwrap();
            prop_assert_eq!(&unpacked, &sums);
            let mut tenants = TenantSums::default();
            rows.iter().for_each(|row| tenants.add(row));
            let (times, course) = (pack_times(&rows, &tenants), pack_course(&rows, &sums));
            let tenants = tenants.pack();
            let packed = Packed { start, tenants: &tenants, sums: &packed, times: &times, course: &course };
            let mut course = Course::new(&packed).unwrap();
            for row in &rows {
                let read = course.next().unwrap();
                prop_assert_eq!(read.as_ref(), Some(row));
            }
            prop_assert_eq!(course.next().unwrap(), None);
        }

        #[test]
        fn damaged_bytes_are_an_error_or_some_sums_but_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut sums = Sums::default();
            let _ = sums.add_packed(0, &bytes, Wanted::All);
            let _ = TenantSums::default().add_packed(&bytes);
            let packed = Packed { start: 0, tenants: &bytes, sums: &bytes, times: &bytes, course: &bytes };
            if let Ok(mut course) = Course::new(&packed) {
                while let Ok(Some(_)) = course.next() {}
            }
        }
    }

    #[test]
    fn sums_of_two_runs_are_the_sums_of_both() {
        let rows = rows(0, vec![(5, 1, 3, false, None), (6, 2, 0, true, Some(4)), (7, 1, -3, false, None)]);
        let (mut whole, mut one, mut two) = (Sums::default(), Sums::default(), Sums::default());
        rows.iter().for_each(|row| whole.add(row));
        rows[..2].iter().for_each(|row| one.add(row));
        rows[2..].iter().for_each(|row| two.add(row));
        let mut both = Sums::default();
        both.add_packed(2, &two.pack(2), Wanted::All).unwrap();
        both.add_packed(0, &one.pack(0), Wanted::All).unwrap();
        assert_eq!(both, whole);
        assert_eq!(both.total(), LineSum { calls: 3, denied: 1, credits: 0, first: 0 });
        assert_eq!(both.lines_by_first()[0].0, 1);
    }
}
