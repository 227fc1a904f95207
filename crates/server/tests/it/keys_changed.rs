//! Changing what keys may do, replacing them, revoking them, and who is told.

use std::sync::Arc;

use paygate_core::key::team::TeamDraft;
use paygate_server::webhook::WebhookSettings;
use paygate_store::{OpenOptions, StateFile};
use serde_json::{Value, json};

use crate::gateway::{ADMIN_KEY, Gateway};
use crate::webhooks::{Manner, OK, Receiver};

/// Every route that changes a key.
const CHANGES: [&str; 8] = [
    "/keys/revoke",
    "/keys/rotate",
    "/keys/acl",
    "/keys/expiry",
    "/keys/quota",
    "/keys/tags",
    "/keys/ip",
    "/limits",
];

async fn post(gateway: &Gateway, path: &str, body: Value) -> (u16, Value) {
    let answer = gateway.admin("POST", path, &body).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    (answer.status, answer.json())
}

/// What the log says of what operators did: type, message, and particulars.
fn logged(gateway: &Gateway) -> Vec<Value> {
    let events = gateway.news.audit.events();
    let of_keys = events.iter().filter(|event| event.kind.starts_with("key."));
    of_keys
        .map(|event| {
            assert_eq!(&*event.actor, "admin");
            let metadata: Value = serde_json::from_str(event.metadata.get()).unwrap();
            json!([event.kind, event.message, metadata])
        })
        .collect()
}

fn masked(key: &str) -> String {
    format!("{}...{}", &key[..7], &key[key.len() - 4..])
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_answered_and_logged_as_it_is_then() {
    let gateway = Gateway::start().await;
    let key = gateway.key_with(json!({ "name": " a ", "credits": 7, "deniedTools": ["x"] })).await;
    let quota = json!({
        "dailyCallLimit": 5, "monthlyCallLimit": 100, "dailyCreditLimit": 0, "monthlyCreditLimit": 0,
    });
    let mut expected = vec![json!(["key.created", "Key created:  a ", {
        "keyMasked": masked(&key), "name": " a ", "credits": 7, "allowedTools": [], "deniedTools": ["x"],
        "expiresAt": null,
    }])];
    for (path, mut body, answer, event) in [
        (
            "/keys/acl",
            json!({ "allowedTools": [" search ", "", 5] }),
            json!({ "allowedTools": ["search"], "deniedTools": ["x"], "message": "ACL updated" }),
            json!(["key.acl_updated", "ACL updated", { "allowedTools": ["search"], "deniedTools": ["x"] }]),
        ),
        (
            "/keys/acl",
            json!({ "allowedTools": null, "deniedTools": "x" }),
            json!({ "allowedTools": [], "deniedTools": [], "message": "ACL updated" }),
            json!(["key.acl_updated", "ACL updated", { "allowedTools": [], "deniedTools": [] }]),
        ),
        (
            "/keys/expiry",
            json!({ "expiresAt": "2077-07-07" }),
            json!({ "expiresAt": "2077-07-07", "message": "Key expires at 2077-07-07" }),
            json!(["key.expiry_updated", "Key expiry set to 2077-07-07", { "expiresAt": "2077-07-07" }]),
        ),
        (
            "/keys/expiry",
            json!({ "expiresIn": -10 }),
            json!({ "expiresAt": null, "message": "Expiry removed (key never expires)" }),
            json!(["key.expiry_updated", "Key expiry removed", { "expiresAt": null }]),
        ),
        (
            "/keys/quota",
            json!({ "dailyCallLimit": "5", "monthlyCallLimit": 100.7, "dailyCreditLimit": -3 }),
            json!({ "quota": quota, "message": "Quota set" }),
            json!(["key.quota_updated", "Quota set", { "quota": quota }]),
        ),
        (
            "/keys/quota",
            json!({ "remove": true, "dailyCallLimit": "x" }),
            json!({ "message": "Quota removed (using global defaults)" }),
            Value::Null,
        ),
        (
            "/keys/tags",
            json!({ "tags": { "env": "prod", "n": 5, " sp ": " v ", "": "x", "__proto__": "p" } }),
            json!({ "tags": { "env": "prod", "n": "5", "sp": "v" }, "message": "Tags updated" }),
            json!(["key.tags_updated", "Tags updated", { "tags": { "env": "prod", "n": "5", "sp": "v" } }]),
        ),
        (
            "/keys/tags",
            json!({ "tags": { "n": null, "sp": null } }),
            json!({ "tags": { "env": "prod" }, "message": "Tags updated" }),
            json!(["key.tags_updated", "Tags updated", { "tags": { "env": "prod" } }]),
        ),
        (
            "/keys/ip",
            json!({ "ips": ["10.0.0.0/8", " ::1 ", "", 5] }),
            json!({ "ipAllowlist": ["10.0.0.0/8", "::1"], "message": "IP allowlist updated" }),
            json!(["key.ip_updated", "IP allowlist updated", { "ipAllowlist": ["10.0.0.0/8", "::1"] }]),
        ),
        (
            "/limits",
            json!({ "spendingLimit": 5.9 }),
            json!({ "spendingLimit": 5, "message": "Spending limit set to 5" }),
            json!(["key.limit_updated", "Spending limit set to 5", { "spendingLimit": 5 }]),
        ),
        (
            "/limits",
            json!({ "spendingLimit": -3 }),
            json!({ "spendingLimit": 0, "message": "Spending limit removed (unlimited)" }),
            json!(["key.limit_updated", "Spending limit removed", { "spendingLimit": 0 }]),
        ),
        (
            "/topup",
            json!({ "credits": 3 }),
            json!({ "credits": 10, "message": "Added 3 credits" }),
            json!(["key.topup", "Added 3 credits", { "creditsAdded": 3, "newBalance": 10 }]),
        ),
        (
            "/keys/revoke",
            json!({}),
            json!({ "message": "Key revoked" }),
            json!(["key.revoked", "Key revoked", {}]),
        ),
        (
            "/keys/revoke",
            json!({}),
            json!({ "message": "Key revoked" }),
            json!(["key.revoked", "Key revoked", {}]),
        ),
    ] {
        body["key"] = json!(key);
        assert_eq!(post(&gateway, path, body.clone()).await, (200, answer), "{path} {body}");
        if let Value::Array(mut event) = event {
            event[2]["keyMasked"] = json!(masked(&key));
            expected.push(event.into());
        }
    }
    assert_eq!(logged(&gateway), expected);
    let told = format!("{:?}", gateway.news.audit.events());
    assert!(!told.contains(&key) && !told.contains(ADMIN_KEY));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_no_key_or_has_a_value_of_no_use_changes_nothing() {
    let gateway = Gateway::start().await;
    let key = gateway.key(5).await;
    let error = |message: &str| json!({ "error": message });
    for path in CHANGES {
        for body in [json!({}), json!({ "key": "" }), json!({ "key": null }), json!({ "key": 0 })] {
            assert_eq!(post(&gateway, path, body).await, (400, error("Missing key")), "{path}");
        }
        let not_found = match path {
            "/keys/revoke" | "/keys/expiry" | "/keys/quota" | "/keys/tags" | "/keys/ip" => "Key not found",
            _ => "Key not found or inactive",
        };
        for nobody in [json!("pg_nobody"), json!(5), json!([key]), json!({})] {
            let body = json!({ "key": nobody, "tags": {}, "ips": [] });
            assert_eq!(post(&gateway, path, body).await, (404, error(not_found)), "{path} {nobody}");
        }
        assert_eq!(gateway.send("POST", path, &[], "{").await.status, 401);
        let admin = [("X-Admin-Key", ADMIN_KEY)];
        assert_eq!(gateway.send("POST", path, &admin, "{").await.json(), error("Invalid JSON"));
        for no_object in ["null", "[]", "5"] {
            assert_eq!(gateway.send("POST", path, &admin, no_object).await.status, 400);
        }
        let wrong = gateway.send("GET", path, &[], "").await;
        assert_eq!((wrong.status, wrong.json()), (405, error("Method not allowed")));
    }
    for (path, body, message) in [
        ("/keys/tags", json!({ "key": 5 }), "Missing or invalid tags object"),
        ("/keys/tags", json!({ "tags": "x" }), "Missing or invalid tags object"),
        ("/keys/ip", json!({ "ips": { "0": "10.0.0.1" } }), "Missing or invalid ips array"),
        (
            "/keys/ip",
            json!({ "ips": ["10.0.0.1", "junk"] }),
            "Invalid ips: holds what is no address or range",
        ),
        ("/keys/expiry", json!({ "expiresAt": "whenever" }), "Invalid expiresAt: is not a date"),
        ("/keys/expiry", json!({ "expiresAt": {} }), "Invalid expiresAt: is not a date"),
        ("/keys/expiry", json!({ "expiresIn": "soon" }), "Invalid expiresIn: must be a number"),
        ("/keys/expiry", json!({ "expiresIn": 1e18 }), "Invalid expiresIn: is beyond the range of dates"),
        ("/keys/quota", json!({ "monthlyCreditLimit": "" }), "Invalid monthlyCreditLimit: must be a number"),
        ("/limits", json!({ "spendingLimit": "x" }), "Invalid spendingLimit: must be a number"),
        ("/limits", json!({ "spendingLimit": false }), "Invalid spendingLimit: must be a number"),
        ("/limits", json!({ "spendingLimit": [5] }), "Invalid spendingLimit: must be a number"),
    ] {
        let mut body = body;
        if body.get("key").is_none() {
            body["key"] = json!(key);
        }
        assert_eq!(post(&gateway, path, body.clone()).await, (400, error(message)), "{path} {body}");
    }
    assert_eq!(logged(&gateway).len(), 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_has_ended_can_be_revived_and_a_revoked_one_cannot() {
    let gateway = Gateway::start().await;
    let key = gateway.key(5).await;
    let change = async |path: &str, body: Value| {
        let mut body = body;
        body["key"] = json!(key);
        post(&gateway, path, body).await
    };
    // A number is kept as it is: milliseconds since 1970.
    let ended = change("/keys/expiry", json!({ "expiresAt": 12345 })).await;
    assert_eq!(ended, (200, json!({ "expiresAt": 12345, "message": "Key expires at 12345" })));
    for path in ["/keys/acl", "/keys/quota", "/limits"] {
        assert_eq!(change(path, json!({})).await.0, 404, "{path}");
    }
    assert_eq!(gateway.call(&key, "echo", json!({})).await.error_code(), -32402);
    let (status, revived) = change("/keys/expiry", json!({ "expiresIn": "3600" })).await;
    let end = revived["expiresAt"].as_str().unwrap();
    assert_eq!((status, &revived["message"]), (200, &json!(format!("Key expires at {end}"))));
    assert_eq!(gateway.balance(&key).await, (5, 0));
    assert_eq!(change("/keys/revoke", json!({})).await.0, 200);
    for path in ["/keys/rotate", "/keys/acl", "/keys/quota", "/limits"] {
        assert_eq!(change(path, json!({})).await.0, 404, "{path}");
    }
    assert_eq!(change("/keys/expiry", json!({})).await.0, 200);
    assert_eq!(gateway.get("/balance", &[("X-API-Key", &key)]).await.status, 404);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_from_the_next_call_on() {
    let gateway = Gateway::start().await;
    let key = gateway.key(20).await;
    let refused = async |tool: &str| {
        let answer = gateway.call(&key, tool, json!({})).await.json();
        answer["error"]["message"].as_str().map(str::to_owned)
    };
    assert_eq!(refused("echo").await, None);
    for (path, mut change, mut lift, reason) in [
        ("/limits", json!({ "spendingLimit": 1 }), json!({}), "spending_limit_exceeded"),
        ("/keys/acl", json!({ "deniedTools": ["echo"] }), json!({ "deniedTools": [] }), "tool_denied"),
        ("/keys/ip", json!({ "ips": ["10.0.0.1"] }), json!({ "ips": [] }), "ip_not_allowed"),
        (
            "/keys/quota",
            json!({ "dailyCallLimit": 1 }),
            json!({ "remove": true }),
            "daily_call_quota_exceeded",
        ),
    ] {
        (change["key"], lift["key"]) = (json!(key), json!(key));
        assert_eq!(post(&gateway, path, change).await.0, 200);
        let told = refused("echo").await.unwrap_or_else(|| panic!("{path} does not hold"));
        assert!(told.starts_with(&format!("Payment required: {reason}:")), "{told}");
        assert_eq!(post(&gateway, path, lift).await.0, 200);
    }
    assert_eq!(refused("echo").await, None);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_hands_everything_to_its_successor() {
    let gateway = Gateway::with(|config| config.gate.global_rate_limit = 3.0).await;
    let old = gateway.key_with(json!({ "name": "r", "credits": 9, "tags": { "a": "1" } })).await;
    let ledger = gateway.books.ledger().clone();
    let draft = TeamDraft { name: "t".to_owned(), ..TeamDraft::default() };
    let team = ledger.teams.create(draft, &**ledger.entropy(), ledger.now());
    let id = team.lock().id.clone();
    ledger.teams.assign(&id, &old).unwrap();
    for _ in 0..2 {
        gateway.call(&old, "echo", json!({})).await;
    }
    let (status, told) = post(&gateway, "/keys/rotate", json!({ "key": old })).await;
    let new = told["newKey"].as_str().unwrap().to_owned();
    assert!(new.starts_with("pg_") && new.len() == 51 && new != old, "{new}");
    assert_eq!(
        (status, &told),
        (200, &json!({ "message": "Key rotated", "newKey": new, "name": "r", "credits": 7 }))
    );
    assert_eq!(gateway.balance(&new).await, (7, 2));
    assert_eq!(gateway.call(&old, "echo", json!({})).await.error_code(), -32402);
    // The window has room for one more, the team has one member.
    assert!(gateway.call(&new, "echo", json!({})).await.json()["result"].is_object());
    assert_eq!(gateway.call(&new, "echo", json!({})).await.error_code(), -32402);
    assert_eq!(team.lock().member_keys, [Box::from(&*new)]);
    let again = post(&gateway, "/keys/rotate", json!({ "key": old })).await;
    assert_eq!(again, (404, json!({ "error": "Key not found or inactive" })));
    let event =
        json!(["key.rotated", "Key rotated", { "oldKeyMasked": masked(&old), "newKeyMasked": masked(&new) }]);
    assert_eq!(logged(&gateway)[1..], [event]);
    post(&gateway, "/keys/expiry", json!({ "key": new, "expiresAt": "2001-01-01" })).await;
    assert_eq!(post(&gateway, "/keys/rotate", json!({ "key": new })).await.0, 200);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_found_by_their_labels_and_their_tenant() {
    let gateway = Gateway::start().await;
    let a = gateway
        .key_with(json!({ "name": "a", "tags": { "env": "prod", "n": 5 }, "namespace": "Acme" }))
        .await;
    gateway.key_with(json!({ "name": "b", "tags": { "env": "prod" } })).await;
    gateway.key_with(json!({ "name": "c", "tags": ["zero"] })).await;
    post(&gateway, "/keys/revoke", json!({ "key": a })).await;
    for (body, names) in [
        (json!({ "tags": {} }), vec!["a", "b", "c"]),
        (json!({ "tags": { "env": "prod" } }), vec!["a", "b"]),
        (json!({ "tags": { "env": "prod", "n": "5" } }), vec!["a"]),
        (json!({ "tags": { "n": 5 } }), vec![]),
        (json!({ "tags": { "missing": null } }), vec![]),
        (json!({ "tags": ["zero"] }), vec!["c"]),
        (json!({ "tags": {}, "namespace": " ACME! " }), vec!["a"]),
        (json!({ "tags": {}, "namespace": "" }), vec!["a", "b", "c"]),
        (json!({ "tags": {}, "namespace": 5 }), vec![]),
    ] {
        let (status, found) = post(&gateway, "/keys/search", body.clone()).await;
        let keys = found["keys"].as_array().unwrap();
        let found_names: Vec<_> = keys.iter().map(|key| key["name"].as_str().unwrap()).collect();
        assert_eq!((status, &found_names, &found["count"]), (200, &names, &json!(names.len())), "{body}");
        assert!(keys.iter().all(|key| key.get("key").is_none() && key.get("keyPrefix").is_some()));
    }
    for body in [json!({}), json!({ "tags": null }), json!({ "tags": "env" })] {
        let refused = post(&gateway, "/keys/search", body).await;
        assert_eq!(refused, (400, json!({ "error": "Missing or invalid tags object" })));
    }
    let listed = gateway.admin("GET", "/keys?namespace=ACME", &json!({})).await;
    assert_eq!(listed.json().as_array().unwrap().len(), 1);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_summed_up_in_the_order_in_which_they_came() {
    let gateway = Gateway::start().await;
    let none = gateway.admin("GET", "/namespaces", &json!({})).await;
    assert_eq!(none.body, "{\n  \"namespaces\": [],\n  \"count\": 0\n}");
    for (credits, namespace) in [(10, "zeta"), (20, "alpha"), (5, "zeta")] {
        gateway.key_with(json!({ "credits": credits, "namespace": namespace })).await;
    }
    let key = gateway.key_with(json!({ "credits": 3, "namespace": "alpha" })).await;
    gateway.call(&key, "echo", json!({})).await;
    post(&gateway, "/keys/revoke", json!({ "key": key })).await;
    let told = gateway.admin("GET", "/namespaces", &json!({})).await;
    assert_eq!(
        told.json(),
        json!({
            "namespaces": [
                { "namespace": "zeta", "keyCount": 2, "activeKeys": 2, "totalCredits": 15, "totalSpent": 0 },
                { "namespace": "alpha", "keyCount": 2, "activeKeys": 1, "totalCredits": 22, "totalSpent": 1 },
            ],
            "count": 2,
        })
    );
    assert_eq!(gateway.get("/namespaces", &[]).await.status, 401);
    let wrong = gateway.send("POST", "/namespaces", &[], "").await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET")));
    assert_eq!(wrong.json(), json!({ "error": "Method not allowed. Use GET." }));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_longer_than_one_chunk_is_whole() {
    let gateway = Gateway::start().await;
    for number in 0..200 {
        gateway.key_with(json!({ "name": format!("key {number}\n"), "tags": { "n": number } })).await;
    }
    let listed = gateway.admin("GET", "/keys", &json!({})).await;
    assert_eq!(listed.header("content-length"), None);
    let listed = listed.body;
    assert_eq!(
        listed,
        serde_json::to_string_pretty(&serde_json::from_str::<Value>(&listed).unwrap()).unwrap()
    );
    let keys: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(keys.as_array().unwrap().len(), 200);
    let found = gateway.admin("POST", "/keys/search", &json!({ "tags": {} })).await.json();
    assert_eq!((&found["keys"], &found["count"]), (&keys, &json!(200)));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receivers_of_webhooks_hear_of_keys_that_are_made_paid_replaced_and_revoked() {
    let mut receiver = Receiver::new(Manner::Answers(OK)).await;
    let settings = WebhookSettings { batch_size: 4, ..receiver.settings() };
    let gateway = Gateway::with(|config| config.webhook = Some(settings)).await;
    let key = gateway.key_with(json!({ "name": "w", "credits": 2, "allowedTools": ["echo"] })).await;
    for (path, body) in [
        ("/topup", json!({ "key": key, "credits": 3 })),
        ("/keys/acl", json!({ "key": key, "deniedTools": ["x"] })),
        ("/limits", json!({ "key": key, "spendingLimit": 9 })),
    ] {
        assert_eq!(post(&gateway, path, body).await.0, 200);
    }
    let (_, rotated) = post(&gateway, "/keys/rotate", json!({ "key": key })).await;
    let new = rotated["newKey"].as_str().unwrap();
    post(&gateway, "/keys/revoke", json!({ "key": new })).await;
    let posted = receiver.next().await.json();
    let told: Vec<Value> = posted["adminEvents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| json!([event["type"], event["actor"], event["metadata"]]))
        .collect();
    assert_eq!(
        told,
        [
            json!(["key.created", "admin", { "keyMasked": masked(&key), "name": "w", "credits": 2 }]),
            json!(["key.topup", "admin", { "keyMasked": masked(&key), "creditsAdded": 3, "newBalance": 5 }]),
            json!(["key.rotated", "admin", { "oldKeyMasked": masked(&key), "newKeyMasked": masked(new) }]),
            json!(["key.revoked", "admin", { "keyMasked": masked(new) }]),
        ]
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let open = || Arc::new(StateFile::open(OpenOptions::new(&path)).unwrap());
    let books = open();
    let gateway = Gateway::on(books.clone(), |_| {}).await;
    let old = gateway.key(9).await;
    for (path, body) in [
        ("/limits", json!({ "key": old, "spendingLimit": 7 })),
        ("/keys/acl", json!({ "key": old, "allowedTools": ["echo"] })),
        ("/keys/tags", json!({ "key": old, "tags": { "a": "b" } })),
        ("/keys/ip", json!({ "key": old, "ips": ["10.0.0.0/8"] })),
        ("/keys/quota", json!({ "key": old, "dailyCallLimit": 3 })),
        ("/keys/expiry", json!({ "key": old, "expiresAt": "2077-07-07" })),
        ("/keys/rotate", json!({ "key": old })),
    ] {
        assert_eq!(post(&gateway, path, body).await.0, 200, "{path}");
    }
    let before = gateway.admin("GET", "/keys", &json!({})).await.json();
    gateway.stop().await;
    books.close().unwrap();
    drop(books);
    let books = open();
    let gateway = Gateway::on(books.clone(), |_| {}).await;
    assert_eq!(gateway.admin("GET", "/keys", &json!({})).await.json(), before);
    assert_eq!((&before[1]["spendingLimit"], &before[0]["active"]), (&json!(7), &json!(false)));
    gateway.stop().await;
    books.close().unwrap();
}
