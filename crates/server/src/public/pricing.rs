//! `GET /pricing` and `GET /.well-known/mcp-payment`: what calls cost, and how to pay.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use paygate_core::gate::{PaymentMetadata, PriceDocument};
use tokio::time::timeout;

use crate::app::App;
use crate::http::request::Request;
use crate::http::respond::{self, Response};
use crate::http::route::{Access, Routes};

/// How long a caller waits for a backend that has just been started to tell its tools.
const DISCOVERY_TIME_MAX: Duration = Duration::from_secs(2);

pub(super) fn routes(routes: &mut Routes) {
    routes.at("/pricing", Access::Public).any(pricing);
    routes.at("/.well-known/mcp-payment", Access::Public).any(payment);
}

/// Tells the prices of all tools.
async fn pricing(app: Arc<App>, _request: Request) -> Response {
    let tools = known_tools(&app).await;
    let document = PriceDocument::new(&app.name, &app.gate.config(), app.oauth.is_some(), &tools);
    respond::pretty_json(StatusCode::OK, &document)
}

/// Tells what goes for the whole server; of its tools, how many were listed last, as 2.9.0 did.
async fn payment(app: Arc<App>, _request: Request) -> Response {
    let listed = app.news.tools_listed.read().len();
    let metadata = PaymentMetadata::new(&app.name, &app.gate.config(), app.oauth.is_some(), listed);
    respond::pretty_json(StatusCode::OK, &metadata)
}

/// The names of the backend's tools: those it told at the start, and those that it listed since.
async fn known_tools(app: &App) -> Vec<String> {
    // Whoever asks too early, or of a backend that does not answer, is told what is known.
    let _ = timeout(DISCOVERY_TIME_MAX, app.discovery.ended()).await;
    app.news.known_tools()
}
