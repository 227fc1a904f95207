//! Reports over events: by time, tool and consumer, and against the period before.
//!
//! A report reads any events, ours or those of a script, each once. Times are compared as text, as 2.9.0 compared
//! them: a range that is written without milliseconds, or as a date alone, selects by its letters.

use std::cmp::Ordering;
use std::ops::Range;

use foldhash::fast::RandomState;
use indexmap::IndexMap;
use serde::{Serialize, Serializer};

use super::meter::Kept;
use crate::clock::Timestamp;
use crate::key::record::number_value;
use crate::text::date::{INSTANT_MAX, iso, local_zone, parse_date, parse_usual};
use crate::text::round::to_tenths;
use crate::text::trim::cut;

/// Most buckets that a report may have.
pub const BUCKETS_MAX: u64 = 10_000;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Consumers that are listed unless asked otherwise.
const CONSUMERS: f64 = 10.0;

/// What a report is asked for. What is absent or empty has a default.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct AnalyticsOptions<'a> {
    /// The start, which is in the range; a day before now unless given.
    pub from: Option<&'a str>,
    /// The end, which is in the range; now unless given.
    pub to: Option<&'a str>,
    /// `hourly`, the default; any other word counts in days.
    pub granularity: Option<&'a str>,
    /// How many consumers are listed; a negative number leaves so many of the last ones out. 0 and NaN are 10.
    pub top: f64,
}

/// Why there is no report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnalyticsError {
    /// The start, the end, or the start of the period before is no date.
    #[error("Invalid time value")]
    InvalidTime,
    /// The range is too long for its granularity.
    #[error("the range has {0} buckets, but a report has at most {BUCKETS_MAX}")]
    TooManyBuckets(u64),
}

/// When an event was.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum EventTime<'a> {
    /// At a point in time, which is told in the usual form.
    At(Timestamp),
    /// At what this text says; it may be anything.
    Text(&'a str),
}

/// An event as a report reads it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EventView<'a> {
    /// When.
    pub time: EventTime<'a>,
    /// What stands for the key.
    pub key: &'a str,
    /// The key's name; may be empty.
    pub key_name: &'a str,
    /// Which tool.
    pub tool: &'a str,
    /// Credits taken; negative when given back.
    pub credits: f64,
    /// Whether the call was let through.
    pub allowed: bool,
}

/// Calls, credits and refusals of a time, a tool or a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Tally {
    /// Events, refunds included.
    pub calls: u64,
    /// Credits of events that were let through, refunds subtracted.
    pub credits: f64,
    /// Events that were refused.
    pub denied: u64,
}

/// Events of one key and tool, counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UsageLine<'a> {
    /// What stands for the key.
    pub key: &'a str,
    /// The key's name; may be empty.
    pub key_name: &'a str,
    /// Which tool.
    pub tool: &'a str,
    /// The events.
    pub tally: Tally,
}

/// What was asked for, with its defaults, and what follows from it.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalyticsQuery {
    from: Bound,
    to: Bound,
    granularity: String,
    bucket_ms: i64,
    buckets: usize,
    previous_from: Bound,
    top: f64,
}

/// An end of a range.
#[derive(Debug, Clone, PartialEq)]
struct Bound {
    text: String,
    ms: i64,
    /// Whether the text is what the point in time is told as, so that points in time need not be told to be compared.
    usual: bool,
}

/// Sums over the events of a range. Serialises as 2.9.0 answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AnalyticsReport {
    /// The start, as given.
    pub from: String,
    /// The end, as given.
    pub to: String,
    /// As given.
    pub granularity: String,
    /// From the start on, without a gap; the last bucket ends with the range.
    pub time_series: Vec<TimeBucket>,
    /// By calls, most first.
    pub tools: Vec<ToolBreakdown>,
    /// By credits, most first.
    pub top_consumers: Vec<TopConsumer>,
    /// Against the period before.
    pub trend: Trend,
    /// The whole range.
    pub summary: AnalyticsSummary,
}

/// An hour or a day of a report.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the members say it")]
pub struct TimeBucket {
    pub start: String,
    pub end: String,
    pub calls: u64,
    pub allowed: u64,
    pub denied: u64,
    #[serde(serialize_with = "plain_number")]
    pub credits: f64,
}

/// One tool of a report.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolBreakdown {
    /// The tool's name.
    pub tool: String,
    /// Events.
    pub calls: u64,
    /// Events that were let through.
    pub allowed: u64,
    /// Events that were refused.
    pub denied: u64,
    /// Credits of events that were let through.
    #[serde(serialize_with = "plain_number")]
    pub credits: f64,
    /// Of all events, those that were let through: 0 to 1.
    #[serde(serialize_with = "plain_number")]
    pub success_rate: f64,
    /// Credits by event that was let through; 0 without any.
    #[serde(serialize_with = "plain_number")]
    pub avg_credits_per_call: f64,
}

/// One key of a report.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopConsumer {
    /// The key's name, or what stands for the key.
    pub key_name: String,
    /// Events.
    pub calls: u64,
    /// Credits of events that were let through.
    #[serde(serialize_with = "plain_number")]
    pub credits: f64,
    /// Events that were refused.
    pub denied: u64,
    /// The tool of most events.
    pub top_tool: String,
}

/// A range against the period of the same length before it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trend {
    /// The range.
    pub current: Tally,
    /// The period before.
    pub previous: Tally,
    /// From one to the other, in percent with one decimal.
    pub change: TrendChange,
}

/// Changes in percent; `None` against nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the members say it")]
pub struct TrendChange {
    #[serde(serialize_with = "plain_percent")]
    pub calls: Option<f64>,
    #[serde(serialize_with = "plain_percent")]
    pub credits: Option<f64>,
    #[serde(serialize_with = "plain_percent")]
    pub denied: Option<f64>,
}

/// The whole range.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AnalyticsSummary {
    /// Events.
    pub total_calls: u64,
    /// Credits of events that were let through.
    #[serde(serialize_with = "plain_number")]
    pub total_credits: f64,
    /// Events that were refused.
    pub total_denied: u64,
    /// Texts that stand for keys.
    pub unique_keys: usize,
    /// Names of tools.
    pub unique_tools: usize,
    /// Of all events, those that were let through; 1 without any.
    #[serde(serialize_with = "plain_number")]
    pub success_rate: f64,
}

fn plain_number<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    number_value(*number).serialize(serializer)
}

fn plain_percent<S: Serializer>(percent: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    percent.map(number_value).serialize(serializer)
}

impl Serialize for Tally {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown {
            calls: u64,
            #[serde(serialize_with = "plain_number")]
            credits: f64,
            denied: u64,
        }
        Shown { calls: self.calls, credits: self.credits, denied: self.denied }.serialize(serializer)
    }
}

impl Tally {
    fn add(&mut self, event: &EventView<'_>) {
        self.calls += 1;
        if event.allowed {
            self.credits += event.credits;
        } else {
            self.denied += 1;
        }
    }

    fn add_tally(&mut self, other: &Self) {
        self.calls += other.calls;
        self.credits += other.credits;
        self.denied += other.denied;
    }

    fn allowed(&self) -> u64 {
        self.calls - self.denied
    }

    fn change_from(&self, previous: &Self) -> TrendChange {
        TrendChange {
            calls: change(count(self.calls), count(previous.calls)),
            credits: change(self.credits, previous.credits),
            denied: change(count(self.denied), count(previous.denied)),
        }
    }
}

/// A count as a number.
#[expect(clippy::cast_precision_loss, reason = "events are far fewer than 2^53")]
fn count(count: u64) -> f64 {
    count as f64
}

fn ratio(part: u64, whole: u64) -> f64 {
    count(part) / count(whole)
}

fn change(current: f64, previous: f64) -> Option<f64> {
    (previous != 0.0).then(|| to_tenths((current - previous) / previous * 100.0))
}

impl<'a> From<&'a Kept> for EventView<'a> {
    fn from(event: &'a Kept) -> Self {
        match event {
            #[expect(clippy::cast_precision_loss, reason = "credits are below 2^53")]
            Kept::Own(event) => Self {
                time: EventTime::At(event.at),
                key: event.api_key(),
                key_name: event.key_name(),
                tool: &event.tool,
                credits: event.credits as f64,
                allowed: event.allowed,
            },
            Kept::Foreign(event) => Self {
                time: EventTime::Text(&event.timestamp),
                key: &event.api_key,
                key_name: &event.key_name,
                tool: &event.tool,
                credits: event.credits,
                allowed: event.allowed,
            },
        }
    }
}

impl EventTime<'_> {
    fn ms(self) -> Option<i64> {
        match self {
            Self::At(at) => Some(at.0),
            Self::Text(text) => parse_usual(text).or_else(|| parse_date(text, local_zone())),
        }
    }
}

impl Bound {
    fn given(text: &str) -> Result<Self, AnalyticsError> {
        let ms = parse_date(text, local_zone()).ok_or(AnalyticsError::InvalidTime)?;
        Ok(Self { usual: has_four_digit_year(ms) && iso(ms) == text, text: text.to_owned(), ms })
    }

    fn at(ms: i64) -> Result<Self, AnalyticsError> {
        if !(-INSTANT_MAX..=INSTANT_MAX).contains(&ms) {
            return Err(AnalyticsError::InvalidTime);
        }
        Ok(Self { usual: has_four_digit_year(ms), text: iso(ms), ms })
    }

    /// The first point in time that stands in some order to the bound; those after it do too.
    fn first_from(&self, stands: impl Fn(Ordering) -> bool) -> Timestamp {
        first_told(|at| stands(self.order_of(EventTime::At(at))))
    }

    /// How a time compares with this bound, as texts.
    fn order_of(&self, time: EventTime<'_>) -> Ordering {
        match time {
            EventTime::At(at) if self.usual && has_four_digit_year(at.0) => at.0.cmp(&self.ms),
            EventTime::At(at) => utf16_order(&at.to_string(), &self.text),
            EventTime::Text(text) => utf16_order(text, &self.text),
        }
    }
}

/// Points in time that are told with a year of four digits, so that their texts are in the order of time.
const FOUR_DIGIT_YEARS: Range<i64> = -62_167_219_200_000..253_402_300_800_000;

fn has_four_digit_year(ms: i64) -> bool {
    FOUR_DIGIT_YEARS.contains(&ms)
}

/// The first point in time whose text comes at or after a text, of those with years of four digits.
pub fn first_told_from(text: &str) -> Timestamp {
    first_told(|at| *at.to_string() >= *text)
}

/// The first point in time of which something is true, which is true of all after it too. The end of the four-digit
/// years when it is true of none.
fn first_told(is_true: impl Fn(Timestamp) -> bool) -> Timestamp {
    let Range { mut start, mut end } = FOUR_DIGIT_YEARS;
    while start < end {
        let middle = start + (end - start) / 2;
        if is_true(Timestamp(middle)) {
            end = middle;
        } else {
            start = middle + 1;
        }
    }
    Timestamp(start)
}

fn before(at: Timestamp) -> Timestamp {
    Timestamp(at.0 - 1)
}

/// The order in which JavaScript has two texts.
fn utf16_order(a: &str, b: &str) -> Ordering {
    // UTF-8 has the same order but for characters past U+FFFF, which come before some others in UTF-16.
    if a.is_ascii() || b.is_ascii() { a.cmp(b) } else { a.encode_utf16().cmp(b.encode_utf16()) }
}

impl AnalyticsQuery {
    /// Works out what was asked for.
    ///
    /// # Errors
    /// An end of the range that is no date, or a range with too many buckets.
    pub fn new(options: AnalyticsOptions<'_>, now: Timestamp) -> Result<Self, AnalyticsError> {
        let given = |text: Option<&str>, default_ms: i64| match text {
            Some(text) if !text.is_empty() => Bound::given(text),
            _ => Bound::at(default_ms),
        };
        let from = given(options.from, now.0 - DAY_MS)?;
        let to = given(options.to, now.0)?;
        let granularity = options.granularity.filter(|word| !word.is_empty()).unwrap_or("hourly");
        let bucket_ms = if granularity == "hourly" { HOUR_MS } else { DAY_MS };
        let length = to.ms - from.ms;
        let buckets = length.max(0).unsigned_abs().div_ceil(bucket_ms.unsigned_abs());
        if buckets > BUCKETS_MAX {
            return Err(AnalyticsError::TooManyBuckets(buckets));
        }
        Ok(Self {
            previous_from: Bound::at(from.ms - length)?,
            from,
            to,
            granularity: granularity.to_owned(),
            bucket_ms,
            buckets: usize::try_from(buckets).expect("at most a few thousand"),
            top: if options.top == 0.0 || options.top.is_nan() { CONSUMERS } else { options.top },
        })
    }

    /// The report needs no event from before this time, compared as text.
    pub fn since(&self) -> &str {
        let (from, previous_from) = (&self.from.text, &self.previous_from.text);
        if utf16_order(from, previous_from).is_le() { from } else { previous_from }
    }

    /// The range as points in time, both of which are inside; empty when the first is after the last. For events
    /// whose times are told with years of four digits, which are in the order of their texts.
    pub fn span(&self) -> (Timestamp, Timestamp) {
        (self.from.first_from(Ordering::is_ge), before(self.to.first_from(Ordering::is_gt)))
    }

    /// The period before the range, as [`Self::span`].
    pub fn previous_span(&self) -> (Timestamp, Timestamp) {
        let end = before(self.from.first_from(Ordering::is_ge));
        (self.previous_from.first_from(Ordering::is_ge), end)
    }

    /// How many buckets the report has.
    pub fn bucket_count(&self) -> usize {
        self.buckets
    }

    /// The place of the bucket of a point in time, if it has one.
    pub fn bucket_at(&self, at: Timestamp) -> Option<usize> {
        self.bucket_of(EventTime::At(at)).filter(|bucket| *bucket < self.buckets)
    }

    /// The point in time at which a bucket ends and the next begins.
    pub fn bucket_end(&self, bucket: usize) -> Timestamp {
        let after = i64::try_from(bucket).expect("at most a few thousand") + 1;
        Timestamp(self.from.ms + after * self.bucket_ms)
    }

    /// The report of events that are counted already: those of the range by key and tool, in the order in which each
    /// first appeared, and by bucket, and all of the period before.
    pub fn report_of_sums<'a>(
        &self,
        lines: impl IntoIterator<Item = UsageLine<'a>>,
        buckets: Vec<Tally>,
        previous: Tally,
    ) -> AnalyticsReport {
        let mut sums = Sums { buckets, previous, ..Sums::default() };
        lines.into_iter().for_each(|line| sums.add_line(&line));
        self.report_of(&sums)
    }

    /// Reads the events, once, in their order.
    pub fn report<'a>(&self, events: impl IntoIterator<Item = EventView<'a>>) -> AnalyticsReport {
        let mut sums = Sums { buckets: vec![Tally::default(); self.buckets], ..Sums::default() };
        for event in events {
            let after_start = self.from.order_of(event.time).is_ge();
            if after_start && self.to.order_of(event.time).is_le() {
                sums.add(&event, self.bucket_of(event.time));
            }
            if !after_start && self.previous_from.order_of(event.time).is_ge() {
                sums.previous.add(&event);
            }
        }
        self.report_of(&sums)
    }

    fn report_of(&self, sums: &Sums<'_>) -> AnalyticsReport {
        AnalyticsReport {
            from: self.from.text.clone(),
            to: self.to.text.clone(),
            granularity: self.granularity.clone(),
            time_series: self.time_series(&sums.buckets),
            trend: Trend {
                current: sums.current,
                previous: sums.previous,
                change: sums.current.change_from(&sums.previous),
            },
            summary: sums.summary(),
            top_consumers: sums.consumers(self.top),
            tools: sums.tools(),
        }
    }

    /// The place of the bucket of a time, which may be past the last one.
    fn bucket_of(&self, time: EventTime<'_>) -> Option<usize> {
        usize::try_from((time.ms()? - self.from.ms).div_euclid(self.bucket_ms)).ok()
    }

    fn time_series(&self, buckets: &[Tally]) -> Vec<TimeBucket> {
        let mut start = self.from.ms;
        let mut bucket = |tally: &Tally| {
            let end = (start + self.bucket_ms).min(self.to.ms);
            let bucket = TimeBucket {
                start: iso(start),
                end: iso(end),
                calls: tally.calls,
                allowed: tally.allowed(),
                denied: tally.denied,
                credits: tally.credits,
            };
            start = end;
            bucket
        };
        buckets.iter().map(&mut bucket).collect()
    }
}

type ByName<'a, V> = IndexMap<&'a str, V, RandomState>;

/// What is counted while events are read.
#[derive(Default)]
struct Sums<'a> {
    current: Tally,
    previous: Tally,
    buckets: Vec<Tally>,
    tools: ByName<'a, Tally>,
    consumers: ByName<'a, Consumer<'a>>,
    /// Events by the places of consumer and tool, in order of first appearance.
    pairs: IndexMap<(usize, usize), u64, RandomState>,
}

struct Consumer<'a> {
    /// The name in the first event.
    name: &'a str,
    tally: Tally,
}

impl<'a> Sums<'a> {
    fn add(&mut self, event: &EventView<'a>, bucket: Option<usize>) {
        self.current.add(event);
        if let Some(bucket) = bucket.and_then(|bucket| self.buckets.get_mut(bucket)) {
            bucket.add(event);
        }
        let tool = self.tools.entry(event.tool);
        let tool_place = tool.index();
        tool.or_default().add(event);
        let consumer = self.consumers.entry(event.key);
        let consumer_place = consumer.index();
        consumer
            .or_insert_with(|| Consumer { name: event.key_name, tally: Tally::default() })
            .tally
            .add(event);
        *self.pairs.entry((consumer_place, tool_place)).or_default() += 1;
    }

    fn add_line(&mut self, line: &UsageLine<'a>) {
        self.current.add_tally(&line.tally);
        let tool = self.tools.entry(line.tool);
        let tool_place = tool.index();
        tool.or_default().add_tally(&line.tally);
        let consumer = self.consumers.entry(line.key);
        let consumer_place = consumer.index();
        let first = || Consumer { name: line.key_name, tally: Tally::default() };
        consumer.or_insert_with(first).tally.add_tally(&line.tally);
        *self.pairs.entry((consumer_place, tool_place)).or_default() += line.tally.calls;
    }

    fn summary(&self) -> AnalyticsSummary {
        let Tally { calls, credits, denied } = self.current;
        AnalyticsSummary {
            total_calls: calls,
            total_credits: credits,
            total_denied: denied,
            unique_keys: self.consumers.len(),
            unique_tools: self.tools.len(),
            success_rate: if calls == 0 { 1.0 } else { ratio(calls - denied, calls) },
        }
    }

    fn tools(&self) -> Vec<ToolBreakdown> {
        let breakdown = |(tool, tally): (&&str, &Tally)| ToolBreakdown {
            tool: (*tool).to_owned(),
            calls: tally.calls,
            allowed: tally.allowed(),
            denied: tally.denied,
            credits: tally.credits,
            success_rate: ratio(tally.allowed(), tally.calls),
            avg_credits_per_call: match tally.allowed() {
                0 => 0.0,
                allowed => tally.credits / count(allowed),
            },
        };
        let mut tools: Vec<_> = self.tools.iter().map(breakdown).collect();
        tools.sort_by_key(|tool| std::cmp::Reverse(tool.calls));
        tools
    }

    fn consumers(&self, top: f64) -> Vec<TopConsumer> {
        let mut order: Vec<usize> = (0..self.consumers.len()).collect();
        order.sort_by(|a, b| self.consumers[*b].tally.credits.total_cmp(&self.consumers[*a].tally.credits));
        order.truncate(sliced(order.len(), top));
        let top_tools = self.top_tools();
        let consumer = |place: &usize| {
            let (key, Consumer { name, tally }) = self.consumers.get_index(*place).expect("just counted");
            TopConsumer {
                key_name: if name.is_empty() { format!("{}...", cut(key, 10)) } else { (*name).to_owned() },
                calls: tally.calls,
                credits: tally.credits,
                denied: tally.denied,
                top_tool: top_tools[*place].to_owned(),
            }
        };
        order.iter().map(consumer).collect()
    }

    /// The tool of most events, of each consumer; the first of several.
    fn top_tools(&self) -> Vec<&'a str> {
        let mut most = vec![(0, ""); self.consumers.len()];
        for ((consumer, tool), calls) in &self.pairs {
            if *calls > most[*consumer].0 {
                most[*consumer] = (*calls, self.tools.get_index(*tool).map_or("", |(name, _)| *name));
            }
        }
        most.into_iter().map(|(_, tool)| tool).collect()
    }
}

/// How many entries JavaScript's `slice(0, end)` leaves of so many.
fn sliced(length: usize, end: f64) -> usize {
    let whole = count(length as u64);
    let end = end.trunc();
    let end = if end < 0.0 { whole + end } else { end };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to a length")]
    let end = end.clamp(0.0, whole) as usize;
    end
}

#[cfg(test)]
mod tests;
