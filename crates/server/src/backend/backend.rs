//! What stands behind the gate, be it one server or several.

use bytes::Bytes;
use futures_util::future::join_all;
use paygate_mcp_wire::http::PendingPost;
use paygate_mcp_wire::stdio::{BackendState, Exit, PendingCall, StartError};
use paygate_mcp_wire::wire::{Envelope, Outgoing, Reply, ToolCall};

use super::router::{PendingList, Router};
use super::wrapped::Wrapped;
use super::{BackendConfig, BackendError, RouteError};
use crate::call::PAYMENT_REQUIRED;

/// The JSON-RPC code of 2.9.0 for the refusal of a single call of a remote server.
const REMOTE_REFUSAL: i64 = -32000;

/// What stands behind the gate.
#[derive(Debug)]
pub struct Backend(Kind);

#[derive(Debug)]
enum Kind {
    One(Wrapped),
    Many(Router),
}

/// The condition of what stands behind the gate; of several servers, that of the worst, and the sums.
#[derive(Debug, Clone, Copy)]
pub struct BackendStatus {
    /// What it is doing.
    pub state: BackendState,
    /// How often a child has been started again.
    pub restarts: u64,
    /// How many requests have no answer yet.
    pub pending: usize,
    /// How the last child that ended has ended.
    pub last_exit: Option<Exit>,
}

impl Backend {
    /// Starts what is configured. If one server cannot be started, none is.
    ///
    /// # Errors
    /// A command that cannot be started.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    pub async fn start(config: BackendConfig) -> Result<Self, StartError> {
        Ok(Self(match config {
            BackendConfig::One(config) => Kind::One(Wrapped::start(config).await?),
            BackendConfig::Many(configs) => Kind::Many(Router::start(configs).await?),
        }))
    }

    /// Whether this is several servers under prefixes.
    pub fn is_router(&self) -> bool {
        matches!(self.0, Kind::Many(_))
    }

    /// Whether this is one remote server.
    pub fn is_remote(&self) -> bool {
        matches!(self.0, Kind::One(Wrapped::Remote(_)))
    }

    /// The JSON-RPC code with which a single call is refused.
    pub fn refusal_code(&self) -> i64 {
        if self.is_remote() { REMOTE_REFUSAL } else { PAYMENT_REQUIRED }
    }

    /// Whether there is a server for a tool of that name; `index` is the call's place in a batch.
    ///
    /// # Errors
    /// Several servers share the names, and the name's prefix is none of theirs.
    pub fn check_tool(&self, tool: &str, index: Option<usize>) -> Result<(), RouteError> {
        match &self.0 {
            Kind::One(_) => Ok(()),
            Kind::Many(router) => router.route(tool, index).map(drop),
        }
    }

    /// The prefix of the server that has a tool, where there are several.
    pub fn prefix_of<'a>(&'a self, tool: &'a str) -> Option<&'a str> {
        self.is_router().then(|| tool.split(super::router::SEPARATOR).next())?
    }

    /// Hands a client's message over, `body` being the buffer that `envelope` was read from; its answer is waited for
    /// by what is returned. Calls of tools go by [`Self::begin_call`].
    ///
    /// # Errors
    /// The message was not accepted; then no server reads it.
    pub fn begin(&self, body: &Bytes, envelope: &Envelope<'_>) -> Result<Pending<'_>, BackendError> {
        let request = Outgoing::forward(body, envelope);
        match &self.0 {
            Kind::One(server) => server.begin(request),
            Kind::Many(router) if envelope.method.as_deref() == Some("tools/list") => {
                Ok(Pending::List(router.begin_list(request)))
            }
            Kind::Many(router) => router.first()?.begin(request),
        }
    }

    /// As [`Self::begin`], for a call of a tool that [`Self::check_tool`] has found a server for.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn begin_call(
        &self,
        body: &Bytes,
        envelope: &Envelope<'_>,
        call: &ToolCall<'_>,
    ) -> Result<Pending<'_>, BackendError> {
        match &self.0 {
            Kind::One(server) => server.begin(Outgoing::forward(body, envelope)),
            Kind::Many(router) => {
                let (server, name) = router.route(&call.name, None).map_err(|_| BackendError::NoServers)?;
                server.begin(Outgoing::forward_renamed(body, envelope, call, name))
            }
        }
    }

    /// Hands over a call of a batch, as a request of its own, and waits for its answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn call(&self, call: &ToolCall<'_>) -> Result<Reply, BackendError> {
        let (server, name) = match &self.0 {
            Kind::One(server) => (server, &*call.name),
            Kind::Many(router) => router.route(&call.name, None).map_err(|_| BackendError::NoServers)?,
        };
        server.request(Outgoing::tool_call(name, call.arguments)).await
    }

    /// Hands over a message that expects no answer: of several servers, to the first. What comes of it is not told.
    pub async fn notify(&self, message: Bytes) {
        let server = match &self.0 {
            Kind::One(server) => Ok(server),
            Kind::Many(router) => router.first(),
        };
        match server {
            Ok(server) => note_failure(server.notify(message).await),
            Err(error) => note_failure(Err(error)),
        }
    }

    /// Hands over a message about the request that has an id of ours, to the server that knows it.
    pub(crate) async fn notify_about(&self, id: u64, message: Bytes) {
        let server = match &self.0 {
            Kind::One(server) => Some(server),
            Kind::Many(router) => router.server_of(id),
        };
        if let Some(server) = server {
            note_failure(server.notify(message).await);
        }
    }

    /// All servers with their prefixes; one alone has none.
    pub(crate) fn servers(&self) -> Vec<(Option<&str>, &Wrapped)> {
        match &self.0 {
            Kind::One(server) => vec![(None, server)],
            Kind::Many(router) => router.servers().map(|(prefix, server)| (Some(prefix), server)).collect(),
        }
    }

    /// The condition of what stands behind the gate.
    pub fn status(&self) -> BackendStatus {
        let mut all =
            BackendStatus { state: BackendState::Running, restarts: 0, pending: 0, last_exit: None };
        for (_, server) in self.servers() {
            let status = server.status();
            if badness(status.state) > badness(all.state) {
                all.state = status.state;
            }
            all.restarts += status.restarts;
            all.pending += status.pending;
            all.last_exit = status.last_exit.or(all.last_exit);
        }
        all
    }

    /// Stops everything and returns once it is gone. Requests to remote servers may still be answered.
    pub async fn stop(&self) {
        join_all(self.servers().into_iter().map(|(_, server)| server.stop())).await;
    }

    /// Ends all requests that have no answer yet.
    pub fn give_up(&self) {
        self.servers().into_iter().for_each(|(_, server)| server.give_up());
    }
}

fn note_failure(sent: Result<(), BackendError>) {
    if let Err(error) = sent {
        tracing::debug!(%error, "a notification was not delivered");
    }
}

fn badness(state: BackendState) -> u8 {
    match state {
        BackendState::Running => 0,
        BackendState::Starting => 1,
        BackendState::Restarting => 2,
        BackendState::Stopped => 3,
    }
}

/// The word for a server's condition.
pub(crate) fn state_name(state: BackendState) -> &'static str {
    match state {
        BackendState::Starting => "starting",
        BackendState::Running => "running",
        BackendState::Restarting => "restarting",
        BackendState::Stopped => "stopped",
    }
}

/// A request under way. Dropping it gives the request up.
#[derive(Debug)]
pub enum Pending<'a> {
    /// With a child process.
    Child(PendingCall),
    /// With a remote server.
    Remote(PendingPost<'a>),
    /// With all servers.
    List(PendingList<'a>),
}

impl Pending<'_> {
    /// The id by which the server knows the request; none when several servers are asked.
    #[must_use]
    pub fn id(&self) -> Option<u64> {
        match self {
            Self::Child(pending) => Some(pending.id()),
            Self::Remote(pending) => Some(pending.id()),
            Self::List(_) => None,
        }
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn answer(self) -> Result<Reply, BackendError> {
        match self {
            Self::Child(pending) => Ok(pending.answer().await?),
            Self::Remote(pending) => Ok(pending.answer().await?),
            Self::List(pending) => Ok(pending.answer().await),
        }
    }
}
