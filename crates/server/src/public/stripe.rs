//! `POST /stripe/webhook`: what Stripe tells of payments.

use std::sync::Arc;

use http::{HeaderName, StatusCode};
use paygate_core::journal::JournalError;
use paygate_store::Change;
use tokio::task::spawn_blocking;

use crate::app::App;
use crate::http::body::{self, BodyError};
use crate::http::request::{Request, header_text};
use crate::http::respond::{self, IntoResponse, Response};
use crate::http::route::{self, Access, Routes};
use crate::webhook::{Outcome, StripeWebhook};

const STRIPE_SIGNATURE: HeaderName = HeaderName::from_static("stripe-signature");

/// Why nothing that was posted was looked at, or kept.
enum StripeError {
    Body(BodyError),
    NoSignature,
    /// Stripe posts it again when it is answered with an error.
    NotDurable(JournalError),
}

impl IntoResponse for StripeError {
    fn into_response(self) -> Response {
        match self {
            Self::Body(error) => error.into_response(),
            Self::NoSignature => respond::error(StatusCode::BAD_REQUEST, "Missing Stripe-Signature header"),
            Self::NotDurable(error) => {
                tracing::error!(%error, "a payment could not be put on record; Stripe tells of it again");
                respond::error(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
            }
        }
    }
}

pub(crate) fn routes(routes: &mut Routes) {
    routes.at("/stripe/webhook", Access::Public).post(post);
}

async fn post(app: Arc<App>, request: Request) -> Response {
    match app.stripe.clone() {
        Some(stripe) => told(app, request, stripe).await.into_response(),
        None => {
            let refusal = respond::error(StatusCode::NOT_FOUND, "Stripe integration not configured");
            route::refuse(request, refusal).await
        }
    }
}

async fn told(app: Arc<App>, request: Request, stripe: StripeWebhook) -> Result<Response, StripeError> {
    let headers = &request.head.headers;
    let body = body::read(headers, request.body, &app.limits).await.map_err(StripeError::Body)?;
    let signature = header_text(headers, STRIPE_SIGNATURE).filter(|text| !text.is_empty());
    let signature = signature.ok_or(StripeError::NoSignature)?.into_owned();
    // The thread ends this whether or not Stripe waits for it, so that what was granted is on record.
    let handled = spawn_blocking(move || handle(&app, &stripe, &body, &signature)).await;
    let outcome = handled.expect("handling a payment cannot panic").map_err(StripeError::NotDurable)?;
    Ok(respond::json(status(&outcome), &outcome))
}

/// Does what a post asks for, tells it, and waits until it is durable.
fn handle(app: &App, stripe: &StripeWebhook, body: &[u8], signature: &str) -> Result<Outcome, JournalError> {
    let outcome = stripe.handle(body, signature);
    match &outcome {
        Outcome::Granted { event_id, key, credits, balance, .. } => {
            app.news.payment_granted("stripe", event_id.as_deref(), key, *credits, *balance);
        }
        Outcome::Parked { event_id, key, credits, .. } => {
            app.news.payment_parked(event_id.as_deref(), key, *credits);
        }
        Outcome::Failed(error) => return Err(error.clone()),
        Outcome::Ignored { .. } | Outcome::Repeated { .. } | Outcome::Refused(_) => {}
    }
    if let Some(ticket) = outcome.ticket() {
        app.ledger().wait(ticket)?;
        app.books.changed(Change::ByMutator);
    }
    Ok(outcome)
}

fn status(outcome: &Outcome) -> StatusCode {
    match outcome {
        Outcome::Ignored { .. }
        | Outcome::Granted { .. }
        | Outcome::Repeated { .. }
        // Stripe is to tell of it no more: it is kept here.
        | Outcome::Parked { .. } => StatusCode::OK,
        Outcome::Refused(_) => StatusCode::BAD_REQUEST,
        Outcome::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
