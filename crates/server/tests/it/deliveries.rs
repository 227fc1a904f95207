//! What a server tells the receiver of webhooks, and what it tells of that.

use std::sync::Arc;
use std::time::Duration;

use paygate_core::clock::{Clock, SystemClock};
use paygate_server::webhook::WebhookSettings;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::gateway::Gateway;
use crate::webhooks::{BROKEN, Manner, OK, Posted, Receiver, SOON};

async fn start(settings: WebhookSettings) -> Gateway {
    Gateway::with(|config| config.webhook = Some(settings)).await
}

fn admin_events(posted: &Posted) -> Vec<Value> {
    posted.json()["adminEvents"].as_array().cloned().unwrap_or_default()
}

/// Everything that was posted by the end of a server.
async fn all_admin_events(gateway: Gateway, receiver: &mut Receiver) -> Vec<Value> {
    gateway.stop().await;
    let mut events = Vec::new();
    while let Ok(posted) = receiver.try_next() {
        events.extend(admin_events(&posted));
    }
    events
}

async fn until(gateway: &Gateway, path: &str, there: impl Fn(&Value) -> bool) -> Value {
    let since = SystemClock.monotonic();
    loop {
        let told = gateway.admin("GET", path, &json!({})).await.json();
        if there(&told) {
            return told;
        }
        assert!(SystemClock.monotonic() - since < SOON, "{told}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_receiver_there_is_nothing_to_tell() {
    let gateway = Gateway::start().await;
    let none = json!("No webhook configured");
    for (method, path, told) in [
        ("GET", "/webhooks/dead-letter", json!({ "deadLetters": [], "count": 0, "message": none })),
        ("DELETE", "/webhooks/dead-letter", json!({ "cleared": 0, "message": none })),
        ("GET", "/webhooks/stats", json!({ "configured": false, "message": none })),
    ] {
        let answer = gateway.admin(method, path, &json!({})).await;
        assert_eq!((answer.status, answer.body), (200, told.to_string()), "{method} {path}");
    }
    let wrong = gateway.admin("POST", "/webhooks/dead-letter", &json!({})).await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET, DELETE")));
    assert_eq!(gateway.send("POST", "/webhooks/stats", &[], "").await.status, 405);
    assert_eq!(gateway.get("/webhooks/stats", &[]).await.status, 401);
    assert!(gateway.news.audit.events().iter().all(|event| event.kind != "webhook.dead_letter_cleared"));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_does_not_take_is_listed_until_it_is_cleared() {
    let receiver = Receiver::new(Manner::Answers(BROKEN)).await;
    let gateway = start(WebhookSettings { batch_size: 1, ..receiver.settings() }).await;
    let key = gateway.key(5).await;
    gateway.call(&key, "echo", json!({})).await;
    let of_call = |letter: &Value| letter["events"][0]["tool"] == "echo";
    let listed = until(&gateway, "/webhooks/dead-letter", |told| {
        let letters = told["deadLetters"].as_array().unwrap();
        // One of the key that was made, and one of the call.
        letters.len() == 2 && letters.iter().any(of_call)
    })
    .await;
    let letters = listed["deadLetters"].as_array().unwrap();
    let letter = letters.iter().find(|letter| of_call(letter)).unwrap();
    let names: Vec<_> = letter.as_object().unwrap().keys().collect();
    assert_eq!(names, ["events", "attempts", "lastError", "firstAttempt", "lastAttempt", "url"]);
    assert_eq!((&letter["attempts"], &letter["lastError"]), (&json!(0), &json!("HTTP 500")));
    assert_eq!(letter["events"][0]["apiKey"], &key[..10]);
    let count = listed["count"].as_u64().unwrap();
    let stats = gateway.admin("GET", "/webhooks/stats", &json!({})).await;
    assert!(
        stats.body.starts_with(r#"{"configured":true,"maxRetries":0,"pendingRetries":0,"deadLetterCount":"#),
        "{}",
        stats.body
    );
    let told = stats.json();
    assert_eq!((&told["totalDelivered"], &told["totalRetries"]), (&json!(0), &json!(0)));
    assert_eq!(told["totalFailed"], count);

    let cleared = gateway.admin("DELETE", "/webhooks/dead-letter", &json!({})).await.json();
    let message = format!("Cleared {count} dead letter entries");
    assert_eq!(cleared, json!({ "cleared": count, "message": message }));
    let logged = gateway.news.audit.events();
    let logged = logged.iter().find(|event| event.kind == "webhook.dead_letter_cleared").unwrap();
    assert_eq!((&*logged.actor, &*logged.message), ("admin", &*message));
    assert_eq!(logged.metadata.get(), json!({ "cleared": count }).to_string());
    let empty = json!({ "deadLetters": [], "count": 0 });
    assert_eq!(gateway.admin("GET", "/webhooks/dead-letter", &json!({})).await.json(), empty);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_events_are_posted_before_a_server_ends() {
    let mut receiver = Receiver::new(Manner::Answers(OK)).await;
    let gateway = start(receiver.settings()).await;
    let key = gateway.key(5).await;
    gateway.call(&key, "echo", json!({})).await;
    let webhook = gateway.news.webhook.clone().unwrap();
    gateway.stop().await;
    assert_eq!(webhook.stats().total_delivered, 1);
    assert_eq!(receiver.next().await.json()["events"][0]["tool"], "echo");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_does_not_answer_holds_the_end_up_for_so_long_only() {
    let mut receiver = Receiver::new(Manner::Waits(Arc::new(Semaphore::new(0)))).await;
    let gateway = start(receiver.settings()).await;
    let key = gateway.key(5).await;
    gateway.call(&key, "echo", json!({})).await;
    let since = SystemClock.monotonic();
    gateway.server.graceful_stop(Duration::from_millis(50)).await;
    assert!(SystemClock.monotonic() - since < SOON);
    receiver.next().await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_a_team_is_told() {
    let mut receiver = Receiver::new(Manner::Answers(OK)).await;
    let gateway = start(receiver.settings()).await;
    let key = gateway.key(5).await;
    let made = gateway.admin("POST", "/teams", &json!({ "name": "a", "budget": 5 })).await.json();
    let id = made["team"]["id"].clone();
    let member = json!({ "teamId": id, "key": key });
    for (path, body) in [
        ("/teams/update", json!({ "teamId": id })),
        ("/teams/assign", member.clone()),
        ("/teams/remove", member),
        ("/teams/delete", json!({ "teamId": id })),
    ] {
        assert_eq!(gateway.admin("POST", path, &body).await.status, 200, "{path}");
    }
    let events = all_admin_events(gateway, &mut receiver).await;
    let told: Vec<_> = events
        .iter()
        .filter(|event| event["type"].as_str().unwrap().starts_with("team."))
        .map(|event| (event["type"].as_str().unwrap(), event["actor"].clone(), event["metadata"].clone()))
        .collect();
    let masked = format!("{}...{}", &key[..7], &key[key.len() - 4..]);
    let admin = json!("admin");
    assert_eq!(
        told,
        [
            ("team.created", admin.clone(), json!({ "teamId": id, "teamName": "a", "budget": 5 })),
            ("team.updated", admin.clone(), json!({ "teamId": id })),
            ("team.key_assigned", admin.clone(), json!({ "teamId": id, "keyMasked": masked })),
            ("team.key_removed", admin.clone(), json!({ "teamId": id, "keyMasked": masked })),
            ("team.deleted", admin, json!({ "teamId": id })),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_passes_its_end_is_told_of_once() {
    let mut receiver = Receiver::new(Manner::Answers(OK)).await;
    let gateway = start(WebhookSettings { batch_size: 1, ..receiver.settings() }).await;
    let key = gateway.key_with(json!({ "name": "short", "expiresIn": 1.5 })).await;
    let expired = loop {
        let posted = receiver.next().await;
        if let Some(event) = admin_events(&posted).into_iter().find(|event| event["type"] == "key.expired") {
            break event;
        }
    };
    let told = &expired["metadata"];
    let masked = format!("{}...{}", &key[..7], &key[key.len() - 4..]);
    assert_eq!(
        (&expired["actor"], told),
        (&json!("system"), &json!({ "keyMasked": masked, "name": "short", "expiresAt": told["expiresAt"] }))
    );
    let events = all_admin_events(gateway, &mut receiver).await;
    assert!(events.iter().all(|event| event["type"] != "key.expired"), "{events:?}");
}
