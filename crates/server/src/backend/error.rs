//! Why a wrapped server gave no answer, and what that means for the credits.

use paygate_core::ledger::Ending;
use paygate_mcp_wire::http::HttpError;
use paygate_mcp_wire::stdio::CallError;
use paygate_mcp_wire::wire::{Outcome, Reply};

/// Why a wrapped server gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The child process did not answer.
    #[error(transparent)]
    Child(#[from] CallError),
    /// The remote server did not answer.
    #[error(transparent)]
    Remote(#[from] HttpError),
    /// There is no server at all.
    #[error("No backends configured")]
    NoServers,
}

impl BackendError {
    /// Whether the server may have read the request: `false` is certain, `true` is not.
    #[must_use]
    pub fn reached(&self) -> bool {
        match self {
            Self::Child(error) => error.reached(),
            Self::Remote(error) => error.reached(),
            Self::NoServers => false,
        }
    }

    fn ending(&self) -> Ending {
        if !self.reached() {
            return Ending::NeverReached;
        }
        match self {
            Self::Child(CallError::TimedOut { .. }) | Self::Remote(HttpError::TimedOut { .. }) => {
                Ending::TimedOut
            }
            Self::Child(CallError::Exited { .. } | CallError::Stopped { .. })
            | Self::Remote(HttpError::Lost { .. } | HttpError::Stopped { .. }) => Ending::BackendExited,
            Self::Child(CallError::Unparsable { .. })
            | Self::Remote(HttpError::Unparsable { .. } | HttpError::NoMatch) => Ending::Unparsable,
            Self::Remote(HttpError::Status { .. }) => Ending::HttpError,
            Self::Child(_) | Self::Remote(_) | Self::NoServers => Ending::Lost,
        }
    }
}

/// How a call ended, by what came back or did not.
pub(crate) fn ending(answer: &Result<Reply, BackendError>) -> Ending {
    match answer {
        Ok(reply) => match reply.outcome() {
            Outcome::Result => Ending::Result,
            Outcome::ToolError => Ending::ToolError,
            Outcome::Error { .. } => Ending::RpcError,
        },
        Err(error) => error.ending(),
    }
}
