//! The wrapped server: this test binary, started again to run one ignored test.
//!
//! Its tools are named for what they do: `echo` gives its arguments back, `error` is answered with an error,
//! `tool_error` with a result that says so, `hold` is answered only when `release` is called, `big` with so many
//! characters as it is asked for, `exit` ends the process, `seen` tells all messages so far.

use std::env;
use std::io::{BufRead, Write, stdin, stdout};
use std::process;

use paygate_mcp_wire::stdio::StdioConfig;
use serde_json::{Value, json};

/// A command that runs the child.
pub(crate) fn config() -> StdioConfig {
    let command = env::current_exe().unwrap().into_os_string().into_string().unwrap();
    let args = ["--ignored", "--exact", "--nocapture", "child::scripted_server"];
    StdioConfig::new(command, args.map(str::to_owned).into())
}

#[test]
#[ignore = "run by the other tests as the wrapped server"]
fn scripted_server() {
    // The test runner has begun a line.
    writeln!(stdout()).unwrap();
    let (mut seen, mut held) = (Vec::new(), Vec::new());
    for line in stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line.unwrap()).unwrap();
        seen.push(message.clone());
        if message.get("id").is_none() {
            continue;
        }
        let answer = match message["method"].as_str().unwrap() {
            "initialize" => json!({ "result": { "serverInfo": { "name": "scripted" } } }),
            "tools/list" => tools(&message),
            "tools/call" => match message["params"]["name"].as_str().unwrap() {
                "exit" => process::exit(3),
                "hold" => {
                    held.push(message["id"].clone());
                    continue;
                }
                "release" => {
                    // The last one first: answers need not come in the order of the requests.
                    for id in held.drain(..).rev() {
                        write(&id, json!({ "result": { "held": true } }));
                    }
                    json!({ "result": {} })
                }
                "seen" => json!({ "result": { "seen": seen } }),
                tool => called(tool, &message["params"]["arguments"]),
            },
            "resources/read" => json!({ "result": { "contents": [] } }),
            _ => json!({ "error": { "code": -32601, "message": "Method not found" } }),
        };
        write(&message["id"], answer);
    }
}

fn called(tool: &str, arguments: &Value) -> Value {
    match tool {
        "error" => json!({ "error": { "code": -32050, "message": "broken", "data": { "n": 1 } } }),
        "tool_error" => json!({ "result": { "isError": true, "content": [] } }),
        "neither" => json!({ "odd": 1 }),
        "big" => json!({ "result": { "text": "é✓".repeat(arguments["count"].as_u64().unwrap() as usize) } }),
        "echo" => json!({ "result": { "echo": arguments } }),
        _ => json!({ "result": { "ok": tool } }),
    }
}

/// Two pages of tools.
fn tools(message: &Value) -> Value {
    match message["params"]["cursor"].as_str() {
        None => json!({ "result": {
            "tools": [
                { "name": "echo", "inputSchema": { "maximum": 9_007_199_254_740_993_u64 }, "_pricing": "old" },
                { "name": "write" },
            ],
            "nextCursor": "2",
            "other": 1.0,
        } }),
        Some(_) => json!({ "result": { "tools": [{ "name": "hold" }] } }),
    }
}

fn write(id: &Value, mut answer: Value) {
    answer["id"] = id.clone();
    answer["jsonrpc"] = "2.0".into();
    let mut stdout = stdout().lock();
    writeln!(stdout, "{answer}").unwrap();
    stdout.flush().unwrap();
}
