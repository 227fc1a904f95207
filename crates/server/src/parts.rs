//! What a server counts with and tells to. A program that embeds a server makes these first and uses them beside it.

use std::sync::Arc;

use paygate_core::gate::{Gate, GateParts};
use paygate_core::usage::UsageMeter;

use crate::config::ServerConfig;
use crate::hooks::CallHooks;
use crate::session::Sessions;

/// What a server counts with and tells to.
#[derive(Clone)]
pub struct ServerParts {
    /// Judges calls, over the books of the configuration. Charges that an earlier run left open are settled.
    pub gate: Arc<Gate>,
    /// Sessions of clients.
    pub sessions: Arc<Sessions>,
    /// What an embedding program has a say in.
    pub hooks: Option<Arc<dyn CallHooks>>,
}

impl ServerParts {
    /// The parts of a server that nobody else uses.
    pub fn new(config: &ServerConfig) -> Self {
        let ledger = config.books.ledger().clone();
        let entropy = ledger.entropy().clone();
        let meter = Arc::new(UsageMeter::new(UsageMeter::EVENTS_MAX));
        let gate = Arc::new(Gate::new(config.gate.clone(), GateParts { ledger, meter, sinks: Vec::new() }));
        gate.settle_left_open(config.books.left_open());
        Self { gate, sessions: Arc::new(Sessions::new(config.clock.clone(), entropy)), hooks: None }
    }
}
