//! A running server and a client that speaks plain HTTP.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use paygate_server::{News, Server, ServerConfig, ServerParts};
use paygate_store::{OpenOptions, StateFile};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::child;

pub(crate) const ADMIN_KEY: &str = "admin-key-of-the-tests";

/// A server that serves.
pub(crate) struct Gateway {
    pub(crate) server: Arc<Server>,
    pub(crate) address: SocketAddr,
    pub(crate) books: Arc<StateFile>,
    pub(crate) news: News,
    serving: JoinHandle<()>,
}

/// A response, read whole.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    fn read(raw: &[u8]) -> Self {
        let end = raw.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("a whole head");
        let head = String::from_utf8(raw[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Self { status, head, body: String::new() };
        let body = &raw[end + 4..];
        let chunked = answer.header("transfer-encoding") == Some("chunked");
        let body = if chunked { joined(body) } else { body.to_vec() };
        answer.body = String::from_utf8(body).unwrap();
        answer
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn error_code(&self) -> i64 {
        self.json()["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {self:?}"))
    }
}

/// What chunks hold, up to the last one.
fn joined(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = chunks.windows(2).position(|bytes| bytes == b"\r\n").expect("a whole chunk");
        let length = usize::from_str_radix(std::str::from_utf8(&chunks[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return body;
        }
        body.extend(&chunks[end + 2..][..length]);
        chunks = &chunks[end + 2 + length + 2..];
    }
}

/// Books that end with the test.
pub(crate) fn in_memory() -> Arc<StateFile> {
    Arc::new(StateFile::open(OpenOptions { path: None, ..OpenOptions::new("") }).unwrap())
}

pub(crate) fn config(books: Arc<StateFile>) -> ServerConfig {
    let mut config = ServerConfig::new(ADMIN_KEY.to_owned(), child::config(), books);
    config.host = Some(Ipv4Addr::LOCALHOST.into());
    config.gate.global_rate_limit = 0.0;
    config
}

impl Gateway {
    /// A server with default settings and no rate limit, in memory.
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A server with settings of its own, in memory.
    pub(crate) async fn with(configure: impl FnOnce(&mut ServerConfig)) -> Self {
        Self::on(in_memory(), configure).await
    }

    /// A server on some books.
    pub(crate) async fn on(books: Arc<StateFile>, configure: impl FnOnce(&mut ServerConfig)) -> Self {
        Self::over(books, configure, |parts| parts).await
    }

    /// A server on some books, with parts of its own.
    pub(crate) async fn over(
        books: Arc<StateFile>,
        configure: impl FnOnce(&mut ServerConfig),
        parts: impl FnOnce(ServerParts) -> ServerParts,
    ) -> Self {
        let mut config = config(books.clone());
        configure(&mut config);
        let parts = parts(ServerParts::new(&config));
        let news = parts.news.clone();
        let server = Arc::new(Server::bind_with(config, parts).await.unwrap());
        let serving = tokio::spawn({
            let server = server.clone();
            async move { server.serve().await }
        });
        Self { address: server.local_addr(), server, books, news, serving }
    }

    /// Stops the server and waits until nothing of it is left.
    pub(crate) async fn stop(self) {
        self.server.graceful_stop(Duration::from_secs(5)).await;
        self.serving.await.unwrap();
    }

    /// Sends a request as it stands and reads the answer to its end.
    pub(crate) async fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        read_to_end(&mut stream).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        self.raw(request(method, path, headers, body).as_bytes()).await
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, "").await
    }

    /// An admin request.
    pub(crate) async fn admin(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.send(method, path, &[("X-Admin-Key", ADMIN_KEY)], &body.to_string()).await
    }

    /// Makes a key with a balance.
    pub(crate) async fn key(&self, credits: u64) -> String {
        self.key_with(json!({ "credits": credits })).await
    }

    pub(crate) async fn key_with(&self, body: Value) -> String {
        let made = self.admin("POST", "/keys", &body).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.json()["key"].as_str().unwrap().to_owned()
    }

    /// Sends a message.
    pub(crate) async fn post(&self, key: &str, message: &Value) -> Answer {
        self.send("POST", "/mcp", &[("X-API-Key", key)], &message.to_string()).await
    }

    /// Calls a tool.
    pub(crate) async fn call(&self, key: &str, tool: &str, arguments: Value) -> Answer {
        self.post(key, &call(1, tool, arguments)).await
    }

    /// The balance and what was spent, as the holder of the key is told.
    pub(crate) async fn balance(&self, key: &str) -> (u64, u64) {
        let told = self.get("/balance", &[("X-API-Key", key)]).await.json();
        (told["credits"].as_u64().unwrap(), told["totalSpent"].as_u64().unwrap())
    }

    /// Waits until the child has read so many calls of a tool.
    pub(crate) async fn until_seen(&self, key: &str, tool: &str, count: usize) {
        loop {
            let seen = self.seen(key).await;
            if seen.iter().filter(|message| message["params"]["name"] == tool).count() >= count {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// All messages the child has read.
    pub(crate) async fn seen(&self, key: &str) -> Vec<Value> {
        let told = self.call(key, "seen", json!({})).await.json();
        told["result"]["seen"].as_array().unwrap().clone()
    }
}

pub(crate) fn call(id: impl Into<Value>, tool: &str, arguments: Value) -> Value {
    let params = json!({ "name": tool, "arguments": arguments });
    json!({ "jsonrpc": "2.0", "id": id.into(), "method": "tools/call", "params": params })
}

pub(crate) fn batch(calls: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call_batch", "params": { "calls": calls } })
}

/// A request after which the connection is closed.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )
}

pub(crate) async fn read_to_end(stream: &mut TcpStream) -> Answer {
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).await.unwrap();
    Answer::read(&raw)
}

/// Reads one answer and leaves the connection open.
pub(crate) async fn read_one(stream: &mut TcpStream) -> Answer {
    let mut raw = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut raw).await.unwrap(), 0, "the connection was closed");
        let Some(end) = raw.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
        let answer = Answer::read(&raw);
        let length: usize = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        if raw.len() >= end + 4 + length {
            return answer;
        }
    }
}
