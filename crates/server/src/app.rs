//! Everything a request may need, built once.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use paygate_core::clock::Clock;
use paygate_core::credits::Credits;
use paygate_core::gate::{Charged, Gate};
use paygate_core::journal::{Durability, JournalError, Ticket};
use paygate_core::key::address::CompiledAllowlist;
use paygate_core::ledger::{Ending, Ledger, Settled};
use paygate_store::{Change, StateFile};
use tokio::sync::oneshot;

use crate::auth::admin::AdminGuard;
use crate::backend::backend::Backend;
use crate::config::{HttpLimits, ServerConfig};
use crate::hooks::CallHooks;
use crate::http::cors::OriginPolicy;
use crate::http::in_flight::InFlightCounter;
use crate::http::route::Routes;
use crate::parts::ServerParts;
use crate::session::Sessions;

/// Everything a request may need.
pub(crate) struct App {
    pub(crate) name: String,
    pub(crate) gate: Arc<Gate>,
    pub(crate) books: Arc<StateFile>,
    pub(crate) free_methods: HashSet<String>,
    pub(crate) backend: Backend,
    /// The names of all tools of the backend, as far as they are known.
    pub(crate) tools: RwLock<Vec<String>>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) hooks: Option<Arc<dyn CallHooks>>,
    pub(crate) admin: AdminGuard,
    pub(crate) origins: OriginPolicy,
    pub(crate) trusted_proxies: CompiledAllowlist,
    pub(crate) limits: HttpLimits,
    pub(crate) in_flight: InFlightCounter,
    pub(crate) routes: Routes,
    draining: AtomicBool,
    clock: Arc<dyn Clock>,
    started_at: Duration,
}

impl App {
    /// Builds everything around a backend that has been started.
    pub(crate) fn new(config: ServerConfig, parts: ServerParts, backend: Backend) -> Self {
        let listens_on_loopback = config.host.is_some_and(|host| host.to_canonical().is_loopback());
        let ledger = config.books.ledger().clone();
        Self {
            name: config.name,
            gate: parts.gate,
            books: config.books,
            free_methods: config.free_methods,
            backend,
            tools: RwLock::default(),
            sessions: parts.sessions,
            hooks: parts.hooks,
            admin: AdminGuard::new(config.admin_key, config.trusted_proxies.clone(), ledger),
            origins: OriginPolicy::new(listens_on_loopback, config.allowed_origins),
            trusted_proxies: config.trusted_proxies,
            limits: config.limits,
            in_flight: InFlightCounter::default(),
            routes: Routes::all(),
            draining: AtomicBool::new(false),
            started_at: config.clock.monotonic(),
            clock: config.clock,
        }
    }

    /// The books.
    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        self.gate.ledger()
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

    /// Ends a charge. Returns once the ending may be told: at once where a restart would settle the charge in the same
    /// way, else when it is durable.
    pub(crate) async fn settle(&self, charged: Charged, ending: Ending) -> Settled {
        let settled = charged.settle(ending);
        self.heard(None).await;
        self.books.changed(Change::ByCharge);
        if !self.gate.config().refunds.same_after_restart(ending) {
            // A failure is told by the journal, which keeps the entry and tries again; the work is done all the same.
            let _ = self.durable(settled.ticket).await;
        }
        settled
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
        let journal = self.ledger().journal();
        match journal.durability() {
            Durability::Memory => return Ok(()),
            // With nobody to share a commit with, and no wait for a disk in it, writing it here takes less than
            // handing it to another thread.
            Durability::Process if self.in_flight.count() <= 1 => return self.ledger().wait(ticket),
            Durability::Process | Durability::Power => {}
        }
        let (told, hears) = oneshot::channel();
        // Whoever has stopped waiting does not need to know.
        journal.when_durable(ticket, Box::new(move |written| drop(told.send(written))));
        hears.await.unwrap_or_else(|_| Err(JournalError("the journal was closed".into())))
    }
}
