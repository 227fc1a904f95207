//! Making keys, listing them, topping them up, reading a balance.

use serde_json::{Value, json};

use crate::gateway::{ADMIN_KEY, Gateway};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_with_what_it_was_given_and_told_once() {
    let gateway = Gateway::start().await;
    let body = json!({
        "name": " alice ", "credits": "50", "allowedTools": ["search", " b ", 5, ""], "tags": { "team": "x", "n": 1 },
        "namespace": "Acme Corp!", "ipAllowlist": ["10.0.0.0/8"], "quota": { "dailyCallLimit": 5.7 },
        "expiresAt": "2030-01-01",
    });
    let made = gateway.admin("POST", "/keys", &body).await;
    assert_eq!((made.status, made.header("content-type")), (201, Some("application/json")));
    let told = made.json();
    let key = told["key"].as_str().unwrap();
    assert!(key.starts_with("pg_") && key.len() == 51, "{key}");
    assert_eq!(
        told,
        json!({
            "key": key, "name": "alice", "credits": 50, "allowedTools": ["search", "b"], "deniedTools": [],
            "expiresAt": "2030-01-01", "tags": { "team": "x", "n": "1" }, "ipAllowlist": ["10.0.0.0/8"],
            "namespace": "acmecorp", "message": "Save this key — it cannot be retrieved later.",
        })
    );
    let listed = gateway.admin("GET", "/keys?namespace=acmecorp", &json!({})).await;
    assert!(listed.body.starts_with("[\n  {\n    \"name\": \"alice\",\n"), "{}", listed.body);
    assert!(!listed.body.contains(key));
    let first = listed.json()[0].clone();
    assert_eq!(first["keyPrefix"], format!("{}...", &key[..10]));
    assert_eq!(first["quota"]["dailyCallLimit"], 5);
    assert_eq!(first["expired"], false);
    assert_eq!(gateway.admin("GET", "/keys?namespace=other", &json!({})).await.json(), json!([]));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_are_none_never_reach_a_balance() {
    let gateway = Gateway::start().await;
    for credits in
        ["0", "-1", "0.5", "\"abc\"", "\"\"", "false", "[9]", "{}", "1e400", "\"Infinity\"", "1e16", "\" \""]
    {
        let body = format!("{{\"credits\":{credits}}}");
        let told = gateway.send("POST", "/keys", &[("X-Admin-Key", ADMIN_KEY)], &body).await;
        assert_eq!(told.status, 400, "{credits}: {told:?}");
    }
    for (field, value) in [
        ("expiresIn", json!("soon")),
        ("expiresIn", json!(1e18)),
        ("expiresAt", json!("not a date")),
        ("quota", json!({ "dailyCallLimit": "x" })),
        ("ipAllowlist", json!(["10.0.0.0/33"])),
    ] {
        assert_eq!(
            gateway.admin("POST", "/keys", &json!({ field: value })).await.status,
            400,
            "{field}: {value}"
        );
    }
    for (given, credits) in
        [(json!({}), 100), (json!({ "credits": null }), 100), (json!({ "credits": true }), 1)]
    {
        assert_eq!(gateway.admin("POST", "/keys", &given).await.json()["credits"], credits);
    }
    assert_eq!(gateway.admin("GET", "/keys", &json!({})).await.json().as_array().unwrap().len(), 3);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credits_are_added_to_keys_that_may_be_used() {
    let gateway = Gateway::start().await;
    let key = gateway.key(5).await;
    let expired = gateway.key_with(json!({ "expiresAt": "2001-01-01" })).await;
    let top_up = async |body: Value| {
        let told = gateway.admin("POST", "/topup", &body).await;
        (told.status, told.json())
    };
    assert_eq!(
        top_up(json!({ "key": key, "credits": "3.9" })).await,
        (200, json!({ "credits": 8, "message": "Added 3 credits" }))
    );
    let missing = (400, json!({ "error": "Missing key or credits" }));
    assert_eq!(top_up(json!({ "credits": 1 })).await, missing);
    assert_eq!(top_up(json!({ "key": key, "credits": 0 })).await, missing);
    let not_positive = (400, json!({ "error": "Credits must be a positive integer" }));
    for credits in [json!(-5), json!(0.4), json!("x"), json!([5]), json!({})] {
        assert_eq!(top_up(json!({ "key": key, "credits": credits })).await, not_positive);
    }
    assert_eq!(top_up(json!({ "key": key, "credits": 9_007_199_254_740_991_u64 })).await.0, 400);
    let unknown = (404, json!({ "error": "Key not found or inactive" }));
    for other in [json!("pg_nobody"), json!(5), json!(expired)] {
        assert_eq!(top_up(json!({ "key": other, "credits": 1 })).await, unknown);
    }
    assert_eq!(gateway.balance(&key).await, (8, 0));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_holder_of_a_key_is_told_what_is_left() {
    let gateway = Gateway::start().await;
    let key = gateway.key(5).await;
    gateway.call(&key, "echo", json!({})).await;
    let told = gateway.get("/balance", &[("Authorization", &format!("Bearer {key}"))]).await;
    let names: Vec<String> = told.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        names,
        [
            "name",
            "credits",
            "totalSpent",
            "totalCalls",
            "spendingLimit",
            "remainingBudget",
            "lastUsedAt",
            "allowedTools",
            "deniedTools",
            "expiresAt",
            "tags",
            "ipAllowlist",
            "quota",
            "quotaUsage"
        ]
    );
    assert_eq!(
        told.json()["quotaUsage"],
        json!({ "dailyCalls": 1, "monthlyCalls": 1, "dailyCredits": 1, "monthlyCredits": 1 })
    );
    let none = gateway.get("/balance", &[]).await;
    assert_eq!((none.status, none.json()), (401, json!({ "error": "Missing X-API-Key header" })));
    let unknown = gateway.get("/balance", &[("X-API-Key", "zzz")]).await;
    assert_eq!((unknown.status, unknown.json()), (404, json!({ "error": "Invalid or inactive API key" })));
    gateway.stop().await;
}
