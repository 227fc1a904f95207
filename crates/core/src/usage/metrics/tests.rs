use std::time::Duration;

use super::*;
use crate::clock::ManualClock;

const UPTIME_AT_FIRST: &str = "# HELP paygate_uptime_seconds Server uptime in seconds\n# TYPE paygate_uptime_seconds gauge\npaygate_uptime_seconds 0\n";

fn collector() -> MetricsCollector {
    MetricsCollector::new(Arc::new(ManualClock::default()))
}

fn samples(metrics: &MetricsCollector) -> Vec<String> {
    let page = metrics.serialize();
    page.lines().filter(|line| !line.starts_with('#')).map(ToOwned::to_owned).collect()
}

#[test]
fn a_new_collector_shows_its_uptime_alone() {
    let clock = Arc::new(ManualClock::default());
    let metrics = MetricsCollector::new(clock.clone());
    assert_eq!(metrics.serialize(), UPTIME_AT_FIRST);
    clock.advance(Duration::from_millis(2999));
    assert_eq!(samples(&metrics), ["paygate_uptime_seconds 2"]);
}

#[test]
fn calls_are_counted_by_their_outcome_and_reasons_by_their_code() {
    let metrics = collector();
    metrics.record_tool_call("search", ToolCallOutcome::Allowed { credits: 5.0 });
    metrics.record_tool_call("search", ToolCallOutcome::Allowed { credits: 0.0 });
    for reason in [
        Some("insufficient_credits"),
        Some("tool_not_allowed: x not in allowedTools"),
        Some("tool_not_allowed: y not in allowedTools"),
        Some(""),
        None,
    ] {
        metrics.record_tool_call("x", ToolCallOutcome::Denied { reason });
    }
    assert_eq!(
        samples(&metrics),
        [
            "paygate_tool_calls_total{status=\"allowed\",tool=\"search\"} 2",
            "paygate_tool_calls_total{status=\"denied\",tool=\"x\"} 5",
            "paygate_credits_charged_total{tool=\"search\"} 5",
            "paygate_denials_total{reason=\"insufficient_credits\"} 1",
            "paygate_denials_total{reason=\"tool_not_allowed\"} 2",
            "paygate_uptime_seconds 0",
        ]
    );
}

#[test]
fn requests_are_counted_by_groups_of_paths() {
    for (path, group) in [
        ("/Keys/Revoke?x=1", "/keys/*"),
        ("/oauthfoo", "/oauth/*"),
        ("/audit", "/audit/*"),
        ("?a", "/"),
        ("", "/"),
        ("/MCP", "/mcp"),
        ("/É", "/é"),
        ("/.well-known/oauth-authorization-server", "/.well-known/oauth-authorization-server"),
    ] {
        assert_eq!(path_group(path), group);
    }
    let metrics = collector();
    metrics.record_http_request("GET", "/keys", 200);
    metrics.record_http_request("GET", "/keys/revoke", 200);
    let counted = "paygate_http_requests_total{method=\"GET\",path=\"/keys/*\",status=\"200\"} 2";
    assert_eq!(samples(&metrics)[0], counted);
}

#[test]
fn labels_and_help_stay_on_their_line() {
    let metrics = collector();
    metrics.register_counter("c", "two\nlines, a \\ and \"quotes\"");
    metrics.increment("c", &[("tool", "a\"b\\c\nd")], 1.0);
    let page = metrics.serialize();
    assert!(page.ends_with(
        "# HELP c two\\nlines, a \\\\ and \"quotes\"\n# TYPE c counter\nc{tool=\"a\\\"b\\\\c\\nd\"} 1\n"
    ));
}

#[test]
fn numbers_print_as_prometheus_reads_them() {
    let metrics = collector();
    metrics.register_gauge("g", "");
    for (value, text) in [
        (5.0, "5"),
        (2.5, "2.5"),
        (-2.0, "-2"),
        (1e21, "1e+21"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
    ] {
        metrics.set_gauge("g", &[], value);
        assert_eq!(samples(&metrics)[1], format!("g {text}"));
    }
}

#[test]
fn the_first_registration_of_a_name_wins() {
    let metrics = collector();
    assert!(metrics.register_counter("c", "first"));
    assert!(!metrics.register_gauge("c", "second"));
    assert!(!metrics.register_supplied_gauge("paygate_uptime_seconds", "mine", || Some(5.0)));
    metrics.set_gauge("c", &[], 3.0);
    metrics.increment("paygate_uptime_seconds", &[], 3.0);
    metrics.increment("unknown", &[], 3.0);
    assert_eq!(metrics.serialize(), UPTIME_AT_FIRST);
    assert_eq!((metrics.counter("unknown", &[]), metrics.gauge("c", None)), (0.0, 0.0));
}

#[test]
fn a_supplied_gauge_shows_what_its_supplier_says() {
    let metrics = collector();
    metrics.register_supplied_gauge("live", "h", || Some(42.0));
    metrics.register_supplied_gauge("none", "h", || None);
    metrics.set_gauge("live", &[], 1.0);
    metrics.set_gauge("live", &[("x", "y")], 2.0);
    assert_eq!((metrics.gauge("live", None), metrics.gauge("live", Some(&[("x", "y")]))), (42.0, 2.0));
    assert_eq!(metrics.gauge("live", Some(&[("x", "z")])), 0.0);
    assert_eq!(samples(&metrics), ["paygate_uptime_seconds 0", "live 42"]);
    metrics.set_gauge("paygate_uptime_seconds", &[], 7.0);
    assert_eq!(metrics.gauge("paygate_uptime_seconds", None), 7.0);
    assert_eq!(samples(&metrics)[0], "paygate_uptime_seconds 0");
}

#[test]
fn what_is_no_number_counts_as_nothing_before_more_is_added() {
    let metrics = collector();
    metrics.register_counter("c", "");
    metrics.increment("c", &[], f64::NAN);
    assert!(metrics.counter("c", &[]).is_nan());
    metrics.increment("c", &[], -2.0);
    assert_eq!(metrics.counter("c", &[]), -2.0);
}

#[test]
fn a_label_has_a_thousand_values_and_then_other() {
    let metrics = collector();
    for n in 0..1500 {
        metrics.record_rate_limit_hit(&format!("t{n}"));
    }
    metrics.record_rate_limit_hit("t7");
    metrics.record_rate_limit_hit("other");
    let hits = |tool| metrics.counter("paygate_rate_limit_hits_total", &[("tool", tool)]);
    assert_eq!((hits("t7"), hits("t999"), hits("t1000"), hits(OTHER)), (2.0, 1.0, 0.0, 501.0));
    assert_eq!(samples(&metrics).len(), LABEL_VALUES_MAX + 2);
}

#[test]
fn a_metric_has_so_many_samples_and_then_one_more() {
    let metrics = collector();
    metrics.register_counter("c", "");
    for n in 0..20_000 {
        let (a, b) = (n / 1000, n % 1000);
        metrics.increment("c", &[("a", &a.to_string()), ("b", &b.to_string())], 1.0);
    }
    assert_eq!(metrics.counter("c", &[("a", "9"), ("b", "999")]), 1.0);
    assert_eq!(metrics.counter("c", &[("a", OTHER), ("b", OTHER)]), 10_000.0);
    assert_eq!(samples(&metrics).len(), SERIES_MAX + 2);
}

#[test]
fn threads_lose_no_count() {
    let metrics = collector();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..5000 {
                    let tool = ["a", "b", "c"][n % 3];
                    metrics.record_tool_call(tool, ToolCallOutcome::Allowed { credits: 2.0 });
                }
            });
        }
    });
    let charged = |tool| metrics.counter("paygate_credits_charged_total", &[("tool", tool)]);
    assert_eq!(charged("a") + charged("b") + charged("c"), 40_000.0);
}
