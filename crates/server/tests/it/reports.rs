//! What operators and scrapers read: status, usage, the audit log, analytics, alerts, prices, metrics, the dashboard.

use std::io::Write;
use std::process::{Command, Stdio};

use paygate_core::usage::AlertRule;
use serde_json::{Value, json};

use crate::gateway::{ADMIN_KEY, Answer, Gateway, batch};

async fn report(gateway: &Gateway, path: &str) -> Answer {
    gateway.get(path, &[("X-Admin-Key", ADMIN_KEY)]).await
}

fn names(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Rows as Python's own reader of tables has them; `None` where there is no Python.
fn rows_by_python(table: &str) -> Option<Vec<Vec<String>>> {
    let program = "import csv, io, json, sys\n\
                   table = io.TextIOWrapper(sys.stdin.buffer, encoding='utf-8', newline='')\n\
                   print(json.dumps(list(csv.reader(table, strict=True))))";
    let mut python = Command::new("python3");
    let told = fed(python.args(["-c", program]).stdin(Stdio::piped()).stdout(Stdio::piped()), table)?;
    assert!(told.status.success());
    Some(serde_json::from_slice(&told.stdout).unwrap())
}

/// What a program says to a text; `None` where there is no such program, which is told.
fn fed(command: &mut Command, text: &str) -> Option<std::process::Output> {
    let Ok(mut child) = command.spawn() else {
        let mut to = std::io::stderr();
        let _ = writeln!(to, "skipped: {:?} is not installed", command.get_program());
        return None;
    };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    Some(child.wait_with_output().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_listed_event_by_event() {
    let gateway = Gateway::start().await;
    let empty = report(&gateway, "/usage").await;
    assert_eq!(empty.header("content-type"), Some("application/json"));
    assert_eq!(empty.body, "{\n  \"count\": 0,\n  \"since\": \"all\",\n  \"events\": []\n}");
    let key = gateway.key_with(json!({ "name": "alice", "credits": 2, "namespace": "acme" })).await;
    gateway.call(&key, "echo", json!({})).await;
    gateway.call("nobody", "echo", json!({})).await;
    gateway.send("POST", "/mcp", &[], &crate::gateway::call(1, "echo", json!({})).to_string()).await;
    let told = report(&gateway, "/usage").await.json();
    let mut events = told["events"].as_array().unwrap().clone();
    for event in &mut events {
        let time = event.as_object_mut().unwrap().shift_remove("timestamp").unwrap();
        assert_eq!(time.as_str().unwrap().len(), 24);
    }
    let prefix = format!("{}...", &key[..10]);
    assert_eq!((&told["count"], &told["since"]), (&json!(3), &json!("all")));
    assert_eq!(
        Value::Array(events),
        json!([
            {
                "apiKey": prefix, "keyName": "alice", "tool": "echo", "creditsCharged": 1, "allowed": true,
                "namespace": "acme",
            },
            {
                "apiKey": "nobody...", "keyName": "unknown", "tool": "echo", "creditsCharged": 0, "allowed": false,
                "denyReason": "invalid_api_key",
            },
            {
                "apiKey": "none...", "keyName": "", "tool": "echo", "creditsCharged": 0, "allowed": false,
                "denyReason": "missing_api_key",
            },
        ])
    );
    let count = async |path: &str| report(&gateway, path).await.json()["count"].as_u64().unwrap();
    assert_eq!(count("/usage?namespace=acme").await, 1);
    assert_eq!(count("/usage?namespace=Acme!").await, 1);
    assert_eq!(count("/usage?namespace=other").await, 0);
    assert_eq!(report(&gateway, "/usage?since=2999").await.json()["since"], "2999");
    assert_eq!(count("/usage?since=2999").await, 0);
    assert_eq!(gateway.get("/usage", &[]).await.status, 401);
    assert_eq!(gateway.admin("POST", "/usage", &json!({})).await.status, 405);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_can_be_read_by_others() {
    let gateway = Gateway::with(|config| config.gate.refunds.on_failure = true).await;
    let name = "=cmd|\"x\", \u{fc}\nline";
    let key = gateway.key_with(json!({ "name": name, "credits": 50 })).await;
    gateway.call(&key, "echo", json!({})).await;
    gateway.call(&key, "error", json!({})).await;
    let usage = report(&gateway, "/usage?format=csv").await;
    assert_eq!(usage.header("content-type"), Some("text/csv"));
    assert_eq!(usage.header("content-disposition"), Some("attachment; filename=\"paygate-usage.csv\""));
    assert!(!usage.body.ends_with('\n'));
    let audit = report(&gateway, "/audit/export?format=csv&types=key.created").await;
    assert_eq!(audit.header("content-disposition"), Some("attachment; filename=\"paygate-audit.csv\""));
    let Some(rows) = rows_by_python(&usage.body) else { return gateway.stop().await };
    let header = "timestamp,apiKey,keyName,tool,creditsCharged,allowed,denyReason";
    assert_eq!(rows[0].join(","), header);
    let shown: Vec<&[String]> = rows[1..].iter().map(|row| &row[2..]).collect();
    let quoted = format!("'{name}");
    assert_eq!(
        shown,
        [
            [&*quoted, "echo", "1", "true", ""],
            [&*quoted, "error", "1", "true", ""],
            [&*quoted, "error", "-1", "true", "refund"],
        ]
    );
    let rows = rows_by_python(&audit.body).unwrap();
    assert_eq!(rows[0], ["id", "timestamp", "type", "actor", "message"]);
    assert_eq!(rows[1][2..], ["key.created", "admin", &format!("Key created: {name}")]);
    assert_eq!(rows.len(), 2);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_report_comes_in_chunks_and_is_whole() {
    let gateway = Gateway::start().await;
    let key = gateway.key(10_000).await;
    let calls: Vec<Value> =
        (0..500).map(|n| json!({ "name": format!("tool-{n}"), "arguments": {} })).collect();
    for _ in 0..4 {
        assert_eq!(gateway.post(&key, &batch(Value::Array(calls.clone()))).await.status, 200);
    }
    let answer = report(&gateway, "/usage").await;
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    let told = answer.json();
    assert_eq!(told["count"], 2000);
    assert_eq!(told["events"].as_array().unwrap().len(), 2000);
    assert_eq!(told["events"][1999]["tool"], "tool-499");
    assert_eq!(serde_json::to_string_pretty(&told).unwrap(), answer.body);
    let table = report(&gateway, "/usage?format=csv").await.body;
    assert_eq!(table.lines().count(), 2001);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_shows_keys_usage_and_settings() {
    let gateway = Gateway::with(|config| {
        let terms = |name: &str, price, limit, kb| paygate_core::gate::ToolTerms {
            name: name.into(),
            credits_per_call: paygate_core::credits::Credits::new(price).unwrap(),
            calls_per_minute: limit,
            credits_per_kb: kb,
        };
        let tools = [terms("z", 5, 0.0, 0.5), terms("echo", 2, 9.0, 0.0), terms("7", 0, 0.0, 0.0)];
        config.gate.prices = paygate_core::gate::PriceList::new(config.gate.prices.default, tools);
    })
    .await;
    let key = gateway.key_with(json!({ "name": "alice", "credits": 9, "namespace": "acme" })).await;
    let revoked = gateway.key_with(json!({ "name": "bob", "credits": 3 })).await;
    gateway.admin("POST", "/keys/revoke", &json!({ "key": revoked })).await;
    gateway.call(&key, "echo", json!({})).await;
    gateway.call(&revoked, "echo", json!({})).await;
    let answer = report(&gateway, "/status?namespace=acme").await;
    let told = answer.json();
    assert_eq!(answer.body, serde_json::to_string_pretty(&told).unwrap());
    assert_eq!(
        names(&told),
        [
            "name",
            "shadowMode",
            "activeKeys",
            "keys",
            "usage",
            "eventCount",
            "namespaces",
            "filteredNamespace",
            "config"
        ]
    );
    assert_eq!((&told["activeKeys"], &told["eventCount"]), (&json!(1), &json!(2)));
    assert_eq!(told["keys"].as_array().unwrap().len(), 1);
    assert_eq!(told["keys"][0]["keyPrefix"], format!("{}...", &key[..10]));
    assert!(!answer.body.contains(&key));
    let row = json!({ "calls": 1, "credits": 2, "denied": 0 });
    assert_eq!(
        told["usage"],
        json!({
            "totalCalls": 1, "totalCreditsSpent": 2, "totalDenied": 0, "perTool": { "echo": row },
            "perKey": { "alice": row }, "denyReasons": {},
        })
    );
    assert_eq!(told["namespaces"][0]["namespace"], "acme");
    assert_eq!(
        told["config"].to_string(),
        "{\"defaultCreditsPerCall\":1,\"globalRateLimitPerMin\":0,\"toolPricing\":{\"7\":{\"creditsPerCall\":0},\
         \"z\":{\"creditsPerCall\":5,\"creditsPerKbInput\":0.5},\"echo\":{\"creditsPerCall\":2,\"rateLimitPerMin\":9}},\
         \"refundOnFailure\":false,\"webhookUrl\":null}"
    );
    let all = report(&gateway, "/status").await.json();
    assert_eq!(all["keys"].as_array().unwrap().len(), 2);
    assert_eq!(all["filteredNamespace"], Value::Null);
    assert_eq!(all["usage"]["totalDenied"], 1);
    assert_eq!(gateway.admin("PATCH", "/status", &json!({})).await.status, 200);
    assert_eq!(gateway.send("PATCH", "/status", &[], "").await.status, 401);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_queried_exported_and_summed_up() {
    let gateway = Gateway::start().await;
    let key = gateway.key_with(json!({ "name": "alice" })).await;
    gateway.call(&key, "echo", json!({})).await;
    gateway.get("/status?a=1", &[("X-Admin-Key", "wrong")]).await;
    let page = report(&gateway, "/audit?limit=2").await;
    assert_eq!(page.body, serde_json::to_string_pretty(&page.json()).unwrap());
    let told = page.json();
    assert_eq!((&told["total"], &told["offset"], &told["limit"]), (&json!(4), &json!(0), &json!(2)));
    assert_eq!(told["events"][0]["metadata"], json!({ "url": "/status?a=1", "method": "GET" }));
    let ids = async |query: &str| {
        let told = report(&gateway, &format!("/audit?{query}")).await.json();
        let ids = told["events"].as_array().unwrap().iter().map(|event| event["id"].as_u64().unwrap());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(ids("types=key.created,,gate.allow").await, [3, 1]);
    assert_eq!(ids("actor=ADMIN").await, [1]);
    assert_eq!(ids("offset=3&limit=-5").await, [1]);
    assert_eq!(ids("limit=1x&offset=-3").await, [4]);
    assert!(ids("since=nonsense").await.is_empty());
    assert!(ids("until=2001-01-01").await.is_empty());
    let export = report(&gateway, "/audit/export").await.json();
    assert_eq!(names(&export), ["count", "events"]);
    assert_eq!((&export["count"], &export["events"][0]["id"]), (&json!(4), &json!(1)));
    assert_eq!(report(&gateway, "/audit/export?types=key.created").await.json()["count"], 1);
    let stats = report(&gateway, "/audit/stats").await.json();
    assert_eq!((&stats["totalEvents"], &stats["eventsByType"]["gate.allow"]), (&json!(4), &json!(1)));
    assert_eq!(
        names(&stats),
        ["totalEvents", "oldestEvent", "newestEvent", "eventsByType", "eventsLastHour", "eventsLast24h"]
    );
    for path in ["/audit", "/audit/export", "/audit/stats"] {
        assert_eq!(gateway.get(path, &[]).await.status, 401);
        assert_eq!(gateway.send("DELETE", path, &[], "").await.status, 405);
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn analytics_cover_a_range_that_is_not_too_long() {
    let gateway = Gateway::start().await;
    let key = gateway.key_with(json!({ "name": "alice", "namespace": "acme" })).await;
    gateway.call(&key, "echo", json!({})).await;
    let told = report(&gateway, "/analytics?granularity=daily").await;
    assert_eq!(told.body, serde_json::to_string_pretty(&told.json()).unwrap());
    let told = told.json();
    assert_eq!(
        names(&told),
        ["from", "to", "granularity", "timeSeries", "tools", "topConsumers", "trend", "summary"]
    );
    assert_eq!(told["timeSeries"].as_array().unwrap().len(), 1);
    assert_eq!(told["topConsumers"][0]["keyName"], "alice");
    assert_eq!(told["summary"]["totalCalls"], 1);
    assert_eq!(report(&gateway, "/analytics?namespace=x").await.json()["summary"]["totalCalls"], 0);
    assert_eq!(report(&gateway, "/analytics?top=-1").await.json()["topConsumers"], json!([]));
    let failure = async |query: &str| {
        let told = report(&gateway, &format!("/analytics?{query}")).await;
        (told.status, told.json()["error"].as_str().unwrap().to_owned())
    };
    assert_eq!(failure("from=garbage").await, (400, "Invalid time value".to_owned()));
    let (status, error) = failure("from=1970-01-01").await;
    assert!(status == 400 && error.contains("10000"), "{error}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_for_alerts_are_replaced_and_what_fired_is_fetched_once() {
    let gateway = Gateway::with(|config| {
        let rule = json!({ "type": "credits_low", "threshold": 100, "note": "x" });
        config.alert_rules = vec![AlertRule::checked(rule).unwrap()];
    })
    .await;
    let key = gateway.key_with(json!({ "name": "alice", "credits": 50 })).await;
    gateway.call(&key, "echo", json!({})).await;
    let mut told = report(&gateway, "/alerts").await.json();
    told["alerts"][0]["timestamp"] = json!("then");
    let rules = json!([{ "type": "credits_low", "threshold": 100, "note": "x" }]);
    assert_eq!(
        told.to_string(),
        json!({
            "alerts": [{
                "type": "credits_low", "timestamp": "then", "keyPrefix": format!("{}...", &key[..10]),
                "keyName": "alice", "threshold": 100, "currentValue": 49,
                "message": "Key \"alice\" has only 49 credits remaining (threshold: 100)",
                "metadata": { "credits": 49 },
            }],
            "count": 1,
            "rules": rules,
        })
        .to_string()
    );
    assert_eq!(report(&gateway, "/alerts").await.json(), json!({ "alerts": [], "count": 0, "rules": rules }));
    let configure = async |body: Value| {
        let told = gateway.admin("POST", "/alerts", &body).await;
        (told.status, told.json())
    };
    let missing = (400, json!({ "error": "Missing or invalid rules array" }));
    assert_eq!(configure(json!({})).await, missing);
    assert_eq!(configure(json!({ "rules": "x" })).await, missing);
    let kinds = "spending_threshold, credits_low, quota_warning, key_expiry_soon, rate_limit_spike";
    for (rule, error) in [
        (json!({ "type": "nope", "threshold": 1 }), format!("Invalid alert type: nope. Valid: {kinds}")),
        (json!({ "threshold": 1 }), format!("Invalid alert type: undefined. Valid: {kinds}")),
        (
            json!({ "type": "credits_low", "threshold": "5" }),
            "Invalid threshold for credits_low: must be a non-negative number".to_owned(),
        ),
        (Value::Null, "Invalid alert rule: must be an object".to_owned()),
    ] {
        let good = json!({ "type": "credits_low", "threshold": 1 });
        assert_eq!(configure(json!({ "rules": [good, rule] })).await, (400, json!({ "error": error })));
    }
    assert_eq!(report(&gateway, "/alerts").await.json()["rules"], rules);
    let new = json!([{ "type": "spending_threshold", "threshold": 1 }]);
    let configured = json!({ "rules": new, "message": "1 alert rule(s) configured" });
    assert_eq!(configure(json!({ "rules": new })).await, (200, configured));
    let logged = report(&gateway, "/audit?types=admin.alerts_configured").await.json();
    assert_eq!(logged["events"][0]["message"], "Alert rules updated (1 rules)");
    assert_eq!(logged["events"][0]["metadata"], json!({ "ruleCount": 1, "rules": new }));
    let other = gateway.send("PUT", "/alerts", &[("X-Admin-Key", ADMIN_KEY)], "").await;
    assert_eq!((other.status, other.header("allow")), (405, Some("GET, POST")));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_key_is_nowhere_shown_whole() {
    let gateway = Gateway::with(|config| {
        let rule = json!({ "type": "credits_low", "threshold": 100 });
        config.alert_rules = vec![AlertRule::checked(rule).unwrap()];
    })
    .await;
    let key = "short-key1";
    let opened = gateway.books.ledger().open(
        key,
        "imported",
        paygate_core::credits::Credits::new(9).unwrap(),
        paygate_core::ledger::KeyOptions::default(),
    );
    gateway.books.ledger().wait(opened.ticket).unwrap();
    gateway.call(key, "echo", json!({})).await;
    for path in
        ["/usage", "/usage?format=csv", "/status", "/audit/export", "/analytics", "/alerts", "/metrics"]
    {
        let told = report(&gateway, path).await;
        assert!(!told.body.contains(key), "{path}: {}", told.body);
        assert!(!matches!(path, "/usage" | "/alerts") || told.body.contains("short..."), "{}", told.body);
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_are_told_to_anyone_from_the_start() {
    let gateway = Gateway::start().await;
    let told = gateway.send("PUT", "/pricing", &[], "").await;
    assert_eq!((told.status, told.header("content-type")), (200, Some("application/json")));
    let told = told.json();
    let tools = told["tools"].as_array().unwrap();
    assert!(tools.iter().any(|tool| tool["name"] == "echo"), "{told}");
    assert_eq!(told["server"]["toolCount"], tools.len());
    // The document beside it counts the tools of the last list, which was one page.
    let payment = async || gateway.get("/.well-known/mcp-payment", &[]).await;
    assert_eq!(payment().await.json()["toolCount"], 0);
    gateway.post("", &json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" })).await;
    let payment = payment().await;
    let mut server = told["server"].clone();
    server["toolCount"] = json!(2);
    assert_eq!(payment.body, serde_json::to_string_pretty(&server).unwrap());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_the_metrics() {
    let gateway = Gateway::start().await;
    let key = gateway.key(1).await;
    gateway.call(&key, "echo", json!({})).await;
    gateway.call(&key, "echo", json!({})).await;
    gateway.call(&key, "odd\"\\\nname", json!({})).await;
    let told = gateway.get("/metrics", &[]).await;
    assert_eq!(told.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    for line in [
        "paygate_tool_calls_total{status=\"allowed\",tool=\"echo\"} 1\n",
        "paygate_denials_total{reason=\"insufficient_credits\"} 2\n",
        "paygate_active_keys_total 1\n",
        "paygate_total_credits_available 0\n",
        "paygate_store_failed_commits 0\n",
    ] {
        assert!(told.body.contains(line), "{line} in {}", told.body);
    }
    gateway.stop().await;
    let mut promtool = Command::new("promtool");
    let promtool = promtool
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let Some(checked) = fed(promtool, &told.body) else { return };
    let said = String::from_utf8([checked.stdout, checked.stderr].concat()).unwrap();
    // The names of these gauges are those of 2.9.0.
    let gauges = "non-counter metrics should not have \"_total\" suffix";
    let complaints: Vec<&str> = said.lines().filter(|line| !line.ends_with(gauges)).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_is_one_page_that_trusts_nobody() {
    let gateway = Gateway::with(|config| config.name = "A & <b>".to_owned()).await;
    let page = gateway.send("POST", "/dashboard", &[], "").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .starts_with("default-src 'none'; script-src 'sha256-")
    );
    assert!(page.body.contains("<title>A &amp; &lt;b&gt; — Dashboard</title>"));
    let head = gateway.send("HEAD", "/dashboard", &[], "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    gateway.stop().await;
}
