//! How sessions begin and end, by the rules of either era.

use serde_json::json;

use crate::gateway::{Answer, Gateway};

const REVISION: (&str, &str) = ("MCP-Protocol-Version", "2025-11-25");

async fn ping(gateway: &Gateway, headers: &[(&str, &str)]) -> Answer {
    gateway.send("POST", "/mcp", headers, r#"{"id":1,"method":"ping"}"#).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_revision_every_message_has_a_session() {
    let gateway = Gateway::with(|config| config.free_methods.extend(["ping".to_owned()])).await;
    let first = ping(&gateway, &[]).await;
    let session = first.header("mcp-session-id").unwrap().to_owned();
    assert!(session.starts_with("mcp_sess_") && session.len() == 41, "{session}");
    let again = ping(&gateway, &[("Mcp-Session-Id", &session)]).await;
    assert_eq!(again.header("mcp-session-id"), Some(session.as_str()));
    let unknown = ping(&gateway, &[("Mcp-Session-Id", "mcp_sess_unknown")]).await;
    assert_eq!(unknown.status, 200);
    assert_ne!(unknown.header("mcp-session-id"), Some("mcp_sess_unknown"));
    assert_ne!(ping(&gateway, &[]).await.header("mcp-session-id"), Some(session.as_str()));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_revision_sessions_begin_with_initialize_and_their_end_is_told() {
    let gateway = Gateway::start().await;
    let outside = ping(&gateway, &[REVISION]).await;
    assert_eq!((outside.status, outside.header("mcp-session-id")), (200, None));
    let body = json!({ "id": 1, "method": "initialize" }).to_string();
    let begun = gateway.send("POST", "/mcp", &[REVISION], &body).await;
    let session = begun.header("mcp-session-id").unwrap().to_owned();
    let inside = [REVISION, ("Mcp-Session-Id", session.as_str())];
    assert_eq!(ping(&gateway, &inside).await.status, 200);
    assert_eq!(
        gateway.send("DELETE", "/mcp", &inside, "").await.json(),
        json!({ "message": "Session terminated" })
    );
    let ended = ping(&gateway, &inside).await;
    assert_eq!((ended.status, ended.json()), (404, json!({ "error": "Session not found" })));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ending_a_session_takes_its_id() {
    let gateway = Gateway::start().await;
    let none = gateway.send("DELETE", "/mcp", &[], "").await;
    assert_eq!((none.status, none.json()), (400, json!({ "error": "Missing Mcp-Session-Id header" })));
    let unknown = gateway.send("DELETE", "/mcp", &[("Mcp-Session-Id", "bogus")], "").await;
    assert_eq!((unknown.status, unknown.json()), (404, json!({ "error": "Session not found" })));
    gateway.stop().await;
}
