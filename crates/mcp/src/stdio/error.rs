//! Why a backend was not started, or a request not answered.

use std::{fmt, io, process::ExitStatus, time::Duration};

/// Why the child could not be started. Nothing runs.
#[derive(Debug, thiserror::Error)]
#[error("{command:?} could not be started: {source}")]
pub struct StartError {
    /// The command.
    pub command: String,
    /// What the system said.
    pub source: io::Error,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code, when it ended by itself.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        Self { code: status.code(), signal: std::os::unix::process::ExitStatusExt::signal(&status) }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exited with code {code}"),
            (None, Some(signal)) => write!(f, "was ended by signal {signal}"),
            (None, None) => f.write_str("ended"),
        }
    }
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// Too many messages wait for the child to read them. Nothing was sent.
    #[error("Server is busy: its queue is full")]
    QueueFull,
    /// The child has not answered in time. A late answer is dropped.
    #[error("Request timed out after {}s", after.as_secs_f64())]
    TimedOut {
        /// How long the request had.
        after: Duration,
        /// Whether the child may have read the request.
        reached: bool,
    },
    /// The child ended before it answered.
    #[error("Server {exit}")]
    Exited {
        /// How it ended.
        exit: Exit,
        /// Whether the child may have read the request.
        reached: bool,
    },
    /// The child is not running and is started again later. Nothing was sent.
    #[error("Server is down, next start in {}s", next_attempt_in.as_secs_f64())]
    Down {
        /// The time until the next attempt.
        next_attempt_in: Duration,
    },
    /// The child answered with something that is no answer.
    #[error("Server sent an unusable answer: {detail}")]
    Unparsable {
        /// What is wrong with it.
        detail: String,
    },
    /// The backend has been stopped.
    #[error("Server not started")]
    Stopped {
        /// Whether the child may have read the request.
        reached: bool,
    },
}

impl CallError {
    /// Whether the child may have read the request: `false` is certain, `true` is not.
    #[must_use]
    pub fn reached(&self) -> bool {
        match self {
            Self::QueueFull | Self::Down { .. } => false,
            Self::TimedOut { reached, .. } | Self::Exited { reached, .. } | Self::Stopped { reached } => {
                *reached
            }
            Self::Unparsable { .. } => true,
        }
    }
}
