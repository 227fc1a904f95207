//! Methods, headers, bodies, origins, the admin key, slow and rude clients.

use std::time::Duration;

use paygate_core::key::address::CompiledAllowlist;
use paygate_mcp_wire::stdio::StdioConfig;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::gateway::{ADMIN_KEY, Gateway, read_one, read_to_end, request};

#[tokio::test(flavor = "multi_thread")]
async fn every_page_may_read_every_answer() {
    let gateway = Gateway::start().await;
    let preflight = gateway.send("OPTIONS", "/nope", &[("Origin", "https://evil.example")], "").await;
    assert_eq!((preflight.status, preflight.body.as_str()), (204, ""));
    for told in [preflight, gateway.get("/nope", &[]).await, gateway.get("/health", &[]).await] {
        assert_eq!(told.header("access-control-allow-origin"), Some("*"));
        assert_eq!(told.header("access-control-allow-methods"), Some("GET, POST, DELETE, OPTIONS"));
        let asked = told.header("access-control-allow-headers").unwrap();
        for name in ["X-API-Key", "X-Admin-Key", "MCP-Protocol-Version", "Last-Event-ID", "Idempotency-Key"] {
            assert!(asked.contains(name), "{name}");
        }
        assert!(told.header("access-control-expose-headers").unwrap().contains("X-Credits-Remaining"));
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_are_compared_as_they_are() {
    let gateway = Gateway::start().await;
    for path in ["/nope", "/mcp/", "/%68ealth", "/HEALTH", "//health", "http://localhost/health"] {
        let told = gateway.get(path, &[]).await;
        assert_eq!((told.status, told.json()), (404, json!({ "error": "Not found" })), "{path}");
    }
    assert_eq!(gateway.get("/health?x=1", &[]).await.status, 200);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_that_are_not_answered_are_told_which_are() {
    let gateway = Gateway::start().await;
    let admin = [("X-Admin-Key", ADMIN_KEY)];
    for (method, path, headers, allow) in [
        ("POST", "/health", &[][..], "GET"),
        ("PUT", "/mcp", &[], "GET, POST, DELETE"),
        ("GET", "/topup", &[], "POST"),
        ("POST", "/balance", &[], "GET"),
        ("PATCH", "/keys", &admin[..], "GET, POST"),
        ("HEAD", "/keys", &admin[..], "GET, POST"),
    ] {
        let told = gateway.send(method, path, headers, "{}").await;
        assert_eq!((told.status, told.header("allow")), (405, Some(allow)), "{method} {path}");
    }
    let told = gateway.get("/mcp", &[]).await;
    assert_eq!(
        (told.status, told.json()),
        (405, json!({ "error": "GET /mcp requires Accept: text/event-stream" }))
    );
    let told = gateway.send("DELETE", "/keys", &[], "").await;
    assert_eq!(told.status, 401, "without the admin key not even the methods are told");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_and_health_tell_how_things_are() {
    let gateway = Gateway::with(|config| config.name = "Gate A".to_owned()).await;
    let root = gateway.send("PUT", "/", &[], "").await.json();
    assert_eq!(root["name"], "Gate A");
    assert_eq!(root["version"], "2.9.0");
    assert_eq!(
        (&root["shadowMode"], &root["oauth"], &root["redis"]),
        (&json!(false), &json!(false), &json!(false))
    );
    let endpoints = root["endpoints"].as_object().unwrap();
    assert_eq!(endpoints.len(), 33);
    assert!(endpoints["createKey"].as_str().unwrap().starts_with("POST /keys — "));
    let health = gateway.get("/health", &[]).await.json();
    let names: Vec<&String> = health.as_object().unwrap().keys().collect();
    assert_eq!(names, ["status", "uptime", "version", "inflight", "backend", "store"]);
    assert_eq!((&health["status"], &health["inflight"]), (&json!("healthy"), &json!(0)));
    assert_eq!(health["store"]["durability"], "memory");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_key_is_asked_for_before_the_body_is_read() {
    let gateway = Gateway::start().await;
    let refused = json!({ "error": "Invalid admin key" });
    for headers in
        [vec![], vec![("X-Admin-Key", "wrong")], vec![("X-Admin-Key", ADMIN_KEY), ("X-Admin-Key", ADMIN_KEY)]]
    {
        let told = gateway.send("POST", "/keys", &headers, "{").await;
        assert_eq!((told.status, told.json()), (401, refused.clone()), "{headers:?}");
    }
    let told = gateway.send("POST", "/keys", &[("X-Admin-Key", ADMIN_KEY)], "{").await;
    assert_eq!((told.status, told.json()), (400, json!({ "error": "Invalid JSON" })));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_guesses_the_admin_key_is_held_back_and_nobody_else() {
    let gateway =
        Gateway::with(|config| config.trusted_proxies = CompiledAllowlist::new(["127.0.0.1"])).await;
    let guess = async |from: &str| {
        gateway.get("/keys", &[("X-Admin-Key", "guess"), ("X-Forwarded-For", from)]).await.status
    };
    let mut guesses = Vec::new();
    for _ in 0..19 {
        guesses.push(guess("10.0.0.1").await);
    }
    let late = (0..41).map(|_| guess("10.0.0.1"));
    let late = futures_util::future::join_all(late).await;
    guesses.extend(late);
    assert_eq!(guesses.iter().filter(|status| **status == 401).count(), 49);
    assert_eq!(guesses.iter().filter(|status| **status == 429).count(), 11);
    assert_eq!(guess("10.0.0.2").await, 401);
    let right = gateway.get("/keys", &[("X-Admin-Key", ADMIN_KEY), ("X-Forwarded-For", "10.0.0.1")]).await;
    assert_eq!(right.status, 200, "the right key always passes");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_object_are_bad_requests() {
    let gateway = Gateway::start().await;
    for body in ["null", "5", "[]", "\"x\"", "true"] {
        let told = gateway.send("POST", "/topup", &[("X-Admin-Key", ADMIN_KEY)], body).await;
        assert_eq!(told.status, 400, "{body}");
    }
    let head =
        format!("POST /topup HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Admin-Key: {ADMIN_KEY}\r\n");
    let mut request = format!("{head}Content-Length: 9\r\n\r\n").into_bytes();
    request.extend(b"{\"a\":\"\xff\"}");
    let told = gateway.raw(&request).await;
    assert_eq!((told.status, told.json()), (400, json!({ "error": "Invalid UTF-8" })));
    gateway.stop().await;
}

/// A body over the limit used to be answered with a reset, so that the client never learned why.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_told_so() {
    let gateway = Gateway::start().await;
    let key = gateway.key(5).await;
    let padded = |bytes: usize| {
        let empty = json!({ "id": 1, "method": "ping", "params": { "p": "" } }).to_string();
        json!({ "id": 1, "method": "ping", "params": { "p": "x".repeat(bytes - empty.len()) } }).to_string()
    };
    let send = async |body: String| gateway.send("POST", "/mcp", &[("X-API-Key", &key)], &body).await;
    assert_eq!(send(padded(1_048_576)).await.status, 200);
    for bytes in [1_048_577, 20_000_000] {
        let told = send(padded(bytes)).await;
        assert_eq!((told.status, told.json()), (413, json!({ "error": "Request body too large" })));
    }
    let mut chunked =
        b"POST /mcp HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..20 {
        chunked.extend(format!("{:x}\r\n{}\r\n", 100_000, "x".repeat(100_000)).bytes());
    }
    chunked.extend(b"0\r\n\r\n");
    assert_eq!(gateway.raw(&chunked).await.status, 413);
    let expecting =
        "POST /mcp HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 9999999\r\n\r\n";
    assert_eq!(gateway.raw(expecting.as_bytes()).await.status, 413, "and nothing was asked to be sent");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_body_is_read_whole() {
    let gateway = Gateway::start().await;
    let body = json!({ "id": 1, "method": "initialize" }).to_string();
    let (first, second) = body.split_at(7);
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let head = "POST /mcp HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(format!("{head}{:x}\r\n{first}\r\n", first.len()).as_bytes()).await.unwrap();
    stream.write_all(format!("{:x}\r\n{second}\r\n0\r\n\r\n", second.len()).as_bytes()).await.unwrap();
    assert!(read_to_end(&mut stream).await.json().get("result").is_some());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_pages_are_turned_away_on_loopback() {
    let gateway = Gateway::start().await;
    let body = json!({ "id": 1, "method": "initialize" }).to_string();
    let from = async |origin: &str| gateway.send("POST", "/mcp", &[("Origin", origin)], &body).await.status;
    assert_eq!(from("https://evil.example").await, 403);
    assert_eq!(from("http://localhost:6274").await, 200);
    gateway.stop().await;
    let open = Gateway::with(|config| config.host = None).await;
    let address = ([127, 0, 0, 1], open.address.port());
    let mut stream = TcpStream::connect(std::net::SocketAddr::from(address)).await.unwrap();
    let request = request("GET", "/health", &[("Origin", "https://app.example")], "");
    stream.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(read_to_end(&mut stream).await.status, 200);
    open.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_stay_open_between_requests_and_are_closed_when_idle() {
    let gateway = Gateway::with(|config| config.limits.head_timeout = Duration::from_millis(300)).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        let told = read_one(&mut stream).await;
        assert_eq!((told.status, told.header("keep-alive")), (200, Some("timeout=5")));
    }
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0, "closed when idle");
    let mut slow = TcpStream::connect(gateway.address).await.unwrap();
    slow.write_all(b"GET /health HTT").await.unwrap();
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).await.unwrap();
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let gateway = Gateway::with(|config| config.limits.body_timeout = Duration::from_millis(200)).await;
    let request = b"POST /mcp HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 50\r\n\r\n{\"id\"";
    assert_eq!(gateway.raw(request).await.status, 408);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_is_refused() {
    let gateway = Gateway::start().await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(b"HELO mail\r\n\r\n").await.unwrap();
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).await.unwrap();
    assert!(raw.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&raw));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_port_is_told_in_the_words_that_scripts_look_for() {
    let gateway = Gateway::start().await;
    let mut config = crate::gateway::config(crate::gateway::in_memory());
    config.port = gateway.address.port();
    let error = paygate_server::Server::bind(config).await.err().unwrap().to_string();
    assert_eq!(
        error,
        format!("listen EADDRINUSE: address already in use 127.0.0.1:{}", gateway.address.port())
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_wrapped_stops_the_start() {
    let mut config = crate::gateway::config(crate::gateway::in_memory());
    config.backend = StdioConfig::new("/no/such/program", Vec::new()).into();
    let error = paygate_server::Server::bind(config).await.err().unwrap().to_string();
    assert!(error.contains("/no/such/program"), "{error}");
}
