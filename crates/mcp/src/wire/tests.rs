//! What renumbering must leave alone.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json, value::RawValue};

use super::*;

fn line_of(body: &Bytes, id: &str) -> String {
    let envelope = Envelope::parse(body).unwrap();
    let mut line = Vec::new();
    Outgoing::forward(body, &envelope).write_line(id, &mut line);
    String::from_utf8(line).unwrap()
}

fn answer(line: &'static str, client_id: Id<'_>) -> Bytes {
    Reply::parse(&Bytes::from_static(line.as_bytes())).unwrap().answer(client_id).into_bytes()
}

#[test]
fn a_request_goes_out_with_our_id_and_otherwise_as_written() {
    let body = Bytes::from_static(
        b"\r\n{\"x\": 9007199254740993,\r\n \"id\" : \"a\\n\", \"method\":\"tools/call\"}\n",
    );
    assert_eq!(line_of(&body, "12"), "{\"x\": 9007199254740993,   \"id\" : 12, \"method\":\"tools/call\"}\n");
}

#[test]
fn a_request_without_an_id_gets_one() {
    let body = Bytes::from_static(b"{ \"method\":\"tools/call\"}");
    assert_eq!(line_of(&body, "12"), "{\"id\":12,\"method\":\"tools/call\"}\n");
    let body = Bytes::from_static(b"{\"method\":\"tools/call\",\"id\":null}");
    assert_eq!(line_of(&body, "12"), "{\"method\":\"tools/call\",\"id\":12}\n");
}

#[test]
fn a_renamed_call_keeps_its_other_members() {
    let renamed = |message: &'static str| {
        let body = Bytes::from_static(message.as_bytes());
        let envelope = Envelope::parse(&body).unwrap();
        let call = ToolCall::from_params(envelope.params).unwrap();
        let mut line = Vec::new();
        Outgoing::forward_renamed(&body, &envelope, &call, "a:\"b\"").write_line("1", &mut line);
        String::from_utf8(line).unwrap()
    };
    assert_eq!(
        renamed(r#"{"id":"fs:x","params":{"name":"fs:x","_meta":{}},"method":"m"}"#),
        "{\"id\":1,\"params\":{\"name\":\"a:\\\"b\\\"\",\"_meta\":{}},\"method\":\"m\"}\n"
    );
    assert_eq!(
        renamed(r#"{"params":{"x":1.0,"name":"fs:x"},"id":5}"#),
        "{\"params\":{\"x\":1.0,\"name\":\"a:\\\"b\\\"\"},\"id\":1}\n"
    );
    assert_eq!(
        renamed(r#"{"params":{"name":"fs:x"}}"#),
        "{\"id\":1,\"params\":{\"name\":\"a:\\\"b\\\"\"}}\n"
    );
}

#[test]
fn a_call_of_a_batch_becomes_a_request_of_its_own() {
    let arguments: &RawValue = serde_json::from_str("{\"n\":\n1.0}").unwrap();
    let mut line = Vec::new();
    Outgoing::tool_call("a\"b", Some(arguments)).write_line("3", &mut line);
    Outgoing::tool_call("c", None).write_line("4", &mut line);
    assert_eq!(
        String::from_utf8(line).unwrap(),
        "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"tools/call\",\"params\":{\"name\":\"a\\\"b\",\"arguments\":{\"n\": 1.0}}}\n\
         {\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"tools/call\",\"params\":{\"name\":\"c\"}}\n"
    );
}

#[test]
fn an_answer_comes_back_under_the_clients_id() {
    let line = r#"{"result":{"n":9007199254740993,"é":1e400},"unknown":[1.0],"id":12}"#;
    assert_eq!(
        answer(line, Id::Raw("\"é✓\"")),
        r#"{"result":{"n":9007199254740993,"é":1e400},"unknown":[1.0],"id":"é✓"}"#
    );
    assert_eq!(answer(r#"{"id":12,"result":1}"#, Id::Absent), r#"{"id":null,"result":1}"#);
}

#[test]
fn a_payload_is_not_copied() {
    let line = Bytes::from(format!("{{\"id\":1,\"result\":\"{}\"}}", "漢字".repeat(1_000_000)));
    let parts = Reply::parse(&line).unwrap().answer(Id::Raw("2")).into_parts();
    assert_eq!(parts[0].as_ptr(), line.as_ptr());
    assert_eq!(parts[2].as_ptr(), line[7..].as_ptr());
}

#[test]
fn an_answer_tells_how_the_request_ended() {
    let outcome =
        |line: &'static str| Reply::parse(&Bytes::from_static(line.as_bytes())).map(|r| r.outcome());
    assert_eq!(outcome(r#"{"id":1,"result":{"isError":false}}"#), Ok(Outcome::Result));
    assert_eq!(outcome(r#"{"id":1,"result":null}"#), Ok(Outcome::Result));
    assert_eq!(outcome(r#"{"id":1,"result":{"content":[],"isError" : true}}"#), Ok(Outcome::ToolError));
    // The word elsewhere than among the result's own members says nothing.
    assert_eq!(outcome(r#"{"id":1,"result":{"x":{"isError":true}}}"#), Ok(Outcome::Result));
    assert_eq!(outcome(r#"{"id":1,"result":["isError",true],"isError":true}"#), Ok(Outcome::Result));
    assert_eq!(outcome(r#"{"id":1,"result":{"isError":"true"}}"#), Ok(Outcome::Result));
    assert_eq!(outcome(r#"{"id":1,"error":{"code":-32050}}"#), Ok(Outcome::Error { code: Some(-32050) }));
    assert_eq!(outcome(r#"{"id":1,"error":"x","result":{}}"#), Ok(Outcome::Error { code: None }));
    assert_eq!(outcome(r#"{"id":1,"error":null,"result":{}}"#), Ok(Outcome::Result));
    assert_eq!(outcome(r#"{"id":1}"#), Err(WireError::NotAReply));
    assert_eq!(outcome(r#"{"id":1,"result":NaN}"#), Err(WireError::NotJson));
}

#[test]
fn a_payload_can_be_taken_out() {
    let reply = |line: &'static str| Reply::parse(&Bytes::from_static(line.as_bytes())).unwrap();
    let result = reply(r#"{"id":1,"result":{"a": 1}}"#);
    assert_eq!((result.result().map(RawValue::get), result.error().is_none()), (Some("{\"a\": 1}"), true));
    let error = reply(r#"{"id":1,"result":2,"error":{"code":1}}"#);
    assert_eq!((error.error().map(RawValue::get), error.result().is_none()), (Some("{\"code\":1}"), true));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The members of a message in any order, the id among them; compact or over several lines.
fn any_message() -> impl Strategy<Value = (String, String)> {
    let id = prop_oneof![any::<i64>().prop_map(Value::from), any::<String>().prop_map(Value::from)];
    (id, any_json(), any_json(), any::<prop::sample::Index>(), any::<bool>()).prop_map(
        |(id, a, b, at, pretty)| {
            let mut members = vec![("method", json!("m")), ("result", a), ("extra", b)];
            members.insert(at.index(4), ("id", id.clone()));
            let message =
                Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
            let text = if pretty { format!("{message:#}") } else { message.to_string() };
            (text, id.to_string())
        },
    )
}

proptest! {
    #[test]
    fn nothing_but_the_id_changes_on_the_way_to_a_backend_and_back((text, id) in any_message()) {
        let body = Bytes::from(text.clone());
        let line = line_of(&body, "18446744073709551615");
        prop_assert_eq!(line.matches(['\r', '\n']).count(), 1);

        let back = Reply::parse(&Bytes::from(line)).unwrap().answer(Id::Raw(&id)).into_bytes();
        prop_assert_eq!(back, splice::one_line(text.into()));
    }

    #[test]
    fn no_bytes_are_too_odd_to_be_read(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Envelope::parse(&bytes);
        let _ = Reply::parse(&Bytes::from(bytes));
    }

    /// Close to messages, so that the readers get past the first byte.
    #[test]
    fn no_text_is_too_odd_to_be_read(text in "[{}\\[\\]:,\"\\\\ \nidmethoparslu0-9.e]{0,48}") {
        if let Ok(envelope) = Envelope::parse(text.as_bytes()) {
            let _ = ToolCall::from_params(envelope.params);
            let _ = BatchCalls::from_params(envelope.params, 10);
            let body = Bytes::copy_from_slice(text.as_bytes());
            let line = line_of(&body, "1");
            prop_assert_eq!(Envelope::parse(line.as_bytes()).unwrap().id, Id::Raw("1"));
        }
    }
}
