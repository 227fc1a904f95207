//! Flags, the environment and the file, and which of them wins.

use serde_json::json;

use crate::child;
use crate::program::{ADMIN_KEY, Place};

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let place = Place::new();
    place
        .write("c.json", r#"{"defaultCreditsPerCall":4,"globalRateLimitPerMin":7,"adminKey":"of the file"}"#);
    let price = |args: &[&str], variables: &[(&str, &str)]| {
        let all = [&["--config", "c.json", "--log-level", "error"], args].concat();
        let program = place.wrap_with(&all, variables);
        let row = program.banner.lines().find(|line| line.contains("Pricing:")).unwrap().to_owned();
        assert_eq!(program.end(libc::SIGTERM).status.code(), Some(0));
        row.split_whitespace().nth(2).unwrap().to_owned()
    };
    assert_eq!(price(&[], &[]), "4");
    assert_eq!(price(&[], &[("PAYGATE_PRICE", "5")]), "5");
    assert_eq!(price(&["--price=6"], &[("PAYGATE_PRICE", "5")]), "6");
}

#[test]
fn zero_counts_in_files() {
    let place = Place::new();
    let config = json!({
        "defaultCreditsPerCall": 0, "globalRateLimitPerMin": 0, "port": 0, "adminKey": ADMIN_KEY,
        "serverCommand": "sh", "serverArgs": ["-c", format!("exec {}", child::command_line())],
    });
    place.write("c.json", &config.to_string());
    let program = place.wrap_bare(&["--config", "c.json"]);
    assert!(program.banner.contains("0 credit(s) per tool call"), "{}", program.banner);
    assert!(program.banner.contains("unlimited"));
    assert_ne!(program.port, 3402);
    assert_eq!(program.end(libc::SIGTERM).status.code(), Some(0));
}

#[test]
fn prices_of_tools_may_have_colons_in_the_tools_name() {
    let place = Place::new();
    let program = place.wrap(&["--tool-price", "fs:read:5, write : 3 ,broken,:4", "--price", "2"]);
    let list = program.post("", &json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }));
    let prices: Vec<_> =
        [0, 1].into_iter().map(|at| &list["result"]["tools"][at]["_pricing"]["creditsPerCall"]).collect();
    assert_eq!(prices, [&json!(5), &json!(3)]);
    program.end(libc::SIGTERM);
}

#[test]
fn the_wrapped_server_does_not_get_our_secrets() {
    let place = Place::new();
    let variables =
        [("PAYGATE_ADMIN_KEY", ADMIN_KEY), ("PAYGATE_NAME", "n"), ("STRIPE_SECRET_KEY", "its own")];
    let program = place.wrap_with(&["--import-key", "pg_env_test_key:5"], &variables);
    let names = program.call("pg_env_test_key", "env")["result"].clone();
    let has = |name: &str| names.as_array().unwrap().contains(&json!(name));
    assert!(has("STRIPE_SECRET_KEY") && has("PATH"));
    assert!(!has("PAYGATE_ADMIN_KEY") && !has("PAYGATE_NAME"), "{names}");
    let (status, _) = program.send("GET", "/keys", &[("X-Admin-Key", ADMIN_KEY)], "");
    assert_eq!(status, 200, "the admin key of the environment is the admin key");
    program.end(libc::SIGTERM);
}

#[test]
fn several_servers_may_be_wrapped_and_so_may_a_remote_one() {
    let place = Place::new();
    let far = place.wrap(&["--import-key", "pg_far_test_key_1:5"]);
    let url = format!("http://localhost:{}/mcp", far.port);
    let remote = Place::new();
    let program = remote.wrap_bare(&["--remote-url", &url, "--port", "0", "--admin-key", ADMIN_KEY]);
    assert!(program.banner.contains(&format!("Backend:    HTTP → {}", &url[..28.min(url.len())])));
    let list = program.post("", &json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }));
    assert!(list["result"]["tools"].is_array(), "{list}");
    program.end(libc::SIGTERM);

    let child = ["-c".to_owned(), format!("exec {}", child::command_line())];
    let servers = json!([
        { "prefix": "far", "remoteUrl": url },
        { "prefix": "near", "serverCommand": "sh", "serverArgs": child },
    ]);
    remote.write("c.json", &json!({ "servers": servers, "port": 0, "adminKey": ADMIN_KEY }).to_string());
    let program = remote.wrap_bare(&["--config", "c.json"]);
    assert!(program.banner.contains("Backend:    multi (2) → far, near"), "{}", program.banner);
    let list = program.post("", &json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }));
    let names = list["result"]["tools"].to_string();
    assert!(names.contains("\"far:") && names.contains("\"near:"), "{names}");
    let told = program.end(libc::SIGTERM).stdout;
    assert!(
        told.contains(&format!("  Multi-server backends:\n    far: HTTP → {url}\n    near: stdio → sh -c "))
    );
    far.end(libc::SIGTERM);
}

#[test]
fn webhooks_and_stripe_are_told_in_the_box_without_their_secrets() {
    let place = Place::new();
    // Nobody listens there, and nobody is to be asked who does.
    place.write("c.json", r#"{"webhookUrl":"http://of.the.file.invalid/","stripe":{"grantFree":true}}"#);
    let args =
        ["--config", "c.json", "--webhook-url=http://me:word@127.0.0.1:9/hook", "--webhook-retries", "0"];
    let variables = [
        ("PAYGATE_WEBHOOK_SECRET", "very-secret"),
        ("PAYGATE_STRIPE_SECRET", "whsec_secret"),
        ("PAYGATE_ADMIN_KEY", ADMIN_KEY),
    ];
    let program = place.wrap_with(&args, &variables);
    let box_row = |label: &str| {
        let row = program.banner.lines().find(|line| line.contains(label)).unwrap();
        row.trim_matches(|c| c == '║' || c == ' ').to_owned()
    };
    assert_eq!(box_row("Webhook:"), "Webhook:    http://127.0.0.1:9/hook");
    assert_eq!(box_row("Signed:"), "Signed:     HMAC-SHA256");
    assert_eq!(box_row("Stripe:"), "Stripe:     enabled (/stripe/webhook)");
    let stats = program.get("/webhooks/stats", &[("X-Admin-Key", ADMIN_KEY)]);
    assert_eq!((&stats["configured"], &stats["maxRetries"]), (&json!(true), &json!(0)));
    let (status, told) = program.send("POST", "/stripe/webhook", &[], "{}");
    assert_eq!((status, &*told), (400, r#"{"error":"Missing Stripe-Signature header"}"#));
    let ended = program.end(libc::SIGTERM);
    for secret in ["very-secret", "whsec_secret", "me:word"] {
        assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret), "{secret}");
    }
}

#[test]
fn a_prefix_with_a_colon_stops_the_start() {
    let place = Place::new();
    place.write("c.json", r#"{"servers":[{"prefix":"a:b","serverCommand":"x"}]}"#);
    let told = String::from_utf8(place.run(&["wrap", "--config", "c.json"]).stderr).unwrap();
    assert!(
        told.contains("Invalid server prefix: \"a:b\" — must be non-empty and not contain \":\""),
        "{told}"
    );
}

#[test]
fn unknown_fields_and_stray_words_are_told() {
    let place = Place::new();
    place.write("c.json", r#"{"defaultCreditPerCall":4}"#);
    let told = place.wrap(&["--config", "c.json", "stray"]).end(libc::SIGTERM).stderr;
    assert!(told.contains("Warning: \"stray\" belongs to no flag and is not used"), "{told}");
    assert!(
        told.contains(
            "[defaultCreditPerCall] Unknown field, not used. Did you mean \"defaultCreditsPerCall\"?"
        )
    );
}
