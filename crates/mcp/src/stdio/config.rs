//! How a child is started, bounded and kept running.

use std::{path::PathBuf, time::Duration};

use serde_json::json;

use super::FIRST_ID;
use crate::wire::Outgoing;

/// How a child is started, bounded and kept running.
#[derive(Debug, Clone)]
pub struct StdioConfig {
    /// The program, looked up in `PATH`.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables of our environment that the child does not get; `NAME_*` is every variable
    /// whose name starts with `NAME_`. Default: none.
    pub env_removed: Vec<String>,
    /// The child's working folder. Default: ours.
    pub working_folder: Option<PathBuf>,
    /// The `initialize` request that every new child is sent before anything else; `None` leaves
    /// it to the callers. Default: [`own_initialize`].
    pub initialize: Option<Outgoing>,
    /// How long requests wait for a child to answer `initialize`. A child that takes longer, or
    /// answers with an error, is used all the same. Default: 5 s.
    pub initialize_timeout: Duration,
    /// The id of the first request. Default: [`FIRST_ID`](super::FIRST_ID).
    pub id_first: u64,
    /// How many messages may wait for the child to read them. Default: 1024.
    pub queue_messages_max: usize,
    /// How many bytes may wait for the child to read them. Default: 64 MB.
    pub queue_bytes_max: usize,
    /// The longest line taken from the child. Default: 64 MB.
    pub answer_bytes_max: usize,
    /// How long a request may take from its acceptance to its answer. Default: 30 s.
    pub request_timeout: Duration,
    /// How long a child that was asked to end may take before it is killed. Default: 5 s.
    pub stop_grace: Duration,
    /// When a child that ended is started again.
    pub restart: RestartPolicy,
    /// What each line of the child's stderr is prefixed with in our log. Default: empty.
    pub log_prefix: String,
}

impl StdioConfig {
    /// A command with default settings.
    #[must_use]
    pub fn new(command: impl Into<String>, args: Vec<String>) -> Self {
        Self {
            command: command.into(),
            args,
            env_removed: Vec::new(),
            working_folder: None,
            initialize: Some(own_initialize()),
            initialize_timeout: Duration::from_secs(5),
            id_first: FIRST_ID,
            queue_messages_max: 1024,
            queue_bytes_max: 64 << 20,
            answer_bytes_max: 64 << 20,
            request_timeout: Duration::from_secs(30),
            stop_grace: Duration::from_secs(5),
            restart: RestartPolicy::default(),
            log_prefix: String::new(),
        }
    }
}

/// The `initialize` request of our own, for a child that serves requests of many callers.
#[must_use]
pub fn own_initialize() -> Outgoing {
    let params = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": { "name": "paygate-mcp", "version": env!("CARGO_PKG_VERSION") },
    });
    Outgoing::request("initialize", &params)
}

/// When a child that ended is started again: the first time at once, then after pauses that
/// double, until it has stayed up for a while.
#[derive(Debug, Clone, Copy)]
pub struct RestartPolicy {
    /// The pause before the second attempt. Default: 100 ms.
    pub pause_min: Duration,
    /// The longest pause. Default: 30 s.
    pub pause_max: Duration,
    /// A child that was up for this long starts the count anew. Default: 10 s.
    pub healthy_after: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            pause_min: Duration::from_millis(100),
            pause_max: Duration::from_secs(30),
            healthy_after: Duration::from_secs(10),
        }
    }
}

impl RestartPolicy {
    /// The pause before the attempt that follows on `failures` failures in a row.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        match failures.checked_sub(2) {
            None => Duration::ZERO,
            Some(doublings) => self.pause_min.saturating_mul(1 << doublings.min(30)).min(self.pause_max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses = |failures| RestartPolicy::default().pause(failures).as_millis();
        assert_eq!([0, 1, 2, 3, 4].map(pauses), [0, 0, 100, 200, 400]);
        assert_eq!([10, 11, u32::MAX].map(pauses), [25_600, 30_000, 30_000]);
    }
}
