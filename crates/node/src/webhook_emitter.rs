//! `WebhookEmitter`: events on their way. The shell runs the timers; posts go out on threads of the runtime.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use paygate_core::entropy::SystemEntropy;
use paygate_server::webhook::{
    DeadLetter, Secret, WebhookEmitter, WebhookEvent, WebhookParts, WebhookSettings, sign as signature_of,
    verify as verified,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::call::{Call, UNDEFINED, Value, slot};
use crate::host::HostClock;
use crate::runtime;

/// An emitter as JavaScript holds it: its own, or the one of a gate.
pub(crate) struct WebhookHandle(pub(crate) Arc<WebhookEmitter>);

/// What an emitter is made from, as the shell has checked it. A number is null when it is not finite.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GivenWebhook {
    url: String,
    secret: Option<String>,
    batch_size: Option<f64>,
    max_retries: Option<f64>,
    base_delay: Option<f64>,
    max_dead_letters: Option<f64>,
    extra_certificates: Option<PathBuf>,
}

impl GivenWebhook {
    /// An emitter whose timers the shell runs.
    pub(crate) fn emitter(self) -> WebhookEmitter {
        let settings = WebhookSettings {
            secret: self.secret.as_deref().map(Secret::new),
            batch_size: count(self.batch_size) as usize,
            max_retries: count(self.max_retries),
            base_delay: pause(self.base_delay),
            // None is no bound of the caller's.
            max_dead_letters: match self.max_dead_letters {
                Some(number) if number != 0.0 => count(Some(number)) as usize,
                _ => usize::MAX,
            },
            extra_certificates: self.extra_certificates,
            ..WebhookSettings::new(self.url)
        };
        let parts = WebhookParts {
            clock: Arc::new(HostClock),
            entropy: Arc::new(SystemEntropy),
            runtime: runtime::handle().clone(),
        };
        WebhookEmitter::new(settings, parts)
    }
}

/// The first whole number that is not below a number; the largest there is for what is not finite.
fn count(number: Option<f64>) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts stop at the bounds")]
    number.map_or(u32::MAX, |number| number.ceil() as u32)
}

/// A pause of so many milliseconds. One that is not finite never ends.
fn pause(milliseconds: Option<f64>) -> Duration {
    milliseconds.map_or(Duration::MAX, |number| {
        Duration::try_from_secs_f64(number.max(0.0) / 1000.0).unwrap_or(Duration::MAX)
    })
}

fn emitter<'a>(call: &'a Call<'_>) -> &'a WebhookEmitter {
    &call.the::<WebhookHandle>().0
}

/// `webhookNew(settings)`.
pub(crate) fn new(call: &Call<'_>) -> Value {
    let given = call.json::<GivenWebhook>(0).expect("always given");
    call.hold_any(WebhookHandle(Arc::new(given.emitter())))
}

/// `webhookEmit(emitter, event, admin)`: whether that filled a batch, which is on its way now.
pub(crate) fn emit(call: &Call<'_>) -> Value {
    let json = RawValue::from_string(call.given(1)).expect("the shell passes what `JSON.stringify` made");
    let event = if call.index(2) == 1 { WebhookEvent::Admin(json) } else { WebhookEvent::UsageJson(json) };
    call.boolean(emitter(call).emit(event))
}

/// `webhookFlush(emitter)`.
pub(crate) fn flush(call: &Call<'_>) -> Value {
    emitter(call).flush();
    UNDEFINED
}

/// `webhookRetry(emitter)`: tries again what is due.
pub(crate) fn retry(call: &Call<'_>) -> Value {
    emitter(call).retry_due();
    UNDEFINED
}

/// `webhookBusy(emitter)`: whether a post is under way.
pub(crate) fn busy(call: &Call<'_>) -> Value {
    call.boolean(emitter(call).busy())
}

/// `webhookIdle(emitter)`: a promise that no post is under way any more.
pub(crate) fn idle(call: &Call<'_>) -> Value {
    let idle = emitter(call).idle();
    call.promise(async move {
        idle.await;
        Ok(None)
    })
}

/// `webhookStats(emitter)`.
pub(crate) fn stats(call: &Call<'_>) -> Value {
    call.json_text(&emitter(call).stats())
}

/// `webhookDeadLetters(emitter, number)`: dead letters from a number on; `FIRST` is the number of the oldest that is
/// kept.
pub(crate) fn dead_letters(call: &Call<'_>) -> Value {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "letters are counted from 0 and are far fewer than 2^53"
    )]
    let (first, letters) = {
        let (first, letters) = emitter(call).dead_letters(call.number(1) as u64);
        (first as f64, letters)
    };
    call.set(slot::FIRST, first);
    let letters: Vec<&DeadLetter> = letters.iter().map(|letter| &**letter).collect();
    call.json_text(&letters)
}

/// `webhookClear(emitter)`: forgets the dead letters, and says how many there were.
pub(crate) fn clear(call: &Call<'_>) -> Value {
    call.place(Some(emitter(call).clear_dead_letters()))
}

/// `webhookSign(payload, secret)`.
pub(crate) fn sign(call: &Call<'_>) -> Value {
    call.string(&signature_of(call.given(0).as_bytes(), &Secret::new(&call.given(1))))
}

/// `webhookVerify(payload, signature, secret)`.
pub(crate) fn verify(call: &Call<'_>) -> Value {
    let secret = Secret::new(&call.given(2));
    call.boolean(verified(call.given(0).as_bytes(), &call.given(1), &secret))
}
