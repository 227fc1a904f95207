//! The wrapped server: this test binary, started again to run one ignored test. Its tool `env` tells the names of its
//! environment's variables, `hold` writes the file `held` and never answers, every other tool gives its arguments back.

use std::env;
use std::io::{BufRead, Write, stdin, stdout};

use serde_json::{Value, json};

/// The command line that runs the child.
pub(crate) fn command_line() -> String {
    let program = env::current_exe().unwrap().into_os_string().into_string().unwrap();
    format!("'{program}' --ignored --exact --nocapture child::server")
}

#[expect(clippy::disallowed_methods, reason = "what the wrapped server gets is asked about")]
fn variables() -> Vec<String> {
    env::vars().map(|(name, _)| name).collect()
}

#[test]
#[ignore = "run by the other tests as the wrapped server"]
fn server() {
    // The test runner has begun a line.
    writeln!(stdout()).unwrap();
    for line in stdin().lock().lines() {
        let message: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let Some(id) = message.get("id") else { continue };
        let result = match (message["method"].as_str().unwrap(), message["params"]["name"].as_str()) {
            ("tools/list", _) => json!({ "tools": [{ "name": "fs:read" }, { "name": "write" }] }),
            ("tools/call", Some("env")) => json!(variables()),
            ("tools/call", Some("hold")) => {
                std::fs::write("held", "").unwrap();
                continue;
            }
            _ => json!({ "arguments": message["params"]["arguments"] }),
        };
        let mut stdout = stdout().lock();
        writeln!(stdout, "{}", json!({ "jsonrpc": "2.0", "id": id, "result": result })).unwrap();
        stdout.flush().unwrap();
    }
}
