//! What a server is built from. Every value is valid; where it came from is the command line's affair.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use paygate_core::clock::{Clock, SystemClock};
use paygate_core::config::GateConfig;
use paygate_core::key::address::CompiledAllowlist;
use paygate_core::usage::AlertRule;
use paygate_store::StateFile;

use crate::backend::BackendConfig;
use crate::call_events::CallListener;
use crate::webhook::{StripeSettings, WebhookSettings};

/// The version that is told to callers.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Methods that need no key unless configured otherwise.
const FREE_METHODS: [&str; 7] = [
    "initialize",
    "initialized",
    "ping",
    "notifications/initialized",
    "tools/list",
    "resources/list",
    "prompts/list",
];

/// What a server is built from.
#[derive(Clone)]
pub struct ServerConfig {
    /// The name that `GET /` and payment documents tell.
    pub name: String,
    /// The address to listen on; `None` is all of them, IPv6 and IPv4.
    pub host: Option<IpAddr>,
    /// The port to listen on; 0 picks a free one.
    pub port: u16,
    /// The secret that admin routes ask for.
    pub admin_key: String,
    /// Prices, limits and policies.
    pub gate: GateConfig,
    /// Methods that need no key.
    pub free_methods: HashSet<String>,
    /// The wrapped server, or several.
    pub backend: BackendConfig,
    /// When to raise alerts. Not looked at by a server over parts that others use too.
    pub alert_rules: Vec<AlertRule>,
    /// Who hears of calls that have ended.
    pub listener: Option<Arc<dyn CallListener>>,
    /// Who is told what happens, if anybody is. Not looked at by a server over parts that others use too.
    pub webhook: Option<WebhookSettings>,
    /// How Stripe is known, whose payments are granted; `None` when it is not.
    pub stripe: Option<StripeSettings>,
    /// The books, on disk or in memory. Charges that an earlier run left open are settled before the first call.
    /// They are saved when the server is stopped, and are their owner's to close.
    pub books: Arc<StateFile>,
    /// Tells how long the server runs and sessions are idle.
    pub clock: Arc<dyn Clock>,
    /// Origins whose pages may call, beside those of this machine. When there are any, others may not; when there
    /// are none, others may not only where the server listens on this machine alone.
    pub allowed_origins: Vec<String>,
    /// Proxies whose word about a caller's address counts. None when empty.
    pub trusted_proxies: CompiledAllowlist,
    /// Bounds on requests.
    pub limits: HttpLimits,
}

impl ServerConfig {
    /// A server on a free port with default settings.
    pub fn new(admin_key: String, backend: impl Into<BackendConfig>, books: Arc<StateFile>) -> Self {
        Self {
            name: "PayGate MCP Server".to_owned(),
            host: None,
            port: 0,
            admin_key,
            gate: GateConfig::default(),
            free_methods: FREE_METHODS.into_iter().map(str::to_owned).collect(),
            backend: backend.into(),
            alert_rules: Vec::new(),
            listener: None,
            webhook: None,
            stripe: None,
            books,
            clock: Arc::new(SystemClock),
            allowed_origins: Vec::new(),
            trusted_proxies: CompiledAllowlist::new(["127.0.0.0/8", "::1"]),
            limits: HttpLimits::default(),
        }
    }
}

/// Bounds on requests, so that none hangs and none fills the memory.
#[derive(Debug, Clone, Copy)]
pub struct HttpLimits {
    /// Longest body, in bytes. Default: 1 MiB.
    pub body_bytes_max: usize,
    /// How long a connection may be idle, or take to send the head of a request. Default: 6 s, a second more than
    /// callers are told, so that a request sent in the last moment still finds it open.
    pub head_timeout: Duration,
    /// How long a request may take to send its body. Default: 60 s.
    pub body_timeout: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 1 << 20,
            head_timeout: Duration::from_secs(6),
            body_timeout: Duration::from_secs(60),
        }
    }
}
