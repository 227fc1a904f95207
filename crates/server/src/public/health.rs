//! `GET /health`: whether to send calls here, and how the parts are doing.

use std::sync::Arc;

use http::StatusCode;
use paygate_core::journal::Durability;
use serde::Serialize;

use crate::app::App;
use crate::backend::backend::state_name;
use crate::config::VERSION;
use crate::http::request::Request;
use crate::http::respond::{self, Response};
use crate::http::route::{Access, Routes};
use crate::webhook::{DeliveryStats, WebhookEmitter};

#[derive(Serialize)]
struct Health {
    status: &'static str,
    uptime: u64,
    version: &'static str,
    inflight: usize,
    /// Only where somebody is told what happens.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhooks: Option<WebhooksHealth>,
    backend: BackendHealth,
    store: StoreHealth,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WebhooksHealth {
    pending_retries: usize,
    dead_letter_count: usize,
}

#[derive(Serialize)]
struct BackendHealth {
    state: &'static str,
    restarts: u64,
    pending: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StoreHealth {
    durability: &'static str,
    failed_commits: u64,
    queued: usize,
    /// Why the latest commit failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
}

pub(crate) fn routes(routes: &mut Routes) {
    routes.at("/health", Access::Public).get(health);
}

async fn health(app: Arc<App>, _request: Request) -> Response {
    let (code, status) = match app.draining() {
        true => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        false => (StatusCode::OK, "healthy"),
    };
    let (backend, store) = (app.backend.status(), app.books.health());
    let health = Health {
        status,
        uptime: app.uptime().as_secs(),
        version: VERSION,
        inflight: app.in_flight.count(),
        webhooks: app.news.webhook.as_deref().map(webhooks_health),
        backend: BackendHealth {
            state: state_name(backend.state),
            restarts: backend.restarts,
            pending: backend.pending,
        },
        store: StoreHealth {
            durability: durability_name(app.ledger().journal().durability()),
            failed_commits: store.failed_commits,
            queued: store.queued,
            last_error: store.last_error,
        },
    };
    respond::json(code, &health)
}

fn webhooks_health(webhook: &WebhookEmitter) -> WebhooksHealth {
    let DeliveryStats { pending_retries, dead_letter_count, .. } = webhook.stats();
    WebhooksHealth { pending_retries, dead_letter_count }
}

fn durability_name(durability: Durability) -> &'static str {
    match durability {
        Durability::Memory => "memory",
        Durability::Process => "process",
        Durability::Power => "power",
    }
}
