//! The child of the other tests: this test binary, started again to run one ignored test.
//!
//! Its runner prints a few lines before that test begins, so every test here also has a child
//! that prints what is no message.

use std::{
    env,
    io::{BufRead, Write, stderr, stdin, stdout},
    process,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use paygate_mcp_wire::{
    stdio::{DropInbound, StdioBackend, StdioConfig},
    wire::{Outgoing, Reply},
};
use serde_json::{Value, json};

/// A command that runs the child. `manner` changes how it begins: `plain`, `refusing` (answers
/// `initialize` with an error), `mute` (does not answer it), `dying` (ends at once).
pub(crate) fn config(manner: &str) -> StdioConfig {
    let command = env::current_exe().unwrap().into_os_string().into_string().unwrap();
    let args = ["--ignored", "--exact", "--nocapture", "child::scripted_backend", manner];
    StdioConfig::new(command, args.map(str::to_owned).into())
}

/// The same command, which a shell starts after it has run `before`.
pub(crate) fn config_behind(before: &str) -> StdioConfig {
    let child = config("plain");
    let mut args = vec!["-c".to_owned(), format!("{before}\nexec \"$0\" \"$@\""), child.command];
    args.extend(child.args);
    StdioConfig::new("sh", args)
}

pub(crate) async fn start(config: StdioConfig) -> StdioBackend {
    StdioBackend::start(config, Arc::new(DropInbound)).await.unwrap()
}

pub(crate) fn call(tool: &str) -> Outgoing {
    call_with(tool, &json!({}))
}

pub(crate) fn call_with(tool: &str, arguments: &Value) -> Outgoing {
    Outgoing::request("tools/call", &json!({ "name": tool, "arguments": arguments }))
}

/// The child's answer to a call, as the value of its `result`.
pub(crate) fn result(reply: &Reply) -> Value {
    serde_json::from_str(reply.result().unwrap().get()).unwrap()
}

/// What the child has read so far: methods, and for tool calls the tools.
pub(crate) async fn seen(backend: &StdioBackend) -> Vec<String> {
    serde_json::from_value(result(&backend.request(call("seen")).await.unwrap())).unwrap()
}

pub(crate) fn notification(method: &str) -> Bytes {
    paygate_mcp_wire::wire::notification(method, &json!({}))
}

/// Resolves like `future`; fails the test when that takes suspiciously long.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("it should have happened by now")
}

#[test]
#[ignore = "is the child of other tests, and needs their arguments"]
fn scripted_backend() {
    let manner = env::args().next_back().unwrap_or_default();
    if manner == "dying" {
        process::exit(5);
    }
    let mut backend = Scripted { manner, seen: Vec::new(), held: Vec::new(), answers: Vec::new() };
    for line in stdin().lock().lines() {
        let Ok(message) = serde_json::from_str(&line.unwrap()) else { process::exit(9) };
        backend.read(&message);
    }
    process::exit(0);
}

struct Scripted {
    manner: String,
    seen: Vec<String>,
    /// Calls of `hold`, answered by `release`.
    held: Vec<Value>,
    /// What we answered to its own requests.
    answers: Vec<Value>,
}

impl Scripted {
    fn read(&mut self, message: &Value) {
        let (id, params) = (&message["id"], &message["params"]);
        match message["method"].as_str() {
            None => self.answers.push(message.clone()),
            Some("initialize") => {
                self.seen.push(format!("initialize {}", params["clientInfo"]["name"].as_str().unwrap()));
                match &*self.manner {
                    "refusing" => say(&json!({ "id": id, "error": { "code": -32601, "message": "no" } })),
                    "mute" => {}
                    _ => {
                        say(&json!({ "id": id, "result": { "protocolVersion": params["protocolVersion"] } }))
                    }
                }
            }
            Some("tools/call") => {
                let tool = params["name"].as_str().unwrap();
                self.seen.push(tool.to_owned());
                self.run(tool, id, &params["arguments"]);
            }
            Some(method) => self.seen.push(method.to_owned()),
        }
    }

    fn run(&mut self, tool: &str, id: &Value, arguments: &Value) {
        let answer = |result: Value| say(&json!({ "jsonrpc": "2.0", "id": id, "result": result }));
        match tool {
            "echo" => answer(arguments.clone()),
            "seen" => answer(json!(self.seen)),
            "answers" => answer(json!(self.answers)),
            "pid" => answer(json!(process::id())),
            "env" => {
                answer(json!(env::vars_os().any(|(name, _)| name == arguments["name"].as_str().unwrap())))
            }
            "cwd" => answer(json!(env::current_dir().unwrap())),
            "silent" => {}
            "hold" => self.held.push(json!({ "id": id, "result": arguments })),
            "release" => {
                answer(json!(self.held.len()));
                self.held.drain(..).rev().for_each(|held| say(&held));
            }
            "dribble" => {
                for byte in format!("{{\"id\":{id},\"result\":\"é漢🎉\"}}\r\n").bytes() {
                    write(&[byte]);
                }
            }
            "big" => answer(json!("漢é".repeat(1_000_000))),
            "noise" => {
                write("\n  \nnot json\n{\"half\": \n42\n{\"id\":99999,\"result\":1}\n\u{feff}\n".as_bytes());
                write(b"\xff\xfe\n");
                answer(json!("after noise"));
            }
            "ask" => {
                say(&json!({ "method": "notifications/message", "params": { "n": 1 } }));
                say(&json!({ "id": "p", "method": "ping" }));
                say(&json!({ "id": 2.5, "method": "roots/list" }));
                say(&json!({ "method": "notifications/message", "params": { "n": 2 } }));
                answer(json!("asked"));
            }
            "neither" => say(&json!({ "id": id })),
            "nan" => write(
                format!("{{\"jsonrpc\": \"2.0\", \"id\": {id}, \"result\": {{\"x\": NaN}}}}\n").as_bytes(),
            ),
            "stderr" => {
                stderr().write_all(format!("{}\n", arguments["text"].as_str().unwrap()).as_bytes()).unwrap();
                answer(json!({}));
            }
            "last words" => {
                answer(json!("bye"));
                process::exit(0);
            }
            "crash" => process::exit(3),
            "abort" => process::abort(),
            "close stdout" => {
                // The shell that this becomes keeps the process, but not the pipe.
                let error = std::os::unix::process::CommandExt::exec(
                    process::Command::new("sh").args(["-c", "exec >&-; exec sleep 1000"]),
                );
                panic!("{error}");
            }
            other => say(&json!({ "id": id, "error": { "code": -32050, "message": other } })),
        }
    }
}

fn say(message: &Value) {
    write(format!("{message}\n").as_bytes());
}

fn write(bytes: &[u8]) {
    let mut out = stdout().lock();
    out.write_all(bytes).unwrap();
    out.flush().unwrap();
}

/// Starts a backend that only ever sleeps and holds a pipe open, says so, and waits to be killed.
#[test]
#[ignore = "is the child of another test, and needs its arguments"]
fn abandoned_gateway() {
    let pipe = env::args().next_back().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let script = "exec 3>\"$0\"; exec sleep 1000".to_owned();
        let backend = start(StdioConfig::new("sh", vec!["-c".to_owned(), script, pipe])).await;
        std::future::pending::<()>().await;
        backend.stop().await;
    });
}
