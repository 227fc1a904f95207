//! Everything a request may need, built once.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use paygate_core::clock::Clock;
use paygate_core::credits::Credits;
use paygate_core::gate::Gate;
use paygate_core::journal::{JournalError, Ticket};
use paygate_core::key::address::CompiledAllowlist;
use paygate_core::ledger::Ledger;
use paygate_core::usage::{AlertRule, AuditHistory, UsageHistory};
use paygate_store::{Change, History, StateFile};

use crate::auth::admin::AdminGuard;
use crate::auth::oauth::OAuthProvider;
use crate::backend::Backend;
use crate::call_events::CallListener;
use crate::config::{HttpLimits, ServerConfig};
use crate::decided::Till;
use crate::history;
use crate::hooks::CallHooks;
use crate::http::cors::OriginPolicy;
use crate::http::in_flight::InFlightCounter;
use crate::http::route::Routes;
use crate::news::News;
use crate::parts::ServerParts;
use crate::session::Sessions;
use crate::tool_list::Discovery;
use crate::webhook::StripeWebhook;

/// Everything a request may need.
pub(crate) struct App {
    pub(crate) name: String,
    pub(crate) gate: Arc<Gate>,
    pub(crate) books: Arc<StateFile>,
    pub(crate) free_methods: HashSet<String>,
    pub(crate) backend: Arc<Backend>,
    pub(crate) listener: Option<Arc<dyn CallListener>>,
    pub(crate) news: News,
    pub(crate) oauth: Option<Arc<OAuthProvider>>,
    pub(crate) stripe: Option<StripeWebhook>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) hooks: Option<Arc<dyn CallHooks>>,
    pub(crate) admin: AdminGuard,
    pub(crate) origins: OriginPolicy,
    pub(crate) trusted_proxies: CompiledAllowlist,
    pub(crate) limits: HttpLimits,
    pub(crate) in_flight: InFlightCounter,
    pub(crate) routes: Routes,
    pub(crate) discovery: Discovery,
    /// The configuration's, as they are kept.
    configured_alert_rules: String,
    draining: AtomicBool,
    clock: Arc<dyn Clock>,
    started_at: Duration,
}

impl App {
    /// Builds everything around a backend that has been started.
    pub(crate) fn new(config: ServerConfig, parts: ServerParts, backend: Backend) -> Self {
        let listens_on_loopback = config.host.is_some_and(|host| host.to_canonical().is_loopback());
        let ledger = config.books.ledger().clone();
        parts.news.show_books(&config.books);
        Self {
            name: config.name,
            gate: parts.gate,
            books: config.books,
            free_methods: config.free_methods,
            backend: Arc::new(backend),
            listener: config.listener,
            news: parts.news,
            oauth: parts.oauth,
            stripe: config.stripe.map(|settings| StripeWebhook::new(ledger.clone(), settings)),
            sessions: parts.sessions,
            hooks: parts.hooks,
            admin: AdminGuard::new(config.admin_key, config.trusted_proxies.clone(), ledger),
            origins: OriginPolicy::new(listens_on_loopback, config.allowed_origins),
            trusted_proxies: config.trusted_proxies,
            limits: config.limits,
            in_flight: InFlightCounter::default(),
            routes: Routes::all(),
            discovery: Discovery::default(),
            configured_alert_rules: history::written(&config.alert_rules),
            draining: AtomicBool::new(false),
            started_at: config.clock.monotonic(),
            clock: config.clock,
        }
    }

    /// The books.
    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        self.gate.ledger()
    }

    /// Where reports read usage events: the state file, or memory without one.
    pub(crate) fn usage(&self) -> Arc<dyn UsageHistory> {
        self.books.history().map_or_else(|| self.gate.meter().clone() as _, History::usage)
    }

    /// Where reports read who did what.
    pub(crate) fn audit(&self) -> Arc<dyn AuditHistory> {
        self.books.history().map_or_else(|| self.news.audit.clone() as _, History::audit)
    }

    /// Keeps the rules for alerts for the next start. Waits for the disk.
    ///
    /// # Errors
    /// They cannot be written.
    pub(crate) fn keep_alert_rules(&self, rules: &[AlertRule]) -> io::Result<()> {
        let Some(history) = self.books.history() else { return Ok(()) };
        history.keep_alert_rules(&self.configured_alert_rules, &history::written(rules))
    }

    /// How long the server has been running.
    pub(crate) fn uptime(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.started_at)
    }

    /// Refuses calls from now on. False when they were refused already.
    pub(crate) fn start_draining(&self) -> bool {
        !self.draining.swap(true, Ordering::AcqRel)
    }

    /// Whether calls are refused.
    pub(crate) fn draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Waits until a change that an operator made is as durable as the books promise, and shows in the state file.
    ///
    /// # Errors
    /// It could not be written.
    pub(crate) async fn saved(&self, ticket: Ticket) -> Result<(), JournalError> {
        self.durable(ticket).await?;
        self.books.changed(Change::ByMutator);
        Ok(())
    }

    /// Where charges are kept.
    pub(crate) fn till(&self) -> Till<'_> {
        Till::new(&self.gate, &self.books, self.hooks.as_deref()).counted_by(&self.in_flight)
    }

    /// Tells the hooks of an embedding program what was decided or settled on this thread just now.
    pub(crate) async fn heard(&self, taken: Option<(&str, Credits)>) {
        if let Some(hooks) = self.hooks.as_ref().filter(|hooks| hooks.hears()) {
            hooks.heard(taken).await;
        }
    }

    /// Waits until a change is as durable as the books promise.
    ///
    /// # Errors
    /// It could not be written.
    pub(crate) async fn durable(&self, ticket: Ticket) -> Result<(), JournalError> {
        self.till().durable(ticket).await
    }
}
