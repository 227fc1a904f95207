//! The wrapped server, whatever it is spoken to by.

use std::sync::Arc;

use bytes::Bytes;
use paygate_core::ledger::Ending;
use paygate_mcp_wire::stdio::{
    BackendState, BackendStatus, CallError, DropInbound, PendingCall, StartError, StdioBackend, StdioConfig,
};
use paygate_mcp_wire::wire::{Outcome, Outgoing, Reply};

/// The wrapped server.
#[derive(Debug)]
pub(crate) enum Backend {
    /// A child process.
    Stdio(StdioBackend),
}

impl Backend {
    /// Starts the server.
    pub(crate) async fn start(config: StdioConfig) -> Result<Self, StartError> {
        Ok(Self::Stdio(StdioBackend::start(config, Arc::new(DropInbound)).await?))
    }

    /// Hands a request over; its answer is waited for by what is returned.
    pub(crate) fn begin(&self, request: Outgoing) -> Result<PendingCall, CallError> {
        match self {
            Self::Stdio(child) => child.begin(request),
        }
    }

    /// Hands a request over and waits for its answer.
    pub(crate) async fn request(&self, request: Outgoing) -> Result<Reply, CallError> {
        self.begin(request)?.answer().await
    }

    /// Hands over a message that expects no answer.
    pub(crate) fn notify(&self, message: Bytes) {
        let sent = match self {
            Self::Stdio(child) => child.notify(message),
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "a notification was not delivered");
        }
    }

    /// The server's condition.
    pub(crate) fn status(&self) -> BackendStatus {
        match self {
            Self::Stdio(child) => child.status(),
        }
    }

    /// Stops the server and returns once it is gone.
    pub(crate) async fn stop(&self) {
        match self {
            Self::Stdio(child) => child.stop().await,
        }
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

/// How a call ended, by what came back or did not.
pub(crate) fn ending(answer: &Result<Reply, CallError>) -> Ending {
    match answer {
        Ok(reply) => match reply.outcome() {
            Outcome::Result => Ending::Result,
            Outcome::ToolError => Ending::ToolError,
            Outcome::Error { .. } => Ending::RpcError,
        },
        Err(error) if !error.reached() => Ending::NeverReached,
        Err(CallError::TimedOut { .. }) => Ending::TimedOut,
        Err(CallError::Exited { .. } | CallError::Stopped { .. }) => Ending::BackendExited,
        Err(CallError::Unparsable { .. }) => Ending::Unparsable,
        Err(_) => Ending::Lost,
    }
}
