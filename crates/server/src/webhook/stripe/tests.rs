use std::time::Duration;

use paygate_core::clock::{ManualClock, Timestamp};
use paygate_core::entropy::SeededEntropy;
use paygate_core::journal::MemoryJournal;
use paygate_core::ledger::{KeyOptions, LedgerParts};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const SECRET: &str = "whsec_test_secret";
const KEY: &str = "pg_demo_key_0001";
/// 2026-03-14T09:26:53.589Z.
const NOW: Timestamp = Timestamp(1_773_480_413_589);
const NOW_SECONDS: i64 = 1_773_480_413;

struct Fixture {
    stripe: StripeWebhook,
    ledger: Arc<Ledger>,
    clock: Arc<ManualClock>,
}

impl Fixture {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut StripeSettings)) -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let ledger = Arc::new(Ledger::new(LedgerParts {
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(7)),
            journal: Arc::new(MemoryJournal::default()),
        }));
        let _ = ledger.open(KEY, "demo", Credits::new(10).unwrap(), KeyOptions::default());
        let mut settings = StripeSettings::new(SECRET);
        change(&mut settings);
        Self { stripe: StripeWebhook::new(ledger.clone(), settings), ledger, clock }
    }

    fn header(&self, body: &str) -> String {
        signed(body, NOW_SECONDS)
    }

    /// What is answered to a body that is signed now.
    fn told(&self, body: &Value) -> Value {
        self.told_text(&body.to_string())
    }

    fn told_text(&self, body: &str) -> Value {
        serde_json::to_value(self.stripe.handle(body.as_bytes(), &self.header(body))).unwrap()
    }

    fn balance(&self) -> u64 {
        self.ledger.read(KEY, |record| record.credits.get()).unwrap()
    }
}

fn signed(body: &str, at: i64) -> String {
    let at = at.to_string();
    format!("t={at},v1={}", Secret::new(SECRET).sign(&[at.as_bytes(), b".", body.as_bytes()]))
}

fn metadata(credits: impl Into<Value>) -> Value {
    json!({"paygate_api_key": KEY, "paygate_credits": credits.into()})
}

fn checkout(id: &str, credits: impl Into<Value>) -> Value {
    let object = json!({"payment_status": "paid", "metadata": metadata(credits)});
    json!({"id": id, "type": "checkout.session.completed", "data": {"object": object}})
}

fn granted(kind: &str, credits: u64) -> Value {
    json!({"success": true, "event": kind, "apiKey": "pg_demo_ke...", "creditsAdded": credits})
}

fn refused(error: &str) -> Value {
    json!({"success": false, "error": error})
}

#[test]
fn a_paid_checkout_grants_its_credits_once() {
    let fixture = Fixture::with(|settings| settings.tolerance_seconds = 1e12);
    let body = r#"{"id":"evt_1","type":"checkout.session.completed","data":{"object":{"payment_status":"paid","metadata":{"paygate_api_key":"pg_demo_key_0001","paygate_credits":"500"}}}}"#;
    let header = "t=1700000000,v1=500f1aedd476565fefbaefaeae2b41613bb5c9ea652e8c89f9c63fe706074699";
    let answer = serde_json::to_string(&fixture.stripe.handle(body.as_bytes(), header)).unwrap();
    let expected = r#"{"success":true,"event":"checkout.session.completed","apiKey":"pg_demo_ke...","creditsAdded":500}"#;
    assert_eq!(answer, expected);
    let again = serde_json::to_string(&fixture.stripe.handle(body.as_bytes(), header)).unwrap();
    assert_eq!(again, r#"{"success":true,"event":"checkout.session.completed"}"#);
    assert_eq!(fixture.balance(), 510);
}

#[test]
fn a_checkout_that_is_paid_later_grants_then() {
    let fixture = Fixture::new();
    let event = |id: &str, kind: &str, status: &str| {
        let object = json!({"id": "cs_1", "payment_status": status, "metadata": metadata("5")});
        json!({"id": id, "type": kind, "data": {"object": object}})
    };
    let completed = "checkout.session.completed";
    let answer = fixture.told(&event("evt_1", completed, "unpaid"));
    assert_eq!(answer, refused("Payment not completed: unpaid"));
    let later = "checkout.session.async_payment_succeeded";
    assert_eq!(fixture.told(&event("evt_2", later, "paid")), granted(later, 5));
    let again = fixture.told(&event("evt_3", completed, "paid"));
    assert_eq!(again, json!({"success": true, "event": completed}), "the same session");
    assert_eq!(fixture.balance(), 15);
}

#[test]
fn a_checkout_grants_only_what_is_paid_or_needs_no_payment_where_that_counts() {
    let event = |status: Value| {
        json!({"type": "checkout.session.completed",
            "data": {"object": {"payment_status": status, "metadata": metadata("5")}}})
    };
    let free = event("no_payment_required".into());
    assert_eq!(Fixture::new().told(&free), refused("Payment not completed: no_payment_required"));
    let generous = Fixture::with(|settings| settings.grant_free = true);
    assert_eq!(generous.told(&free), granted("checkout.session.completed", 5));
    assert_eq!(Fixture::new().told(&event(Value::Null)), refused("Payment not completed: null"));
    let mut absent = event(Value::Null);
    absent["data"]["object"].as_object_mut().unwrap().remove("payment_status");
    assert_eq!(Fixture::new().told(&absent), refused("Payment not completed: undefined"));
}

#[test]
fn credits_are_read_as_javascript_reads_numbers() {
    let fixture = Fixture::new();
    let texts = ["500", "12.9", "1e3", "0x10", " 12 "].map(Value::from);
    let values = texts.into_iter().chain([7.into(), true.into()]);
    for (at, (value, credits)) in values.zip([500, 12, 1000, 16, 12, 7, 1]).enumerate() {
        let answer = fixture.told(&checkout(&format!("evt_{at}"), value.clone()));
        assert_eq!(answer, granted("checkout.session.completed", credits), "{value}");
    }
    for value in ["-5", "0", "0.9", "abc", "NaN", "Infinity", "1_000", "9007199254740993"] {
        let answer = fixture.told(&checkout("evt_bad", value));
        assert_eq!(answer, refused("Invalid credits value in metadata"), "{value}");
    }
}

#[test]
fn credits_are_looked_at_before_the_payment_status() {
    let object = json!({"payment_status": "unpaid", "metadata": metadata("abc")});
    let event = json!({"type": "checkout.session.completed", "data": {"object": object}});
    assert_eq!(Fixture::new().told(&event), refused("Invalid credits value in metadata"));
}

#[test]
fn an_invoices_credits_are_those_of_its_subscription_or_its_first_line() {
    let kind = "invoice.payment_succeeded";
    let invoice = |object: Value| json!({"type": kind, "data": {"object": object}});
    let line = json!({"data": [{"metadata": metadata("7")}]});
    let none = json!({"success": true, "event": kind});
    for (object, expected) in [
        (json!({"subscription_details": {"metadata": metadata("30")}, "lines": line}), granted(kind, 30)),
        (json!({"lines": line}), granted(kind, 7)),
        (json!({"subscription_details": {"metadata": null}, "lines": line}), granted(kind, 7)),
        (json!({"subscription_details": {"metadata": {}}, "lines": line}), none.clone()),
        (json!({"parent": {"subscription_details": {"metadata": metadata("9")}}}), granted(kind, 9)),
        (json!({"parent": {"subscription_details": {"metadata": {}}}, "lines": line}), granted(kind, 7)),
        (json!({"lines": {"data": []}}), none.clone()),
        (json!({"subscription_details": null, "lines": null}), none.clone()),
        (json!({"metadata": metadata("5")}), none.clone()),
    ] {
        assert_eq!(Fixture::new().told(&invoice(object.clone())), expected, "{object}");
    }
}

#[test]
fn a_payment_without_its_key_is_parked_and_granted_when_it_is_told_again() {
    let fixture = Fixture::new();
    let mut event = checkout("evt_1", "5");
    event["data"]["object"]["metadata"]["paygate_api_key"] = "pg_unknownkey123456".into();
    let parked =
        json!({"success": false, "error": "API key not found or inactive: pg_unknown...", "parked": true});
    assert_eq!(fixture.told(&event), parked);
    assert_eq!(fixture.told(&event), parked);
    let [payment] = &fixture.stripe.unmatched().unwrap()[..] else { panic!("one is parked") };
    assert_eq!((&*payment.key, payment.credits.get()), ("pg_unknownkey123456", 5));
    let _ = fixture.ledger.open("pg_unknownkey123456", "", Credits::ZERO, KeyOptions::default());
    let answer = fixture.told(&event);
    assert_eq!((&answer["success"], &answer["apiKey"]), (&true.into(), &"pg_unknown...".into()));
    assert_eq!(fixture.stripe.unmatched().unwrap(), []);
}

#[test]
fn a_revoked_keys_payment_is_parked_and_a_key_that_is_no_text_is_unknown() {
    let fixture = Fixture::new();
    let _ = fixture.ledger.revoke(KEY).unwrap();
    assert_eq!(fixture.told(&checkout("evt_1", "5"))["parked"], true);
    let mut event = checkout("evt_2", "5");
    event["data"]["object"]["metadata"]["paygate_api_key"] = json!(["ab"]);
    assert_eq!(fixture.told(&event)["error"], "API key not found or inactive: ab...");
}

#[test]
fn what_is_no_event_is_refused_and_what_is_not_ours_is_acknowledged() {
    let fixture = Fixture::new();
    for body in [
        "[]",
        "null",
        "\"text\"",
        "5",
        r#"{"data":{"object":{}}}"#,
        r#"{"type":"a","data":{}}"#,
        r#"{"type":"","data":{"object":{}}}"#,
        r#"{"type":"a","data":{"object":0}}"#,
        r#"{"type":"a"}"#,
        r#"{"type":"a","data":"text"}"#,
    ] {
        assert_eq!(fixture.told_text(body), refused("Malformed Stripe event"), "{body}");
    }
    for body in ["not json", "{", "\u{feff}{}"] {
        assert_eq!(fixture.told_text(body), refused("Invalid JSON body"), "{body}");
    }
    let acknowledged = |event: Value| json!({"success": true, "event": event});
    let answer = fixture.told(&json!({"type": "customer.created", "data": {"object": {}}}));
    assert_eq!(answer, acknowledged("customer.created".into()));
    assert_eq!(fixture.told(&json!({"type": 7, "data": {"object": "x"}})), acknowledged(7.into()));
    let kind = "checkout.session.completed";
    for object in
        [json!({"metadata": null}), json!({"metadata": {}}), json!({"metadata": "x"}), json!("text")]
    {
        let answer = fixture.told(&json!({"type": kind, "data": {"object": object}}));
        assert_eq!(answer, acknowledged(kind.into()));
    }
    assert_eq!(fixture.told(&checkout("evt_1", "")), acknowledged(kind.into()));
}

#[test]
fn a_signature_counts_within_the_tolerance_either_way() {
    let fixture = Fixture::new();
    let verified = |offset: i64| fixture.stripe.verify_signature(b"{}", &signed("{}", NOW_SECONDS + offset));
    let counts = [-302, -301, -300, 0, 300, 301].map(verified);
    assert_eq!(counts, [false, false, true, true, true, false]);
    let header = fixture.header("{}");
    fixture.clock.advance(Duration::from_secs(301));
    assert!(!fixture.stripe.verify_signature(b"{}", &header));
    let timeless = Fixture::with(|settings| settings.tolerance_seconds = f64::NAN);
    assert!(timeless.stripe.verify_signature(b"{}", &signed("{}", 1)));
}

#[test]
fn a_header_is_taken_apart_as_2_9_0_did() {
    let fixture = Fixture::new();
    let verified = |header: &str| fixture.stripe.verify_signature(b"x", header);
    let (at, header) = (NOW_SECONDS, fixture.header("x"));
    let (_, right) = header.split_once("v1=").unwrap();
    let wrong = "0".repeat(64);
    assert!(verified(&format!("t={at},v1={right}")));
    assert!(verified(&format!("v1={wrong},t={at},v1={right}")));
    assert!(verified(&format!("t={at},v0={wrong},v1={right},v1={wrong}")));
    assert!(verified(&format!("t=5,t={at},v1={right}=more")));
    assert!(!verified(&format!("t={at}, v1={right}")));
    assert!(!verified(&format!("t={at},v1={}", right.to_uppercase())));
    assert!(!verified(&format!("t={at},t,v1={right}")));
    for header in ["", "t=1", "v1=abc", "garbage", "t=abc,v1=00", &format!("t={at}"), &format!("t={at},v1")] {
        assert!(!verified(header), "{header}");
    }
    assert!(!fixture.stripe.verify_signature(b"", &signed("", at)));
}

#[test]
fn a_body_of_multi_byte_characters_verifies() {
    let mut event = checkout("evt_1", "5");
    event["data"]["object"]["customer"] = "Çelik 漢字 🎉".into();
    assert_eq!(Fixture::new().told(&event), granted("checkout.session.completed", 5));
}

#[test]
fn neither_the_secret_nor_a_whole_key_is_shown() {
    let fixture = Fixture::new();
    let settings = format!("{:?}", StripeSettings::new(SECRET));
    assert!(!settings.contains(SECRET), "{settings}");
    assert!(!fixture.told(&checkout("evt_1", "5")).to_string().contains(KEY));
}

proptest! {
    #[test]
    fn no_body_and_no_header_brings_it_down(body in any::<Vec<u8>>(), header in "(t=|v1=|,|=|[0-9a-f ]|\\PC){0,40}") {
        let fixture = Fixture::new();
        let _ = fixture.stripe.handle(&body, &header);
        let at = NOW_SECONDS.to_string();
        let right = Secret::new(SECRET).sign(&[at.as_bytes(), b".", &body]);
        let _ = fixture.stripe.handle(&body, &format!("t={at},v1={right}"));
        prop_assert_eq!(fixture.balance(), 10);
    }

    #[test]
    fn no_event_brings_it_down(value in json_value()) {
        let fixture = Fixture::new();
        for kind in ["checkout.session.completed", "invoice.payment_succeeded"] {
            let places = [
                json!({"type": kind, "data": {"object": value.clone()}}),
                json!({"type": kind, "data": {"object": {"payment_status": "paid", "metadata": value.clone()}}}),
                json!({"type": kind, "data": {"object": {"payment_status": "paid", "metadata": metadata(value.clone())}}}),
                json!({"type": kind, "data": {"object": {"lines": {"data": [{"metadata": value.clone()}]}}}}),
            ];
            for event in places {
                let _ = fixture.told(&event);
            }
        }
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map("(id|metadata|lines|data|x)", inner, 0..3)
                .prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    })
}
