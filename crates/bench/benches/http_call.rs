//! What does a paid tool call over HTTP cost in front of a backend that answers at once?
//!
//! `cargo build --release --workspace && cargo bench -p bench --bench http_call`. The real program `paygate-mcp` wraps
//! the real child `instant-backend`; one thread here plays all clients over keep-alive connections on loopback. All
//! three share the machine's cores, so the figures are those of the whole. Left out: TLS, event streams, many keys
//! at once, a network. The latency added is that of the gate less that of a relay that does nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bench::{Budget, as_test, heading, nanoseconds_of, row};
use paygate_testkit::built_program;

const ADMIN_KEY: &str = "bench-admin-key";

/// A running gateway, ended when dropped.
struct Gateway {
    child: Child,
    address: SocketAddr,
    started_in: Duration,
}

impl Gateway {
    #[expect(clippy::disallowed_methods, reason = "a bench measures the time itself")]
    fn start(state_file: Option<&Path>) -> Self {
        let start = Instant::now();
        let mut command = Command::new(built_program("paygate-mcp"));
        command.args([
            "wrap",
            "--port",
            "0",
            "--rate-limit",
            "0",
            "--admin-key",
            ADMIN_KEY,
            "--log-level",
            "error",
        ]);
        command.arg("--server").arg(built_program("instant-backend"));
        if let Some(path) = state_file {
            command.arg("--state-file").arg(path);
        }
        let mut child =
            command.stdout(Stdio::piped()).spawn().expect("build with cargo build --release --workspace");
        let banner = BufReader::new(child.stdout.take().expect("piped"));
        let port = banner.lines().map_while(Result::ok).find_map(|line| {
            let (_, rest) = line.split_once("http://localhost:")?;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u16>().ok()
        });
        let address = SocketAddr::from(([127, 0, 0, 1], port.expect("the banner names the port")));
        let gateway = Self { child, address, started_in: start.elapsed() };
        while TcpStream::connect(address).is_err() {}
        gateway
    }

    fn create_key(&self) -> String {
        let body = r#"{"name":"bench","credits":9007199254740991}"#;
        let mut stream = TcpStream::connect(self.address).expect("the gateway listens");
        let length = body.len();
        write!(
            stream,
            "POST /keys HTTP/1.1\r\nHost: b\r\nX-Admin-Key: {ADMIN_KEY}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("the gateway reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the gateway answers");
        let (_, rest) = answer.split_once(r#""key":""#).unwrap_or_else(|| panic!("no key in {answer}"));
        rest.split('"').next().expect("a quoted key").to_owned()
    }

    /// Resident memory in MB.
    fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
        line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap_or(f64::NAN) / 1024.0
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        let ended = Command::new("kill").args(["-TERM", &pid]).status();
        ended.expect("kill is part of the system");
        self.child.wait().expect("our own child");
    }
}

/// The least that stands between an HTTP client and a stdio server: one thread that reads a request, writes a line,
/// reads a line and writes an answer, and looks at nothing. What the gate takes beyond it is what it adds.
struct BareRelay {
    backend: Child,
    address: SocketAddr,
}

impl BareRelay {
    fn start() -> Self {
        let mut backend = Command::new(built_program("instant-backend"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("build with cargo build --release --workspace");
        let mut input = backend.stdin.take().expect("piped");
        let mut output = BufReader::new(backend.stdout.take().expect("piped"));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a client of ours");
                stream.set_nodelay(true).expect("a TCP option");
                let (mut buffer, mut line) = ([0; 4096], String::new());
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    let request = std::str::from_utf8(&buffer[..read]).expect("the requests here are text");
                    let (_, body) =
                        request.split_once("\r\n\r\n").expect("a small request comes in one piece");
                    input.write_all(format!("{body}\n").as_bytes()).expect("the backend reads");
                    line.clear();
                    output.read_line(&mut line).expect("the backend answers");
                    let (length, body) = (line.trim_end().len(), line.trim_end());
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
                    stream.write_all(answer.as_bytes()).expect("the client reads");
                }
            }
        });
        Self { backend, address }
    }
}

impl Drop for BareRelay {
    fn drop(&mut self) {
        self.backend.kill().expect("our own child");
        self.backend.wait().expect("our own child");
    }
}

/// Microseconds of one call at a time: the median of several runs.
fn latency(address: SocketAddr, key: &str) -> f64 {
    let calls = if as_test() { 50 } else { 5_000 };
    load(address, key, 1, calls);
    let run = |_| nanoseconds_of(load(address, key, 1, calls)) / calls as f64 / 1000.0;
    let mut runs: Vec<f64> = (0..if as_test() { 1 } else { 7 }).map(run).collect();
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 2]
}

/// One keep-alive connection with a call under way.
struct Connection {
    stream: mio::net::TcpStream,
    answer: Vec<u8>,
}

/// Makes so many calls over so many connections, each waiting for its answer before the next; gives the time.
#[expect(clippy::disallowed_methods, reason = "a bench measures the time itself")]
fn load(address: SocketAddr, key: &str, connections: usize, calls: usize) -> Duration {
    let body =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"q":"x"}}}"#;
    let length = body.len();
    let request = format!(
        "POST /mcp HTTP/1.1\r\nHost: b\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let mut poll = mio::Poll::new().expect("the system polls");
    let mut open: Vec<Connection> = (0..connections)
        .map(|token| {
            let stream = TcpStream::connect(address).expect("the gateway listens");
            stream.set_nodelay(true).expect("a TCP option");
            stream.set_nonblocking(true).expect("a socket option");
            let mut stream = mio::net::TcpStream::from_std(stream);
            poll.registry()
                .register(&mut stream, mio::Token(token), mio::Interest::READABLE)
                .expect("a new socket");
            Connection { stream, answer: Vec::with_capacity(4096) }
        })
        .collect();
    let (mut sent, mut answered) = (0, 0);
    let start = Instant::now();
    for connection in open.iter_mut().take(calls) {
        connection.stream.write_all(request.as_bytes()).expect("room for a small request");
        sent += 1;
    }
    let mut events = mio::Events::with_capacity(connections);
    let mut buffer = [0; 65_536];
    while answered < calls {
        poll.poll(&mut events, Some(Duration::from_secs(10))).expect("the system polls");
        assert!(!events.is_empty(), "no answer for ten seconds");
        for event in &events {
            let connection = &mut open[event.token().0];
            loop {
                match connection.stream.read(&mut buffer) {
                    Ok(0) => panic!("the gateway closed a connection"),
                    Ok(read) => connection.answer.extend_from_slice(&buffer[..read]),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}"),
                }
            }
            if !whole(&connection.answer) {
                continue;
            }
            connection.answer.clear();
            answered += 1;
            if sent < calls {
                connection.stream.write_all(request.as_bytes()).expect("room for a small request");
                sent += 1;
            }
        }
    }
    start.elapsed()
}

/// Whether an answer is there in full; it must be a result.
fn whole(answer: &[u8]) -> bool {
    let text = std::str::from_utf8(answer).expect("the answers here are text");
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let done = body.len() >= length.expect("an answer says its length");
    assert!(!done || body.contains(r#""result":{"content""#), "not a result: {text}");
    done
}

fn measure(title: &str, state_file: Option<&Path>, throughput_budget: f64) {
    // Latency and start are budgeted without the database.
    let at_most = |most| if state_file.is_none() { Budget::AtMost(most) } else { Budget::Open };
    let gateway = Gateway::start(state_file);
    let idle = gateway.memory();
    let key = gateway.create_key();
    let scale = if as_test() { 100 } else { 1 };
    load(gateway.address, &key, 32, 20_000 / scale);
    let bare = latency(BareRelay::start().address, &key);
    let gated = latency(gateway.address, &key);
    let calls = 200_000 / scale;
    let mut rates: Vec<f64> =
        (0..5).map(|_| calls as f64 / load(gateway.address, &key, 32, calls).as_secs_f64()).collect();
    rates.sort_by(f64::total_cmp);
    let what = format!("{title}: added to one call at a time ({gated:.0} µs, bare relay {bare:.0} µs)");
    row(&what, gated - bare, "µs", at_most(60.0));
    row(&format!("{title}: 32 connections"), rates[2], "/s", Budget::AtLeast(throughput_budget));
    row(&format!("{title}: start to ready"), gateway.started_in.as_secs_f64() * 1000.0, "ms", at_most(15.0));
    row(&format!("{title}: resident memory idle"), idle, "MB", Budget::AtMost(15.0));
    row(&format!("{title}: resident memory after 1,000,000 calls"), gateway.memory(), "MB", Budget::Open);
}

fn main() {
    heading("tools/call over HTTP to an instant stdio backend");
    measure("in memory", None, 25_000.0);
    let folder = tempfile::tempdir().expect("a folder for the state file");
    measure("with a state file", Some(&folder.path().join("state.json")), 20_000.0);
}
