//! What a client listens on.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::gateway::{Answer, Gateway};

const EVENTS: (&str, &str) = ("Accept", "text/event-stream");
const REVISION: (&str, &str) = ("MCP-Protocol-Version", "2025-11-25");

/// A stream whose head, and so much of whose body as is expected, has come.
struct Listening {
    stream: TcpStream,
    raw: String,
}

impl Listening {
    async fn open(gateway: &Gateway, headers: &[(&str, &str)]) -> Self {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        let request = format!("GET /mcp HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut listening = Self { stream, raw: String::new() };
        listening.until("\r\n\r\n").await;
        listening
    }

    /// Reads until a text has come.
    async fn until(&mut self, text: &str) {
        while !self.raw.contains(text) {
            let mut read = vec![0; 4096];
            let count = self.stream.read(&mut read).await.unwrap();
            assert_ne!(count, 0, "the stream ended: {:?}", self.raw);
            self.raw.push_str(std::str::from_utf8(&read[..count]).unwrap());
        }
    }

    /// Reads to the end of the body.
    async fn ended(mut self) -> String {
        self.until("\r\n0\r\n\r\n").await;
        self.raw
    }

    fn session(&self) -> String {
        let line = self.raw.lines().find(|line| line.to_lowercase().starts_with("mcp-session-id: "));
        line.unwrap().split_once(": ").unwrap().1.to_owned()
    }
}

async fn begun(gateway: &Gateway, headers: &[(&str, &str)]) -> String {
    let told = gateway.send("POST", "/mcp", headers, r#"{"id":1,"method":"initialize"}"#).await;
    told.header("mcp-session-id").unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_begins_with_the_event_of_2_9_0_and_ends_with_its_session() {
    let gateway = Gateway::start().await;
    let mut listening = Listening::open(&gateway, &[EVENTS]).await;
    let session = listening.session();
    listening
        .until(&format!(
            "event: message\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\",\
             \"params\":{{\"sessionId\":\"{session}\"}}}}\n\n"
        ))
        .await;
    let head = listening.raw.to_lowercase();
    assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
    for header in [
        "content-type: text/event-stream\r\n",
        "cache-control: no-cache, no-transform\r\n",
        "x-accel-buffering: no\r\n",
    ] {
        assert!(head.contains(header), "{head}");
    }
    assert_eq!(gateway.server.in_flight(), 0);
    let told = gateway.send("DELETE", "/mcp", &[("Mcp-Session-Id", &session)], "").await;
    assert_eq!(told.status, 200);
    listening.ended().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_at_most_three_streams_and_one_that_is_left_makes_room() {
    let gateway = Gateway::start().await;
    let session = begun(&gateway, &[]).await;
    let headers = [EVENTS, ("Mcp-Session-Id", session.as_str())];
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(Listening::open(&gateway, &headers).await);
    }
    let refused = gateway.get("/mcp", &headers).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json()["error"], "Too many SSE connections for this session");
    drop(streams.pop());
    let reopened = async {
        loop {
            let listening = Listening::open(&gateway, &headers).await;
            if listening.raw.starts_with("HTTP/1.1 200") {
                break listening;
            }
            tokio::task::yield_now().await;
        }
    };
    let listening = timeout(Duration::from_secs(10), reopened).await.unwrap();
    assert_eq!(listening.session(), session);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_tells_its_revision_names_its_session_and_hears_nothing_first() {
    let gateway = Gateway::start().await;
    let refused = |told: Answer| (told.status, told.json()["error"].as_str().unwrap().to_owned());
    let none = gateway.get("/mcp", &[EVENTS, REVISION]).await;
    assert_eq!(refused(none), (400, "Missing Mcp-Session-Id header".to_owned()));
    let unknown = gateway.get("/mcp", &[EVENTS, REVISION, ("Mcp-Session-Id", "gone")]).await;
    assert_eq!(refused(unknown), (404, "Session not found".to_owned()));
    let session = begun(&gateway, &[REVISION]).await;
    let listening = Listening::open(&gateway, &[EVENTS, REVISION, ("Mcp-Session-Id", &session)]).await;
    gateway.send("DELETE", "/mcp", &[("Mcp-Session-Id", &session)], "").await;
    assert!(!listening.ended().await.contains("data:"));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_ends_streams_and_does_not_wait_for_them() {
    let gateway = Gateway::start().await;
    let listening = Listening::open(&gateway, &[EVENTS]).await;
    let (_, ended) = tokio::join!(timeout(Duration::from_secs(4), gateway.stop()), listening.ended());
    assert!(ended.contains("notifications/initialized"));
}
