//! What follows when a call may go on: its charge is made durable, the work is done, and the charge is settled by how
//! that ended. Nothing else ends a charge.

use std::future::Future;

use futures_util::future::join_all;
use paygate_core::credits::Credits;
use paygate_core::gate::{Charged, Gate};
use paygate_core::journal::{Durability, JournalError, Ticket};
use paygate_core::ledger::{Ending, Outcome, Settled};
use paygate_mcp_wire::wire::Reply;
use paygate_store::{Change, StateFile};
use tokio::sync::oneshot;

use crate::backend::BackendError;
use crate::backend::error::ending;
use crate::hooks::CallHooks;
use crate::http::in_flight::InFlightCounter;

/// Where charges are kept until they are settled.
#[derive(Clone, Copy)]
pub struct Till<'a> {
    gate: &'a Gate,
    books: &'a StateFile,
    hooks: Option<&'a dyn CallHooks>,
    in_flight: Option<&'a InFlightCounter>,
}

/// A call that has ended.
#[derive(Debug)]
pub struct Done {
    /// What the backend said, or why it said nothing.
    pub answer: Result<Reply, BackendError>,
    /// What became of the charge, if there was one.
    pub settled: Option<Settled>,
    /// What was taken.
    charged: Credits,
}

impl Done {
    /// What the call cost in the end.
    #[must_use]
    pub fn credits(&self) -> u64 {
        self.settled.map_or(0, |settled| settled.credits.get())
    }

    /// The credits that were given back, if there were any.
    #[must_use]
    pub fn refunded(&self) -> Option<Credits> {
        let refunded = self.settled.is_some_and(|settled| settled.outcome == Outcome::Refunded);
        (refunded && self.charged > Credits::ZERO).then_some(self.charged)
    }

    /// Whether the backend answered with a result.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.answer.as_ref().is_ok_and(|reply| reply.result().is_some())
    }
}

impl<'a> Till<'a> {
    /// The till of a gate and its books. The hooks hear of refunds.
    #[must_use]
    pub fn new(gate: &'a Gate, books: &'a StateFile, hooks: Option<&'a dyn CallHooks>) -> Self {
        Self { gate, books, hooks, in_flight: None }
    }

    /// The same till, which knows with how many others it may share a commit.
    pub(crate) fn counted_by(self, in_flight: &'a InFlightCounter) -> Self {
        Self { in_flight: Some(in_flight), ..self }
    }

    /// Does the work of one call, paid for by a charge or let through without, and settles the charge.
    ///
    /// # Errors
    /// The charge could not be made durable. It is undone, and the work is not begun.
    pub async fn carry_out(
        &self,
        charge: Option<Charged>,
        work: impl Future<Output = Result<Reply, BackendError>>,
    ) -> Result<Done, JournalError> {
        if let Some(charged) = &charge
            && let Err(error) = self.durable(charged.ticket()).await
        {
            charge.into_iter().for_each(Charged::undo);
            return Err(error);
        }
        Ok(self.finish(charge, work).await)
    }

    /// Does the work of all calls of a batch at the same time and settles each charge by its own ending. A batch that
    /// was let through unpaid as a whole has no charges.
    ///
    /// # Errors
    /// The charges could not be made durable. They are undone, and no work is begun.
    pub async fn carry_out_batch<W>(
        &self,
        charges: Vec<Charged>,
        work: impl IntoIterator<Item = W>,
    ) -> Result<Vec<Done>, JournalError>
    where
        W: Future<Output = Result<Reply, BackendError>>,
    {
        // All charges of a batch became durable, or did not, with one append.
        if let Some(charged) = charges.first()
            && let Err(error) = self.durable(charged.ticket()).await
        {
            charges.into_iter().for_each(Charged::undo);
            return Err(error);
        }
        let charges = charges.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
        Ok(join_all(work.into_iter().zip(charges).map(|(work, charge)| self.finish(charge, work))).await)
    }

    async fn finish(
        &self,
        charge: Option<Charged>,
        work: impl Future<Output = Result<Reply, BackendError>>,
    ) -> Done {
        let charged = charge.as_ref().map_or(Credits::ZERO, Charged::credits);
        let answer = work.await;
        let settled = match charge {
            Some(charged) => Some(self.settle(charged, ending(&answer)).await),
            None => None,
        };
        Done { answer, settled, charged }
    }

    /// Ends a charge. Returns once the ending may be told: at once where a restart would settle the charge in the same
    /// way, else when it is durable.
    async fn settle(&self, charged: Charged, ending: Ending) -> Settled {
        let settled = charged.settle(ending);
        if let Some(hooks) = self.hooks.filter(|hooks| hooks.hears()) {
            hooks.heard(None).await;
        }
        self.books.changed(Change::ByCharge);
        if !self.gate.config().refunds.same_after_restart(ending) {
            // A failure is told by the journal, which keeps the entry and tries again; the work is done all the same.
            let _ = self.durable(settled.ticket).await;
        }
        settled
    }

    /// The balance of a key, also when another has taken its place; 0 when there is none.
    #[must_use]
    pub fn balance(&self, key: Option<&str>) -> Credits {
        let account = key.and_then(|key| self.gate.ledger().accounts.current(key));
        account.map_or(Credits::ZERO, |account| account.lock().credits)
    }

    /// Waits until a change is as durable as the books promise.
    ///
    /// # Errors
    /// It could not be written.
    pub(crate) async fn durable(&self, ticket: Ticket) -> Result<(), JournalError> {
        let ledger = self.gate.ledger();
        let journal = ledger.journal();
        match journal.durability() {
            Durability::Memory => return Ok(()),
            // With nobody to share a commit with, and no wait for a disk in it, writing it here takes less than
            // handing it to another thread.
            Durability::Process if self.in_flight.is_some_and(|calls| calls.count() <= 1) => {
                return ledger.wait(ticket);
            }
            Durability::Process | Durability::Power => {}
        }
        let (told, hears) = oneshot::channel();
        // Whoever has stopped waiting does not need to know.
        journal.when_durable(ticket, Box::new(move |written| drop(told.send(written))));
        hears.await.unwrap_or_else(|_| Err(JournalError("the journal was closed".into())))
    }
}
