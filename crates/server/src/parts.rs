//! What a server counts with and tells to. A program that embeds a server makes these first and uses them beside it.

use std::sync::Arc;

use paygate_core::gate::{Gate, GateParts};
use paygate_core::usage::UsageMeter;

use crate::auth::oauth::OAuthProvider;
use crate::config::ServerConfig;
use crate::hooks::CallHooks;
use crate::news::News;
use crate::session::Sessions;

/// What a server counts with and tells to.
#[derive(Clone)]
pub struct ServerParts {
    /// Judges calls, over the books of the configuration. Charges that an earlier run left open are settled.
    pub gate: Arc<Gate>,
    /// Sessions of clients.
    pub sessions: Arc<Sessions>,
    /// Who is told what happens.
    pub news: News,
    /// Whose access tokens stand for keys, if anybody's do.
    pub oauth: Option<Arc<OAuthProvider>>,
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
        let sessions = Arc::new(Sessions::new(config.clock.clone(), entropy));
        let news = News::new(&gate, &sessions, &config.clock, Vec::new(), None);
        Self { gate, sessions, news, oauth: None, hooks: None }
    }

    /// The same parts, with somebody whose access tokens stand for keys. Those of a key that is replaced stand for its
    /// successor from then on.
    #[must_use]
    pub fn with_oauth(self, oauth: Arc<OAuthProvider>) -> Self {
        let renames = Arc::downgrade(&oauth);
        self.gate.ledger().when_rotated(Box::new(move |old, new| {
            if let Some(oauth) = renames.upgrade() {
                oauth.rename_key(old, new);
            }
        }));
        Self { oauth: Some(oauth), ..self }
    }
}
