//! One wrapped server, whatever it is spoken to by.

use bytes::Bytes;
use paygate_mcp_wire::http::HttpBackend;
use paygate_mcp_wire::stdio::{BackendState, StartError, StdioBackend};
use paygate_mcp_wire::wire::{Outgoing, Reply};

use super::backend::{BackendStatus, Pending};
use super::{BackendError, WrappedConfig};

/// One wrapped server.
#[derive(Debug)]
pub(crate) enum Wrapped {
    /// A child process.
    Child(StdioBackend),
    /// A remote server.
    Remote(Box<HttpBackend>),
}

impl Wrapped {
    pub(super) async fn start(config: WrappedConfig) -> Result<Self, StartError> {
        Ok(match config {
            WrappedConfig::Child(config, inbound) => {
                Self::Child(StdioBackend::start(*config, inbound).await?)
            }
            WrappedConfig::Remote(config) => Self::Remote(Box::new(HttpBackend::new(*config))),
        })
    }

    pub(super) fn begin(&self, request: Outgoing) -> Result<Pending<'_>, BackendError> {
        Ok(match self {
            Self::Child(child) => Pending::Child(child.begin(request)?),
            Self::Remote(remote) => Pending::Remote(remote.begin(request)?),
        })
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn request(&self, request: Outgoing) -> Result<Reply, BackendError> {
        self.begin(request)?.answer().await
    }

    pub(super) async fn notify(&self, message: Bytes) -> Result<(), BackendError> {
        match self {
            Self::Child(child) => child.notify(message)?,
            Self::Remote(remote) => remote.notify(message).await?,
        }
        Ok(())
    }

    pub(super) fn status(&self) -> BackendStatus {
        match self {
            Self::Child(child) => {
                let status = child.status();
                BackendStatus {
                    state: status.state,
                    restarts: status.restarts,
                    pending: status.pending,
                    last_exit: status.last_exit,
                }
            }
            Self::Remote(remote) => BackendStatus {
                state: if remote.is_running() { BackendState::Running } else { BackendState::Stopped },
                restarts: 0,
                pending: remote.pending(),
                last_exit: None,
            },
        }
    }

    /// Stops the server; requests under way may still be answered until they are given up.
    pub(super) async fn stop(&self) {
        match self {
            Self::Child(child) => child.stop().await,
            Self::Remote(remote) => remote.stop().await,
        }
    }

    pub(super) fn give_up(&self) {
        match self {
            // Its requests ended with it.
            Self::Child(_) => {}
            Self::Remote(remote) => remote.give_up(),
        }
    }
}
