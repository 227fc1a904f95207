//! What reports and rules for alerts know after a restart.

use std::path::Path;
use std::sync::Arc;

use paygate_core::usage::AlertRule;
use paygate_store::{OpenOptions, StateFile};
use serde_json::{Value, json};

use crate::gateway::{ADMIN_KEY, Gateway};

fn open(path: &Path) -> Arc<StateFile> {
    Arc::new(StateFile::open(OpenOptions::new(path)).unwrap())
}

async fn report(gateway: &Gateway, path: &str) -> Value {
    gateway.get(path, &[("X-Admin-Key", ADMIN_KEY)]).await.json()
}

async fn set_rules(gateway: &Gateway, rules: &Value) {
    let body = json!({ "rules": rules }).to_string();
    let answer = gateway.send("POST", "/alerts", &[("X-Admin-Key", ADMIN_KEY)], &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_and_audit_are_those_of_all_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let gateway = Gateway::on(open(&path), |_| {}).await;
    let key = gateway.key(50).await;
    gateway.call(&key, "echo", json!({})).await;
    gateway.call("nobody", "echo", json!({})).await;
    let paths = ["/usage", "/audit", "/audit/export", "/status"];
    let mut before = Vec::new();
    for path in paths {
        before.push(report(&gateway, path).await);
    }
    gateway.stop().await;

    let gateway = Gateway::on(open(&path), |_| {}).await;
    for (path, mut before) in paths.into_iter().zip(before) {
        if path == "/status" {
            // The one number that is of this run alone.
            before["eventCount"] = json!(0);
        }
        assert_eq!(report(&gateway, path).await, before, "{path}");
    }
    gateway.call(&key, "echo", json!({})).await;
    assert_eq!(report(&gateway, "/usage").await["count"], 3);
    let analytics = report(&gateway, "/analytics").await;
    assert_eq!(
        (&analytics["summary"]["totalCalls"], &analytics["summary"]["totalDenied"]),
        (&json!(3), &json!(1))
    );
    let ids: Vec<u64> = report(&gateway, "/audit/export").await["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["id"].as_u64().unwrap())
        .collect();
    assert!(ids.iter().zip(1..).all(|(id, due)| *id == due), "{ids:?}");
    let report = gateway.books.verify().unwrap().unwrap();
    assert!(report.faults.is_empty(), "{report:?}");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_for_alerts_stay_until_the_configuration_changes_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let (low, high) = (
        json!([{"type": "credits_low", "threshold": 5}]),
        json!([{"type": "credits_low", "threshold": 9, "note": 1}]),
    );
    let configured = |rules: &Value| -> Vec<AlertRule> {
        rules.as_array().unwrap().iter().cloned().map(|rule| AlertRule::checked(rule).unwrap()).collect()
    };
    let gateway = Gateway::on(open(&path), |config| config.alert_rules = configured(&low)).await;
    assert_eq!(report(&gateway, "/alerts").await["rules"], low);
    set_rules(&gateway, &high).await;
    gateway.stop().await;

    let gateway = Gateway::on(open(&path), |config| config.alert_rules = configured(&low)).await;
    assert_eq!(report(&gateway, "/alerts").await["rules"], high);
    gateway.stop().await;

    let gateway = Gateway::on(open(&path), |_| {}).await;
    assert_eq!(report(&gateway, "/alerts").await["rules"], json!([]));
    gateway.stop().await;
}
