//! The surface of a remote server: requests in, answers out.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use parking_lot::Mutex;
use reqwest::{Client, RequestBuilder, Response, redirect};
use tokio::sync::watch;
use tokio::time::timeout;

use super::answer::read_answer;
use super::{HttpConfig, HttpError, tls_config};
use crate::wire::{Outgoing, Reply};

const MCP_SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const JSON_OR_EVENTS: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

/// What is left of the time for an answer when connecting has failed, so that the two can be told apart.
const CONNECTING_SHARE: f64 = 0.95;

/// A remote server that is sent each message by a POST of its own.
///
/// Every request gets an id of ours, so callers need not agree on theirs. Nothing of the callers but their messages
/// is passed on: no keys, no headers. The session that the server begins is carried along for all of them. Redirects
/// and proxies of the environment are not followed.
pub struct HttpBackend {
    config: HttpConfig,
    client: Client,
    session: Mutex<Option<HeaderValue>>,
    id_next: AtomicU64,
    pending: AtomicUsize,
    phase: watch::Sender<Phase>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Phase {
    Running,
    /// No new messages are sent; those under way may still be answered.
    Stopped,
    /// Nothing is waited for any more.
    GivenUp,
}

impl HttpBackend {
    /// A remote server. It is not contacted before the first message.
    ///
    /// # Panics
    /// Never: TLS is set up from parts that are built in.
    #[must_use]
    pub fn new(config: HttpConfig) -> Self {
        let client = Client::builder()
            .tls_backend_preconfigured(tls_config(config.extra_certificates.as_deref()))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(config.idle_time_max.mul_f64(CONNECTING_SHARE))
            .build()
            .expect("TLS is set up from parts that are built in");
        Self {
            id_next: AtomicU64::new(config.id_first),
            config,
            client,
            session: Mutex::new(None),
            pending: AtomicUsize::new(0),
            phase: watch::Sender::new(Phase::Running),
        }
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// When there is no answer; [`HttpError::reached`] tells if the server may have read the request.
    pub async fn request(&self, request: Outgoing) -> Result<Reply, HttpError> {
        self.begin(request)?.answer().await
    }

    /// Gives a request its id. It is sent once its answer is waited for, by the value returned.
    ///
    /// # Errors
    /// [`HttpError::Stopped`]; then the server never reads it.
    pub fn begin(&self, request: Outgoing) -> Result<PendingPost<'_>, HttpError> {
        if *self.phase.borrow() != Phase::Running {
            return Err(HttpError::Stopped { reached: false });
        }
        self.pending.fetch_add(1, Ordering::Relaxed);
        Ok(PendingPost { id: self.id_next.fetch_add(1, Ordering::Relaxed), request, backend: self })
    }

    /// Sends a message that expects no answer, and returns when the server has taken it, or has not.
    ///
    /// # Errors
    /// When it could not be sent. What the server says to it is no error.
    pub async fn notify(&self, message: Bytes) -> Result<(), HttpError> {
        if *self.phase.borrow() != Phase::Running {
            return Err(HttpError::Stopped { reached: false });
        }
        self.send(self.post(message, self.session())).await.map(drop)
    }

    /// How many requests have no answer yet.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// Whether messages are sent.
    #[must_use]
    pub fn is_running(&self) -> bool {
        *self.phase.borrow() == Phase::Running
    }

    /// Sends no more messages and ends the session, for which the server has a few seconds. Requests under way may
    /// still be answered, until they are given up.
    pub async fn stop(&self) {
        self.advance(Phase::Stopped);
        let Some(session) = self.session.lock().take() else { return };
        let mut url = self.config.url.clone();
        url.set_query(None);
        let ending = self.client.delete(url).header(MCP_SESSION_ID, session).send();
        // A server that does not hear of it ends the session by itself.
        let _ = timeout(self.config.stop_grace, ending).await;
    }

    /// Ends all requests that are still under way.
    pub fn give_up(&self) {
        self.advance(Phase::GivenUp);
    }

    fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let later = *phase < to;
            if later {
                *phase = to;
            }
            later
        });
    }

    fn session(&self) -> Option<HeaderValue> {
        self.session.lock().clone()
    }

    fn post(&self, body: impl Into<reqwest::Body>, session: Option<HeaderValue>) -> RequestBuilder {
        let request = self.client.request(Method::POST, self.config.url.clone());
        let request = request.header(header::CONTENT_TYPE, JSON).header(header::ACCEPT, JSON_OR_EVENTS);
        let request = match session {
            Some(session) => request.header(MCP_SESSION_ID, session),
            None => request,
        };
        request.body(body)
    }

    /// Sends a request and waits for the head of its response.
    async fn send(&self, request: RequestBuilder) -> Result<Response, HttpError> {
        let after = self.config.idle_time_max;
        match timeout(after, request.send()).await {
            Ok(sent) => sent.map_err(|error| HttpError::of_connection(error, after)),
            Err(_) => Err(HttpError::TimedOut { after, reached: true }),
        }
    }

    async fn exchange(&self, id: u64, request: &Outgoing) -> Result<Reply, HttpError> {
        let mut body = Vec::new();
        request.write_line(&id.to_string(), &mut body);
        body.pop();
        let session = self.session().filter(|_| !request.begins_session());
        let response = self.send(self.post(body, session.clone())).await?;
        self.follow_session(&response, session);
        read_answer(response, id, &self.config).await
    }

    /// Keeps the session that a response begins, and forgets the one that the server has forgotten.
    fn follow_session(&self, response: &Response, sent: Option<HeaderValue>) {
        if response.status() == StatusCode::NOT_FOUND && sent.is_some() {
            let mut session = self.session.lock();
            if *session == sent {
                *session = None;
            }
        } else if response.status().as_u16() < 400
            && let Some(begun) = response.headers().get(MCP_SESSION_ID)
        {
            *self.session.lock() = Some(begun.clone());
        }
    }
}

impl fmt::Debug for HttpBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address may hold secrets in its query.
        f.debug_struct("HttpBackend").field("host", &self.config.url.host_str()).finish_non_exhaustive()
    }
}

/// A request that has its id. Dropping it gives the request up.
pub struct PendingPost<'a> {
    id: u64,
    request: Outgoing,
    backend: &'a HttpBackend,
}

impl PendingPost<'_> {
    /// The id by which the server knows the request.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Sends the request and waits for its answer.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn answer(self) -> Result<Reply, HttpError> {
        let backend = self.backend;
        let after = backend.config.total_time_max;
        let mut phase = backend.phase.subscribe();
        tokio::select! {
            answer = timeout(after, backend.exchange(self.id, &self.request)) => {
                answer.unwrap_or(Err(HttpError::TimedOut { after, reached: true }))
            }
            // The sender lives as long as the backend.
            _ = phase.wait_for(|phase| *phase == Phase::GivenUp) => Err(HttpError::Stopped { reached: true }),
        }
    }
}

impl fmt::Debug for PendingPost<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingPost").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Drop for PendingPost<'_> {
    fn drop(&mut self) {
        self.backend.pending.fetch_sub(1, Ordering::Relaxed);
    }
}
