//! Why a remote server gave no answer.

use std::error::Error;
use std::time::Duration;

/// Why a request to a remote server has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The server answered with an HTTP error.
    #[error("Remote server error: HTTP {status}: {excerpt}")]
    Status {
        /// The status, 400 or above.
        status: u16,
        /// The first 200 characters of the body.
        excerpt: String,
    },
    /// The server could not be connected to. Nothing was sent.
    #[error("Remote server error: {cause}")]
    Unreachable {
        /// What the system said.
        cause: String,
    },
    /// The connection was lost before the whole answer was there.
    #[error("Remote server error: {cause}")]
    Lost {
        /// What the system said.
        cause: String,
    },
    /// The server said nothing for too long, or took too long in all.
    #[error("Remote server error: Request timed out after {}s", after.as_secs_f64())]
    TimedOut {
        /// How long it had.
        after: Duration,
        /// Whether the server may have read the request.
        reached: bool,
    },
    /// The server answered with something that is no answer.
    #[error("Remote server error: {detail}")]
    Unparsable {
        /// What is wrong with it.
        detail: String,
    },
    /// The server ended its events without an answer among them.
    #[error("No matching response in SSE stream")]
    NoMatch,
    /// The backend has been stopped.
    #[error("Proxy not started")]
    Stopped {
        /// Whether the server may have read the request.
        reached: bool,
    },
}

impl HttpError {
    /// Whether the server may have read the request: `false` is certain, `true` is not.
    #[must_use]
    pub fn reached(&self) -> bool {
        match self {
            Self::Unreachable { .. } => false,
            Self::TimedOut { reached, .. } | Self::Stopped { reached } => *reached,
            Self::Status { .. } | Self::Lost { .. } | Self::Unparsable { .. } | Self::NoMatch => true,
        }
    }

    /// A failure of the connection. The address is not told: it may hold secrets.
    pub(super) fn of_connection(error: reqwest::Error, idle_time_max: Duration) -> Self {
        let connecting = error.is_connect();
        if connecting && error.is_timeout() {
            return Self::TimedOut { after: idle_time_max, reached: false };
        }
        let cause = root_cause(&error.without_url());
        if connecting { Self::Unreachable { cause } } else { Self::Lost { cause } }
    }
}

/// The innermost error of a chain: what really happened.
fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
