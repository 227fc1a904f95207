use serde_json::json;

use super::*;
use crate::clock::ManualClock;

fn log_at(clock: &Arc<ManualClock>, capacity: Capacity) -> AuditLog {
    let hour = Duration::from_secs(3600);
    AuditLog::new(AuditLimits { capacity, age_max: Some(hour) }, clock.clone())
}

fn small() -> (Arc<ManualClock>, AuditLog) {
    let clock = Arc::new(ManualClock::at(Timestamp(1_773_480_413_589)));
    let log = log_at(&clock, Capacity::Shared(Some(5)));
    (clock, log)
}

fn seven() -> AuditLog {
    let (_, log) = small();
    for n in 0..7 {
        log.log("gate.allow", "pg_AAAA...1111", format!("n{n}"), &json!({}));
    }
    log
}

fn ids(page: &AuditPage) -> Vec<u64> {
    page.events.iter().map(|event| event.id).collect()
}

fn paging(offset: impl Into<Option<f64>>, limit: impl Into<Option<f64>>) -> Paging {
    Paging { offset: offset.into(), limit: limit.into() }
}

#[test]
fn only_the_newest_are_kept_and_they_are_listed_newest_first() {
    let page = seven().query(&AuditFilter::default(), Paging::default());
    assert_eq!((page.total, page.offset, page.limit, ids(&page)), (5, 0.0, 100.0, vec![7, 6, 5, 4, 3]));
}

#[test]
fn pages_take_any_numbers() {
    let log = seven();
    for (offset, limit, shown_offset, shown_limit, expected) in [
        (Some(1.0), Some(2.0), 1.0, 2.0, vec![6, 5]),
        (None, Some(0.0), 0.0, 100.0, vec![7, 6, 5, 4, 3]),
        (None, Some(-5.0), 0.0, 1.0, vec![7]),
        (None, Some(5000.0), 0.0, 1000.0, vec![7, 6, 5, 4, 3]),
        (None, Some(1.5), 0.0, 1.5, vec![7]),
        (Some(1.5), Some(1.5), 1.5, 1.5, vec![6, 5]),
        (Some(99.0), None, 99.0, 100.0, vec![]),
        (Some(-1.0), Some(f64::NAN), 0.0, 100.0, vec![7, 6, 5, 4, 3]),
        (Some(f64::INFINITY), Some(f64::INFINITY), f64::INFINITY, 1000.0, vec![]),
    ] {
        let page = log.query(&AuditFilter::default(), paging(offset, limit));
        assert_eq!((page.offset, page.limit, ids(&page)), (shown_offset, shown_limit, expected));
    }
}

#[test]
fn a_page_and_sums_are_shown_as_in_2_9_0() {
    let (_, log) = small();
    log.log(AuditEventType::KeyCreated, "admin", "Key created: x", &json!({"b": 1, "a": [1.5, null]}));
    let page = log.query(&AuditFilter::default(), paging(None, 1.5));
    assert_eq!(
        serde_json::to_string(&page).unwrap(),
        r#"{"total":1,"offset":0,"limit":1.5,"events":[{"id":1,"timestamp":"2026-03-14T09:26:53.589Z","type":"key.created","actor":"admin","message":"Key created: x","metadata":{"b":1,"a":[1.5,null]}}]}"#
    );
    assert_eq!(
        serde_json::to_string(&log.stats()).unwrap(),
        r#"{"totalEvents":1,"oldestEvent":"2026-03-14T09:26:53.589Z","newestEvent":"2026-03-14T09:26:53.589Z","eventsByType":{"key.created":1},"eventsLastHour":1,"eventsLast24h":1}"#
    );
    log.clear();
    assert_eq!(
        serde_json::to_string(&log.stats()).unwrap(),
        r#"{"totalEvents":0,"oldestEvent":null,"newestEvent":null,"eventsByType":{},"eventsLastHour":0,"eventsLast24h":0}"#
    );
}

#[test]
fn filters_are_combined() {
    let (clock, log) = small();
    log.log("key.created", "admin", "one", &json!({}));
    clock.advance(Duration::from_millis(10));
    log.log("gate.allow", "Admin Two", "two", &json!({}));
    log.log("gate.deny", "pg_AAAA...1111", "three", &json!({}));
    let picked = |types: &[&str], actor: &str, since: &str, until: &str| {
        let filter = AuditFilter {
            types: types.iter().map(ToString::to_string).collect(),
            actor: actor.to_owned(),
            since: Bound::read(since),
            until: Bound::read(until),
        };
        log.matching(&filter).iter().map(|event| event.id).collect::<Vec<_>>()
    };
    assert_eq!(picked(&[], "", "", ""), [1, 2, 3]);
    assert_eq!(picked(&["gate.allow", "gate.deny"], "", "", ""), [2, 3]);
    assert_eq!(picked(&["gate.allow"], "ADMIN", "", ""), [2]);
    assert_eq!(picked(&[], "", "2026-03-14T09:26:53.599Z", ""), [2, 3]);
    assert_eq!(picked(&[], "", "", "2026-03-14T09:26:53.589Z"), [1]);
    assert!(picked(&[], "", "nope", "").is_empty());
    assert!(picked(&[], "", "", "nope").is_empty());
}

#[test]
fn a_table_has_all_rows_unless_there_is_a_limit() {
    let clock = Arc::new(ManualClock::default());
    let log = log_at(&clock, Capacity::Shared(None));
    for _ in 0..3000 {
        log.log("gate.allow", "a", "m", &json!({}));
    }
    let rows = |limit| log.csv(&AuditFilter::default(), paging(None, limit)).lines().count() - 1;
    assert_eq!(rows(None), 3000);
    assert_eq!(rows(Some(0.0)), 3000);
    assert_eq!(rows(Some(-5.0)), 1);
    assert_eq!(rows(Some(2000.0)), 2000);
    log.clear();
    assert_eq!(log.csv(&AuditFilter::default(), Paging::default()), "id,timestamp,type,actor,message");
}

#[test]
fn calls_of_anybody_push_out_neither_admin_actions_nor_auth_failures() {
    let clock = Arc::new(ManualClock::default());
    let log = log_at(&clock, Capacity::Each(2));
    log.log(AuditEventType::KeyCreated, "admin", "key", &json!({}));
    log.log(AuditEventType::AdminAuthFailed, "unknown", "auth", &json!({}));
    for kind in [AuditEventType::GateAllow, AuditEventType::GateDeny, AuditEventType::SessionCreated] {
        log.log(kind, "***", "call", &json!({}));
    }
    for _ in 0..3 {
        log.log(AuditEventType::AdminAuthFailed, "unknown", "auth", &json!({}));
    }
    let kept: Vec<_> = log.events().iter().map(|event| (event.id, event.kind.to_string())).collect();
    let kept: Vec<_> = kept.iter().map(|(id, kind)| (*id, kind.as_str())).collect();
    assert_eq!(
        kept,
        [
            (1, "key.created"),
            (4, "gate.deny"),
            (5, "session.created"),
            (7, "admin.auth_failed"),
            (8, "admin.auth_failed"),
        ]
    );
}

#[test]
fn an_event_goes_when_it_is_older_than_allowed() {
    let (clock, log) = small();
    log.log("a", "x", "old", &json!({}));
    clock.advance(Duration::from_secs(3600));
    assert_eq!(log.enforce_retention(), 0);
    log.log("a", "x", "new", &json!({}));
    clock.advance(Duration::from_millis(1));
    assert_eq!(log.enforce_retention(), 1);
    assert_eq!((log.len(), log.stats().events_last_hour), (1, 1));
}

#[test]
fn an_edited_event_counts_as_it_says() {
    let (clock, log) = small();
    let number = log.log("a", "x", "m", &json!({"kept": true})).number;
    let edit = |text: &str, at: Option<i64>| AuditEdit {
        when: When::written(text.to_owned(), at.map(Timestamp)),
        kind: "b".to_owned(),
        actor: "y".to_owned(),
        message: "n".to_owned(),
        metadata: None,
    };
    assert!(log.edit(number, edit("whenever", None)));
    assert_eq!(&*log.find(&[number + 1, number])[0].actor, "y");
    clock.advance(Duration::from_secs(7200));
    assert_eq!(log.enforce_retention(), 0);
    assert_eq!(log.stats().oldest_event.as_deref(), Some("whenever"));
    assert_eq!(log.stats().events_last_day, 0);
    assert_eq!(log.events()[0].metadata.get(), r#"{"kept":true}"#);
    assert!(log.edit(number, edit("1970-01-01", Some(0))));
    assert_eq!(log.enforce_retention(), 1);
    assert!(!log.edit(number, edit("1970-01-01", Some(0))));
}

#[test]
fn clearing_starts_the_ids_over_but_not_the_numbers() {
    let log = seven();
    log.clear();
    assert!(log.is_empty());
    let event = log.log("a", "x", "m", &json!({}));
    assert_eq!((event.id, event.number), (1, 7));
}

#[test]
fn threads_lose_no_event_and_times_follow_ids() {
    let log = AuditLog::new(
        AuditLimits { capacity: Capacity::Shared(None), age_max: None },
        Arc::new(crate::clock::SystemClock),
    );
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..500).for_each(|_| drop(log.log("gate.allow", "a", "m", &json!({})))));
        }
    });
    let events = log.events();
    assert!(events.iter().map(|event| event.id).eq(1..=2000));
    assert!(events.is_sorted_by_key(|event| event.when.at));
}
