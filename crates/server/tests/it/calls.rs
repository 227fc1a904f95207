//! Tool calls and batches: what they cost and how they end.

use paygate_core::credits::Credits;
use paygate_core::gate::{PriceList, ToolTerms};
use paygate_core::ledger::RefundPolicy;
use paygate_server::ServerConfig;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::gateway::{Gateway, batch, call, request};

fn refunding(config: &mut ServerConfig) {
    config.gate.refunds = RefundPolicy { on_failure: true, on_tool_error: false };
}

fn credits(number: u64) -> Credits {
    Credits::new(number).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_paid_for_and_answered_under_the_clients_own_id() {
    let gateway = Gateway::start().await;
    let key = gateway.key(5).await;
    for id in [json!(7), json!("7"), json!("é✓"), json!(9_007_199_254_740_993_u64), json!(0), json!(-1)] {
        let told = gateway.post(&key, &call(id.clone(), "echo", json!({}))).await;
        if gateway.balance(&key).await.0 > 0 {
            assert_eq!(told.json(), json!({ "result": { "echo": {} }, "id": id, "jsonrpc": "2.0" }));
        }
    }
    assert_eq!(gateway.balance(&key).await, (0, 5));
    let refused = gateway.call(&key, "echo", json!({})).await;
    assert_eq!(refused.status, 200);
    assert_eq!(
        refused.body,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32402,"message":"Payment required: insufficient_credits: need 1, have 0","data":{"creditsRequired":1,"remainingCredits":0}}}"#
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_arrive_as_they_were_sent() {
    let gateway = Gateway::start().await;
    let key = gateway.key(5).await;
    let body = r#"{ "jsonrpc":"2.0", "params" : {"arguments":{"n":9007199254740993,"f":1.50,"t":"\u00e9"},"name":"echo","_meta":{"x":1}},
        "id" : "a" , "method":"tools/call","extra":[1,2]}"#;
    let told = gateway.send("POST", "/mcp", &[("X-API-Key", &key)], body).await;
    assert_eq!(told.json()["result"]["echo"]["n"].to_string(), "9007199254740993");
    let seen = gateway.seen(&key).await;
    let call = seen.iter().find(|message| message["params"]["name"] == "echo").unwrap();
    assert_eq!(call["extra"], json!([1, 2]), "members we do not know stay");
    assert_eq!(call["params"]["_meta"], json!({ "x": 1 }));
    assert_ne!(call["id"], "a", "the server sees ids of ours");

    let count = 1_000_000;
    let told = gateway.call(&key, "big", json!({ "count": count })).await;
    assert_eq!(told.body.len(), told.header("content-length").unwrap().parse::<usize>().unwrap());
    assert_eq!(told.json()["result"]["text"].as_str().unwrap(), "é✓".repeat(count));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_may_use_the_same_id_at_once() {
    let gateway = Gateway::start().await;
    let (one, other) = (gateway.key(9).await, gateway.key(9).await);
    let held = async |key: &str, id: Value| gateway.post(key, &call(id, "hold", json!({}))).await;
    let release = async {
        gateway.until_seen(&one, "hold", 3).await;
        gateway.call(&one, "release", json!({})).await
    };
    let (a, b, c, _) =
        tokio::join!(held(&one, json!(7)), held(&other, json!(7)), held(&other, json!("7")), release);
    for (told, id) in [(a, json!(7)), (b, json!(7)), (c, json!("7"))] {
        assert_eq!(told.json(), json!({ "result": { "held": true }, "id": id, "jsonrpc": "2.0" }));
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_of_500_pays_for_exactly_500_of_1000_calls_at_once() {
    let gateway = Gateway::start().await;
    let key = gateway.key(500).await;
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..50 {
        let (address, key) = (gateway.address, key.clone());
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let mut paid = 0;
            for n in 0..20 {
                let body = call(client * 100 + n, "echo", json!({})).to_string();
                let request = format!(
                    "POST /mcp HTTP/1.1\r\nHost: h\r\nX-API-Key: {key}\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(request.as_bytes()).await.unwrap();
                let told = crate::gateway::read_one(&mut stream).await.json();
                assert_eq!(told["id"], client * 100 + n);
                paid += u64::from(told.get("result").is_some());
            }
            paid
        });
    }
    let paid: u64 = clients.join_all().await.into_iter().sum();
    assert_eq!(paid, 500);
    assert_eq!(gateway.balance(&key).await, (0, 500));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_why_and_take_nothing() {
    let gateway = Gateway::start().await;
    let listed = gateway.key_with(json!({ "credits": 9, "allowedTools": ["echo"] })).await;
    let away = gateway.key_with(json!({ "credits": 9, "ipAllowlist": ["10.0.0.0/8"] })).await;
    let expired = gateway.key_with(json!({ "credits": 9, "expiresAt": "2001-01-01" })).await;
    for (key, tool, reason) in [
        ("", "echo", "missing_api_key"),
        ("pg_nobody", "echo", "invalid_api_key"),
        (expired.as_str(), "echo", "api_key_expired"),
        (listed.as_str(), "write", "tool_not_allowed: write not in allowedTools"),
        (away.as_str(), "echo", "ip_not_allowed: 127.0.0.1 not in allowlist"),
    ] {
        let told = gateway.call(key, tool, json!({})).await;
        assert_eq!(told.status, 200);
        assert_eq!(told.error_code(), -32402);
        assert_eq!(told.json()["error"]["message"], format!("Payment required: {reason}"));
    }
    assert_eq!(gateway.balance(&listed).await, (9, 0));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_behind_a_trusted_proxy_counts() {
    let gateway = Gateway::start().await;
    let key = gateway.key_with(json!({ "credits": 9, "ipAllowlist": ["10.0.0.0/8"] })).await;
    let body = call(1, "echo", json!({})).to_string();
    let from = async |chain: &str| {
        gateway.send("POST", "/mcp", &[("X-API-Key", &key), ("X-Forwarded-For", chain)], &body).await.json()
    };
    assert!(from("10.1.2.3").await.get("result").is_some());
    assert!(from("6.6.6.6, 10.1.2.3, 127.0.0.1").await.get("result").is_some());
    assert!(from("10.1.2.3, 6.6.6.6").await.get("error").is_some(), "what comes before may be made up");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_calls_are_refused_before_anything_is_taken() {
    let gateway = Gateway::start().await;
    let key = gateway.key(5).await;
    for (params, message) in [
        ("{}", "Invalid tool call: missing tool name"),
        ("{\"name\":\"\"}", "Invalid tool call: missing tool name"),
        ("{\"name\":5}", "Invalid params: \"name\" must be a string"),
        ("{\"name\":\"a\",\"name\":\"b\"}", "Invalid params: duplicate member \"name\""),
        ("[]", "Invalid tool call: missing tool name"),
    ] {
        let body = format!("{{\"id\":1,\"method\":\"tools/call\",\"params\":{params}}}");
        let told = gateway.send("POST", "/mcp", &[("X-API-Key", &key)], &body).await;
        assert_eq!((told.status, told.error_code()), (200, -32602), "{params}");
        assert_eq!(told.json()["error"]["message"], message);
    }
    assert_eq!(gateway.balance(&key).await, (5, 0));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_given_back_only_where_that_is_configured() {
    for (refunds, left) in [(false, 6), (true, 9)] {
        let gateway = Gateway::with(|config| config.gate.refunds.on_failure = refunds).await;
        let key = gateway.key(10).await;
        assert_eq!(gateway.call(&key, "error", json!({})).await.json()["error"]["data"], json!({ "n": 1 }));
        assert_eq!(gateway.call(&key, "tool_error", json!({})).await.json()["result"]["isError"], true);
        let odd = gateway.call(&key, "neither", json!({})).await;
        assert_eq!((odd.status, odd.error_code()), (200, -32603));
        let gone = gateway.call(&key, "exit", json!({})).await;
        assert_eq!(gone.json()["error"]["message"], "Server exited with code 3");
        assert_eq!(gone.json()["id"], 1);
        assert_eq!(gateway.balance(&key).await, (left, 10 - left), "only the tool's own failure is kept");
        // The server behind is started again.
        assert!(gateway.call(&key, "echo", json!({})).await.json().get("result").is_some());
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_takes_too_long_is_given_up() {
    let gateway = Gateway::with(|config| {
        refunding(config);
        let mut backend = crate::child::config();
        backend.request_timeout = std::time::Duration::from_secs(1);
        config.backend = backend.into();
    })
    .await;
    let key = gateway.key(5).await;
    let told = gateway.call(&key, "hold", json!({})).await;
    assert_eq!(told.json()["error"], json!({ "code": -32603, "message": "Request timed out after 1s" }));
    assert_eq!(gateway.balance(&key).await, (5, 0));
    gateway.stop().await;
}

/// A client that hung up in the middle of a call used to part the charge from its refund.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_parts_nothing() {
    let gateway = Gateway::with(refunding).await;
    let key = gateway.key(1000).await;
    let body = call(1, "hold", json!({})).to_string();
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(request("POST", "/mcp", &[("X-API-Key", &key)], &body).as_bytes()).await.unwrap();
    gateway.until_seen(&key, "hold", 1).await;
    drop(stream);
    let spent = gateway.balance(&key).await.1;
    // The call goes on, fails, and is refunded.
    let told = gateway.call(&key, "exit", json!({})).await;
    assert_eq!(told.error_code(), -32603);
    while gateway.balance(&key).await.1 != spent - 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(gateway.get("/health", &[]).await.json()["inflight"], 0);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_as_events_to_those_who_ask_for_them() {
    let gateway = Gateway::start().await;
    let key = gateway.key(5).await;
    let headers = [("X-API-Key", key.as_str()), ("Accept", "application/json, text/event-stream")];
    let told = gateway.send("POST", "/mcp", &headers, &call("x", "echo", json!({})).to_string()).await;
    assert_eq!(told.header("content-type"), Some("text/event-stream"));
    assert_eq!(told.header("cache-control"), Some("no-cache, no-transform"));
    assert_eq!(told.header("x-accel-buffering"), Some("no"));
    assert_eq!(told.header("x-credits-remaining"), Some("4"));
    let data = told.body.strip_prefix("event: message\ndata: ").unwrap().strip_suffix("\n\n").unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!(data, json!({ "result": { "echo": {} }, "id": "x", "jsonrpc": "2.0" }));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_is_told_to_those_with_a_live_key() {
    let gateway = Gateway::with(|config| {
        let limited = ToolTerms {
            name: "write".into(),
            credits_per_call: credits(2),
            calls_per_minute: 3.0,
            credits_per_kb: 0.0,
        };
        config.gate.prices = PriceList::new(credits(1), [limited]);
        config.gate.global_rate_limit = 10.0;
    })
    .await;
    let key = gateway.key(20).await;
    let limits = |told: &crate::gateway::Answer| {
        ["x-credits-remaining", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]
            .map(|name| told.header(name).map(str::to_owned))
    };
    let some = |texts: [&str; 4]| texts.map(|text| Some(text.to_owned()));
    assert_eq!(limits(&gateway.call(&key, "echo", json!({})).await), some(["19", "10", "8", "60"]));
    assert_eq!(limits(&gateway.call(&key, "write", json!({})).await), some(["17", "3", "1", "60"]));
    let ping = json!({ "id": 1, "method": "ping" });
    assert_eq!(limits(&gateway.post(&key, &ping).await)[..3], some(["17", "10", "7", ""])[..3]);
    assert_eq!(limits(&gateway.post("pg_nobody", &ping).await), [None, None, None, None]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_paid_for_as_one_and_each_call_is_settled_by_its_own_ending() {
    let gateway = Gateway::with(refunding).await;
    let key = gateway.key(10).await;
    let calls = json!([
        { "name": "echo", "arguments": { "n": 9_007_199_254_740_993_u64 } },
        { "name": "error" },
        { "name": "tool_error" },
    ]);
    let told = gateway.post(&key, &batch(calls)).await;
    assert_eq!(
        told.json(),
        json!({ "jsonrpc": "2.0", "id": 1, "result": {
            "results": [
                { "tool": "echo", "result": { "echo": { "n": 9_007_199_254_740_993_u64 } }, "creditsCharged": 1 },
                {
                    "tool": "error",
                    "error": { "code": -32050, "message": "broken", "data": { "n": 1 } },
                    "creditsCharged": 0,
                },
                { "tool": "tool_error", "result": { "isError": true, "content": [] }, "creditsCharged": 1 },
            ],
            "totalCreditsCharged": 2,
            "remainingCredits": 8,
        } })
    );
    assert_eq!(gateway.balance(&key).await, (8, 2));
    gateway.stop().await;
}

/// One failed call used to fail the whole batch, whose credits stayed taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_fails_in_the_gateway_fails_alone() {
    let gateway = Gateway::with(|config| {
        refunding(config);
        let mut backend = crate::child::config();
        backend.request_timeout = std::time::Duration::from_secs(1);
        config.backend = backend.into();
    })
    .await;
    let key = gateway.key(10).await;
    let told = gateway.post(&key, &batch(json!([{ "name": "hold" }, { "name": "echo" }]))).await.json();
    let results = &told["result"]["results"];
    assert_eq!(
        results[0],
        json!({
            "tool": "hold",
            "error": { "code": -32603, "message": "Request timed out after 1s" },
            "creditsCharged": 0,
        })
    );
    assert_eq!(results[1]["creditsCharged"], 1);
    assert_eq!(gateway.balance(&key).await, (9, 1));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_refused_whole() {
    let gateway = Gateway::with(|config| config.gate.batch_calls_max = 3).await;
    let key = gateway.key(2).await;
    let three = json!([{ "name": "a" }, { "name": "b" }, { "name": "c" }]);
    assert_eq!(
        gateway.post(&key, &batch(three)).await.json()["error"],
        json!({
            "code": -32402,
            "message": "Payment required: insufficient_credits: need 3, have 2",
            "data": { "failedIndex": 0, "totalCreditsRequired": 3, "remainingCredits": 2 },
        })
    );
    for (calls, message) in [
        (json!([]), "Invalid batch: empty calls array"),
        (json!(null), "Invalid params: \"calls\" array is required"),
        (json!([{ "name": "a" }, null]), "Invalid params: calls[1] must be an object with a string \"name\""),
        (
            json!([{ "name": "a" }, { "name": "" }]),
            "Invalid params: calls[1] must be an object with a string \"name\"",
        ),
        (json!([{}, {}, {}, {}]), "Invalid params: \"calls\" holds 4 calls, at most 3 are allowed"),
    ] {
        let told = gateway.post(&key, &batch(calls)).await;
        assert_eq!((told.error_code(), told.json()["error"]["message"].as_str().unwrap()), (-32602, message));
    }
    assert_eq!(gateway.balance(&key).await, (2, 0));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_shadow_mode_refusals_are_only_noted() {
    let gateway = Gateway::with(|config| config.gate.shadow_mode = true).await;
    assert!(gateway.call("", "echo", json!({})).await.json().get("result").is_some());
    let told = gateway.post("", &batch(json!([{ "name": "a" }, { "name": "b" }]))).await.json();
    assert_eq!(told["result"]["totalCreditsCharged"], 0);
    assert_eq!(
        told["result"]["results"][1],
        json!({ "tool": "b", "result": { "ok": "b" }, "creditsCharged": 0 })
    );
    let poor = gateway.key(1).await;
    let told = gateway.post(&poor, &batch(json!([{ "name": "a" }, { "name": "b" }]))).await.json();
    assert_eq!(told["result"]["remainingCredits"], 1);
    gateway.stop().await;
}
