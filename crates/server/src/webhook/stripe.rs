//! Payments that Stripe tells of: the signature is checked, and what was paid for is granted once.

use std::sync::Arc;

use paygate_core::credits::Credits;
use paygate_core::journal::{JournalError, Payment, Ticket};
use paygate_core::key::record::{prefix, truthy};
use paygate_core::ledger::{Ledger, Paid, PaymentError, Written};
use paygate_core::text::number::{json_to_number, json_to_text, leading_integer};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::signature::{Secret, equal};

/// What stands before the id of an event in the record of payments.
const EVENT: &str = "event";

/// How Stripe is known, and what counts as paid.
#[derive(Debug, Clone)]
pub struct StripeSettings {
    /// The endpoint's signing secret.
    pub secret: Secret,
    /// How far the time in a signature may be from ours, either way. Default: 300.
    pub tolerance_seconds: f64,
    /// Whether a checkout that needed no payment grants its credits. Default: it does not.
    pub grant_free: bool,
}

impl StripeSettings {
    /// An endpoint's secret, with default settings.
    pub fn new(secret: &str) -> Self {
        Self { secret: Secret::new(secret), tolerance_seconds: 300.0, grant_free: false }
    }
}

/// What became of something that was posted in Stripe's name. Serialised as it is answered, the names in the order of
/// 2.9.0.
#[derive(Debug)]
pub enum Outcome {
    /// An event that is not about credits.
    Ignored {
        /// The event's type, as it was told.
        event: Value,
    },
    /// Credits were granted. Wait for the ticket before it is acknowledged.
    Granted {
        /// The event's type, as it was told.
        event: Value,
        /// The event's id, if it has one.
        event_id: Option<Box<str>>,
        /// The key that was paid for, as it was told.
        key: Box<str>,
        /// What was paid for.
        credits: Credits,
        /// The balance afterwards.
        balance: Credits,
        /// To wait on for the grant to be durable.
        ticket: Ticket,
    },
    /// The payment was granted before, durably.
    Repeated {
        /// The event's type, as it was told.
        event: Value,
    },
    /// There is no key to grant the payment to; it is kept until there is. Wait for the ticket before it is acknowledged.
    Parked {
        /// The event's id, if it has one.
        event_id: Option<Box<str>>,
        /// The key that was paid for, as it was told.
        key: Box<str>,
        /// What was paid for.
        credits: Credits,
        /// To wait on for the payment to be on record.
        ticket: Ticket,
    },
    /// Nothing was done, and telling it again will not change that.
    Refused(Refusal),
    /// Nothing was done, because the books could not be asked or written. Stripe tells it again when it is answered
    /// with an error.
    Failed(JournalError),
}

/// Why a post was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It is not signed by Stripe, or too long ago.
    #[error("Invalid signature")]
    Signature,
    /// The body is not JSON.
    #[error("Invalid JSON body")]
    Json,
    /// The body is no event.
    #[error("Malformed Stripe event")]
    Malformed,
    /// What is to be granted is no number of credits, or more than a balance can hold.
    #[error("Invalid credits value in metadata")]
    Credits,
    /// The checkout is not paid.
    #[error("Payment not completed: {status}")]
    Unpaid {
        /// What its payment status is.
        status: Box<str>,
    },
}

impl Outcome {
    /// What to wait on before the outcome is acknowledged.
    pub fn ticket(&self) -> Option<Ticket> {
        match self {
            Self::Granted { ticket, .. } | Self::Parked { ticket, .. } => Some(*ticket),
            Self::Ignored { .. } | Self::Repeated { .. } | Self::Refused(_) | Self::Failed(_) => None,
        }
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut members = to.serialize_map(None)?;
        match self {
            Self::Ignored { event } | Self::Repeated { event } => {
                members.serialize_entry("success", &true)?;
                members.serialize_entry("event", event)?;
            }
            Self::Granted { event, key, credits, .. } => {
                members.serialize_entry("success", &true)?;
                members.serialize_entry("event", event)?;
                members.serialize_entry("apiKey", &format_args!("{}...", prefix(key)))?;
                members.serialize_entry("creditsAdded", &credits.get())?;
            }
            Self::Parked { key, .. } => {
                members.serialize_entry("success", &false)?;
                let error = format_args!("API key not found or inactive: {}...", prefix(key));
                members.serialize_entry("error", &error)?;
                members.serialize_entry("parked", &true)?;
            }
            Self::Refused(refusal) => {
                members.serialize_entry("success", &false)?;
                members.serialize_entry("error", &format_args!("{refusal}"))?;
            }
            Self::Failed(error) => {
                members.serialize_entry("success", &false)?;
                members.serialize_entry("error", &format_args!("{error}"))?;
            }
        }
        members.end()
    }
}

/// An event, as far as it was read.
struct Event<'a> {
    /// The type, as it was told.
    kind: &'a Value,
    id: Option<&'a str>,
    object: &'a Value,
}

/// What an event asks for.
struct Order<'a> {
    key: Box<str>,
    credits: Credits,
    /// What stands before the id of the object that was paid.
    object_kind: &'a str,
}

/// Turns what Stripe tells into credits.
///
/// A payment is known by the id of its event and by that of its checkout session or invoice, and is granted once for
/// the life of the books, whatever Stripe tells how often. A rotated key's payment goes to its successor, an expired
/// key's is granted; with an unknown or revoked key it is kept for later, see [`Self::unmatched`]. Events without ids,
/// which Stripe does not send, cannot be told apart and are each granted, as in 2.9.0.
///
/// # Threads
/// Callable from any thread. Asking the books for a payment waits for the disk.
#[derive(Clone)]
pub struct StripeWebhook {
    ledger: Arc<Ledger>,
    settings: StripeSettings,
}

impl StripeWebhook {
    /// Credits go to the keys of a ledger.
    pub fn new(ledger: Arc<Ledger>, settings: StripeSettings) -> Self {
        Self { ledger, settings }
    }

    /// Handles one post: its body as it came, and its `Stripe-Signature` header.
    pub fn handle(&self, raw_body: &[u8], header: &str) -> Outcome {
        self.try_handle(raw_body, header).unwrap_or_else(Outcome::Refused)
    }

    /// Whether a header holds a signature of a body, by our secret and not too long ago.
    pub fn verify_signature(&self, raw_body: &[u8], header: &str) -> bool {
        if raw_body.is_empty() || header.is_empty() {
            return false;
        }
        let (mut timestamp, mut candidates) = ("", Vec::new());
        for part in header.split(',') {
            let mut pieces = part.split('=');
            match (pieces.next(), pieces.next()) {
                (Some("t"), given) => timestamp = given.unwrap_or_default(),
                (Some("v1"), Some(candidate)) => candidates.push(candidate),
                _ => {}
            }
        }
        let Some(signed_at) = leading_integer(timestamp) else { return false };
        #[expect(clippy::cast_precision_loss, reason = "seconds are far below 2^53")]
        let now = self.ledger.now().0.div_euclid(1000) as f64;
        if (now - signed_at).abs() > self.settings.tolerance_seconds {
            return false;
        }
        let expected = self.settings.secret.sign(&[timestamp.as_bytes(), b".", raw_body]);
        candidates.iter().any(|candidate| equal(&expected, candidate))
    }

    /// The id in the record of payments of what an event of that id tells of.
    pub(crate) fn event_name(event_id: &str) -> String {
        format!("{EVENT}:{event_id}")
    }

    /// The id of the event, if an id in the record of payments is that of one.
    pub(crate) fn event_of(name: &str) -> Option<&str> {
        name.strip_prefix(EVENT)?.strip_prefix(':')
    }

    /// Payments whose key is unknown or was revoked, in the order in which they came. They are granted when Stripe tells
    /// of them again and the key is there, or to the key that an admin names.
    ///
    /// # Errors
    /// The books cannot be read.
    pub fn unmatched(&self) -> Result<Vec<Payment>, JournalError> {
        self.ledger.unmatched_payments()
    }

    fn try_handle(&self, raw_body: &[u8], header: &str) -> Result<Outcome, Refusal> {
        if !self.verify_signature(raw_body, header) {
            return Err(Refusal::Signature);
        }
        let body: Value = serde_json::from_slice(raw_body).map_err(|_| Refusal::Json)?;
        let event = Event::read(&body).ok_or(Refusal::Malformed)?;
        let order = match event.kind.as_str() {
            Some("checkout.session.completed" | "checkout.session.async_payment_succeeded") => {
                self.checkout(event.object)?
            }
            Some("invoice.payment_succeeded") => invoice(event.object)?,
            _ => None,
        };
        Ok(match order {
            Some(order) => self.grant(&event, order)?,
            None => Outcome::Ignored { event: event.kind.clone() },
        })
    }

    fn checkout<'a>(&self, session: &Value) -> Result<Option<Order<'a>>, Refusal> {
        let Some(order) = Order::read(session.get("metadata"), "checkout")? else { return Ok(None) };
        let status = session.get("payment_status");
        match status.and_then(Value::as_str) {
            Some("paid") => Ok(Some(order)),
            Some("no_payment_required") if self.settings.grant_free => Ok(Some(order)),
            _ => {
                let status = status.map_or_else(|| "undefined".to_owned(), json_to_text);
                Err(Refusal::Unpaid { status: status.into() })
            }
        }
    }

    fn grant(&self, event: &Event<'_>, order: Order<'_>) -> Result<Outcome, Refusal> {
        let Order { key, credits, object_kind } = order;
        let object_id = event.object.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
        let ids = [(EVENT, event.id), (object_kind, object_id)];
        let ids = ids.into_iter().filter_map(|(kind, id)| Some(format!("{kind}:{}", id?).into()));
        let payment = Payment {
            at: self.ledger.now(),
            ids: ids.collect(),
            event: event.kind.as_str().unwrap_or_default().into(),
            key: key.clone(),
            credits,
        };
        let (event, event_id) = (event.kind.clone(), event.id.map(Into::into));
        match self.ledger.grant_once(payment) {
            Ok(Written { value: Paid::Granted { balance }, ticket }) => {
                Ok(Outcome::Granted { event, event_id, key, credits, balance, ticket })
            }
            Ok(Written { value: Paid::Repeated, .. }) => Ok(Outcome::Repeated { event }),
            Ok(Written { value: Paid::Parked, ticket }) => {
                Ok(Outcome::Parked { event_id, key, credits, ticket })
            }
            Err(PaymentError::Credits(_)) => Err(Refusal::Credits),
            Err(PaymentError::Journal(error)) => Ok(Outcome::Failed(error)),
        }
    }
}

impl<'a> Event<'a> {
    fn read(body: &'a Value) -> Option<Self> {
        let kind = body.get("type").filter(|kind| truthy(kind))?;
        let object = body.get("data")?.get("object").filter(|object| truthy(object))?;
        let id = body.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
        Some(Self { kind, id, object })
    }
}

impl<'a> Order<'a> {
    /// What metadata orders; `None` when it is not for us.
    fn read(metadata: Option<&Value>, object_kind: &'a str) -> Result<Option<Self>, Refusal> {
        let given = |name| metadata?.get(name).filter(|value| truthy(value));
        let (Some(key), Some(credits)) = (given("paygate_api_key"), given("paygate_credits")) else {
            return Ok(None);
        };
        let credits = Credits::floored(json_to_number(credits)).map_err(|_| Refusal::Credits)?;
        if credits == Credits::ZERO {
            return Err(Refusal::Credits);
        }
        Ok(Some(Self { key: json_to_text(key).into(), credits, object_kind }))
    }
}

/// What an invoice orders: its subscription's metadata says, or that of its first line. Newer versions of Stripe's API
/// have the subscription's under `parent`, which counts when it is about us.
fn invoice<'a>(invoice: &Value) -> Result<Option<Order<'a>>, Refusal> {
    let at = |path: &str| invoice.pointer(path).filter(|metadata| truthy(metadata));
    let parent = at("/parent/subscription_details/metadata").filter(|it| it.get("paygate_api_key").is_some());
    let metadata = at("/subscription_details/metadata").or(parent).or_else(|| at("/lines/data/0/metadata"));
    Order::read(metadata, "invoice")
}

#[cfg(test)]
mod tests;
