//! A server from its banner to its end, and what survives it.

use serde_json::json;

use crate::program::{ADMIN_KEY, Place};

const KEY: &str = "pg_key_of_the_tests_0001";

fn import(credits: u32) -> String {
    format!("{KEY}:{credits}")
}

#[test]
fn the_banner_tells_how_to_reach_the_server() {
    let place = Place::new();
    let state = place.path("state.json");
    let args = [
        "--price",
        "3",
        "--rate-limit",
        "12",
        "--refund-on-failure",
        "--state-file",
        state.to_str().unwrap(),
    ];
    let ended = place.wrap(&args).end(libc::SIGTERM);
    let banner = ended.stdout;
    let labels = [
        "PayGate MCP — Server Running",
        "Endpoint:   http://localhost:",
        "Admin Key:  admin_",
        "Backend:    stdio → ",
        "Pricing:    3 credit(s) per tool call",
        "Rate Limit: 12 calls/min per key",
        "Shadow:     false",
        "Persist:    /",
        "Stripe:     off",
        "Refund:     true",
        "Webhook:    off",
        "Signed:     off",
        "Redis:      off (in-memory)",
        "  Admin key (save this): admin_",
    ];
    let mut rest = banner.as_str();
    for label in labels {
        let at = rest.find(label).unwrap_or_else(|| panic!("no {label:?} in {rest}"));
        rest = &rest[at + label.len()..];
    }
    assert!(banner.starts_with("\n  ╔") && banner.ends_with("\nGraceful shutdown initiated…\n"), "{banner}");
}

#[test]
fn an_admin_key_that_was_given_is_not_printed() {
    let place = Place::new();
    let program = place.wrap(&["--admin-key", ADMIN_KEY, "--import-key", &import(5), "--log-level", "debug"]);
    let (status, made) = program.send("POST", "/keys", &[("X-Admin-Key", ADMIN_KEY)], "{}");
    assert_eq!(status, 201);
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let made = made["key"].as_str().unwrap();
    assert_eq!(program.call(made, "echo")["result"], json!({ "arguments": {} }));
    program.send("GET", "/keys", &[("X-Admin-Key", "a-wrong-guess")], "");
    let ended = program.end(libc::SIGINT);
    assert_eq!(ended.status.code(), Some(0));
    for secret in [ADMIN_KEY, KEY, made, "a-wrong-guess"] {
        assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret), "{secret}");
    }
    assert!(ended.stderr.contains("wrong admin key"), "{}", ended.stderr);
}

#[test]
fn a_used_port_is_told() {
    let place = Place::new();
    let program = place.wrap(&[]);
    let port = program.port.to_string();
    let output = place.run(&["wrap", "--server", "cat", "--port", &port]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    let start = format!("Failed to start server: Error: listen EADDRINUSE: address already in use :::{port}");
    assert!(told.starts_with(&start), "{told}");
    program.end(libc::SIGTERM);
}

#[test]
fn keys_are_imported_once() {
    let place = Place::new();
    place.write("c.json", &json!({ "importKeys": { KEY: 7, "pg_other_key_0002": 9 } }).to_string());
    let args = ["--state-file", "state.json", "--config", "c.json"];
    let first = place.wrap(&[&args[..], &["--import-key", &import(100)]].concat());
    assert_eq!(
        (first.credits(KEY), first.credits("pg_other_key_0002")),
        (json!(100), json!(9)),
        "flag before file"
    );
    first.call(KEY, "echo");
    first.end(libc::SIGTERM);
    let second = place.wrap(&[&args[..], &["--import-key", &import(100)]].concat());
    assert_eq!(second.credits(KEY), json!(99), "a restart gives nothing back");
    second.end(libc::SIGTERM);
    let third = place.wrap(&[&args[..], &["--import-key", &import(100), "--reimport"]].concat());
    assert_eq!(third.credits("pg_other_key_0002"), json!(9));
    third.end(libc::SIGTERM);
}

#[test]
fn what_was_paid_survives_a_kill() {
    let place = Place::new();
    for durability in ["process", "power"] {
        let file = format!("{durability}.json");
        let args = ["--state-file", &file, "--durability", durability, "--import-key", &import(50)];
        let program = place.wrap(&args);
        for _ in 0..10 {
            program.call(KEY, "echo");
        }
        assert_eq!(program.end(libc::SIGKILL).status.code(), None);
        let again = place.wrap(&args);
        assert_eq!(again.credits(KEY), json!(40));
        again.end(libc::SIGTERM);
    }
}

#[test]
fn a_call_that_was_open_at_a_kill_is_settled_at_the_next_start() {
    for (refund, left) in [("false", 49), ("true", 50)] {
        let place = Place::new();
        let args = ["--state-file", "state.json", "--import-key", &import(50), "--refund-on-failure", refund];
        let program = place.wrap(&args);
        let call = json!({ "id": 1, "method": "tools/call", "params": { "name": "hold" } }).to_string();
        let open = program.begin("POST", "/mcp", &[("X-API-Key", KEY)], &call);
        while !place.path("held").exists() {
            std::thread::yield_now();
        }
        program.end(libc::SIGKILL);
        drop(open);
        let again = place.wrap(&args);
        assert_eq!(again.credits(KEY), json!(left));
        again.end(libc::SIGTERM);
    }
}

#[test]
fn what_cannot_be_written_is_not_served() {
    let place = Place::new();
    let program = place.wrap_limited(
        1000,
        &["--state-file", "state.json", "--import-key", &import(5000), "--rate-limit", "0"],
    );
    let mut served = 0;
    let refused = loop {
        let told = program.call(KEY, "echo");
        if told.get("result").is_none() {
            break told;
        }
        served += 1;
        assert!(served < 5000, "the limit is reached before that");
    };
    assert_eq!(refused["error"]["code"], -32603);
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.starts_with("ledger unavailable: "), "{message}");
    assert_eq!(program.credits(KEY), json!(5000 - served), "what was not served was not charged");
    let store = program.get("/health", &[])["store"].clone();
    assert!(store["failedCommits"].as_u64().unwrap() > 0, "{store}");
    program.end(libc::SIGKILL);
    let again = place.wrap(&["--state-file", "state.json"]);
    assert_eq!(again.credits(KEY), json!(5000 - served), "and what was served is known to the next run");
    again.end(libc::SIGTERM);
}

#[test]
fn a_damaged_state_file_stops_the_start_unless_it_is_to_be_salvaged() {
    let place = Place::new();
    let whole = json!([[KEY, { "key": KEY, "name": "n", "credits": 5, "active": true }]]).to_string();
    place.write("state.json", &whole[..whole.len() - 1]);
    let args = ["wrap", "--server", "cat", "--port", "0", "--state-file", "state.json"];
    let output = place.run(&args);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.starts_with("Failed to start server: Error: ") && told.contains("state.json"), "{told}");
    assert!(!told.contains(KEY), "{told}");
    let program = place.wrap(&["--state-file", "state.json", "--state-recover"]);
    assert_eq!(program.credits(KEY), json!(5));
    program.end(libc::SIGTERM);
}
