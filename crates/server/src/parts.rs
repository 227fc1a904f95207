//! What a server counts with and tells to. A program that embeds a server makes these first and uses them beside it.

use std::sync::Arc;

use paygate_core::gate::{Gate, GateParts};
use paygate_core::usage::{EventSink, UsageMeter};
use tokio::runtime::Handle;

use crate::auth::oauth::OAuthProvider;
use crate::config::ServerConfig;
use crate::history;
use crate::hooks::CallHooks;
use crate::news::News;
use crate::session::Sessions;
use crate::webhook::{WebhookEmitter, WebhookParts};

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
    ///
    /// # Panics
    /// Outside a tokio runtime, when somebody is to be told what happens.
    pub fn new(config: &ServerConfig) -> Self {
        let ledger = config.books.ledger().clone();
        let entropy = ledger.entropy().clone();
        let webhook = webhook(config);
        let sinks = webhook.iter().map(|webhook| webhook.clone() as Arc<dyn EventSink>);
        let sinks = sinks.chain(history::usage_sink(&config.books)).collect();
        let meter = Arc::new(UsageMeter::new(UsageMeter::EVENTS_MAX));
        let gate = Arc::new(Gate::new(config.gate.clone(), GateParts { ledger, meter, sinks }));
        gate.settle_left_open(config.books.left_open());
        let sessions = Arc::new(Sessions::new(config.clock.clone(), entropy));
        let rules = history::alert_rules(&config.books, config.alert_rules.clone());
        let news = News::new(&gate, &sessions, &config.clock, rules, webhook);
        history::resume_log(&config.books, &news.audit);
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

/// Tells the receiver that is configured, by itself from now on.
fn webhook(config: &ServerConfig) -> Option<Arc<WebhookEmitter>> {
    let settings = config.webhook.clone()?;
    let parts = WebhookParts {
        clock: config.clock.clone(),
        entropy: config.books.ledger().entropy().clone(),
        runtime: Handle::current(),
    };
    let webhook = WebhookEmitter::new(settings, parts);
    webhook.start_timers();
    Some(Arc::new(webhook))
}
