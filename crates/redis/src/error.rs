//! Why a command has no reply. The texts are 2.9.0's, and those of Node where the system failed.

use std::io;
use std::net::SocketAddr;

/// Why a command, or a connection, failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server did not accept the connection in time. Nothing was sent.
    #[error("Redis connect timeout ({milliseconds}ms)")]
    ConnectTimeout {
        /// How long it was waited for.
        milliseconds: u64,
    },
    /// As [`Self::ConnectTimeout`], of a connection for messages.
    #[error("Redis subscriber connect timeout ({milliseconds}ms)")]
    SubscriberConnectTimeout {
        /// How long it was waited for.
        milliseconds: u64,
    },
    /// The server could not be reached. Nothing was sent.
    #[error("{text}")]
    Unreachable {
        /// The system's name of the failure, as `ECONNREFUSED`.
        code: &'static str,
        /// What failed.
        text: String,
    },
    /// The server refused, in these words. Nothing was changed by the command.
    #[error("{0}")]
    Refused(String),
    /// The connection is not open, and this kind is not opened by itself. Nothing was sent.
    #[error("Not connected")]
    NotConnected,
    /// No reply came in time. The server may carry the command out.
    #[error("Redis command timeout: {command}")]
    CommandTimeout {
        /// The command's first word.
        command: String,
    },
    /// As [`Self::CommandTimeout`], while a connection for messages was opened.
    #[error("Subscriber command timeout")]
    SubscriberCommandTimeout,
    /// The connection ended before the reply came. The server may have carried the command out.
    #[error("{text}")]
    Lost {
        /// What happened.
        text: String,
    },
    /// The connection was closed on our side before the reply came. The server may have carried the command out.
    #[error("Disconnected")]
    Disconnected,
}

impl Error {
    /// Whether the server may have carried out what failed for us: repeating it could do it twice.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::CommandTimeout { .. }
            | Self::SubscriberCommandTimeout
            | Self::Lost { .. }
            | Self::Disconnected => true,
            Self::ConnectTimeout { .. }
            | Self::SubscriberConnectTimeout { .. }
            | Self::Unreachable { .. }
            | Self::Refused(_)
            | Self::NotConnected => false,
        }
    }

    /// A short name, as Node's errors have one: the system's where the system failed.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ConnectTimeout { .. } | Self::SubscriberConnectTimeout { .. } => "ETIMEDOUT",
            Self::Unreachable { code, .. } => code,
            Self::Refused(_) => "ERR_REDIS_REPLY",
            Self::NotConnected => "ERR_REDIS_NOT_CONNECTED",
            Self::CommandTimeout { .. }
            | Self::SubscriberCommandTimeout
            | Self::Lost { .. }
            | Self::Disconnected => "ERR_REDIS_UNANSWERED",
        }
    }

    pub(crate) fn connecting(error: &io::Error, address: SocketAddr) -> Self {
        let code = code_of(error);
        Self::Unreachable { code, text: format!("connect {code} {}:{}", address.ip(), address.port()) }
    }

    pub(crate) fn unknown_host(host: &str) -> Self {
        Self::Unreachable { code: "ENOTFOUND", text: format!("getaddrinfo ENOTFOUND {host}") }
    }

    pub(crate) fn securing(error: impl ToString) -> Self {
        Self::Unreachable { code: "ERR_REDIS_TLS", text: format!("TLS: {}", error.to_string()) }
    }

    /// What could not be written.
    pub(crate) fn writing(error: &io::Error) -> Self {
        Self::Lost { text: format!("write {}", code_of(error)) }
    }
}

fn code_of(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "ECONNREFUSED",
        io::ErrorKind::ConnectionReset => "ECONNRESET",
        io::ErrorKind::BrokenPipe => "EPIPE",
        io::ErrorKind::TimedOut => "ETIMEDOUT",
        io::ErrorKind::HostUnreachable => "EHOSTUNREACH",
        io::ErrorKind::NetworkUnreachable => "ENETUNREACH",
        io::ErrorKind::AddrNotAvailable => "EADDRNOTAVAIL",
        io::ErrorKind::PermissionDenied => "EACCES",
        _ => "EIO",
    }
}
