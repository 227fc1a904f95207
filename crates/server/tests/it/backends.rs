//! Remote servers, and several servers under prefixes.
//!
//! The remote server of these tests is another gateway whose calls are free.

use std::sync::Arc;

use parking_lot::Mutex;
use paygate_mcp_wire::http::HttpConfig;
use paygate_mcp_wire::stdio::StdioConfig;
use paygate_server::{
    BackendConfig, BatchCallEvent, CallListener, ServerConfig, ToolCallEvent, WrappedConfig,
};
use serde_json::{Value, json};

use crate::child;
use crate::gateway::{Gateway, batch, call};

async fn free_gateway() -> Gateway {
    Gateway::with(|config| config.free_methods.extend(["tools/call".to_owned()])).await
}

fn remote_url(remote: &Gateway) -> String {
    format!("http://{}/mcp", remote.address)
}

fn remote(url: &str) -> WrappedConfig {
    HttpConfig::new(url).unwrap().into()
}

/// A gateway in front of the remote one.
async fn in_front_of(url: &str, refund: bool) -> Gateway {
    Gateway::with(|config| {
        config.backend = remote(url).into();
        config.gate.refunds.on_failure = refund;
    })
    .await
}

fn child_config() -> WrappedConfig {
    child::config().into()
}

fn many(servers: impl IntoIterator<Item = (&'static str, WrappedConfig)>) -> impl FnOnce(&mut ServerConfig) {
    let servers = servers.into_iter().map(|(prefix, server)| (prefix.to_owned(), server)).collect();
    move |config| {
        config.backend = BackendConfig::Many(servers);
        config.gate.refunds.on_failure = true;
    }
}

/// An address where nobody listens.
fn nowhere() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/mcp", listener.local_addr().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_a_remote_server_are_paid_for_and_answered_under_the_callers_id() {
    let far = free_gateway().await;
    let near = in_front_of(&remote_url(&far), false).await;
    let key = near.key(5).await;
    let told = near.post(&key, &call("mine", "echo", json!({ "n": 1 }))).await.json();
    assert_eq!(told, json!({ "jsonrpc": "2.0", "id": "mine", "result": { "echo": { "n": 1 } } }));
    let told = near.post(&key, &batch(json!([{ "name": "echo" }, { "name": "error" }]))).await.json();
    assert_eq!(told["result"]["totalCreditsCharged"], 2);
    assert_eq!(told["result"]["results"][1]["error"]["code"], -32050);
    assert_eq!(near.balance(&key).await, (2, 3));
    near.stop().await;
    far.stop().await;
}

/// 2.9.0 gave nothing back for calls of a remote server.
#[tokio::test(flavor = "multi_thread")]
async fn every_ending_but_a_result_gives_credits_back_for_a_remote_server_too() {
    let far = free_gateway().await;
    let near = in_front_of(&remote_url(&far), true).await;
    let key = near.key(5).await;
    for tool in ["error", "neither", "exit"] {
        assert!(near.call(&key, tool, json!({})).await.json()["error"]["code"].is_i64());
        assert_eq!(near.balance(&key).await, (5, 0), "{tool}");
    }
    assert_eq!(near.call(&key, "tool_error", json!({})).await.json()["result"]["isError"], true);
    assert_eq!(near.balance(&key).await, (4, 1));
    near.stop().await;
    far.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remote_server_that_cannot_be_reached_costs_nothing() {
    let near = in_front_of(&nowhere(), false).await;
    let key = near.key(5).await;
    let told = near.call(&key, "echo", json!({})).await.json();
    assert_eq!(told["error"]["code"], -32603);
    assert!(told["error"]["message"].as_str().unwrap().starts_with("Remote server error: "));
    assert_eq!(near.balance(&key).await, (5, 0));
    near.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_call_of_a_remote_server_is_refused_with_the_code_of_2_9_0() {
    let near = in_front_of(&nowhere(), false).await;
    assert_eq!(near.call("", "echo", json!({})).await.error_code(), -32000);
    assert_eq!(near.post("", &batch(json!([{ "name": "echo" }]))).await.error_code(), -32402);
    near.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tools_of_several_servers_are_one_list_in_the_order_of_the_configuration() {
    let far = free_gateway().await;
    let servers = [("b", child_config()), ("gone", remote(&nowhere())), ("a", remote(&remote_url(&far)))];
    let gateway = Gateway::with(many(servers)).await;
    let key = gateway.key_with(json!({ "credits": 5, "deniedTools": ["b:write"] })).await;
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    let told = gateway.post(&key, &list).await.json();
    let tools = told["result"]["tools"].as_array().unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["b:echo", "a:echo", "a:write"]);
    assert_eq!(tools[1]["description"], "[a]");
    assert_eq!(tools[1]["_pricing"]["name"], "a:echo");
    assert_eq!(told["result"].as_object().unwrap().len(), 1, "cursors are not told");
    gateway.stop().await;
    far.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_to_the_server_of_its_prefix_under_its_own_name() {
    let far = free_gateway().await;
    let servers = [("fs", child_config()), ("gh", remote(&remote_url(&far)))];
    let gateway = Gateway::with(many(servers)).await;
    let key = gateway.key(9).await;
    let results =
        json!([{ "name": "gh:x:y" }, { "name": "fs:echo", "arguments": [1] }, { "name": "gh:error" }]);
    let told = gateway.post(&key, &batch(results)).await.json();
    assert_eq!(
        told["result"]["results"],
        json!([
            { "tool": "gh:x:y", "result": { "ok": "x:y" }, "creditsCharged": 1 },
            { "tool": "fs:echo", "result": { "echo": [1] }, "creditsCharged": 1 },
            { "tool": "gh:error", "error": { "code": -32050, "message": "broken", "data": { "n": 1 } }, "creditsCharged": 0 },
        ])
    );
    let told = gateway.call(&key, "fs:seen", json!({})).await.json();
    let seen = told["result"]["seen"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(seen["params"], json!({ "name": "seen", "arguments": {} }));
    assert_eq!(gateway.balance(&key).await, (6, 3));
    gateway.stop().await;
    far.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_without_a_known_prefix_is_refused_before_the_gate_is_asked() {
    let gateway = Gateway::with(many([("fs", child_config())])).await;
    let message = |told: Value| told["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!(
        message(gateway.call("", "echo", json!({})).await.json()),
        "Invalid tool name: \"echo\" — must be prefixed (e.g., \"server:tool\"). Available prefixes: fs"
    );
    let unknown = gateway.post("", &batch(json!([{ "name": "fs:a" }, { "name": "zz:a" }]))).await;
    assert_eq!(message(unknown.json()), "Unknown server prefix in batch[1]: \"zz\". Available: fs");
    assert_eq!(
        message(gateway.call("", "fs:a", json!({})).await.json()),
        "Payment required: missing_api_key"
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_reaches_the_server_that_has_the_request() {
    let gateway = Arc::new(Gateway::with(many([("a", child_config()), ("b", child_config())])).await);
    let key = gateway.key(9).await;
    let hello = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {} });
    let session = gateway.post(&key, &hello).await.header("mcp-session-id").unwrap().to_owned();
    let send = async |message: Value| {
        let headers = [("X-API-Key", &*key), ("Mcp-Session-Id", &*session)];
        gateway.send("POST", "/mcp", &headers, &message.to_string()).await
    };
    let seen = async |prefix: &str| {
        let told = gateway.call(&key, &format!("{prefix}:seen"), json!({})).await.json();
        told["result"]["seen"].as_array().unwrap().clone()
    };
    let held = send(call(7, "b:hold", json!({})));
    let cancelled = async {
        while !seen("b").await.iter().any(|message| message["params"]["name"] == "hold") {
            tokio::task::yield_now().await;
        }
        let params = json!({ "requestId": 7 });
        send(json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params })).await;
        let is_cancellation = |message: &Value| message["method"] == "notifications/cancelled";
        while !seen("b").await.iter().any(is_cancellation) {
            tokio::task::yield_now().await;
        }
        assert!(!seen("a").await.iter().any(is_cancellation));
        gateway.call(&key, "b:release", json!({})).await;
    };
    let (answer, ()) = tokio::join!(held, cancelled);
    assert_eq!(answer.json()["result"]["held"], true);
    Arc::into_inner(gateway).unwrap().stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_started_stops_the_start_of_all() {
    let broken = StdioConfig::new("/no/such/program", Vec::new()).into();
    let mut config = crate::gateway::config(crate::gateway::in_memory());
    many([("a", child_config()), ("b", broken)])(&mut config);
    let error = paygate_server::Server::bind(config).await.err().unwrap().to_string();
    assert!(error.contains("/no/such/program"), "{error}");
}

#[derive(Default)]
struct Heard(Mutex<Vec<Value>>);

impl CallListener for Heard {
    fn tool_called(&self, event: &ToolCallEvent<'_>) {
        self.0.lock().push(serde_json::to_value(event).unwrap());
    }

    fn batch_called(&self, event: &BatchCallEvent) {
        self.0.lock().push(serde_json::to_value(event).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_have_ended_are_told() {
    let heard = Arc::<Heard>::default();
    let listener = heard.clone();
    let gateway = Gateway::with(move |config| {
        config.gate.refunds.on_failure = true;
        config.listener = Some(listener);
    })
    .await;
    let key = gateway.key(5).await;
    gateway.call(&key, "echo", json!({})).await;
    gateway.call(&key, "error", json!({})).await;
    gateway.call("", "echo", json!({})).await;
    gateway.post(&key, &batch(json!([{ "name": "echo" }, { "name": "error" }]))).await;
    let shown = &key[..10];
    assert_eq!(
        json!(*heard.0.lock()),
        json!([
            { "tool": "echo", "apiKey": shown, "creditsCharged": 1, "remainingCredits": 4, "refunded": false },
            { "tool": "error", "apiKey": shown, "creditsCharged": 0, "remainingCredits": 4, "refunded": true },
            { "apiKey": shown, "callCount": 2, "totalCreditsCharged": 1, "remainingCredits": 3, "refunded": 1 },
        ])
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_tells_its_server_and_the_balance_before_a_refund() {
    let heard = Arc::<Heard>::default();
    let listener = heard.clone();
    let gateway = Gateway::with(move |config| {
        many([("fs", child_config())])(config);
        config.listener = Some(listener);
    })
    .await;
    let key = gateway.key(5).await;
    gateway.call(&key, "fs:error", json!({})).await;
    let shown = &key[..10];
    assert_eq!(
        json!(*heard.0.lock()),
        json!([{ "tool": "fs:error", "server": "fs", "apiKey": shown, "creditsCharged": 0, "remainingCredits": 4, "refunded": true }])
    );
    gateway.stop().await;
}
