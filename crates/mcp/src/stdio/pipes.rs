//! The tasks at a child's three pipes.

use std::{io, pin::pin, sync::Arc};

use bytes::Bytes;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{ChildStderr, ChildStdin, ChildStdout},
    time::timeout,
};

use super::{
    CallError, InboundRequest,
    calls::{Calls, Message},
};
use crate::{
    framing::{Edges, Line, LineFramer},
    wire::{self, Envelope, Kind, Outcome, Reply},
};

/// A buffer that a long message has made larger than this is given back.
const BUFFER_BYTES_KEPT: usize = 256 * 1024;

/// Longer lines on stderr are logged in pieces.
const STDERR_LINE_BYTES_MAX: u64 = 8 * 1024;

/// Writes what is queued, as many messages at once as there are, until the pipe breaks.
pub(super) async fn write_messages(calls: Arc<Calls>, mut stdin: ChildStdin, generation: u64) -> io::Error {
    let mut greeting = pin!(greet(&calls, generation));
    let mut ready = false;
    let mut batch: Vec<Message> = Vec::new();
    let mut buffer = Vec::new();
    loop {
        calls.take_batch(ready, &mut batch);
        if batch.is_empty() {
            tokio::select! {
                () = calls.work.notified() => {}
                () = &mut greeting, if !ready => {
                    ready = true;
                    calls.child_ready();
                }
            }
            continue;
        }
        for message in batch.drain(..) {
            message.write_line(&mut buffer);
        }
        if let Err(error) = stdin.write_all(&buffer).await {
            return error;
        }
        buffer.clear();
        buffer.shrink_to(BUFFER_BYTES_KEPT);
    }
}

/// Introduces us to a new child, as every server may expect of its client. Some programs do not
/// speak this part of the protocol and serve calls all the same, so failures end nothing.
async fn greet(calls: &Calls, generation: u64) {
    let Some(initialize) = &calls.config.initialize else { return };
    let answer = calls.push_greeting(initialize.clone());
    match timeout(calls.config.initialize_timeout, answer).await {
        Ok(Ok(Ok(reply))) if !matches!(reply.outcome(), Outcome::Error { .. }) => {}
        Ok(answer) => {
            tracing::debug!(target: "backend", ?answer, "initialize was not answered with a result");
            return;
        }
        // It may be slow to start; it will read this after the request it has not answered yet.
        Err(_) => tracing::debug!(target: "backend", "initialize was not answered in time"),
    }
    calls.push_urgent(wire::notification("notifications/initialized", &serde_json::Map::new()), generation);
}

/// Reads the child's messages and hands each on, until the pipe closes.
pub(super) async fn read_messages(calls: Arc<Calls>, mut stdout: ChildStdout, generation: u64) {
    let mut framer = LineFramer::new(calls.config.answer_bytes_max);
    while matches!(stdout.read_buf(framer.room()).await, Ok(1..)) {
        while let Some(line) = framer.next_line() {
            receive(&calls, line, generation);
        }
    }
    if let Some(line) = framer.last_line() {
        receive(&calls, line, generation);
    }
}

fn receive(calls: &Arc<Calls>, line: Line, generation: u64) {
    let line = match line {
        Line::Whole(line) => line,
        Line::TooLong(edges) => {
            let detail = format!("longer than {} bytes", calls.config.answer_bytes_max);
            return drop_line(calls, &edges, detail);
        }
    };
    let envelope = match Envelope::parse_from_backend(&line) {
        Ok(envelope) => envelope,
        Err(error) => {
            calls.inbound.unparsable(&String::from_utf8_lossy(&line));
            return drop_line(calls, &Edges::of(&line), error.message());
        }
    };
    match envelope.kind() {
        Kind::Notification => calls.inbound.notification(&line, &envelope),
        Kind::Request => {
            let id = envelope.id.raw().expect("a request has an id");
            let request = InboundRequest::new(line.clone(), id, Arc::downgrade(calls), generation);
            calls.inbound.request(request, &envelope);
        }
        Kind::Response | Kind::Neither => receive_answer(calls, &line, &envelope),
    }
}

fn receive_answer(calls: &Calls, line: &Bytes, envelope: &Envelope<'_>) {
    let answer = Reply::from_envelope(line, envelope)
        .map_err(|error| CallError::Unparsable { detail: error.message() });
    let settled = envelope.id.number().is_some_and(|id| calls.settle(id, answer));
    if !settled {
        calls.line_dropped();
        tracing::debug!(target: "backend", id = ?envelope.id, "dropped an answer nobody waits for");
    }
}

/// Drops a line that is no message, and ends the request that it was meant to answer, if it
/// looks like an answer: better now than by its time-out.
fn drop_line(calls: &Calls, edges: &Edges, detail: String) {
    calls.line_dropped();
    let head = String::from_utf8_lossy(&edges.head);
    tracing::debug!(target: "backend", %detail, %head, "dropped a line that is no message");
    if let Some(id) = answered_id(edges) {
        calls.settle(id, Err(CallError::Unparsable { detail }));
    }
}

/// The id of an answer of which only the ends can be read. Servers write the id either before
/// the result or at the very end.
fn answered_id(edges: &Edges) -> Option<u64> {
    let compact =
        |bytes: &[u8]| -> Vec<u8> { bytes.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect() };
    let digits = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse().ok();
    let is_payload = |rest: &[u8]| rest.starts_with(b"\"result\":") || rest.starts_with(b"\"error\":");

    let head = compact(&edges.head);
    let head = head.strip_prefix(b"{")?;
    let head = head.strip_prefix(b"\"jsonrpc\":\"2.0\",").unwrap_or(head);
    if let Some(head) = head.strip_prefix(b"\"id\":") {
        let comma = memchr::memchr(b',', head)?;
        return is_payload(&head[comma + 1..]).then(|| digits(&head[..comma]))?;
    }
    if !is_payload(head) {
        return None;
    }
    let tail = compact(&edges.tail);
    let tail = tail.strip_suffix(b"}")?;
    let start = memchr::memmem::rfind(tail, b",\"id\":")? + b",\"id\":".len();
    digits(&tail[start..])
}

/// Logs what the child writes to stderr, until the pipe closes.
pub(super) async fn read_stderr(calls: Arc<Calls>, stderr: ChildStderr) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    while matches!((&mut stderr).take(STDERR_LINE_BYTES_MAX).read_until(b'\n', &mut line).await, Ok(1..)) {
        calls.keep_stderr(&line);
        let text = String::from_utf8_lossy(&line);
        tracing::info!(target: "backend", "{}{}", calls.config.log_prefix, text.trim_end());
        calls.inbound.stderr(&text);
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_known_by_its_ends() {
        let id = |line: &str| answered_id(&Edges::of(line.as_bytes()));
        assert_eq!(id(r#"{"jsonrpc":"2.0","id":7,"result":{"x":NaN}}"#), Some(7));
        assert_eq!(id(r#"{"jsonrpc": "2.0", "id": 7, "error": {"code"#), Some(7));
        assert_eq!(id(r#"{"result":{"x":NaN},"jsonrpc":"2.0","id":12}"#), Some(12));
        // A request of the child, an id of somebody else, an id inside the payload, no JSON.
        assert_eq!(id(r#"{"jsonrpc":"2.0","id":7,"method":"ping","params":NaN}"#), None);
        assert_eq!(id(r#"{"method":"ping","params":NaN,"id":7}"#), None);
        assert_eq!(id(r#"{"jsonrpc":"2.0","id":"7","result":NaN}"#), None);
        assert_eq!(id(r#"{"jsonrpc":"2.0","result":{"x":NaN,"id":7}}"#), None);
        assert_eq!(id("listening on 7"), None);
    }
}
