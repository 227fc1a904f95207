//! Webhooks: what happened is posted to somebody's address, and what Stripe posts is turned into credits.
//!
//! - `emitter`: gathers events, posts them in batches, tries again
//! - `delivery`: one batch on its way, and the body it is posted with
//! - `post`: one attempt over HTTP, and why it failed
//! - `retry`: when the next attempt is due
//! - `dead_letter`: what was given up
//! - `signature`: how a receiver knows that a post is ours, and we that one is Stripe's
//! - `stripe`: payments that Stripe tells of

mod dead_letter;
mod delivery;
mod emitter;
mod post;
mod retry;
mod signature;
mod stripe;

pub use dead_letter::DeadLetter;
pub use delivery::WebhookEvent;
pub use emitter::{DeliveryStats, WebhookEmitter, WebhookParts, WebhookSettings};
pub use signature::{Secret, sign, verify};
pub use stripe::{Outcome, Refusal, StripeSettings, StripeWebhook};
