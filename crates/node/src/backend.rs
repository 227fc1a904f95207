//! `McpProxy`, `HttpMcpProxy`, `MultiServerRouter`: wrapped servers that a script starts and stops, or that a server in
//! this process does.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use paygate_mcp_wire::http::HttpConfig;
use paygate_mcp_wire::stdio::{Exit, Inbound, StartError, StdioConfig};
use paygate_mcp_wire::wire::Envelope;
use paygate_server::{
    Backend, BackendConfig, BatchCallEvent, CallListener, EntryError, ServerEntry, ToolCallEvent,
    WrappedConfig,
};
use serde::Deserialize;

use crate::call::{Call, Failure, UNDEFINED, Value};
use crate::channel::{Rejection, Teller};
use crate::gate::GateHandle;

/// Variables that a wrapped server does not get: some of them are secrets.
const WITHHELD: &str = "PAYGATE_*";

/// What the shell is told; it has the same list.
mod told {
    pub(super) const STARTED: u8 = 0;
    pub(super) const EXITED: u8 = 1;
    pub(super) const STDERR: u8 = 2;
    pub(super) const NOTIFICATION: u8 = 3;
    pub(super) const UNPARSABLE: u8 = 4;
    pub(super) const TOOL_CALL: u8 = 5;
    pub(super) const BATCH_CALL: u8 = 6;
}

/// Wrapped servers as JavaScript holds them, running or not.
pub(crate) struct BackendHandle {
    /// The gate that decides who may call.
    pub(crate) gate: Arc<GateHandle>,
    config: BackendConfig,
    running: Mutex<Option<Arc<Backend>>>,
}

impl BackendHandle {
    /// The servers, while they run.
    pub(crate) fn running(&self) -> Option<Arc<Backend>> {
        self.running.lock().clone()
    }

    /// Shows servers that somebody else has started, or stopped.
    pub(crate) fn attach(&self, backend: Option<Arc<Backend>>) {
        *self.running.lock() = backend;
    }

    /// What to start so that the script hears what a child says of its own accord. Children are greeted by the gate
    /// where it serves many callers, and by the script where that is the only one.
    pub(crate) fn config(&self, teller: &Teller, greeted: bool) -> BackendConfig {
        let mut config = self.config.clone();
        let heard: Arc<dyn Inbound> = Arc::new(Script(teller.clone()));
        match &mut config {
            BackendConfig::One(WrappedConfig::Child(child, inbound)) => {
                *inbound = heard;
                ungreeted(child, greeted);
            }
            BackendConfig::One(WrappedConfig::Remote(_)) => {}
            BackendConfig::Many(servers) => {
                for (_, server) in servers {
                    if let WrappedConfig::Child(child, _) = server {
                        ungreeted(child, greeted);
                    }
                }
            }
        }
        config
    }
}

fn ungreeted(child: &mut StdioConfig, greeted: bool) {
    if !greeted {
        child.initialize = None;
    }
}

/// Tells the script what happens on other threads.
pub(crate) struct Script(pub(crate) Teller);

impl Inbound for Script {
    fn notification(&self, message: &Bytes, _envelope: &Envelope<'_>) {
        self.0.tell(told::NOTIFICATION, &String::from_utf8_lossy(message));
    }

    fn started(&self) {
        self.0.tell(told::STARTED, "");
    }

    fn exited(&self, exit: Exit) {
        self.0.tell(told::EXITED, &code_text(exit));
    }

    fn stderr(&self, text: &str) {
        self.0.tell(told::STDERR, text);
    }

    fn unparsable(&self, line: &str) {
        self.0.tell(told::UNPARSABLE, line);
    }
}

impl CallListener for Script {
    fn tool_called(&self, event: &ToolCallEvent<'_>) {
        self.0.tell(told::TOOL_CALL, &serde_json::to_string(event).expect(PLAIN));
    }

    fn batch_called(&self, event: &BatchCallEvent) {
        self.0.tell(told::BATCH_CALL, &serde_json::to_string(event).expect(PLAIN));
    }
}

const PLAIN: &str = "events are plain JSON";

/// An exit code as JavaScript has it: `null` after a signal.
pub(crate) fn code_text(exit: Exit) -> String {
    exit.code.map_or("null".to_owned(), |code| code.to_string())
}

/// What is wrapped, as the shell passes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenBackend {
    command: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    url: Option<String>,
    servers: Option<Vec<GivenServer>>,
    extra_certificates: Option<PathBuf>,
}

/// One of several servers; what says nothing is absent.
#[derive(Deserialize)]
struct GivenServer {
    prefix: Option<String>,
    command: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    url: Option<String>,
}

impl GivenBackend {
    fn valid(self) -> Result<BackendConfig, EntryError> {
        let child = |mut child: StdioConfig| {
            child.env_removed = vec![WITHHELD.to_owned()];
            child.into()
        };
        let remote = |mut remote: HttpConfig| {
            remote.extra_certificates.clone_from(&self.extra_certificates);
            remote.into()
        };
        if let Some(servers) = self.servers {
            let entry =
                |GivenServer { prefix, command, args, url }| ServerEntry { prefix, command, args, url };
            return BackendConfig::many(servers.into_iter().map(entry).collect(), child, remote);
        }
        Ok(BackendConfig::One(match self.url {
            Some(url) => remote(HttpConfig::new(&url)?),
            None => child(StdioConfig::new(self.command.unwrap_or_default(), self.args)),
        }))
    }
}

/// `backendNew(gate, config)`: wrapped servers behind a gate, which do not run yet.
pub(crate) fn new(call: &Call<'_>) -> Value {
    let gate = call.gate().clone();
    match call.json::<GivenBackend>(1).expect("always given").valid() {
        Ok(config) => call.hold_any(Arc::new(BackendHandle { gate, config, running: Mutex::default() })),
        Err(error @ EntryError::InvalidUrl(_)) => call.fail(Failure::Type, error),
        Err(error) => call.fail(Failure::Other, error),
    }
}

/// `backendStart(backend, target)`: starts the servers; what they do is told to the target.
pub(crate) fn start(call: &Call<'_>) -> Value {
    let handle = call.the::<Arc<BackendHandle>>().clone();
    let config = handle.config(&call.teller(call.index(1)), false);
    call.promise(async move {
        let backend = Backend::start(config).await.map_err(|error| failure(&error))?;
        handle.attach(Some(Arc::new(backend)));
        Ok(None)
    })
}

/// A failed start as Node tells it.
fn failure(error: &StartError) -> Rejection {
    let rejection = Rejection::new(error);
    match error.source.kind() {
        io::ErrorKind::NotFound => rejection.with_code("ENOENT"),
        io::ErrorKind::PermissionDenied => rejection.with_code("EACCES"),
        _ => rejection,
    }
}

/// `backendStop(backend)`: stops the servers.
pub(crate) fn stop(call: &Call<'_>) -> Value {
    let running = call.the::<Arc<BackendHandle>>().running.lock().take();
    call.promise(async move {
        if let Some(backend) = running {
            backend.stop().await;
        }
        Ok(None)
    })
}

/// `gateAdmits(gate, key, address?)`: why a caller may not send messages that cost nothing, or nothing.
pub(crate) fn admits(call: &Call<'_>) -> Value {
    let (key, address) = (call.text(1), call.text(2));
    let admitted = call.gate().gate.admit(key.as_deref(), address.as_deref());
    match admitted {
        Ok(()) => UNDEFINED,
        Err(reason) => call.string(&reason.to_string()),
    }
}
