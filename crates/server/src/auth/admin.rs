//! The admin key, and those who try to guess it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use http::header::HeaderName;
use paygate_core::clock::Timestamp;
use paygate_core::key::address::CompiledAllowlist;
use paygate_core::ledger::Ledger;
use paygate_core::limit::rate_limiter::RateLimiter;
use subtle::ConstantTimeEq;
use tokio::time::sleep;

use crate::http::client_address::client_address;
use crate::http::request::{Request, header_text};
use crate::http::respond::{self, IntoResponse, Response};

const X_ADMIN_KEY: HeaderName = HeaderName::from_static("x-admin-key");

/// Failures a minute of one address from which on each is answered late.
const FAILURES_PROMPT: u64 = 20;
/// Failures a minute of one address from which on it is told to wait.
const FAILURES_HEARD: u64 = 50;
const DELAY: Duration = Duration::from_millis(250);
/// Addresses whose failures are long past are forgotten once in so many failures.
const FAILURES_SWEPT: u64 = 1024;

/// Asks for the admin key.
pub(crate) struct AdminGuard {
    key: String,
    /// Failures of the last minute, by address.
    failures: RateLimiter,
    /// Failures of all addresses.
    failures_noted: AtomicU64,
    proxies: CompiledAllowlist,
    ledger: Arc<Ledger>,
}

/// Why somebody is not taken for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AdminRefusal {
    WrongKey,
    TooManyFailures,
}

impl IntoResponse for AdminRefusal {
    fn into_response(self) -> Response {
        match self {
            Self::WrongKey => respond::error(StatusCode::UNAUTHORIZED, "Invalid admin key"),
            Self::TooManyFailures => respond::error(
                StatusCode::TOO_MANY_REQUESTS,
                "Too many failed attempts, try again in a minute",
            ),
        }
    }
}

impl AdminGuard {
    pub(crate) fn new(key: String, proxies: CompiledAllowlist, ledger: Arc<Ledger>) -> Self {
        Self { key, failures: RateLimiter::default(), failures_noted: AtomicU64::new(0), proxies, ledger }
    }

    /// Lets the right key pass, always and at once; of an address that shows wrong ones more and more is held back.
    pub(crate) async fn admit(&self, request: &Request) -> Result<(), AdminRefusal> {
        let shown = header_text(&request.head.headers, X_ADMIN_KEY).unwrap_or_default();
        if bool::from(shown.as_bytes().ct_eq(self.key.as_bytes())) {
            return Ok(());
        }
        let address = client_address(&request.peer, &request.head.headers, &self.proxies);
        let failures = self.note_failure(&address, self.ledger.now());
        tracing::warn!(%address, path = request.head.uri.path(), "wrong admin key");
        if failures >= FAILURES_HEARD {
            return Err(AdminRefusal::TooManyFailures);
        }
        if failures >= FAILURES_PROMPT {
            sleep(DELAY).await;
        }
        Err(AdminRefusal::WrongKey)
    }

    /// Counts a failure and gives those of the last minute.
    fn note_failure(&self, address: &str, now: Timestamp) -> u64 {
        let failures = self.failures.record(address, now);
        if self.failures_noted.fetch_add(1, Ordering::Relaxed).is_multiple_of(FAILURES_SWEPT) {
            self.failures.sweep(now);
        }
        failures
    }
}
