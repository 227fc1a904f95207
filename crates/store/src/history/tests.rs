use std::borrow::Cow;
use std::collections::HashSet;
use std::path::PathBuf;

use paygate_core::clock::{ManualClock, Timestamp};
use paygate_core::key::record::Identity;
use paygate_core::usage::audit::{AuditFilter, AuditLimits, Bound, Paging};
use paygate_core::usage::{
    AnalyticsOptions, AnalyticsQuery, EventView, ForeignEvent, Kept, Order, UsageFilter, UsageMeter, Who,
};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::state_file::{OpenOptions, StateFile};

const START: i64 = 1_773_480_413_589;
const HOUR: i64 = 3_600_000;

/// Books with a history, that can be opened again.
struct Fixture {
    file: StateFile,
    clock: Arc<ManualClock>,
    told: Arc<Mutex<Vec<String>>>,
    retention: Retention,
    folder: TempDir,
}

fn open(
    path: PathBuf,
    clock: &Arc<ManualClock>,
    told: &Arc<Mutex<Vec<String>>>,
    retention: Retention,
) -> StateFile {
    let told = told.clone();
    StateFile::open(OpenOptions {
        clock: clock.clone(),
        retention,
        tell: Arc::new(move |notice| told.lock().push(notice.to_string())),
        ..OpenOptions::new(path)
    })
    .unwrap()
}

impl Fixture {
    fn new() -> Self {
        Self::keeping(Retention::default())
    }

    fn keeping(retention: Retention) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (clock, told) = (Arc::new(ManualClock::at(Timestamp(START))), Arc::default());
        let file = open(folder.path().join("books.db"), &clock, &told, retention);
        Self { file, clock, told, retention, folder }
    }

    fn reopened(self) -> Self {
        let Self { file, clock, told, retention, folder } = self;
        drop(file);
        let file = open(folder.path().join("books.db"), &clock, &told, retention);
        Self { file, clock, told, retention, folder }
    }

    fn history(&self) -> &Arc<History> {
        self.file.history().unwrap()
    }

    fn publish(&self, events: &[UsageEvent]) {
        let sink = self.history().usage_sink();
        events.iter().for_each(|event| sink.publish(event));
    }

    fn events(&self, filter: &UsageFilter) -> Vec<Kept> {
        let selection = self.history().usage().select(filter).unwrap();
        let count = selection.count;
        let events: Vec<Kept> = selection.entries.map(Result::unwrap).collect();
        assert_eq!(events.len() as u64, count);
        events
    }

    fn prune(&self) -> usize {
        let mut steps = 0;
        self.history().flush().unwrap();
        while self.history().prune_step().unwrap() {
            steps += 1;
        }
        steps
    }

    fn number(&self, sql: &str) -> i64 {
        let journal = self.file.journal().unwrap();
        journal.with_connection(|connection| connection.query_row(sql, [], |row| row.get(0)).unwrap())
    }

    fn execute(&self, sql: &str) {
        self.file.journal().unwrap().with_connection(|connection| connection.execute_batch(sql).unwrap());
    }

    fn faults(&self) -> Vec<String> {
        self.history().flush().unwrap();
        self.file.verify().unwrap().unwrap().faults
    }
}

fn event(at: i64, key: u8, tool: u8, credits: i64, outcome: u8) -> UsageEvent {
    let name = |key: u8| if key == 3 { String::new() } else { format!("name{key}") };
    let who = match key {
        0 => Who::Nobody,
        1 => Who::Unknown("pg_unknown".into()),
        _ => {
            let prefix = format!("pg_{:07}", key / 2);
            Who::Known(Arc::new(Identity::new(
                &prefix,
                &name(key),
                ["default", "acme"][usize::from(key % 2)],
            )))
        }
    };
    let reason = match outcome {
        0 => Some(Cow::Borrowed("insufficient_credits")),
        1 => Some(Cow::Owned(format!("tool_denied: tool{tool} is in deniedTools"))),
        2 => Some(Cow::Borrowed("refund")),
        _ => None,
    };
    let credits = if outcome == 2 { -credits } else { credits };
    let allowed = outcome >= 2;
    UsageEvent { at: Timestamp(at), who, tool: format!("tool{tool}").into(), credits, allowed, reason }
}

/// Events whose times mostly rise, sometimes by much, and now and then go back.
fn events(most: usize) -> impl Strategy<Value = Vec<UsageEvent>> {
    let step = prop_oneof![8 => 0..60_000_i64, 1 => 0..5 * HOUR, 1 => -HOUR..0];
    let one = (step, 0..8_u8, 0..5_u8, 0..20_i64, 0..9_u8);
    proptest::collection::vec(one, 0..most).prop_map(|steps| {
        let mut at = START;
        let made = steps.into_iter().map(|(step, key, tool, credits, outcome)| {
            at += step;
            event(at, key, tool, credits, outcome)
        });
        made.collect()
    })
}

fn shown(events: impl IntoIterator<Item = Kept>) -> Vec<String> {
    events.into_iter().map(|event| format!("{event:?}")).collect()
}

fn is_of(event: &UsageEvent, filter: &UsageFilter) -> bool {
    filter.since.as_ref().is_none_or(|since| event.at.to_string() >= *since)
        && filter.namespace.as_ref().is_none_or(|namespace| event.namespace() == Some(namespace))
}

/// What a meter says of the same events.
fn meter(events: &[UsageEvent]) -> UsageMeter {
    let meter = UsageMeter::new(f64::INFINITY);
    for event in events {
        #[expect(clippy::cast_precision_loss, reason = "a few credits")]
        meter.record(ForeignEvent {
            timestamp: event.at.to_string().into(),
            api_key: event.api_key().into(),
            key_name: event.key_name().into(),
            tool: event.tool.as_ref().into(),
            credits: event.credits as f64,
            allowed: event.allowed,
            reason: event.reason.as_deref().map(Into::into),
            namespace: event.namespace().map(Into::into),
        });
    }
    meter
}

/// A bound of a range as people write it, near some events.
fn bound(offset: i64, form: u8) -> String {
    let at = Timestamp(START + offset).to_string();
    match form {
        0 => at[..10].to_owned(),
        1 => format!("{}Z", &at[..19]),
        _ => at,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn reports_are_those_of_the_events_one_by_one(
        events in events(1500),
        spans in proptest::collection::vec((-HOUR..200 * HOUR, -HOUR..400 * HOUR, 0..4_u8, any::<bool>()), 1..6),
        top in -2..4_i8,
    ) {
        let fixture = Fixture::new();
        fixture.publish(&events);
        let usage = fixture.history().usage();
        let meter = meter(&events);
        prop_assert_eq!(fixture.faults(), Vec::<String>::new());
        for namespace in [None, Some("default"), Some("acme"), Some("nobody")] {
            for (from, length, form, daily) in &spans {
                let (from, to) = (bound(*from, *form), bound(from + length, *form));
                let options = AnalyticsOptions {
                    from: Some(&from),
                    to: Some(&to),
                    granularity: daily.then_some("daily"),
                    top: top.into(),
                };
                let query = AnalyticsQuery::new(options, Timestamp(START)).unwrap();
                let of_tenant = events.iter().filter(|event| namespace.is_none() || event.namespace() == namespace);
                let kept: Vec<Kept> = of_tenant.cloned().map(Kept::Own).collect();
                let due = query.report(kept.iter().map(EventView::from));
                prop_assert_eq!(usage.report(&query, namespace).unwrap(), due);

                let since = Some(from.clone());
                let filter = UsageFilter { since, namespace: namespace.map(str::to_owned) };
                let due = meter.summary(filter.since.as_deref(), namespace);
                prop_assert_eq!(usage.summary(&filter).unwrap(), due);
                let due = events.iter().filter(|event| is_of(event, &filter)).cloned().map(Kept::Own);
                prop_assert_eq!(shown(fixture.events(&filter)), shown(due));
            }
            let summary = usage.summary(&UsageFilter { since: None, namespace: namespace.map(str::to_owned) });
            prop_assert_eq!(summary.unwrap(), meter.summary(None, namespace));
        }
        prop_assert_eq!(usage.count().unwrap(), events.len() as u64);
    }

    #[test]
    fn what_is_left_after_the_oldest_went_is_reported_alike(events in events(900), kept in 0..600_u64) {
        // Calls without a key have a share of their own.
        let known: Vec<UsageEvent> =
            events.into_iter().filter(|event| matches!(event.who, Who::Known(_))).collect();
        let fixture = Fixture::new();
        fixture.publish(&known);
        let fixture = Fixture { retention: Retention { rows_max: kept, ..Retention::default() }, ..fixture };
        let fixture = fixture.reopened();
        fixture.prune();
        let left = fixture.events(&UsageFilter::default());
        let block = usize::try_from(usage_tables::BLOCK_EVENTS).unwrap();
        prop_assert!(left.len() >= known.len().min(usize::try_from(kept).unwrap()));
        prop_assert!(left.len() < usize::try_from(kept).unwrap() + 2 * block);
        let left_due = &known[known.len() - left.len()..];
        prop_assert_eq!(shown(left), shown(left_due.iter().cloned().map(Kept::Own)));
        let summary = fixture.history().usage().summary(&UsageFilter::default()).unwrap();
        prop_assert_eq!(summary, meter(left_due).summary(None, None));
        prop_assert_eq!(fixture.faults(), Vec::<String>::new());
        let unused = "SELECT count(*) FROM usage_lines WHERE id NOT IN (SELECT line FROM usage)";
        prop_assert_eq!(fixture.number(unused), 0);
        let unused = "SELECT count(*) FROM usage_reasons
            WHERE id NOT IN (SELECT reason FROM usage WHERE reason IS NOT NULL)";
        prop_assert_eq!(fixture.number(unused), 0);
        let fixture = Fixture { retention: Retention::default(), ..fixture }.reopened();
        fixture.publish(&known);
        let more = fixture.events(&UsageFilter::default());
        prop_assert_eq!(more.len(), left_due.len() + known.len());
        prop_assert_eq!(fixture.faults(), Vec::<String>::new());
    }
}

fn day_of_events(count: i64) -> Vec<UsageEvent> {
    (0..count).map(|number| event(START + number * 1000, 2, 1, 1, 5)).collect()
}

#[test]
fn events_are_there_after_a_restart_and_numbers_go_on() {
    let fixture = Fixture::new();
    fixture.publish(&day_of_events(100));
    let fixture = fixture.reopened();
    fixture.publish(&day_of_events(50));
    assert_eq!(fixture.events(&UsageFilter::default()).len(), 150);
    assert_eq!(fixture.faults(), Vec::<String>::new());
}

#[test]
fn events_that_are_too_old_go_block_by_block() {
    let fixture = Fixture::keeping(Retention { age_max: Duration::from_secs(3600), ..Retention::default() });
    fixture.publish(&day_of_events(200));
    assert_eq!(fixture.prune(), 0);
    fixture.clock.advance(Duration::from_secs(3600 + 100));
    assert_eq!(fixture.prune(), 3, "of 100 events three blocks are whole");
    assert_eq!(fixture.events(&UsageFilter::default()).len(), 200 - 3 * 32);
}

#[test]
fn nothing_is_forgotten_while_somebody_reads() {
    let fixture = Fixture::keeping(Retention { rows_max: 100, ..Retention::default() });
    fixture.publish(&day_of_events(200));
    let reading = fixture.history().usage().select(&UsageFilter::default()).unwrap();
    assert_eq!(fixture.prune(), 0);
    assert_eq!(reading.entries.count(), 200);
    assert!(fixture.prune() > 0);
}

#[test]
fn calls_without_a_key_push_out_no_usage_of_keys() {
    let fixture = Fixture::keeping(Retention { rows_max: 1000, ..Retention::default() });
    fixture.publish(&day_of_events(100));
    let anonymous: Vec<UsageEvent> = (0..5000).map(|at| event(START + at, 0, 1, 0, 0)).collect();
    fixture.publish(&anonymous);
    fixture.prune();
    let events = fixture.events(&UsageFilter::default());
    assert_eq!(events.iter().filter(|event| event.namespace().is_some()).count(), 100);
    assert_eq!(events.len(), 100 + 250);
    assert_eq!(fixture.told.lock().iter().filter(|line| line.contains("without a known key")).count(), 1);
}

#[test]
fn sums_that_are_not_those_of_the_events_are_faults() {
    for wrong in [
        "UPDATE usage_blocks SET calls = calls + 1 WHERE level = 0 AND block = 1",
        "UPDATE usage SET credits = 7 WHERE number = 40",
        "UPDATE usage_blocks SET sums = x'00' WHERE level = 1",
        "DELETE FROM usage_blocks WHERE level = 0 AND block = 2",
        "DELETE FROM usage WHERE number = 199",
        "DELETE FROM usage WHERE number = 150",
        "DELETE FROM audit WHERE number = 1",
    ] {
        let fixture = Fixture::new();
        let log = AuditLog::new(AuditLimits::default(), fixture.clock.clone());
        fixture.history().resume_log(&log).unwrap();
        log.log("key.created", "admin", "Key created", &());
        fixture.publish(&day_of_events(200));
        assert_eq!(fixture.faults(), Vec::<String>::new());
        fixture.execute(wrong);
        // The last event is nobody's number before another comes.
        let due = usize::from(!wrong.contains("199"));
        assert!(fixture.faults().len() >= due, "{wrong}");
    }
}

#[test]
fn damaged_sums_are_an_error_of_the_report_and_not_a_panic() {
    let fixture = Fixture::new();
    fixture.publish(&day_of_events(200));
    fixture.history().flush().unwrap();
    fixture.execute("UPDATE usage_blocks SET sums = x'ffff'");
    fixture.history().usage().summary(&UsageFilter::default()).unwrap_err();
}

fn log(fixture: &Fixture) -> AuditLog {
    let log = AuditLog::new(AuditLimits::default(), fixture.clock.clone());
    fixture.history().resume_log(&log).unwrap();
    log
}

#[test]
fn the_audit_log_goes_on_after_a_restart() {
    let fixture = Fixture::new();
    log(&fixture).log("key.created", "admin", "Key created: a", &[("keyMasked", "pg_1234...cdef")]);
    let fixture = fixture.reopened();
    let log = log(&fixture);
    assert_eq!(log.log("gate.deny", "***", "Denied: t", &()).id, 2);
    let page = fixture.history().audit().query(&AuditFilter::default(), Paging::default()).unwrap();
    let stored: Vec<_> = page.events.iter().map(|event| serde_json::to_string(&**event).unwrap()).collect();
    let kept: Vec<_> =
        log.events().iter().rev().map(|event| serde_json::to_string(&**event).unwrap()).collect();
    assert_eq!(stored, kept);
    assert_eq!(page.total, 2);
    assert_eq!(fixture.faults(), Vec::<String>::new());
}

#[test]
fn a_log_that_was_cleared_is_empty_and_counts_from_one() {
    let fixture = Fixture::new();
    let first = log(&fixture);
    first.log("key.created", "admin", "", &());
    first.clear();
    first.log("key.revoked", "admin", "", &());
    let fixture = fixture.reopened();
    assert_eq!(log(&fixture).log("key.topup", "admin", "", &()).id, 2);
    let stats = fixture.history().audit().stats().unwrap();
    assert_eq!(stats.events_by_type.keys().collect::<Vec<_>>(), ["key.revoked", "key.topup"]);
}

#[test]
fn questions_to_the_stored_log_have_the_answers_of_the_one_in_memory() {
    let fixture = Fixture::new();
    let log = log(&fixture);
    for number in 0..1200 {
        fixture.clock.advance(Duration::from_secs(60));
        let kind = ["gate.allow", "key.created", "gate.deny", "admin.auth_failed"][number % 4];
        log.log(kind, ["admin", "ÄGYPTEN", "***"][number % 3], format!("n {number}"), &());
    }
    let at = |minute: i64| Some(Bound::At(Timestamp(START + minute * 60_000)));
    let types = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<HashSet<_>>();
    let stored = fixture.history().audit();
    for filter in [
        AuditFilter::default(),
        AuditFilter { types: types(&["key.created"]), ..AuditFilter::default() },
        AuditFilter { types: types(&["key.created", "gate.deny", "no"]), ..AuditFilter::default() },
        AuditFilter { actor: "ägy".into(), ..AuditFilter::default() },
        AuditFilter { since: at(100), until: at(1100), ..AuditFilter::default() },
        AuditFilter { since: at(100), types: types(&["gate.allow"]), actor: "adm".into(), until: None },
        AuditFilter { until: Some(Bound::Unreadable), ..AuditFilter::default() },
    ] {
        for paging in [
            Paging::default(),
            Paging { offset: Some(7.5), limit: Some(3.0) },
            Paging { offset: Some(150.0), limit: Some(1e9) },
            Paging { offset: Some(1e300), limit: Some(-1.0) },
        ] {
            let (due, page) = (log.query(&filter, paging), stored.query(&filter, paging).unwrap());
            assert_eq!(
                serde_json::to_value(&page).unwrap(),
                serde_json::to_value(&due).unwrap(),
                "{filter:?}"
            );
        }
        for order in [Order::OldestFirst, Order::NewestFirst] {
            let due: Vec<u64> =
                AuditHistory::select(&log, &filter, order).unwrap().entries.map(|e| e.unwrap().id).collect();
            let selection = stored.select(&filter, order).unwrap();
            assert_eq!(selection.count, due.len() as u64);
            assert_eq!(selection.entries.map(|event| event.unwrap().id).collect::<Vec<_>>(), due);
        }
    }
    assert_eq!(stored.stats().unwrap(), log.stats());
}

#[test]
fn of_each_sort_of_audit_events_the_latest_stay() {
    let fixture = Fixture::keeping(Retention { rows_max: 10, ..Retention::default() });
    let log = log(&fixture);
    log.log("key.created", "admin", "", &());
    (0..2000).for_each(|_| drop(log.log("gate.allow", "***", "", &())));
    fixture.prune();
    let stats = fixture.history().audit().stats().unwrap();
    assert_eq!((stats.events_by_type["key.created"], stats.events_by_type["gate.allow"]), (1, 10));
    assert_eq!(fixture.faults(), Vec::<String>::new());
}

#[test]
fn rules_for_alerts_stay_until_the_configuration_has_others() {
    let fixture = Fixture::new();
    assert_eq!(fixture.history().alert_rules("[]").unwrap(), None);
    fixture.history().keep_alert_rules("[]", "[1]").unwrap();
    let fixture = fixture.reopened();
    assert_eq!(fixture.history().alert_rules("[]").unwrap().as_deref(), Some("[1]"));
    assert_eq!(fixture.history().alert_rules("[2]").unwrap(), None);
}

#[test]
fn what_waits_is_written_within_a_second_without_being_asked_for() {
    let fixture = Fixture::new();
    fixture.publish(&day_of_events(3));
    let deadline = std::time::Duration::from_secs(10);
    let waited = std::iter::repeat_with(|| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        fixture.number("SELECT count(*) FROM usage")
    })
    .take(usize::try_from(deadline.as_millis() / 20).unwrap())
    .find(|count| *count == 3);
    assert_eq!(waited, Some(3));
}
