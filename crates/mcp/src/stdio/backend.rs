//! The surface of a backend: requests in, answers out.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::json;
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

use super::{
    BackendStatus, CallError, Inbound, StartError, StdioConfig,
    calls::{Answer, Calls},
    process,
    supervisor::supervise,
};
use crate::wire::{Outgoing, Reply, notification, splice::one_line};

/// A child process that serves requests, started again when it ends.
///
/// Every request gets an id of ours, so callers need not agree on theirs. While a child starts,
/// requests wait in the queue; while it is down for a pause they fail with [`CallError::Down`].
/// The end of a child fails all requests it has not answered, read or not: the error tells
/// which.
///
/// Dropping it stops the child like [`stop`](Self::stop), without waiting for the end.
pub struct StdioBackend {
    calls: Arc<Calls>,
    stop: watch::Sender<bool>,
    /// Closed when the supervisor has ended.
    ended: watch::Receiver<()>,
}

impl StdioBackend {
    /// Starts the child and returns once it runs; it may not serve requests yet.
    ///
    /// # Errors
    /// When the command cannot be started. A child that ends at once is no error here.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    pub async fn start(config: StdioConfig, inbound: Arc<dyn Inbound>) -> Result<Self, StartError> {
        let child = process::spawn(&config)
            .await
            .map_err(|source| StartError { command: config.command.clone(), source })?;
        let calls = Arc::new(Calls::new(config, inbound));
        let (stop, stop_receiver) = watch::channel(false);
        let (ended_sender, ended) = watch::channel(());
        let generation = calls.child_started(child.id());
        calls.inbound.started();
        let supervisor = supervise(calls.clone(), child, generation, stop_receiver);
        let supervised = calls.clone();
        tokio::spawn(async move {
            supervisor.await;
            supervised.finish();
            drop(ended_sender);
        });
        Ok(Self { calls, stop, ended })
    }

    /// Sends a request and waits for its answer, at most for the configured time.
    ///
    /// Dropping the future gives the request up and disturbs no other.
    ///
    /// # Errors
    /// When there is no answer; [`CallError::reached`] tells if the child may have read the
    /// request.
    pub async fn request(&self, request: Outgoing) -> Result<Reply, CallError> {
        self.begin(request)?.answer().await
    }

    /// Queues a request; its answer is waited for by the value returned, whose
    /// [`id`](PendingCall::id) is what the child knows the request by.
    ///
    /// # Errors
    /// When the request was not accepted; then the child never reads it.
    pub fn begin(&self, request: Outgoing) -> Result<PendingCall, CallError> {
        let (id, answer) = self.calls.push_request(request)?;
        Ok(PendingCall { id, answer, done: false, calls: self.calls.clone() })
    }

    /// Queues a message that expects no answer, as the child is to read it.
    ///
    /// # Errors
    /// When the message was not accepted; then the child never reads it.
    pub fn notify(&self, message: Bytes) -> Result<(), CallError> {
        self.calls.push_line(one_line(message))
    }

    /// The backend's condition at this moment.
    #[must_use]
    pub fn status(&self) -> BackendStatus {
        self.calls.status()
    }

    /// Stops the child: SIGTERM to it and all it started, SIGKILL after the configured grace.
    /// Resolves once it is reaped.
    ///
    /// Requests are refused from now on; those under way may still be answered until the child
    /// ends, so whoever wants their answers waits for them first.
    pub async fn stop(&self) {
        self.calls.close();
        self.stop.send_replace(true);
        // There is never a value; the error says that the supervisor has ended.
        let _ = self.ended.clone().changed().await;
    }
}

impl fmt::Debug for StdioBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdioBackend")
            .field("command", &self.calls.config.command)
            .field("status", &self.status())
            .finish()
    }
}

/// A request under way. Dropping it gives the request up.
pub struct PendingCall {
    id: u64,
    answer: oneshot::Receiver<Answer>,
    done: bool,
    calls: Arc<Calls>,
}

impl PendingCall {
    /// The id by which the child knows the request.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Waits for the answer. When the time is up and the child may have read the request, it is
    /// told by `notifications/cancelled`.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn answer(mut self) -> Result<Reply, CallError> {
        let after = self.calls.config.request_timeout;
        let answer = timeout(after, &mut self.answer).await;
        match answer {
            Ok(answer) => {
                self.done = true;
                answer.unwrap_or(Err(CallError::Stopped { reached: true }))
            }
            Err(_) => self.give_up(after),
        }
    }

    fn give_up(&mut self, after: Duration) -> Result<Reply, CallError> {
        self.done = true;
        let reached = self.calls.withdraw(self.id);
        // It may have been answered in the moment before.
        if let Ok(answer) = self.answer.try_recv() {
            return answer;
        }
        if reached {
            let params = json!({ "requestId": self.id, "reason": "Request timed out" });
            // If there is no room for it, the child has more urgent troubles.
            let _ = self.calls.push_line(notification("notifications/cancelled", &params));
        }
        Err(CallError::TimedOut { after, reached })
    }
}

impl fmt::Debug for PendingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingCall").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        if !self.done {
            self.calls.withdraw(self.id);
        }
    }
}
