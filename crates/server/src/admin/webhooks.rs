//! `/webhooks`: how the receiver of events takes them, and what it did not take.

use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;

use crate::app::App;
use crate::http::request::Request;
use crate::http::respond::{self, Response};
use crate::http::route::{Access, Routes};
use crate::webhook::{DeadLetter, DeliveryStats};

/// What is told where there is no receiver.
const NONE: &str = "No webhook configured";

pub(crate) fn routes(routes: &mut Routes) {
    routes.at("/webhooks/dead-letter", Access::AdminBeforeMethod).get(dead_letters).delete(clear);
    routes.at("/webhooks/stats", Access::AdminAfterMethod).get(stats);
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Letters<'a> {
    dead_letters: Vec<&'a DeadLetter>,
    count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
}

#[derive(Serialize)]
struct Cleared {
    cleared: usize,
    message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    configured: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_retries: Option<u32>,
    #[serde(flatten)]
    stats: Option<DeliveryStats>,
}

/// `GET /webhooks/dead-letter`: the deliveries that were given up.
async fn dead_letters(app: Arc<App>, _request: Request) -> Response {
    let webhook = app.news.webhook.as_deref();
    let letters = webhook.map(|webhook| webhook.dead_letters(0).1).unwrap_or_default();
    let told = Letters {
        count: letters.len(),
        dead_letters: letters.iter().map(|letter| &**letter).collect(),
        message: webhook.is_none().then_some(NONE),
    };
    respond::json(StatusCode::OK, &told)
}

/// `DELETE /webhooks/dead-letter`: forgets them.
async fn clear(app: Arc<App>, _request: Request) -> Response {
    let Some(webhook) = &app.news.webhook else {
        return respond::json(StatusCode::OK, &Cleared { cleared: 0, message: NONE.to_owned() });
    };
    let cleared = webhook.clear_dead_letters();
    app.news.dead_letters_cleared(cleared);
    let message = format!("Cleared {cleared} dead letter entries");
    respond::json(StatusCode::OK, &Cleared { cleared, message })
}

/// `GET /webhooks/stats`: what has become of deliveries so far.
async fn stats(app: Arc<App>, _request: Request) -> Response {
    let webhook = app.news.webhook.as_deref();
    let told = Stats {
        configured: webhook.is_some(),
        message: webhook.is_none().then_some(NONE),
        max_retries: webhook.map(|webhook| webhook.max_retries()),
        stats: webhook.map(|webhook| webhook.stats()),
    };
    respond::json(StatusCode::OK, &told)
}
