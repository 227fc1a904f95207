//! What is no call: free methods, lists, notifications, what is no message at all.

use serde_json::{Value, json};

use crate::gateway::{Gateway, call};

#[tokio::test(flavor = "multi_thread")]
async fn free_methods_need_no_key_and_all_others_a_live_one() {
    let gateway = Gateway::start().await;
    let key = gateway.key(3).await;
    let expired = gateway.key_with(json!({ "expiresAt": "2001-01-01" })).await;
    let away = gateway.key_with(json!({ "ipAllowlist": ["10.0.0.1"] })).await;
    let told = gateway.post("", &json!({ "id": 1, "method": "initialize", "params": {} })).await.json();
    assert_eq!(told["result"]["serverInfo"]["name"], "scripted");

    let read = json!({ "jsonrpc": "2.0", "id": 2, "method": "resources/read", "params": { "uri": "x" } });
    for (key, reason) in [
        ("", "missing_api_key"),
        ("pg_nobody", "invalid_api_key"),
        (expired.as_str(), "api_key_expired"),
        (away.as_str(), "ip_not_allowed: 127.0.0.1 not in allowlist"),
    ] {
        let told = gateway.post(key, &read).await.json();
        assert_eq!(told["error"]["code"], -32402);
        assert_eq!(told["error"]["message"], format!("Payment required: {reason}"));
    }
    assert_eq!(gateway.post(&key, &read).await.json()["result"], json!({ "contents": [] }));
    assert_eq!(gateway.balance(&key).await, (3, 0), "it costs nothing");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_that_are_listed_are_free() {
    let gateway = Gateway::with(|config| {
        config.free_methods = ["resources/read", "tools/call"].map(str::to_owned).into();
    })
    .await;
    let read = json!({ "id": 2, "method": "resources/read" });
    assert!(gateway.post("", &read).await.json().get("result").is_some());
    assert!(gateway.call("", "echo", json!({})).await.json().get("result").is_some());
    assert_eq!(gateway.post("", &json!({ "id": 1, "method": "ping" })).await.error_code(), -32402);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_tools_are_told_with_prices_and_without_what_a_key_may_not_use() {
    let gateway = Gateway::start().await;
    let list = json!({ "jsonrpc": "2.0", "id": "l", "method": "tools/list" });
    let told = gateway.post("", &list).await;
    assert_eq!(
        told.body,
        concat!(
            r#"{"jsonrpc":"2.0","id":"l","result":{"tools":["#,
            r#"{"name":"echo","inputSchema":{"maximum":9007199254740993},"#,
            r#""_pricing":{"name":"echo","creditsPerCall":1,"creditsPerKbInput":0,"rateLimitPerMin":0,"pricingModel":"flat"}},"#,
            r#"{"name":"write","#,
            r#""_pricing":{"name":"write","creditsPerCall":1,"creditsPerKbInput":0,"rateLimitPerMin":0,"pricingModel":"flat"}}],"#,
            r#""nextCursor":"2","other":1.0}}"#
        )
    );
    let names = |told: Value| -> Vec<String> {
        let tools = told["result"]["tools"].as_array().unwrap().clone();
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    };
    let listed = gateway.key_with(json!({ "allowedTools": ["write"] })).await;
    assert_eq!(names(gateway.post(&listed, &list).await.json()), ["write"]);
    let denied = gateway.key_with(json!({ "deniedTools": ["write"] })).await;
    assert_eq!(names(gateway.post(&denied, &list).await.json()), ["echo"]);
    assert_eq!(names(gateway.post("pg_nobody", &list).await.json()), ["echo", "write"]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_and_responses_are_accepted_without_an_answer() {
    let gateway = Gateway::start().await;
    let key = gateway.key(9).await;
    let initialized =
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized", "params": { "mine": 1 } });
    for message in [
        initialized.clone(),
        json!({ "method": "notifications/progress", "params": {} }),
        json!({ "method": "notifications/odd", "id": null }),
        json!({ "id": 5, "result": {} }),
        json!({ "id": 5, "error": { "code": 1, "message": "x" } }),
    ] {
        let told = gateway.post(&key, &message).await;
        assert_eq!((told.status, told.body.as_str()), (202, ""), "{message}");
    }
    let anonymous = json!({ "method": "notifications/progress", "params": { "from": "nobody" } });
    assert_eq!(gateway.post("", &anonymous).await.status, 202);
    let seen = gateway.seen(&key).await;
    let mine: Vec<_> = seen.iter().filter(|message| message["params"]["mine"] == 1).collect();
    assert_eq!(mine, [&initialized]);
    assert!(!seen.iter().any(|message| message["params"]["from"] == "nobody"), "nobody is not passed on");
    assert!(
        !seen.iter().any(|message| message.get("method").is_none()),
        "answers to nothing are not passed on"
    );
    gateway.stop().await;
}

/// A call without an id used to be charged and done, and its result thrown away.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_answer_nobody_waits_for_is_refused() {
    let gateway = Gateway::start().await;
    let key = gateway.key(9).await;
    for method in ["tools/call", "tools/call_batch"] {
        let params = json!({ "name": "echo", "calls": [{ "name": "echo" }] });
        let headers = [("X-API-Key", key.as_str()), ("MCP-Protocol-Version", "2025-06-18")];
        let message = json!({ "method": method, "params": params }).to_string();
        let told = gateway.send("POST", "/mcp", &headers, &message).await;
        assert_eq!((told.status, told.error_code()), (400, -32600));
    }
    let told = gateway.post(&key, &json!({ "method": "tools/call", "params": { "name": "echo" } })).await;
    assert_eq!((told.status, told.error_code()), (400, -32600));
    assert_eq!(gateway.balance(&key).await, (9, 0));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_without_an_id_is_answered_as_by_2_9_0() {
    let gateway = Gateway::start().await;
    let key = gateway.key(9).await;
    let params = json!({ "calls": [{ "name": "echo" }, { "name": "echo" }] });
    let told = gateway.post(&key, &json!({ "method": "tools/call_batch", "params": params })).await;
    assert_eq!((told.status, told.json()["result"]["totalCreditsCharged"].clone()), (200, json!(2)));
    assert_eq!(told.json().get("id"), None);
    assert_eq!(gateway.balance(&key).await, (7, 2));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_message_is_a_bad_request() {
    let gateway = Gateway::start().await;
    let parse_error = r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error"}}"#;
    let deep = format!("{{\"id\":1,\"method\":\"ping\",\"params\":{}{}}}", "[".repeat(70), "]".repeat(70));
    for (body, code) in [
        ("{", -32700),
        ("", -32700),
        ("null", -32600),
        ("[]", -32600),
        ("[{\"id\":1,\"method\":\"ping\"}]", -32600),
        ("5", -32600),
        ("{}", -32600),
        ("{\"id\":1}", -32600),
        ("{\"id\":true,\"method\":\"ping\"}", -32600),
        ("{\"id\":1,\"method\":7}", -32600),
        ("{\"id\":1,\"method\":\"ping\",\"method\":\"tools/call\"}", -32600),
        (deep.as_str(), -32600),
    ] {
        let told = gateway.send("POST", "/mcp", &[], body).await;
        assert_eq!((told.status, told.error_code()), (400, code), "{body}");
        assert_eq!(told.header("mcp-session-id"), None);
    }
    assert_eq!(gateway.send("POST", "/mcp", &[], "{").await.body, parse_error);
    let mut request =
        b"POST /mcp HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 2\r\n\r\n".to_vec();
    request.extend(b"\xff\xfe");
    assert_eq!(gateway.raw(&request).await.status, 400);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_reaches_the_call_of_its_own_session_and_no_other() {
    let gateway = Gateway::start().await;
    let key = gateway.key(1000).await;
    let session = async || {
        let told = gateway.post(&key, &json!({ "id": 1, "method": "ping" })).await;
        told.header("mcp-session-id").unwrap().to_owned()
    };
    let (mine, other) = (session().await, session().await);
    let post = async |session: &str, message: Value| {
        let headers = [("X-API-Key", key.as_str()), ("Mcp-Session-Id", session)];
        gateway.send("POST", "/mcp", &headers, &message.to_string()).await
    };
    let cancel = |id: Value| {
        let params = json!({ "requestId": id, "reason": "enough" });
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params })
    };
    let cancelled = async {
        gateway.until_seen(&key, "hold", 1).await;
        assert_eq!(post(&other, cancel(json!("h"))).await.status, 202);
        assert_eq!(post(&mine, cancel(json!("no such"))).await.status, 202);
        let seen = gateway.seen(&key).await;
        // The id of another's request, as a number and as text, guessed or leaked.
        let held = seen.iter().find(|message| message["params"]["name"] == "hold").unwrap();
        assert_eq!(post(&other, cancel(held["id"].clone())).await.status, 202);
        assert_eq!(post(&other, cancel(json!(held["id"].to_string()))).await.status, 202);
        assert_eq!(post(&mine, cancel(json!("h"))).await.status, 202);
        let seen = gateway.seen(&key).await;
        gateway.call(&key, "release", json!({})).await;
        seen
    };
    let (told, seen) = tokio::join!(post(&mine, call("h", "hold", json!({}))), cancelled);
    assert_eq!(told.json()["result"], json!({ "held": true }));
    let held = seen.iter().find(|message| message["params"]["name"] == "hold").unwrap();
    let cancelled: Vec<_> = seen
        .iter()
        .filter(|message| message["method"] == "notifications/cancelled")
        .map(|message| message["params"]["requestId"].clone())
        .collect();
    assert_eq!(cancelled, [json!("h"), json!("no such"), held["id"].clone()], "ids nobody has are no harm");
    gateway.stop().await;
}
