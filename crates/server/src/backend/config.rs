//! Which servers are wrapped.

use std::fmt;
use std::sync::Arc;

use paygate_mcp_wire::http::{HttpConfig, InvalidUrl};
use paygate_mcp_wire::stdio::{DropInbound, Inbound, StdioConfig};

use super::router::SEPARATOR;

/// Which servers are wrapped.
#[derive(Debug, Clone)]
pub enum BackendConfig {
    /// One server.
    One(WrappedConfig),
    /// Several servers, each under a prefix of its own that is not empty and has no colon.
    Many(Vec<(String, WrappedConfig)>),
}

/// One wrapped server.
#[derive(Clone)]
pub enum WrappedConfig {
    /// A child process, and who hears what it says of its own accord.
    Child(Box<StdioConfig>, Arc<dyn Inbound>),
    /// A remote server.
    Remote(Box<HttpConfig>),
}

impl fmt::Debug for WrappedConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Child(config, _) => config.fmt(f),
            Self::Remote(config) => config.fmt(f),
        }
    }
}

impl From<StdioConfig> for WrappedConfig {
    /// A child process that is not listened to.
    fn from(config: StdioConfig) -> Self {
        Self::Child(Box::new(config), Arc::new(DropInbound))
    }
}

impl From<HttpConfig> for WrappedConfig {
    fn from(config: HttpConfig) -> Self {
        Self::Remote(Box::new(config))
    }
}

impl<T: Into<WrappedConfig>> From<T> for BackendConfig {
    fn from(config: T) -> Self {
        Self::One(config.into())
    }
}

/// One of several servers, as it was configured.
#[derive(Debug, Clone, Default)]
pub struct ServerEntry {
    /// What its tools are told under.
    pub prefix: Option<String>,
    /// The program of a child process.
    pub command: Option<String>,
    /// The program's arguments.
    pub args: Vec<String>,
    /// The address of a remote server.
    pub url: Option<String>,
}

/// Why a list of servers cannot be used, in the words of 2.9.0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// A prefix that none can be.
    #[error("Invalid server prefix: \"{0}\" — must be non-empty and not contain \":\"")]
    InvalidPrefix(String),
    /// Two servers have the same prefix.
    #[error("Duplicate server prefix: \"{0}\"")]
    DuplicatePrefix(String),
    /// A server is neither a program nor remote.
    #[error("Server \"{0}\" needs either serverCommand or remoteUrl")]
    NoTarget(String),
    /// A server is both.
    #[error("Server \"{0}\" cannot have both serverCommand and remoteUrl")]
    TwoTargets(String),
    /// The address of a remote server is none.
    #[error(transparent)]
    InvalidUrl(#[from] InvalidUrl),
}

impl BackendConfig {
    /// Several servers, as they were configured. `child` and `remote` set up each of their kind.
    ///
    /// # Errors
    /// The first fault of the first entry that has one.
    pub fn many(
        entries: Vec<ServerEntry>,
        child: impl Fn(StdioConfig) -> WrappedConfig,
        remote: impl Fn(HttpConfig) -> WrappedConfig,
    ) -> Result<Self, EntryError> {
        let mut servers: Vec<(String, WrappedConfig)> = Vec::with_capacity(entries.len());
        for ServerEntry { prefix, command, args, url } in entries {
            let prefix = prefix.ok_or_else(|| EntryError::InvalidPrefix("undefined".to_owned()))?;
            if prefix.is_empty() || prefix.contains(SEPARATOR) {
                return Err(EntryError::InvalidPrefix(prefix));
            }
            if servers.iter().any(|(taken, _)| *taken == prefix) {
                return Err(EntryError::DuplicatePrefix(prefix));
            }
            let server = match (command, url) {
                (None, None) => return Err(EntryError::NoTarget(prefix)),
                (Some(_), Some(_)) => return Err(EntryError::TwoTargets(prefix)),
                (Some(command), None) => child(StdioConfig::new(command, args)),
                (None, Some(url)) => remote(HttpConfig::new(&url)?),
            };
            servers.push((prefix, server));
        }
        Ok(Self::Many(servers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(prefix: &str, command: Option<&str>, url: Option<&str>) -> ServerEntry {
        ServerEntry {
            prefix: Some(prefix.to_owned()),
            command: command.map(str::to_owned),
            args: Vec::new(),
            url: url.map(str::to_owned),
        }
    }

    fn fault(entries: Vec<ServerEntry>) -> String {
        BackendConfig::many(entries, Into::into, Into::into).unwrap_err().to_string()
    }

    #[test]
    fn the_first_fault_of_a_list_of_servers_is_told() {
        let a = || entry("a", Some("x"), None);
        let invalid =
            |prefix| format!("Invalid server prefix: \"{prefix}\" — must be non-empty and not contain \":\"");
        assert_eq!(fault(vec![a(), entry("", None, None)]), invalid(""));
        assert_eq!(fault(vec![entry("a:b", None, None)]), invalid("a:b"));
        assert_eq!(fault(vec![ServerEntry::default()]), invalid("undefined"));
        assert_eq!(fault(vec![a(), entry("a", None, None)]), "Duplicate server prefix: \"a\"");
        assert_eq!(
            fault(vec![entry("a", None, None)]),
            "Server \"a\" needs either serverCommand or remoteUrl"
        );
        assert_eq!(
            fault(vec![entry("a", Some("x"), Some("http://h"))]),
            "Server \"a\" cannot have both serverCommand and remoteUrl"
        );
        assert_eq!(fault(vec![entry("a", None, Some("nope"))]), "Invalid URL");
    }
}
