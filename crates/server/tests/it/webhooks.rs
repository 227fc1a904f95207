//! Events on their way to receivers of every kind.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use paygate_core::clock::{Clock, ManualClock, SystemClock, Timestamp};
use paygate_core::entropy::SeededEntropy;
use paygate_server::webhook::{
    DeliveryStats, Secret, WebhookEmitter, WebhookEvent, WebhookParts, WebhookSettings, verify,
};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

/// How long anything may take that is bound to happen.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// What a receiver does with a post.
#[derive(Clone)]
pub(crate) enum Manner {
    Answers(&'static str),
    HangsUp,
    /// Answers, once it is let, and counts those who wait.
    Waits(Arc<Semaphore>),
}

/// What was posted.
#[derive(Debug)]
pub(crate) struct Posted {
    head: String,
    body: String,
}

impl Posted {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let events = self.json()["events"].as_array().unwrap().clone();
        events.into_iter().map(|event| event["keyName"].as_str().unwrap().to_owned()).collect()
    }
}

/// Somebody who is told.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    posted: mpsc::UnboundedReceiver<Posted>,
}

impl Receiver {
    pub(crate) async fn new(manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, posted) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(receive(stream, manner.clone(), tell.clone()));
            }
        });
        Self { address, posted }
    }

    pub(crate) async fn next(&mut self) -> Posted {
        timeout(SOON, self.posted.recv()).await.expect("something is posted").unwrap()
    }

    /// What was posted and not looked at yet.
    pub(crate) fn try_next(&mut self) -> Result<Posted, TryRecvError> {
        self.posted.try_recv()
    }

    pub(crate) fn settings(&self) -> WebhookSettings {
        WebhookSettings { max_retries: 0, ..WebhookSettings::new(format!("http://{}/x?y=1#z", self.address)) }
    }
}

async fn receive(mut stream: TcpStream, manner: Manner, tell: mpsc::UnboundedSender<Posted>) {
    let mut read = Vec::new();
    loop {
        while !whole(&read) {
            if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let text = String::from_utf8(std::mem::take(&mut read)).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let _ = tell.send(Posted { head: head.to_owned(), body: body.to_owned() });
        let answer = match &manner {
            Manner::Answers(answer) => *answer,
            Manner::HangsUp => return,
            Manner::Waits(let_go) => {
                let_go.acquire().await.unwrap().forget();
                OK
            }
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn whole(read: &[u8]) -> bool {
    let text = String::from_utf8_lossy(read);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    length.is_none_or(|length: usize| body.len() >= length)
}

pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const REDIRECT: &str = "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n";
pub(crate) const BROKEN: &str = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";

fn emitter(settings: WebhookSettings) -> WebhookEmitter {
    emitter_with(settings, Arc::new(SystemClock))
}

fn emitter_with(settings: WebhookSettings, clock: Arc<dyn Clock>) -> WebhookEmitter {
    let entropy = Arc::new(SeededEntropy::new(7));
    WebhookEmitter::new(settings, WebhookParts { clock, entropy, runtime: Handle::current() })
}

fn usage(name: &str) -> WebhookEvent {
    let json = json!({"keyName": name, "creditsCharged": 1}).to_string();
    WebhookEvent::UsageJson(RawValue::from_string(json).unwrap())
}

/// Waits until deliveries are where they are to be.
async fn until(emitter: &WebhookEmitter, there: impl Fn(DeliveryStats) -> bool) -> DeliveryStats {
    let since = SystemClock.monotonic();
    while !there(emitter.stats()) {
        assert!(SystemClock.monotonic() - since < SOON, "{:?}", emitter.stats());
        tokio::task::yield_now().await;
    }
    emitter.stats()
}

fn last_error(emitter: &WebhookEmitter) -> String {
    emitter.dead_letters(0).1.last().unwrap().last_error.to_string()
}

#[tokio::test]
async fn a_full_batch_is_posted_at_once_and_the_rest_when_it_is_flushed() {
    let mut receiver = Receiver::new(Manner::Answers(OK)).await;
    let emitter = emitter(WebhookSettings { batch_size: 3, ..receiver.settings() });
    for name in ["a", "b", "c", "d", "e", "f", "g"] {
        emitter.emit(usage(name));
    }
    emitter.flush();
    emitter.flush();
    let mut posted =
        vec![receiver.next().await.names(), receiver.next().await.names(), receiver.next().await.names()];
    posted.sort();
    assert_eq!(posted, [vec!["a", "b", "c"], vec!["d", "e", "f"], vec!["g"]]);
    let stats = until(&emitter, |stats| stats.total_delivered == 3).await;
    assert_eq!((stats.total_failed, stats.pending_retries), (0, 0));
}

#[tokio::test]
async fn a_post_is_signed_and_says_what_it_is() {
    let mut receiver = Receiver::new(Manner::Answers(OK)).await;
    let secret = Secret::new("whsec");
    let settings = WebhookSettings { secret: Some(secret.clone()), ..receiver.settings() };
    let clock = Arc::new(ManualClock::at(Timestamp(1_709_123_456_789)));
    let emitter = emitter_with(settings, clock);
    emitter.emit(usage("ünï"));
    emitter.emit_admin("key.created", "admin", &Map::from_iter([("a".to_owned(), 1.into())]));
    emitter.flush();
    let posted = receiver.next().await;
    assert!(posted.head.starts_with("POST /x?y=1 HTTP/1.1\r\n"), "{}", posted.head);
    assert_eq!(posted.header("content-type"), Some("application/json"));
    assert_eq!(posted.header("content-length"), Some(&*posted.body.len().to_string()));
    assert_eq!(posted.header("user-agent"), Some("paygate-mcp-webhook/1.0"));
    assert_eq!(posted.header("x-paygate-retry"), None);
    let (at, hex) = posted.header("x-paygate-signature").unwrap().split_once(",v1=").unwrap();
    assert_eq!(at, "t=1709123456");
    assert!(verify(format!("1709123456.{}", posted.body).as_bytes(), hex, &secret));
    let id = posted.header("x-paygate-delivery").unwrap();
    let expected = json!({
        "sentAt": "2024-02-28T12:30:56.789Z",
        "deliveryId": id,
        "events": [{"keyName": "ünï", "creditsCharged": 1}],
        "adminEvents": [{"type": "key.created", "timestamp": "2024-02-28T12:30:56.789Z", "actor": "admin",
            "metadata": {"a": 1}}],
    });
    assert_eq!(posted.body, expected.to_string());
}

#[tokio::test]
async fn a_failed_delivery_is_tried_again_under_its_id_and_then_given_up() {
    let mut receiver = Receiver::new(Manner::Answers(BROKEN)).await;
    let clock = Arc::new(ManualClock::at(Timestamp(1_709_123_456_000)));
    let settings = WebhookSettings { max_retries: 2, ..receiver.settings() };
    let emitter = emitter_with(settings, clock.clone());
    emitter.emit(usage("a"));
    emitter.flush();
    let mut ids = Vec::new();
    for (attempt, pause) in [(0, 1), (1, 2), (2, 4)] {
        let posted = receiver.next().await;
        let retry = (attempt > 0).then(|| attempt.to_string());
        assert_eq!(posted.header("x-paygate-retry").map(str::to_owned), retry);
        ids.push(posted.json()["deliveryId"].clone());
        if attempt < 2 {
            until(&emitter, |stats| stats.pending_retries == 1).await;
            clock.advance(Duration::from_secs(pause) * 8 / 10);
            emitter.retry_due();
            assert_eq!(emitter.stats().pending_retries, 1, "not before its time");
            clock.advance(Duration::from_secs(pause) * 2 / 10);
            emitter.retry_due();
            assert_eq!(emitter.stats().pending_retries, 0);
        }
    }
    let stats = until(&emitter, |stats| stats.total_failed == 1).await;
    assert_eq!((stats.total_retries, stats.total_delivered, stats.pending_retries), (2, 0, 0));
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let (_, letters) = emitter.dead_letters(0);
    let expected = json!([{
        "events": [{"keyName": "a", "creditsCharged": 1}], "attempts": 2, "lastError": "HTTP 500",
        "firstAttempt": "2024-02-28T12:30:56.000Z", "lastAttempt": "2024-02-28T12:30:59.000Z",
        "url": format!("http://{}/x?y=1#z", receiver.address),
    }]);
    assert_eq!(json!(letters.iter().map(|letter| json!(&**letter)).collect::<Vec<_>>()), expected);
    assert_eq!((emitter.clear_dead_letters(), emitter.clear_dead_letters()), (1, 0));
    assert_eq!(emitter.stats().total_failed, 1);
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let mut receiver = Receiver::new(Manner::Answers(REDIRECT)).await;
    let emitter = emitter(receiver.settings());
    emitter.emit(usage("a"));
    emitter.flush();
    until(&emitter, |stats| stats.total_failed == 1).await;
    assert_eq!(last_error(&emitter), "HTTP 302");
    receiver.next().await;
    assert!(receiver.posted.try_recv().is_err());
}

#[tokio::test]
async fn failures_are_told_in_the_words_of_node() {
    let refused = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        listener.local_addr().unwrap()
    };
    let hangs_up = Receiver::new(Manner::HangsUp).await;
    for (url, error) in [
        (format!("http://{refused}/"), format!("connect ECONNREFUSED {refused}")),
        (format!("http://me:secret@{refused}/"), format!("connect ECONNREFUSED {refused}")),
        (format!("http://{}/", hangs_up.address), "socket hang up".to_owned()),
        ("nota url".to_owned(), "Invalid webhook URL".to_owned()),
        ("http://no-such-host.invalid/".to_owned(), "getaddrinfo ENOTFOUND no-such-host.invalid".to_owned()),
    ] {
        let emitter = emitter(WebhookSettings { max_retries: 0, ..WebhookSettings::new(url.clone()) });
        emitter.emit(usage("a"));
        emitter.flush();
        until(&emitter, |stats| stats.total_failed == 1).await;
        let told = last_error(&emitter);
        // Without a name server this machine cannot know that there is no such host.
        assert_eq!(told.replace("EAI_AGAIN", "ENOTFOUND"), error, "{url}");
    }
}

#[tokio::test]
async fn a_receiver_that_says_nothing_has_ten_seconds() {
    // Real seconds: sockets do not follow a clock that is stopped.
    let mut receiver = Receiver::new(Manner::Waits(Arc::new(Semaphore::new(0)))).await;
    let emitter = emitter(receiver.settings());
    emitter.emit(usage("a"));
    emitter.flush();
    receiver.next().await;
    assert!(emitter.busy());
    timeout(2 * SOON, emitter.idle()).await.unwrap();
    assert_eq!(last_error(&emitter), "Timeout (10s)");
    assert_eq!(emitter.stats().total_failed, 1, "once");
}

#[tokio::test]
async fn an_address_that_is_none_is_a_dead_letter_before_the_flush_returns() {
    let emitter = emitter(WebhookSettings::new("nota url".to_owned()));
    emitter.emit(usage("a"));
    emitter.flush();
    let stats = emitter.stats();
    assert_eq!((stats.dead_letter_count, stats.total_failed), (1, 1));
}

#[tokio::test]
async fn a_drain_posts_everything_and_waits_for_the_answers() {
    let let_go = Arc::new(Semaphore::new(0));
    let mut receiver = Receiver::new(Manner::Waits(let_go.clone())).await;
    let emitter = emitter(receiver.settings());
    for name in 0..25 {
        emitter.emit(usage(&name.to_string()));
    }
    assert!(!emitter.drain(Duration::from_millis(50)).await, "nobody has answered");
    let_go.add_permits(3);
    assert!(emitter.drain(SOON).await);
    assert_eq!(emitter.stats().total_delivered, 3);
    let mut names = Vec::new();
    for _ in 0..3 {
        names.extend(receiver.next().await.names());
    }
    assert_eq!(names.len(), 25);
}

#[tokio::test]
async fn timers_flush_and_retry_until_the_emitter_is_gone() {
    let mut receiver = Receiver::new(Manner::Answers(BROKEN)).await;
    let emitter = emitter(WebhookSettings {
        flush_interval: Duration::from_millis(20),
        base_delay: Duration::ZERO,
        max_retries: 1,
        ..receiver.settings()
    });
    emitter.start_timers();
    emitter.emit(usage("a"));
    assert_eq!(receiver.next().await.header("x-paygate-retry"), None);
    assert_eq!(receiver.next().await.header("x-paygate-retry"), Some("1"));
    until(&emitter, |stats| stats.total_failed == 1).await;
}

#[tokio::test]
async fn only_so_many_posts_are_under_way_and_only_so_many_events_wait() {
    let let_go = Arc::new(Semaphore::new(0));
    let mut receiver = Receiver::new(Manner::Waits(let_go.clone())).await;
    let emitter = emitter(WebhookSettings { batch_size: 2000, ..receiver.settings() });
    for name in 0..110_000 {
        emitter.emit(usage(&name.to_string()));
    }
    let stats = until(&emitter, |stats| stats.total_failed == 5).await;
    assert_eq!(stats.dead_letter_count, 5);
    assert_eq!(last_error(&emitter), "Too many events wait to be delivered");
    for _ in 0..32 {
        receiver.next().await;
    }
    assert!(timeout(Duration::from_millis(100), receiver.posted.recv()).await.is_err(), "the others wait");
    let_go.add_permits(50);
    until(&emitter, |stats| stats.total_delivered == 50).await;
    emitter.emit(usage("again"));
    emitter.flush();
    let_go.add_permits(1);
    until(&emitter, |stats| stats.total_delivered == 51).await;
}

#[tokio::test]
async fn the_oldest_dead_letters_are_forgotten() {
    let emitter =
        emitter(WebhookSettings { max_dead_letters: 3, ..WebhookSettings::new("nota url".to_owned()) });
    for name in ["a", "b", "c", "d", "e"] {
        emitter.emit(usage(name));
        emitter.flush();
    }
    let (first, letters) = emitter.dead_letters(0);
    assert_eq!((first, letters.len(), emitter.stats().total_failed), (2, 3, 5));
}
