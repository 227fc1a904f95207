//! What survives a restart, and what is not served when it cannot be written.

use std::path::Path;
use std::sync::Arc;

use paygate_store::{OpenOptions, StateFile};
use serde_json::{Value, json};

use crate::gateway::{Gateway, batch};

fn open(path: &Path) -> Arc<StateFile> {
    Arc::new(StateFile::open(OpenOptions::new(path)).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn balances_survive_a_restart_and_show_in_the_state_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let gateway = Gateway::on(open(&path), |_| {}).await;
    let key = gateway.key(50).await;
    gateway.call(&key, "echo", json!({})).await;
    gateway.post(&key, &batch(json!([{ "name": "a" }, { "name": "b" }]))).await;
    assert_eq!(gateway.get("/health", &[]).await.json()["store"]["durability"], "process");
    gateway.stop().await;

    let image: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!((&image[0][0], &image[0][1]["credits"]), (&json!(key), &json!(47)));
    let gateway = Gateway::on(open(&path), |_| {}).await;
    assert_eq!(gateway.balance(&key).await, (47, 3));
    let report = gateway.books.verify().unwrap().unwrap();
    assert!(report.faults.is_empty(), "{report:?}");
    gateway.stop().await;
}
