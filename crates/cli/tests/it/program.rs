//! A running program and a client.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::child;

pub(crate) const ADMIN_KEY: &str = "admin-key-of-the-tests";

/// A folder of its own to run in.
pub(crate) struct Place {
    folder: TempDir,
}

/// A program that serves.
pub(crate) struct Program {
    child: Child,
    pub(crate) port: u16,
    /// What it had written when it was ready to serve.
    pub(crate) banner: String,
    rest_of_stdout: BufReader<std::process::ChildStdout>,
    stderr: Option<JoinHandle<String>>,
}

/// What a program left behind.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    fn command(&self, args: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_paygate-mcp")));
        command.args(args).envs(variables.iter().copied()).current_dir(self.folder.path());
        command
    }

    /// Runs a command that comes to an end by itself.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.run_with(args, &[])
    }

    pub(crate) fn run_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Output {
        self.command(args, variables).stdin(Stdio::null()).output().unwrap()
    }

    /// Wraps the child, on a free port.
    pub(crate) fn wrap(&self, args: &[&str]) -> Program {
        self.wrap_with(args, &[])
    }

    pub(crate) fn wrap_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Program {
        let server = child::command_line();
        let all = [&["wrap", "--server", &server, "--port", "0"], args].concat();
        Program::start(self.command(&all, variables))
    }

    /// Wraps the child, and no file may grow beyond so many kilobytes, as on a disk that is full.
    pub(crate) fn wrap_limited(&self, kilobytes: u32, args: &[&str]) -> Program {
        let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", 2 * kilobytes);
        let server = child::command_line();
        let mut command = Command::new("sh");
        command.args([
            "-c",
            &script,
            env!("CARGO_BIN_EXE_paygate-mcp"),
            "wrap",
            "--server",
            &server,
            "--port",
            "0",
        ]);
        Program::start({
            command.args(args).current_dir(self.folder.path());
            command
        })
    }

    /// Wraps what the arguments say.
    pub(crate) fn wrap_bare(&self, args: &[&str]) -> Program {
        Program::start(self.command(&[&["wrap"], args].concat(), &[]))
    }
}

impl Program {
    fn start(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let stderr = thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut banner = String::new();
        while !banner.contains('╚') {
            if stdout.read_line(&mut banner).unwrap() == 0 {
                panic!("it did not start: {banner}{}", stderr.join().unwrap());
            }
        }
        let (_, port) = banner.split_once("http://localhost:").unwrap();
        let port = port.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
        Self { child, port, banner, rest_of_stdout: stdout, stderr: Some(stderr) }
    }

    /// Sends a request and gives the status and the body.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, String) {
        let mut stream = self.begin(method, path, headers, body);
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// Sends a request and does not wait for the answer.
    pub(crate) fn begin(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> TcpStream {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        stream
    }

    pub(crate) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Value {
        serde_json::from_str(&self.send("GET", path, headers, "").1).unwrap()
    }

    pub(crate) fn post(&self, key: &str, message: &Value) -> Value {
        let (status, body) = self.send("POST", "/mcp", &[("X-API-Key", key)], &message.to_string());
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    pub(crate) fn call(&self, key: &str, tool: &str) -> Value {
        let params = json!({ "name": tool, "arguments": {} });
        self.post(key, &json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }))
    }

    /// The balance of a key.
    pub(crate) fn credits(&self, key: &str) -> Value {
        self.get("/balance", &[("X-API-Key", key)])["credits"].clone()
    }

    pub(crate) fn signal(&self, signal: i32) {
        #[expect(unsafe_code, reason = "the standard library sends no signals but one")]
        // SAFETY: kill takes plain numbers and touches no memory of ours.
        let sent = unsafe { libc::kill(self.child.id().cast_signed(), signal) };
        assert_eq!(sent, 0);
    }

    /// Ends the program by a signal and waits until it is gone.
    pub(crate) fn end(mut self, signal: i32) -> Ended {
        self.signal(signal);
        let status = self.child.wait().unwrap();
        let mut stdout = self.banner.clone();
        self.rest_of_stdout.read_to_string(&mut stdout).unwrap();
        let stderr = self.stderr.take().unwrap().join().unwrap();
        Ended { status, stdout, stderr }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind; of one that did not, nothing is left.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
