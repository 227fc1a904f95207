//! An MCP server over standard input and output that answers every request at once.
//!
//! What is measured in front of it is the gateway. It does no more than find the id of a line and write an answer;
//! answers to lines that came in one read leave in one write.

use std::io::{self, Read, Write};

const INITIALIZED: &str = r#""result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"instant","version":"1"}}}"#;
const TOOLS: &str = r#""result":{"tools":[{"name":"echo","inputSchema":{"type":"object"}}]}}"#;
const CALLED: &str = r#""result":{"content":[{"type":"text","text":"ok"}]}}"#;

fn main() -> io::Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut buffer = vec![0; 1 << 20];
    let (mut filled, mut answers) = (0, Vec::with_capacity(1 << 20));
    loop {
        let read = input.read(&mut buffer[filled..])?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let mut start = 0;
        while let Some(end) = memchr::memchr(b'\n', &buffer[start..filled]) {
            answer(&buffer[start..start + end], &mut answers);
            start += end + 1;
        }
        output.write_all(&answers)?;
        output.flush()?;
        answers.clear();
        buffer.copy_within(start..filled, 0);
        filled -= start;
        if filled == buffer.len() {
            buffer.resize(2 * filled, 0);
        }
    }
}

/// Writes the answer to a request; a message without an id gets none.
fn answer(line: &[u8], answers: &mut Vec<u8>) {
    let Some(id) = id_of(line) else { return };
    let holds = |text: &str| memchr::memmem::find(line, text.as_bytes()).is_some();
    let body = if holds(r#""tools/call""#) {
        CALLED
    } else if holds(r#""initialize""#) {
        INITIALIZED
    } else {
        TOOLS
    };
    answers.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    answers.extend_from_slice(id);
    answers.push(b',');
    answers.extend_from_slice(body.as_bytes());
    answers.push(b'\n');
}

/// The id of a request as it stands, found by its name: enough for the messages a gateway writes.
fn id_of(line: &[u8]) -> Option<&[u8]> {
    let at = memchr::memmem::find(line, br#""id":"#)? + 5;
    let rest = line[at..].trim_ascii_start();
    let end = rest.iter().position(|byte| matches!(byte, b',' | b'}'))?;
    Some(&rest[..end])
}
