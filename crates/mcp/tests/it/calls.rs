//! Requests, answers, and what a child says unasked.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use paygate_mcp_wire::{
    stdio::{CallError, Exit, Inbound, StdioBackend},
    wire::{Envelope, Id, Outcome, Outgoing},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::child::{call, call_with, config, notification, result, seen, soon, start};

#[tokio::test]
async fn each_of_two_callers_gets_its_own_answer_under_its_own_id() {
    let backend = start(config("plain")).await;
    let begin = |message: &'static str| {
        let body = Bytes::from_static(message.as_bytes());
        let envelope = Envelope::parse(&body).unwrap();
        (backend.begin(Outgoing::forward(&body, &envelope)).unwrap(), message, body.clone())
    };
    let calls = [
        begin(
            r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"hold","arguments":{"n":0}}}"#,
        ),
        begin(
            r#"{"jsonrpc":"2.0","id":"7","method":"tools/call","params":{"name":"hold","arguments":{"n":1}}}"#,
        ),
        begin(
            r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"hold","arguments":{"n":2}}}"#,
        ),
        begin(
            r#"{"id":9007199254740993,"method":"tools/call","params":{"name":"hold","arguments":{"n":3}}}"#,
        ),
        begin(r#"{"id":"é✓","method":"tools/call","params":{"name":"hold","arguments":{"n":4}}}"#),
    ];
    assert_eq!(result(&soon(backend.request(call("release"))).await.unwrap()), 5);
    for (n, (call, message, body)) in calls.into_iter().enumerate() {
        let reply = soon(call.answer()).await.unwrap();
        let id = Envelope::parse(&body).unwrap().id;
        let answer = reply.answer(id).into_bytes();
        let expected = format!("{{\"id\":{},\"result\":{{\"n\":{n}}}}}", id.raw().unwrap());
        assert_eq!(answer, expected, "{message}");
    }
    backend.stop().await;
}

#[tokio::test]
async fn many_requests_at_once_are_all_answered() {
    let backend = start(config("plain")).await;
    let calls: Vec<_> =
        (0..500).map(|n| backend.begin(call_with("echo", &json!({ "n": n }))).unwrap()).collect();
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(result(&soon(call.answer()).await.unwrap()), json!({ "n": n }));
    }
    let status = backend.status();
    assert_eq!((status.pending, status.queued), (0, 0));
    backend.stop().await;
}

#[tokio::test]
async fn multi_byte_text_arrives_whole_however_it_is_cut() {
    let backend = start(config("plain")).await;
    let reply = soon(backend.request(call("dribble"))).await.unwrap();
    assert!(reply.answer(Id::Raw("1")).into_bytes().ends_with("\"result\":\"é漢🎉\"}".as_bytes()));
    backend.stop().await;
}

#[tokio::test]
async fn long_answers_and_long_requests_arrive_unchanged() {
    let backend = start(config("plain")).await;
    let big = soon(backend.request(call("big"))).await.unwrap();
    assert_eq!(big.result().unwrap().get(), format!("\"{}\"", "漢é".repeat(1_000_000)));
    let text = json!({ "text": "ä漢".repeat(150_000) });
    assert_eq!(result(&soon(backend.request(call_with("echo", &text))).await.unwrap()), text);
    backend.stop().await;
}

#[tokio::test]
async fn errors_are_answers() {
    let backend = start(config("plain")).await;
    let reply = soon(backend.request(call("unknown"))).await.unwrap();
    assert_eq!(reply.outcome(), Outcome::Error { code: Some(-32050) });
    assert_eq!(reply.error().unwrap().get(), r#"{"code":-32050,"message":"unknown"}"#);
    backend.stop().await;
}

#[tokio::test]
async fn noise_between_the_answers_is_skipped_and_counted() {
    let backend = start(config("plain")).await;
    soon(backend.request(call("echo"))).await.unwrap();
    let before = backend.status().lines_dropped;
    assert_eq!(result(&soon(backend.request(call("noise"))).await.unwrap()), "after noise");
    // Not JSON (twice), a number, an answer to nobody, a byte order mark, no text.
    assert_eq!(backend.status().lines_dropped - before, 6);
    backend.stop().await;
}

#[tokio::test]
async fn a_child_is_greeted_before_it_is_called() {
    let backend = start(config("plain")).await;
    backend.notify(notification("notifications/roots/list_changed")).unwrap();
    let seen = soon(seen(&backend)).await;
    assert_eq!(
        seen,
        ["initialize paygate-mcp", "notifications/initialized", "notifications/roots/list_changed", "seen"]
    );
    backend.stop().await;
}

#[tokio::test]
async fn a_child_that_refuses_the_greeting_is_called_all_the_same() {
    let backend = start(config("refusing")).await;
    assert_eq!(soon(seen(&backend)).await, ["initialize paygate-mcp", "seen"]);
    backend.stop().await;
}

#[tokio::test]
async fn a_child_that_ignores_the_greeting_is_called_after_a_while() {
    let mut config = config("mute");
    config.initialize_timeout = Duration::from_millis(50);
    let backend = start(config).await;
    assert_eq!(soon(seen(&backend)).await, ["initialize paygate-mcp", "notifications/initialized", "seen"]);
    backend.stop().await;
}

#[tokio::test]
async fn a_child_is_not_greeted_when_the_callers_do_that() {
    let mut config = config("plain");
    config.initialize = None;
    let backend = start(config).await;
    assert_eq!(soon(seen(&backend)).await, ["seen"]);
    backend.stop().await;
}

#[tokio::test]
async fn a_child_that_asks_is_answered() {
    let backend = start(config("plain")).await;
    assert_eq!(result(&soon(backend.request(call("ask"))).await.unwrap()), "asked");
    let answers = result(&soon(backend.request(call("answers"))).await.unwrap());
    assert_eq!(
        answers,
        json!([
            { "jsonrpc": "2.0", "id": "p", "result": {} },
            { "jsonrpc": "2.0", "id": 2.5, "error": { "code": -32601, "message": "Method not found" } },
        ])
    );
    backend.stop().await;
}

/// Passes on what it hears, in the order in which it hears it.
struct Listener(mpsc::UnboundedSender<String>);

impl Inbound for Listener {
    fn notification(&self, message: &Bytes, envelope: &Envelope<'_>) {
        let method = envelope.method.as_deref().unwrap();
        let params: Value = serde_json::from_slice::<Value>(message).unwrap()["params"].take();
        self.0.send(format!("{method} {params}")).unwrap();
    }

    fn stderr(&self, text: &str) {
        self.0.send(format!("stderr {text:?}")).unwrap();
    }

    fn unparsable(&self, line: &str) {
        self.0.send(format!("unparsable {line}")).unwrap();
    }

    fn exited(&self, exit: Exit) {
        self.0.send(exit.to_string()).unwrap();
    }
}

#[tokio::test]
async fn what_a_child_says_unasked_is_heard() {
    let (sender, mut heard) = mpsc::unbounded_channel();
    let backend = StdioBackend::start(config("plain"), Arc::new(Listener(sender))).await.unwrap();
    soon(backend.request(call("ask"))).await.unwrap();
    soon(backend.request(call("noise"))).await.unwrap();
    soon(backend.request(call_with("stderr", &json!({ "text": "hé" })))).await.unwrap();
    // Refused, since this listener has no say in requests.
    assert_eq!(result(&soon(backend.request(call("answers"))).await.unwrap()).as_array().unwrap().len(), 2);
    let error = soon(backend.request(call("crash"))).await.unwrap_err();
    assert!(matches!(error, CallError::Exited { .. }));

    let mut wanted = vec![
        "notifications/message {\"n\":1}",
        "notifications/message {\"n\":2}",
        "unparsable not json",
        "stderr \"hé\\n\"",
        "exited with code 3",
    ];
    while let Some(next) = wanted.first() {
        if soon(heard.recv()).await.unwrap() == *next {
            wanted.remove(0);
        }
    }
    backend.stop().await;
}
