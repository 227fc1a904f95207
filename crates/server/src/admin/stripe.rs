//! `/stripe/unmatched`: payments whose key is not there, and whom they are given to instead.

use std::sync::Arc;

use http::StatusCode;
use paygate_core::clock::Timestamp;
use paygate_core::credits::Credits;
use paygate_core::journal::Payment;
use paygate_core::ledger::{Paid, PaymentError};
use paygate_core::usage::audit::mask_key;
use paygate_store::Change;
use serde::{Serialize, Serializer};
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::error::AdminError;
use crate::app::App;
use crate::http::request::Request;
use crate::http::respond::{self, Response};
use crate::http::route::{Access, Routes};
use crate::webhook::StripeWebhook;

pub(crate) fn routes(routes: &mut Routes) {
    routes.at("/stripe/unmatched", Access::AdminAfterMethod).get(list).post(assign);
}

#[derive(Serialize)]
struct Listed {
    payments: Vec<Unmatched>,
    count: usize,
}

/// A payment without a key, as it is told.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Unmatched {
    event_id: Option<Box<str>>,
    event: Box<str>,
    key_masked: String,
    credits: u64,
    #[serde(serialize_with = "as_text")]
    received_at: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Assigned {
    message: &'static str,
    credits_added: u64,
    credits: u64,
}

fn as_text<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(at)
}

impl From<Payment> for Unmatched {
    fn from(payment: Payment) -> Self {
        Self {
            event_id: payment.ids.iter().find_map(|id| StripeWebhook::event_of(id)).map(Into::into),
            key_masked: mask_key(&payment.key),
            credits: payment.credits.get(),
            received_at: payment.at,
            event: payment.event,
        }
    }
}

/// `GET /stripe/unmatched`: lists the payments, oldest first.
async fn list(app: Arc<App>, _request: Request) -> Result<Response, AdminError> {
    let ledger = app.ledger().clone();
    let parked = spawn_blocking(move || ledger.unmatched_payments()).await.expect(READS);
    let payments: Vec<Unmatched> =
        parked.map_err(AdminError::Payments)?.into_iter().map(Into::into).collect();
    Ok(respond::json(StatusCode::OK, &Listed { count: payments.len(), payments }))
}

const READS: &str = "reading and granting payments cannot panic";

/// `POST /stripe/unmatched`: gives a payment to a key.
async fn assign(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let body = request.into_object(&app).await?;
    let given = |name| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (Some(event_id), Some(key)) = (given("eventId"), given("key")) else {
        return Err(AdminError::Missing("Missing eventId or key"));
    };
    let (event_id, key) = (event_id.to_owned(), key.to_owned());
    let granting = app.clone();
    // The thread ends this whether or not the admin waits for it, so that what was granted is on record.
    let granted = spawn_blocking(move || grant(&granting, &event_id, &key)).await.expect(READS)?;
    Ok(respond::json(StatusCode::OK, &granted))
}

/// Grants a payment to a key and waits until that is durable.
fn grant(app: &App, event_id: &str, key: &str) -> Result<Assigned, AdminError> {
    let assigned = app.ledger().assign_payment(&StripeWebhook::event_name(event_id), key);
    let assigned = assigned.map_err(|error| match error {
        PaymentError::Credits(error) => AdminError::Credits(error),
        PaymentError::Journal(error) => AdminError::Payments(error),
    })?;
    let (payment, written) = assigned.ok_or(AdminError::PaymentNotThere)?;
    let balance = match written.value {
        Paid::Granted { balance } => balance,
        Paid::Parked => return Err(AdminError::KeyNotUsable),
        Paid::Repeated => return Err(AdminError::PaymentNotThere),
    };
    app.news.payment_granted("admin", Some(event_id), key, payment.credits, balance);
    app.ledger().wait(written.ticket)?;
    app.books.changed(Change::ByMutator);
    let Payment { credits, .. } = payment;
    Ok(told(credits, balance))
}

fn told(added: Credits, balance: Credits) -> Assigned {
    Assigned { message: "Payment granted", credits_added: added.get(), credits: balance.get() }
}
