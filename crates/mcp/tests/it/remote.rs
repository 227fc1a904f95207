//! A remote server that answers by a script, and the backend that talks to it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use paygate_mcp_wire::http::{HttpBackend, HttpConfig, HttpError};
use paygate_mcp_wire::wire::{Id, Outcome, Outgoing};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::child::soon;

/// One request as it arrived.
#[derive(Debug, Clone)]
struct Seen {
    /// The request line and headers, names in lower case.
    head: String,
    body: String,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn id(&self) -> Value {
        serde_json::from_str::<Value>(&self.body).unwrap()["id"].clone()
    }
}

/// What a script says to a request.
enum Say {
    /// These bytes, and the connection stays open.
    Bytes(String),
    /// These bytes, and the connection is closed.
    Last(String),
    /// These bytes, and then nothing more.
    Hang(String),
}

fn response(status: u16, headers: &str, body: &str) -> Say {
    let length = body.len();
    Say::Bytes(format!("HTTP/1.1 {status} Some\r\n{headers}Content-Length: {length}\r\n\r\n{body}"))
}

fn json_answer(seen: &Seen, more: &Value) -> String {
    let mut answer = json!({ "jsonrpc": "2.0", "id": seen.id() });
    answer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    answer.to_string()
}

fn ok(seen: &Seen) -> Say {
    response(200, "Content-Type: application/json\r\n", &json_answer(seen, &json!({ "result": {} })))
}

fn events(text: &str) -> Say {
    response(200, "Content-Type: text/event-stream\r\n", text)
}

/// A running server. What it was sent is kept.
struct Remote {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    _serving: JoinSet<()>,
}

impl Remote {
    async fn start(script: impl Fn(&Seen) -> Say + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp?token=s3cret", listener.local_addr().unwrap());
        let (seen, script) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::new(script));
        let mut serving = JoinSet::new();
        let kept = seen.clone();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (script, kept) = (script.clone(), kept.clone());
                connections.spawn(async move { serve(stream, &*script, &kept).await });
            }
        });
        Self { url, seen, _serving: serving }
    }

    fn backend(&self) -> HttpBackend {
        self.backend_with(|_| {})
    }

    fn backend_with(&self, configure: impl FnOnce(&mut HttpConfig)) -> HttpBackend {
        let mut config = HttpConfig::new(&self.url).unwrap();
        configure(&mut config);
        HttpBackend::new(config)
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    script: &(dyn Fn(&Seen) -> Say + Send + Sync),
    kept: &Mutex<Vec<Seen>>,
) {
    while let Some(seen) = read_request(&mut stream).await {
        kept.lock().push(seen.clone());
        let (text, then) = match script(&seen) {
            Say::Bytes(text) => (text, 0),
            Say::Last(text) => (text, 1),
            Say::Hang(text) => (text, 2),
        };
        if stream.write_all(text.as_bytes()).await.is_err() || then == 1 {
            return;
        }
        if then == 2 {
            std::future::pending::<()>().await;
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let mut raw = Vec::new();
    let end = loop {
        if let Some(end) = raw.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut raw).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(raw[..end].to_vec()).unwrap().replace("\r\n", "\n");
    let mut seen = Seen { head, body: String::new() };
    let length = seen.header("content-length").map_or(0, |length| length.parse().unwrap());
    while raw.len() < end + 4 + length {
        stream.read_buf(&mut raw).await.ok()?;
    }
    seen.body = String::from_utf8(raw[end + 4..].to_vec()).unwrap();
    Some(seen)
}

fn request(method: &str) -> Outgoing {
    Outgoing::request(method, &json!({}))
}

async fn answer(backend: &HttpBackend, method: &str) -> Result<String, HttpError> {
    let reply = soon(backend.request(request(method))).await?;
    Ok(String::from_utf8(reply.answer(Id::Raw("\"mine\"")).into_bytes().to_vec()).unwrap())
}

#[tokio::test]
async fn a_message_is_posted_as_compact_json_with_the_headers_of_the_protocol_alone() {
    let remote = Remote::start(ok).await;
    assert_eq!(
        answer(&remote.backend(), "ping").await.unwrap(),
        r#"{"jsonrpc":"2.0","id":"mine","result":{}}"#
    );
    let seen = &remote.seen()[0];
    assert_eq!(seen.head.lines().next(), Some("POST /mcp?token=s3cret HTTP/1.1"));
    let mut names: Vec<_> = seen.head.lines().skip(1).map(|line| line.split(": ").next().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["accept", "content-length", "content-type", "host"]);
    assert_eq!(seen.header("accept"), Some("application/json, text/event-stream"));
    let id = seen.id();
    assert_eq!(seen.body, format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping","params":{{}}}}"#));
}

#[tokio::test]
async fn an_answer_is_found_among_events_however_they_are_written() {
    for (before, after) in [
        ("event: message\ndata: ", "\n\n"),
        ("data:", "\n\n"),
        (
            "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\r\n\r\ndata: ",
            "\r\n\r\n: done\r\n",
        ),
        ("data: {\"id\":\"other\",\"result\":1}\n\ndata: not json\n\ndata: [", "]\n\n"),
        ("data: ", ""),
        ("data: [\ndata: ", "\ndata: ]\n\n"),
    ] {
        let script = move |seen: &Seen| {
            events(&format!("{before}{}{after}", json_answer(seen, &json!({ "result": { "n": 1 } }))))
        };
        let remote = Remote::start(script).await;
        let told = answer(&remote.backend(), "ping").await;
        assert_eq!(told.unwrap(), r#"{"jsonrpc":"2.0","id":"mine","result":{"n":1}}"#, "{before:?}");
    }
}

#[tokio::test]
async fn an_answer_is_told_before_the_stream_ends() {
    let script = |seen: &Seen| {
        let answer = json_answer(seen, &json!({ "result": {} }));
        Say::Hang(format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\ndata: {answer}\n\n\r\n",
            answer.len() + 8
        ))
    };
    let remote = Remote::start(script).await;
    assert!(answer(&remote.backend(), "ping").await.is_ok());
}

#[tokio::test]
async fn events_without_an_answer_are_told_apart_from_other_failures() {
    let remote = Remote::start(|_| events("data: {\"jsonrpc\":\"2.0\",\"id\":\"other\",\"result\":1}")).await;
    let error = answer(&remote.backend(), "ping").await.unwrap_err();
    assert_eq!(error.to_string(), "No matching response in SSE stream");
}

#[tokio::test]
async fn what_is_no_answer_is_an_error_that_says_so() {
    let cases = [
        (404, "nope", "Remote server error: HTTP 404: nope".to_owned()),
        (500, &*"é".repeat(300), format!("Remote server error: HTTP 500: {}", "é".repeat(200))),
        (200, "<html>", "Remote server error: Parse error".to_owned()),
        (202, "", "Remote server error: Parse error".to_owned()),
        (302, "", "Remote server error: Parse error".to_owned()),
    ];
    for (status, body, told) in cases {
        let owned = body.to_owned();
        let script = move |_: &Seen| response(status, "Location: /elsewhere\r\n", &owned);
        let remote = Remote::start(script).await;
        let error = answer(&remote.backend(), "ping").await.unwrap_err();
        assert_eq!((error.to_string(), error.reached()), (told, true));
        assert_eq!(remote.seen().len(), 1, "redirects are not followed");
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_never_read_the_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp?token=s3cret", listener.local_addr().unwrap());
    drop(listener);
    let error = answer(&HttpBackend::new(HttpConfig::new(&url).unwrap()), "ping").await.unwrap_err();
    assert!(matches!(error, HttpError::Unreachable { .. }) && !error.reached(), "{error:?}");
    assert!(error.to_string().starts_with("Remote server error: ") && !error.to_string().contains("s3cret"));
}

#[tokio::test]
async fn a_connection_lost_in_the_middle_of_an_answer_ends_the_request_at_once() {
    for head in ["Content-Type: application/json\r\n", "Content-Type: text/event-stream\r\n"] {
        let script = move |_: &Seen| {
            Say::Last(format!("HTTP/1.1 200 OK\r\n{head}Content-Length: 500\r\n\r\ndata: {{\"jsonrpc\""))
        };
        let remote = Remote::start(script).await;
        let error = answer(&remote.backend(), "ping").await.unwrap_err();
        assert!(matches!(error, HttpError::Lost { .. }), "{error:?}");
        assert!(!error.to_string().contains("s3cret"));
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_more_is_not_waited_for() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 99\r\n\r\n";
    for said in [String::new(), head.to_owned(), format!("{head}data: 1\n\n")] {
        let remote = Remote::start(move |_| Say::Hang(said.clone())).await;
        let backend = remote.backend_with(|config| config.idle_time_max = Duration::from_millis(100));
        let error = answer(&backend, "ping").await.unwrap_err();
        assert_eq!(error.to_string(), "Remote server error: Request timed out after 0.1s");
        assert!(error.reached());
    }
}

#[tokio::test]
async fn an_answer_that_trickles_has_its_end_too() {
    let remote =
        Remote::start(|_| Say::Hang("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".to_owned())).await;
    let backend = remote.backend_with(|config| config.total_time_max = Duration::from_millis(100));
    let error = answer(&backend, "ping").await.unwrap_err();
    assert_eq!(error, HttpError::TimedOut { after: Duration::from_millis(100), reached: true });
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_not_kept() {
    for kind in ["application/json", "text/event-stream"] {
        let head = format!("Content-Type: {kind}\r\n");
        let remote =
            Remote::start(move |_| response(200, &head, &format!("data: {}", "x".repeat(5000)))).await;
        let backend = remote.backend_with(|config| config.answer_bytes_max = 1000);
        let error = answer(&backend, "ping").await.unwrap_err();
        assert_eq!(error.to_string(), "Remote server error: the answer is longer than 1000 bytes");
    }
}

/// Begins a session for each `initialize`, and forgets the first when `forget` is called.
fn with_sessions(seen: &Seen) -> Say {
    if seen.body.contains("\"initialize\"") {
        let headers = format!("Content-Type: application/json\r\nMcp-Session-Id: s{}\r\n", seen.id());
        return response(200, &headers, &json_answer(seen, &json!({ "result": {} })));
    }
    if seen.body.contains("forget") { response(404, "", "no session") } else { ok(seen) }
}

#[tokio::test]
async fn the_session_is_carried_along_and_ended() {
    let remote = Remote::start(with_sessions).await;
    let backend = remote.backend();
    answer(&backend, "initialize").await.unwrap();
    let session = format!("s{}", remote.seen()[0].id());
    answer(&backend, "ping").await.unwrap();
    soon(backend.notify(Bytes::from_static(b"{\"method\":\"notifications/initialized\"}"))).await.unwrap();
    soon(backend.stop()).await;

    let seen = remote.seen();
    let sessions: Vec<_> = seen.iter().map(|one| one.header("mcp-session-id")).collect();
    assert_eq!(sessions, [None, Some(&*session), Some(&*session), Some(&*session)]);
    assert_eq!(seen[3].head.lines().next(), Some("DELETE /mcp HTTP/1.1"));
    let refused = backend.request(request("ping")).await.unwrap_err();
    assert_eq!((refused.to_string(), refused.reached()), ("Proxy not started".to_owned(), false));
}

#[tokio::test]
async fn a_session_that_the_server_has_forgotten_is_not_sent_again() {
    let remote = Remote::start(with_sessions).await;
    let backend = remote.backend();
    answer(&backend, "initialize").await.unwrap();
    assert!(matches!(answer(&backend, "forget").await, Err(HttpError::Status { status: 404, .. })));
    answer(&backend, "ping").await.unwrap();
    answer(&backend, "initialize").await.unwrap();
    answer(&backend, "initialize").await.unwrap();
    answer(&backend, "ping").await.unwrap();
    let seen = remote.seen();
    let sessions: Vec<_> = seen.iter().map(|one| one.header("mcp-session-id").is_some()).collect();
    assert_eq!(sessions, [false, true, false, false, false, true]);
    assert_eq!(seen[5].header("mcp-session-id"), Some(&*format!("s{}", seen[4].id())));
}

#[tokio::test]
async fn requests_under_way_outlive_a_stop_until_they_are_given_up() {
    let remote = Remote::start(|_| Say::Hang(String::new())).await;
    let backend = Arc::new(remote.backend());
    let under_way = tokio::spawn({
        let backend = backend.clone();
        async move { backend.request(request("ping")).await }
    });
    while remote.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(backend.pending(), 1);
    soon(backend.stop()).await;
    assert!(!under_way.is_finished() && !backend.is_running());
    backend.give_up();
    let error = soon(under_way).await.unwrap().unwrap_err();
    assert_eq!(error, HttpError::Stopped { reached: true });
    assert_eq!(backend.pending(), 0);
}

#[tokio::test]
async fn errors_and_tool_errors_of_the_server_are_answers() {
    let script = |seen: &Seen| {
        response(200, "", &json_answer(seen, &json!({ "error": { "code": -32050, "message": "no" } })))
    };
    let remote = Remote::start(script).await;
    let reply = remote.backend().request(request("x")).await.unwrap();
    assert_eq!(reply.outcome(), Outcome::Error { code: Some(-32050) });
}

#[tokio::test]
async fn an_ipv6_literal_is_an_address() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else { return };
    let url = format!("http://[::1]:{}/mcp", listener.local_addr().unwrap().port());
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, &ok, &Mutex::default()).await;
    });
    let backend = HttpBackend::new(HttpConfig::new(&url).unwrap());
    answer(&backend, "ping").await.unwrap();
    serving.abort();
}
