use super::*;

/// A bucket as the examples tell it: calls, allowed, denied, credits.
type Counted = (u64, u64, u64, f64);

fn event<'a>(time: &'a str, key: &'a str, key_name: &'a str, tool: &'a str, credits: f64) -> EventView<'a> {
    EventView { time: EventTime::Text(time), key, key_name, tool, credits, allowed: true }
}

fn denied(event: EventView<'_>) -> EventView<'_> {
    EventView { allowed: false, ..event }
}

/// Eight events of two days, the first two before the range of most tests.
fn events() -> [EventView<'static>; 8] {
    [
        event("2026-01-01T22:00:00.000Z", "pg_aaaaaaa", "alice", "search", 9.0),
        denied(event("2026-01-01T23:30:00.000Z", "pg_aaaaaaa", "alice", "search", 2.0)),
        event("2026-01-02T00:00:00.000Z", "pg_aaaaaaa", "alice", "search", 5.0),
        event("2026-01-02T00:59:59.999Z", "pg_bbbbbbb", "", "write", 3.0),
        event("2026-01-02T01:00:00.000Z", "pg_bbbbbbb", "bob", "search", 4.0),
        denied(event("2026-01-02T01:10:00.000Z", "pg_bbbbbbb", "bob", "write", 0.0)),
        event("2026-01-02T01:20:00.000Z", "pg_aaaaaaa", "alice2", "search", -5.0),
        event("2026-01-02T02:30:00.000Z", "pg_ccccccc", "carol", "calc", 5.0),
    ]
}

const NOW: Timestamp = Timestamp(1_767_321_000_000); // 2026-01-02T02:30:00.000Z

fn query(options: AnalyticsOptions<'_>) -> AnalyticsQuery {
    AnalyticsQuery::new(options, NOW).unwrap()
}

fn range<'a>(from: &'a str, to: &'a str) -> AnalyticsOptions<'a> {
    AnalyticsOptions { from: Some(from), to: Some(to), ..AnalyticsOptions::default() }
}

fn night() -> AnalyticsOptions<'static> {
    range("2026-01-02T00:00:00.000Z", "2026-01-02T02:30:00.000Z")
}

fn counted(report: &AnalyticsReport) -> Vec<Counted> {
    report.time_series.iter().map(|b| (b.calls, b.allowed, b.denied, b.credits)).collect()
}

#[test]
fn a_report_counts_by_hour_tool_and_consumer_and_against_the_hours_before() {
    let report = query(night()).report(events());
    assert_eq!(counted(&report), [(2, 2, 0, 8.0), (3, 2, 1, -1.0), (1, 1, 0, 5.0)]);
    let tools = [("search", 3, 4.0, 1.0, 4.0 / 3.0), ("write", 2, 3.0, 0.5, 3.0), ("calc", 1, 5.0, 1.0, 5.0)];
    let shown = report.tools.iter();
    let shown = shown.map(|t| (t.tool.as_str(), t.calls, t.credits, t.success_rate, t.avg_credits_per_call));
    assert!(shown.eq(tools));
    let consumers = [("pg_bbbbbbb...", 7.0, "write"), ("carol", 5.0, "calc"), ("alice", 0.0, "search")];
    let shown = report.top_consumers.iter();
    assert!(shown.map(|c| (c.key_name.as_str(), c.credits, c.top_tool.as_str())).eq(consumers));
    let trend = serde_json::to_string(&report.trend).unwrap();
    assert_eq!(
        trend,
        r#"{"current":{"calls":6,"credits":12,"denied":1},"previous":{"calls":2,"credits":9,"denied":1},"change":{"calls":200,"credits":33.3,"denied":0}}"#
    );
    let summary = serde_json::to_string(&report.summary).unwrap();
    assert_eq!(
        summary,
        r#"{"totalCalls":6,"totalCredits":12,"totalDenied":1,"uniqueKeys":3,"uniqueTools":3,"successRate":0.8333333333333334}"#
    );
}

#[test]
fn times_are_compared_as_text() {
    let calls = |from, to| query(range(from, to)).report(events()).summary.total_calls;
    // "…:00.000Z" stands before "…:00Z".
    assert_eq!(calls("2026-01-02T00:00:00Z", "2026-01-02T02:30:00Z"), 5);
    assert_eq!(calls("2026-01-02", "2026-01-03"), 6);
    let at =
        |time, from, to| query(range(from, to)).report([event(time, "k", "n", "t", 1.0)]).summary.total_calls;
    assert_eq!(at("2026-01-02T02:30:01.000Z", "2026-01-02", "2026-01-02T02:30:00Z"), 0);
    assert_eq!(at("2026-01-02T02:30:00.900Z", "2026-01-02", "2026-01-02T02:30:00Z"), 1);
}

#[test]
fn points_in_time_are_selected_as_their_texts_are() {
    let times =
        [-1, 0, 1, 999, 1000, 3_599_999, 3_600_000, 9_000_000, 9_000_001].map(|ms| 1_767_312_000_000 + ms);
    let texts = times.map(iso);
    for (from, to) in [
        ("2026-01-02T00:00:00.000Z", "2026-01-02T02:30:00.000Z"),
        ("2026-01-02T00:00:00Z", "2026-01-02T02:30:00Z"),
        ("2026-01-02", "2026-01-03"),
        ("2026-01-02T01:00:00+01:00", "2026-01-02T03:30:00+01:00"),
        ("Jan 2, 2026", "Jan 3, 2026"),
    ] {
        let options = AnalyticsOptions { granularity: Some("daily"), ..range(from, to) };
        let seen = |time| EventView { time, ..event("", "k", "n", "t", 1.0) };
        let as_points = query(options).report(times.map(|ms| seen(EventTime::At(Timestamp(ms)))));
        let as_texts = query(options).report(texts.iter().map(|text| seen(EventTime::Text(text))));
        assert_eq!(as_points, as_texts, "{from}");
    }
}

#[test]
fn an_event_at_the_end_is_in_the_summary_but_in_no_bucket() {
    let report = query(range("2026-01-02T00:00:00.000Z", "2026-01-02T01:00:00.000Z")).report([event(
        "2026-01-02T01:00:00.000Z",
        "k",
        "n",
        "t",
        1.0,
    )]);
    assert_eq!((counted(&report), report.summary.total_calls), (vec![(0, 0, 0, 0.0)], 1));
}

#[test]
fn a_time_that_is_no_date_can_be_in_the_range_but_is_in_no_bucket() {
    let report = query(night()).report([event("2026-01-02T01 or so", "k", "n", "t", 1.0)]);
    assert_eq!((report.summary.total_calls, report.time_series[1].calls), (1, 0));
}

#[test]
fn the_last_day_is_reported_by_default() {
    let report = query(AnalyticsOptions { from: Some(""), to: Some(""), ..Default::default() }).report([]);
    assert_eq!(
        (report.from.as_str(), report.to.as_str()),
        ("2026-01-01T02:30:00.000Z", "2026-01-02T02:30:00.000Z")
    );
    assert_eq!((report.granularity.as_str(), report.time_series.len()), ("hourly", 24));
    assert_eq!(report.summary.success_rate, 1.0);
    assert_eq!(report.trend.change, TrendChange { calls: None, credits: None, denied: None });
    let of_that_day = query(AnalyticsOptions { to: Some("2026-01-03"), ..Default::default() }).report([]);
    assert_eq!(of_that_day.from, "2026-01-01T02:30:00.000Z");
}

#[test]
fn any_other_word_counts_in_days() {
    let in_days = |word, from, to| {
        let options = AnalyticsOptions { granularity: Some(word), ..range(from, to) };
        let report = query(options).report([]);
        (report.granularity, report.time_series.iter().map(|b| b.end.clone()).collect::<Vec<_>>())
    };
    let short = in_days("daily", "2026-01-02T00:00:00.000Z", "2026-01-02T02:30:00.000Z");
    assert_eq!(short, ("daily".to_owned(), vec!["2026-01-02T02:30:00.000Z".to_owned()]));
    assert_eq!(in_days("weekly", "2026-01-01", "2026-01-03").1.len(), 2);
}

#[test]
fn a_range_that_ends_before_it_starts_is_empty() {
    let report = query(range("2026-01-02T02:30:00.000Z", "2026-01-02T00:00:00.000Z")).report(events());
    assert_eq!(
        (report.time_series.len(), report.summary.total_calls, report.trend.previous.calls),
        (0, 0, 0)
    );
}

#[test]
fn consumers_are_listed_as_a_slice_lists_them() {
    let listed = |top| {
        let options = AnalyticsOptions { top, ..range("2026-01-02", "2026-01-03") };
        query(options).report(events()).top_consumers.len()
    };
    let tops = [1.0, 0.0, -1.0, f64::NAN, 1.9, -0.5, -9.0, f64::INFINITY, f64::NEG_INFINITY];
    assert_eq!(tops.map(listed), [1, 3, 2, 3, 1, 0, 0, 3, 0]);
}

#[test]
fn changes_are_rounded_half_up_to_tenths() {
    for (current, previous, expected) in [
        (3.0, 2.0, Some(50.0)),
        (2.0, 3.0, Some(-33.3)),
        (1.0, 3.0, Some(-66.7)),
        (0.0, 4.0, Some(-100.0)),
        (5.0, 0.0, None),
        (0.0, 0.0, None),
        (7.0, 8.0, Some(-12.5)),
        (1.0, 16.0, Some(-93.7)),
        (799.0, 800.0, Some(-0.1)),
    ] {
        assert_eq!(change(current, previous), expected, "{current} after {previous}");
    }
}

#[test]
fn ties_keep_the_order_of_first_appearance() {
    let of = |tools: &[&'static str]| {
        let events: Vec<_> =
            tools.iter().map(|tool| event("2026-01-02T01:00:00.000Z", "k", "n", tool, 0.0)).collect();
        query(night()).report(events)
    };
    let names: Vec<_> = of(&["b", "a", "c", "a", "b", "c"]).tools.into_iter().map(|t| t.tool).collect();
    assert_eq!(names, ["b", "a", "c"]);
    assert_eq!(of(&["x", "y", "y", "x"]).top_consumers[0].top_tool, "x");
}

#[test]
fn what_cannot_be_reported_is_refused() {
    let refused = |from, to| AnalyticsQuery::new(range(from, to), NOW).unwrap_err();
    assert_eq!(refused("garbage", "2026-01-01"), AnalyticsError::InvalidTime);
    assert_eq!(refused("2026-01-01", "garbage"), AnalyticsError::InvalidTime);
    // The period before would begin before the first date there is.
    assert_eq!(refused("-271821-04-20T00:00:00.000Z", "-271821-04-21"), AnalyticsError::InvalidTime);
    let too_many = refused("2020-01-01", "2026-01-01");
    assert_eq!(too_many.to_string(), "the range has 52608 buckets, but a report has at most 10000");
    let longest = range("2024-01-01T00:00:00.000Z", "2025-02-20T16:00:00.000Z");
    assert_eq!(query(longest).report([]).time_series.len(), 10_000);
}

#[test]
fn no_event_before_since_is_needed() {
    let calls = |query: &AnalyticsQuery, events: &[EventView<'_>]| {
        let report = query.report(events.iter().copied());
        (report.trend.current.calls, report.trend.previous.calls)
    };
    for (from, to) in
        [("2026-01-02T00:00:00.000Z", "2026-01-02T02:30:00.000Z"), ("Jan 2, 2026", "Jan 3, 2026")]
    {
        let query = query(range(from, to));
        let needed: Vec<_> = events()
            .into_iter()
            .filter(|event| matches!(event.time, EventTime::Text(text) if text >= query.since()))
            .collect();
        assert_eq!(calls(&query, &needed), calls(&query, &events()));
    }
}

#[test]
fn texts_are_in_javascripts_order() {
    assert_eq!(utf16_order("\u{1F600}", "\u{FFFD}"), Ordering::Less);
    assert_eq!(utf16_order("a\u{1F600}", "b"), Ordering::Less);
    assert_eq!(utf16_order("é", "e"), Ordering::Greater);
}
