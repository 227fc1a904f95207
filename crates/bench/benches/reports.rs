//! What do reports over a year of usage cost, in time and memory?
//!
//! `cargo bench -p bench --bench reports [-- EVENTS]`. A database in a temporary folder is filled with events (by
//! default 1,000,000) spread evenly over a year, of 500 keys in 5 tenants and 20 tools, by a fixed seed; then each report
//! is asked for several times. Left out: HTTP and JSON, events told by several threads at once. Memory is the most that
//! the process had more, at any moment of an export, than when it began.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bench::{Budget, as_test, heading, nanoseconds_of, row};
use paygate_core::clock::{Clock, SystemClock, Timestamp};
use paygate_core::entropy::SeededEntropy;
use paygate_core::key::record::Identity;
use paygate_core::usage::audit::{AuditFilter, AuditLimits, AuditLog, Paging};
use paygate_core::usage::{AnalyticsOptions, AnalyticsQuery, Order, UsageEvent, UsageFilter, Who};
use paygate_store::{OpenOptions, StateFile};

const KEYS: u64 = 500;
const TENANTS: u64 = 5;
const TOOLS: u64 = 20;
const YEAR_MS: i64 = 365 * 24 * 3_600_000;
/// Events told before they are waited for.
const TOLD_AT_ONCE: u64 = 10_000;
/// What a report over a year may take.
const REPORT_MS: f64 = 200.0;
/// What an export may have of memory, in MiB.
const EXPORT_MIB: f64 = 16.0;

struct Year {
    identities: Vec<Arc<Identity>>,
    tools: Vec<Arc<str>>,
    chance: SeededEntropy,
    start: i64,
    count: u64,
}

impl Year {
    fn new(end: Timestamp, count: u64) -> Self {
        let identity = |key: u64| {
            let (key_text, name) = (format!("pg_{key:07}"), format!("key {key}"));
            Arc::new(Identity::new(&key_text, &name, &format!("tenant-{}", key % TENANTS)))
        };
        Self {
            identities: (0..KEYS).map(identity).collect(),
            tools: (0..TOOLS).map(|tool| format!("tool_{tool}").into()).collect(),
            chance: SeededEntropy::new(42),
            start: end.0 - YEAR_MS,
            count,
        }
    }

    fn event(&self, number: u64) -> UsageEvent {
        let chance = self.chance.next_u64();
        let pick = |shift: u32, of: u64| usize::try_from((chance >> shift) % of).unwrap_or(0);
        let denied = pick(40, 20) == 0;
        let passed = u128::from(number) * u128::from(YEAR_MS.unsigned_abs()) / u128::from(self.count);
        UsageEvent {
            at: Timestamp(self.start + i64::try_from(passed).unwrap_or(0)),
            who: Who::Known(self.identities[pick(0, KEYS)].clone()),
            tool: self.tools[pick(20, TOOLS)].clone(),
            credits: i64::try_from(pick(50, 10)).unwrap_or(0),
            allowed: !denied,
            reason: denied.then_some("insufficient_credits".into()),
        }
    }
}

/// The median of a few times, in milliseconds.
#[expect(clippy::disallowed_methods, reason = "a bench measures the time itself")]
fn milliseconds(mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..if as_test() { 1 } else { 5 })
        .map(|_| {
            let start = Instant::now();
            work();
            nanoseconds_of(start.elapsed()) / 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The memory of this process, in MiB.
fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1024.0
}

/// Takes all of an export; gives the milliseconds, and by how much memory grew meanwhile.
#[expect(clippy::disallowed_methods, reason = "a bench measures the time itself")]
fn export<T>(entries: impl Iterator<Item = std::io::Result<T>>, count: u64) -> (f64, f64) {
    let (start, before) = (Instant::now(), resident_mib());
    let (mut taken, mut most) = (0, before);
    for entry in entries {
        std::hint::black_box(entry.expect("the database can be read"));
        taken += 1;
        if taken % 65_536 == 0 {
            most = resident_mib().max(most);
        }
    }
    assert_eq!(taken, count, "an export has what it says");
    (nanoseconds_of(start.elapsed()) / 1e6, most - before)
}

#[expect(clippy::disallowed_methods, reason = "a bench measures the time itself")]
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn main() {
    let asked = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let count: u64 = if as_test() { 20_000 } else { asked.unwrap_or(1_000_000) };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("state.db");
    let file = StateFile::open(OpenOptions::new(&path)).expect("a new database");
    let history = file.history().expect("kept in a file");
    let (sink, usage, audit) = (history.usage_sink(), history.usage(), history.audit());
    let log = AuditLog::new(AuditLimits::default(), Arc::new(SystemClock));
    history.resume_log(&log).expect("a new database");
    let now = SystemClock.wall();
    let year = Year::new(now, count);

    heading(&format!("a year of {count} usage events, {KEYS} keys, {TENANTS} tenants, {TOOLS} tools"));
    let start = Instant::now();
    for number in 0..count {
        sink.publish(&year.event(number));
        if number % TOLD_AT_ONCE == 0 {
            usage.count().expect("the database can be written");
        }
    }
    assert_eq!(usage.count().expect("the database can be written"), count);
    row("writing, per event", nanoseconds_of(start.elapsed()) / 1e3 / count as f64, "µs", Budget::Open);
    let bytes = |end: &str| {
        std::fs::metadata(folder.path().join(format!("state.db{end}"))).map_or(0, |file| file.len())
    };
    row("on disk, per event", (bytes("") + bytes("-wal")) as f64 / count as f64, "B", Budget::Open);

    let everything = UsageFilter::default();
    let tenant = UsageFilter { since: None, namespace: Some("tenant-1".to_owned()) };
    let budget = Budget::AtMost(REPORT_MS);
    for (what, filter) in [("/status", &everything), ("/status, one tenant", &tenant)] {
        let time = milliseconds(|| drop(usage.summary(filter).expect("readable")));
        row(what, time, "ms", budget);
    }
    let at = |ms: i64| Timestamp(now.0 - ms).to_string();
    let (year_ago, month_ago) = (at(YEAR_MS - 12_345), at(YEAR_MS / 12 - 12_345));
    for (what, from, granularity) in [
        ("/analytics, the last day by hours", None, "hourly"),
        ("/analytics, a month by hours", Some(&*month_ago), "hourly"),
        ("/analytics, a year by days", Some(&*year_ago), "daily"),
        ("/analytics, a year by hours", Some(&*year_ago), "hourly"),
    ] {
        let options =
            AnalyticsOptions { from, granularity: Some(granularity), ..AnalyticsOptions::default() };
        let query = AnalyticsQuery::new(options, now).expect("a range");
        for (whose, namespace) in [("", None), (", one tenant", Some("tenant-1"))] {
            let time = milliseconds(|| drop(usage.report(&query, namespace).expect("readable")));
            row(&format!("{what}{whose}"), time, "ms", budget);
        }
    }
    let selection = usage.select(&everything).expect("readable");
    let (time, memory) = export(selection.entries, selection.count);
    row("/usage, all events, per event", time * 1e3 / count as f64, "µs", Budget::Open);
    row("/usage, all events, memory", memory, "MiB", Budget::AtMost(EXPORT_MIB));

    heading(&format!("{count} audit events"));
    let everything = AuditFilter::default();
    let start = Instant::now();
    for number in 0..count {
        let kind = if number % 1000 == 0 { "key.created" } else { "gate.allow" };
        log.log(kind, "pg_1234...cdef", "Allowed: search", &[("tool", "search")]);
        if number % TOLD_AT_ONCE == 0 {
            drop(audit.query(&everything, Paging::default()).expect("the database can be written"));
        }
    }
    row("writing, per event", nanoseconds_of(start.elapsed()) / 1e3 / count as f64, "µs", Budget::Open);
    let time = milliseconds(|| drop(audit.stats().expect("readable")));
    row("/audit/stats", time, "ms", Budget::Open);
    let created = AuditFilter { types: ["key.created".to_owned()].into(), ..AuditFilter::default() };
    for (what, filter) in [("/audit", &everything), ("/audit, one type", &created)] {
        let time = milliseconds(|| drop(audit.query(filter, Paging::default()).expect("readable")));
        row(what, time, "ms", Budget::Open);
    }
    let selection = audit.select(&everything, Order::OldestFirst).expect("readable");
    let (time, memory) = export(selection.entries, selection.count);
    row("/audit/export, per event", time * 1e3 / count as f64, "µs", Budget::Open);
    row("/audit/export, memory", memory, "MiB", Budget::AtMost(EXPORT_MIB));
    let start = Instant::now();
    let report = file.verify().expect("readable").expect("kept in a file");
    assert!(report.clean(), "{:?}", report.faults);
    row("verify", Duration::as_secs_f64(&start.elapsed()) * 1e3, "ms", Budget::Open);
}
