//! What Stripe tells, and payments without a key.

use std::sync::Arc;

use paygate_core::clock::{Clock, SystemClock};
use paygate_server::webhook::{Secret, StripeSettings, sign};
use paygate_store::{OpenOptions, StateFile};
use serde_json::{Value, json};

use crate::gateway::{Answer, Gateway, in_memory};

const SECRET: &str = "whsec_of_the_tests";

async fn start(books: Arc<StateFile>) -> Gateway {
    Gateway::on(books, |config| config.stripe = Some(StripeSettings::new(SECRET))).await
}

fn checkout(id: &str, key: &str, credits: &str) -> String {
    json!({
        "id": id, "type": "checkout.session.completed",
        "data": { "object": { "payment_status": "paid", "note": "für 🎉",
            "metadata": { "paygate_api_key": key, "paygate_credits": credits } } },
    })
    .to_string()
}

/// Posts what Stripe would.
async fn tell(gateway: &Gateway, body: &str) -> Answer {
    let at = SystemClock.wall().0 / 1000;
    let signature = sign(format!("{at}.{body}").as_bytes(), &Secret::new(SECRET));
    let header = format!("t={at},v1={signature}");
    gateway.send("POST", "/stripe/webhook", &[("Stripe-Signature", &header)], body).await
}

/// The events of the log of some type, without their times.
fn logged(gateway: &Gateway, kind: &str) -> Vec<Value> {
    let events = gateway.news.audit.events();
    let events = events.iter().map(|event| json!(&**event)).filter(|event| event["type"] == kind);
    events
        .map(|event| json!({ "actor": event["actor"], "message": event["message"], "of": event["metadata"] }))
        .collect()
}

fn masked(key: &str) -> String {
    format!("{}...{}", &key[..7], &key[key.len() - 4..])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_granted_once_and_logged() {
    let gateway = start(in_memory()).await;
    let key = gateway.key(10).await;
    let body = checkout("evt_1", &key, "500");
    let told = tell(&gateway, &body).await;
    let expected = format!(
        r#"{{"success":true,"event":"checkout.session.completed","apiKey":"{}...","creditsAdded":500}}"#,
        &key[..10]
    );
    assert_eq!((told.status, told.body), (200, expected));
    let again = tell(&gateway, &body).await;
    let repeated = json!({ "success": true, "event": "checkout.session.completed" });
    assert_eq!((again.status, again.json()), (200, repeated));
    assert_eq!(gateway.balance(&key).await, (510, 0));
    assert_eq!(
        logged(&gateway, "key.topup"),
        [json!({
            "actor": "stripe", "message": "Added 500 credits",
            "of": { "keyMasked": masked(&key), "creditsAdded": 500, "newBalance": 510, "eventId": "evt_1" },
        })]
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stripe_did_not_sign_is_refused() {
    let gateway = start(in_memory()).await;
    let body = checkout("evt_1", "pg_x", "5");
    let post = async |headers: &[(&str, &str)], body: &str| {
        let told = gateway.send("POST", "/stripe/webhook", headers, body).await;
        (told.status, told.json())
    };
    let missing = (400, json!({ "error": "Missing Stripe-Signature header" }));
    assert_eq!(post(&[], &body).await, missing);
    assert_eq!(post(&[("Stripe-Signature", "")], &body).await, missing);
    let invalid = (400, json!({ "success": false, "error": "Invalid signature" }));
    assert_eq!(post(&[("Stripe-Signature", "t=1,v1=00")], &body).await, invalid);
    let unpaid = checkout("evt_2", "pg_x", "5").replace("\"paid\"", "\"unpaid\"");
    let told = tell(&gateway, &unpaid).await;
    let refused = json!({ "success": false, "error": "Payment not completed: unpaid" });
    assert_eq!((told.status, told.json()), (400, refused));
    let wrong = gateway.get("/stripe/webhook", &[]).await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")));
    gateway.stop().await;

    let without = Gateway::start().await;
    let told = tell(&without, &body).await;
    assert_eq!((told.status, told.json()), (404, json!({ "error": "Stripe integration not configured" })));
    assert_eq!(without.get("/stripe/webhook", &[]).await.status, 405, "the method comes first");
    without.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_without_a_key_waits_until_an_admin_names_one() {
    let gateway = start(in_memory()).await;
    let told = tell(&gateway, &checkout("evt_1", "pg_nobody_has_this_key", "7")).await;
    let parked = json!({
        "success": false, "error": "API key not found or inactive: pg_nobody_...", "parked": true,
    });
    assert_eq!((told.status, told.json()), (200, parked));
    assert_eq!(
        logged(&gateway, "billing.payment_parked"),
        [json!({
            "actor": "stripe", "message": "Payment for 7 credits waits for its key",
            "of": { "keyMasked": "pg_nobo..._key", "credits": 7, "eventId": "evt_1" },
        })]
    );
    assert_eq!(gateway.get("/stripe/unmatched", &[]).await.status, 401);
    let list = gateway.admin("GET", "/stripe/unmatched", &json!({})).await.json();
    assert_eq!(
        list,
        json!({
            "payments": [{
                "eventId": "evt_1", "event": "checkout.session.completed", "keyMasked": "pg_nobo..._key",
                "credits": 7, "receivedAt": list["payments"][0]["receivedAt"],
            }],
            "count": 1,
        })
    );

    let key = gateway.key(10).await;
    let assign = async |body: Value| {
        let told = gateway.admin("POST", "/stripe/unmatched", &body).await;
        (told.status, told.json())
    };
    let missing = (400, json!({ "error": "Missing eventId or key" }));
    assert_eq!(assign(json!({ "eventId": "evt_1" })).await, missing);
    assert_eq!(assign(json!({ "eventId": "evt_1", "key": 5 })).await, missing);
    let unknown = (404, json!({ "error": "Payment not found or already granted" }));
    assert_eq!(assign(json!({ "eventId": "evt_9", "key": key })).await, unknown);
    let no_key = assign(json!({ "eventId": "evt_1", "key": "pg_nobody" })).await;
    assert_eq!(no_key, (404, json!({ "error": "Key not found or inactive" })));
    let granted = assign(json!({ "eventId": "evt_1", "key": key })).await;
    assert_eq!(granted, (200, json!({ "message": "Payment granted", "creditsAdded": 7, "credits": 17 })));
    assert_eq!(assign(json!({ "eventId": "evt_1", "key": key })).await, unknown);
    assert_eq!(tell(&gateway, &checkout("evt_1", &key, "7")).await.json()["creditsAdded"], Value::Null);
    assert_eq!(gateway.balance(&key).await, (17, 0));
    assert_eq!(gateway.admin("GET", "/stripe/unmatched", &json!({})).await.json()["count"], 0);
    assert_eq!(logged(&gateway, "key.topup").len(), 1);
    assert_eq!(logged(&gateway, "key.topup")[0]["of"]["eventId"], "evt_1");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_are_on_record_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Arc::new(StateFile::open(OpenOptions::new(folder.path().join("state.json"))).unwrap());
    let gateway = start(open()).await;
    let key = gateway.key(10).await;
    assert_eq!(tell(&gateway, &checkout("evt_1", &key, "5")).await.status, 200);
    assert_eq!(tell(&gateway, &checkout("evt_2", "pg_nobody", "3")).await.json()["parked"], true);
    let books = gateway.books.clone();
    gateway.stop().await;
    books.close().unwrap();
    drop(books);

    let gateway = start(open()).await;
    assert_eq!(tell(&gateway, &checkout("evt_1", &key, "5")).await.json().get("creditsAdded"), None);
    let assigned = json!({ "eventId": "evt_2", "key": key });
    assert_eq!(gateway.admin("POST", "/stripe/unmatched", &assigned).await.json()["credits"], 18);
    assert_eq!(gateway.balance(&key).await, (18, 0));
    gateway.stop().await;
}
