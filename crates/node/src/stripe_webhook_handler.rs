//! `StripeWebhookHandler`: payments that Stripe tells of, for the keys of a store.

use std::sync::Arc;

use paygate_server::webhook::{Outcome, Secret, StripeSettings, StripeWebhook};

use crate::call::{Call, Failure, Value};
use crate::key_store::StoreHandle;

/// A handler as JavaScript holds it.
pub(crate) struct StripeHandle {
    stripe: StripeWebhook,
    store: Arc<StoreHandle>,
}

/// `stripeNew(store, secret, toleranceSeconds)`.
pub(crate) fn new(call: &Call<'_>) -> Value {
    let store = call.store().clone();
    let settings = StripeSettings {
        secret: Secret::new(&call.given(1)),
        tolerance_seconds: call.number(2),
        grant_free: false,
    };
    let stripe = StripeWebhook::new(store.books.ledger.clone(), settings);
    call.hold_any(StripeHandle { stripe, store })
}

/// `stripeVerify(handler, body, header)`.
pub(crate) fn verify(call: &Call<'_>) -> Value {
    let StripeHandle { stripe, .. } = call.the();
    call.boolean(stripe.verify_signature(call.given(1).as_bytes(), &call.given(2)))
}

/// `stripeHandle(handler, body, header)`: the outcome, once it is durable.
pub(crate) fn handle(call: &Call<'_>) -> Value {
    let StripeHandle { stripe, store } = call.the();
    let outcome = stripe.handle(call.given(1).as_bytes(), &call.given(2));
    let durable = match &outcome {
        Outcome::Failed(error) => Err(error.clone()),
        outcome => outcome.ticket().map_or(Ok(()), |ticket| store.books.ledger.wait(ticket)),
    };
    if durable.is_ok() && matches!(outcome, Outcome::Granted { .. }) {
        store.books.changed();
    }
    store.books.announce(call);
    match durable {
        Ok(()) => call.json_text(&outcome),
        // Stripe tells it again when it is answered with an error.
        Err(error) => call.fail(Failure::Other, error),
    }
}
