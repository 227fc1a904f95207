//! The end of a server.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::gateway::{Gateway, call, read_to_end, request};

#[tokio::test(flavor = "multi_thread")]
async fn calls_under_way_are_answered_and_new_ones_are_not_taken() {
    let gateway = Gateway::with(|config| config.limits.head_timeout = Duration::from_secs(60)).await;
    let key = gateway.key(1000).await;
    let connect = async || TcpStream::connect(gateway.address).await.unwrap();
    let (mut held, mut late, mut asking) = (connect().await, connect().await, connect().await);
    let mut releasing = connect().await;
    let headers = [("X-API-Key", key.as_str())];
    let body = call("h", "hold", json!({})).to_string();
    held.write_all(request("POST", "/mcp", &headers, &body).as_bytes()).await.unwrap();
    gateway.until_seen(&key, "hold", 1).await;
    // Its head is read before the drain, its body comes after: it is under way.
    let body = call(1, "release", json!({})).to_string();
    let begun = request("POST", "/mcp", &headers, &body);
    let (head, rest) = begun.split_at(begun.len() - body.len());
    releasing.write_all(head.as_bytes()).await.unwrap();
    // Connections are accepted in the order in which they came, so all of those above have been.
    while gateway.get("/health", &[]).await.json()["inflight"] != 2 {
        tokio::task::yield_now().await;
    }

    let server = gateway.server.clone();
    let stopping = tokio::spawn(async move { server.graceful_stop(Duration::from_secs(30)).await });
    // The listener goes first; once it is gone the drain has begun.
    while TcpStream::connect(gateway.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    asking.write_all(request("GET", "/health", &[], "").as_bytes()).await.unwrap();
    let health = read_to_end(&mut asking).await;
    assert_eq!((health.status, &health.json()["status"]), (503, &json!("draining")));
    let body = call(2, "echo", json!({})).to_string();
    late.write_all(request("POST", "/mcp", &headers, &body).as_bytes()).await.unwrap();
    let refused = read_to_end(&mut late).await;
    assert_eq!((refused.status, refused.json()), (503, json!({ "error": "Server is shutting down" })));

    releasing.write_all(rest.as_bytes()).await.unwrap();
    let told = read_to_end(&mut held).await;
    assert_eq!(told.json(), json!({ "result": { "held": true }, "id": "h", "jsonrpc": "2.0" }));
    assert!(read_to_end(&mut releasing).await.json().get("result").is_some());
    stopping.await.unwrap();
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_do_not_end_in_time_are_given_up_and_settled() {
    let gateway = Gateway::with(|config| config.gate.refunds.on_failure = true).await;
    let key = gateway.key(1000).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let body = call("h", "hold", json!({})).to_string();
    stream.write_all(request("POST", "/mcp", &[("X-API-Key", &key)], &body).as_bytes()).await.unwrap();
    gateway.until_seen(&key, "hold", 1).await;
    let spent = gateway.balance(&key).await.1;
    gateway.server.graceful_stop(Duration::from_millis(50)).await;
    let told = read_to_end(&mut stream).await;
    assert_eq!((told.status, told.error_code()), (200, -32603));
    let left = gateway.books.ledger().read(&key, |record| record.spent.get()).unwrap();
    assert_eq!(left, spent - 1, "given back");
    gateway.stop().await;
}
