//! Several servers as one: each has a prefix, which the names of its tools begin with.

use futures_util::future::join_all;
use paygate_core::key::record::truthy;
use paygate_core::text::number::json_to_text;
use paygate_mcp_wire::stdio::{FIRST_ID, StartError};
use paygate_mcp_wire::wire::{self, Id, Outgoing, Reply};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::wrapped::Wrapped;
use super::{BackendError, WrappedConfig};
use crate::members::Members;

/// Stands between a prefix and the name of a tool.
pub(super) const SEPARATOR: char = ':';

/// Several servers in the order of the configuration.
#[derive(Debug)]
pub(super) struct Router {
    servers: Vec<(String, Wrapped)>,
}

/// Why no server has a tool. Nothing was charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteError {
    /// The name has no prefix.
    NoPrefix {
        /// The name.
        tool: String,
        /// The call's place in a batch.
        index: Option<usize>,
        /// The prefixes there are.
        available: String,
    },
    /// No server has the prefix.
    UnknownPrefix {
        /// The prefix.
        prefix: String,
        /// The call's place in a batch.
        index: Option<usize>,
        /// The prefixes there are.
        available: String,
    },
}

impl std::error::Error for RouteError {}

impl std::fmt::Display for RouteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoPrefix { tool, index: None, available } => write!(
                f,
                "Invalid tool name: \"{tool}\" — must be prefixed (e.g., \"server:tool\"). Available prefixes: {available}"
            ),
            Self::NoPrefix { tool, index: Some(index), .. } => {
                write!(f, "Invalid tool name in batch[{index}]: \"{tool}\" — must be prefixed")
            }
            Self::UnknownPrefix { prefix, index: None, available } => {
                write!(f, "Unknown server prefix: \"{prefix}\". Available: {available}")
            }
            Self::UnknownPrefix { prefix, index: Some(index), available } => {
                write!(f, "Unknown server prefix in batch[{index}]: \"{prefix}\". Available: {available}")
            }
        }
    }
}

impl Router {
    /// Starts all servers at once. If one cannot be started, none is.
    pub(super) async fn start(configs: Vec<(String, WrappedConfig)>) -> Result<Self, StartError> {
        let starting = configs
            .into_iter()
            .enumerate()
            .map(async |(at, (prefix, config))| Ok((prefix, Wrapped::start(with_ids_of(at, config)).await?)));
        let (mut servers, mut failure) = (Vec::new(), None);
        for started in join_all(starting).await {
            match started {
                Ok(server) => servers.push(server),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        let router = Self { servers };
        let Some(failure) = failure else { return Ok(router) };
        join_all(router.servers.iter().map(|(_, server)| server.stop())).await;
        Err(failure)
    }

    pub(super) fn servers(&self) -> impl Iterator<Item = (&str, &Wrapped)> {
        self.servers.iter().map(|(prefix, server)| (&**prefix, server))
    }

    /// The server that has a tool, and the tool's name there. `index` is the call's place in a batch.
    pub(super) fn route<'a>(
        &self,
        tool: &'a str,
        index: Option<usize>,
    ) -> Result<(&Wrapped, &'a str), RouteError> {
        let Some((prefix, name)) = tool.split_once(SEPARATOR) else {
            return Err(RouteError::NoPrefix { tool: tool.to_owned(), index, available: self.prefixes() });
        };
        let server = self.servers.iter().find(|(known, _)| known == prefix).map(|(_, server)| server);
        let unknown =
            || RouteError::UnknownPrefix { prefix: prefix.to_owned(), index, available: self.prefixes() };
        Ok((server.ok_or_else(unknown)?, name))
    }

    /// The server that messages about no tool go to.
    pub(super) fn first(&self) -> Result<&Wrapped, BackendError> {
        self.servers.first().map(|(_, server)| server).ok_or(BackendError::NoServers)
    }

    /// The server that knows a request by that id of ours.
    pub(super) fn server_of(&self, id: u64) -> Option<&Wrapped> {
        let at = usize::try_from(id / FIRST_ID).ok()?.checked_sub(1)?;
        self.servers.get(at).map(|(_, server)| server)
    }

    pub(super) fn begin_list(&self, request: Outgoing) -> PendingList<'_> {
        PendingList { router: self, request }
    }

    fn prefixes(&self) -> String {
        self.servers.iter().map(|(prefix, _)| &**prefix).collect::<Vec<_>>().join(", ")
    }
}

/// The name under which a server's tool is told.
pub(crate) fn under_prefix(prefix: &str, name: &str) -> String {
    format!("{prefix}{SEPARATOR}{name}")
}

/// Gives each server ids of its own, so that an id of ours names the server too.
fn with_ids_of(at: usize, mut config: WrappedConfig) -> WrappedConfig {
    let first = FIRST_ID * (at as u64 + 1);
    match &mut config {
        WrappedConfig::Child(config, _) => config.id_first = first,
        WrappedConfig::Remote(config) => config.id_first = first,
    }
    config
}

/// A `tools/list` that all servers are asked at once. Those that do not answer with a list are left out.
#[derive(Debug)]
pub struct PendingList<'a> {
    router: &'a Router,
    request: Outgoing,
}

/// A `tools/list` result of several servers.
#[derive(Serialize)]
struct AllTools {
    tools: Vec<Members<Box<RawValue>>>,
}

impl PendingList<'_> {
    pub(super) async fn answer(self) -> Reply {
        let asked = self.router.servers.iter().map(async |(prefix, server)| {
            let answer = async { server.begin(self.request.clone())?.answer().await };
            // Boxed, since a list is a request like others and could else hold itself.
            let answer: Result<Reply, BackendError> = Box::pin(answer).await;
            let reply = answer
                .inspect_err(|error| tracing::debug!(prefix, %error, "the tools of a server are not known"));
            reply.ok().and_then(|reply| tools_of(prefix, reply.result()?)).unwrap_or_default()
        });
        let tools = join_all(asked).await.concat();
        // The id is exchanged for the client's like that of any answer.
        let answer = wire::result(Id::Raw("0"), &AllTools { tools });
        Reply::parse(&answer.into()).expect("an answer of our own is an answer")
    }
}

/// The tools of one server under its prefix.
fn tools_of(prefix: &str, result: &RawValue) -> Option<Vec<Members<Box<RawValue>>>> {
    let mut members: Members<Box<RawValue>> = serde_json::from_str(result.get()).ok()?;
    let tools: Vec<&RawValue> = serde_json::from_str(members.get_mut("tools")?.get()).ok()?;
    // What is no object is no tool.
    let tools = tools.into_iter().filter_map(|tool| serde_json::from_str(tool.get()).ok());
    Some(tools.map(|tool| prefixed(prefix, tool)).collect())
}

fn prefixed(prefix: &str, mut tool: Members<Box<RawValue>>) -> Members<Box<RawValue>> {
    let mut value = |name| tool.get_mut(name).and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
    let name = value("name").map_or("undefined".to_owned(), |name| json_to_text(&name));
    let description = match value("description").filter(truthy) {
        Some(description) => format!("[{prefix}] {}", json_to_text(&description)),
        None => format!("[{prefix}]"),
    };
    set(&mut tool, "name", &under_prefix(prefix, &name));
    set(&mut tool, "description", &description);
    tool
}

/// Sets a member in its place, or at the end.
fn set(tool: &mut Members<Box<RawValue>>, name: &str, text: &str) {
    let text = to_raw_value(text).expect("a text can always be written");
    match tool.get_mut(name) {
        Some(value) => *value = text,
        None => tool.set_last(name, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(result: &str) -> String {
        let result: &RawValue = serde_json::from_str(result).unwrap();
        serde_json::to_string(&tools_of("fs", result)).unwrap()
    }

    #[test]
    fn tools_are_told_under_the_prefix_of_their_server() {
        assert_eq!(
            told(r#"{"tools":[{"description":"Find","name":"a","x":1.0},{"name":"b"}],"nextCursor":"2"}"#),
            r#"[{"description":"[fs] Find","name":"fs:a","x":1.0},{"name":"fs:b","description":"[fs]"}]"#
        );
        assert_eq!(
            told(r#"{"tools":[{"name":"a","description":"","y":1},7]}"#),
            r#"[{"name":"fs:a","description":"[fs]","y":1}]"#
        );
    }

    #[test]
    fn a_server_without_a_list_has_no_tools() {
        for result in ["{}", "[]", r#"{"tools":{}}"#, r#"{"tools":null}"#] {
            assert_eq!(told(result), "null", "{result}");
        }
    }

    #[test]
    fn a_missing_server_is_told_in_the_words_of_2_9_0() {
        let error = |tool: &str, index| {
            let router = Router { servers: Vec::new() };
            router.route(tool, index).unwrap_err().to_string()
        };
        assert_eq!(
            error("search", None),
            "Invalid tool name: \"search\" — must be prefixed (e.g., \"server:tool\"). Available prefixes: "
        );
        assert_eq!(error("nope:x:y", None), "Unknown server prefix: \"nope\". Available: ");
        assert_eq!(error("write", Some(0)), "Invalid tool name in batch[0]: \"write\" — must be prefixed");
        assert_eq!(error(":x", Some(1)), "Unknown server prefix in batch[1]: \"\". Available: ");
    }
}
