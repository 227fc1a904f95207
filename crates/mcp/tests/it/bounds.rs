//! Time-outs, full queues, oversized and malformed answers.

use std::time::Duration;

use paygate_mcp_wire::stdio::CallError;
use serde_json::json;

use crate::child::{call, call_with, config, notification, result, seen, soon, start};

#[tokio::test]
async fn a_request_that_is_not_answered_in_time_fails_and_is_cancelled() {
    let mut config = config("plain");
    config.request_timeout = Duration::from_secs(1);
    let backend = start(config).await;
    soon(backend.request(call("echo"))).await.unwrap();
    let error = soon(backend.request(call("silent"))).await.unwrap_err();
    assert_eq!(error, CallError::TimedOut { after: Duration::from_secs(1), reached: true });
    assert_eq!(error.to_string(), "Request timed out after 1s");
    assert_eq!(soon(seen(&backend)).await[2..], ["echo", "silent", "notifications/cancelled", "seen"]);
    backend.stop().await;
}

#[tokio::test]
async fn a_late_answer_is_dropped() {
    let mut config = config("plain");
    config.request_timeout = Duration::from_secs(1);
    let backend = start(config).await;
    soon(backend.request(call("hold"))).await.unwrap_err();
    let before = backend.status().lines_dropped;
    assert_eq!(result(&soon(backend.request(call("release"))).await.unwrap()), 1);
    assert_eq!(result(&soon(backend.request(call("echo"))).await.unwrap()), json!({}));
    assert_eq!(backend.status().lines_dropped - before, 1);
    backend.stop().await;
}

#[tokio::test]
async fn a_full_queue_refuses_and_what_was_never_written_was_never_reached() {
    let mut config = config("mute");
    config.initialize_timeout = Duration::from_secs(3600);
    config.request_timeout = Duration::from_millis(50);
    config.queue_messages_max = 2;
    let backend = start(config).await;
    let first = backend.begin(call("echo")).unwrap();
    backend.notify(notification("notifications/x")).unwrap();

    let error = backend.begin(call("echo")).unwrap_err();
    assert_eq!((&error, error.reached()), (&CallError::QueueFull, false));
    assert_eq!(backend.notify(notification("notifications/x")), Err(CallError::QueueFull));

    let error = soon(first.answer()).await.unwrap_err();
    assert_eq!(error, CallError::TimedOut { after: Duration::from_millis(50), reached: false });
    assert!(backend.begin(call("echo")).is_ok(), "the place of the one that gave up is free");
    backend.stop().await;
}

#[tokio::test]
async fn a_queue_is_bounded_in_bytes_too() {
    let mut config = config("mute");
    config.initialize_timeout = Duration::from_secs(3600);
    config.queue_bytes_max = 1000;
    let backend = start(config).await;
    let long = || call_with("echo", &json!({ "text": "x".repeat(500) }));
    let first = backend.begin(long()).unwrap();
    assert_eq!(backend.begin(long()).unwrap_err(), CallError::QueueFull);
    drop(first);
    assert!(backend.begin(long()).is_ok());
    backend.stop().await;
}

#[tokio::test]
async fn a_request_given_up_in_the_queue_is_never_written_and_disturbs_no_other() {
    let mut config = config("mute");
    config.initialize_timeout = Duration::from_millis(100);
    let backend = start(config).await;
    let before = backend.begin(call("echo")).unwrap();
    let given_up = backend.begin(call("crash")).unwrap();
    let after = backend.begin(call("seen")).unwrap();
    drop(given_up);
    soon(before.answer()).await.unwrap();
    assert_eq!(result(&soon(after.answer()).await.unwrap()).as_array().unwrap()[2..], ["echo", "seen"]);
    backend.stop().await;
}

#[tokio::test]
async fn a_request_given_up_after_it_was_written_disturbs_no_other() {
    let backend = start(config("plain")).await;
    let held = backend.begin(call("hold")).unwrap();
    let kept = backend.begin(call_with("hold", &json!({ "kept": true }))).unwrap();
    // Answered after both have been read.
    soon(seen(&backend)).await;
    drop(held);
    assert_eq!(result(&soon(backend.request(call("release"))).await.unwrap()), 2);
    assert_eq!(result(&soon(kept.answer()).await.unwrap()), json!({ "kept": true }));
    backend.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_none_ends_its_request_at_once() {
    let backend = start(config("plain")).await;
    for tool in ["neither", "nan"] {
        let error = soon(backend.request(call(tool))).await.unwrap_err();
        assert!(matches!(error, CallError::Unparsable { .. }), "{tool}: {error}");
        assert!(error.reached());
    }
    assert!(soon(backend.request(call("echo"))).await.is_ok());
    backend.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_too_long_ends_its_request_alone() {
    let mut config = config("plain");
    config.answer_bytes_max = 1_000_000;
    let backend = start(config).await;
    let error = soon(backend.request(call("big"))).await.unwrap_err();
    assert_eq!(error.to_string(), "Server sent an unusable answer: longer than 1000000 bytes");
    assert!(soon(backend.request(call("echo"))).await.is_ok());
    backend.stop().await;
}
