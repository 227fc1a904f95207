//! Gathers events, posts them in batches, and tries again what a receiver did not take.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use paygate_core::clock::{Clock, Timestamp};
use paygate_core::entropy::{Entropy, random_name};
use paygate_core::usage::{EventSink, UsageEvent};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::dead_letter::{DeadLetter, DeadLetters};
use super::delivery::{Delivery, WebhookEvent};
use super::post::{Post, Receiver};
use super::retry::{RetryQueue, pause_after};
use super::signature::Secret;

/// How often deliveries that failed are looked at.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Attempts under way at a time; others wait for one of them to end.
const POSTS_MAX: usize = 32;
/// Events of deliveries that are under way or to be tried again. What comes beyond is given up at once.
const UNDELIVERED_EVENTS_MAX: usize = 100_000;
/// The most events of one delivery, whatever is asked for.
const BATCH_EVENTS_MAX: usize = 10_000;
/// The most dead letters that are kept, whatever is asked for.
const DEAD_LETTERS_MAX: usize = 10_000;

/// Where to, and how persistently.
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// The receiver's address. Text that is none makes every delivery a dead letter.
    pub url: String,
    /// Signs every post; unsigned without.
    pub secret: Option<Secret>,
    /// Events that are posted at once when so many have gathered: 1 to 10,000. Default: 10.
    pub batch_size: usize,
    /// How often events are posted that have not filled a batch, once [`WebhookEmitter::start_timers`] was called.
    /// Default: 5 s.
    pub flush_interval: Duration,
    /// Attempts after the first. Default: 5.
    pub max_retries: u32,
    /// The pause after the first attempt; each later one is twice as long. Default: 1 s.
    pub base_delay: Duration,
    /// Deliveries that were given up and are kept, at most 10,000. Default: 1000.
    pub max_dead_letters: usize,
    /// A file of certificates (PEM) that are trusted beside the usual ones. Default: none.
    pub extra_certificates: Option<PathBuf>,
}

impl WebhookSettings {
    /// A receiver, with default settings.
    pub fn new(url: String) -> Self {
        Self {
            url,
            secret: None,
            batch_size: 10,
            flush_interval: Duration::from_secs(5),
            max_retries: 5,
            base_delay: Duration::from_secs(1),
            max_dead_letters: 1000,
            extra_certificates: None,
        }
    }
}

/// What an emitter is built from.
pub struct WebhookParts {
    /// Tells when events are sent, and how long failures wait.
    pub clock: Arc<dyn Clock>,
    /// Names deliveries and spreads retries.
    pub entropy: Arc<dyn Entropy>,
    /// Where posts run.
    pub runtime: Handle,
}

/// What has become of deliveries so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryStats {
    /// Deliveries that wait to be tried again.
    pub pending_retries: usize,
    /// Dead letters that are kept.
    pub dead_letter_count: usize,
    /// Deliveries that a receiver has taken.
    pub total_delivered: u64,
    /// Deliveries that were given up.
    pub total_failed: u64,
    /// Attempts after the first.
    pub total_retries: u64,
}

/// Tells one receiver what happens.
///
/// Events gather in one buffer, whatever their kind. A batch is posted when it is full, and what is left over by
/// [`flush`](Self::flush). A delivery has an id that stays the same in all attempts, and each attempt ends once: taken
/// by a receiver that answers 2xx, or failed and tried again after a pause that doubles, or given up. Everything is
/// bounded and in memory.
///
/// # Threads
/// Callable from any thread, in or out of the runtime. Nothing waits for the network but [`drain`](Self::drain) and
/// [`idle`](Self::idle).
pub struct WebhookEmitter {
    shared: Arc<Shared>,
}

struct Shared {
    url: Box<str>,
    /// `None` when the address is none.
    receiver: Option<Receiver>,
    secret: Option<Secret>,
    batch_size: usize,
    flush_interval: Duration,
    max_retries: u32,
    base_delay: Duration,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    runtime: Handle,
    posts: Semaphore,
    /// Attempts that have not ended.
    under_way: watch::Sender<usize>,
    stopped: AtomicBool,
    state: Mutex<State>,
}

struct State {
    buffer: Vec<WebhookEvent>,
    /// Events of deliveries that are under way or wait to be tried again.
    undelivered_events: usize,
    retries: RetryQueue,
    dead_letters: DeadLetters,
    delivered: u64,
    failed: u64,
    retried: u64,
}

impl WebhookEmitter {
    /// An emitter whose buffer is empty. Its timers do not run.
    pub fn new(settings: WebhookSettings, parts: WebhookParts) -> Self {
        let state = State {
            buffer: Vec::new(),
            undelivered_events: 0,
            retries: RetryQueue::default(),
            dead_letters: DeadLetters::new(settings.max_dead_letters.min(DEAD_LETTERS_MAX)),
            delivered: 0,
            failed: 0,
            retried: 0,
        };
        let shared = Shared {
            receiver: Receiver::new(&settings.url, settings.extra_certificates),
            url: settings.url.into(),
            secret: settings.secret,
            batch_size: settings.batch_size.clamp(1, BATCH_EVENTS_MAX),
            flush_interval: settings.flush_interval,
            max_retries: settings.max_retries,
            base_delay: settings.base_delay,
            clock: parts.clock,
            entropy: parts.entropy,
            runtime: parts.runtime,
            posts: Semaphore::new(POSTS_MAX),
            under_way: watch::Sender::new(0),
            stopped: AtomicBool::new(false),
            state: Mutex::new(state),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Puts an event into the buffer. True when that filled a batch, which is on its way now.
    pub fn emit(&self, event: WebhookEvent) -> bool {
        let batch = {
            let mut state = self.shared.state.lock();
            state.buffer.push(event);
            if state.buffer.len() < self.shared.batch_size {
                return false;
            }
            state.take_batch(self.shared.batch_size)
        };
        self.shared.deliver(batch);
        true
    }

    /// As [`Self::emit`], of what an operator or the system did just now.
    pub fn emit_admin(&self, kind: &str, actor: &str, metadata: &Map<String, Value>) -> bool {
        self.emit(WebhookEvent::admin(kind, actor, metadata, self.shared.clock.wall()))
    }

    /// Posts the oldest events of the buffer, up to a batch. Nothing when there are none.
    pub fn flush(&self) {
        self.shared.flush();
    }

    /// Tries again what is due.
    pub fn retry_due(&self) {
        self.shared.retry_due();
    }

    /// Flushes and retries from now on, until the emitter is dropped or drained.
    pub fn start_timers(&self) {
        let Shared { runtime, flush_interval, .. } = &*self.shared;
        runtime.spawn(repeat(Arc::downgrade(&self.shared), *flush_interval, Shared::flush));
        runtime.spawn(repeat(Arc::downgrade(&self.shared), RETRY_INTERVAL, Shared::retry_due));
    }

    /// Ends the timers, posts the whole buffer, and waits until every attempt has ended, at most for a limit. True when
    /// all have. What failed is not tried again.
    pub async fn drain(&self, limit: Duration) -> bool {
        self.shared.stopped.store(true, Ordering::Release);
        while self.shared.flush() {}
        timeout(limit, self.idle()).await.is_ok()
    }

    /// Waits until no attempt is under way.
    pub fn idle(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut under_way = self.shared.under_way.subscribe();
        async move {
            // An error would say that the emitter is gone, and with it everything under way.
            let _ = under_way.wait_for(|count| *count == 0).await;
        }
    }

    /// Whether an attempt is under way.
    pub fn busy(&self) -> bool {
        *self.shared.under_way.borrow() > 0
    }

    /// Deliveries that were given up, oldest first, from a number on; they are counted from 0 since the emitter was made.
    /// With them comes the number of the oldest that is kept.
    pub fn dead_letters(&self, from: u64) -> (u64, Vec<Arc<DeadLetter>>) {
        self.shared.state.lock().dead_letters.from(from)
    }

    /// Attempts after the first.
    pub fn max_retries(&self) -> u32 {
        self.shared.max_retries
    }

    /// Forgets the dead letters, and says how many there were.
    pub fn clear_dead_letters(&self) -> usize {
        self.shared.state.lock().dead_letters.clear()
    }

    /// What has become of deliveries so far.
    pub fn stats(&self) -> DeliveryStats {
        let state = self.shared.state.lock();
        DeliveryStats {
            pending_retries: state.retries.len(),
            dead_letter_count: state.dead_letters.len(),
            total_delivered: state.delivered,
            total_failed: state.failed,
            total_retries: state.retried,
        }
    }
}

impl EventSink for WebhookEmitter {
    fn publish(&self, event: &UsageEvent) {
        self.emit(WebhookEvent::Usage(event.clone()));
    }
}

/// Does something again and again, as long as the emitter is there.
async fn repeat<T>(shared: Weak<Shared>, every: Duration, act: fn(&Arc<Shared>) -> T) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await; // the first comes at once
    loop {
        ticks.tick().await;
        match shared.upgrade() {
            Some(shared) if !shared.stopped.load(Ordering::Acquire) => act(&shared),
            _ => return,
        };
    }
}

impl State {
    fn take_batch(&mut self, batch_size: usize) -> Vec<WebhookEvent> {
        let count = self.buffer.len().min(batch_size);
        if count == self.buffer.len() {
            return std::mem::take(&mut self.buffer);
        }
        self.buffer.drain(..count).collect()
    }
}

impl Shared {
    /// Posts a batch of what is in the buffer. False when there is nothing.
    fn flush(self: &Arc<Self>) -> bool {
        let batch = self.state.lock().take_batch(self.batch_size);
        let some = !batch.is_empty();
        if some {
            self.deliver(batch);
        }
        some
    }

    fn deliver(self: &Arc<Self>, events: Vec<WebhookEvent>) {
        let now = self.clock.wall();
        let delivery = Delivery::new(random_name(&*self.entropy, "dlv_", 16).into(), events, now);
        if self.receiver.is_none() {
            return self.bury(delivery, "Invalid webhook URL", now);
        }
        let fits = {
            let mut state = self.state.lock();
            let events = state.undelivered_events + delivery.events.len();
            let fits = events <= UNDELIVERED_EVENTS_MAX;
            if fits {
                state.undelivered_events = events;
            }
            fits
        };
        if !fits {
            return self.bury(delivery, "Too many events wait to be delivered", now);
        }
        self.attempt(delivery, now);
    }

    fn retry_due(self: &Arc<Self>) {
        let due = {
            let mut state = self.state.lock();
            let due = state.retries.take_due(self.clock.monotonic());
            state.retried += due.len() as u64;
            due
        };
        let now = self.clock.wall();
        for delivery in due {
            self.attempt(delivery, now);
        }
    }

    /// Starts an attempt. `now` is when it was asked for.
    fn attempt(self: &Arc<Self>, delivery: Delivery, now: Timestamp) {
        let under_way = UnderWay::new(self.clone());
        self.runtime.spawn(async move {
            let shared = &under_way.0;
            let posted = shared.post(&delivery, now).await;
            shared.settle(delivery, posted);
        });
    }

    async fn post(&self, delivery: &Delivery, now: Timestamp) -> Result<(), String> {
        let (_turn, sent_at) = match self.posts.try_acquire() {
            Ok(turn) => (turn, now),
            Err(_) => {
                let turn = self.posts.acquire().await.expect("never closed");
                (turn, self.clock.wall())
            }
        };
        let body = delivery.body(sent_at);
        let signature = self.secret.as_ref().map(|secret| {
            let at = sent_at.0.div_euclid(1000).to_string();
            let hex = secret.sign(&[at.as_bytes(), b".", &body]);
            format!("t={at},v1={hex}")
        });
        let receiver = self.receiver.as_ref().expect("without one no attempt is made");
        let (delivery_id, attempt) = (delivery.id.clone(), delivery.attempt);
        receiver.post(Post { delivery_id, attempt, signature, body }).await
    }

    /// Notes how an attempt ended: once, for good or to be tried again.
    fn settle(&self, mut delivery: Delivery, posted: Result<(), String>) {
        let Err(error) = posted else {
            let mut state = self.state.lock();
            state.undelivered_events -= delivery.events.len();
            state.delivered += 1;
            return;
        };
        if delivery.attempt >= self.max_retries {
            self.state.lock().undelivered_events -= delivery.events.len();
            return self.bury(delivery, &error, self.clock.wall());
        }
        let pause = pause_after(delivery.attempt, self.base_delay, &*self.entropy);
        delivery.attempt += 1;
        tracing::debug!(delivery = %delivery.id, attempt = delivery.attempt, %error, "webhook is tried again");
        let due = self.clock.monotonic().saturating_add(pause);
        self.state.lock().retries.push(due, delivery);
    }

    fn bury(&self, delivery: Delivery, error: &str, now: Timestamp) {
        tracing::warn!(delivery = %delivery.id, attempts = delivery.attempt, %error, "webhook is given up");
        let letter = DeadLetter::new(delivery, error, now, self.url.clone());
        let mut state = self.state.lock();
        state.failed += 1;
        state.dead_letters.push(letter);
    }
}

/// An attempt that has not ended, also when its task is dropped.
struct UnderWay(Arc<Shared>);

impl UnderWay {
    fn new(shared: Arc<Shared>) -> Self {
        shared.under_way.send_modify(|count| *count += 1);
        Self(shared)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.send_modify(|count| *count -= 1);
    }
}
