//! A real Redis for one test: its own port and folder, nothing kept, ended with the test.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// Starts the server, and ends it once nobody holds the shell's input any more: also when the test is killed.
const SCRIPT: &str = r#"
redis-server "$@" </dev/null & server=$!
exec >&- 2>&-
read -r end
kill -9 $server
wait $server
"#;

/// How often a port is tried that somebody else may have taken meanwhile.
const ATTEMPTS: usize = 20;

/// A running Redis.
#[derive(Debug)]
pub struct Redis {
    port: u16,
    arguments: Vec<String>,
    folder: TempDir,
    shell: Option<Child>,
}

impl Redis {
    /// Starts an empty Redis.
    ///
    /// # Panics
    /// When `redis-server` is not installed.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts an empty Redis with further arguments, as `--requirepass` and a password.
    ///
    /// # Panics
    /// When `redis-server` is not installed, or does not take the arguments.
    pub fn start_with(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let folder = TempDir::with_prefix("paygate-redis-").expect("there is room for a folder");
        let mut redis = Self { port: 0, arguments, folder, shell: None };
        for _ in 0..ATTEMPTS {
            redis.port = free_port();
            if redis.run().is_ok() {
                return redis;
            }
        }
        let said = redis.run().err().unwrap_or_default();
        panic!("no Redis: is redis-server installed (apt-get install redis-server)?\n{said}");
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it at once; its data is gone.
    pub fn stop(&mut self) {
        if let Some(mut shell) = self.shell.take() {
            drop(shell.stdin.take());
            // Without a shell there is no server either.
            let _ = shell.wait();
        }
    }

    /// Starts it again, empty, on the same port.
    ///
    /// # Panics
    /// When the port was taken meanwhile.
    pub fn restart(&mut self) {
        self.stop();
        self.run().expect("the port is still free");
    }

    /// Starts the server and waits until it answers. What it said, if it ended instead.
    fn run(&mut self) -> Result<(), String> {
        let port = self.port.to_string();
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "redis", "--bind", "127.0.0.1", "--port", &port])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .args(&self.arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut output = BufReader::new(shell.stdout.take().expect("asked for above"));
        self.shell = Some(shell);
        let mut said = String::new();
        while output.read_line(&mut said).is_ok_and(|read| read > 0) {
            if said.contains("Ready to accept connections") {
                // Read on, so that the server never waits for room to write.
                std::thread::spawn(move || output.read_to_end(&mut Vec::new()));
                return Ok(());
            }
        }
        self.stop();
        Err(said)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there are free ports");
    listener.local_addr().expect("a listener has an address").port()
}
