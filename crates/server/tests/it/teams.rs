//! Budgets that keys share, who is in them, who is told.

use paygate_store::{OpenOptions, StateFile};
use serde_json::{Value, json};
use std::sync::Arc;

use crate::gateway::Gateway;

/// What a request is answered with.
async fn ask(gateway: &Gateway, method: &str, path: &str, body: Value) -> (u16, Value) {
    let answer = gateway.admin(method, path, &body).await;
    (answer.status, answer.json())
}

async fn make(gateway: &Gateway, body: Value) -> Value {
    let (status, told) = ask(gateway, "POST", "/teams", body).await;
    assert_eq!((status, &told["message"]), (201, &json!("Team created")), "{told}");
    told["team"].clone()
}

fn id(team: &Value) -> &str {
    team["id"].as_str().unwrap()
}

fn masked(key: &str) -> String {
    format!("{}...{}", &key[..7], &key[key.len() - 4..])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_is_made_of_what_it_was_given() {
    let gateway = Gateway::start().await;
    let team = make(
        &gateway,
        json!({
            "name": " Eng ", "description": 7, "budget": "10.9", "quota": { "dailyCallLimit": 3, "more": "x" },
            "tags": { "b": null, "1": 1, " a ": " " },
        }),
    )
    .await;
    assert_eq!(
        team,
        json!({
            "id": team["id"], "name": "Eng", "description": "7", "memberKeys": [], "budget": 10, "totalSpent": 0,
            "quota": { "dailyCallLimit": 3, "more": "x" }, "quotaDailyCalls": 0, "quotaMonthlyCalls": 0,
            "quotaDailyCredits": 0, "quotaMonthlyCredits": 0, "quotaLastResetDay": team["quotaLastResetDay"],
            "quotaLastResetMonth": team["quotaLastResetMonth"], "tags": { "1": "1", "b": "null", " a ": " " },
            "createdAt": team["createdAt"], "active": true,
        })
    );
    let names: Vec<&String> = team.as_object().unwrap().keys().collect();
    assert_eq!(names[..7], ["id", "name", "description", "memberKeys", "budget", "totalSpent", "quota"]);
    let blank = make(&gateway, json!({ "name": " ", "budget": null, "quota": null, "tags": false })).await;
    assert_eq!((&blank["name"], &blank["budget"], &blank["tags"]), (&json!(""), &json!(0), &json!({})));
    assert_eq!(blank.get("quota"), Some(&Value::Null));
    let listed = gateway.admin("GET", "/teams", &json!({})).await;
    assert!(listed.body.starts_with("{\"teams\":[{\"id\":\"team_"), "compact: {}", listed.body);
    assert_eq!(listed.json()["count"], 2);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_team_is_refused() {
    let gateway = Gateway::start().await;
    let team = make(&gateway, json!({ "name": "a" })).await;
    let refusals = [
        ("/teams", json!({}), 400, "Missing required field: name"),
        ("/teams", json!({ "name": 5 }), 400, "Missing required field: name"),
        ("/teams", json!({ "name": "a", "budget": "lots" }), 400, "Invalid budget: must be a number"),
        ("/teams", json!({ "name": "a", "budget": [5] }), 400, "Invalid budget: must be a number"),
        (
            "/teams/update",
            json!({ "teamId": team["id"], "quota": { "monthlyCallLimit": "" } }),
            400,
            "Invalid quota.monthlyCallLimit: must be a number",
        ),
        ("/teams/update", json!({ "teamId": 5 }), 400, "Missing required field: teamId"),
        ("/teams/update", json!({ "teamId": "nope" }), 404, "Team not found or inactive"),
        ("/teams/delete", json!({}), 400, "Missing required field: teamId"),
        ("/teams/delete", json!({ "teamId": "nope" }), 404, "Team not found or already deleted"),
        ("/teams/assign", json!({ "teamId": "t" }), 400, "Missing required field: key"),
        ("/teams/assign", json!({ "teamId": "t", "key": "pg_x" }), 404, "API key not found"),
        ("/teams/remove", json!({ "teamId": "t", "key": "pg_x" }), 404, "Key not found in team"),
    ];
    for (path, body, status, error) in refusals {
        assert_eq!(
            ask(&gateway, "POST", path, body.clone()).await,
            (status, json!({ "error": error })),
            "{path} {body}"
        );
    }
    let use_post = json!({ "error": "Method not allowed. Use POST." });
    for path in ["/teams/update", "/teams/delete", "/teams/assign", "/teams/remove"] {
        assert_eq!(ask(&gateway, "GET", path, json!({})).await, (405, use_post.clone()));
        assert_eq!(gateway.get(path, &[]).await.status, 401, "the key comes first");
    }
    let use_get = json!({ "error": "Method not allowed. Use GET." });
    assert_eq!(ask(&gateway, "POST", "/teams/usage", json!({})).await, (405, use_get));
    assert_eq!(gateway.admin("PUT", "/teams", &json!({})).await.header("allow"), Some("GET, POST"));
    let missing = json!({ "error": "Missing required query param: teamId" });
    assert_eq!(ask(&gateway, "GET", "/teams/usage?teamId=", json!({})).await, (400, missing));
    let unknown = json!({ "error": "Team not found" });
    assert_eq!(ask(&gateway, "GET", "/teams/usage?teamId=nope", json!({})).await, (404, unknown));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_share_a_budget_and_are_shown_masked() {
    let gateway = Gateway::start().await;
    let (team, other) = (make(&gateway, json!({ "name": "a", "budget": 3 })).await, {
        make(&gateway, json!({ "name": "b" })).await
    });
    let (key, second) = (gateway.key(50).await, gateway.key(50).await);
    let join = async |team: &Value, key: &str| {
        ask(&gateway, "POST", "/teams/assign", json!({ "teamId": team["id"], "key": key })).await
    };
    let joined = (200, json!({ "message": "Key assigned to team" }));
    assert_eq!(join(&team, &key).await, joined);
    assert_eq!(join(&team, &key).await, joined, "again is no change");
    assert_eq!(join(&team, &second).await, joined);
    assert_eq!(join(&other, &key).await, (400, json!({ "error": "key_already_in_team" })));
    assert_eq!(join(&json!({ "id": "nope" }), &key).await, (400, json!({ "error": "team_not_found" })));
    let expired = gateway.key_with(json!({ "expiresAt": "2001-01-01" })).await;
    assert_eq!(join(&team, &expired).await, (404, json!({ "error": "API key not found" })));

    for (key, allowed) in [(&key, true), (&key, true), (&second, true), (&second, false)] {
        assert_eq!(gateway.call(key, "echo", json!({})).await.json().get("result").is_some(), allowed);
    }
    let path = format!("/teams/usage?teamId={}", id(&team));
    let member = |key: &str, credits: u64, spent: u64| {
        json!({ "keyMasked": masked(key), "name": "unnamed", "credits": credits, "totalSpent": spent,
            "totalCalls": spent })
    };
    assert_eq!(
        ask(&gateway, "GET", &path, json!({})).await.1,
        json!({
            "teamId": team["id"], "teamName": "a", "memberCount": 2, "totalBudget": 3, "totalSpent": 3,
            "remainingBudget": 0, "members": [member(&key, 48, 2), member(&second, 49, 1)],
        })
    );
    let (_, updated) =
        ask(&gateway, "POST", "/teams/update", json!({ "teamId": team["id"], "budget": "4.5" })).await;
    assert_eq!((&updated["message"], &updated["team"]["budget"]), (&json!("Team updated"), &json!(4)));
    assert_eq!(updated["team"]["memberKeys"], json!([masked(&key), masked(&second)]));
    assert!(gateway.call(&second, "echo", json!({})).await.json().get("result").is_some());

    let left = ask(&gateway, "POST", "/teams/remove", json!({ "teamId": team["id"], "key": key })).await;
    assert_eq!(left, (200, json!({ "message": "Key removed from team" })));
    assert!(gateway.call(&key, "echo", json!({})).await.json().get("result").is_some());
    let gone = ask(&gateway, "POST", "/teams/delete", json!({ "teamId": team["id"] })).await;
    assert_eq!(gone, (200, json!({ "message": "Team deleted" })));
    let after = ask(&gateway, "GET", &path, json!({})).await.1;
    assert_eq!((&after["memberCount"], &after["totalSpent"]), (&json!(0), &json!(4)));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_are_merged_and_a_quota_is_taken_away() {
    let gateway = Gateway::start().await;
    let team = make(&gateway, json!({ "name": "a", "quota": {}, "tags": { "a": "1", "b": "2" } })).await;
    let change = json!({ "teamId": team["id"], "name": null, "quota": null, "tags": { "a": null, "c": 3 } });
    let (_, told) = ask(&gateway, "POST", "/teams/update", change).await;
    assert_eq!(told["team"]["tags"], json!({ "b": "2", "c": "3" }));
    assert_eq!((told["team"].get("quota"), &told["team"]["name"]), (None, &json!("null")));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_of_a_team_is_logged() {
    let gateway = Gateway::start().await;
    let team = make(&gateway, json!({ "name": "a", "budget": 5 })).await;
    let key = gateway.key(1).await;
    let member = json!({ "teamId": team["id"], "key": key });
    gateway.admin("POST", "/teams/update", &json!({ "teamId": team["id"] })).await;
    gateway.admin("POST", "/teams/assign", &member).await;
    gateway.admin("POST", "/teams/remove", &member).await;
    gateway.admin("POST", "/teams/delete", &json!({ "teamId": team["id"] })).await;
    let events: Vec<Value> = gateway.news.audit.events().iter().map(|event| json!(&**event)).collect();
    let of_team = |event: &&Value| event["type"].as_str().unwrap().starts_with("team.");
    let logged: Vec<_> = events.iter().filter(of_team).collect();
    let id = id(&team);
    let expected = [
        ("team.created", "Team created: a".to_owned(), json!({ "teamId": id, "teamName": "a", "budget": 5 })),
        ("team.updated", format!("Team updated: {id}"), json!({ "teamId": id })),
        (
            "team.key_assigned",
            format!("Key assigned to team {id}"),
            json!({ "teamId": id, "keyMasked": masked(&key) }),
        ),
        (
            "team.key_removed",
            format!("Key removed from team {id}"),
            json!({ "teamId": id, "keyMasked": masked(&key) }),
        ),
        ("team.deleted", format!("Team deleted: {id}"), json!({ "teamId": id })),
    ];
    assert_eq!(logged.len(), expected.len());
    for (event, (kind, message, metadata)) in logged.into_iter().zip(expected) {
        assert_eq!(
            (&event["type"], &event["actor"], &event["message"], &event["metadata"]),
            (&json!(kind), &json!("admin"), &json!(message), &metadata)
        );
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn teams_are_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Arc::new(StateFile::open(OpenOptions::new(folder.path().join("state.json"))).unwrap());
    let gateway = Gateway::on(open(), |_| {}).await;
    let team = make(&gateway, json!({ "name": "a", "budget": 2, "tags": { "x": "y" } })).await;
    let key = gateway.key(50).await;
    gateway.admin("POST", "/teams/assign", &json!({ "teamId": team["id"], "key": key })).await;
    assert!(gateway.call(&key, "echo", json!({})).await.json().get("result").is_some());
    let books = gateway.books.clone();
    gateway.stop().await;
    books.close().unwrap();
    drop(books);

    let gateway = Gateway::on(open(), |_| {}).await;
    let (_, told) = ask(&gateway, "GET", "/teams", json!({})).await;
    let kept = &told["teams"][0];
    assert_eq!(
        (&kept["id"], &kept["totalSpent"], &kept["tags"], &kept["memberKeys"]),
        (&team["id"], &json!(1), &json!({ "x": "y" }), &json!([masked(&key)]))
    );
    for allowed in [true, false] {
        assert_eq!(gateway.call(&key, "echo", json!({})).await.json().get("result").is_some(), allowed);
    }
    gateway.stop().await;
}
