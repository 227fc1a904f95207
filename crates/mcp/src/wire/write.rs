//! Answers of our own, compact and with their members in the order of 2.9.0.

use serde::Serialize;

use super::{Id, outgoing::json};

/// Writes an answer with a result. An absent id is left out.
#[must_use]
pub fn result(id: Id<'_>, result: &impl Serialize) -> Vec<u8> {
    let mut out = head(id);
    out.extend_from_slice(b",\"result\":");
    out.extend_from_slice(&json(result));
    out.push(b'}');
    out
}

/// Writes an answer with an error. An absent id is left out.
#[must_use]
pub fn error(id: Id<'_>, code: i64, message: &str) -> Vec<u8> {
    let mut out = open_error(id, code, message);
    out.extend_from_slice(b"}}");
    out
}

/// Writes an answer with an error that has `data`. An absent id is left out.
#[must_use]
pub fn error_with_data(id: Id<'_>, code: i64, message: &str, data: &impl Serialize) -> Vec<u8> {
    let mut out = open_error(id, code, message);
    out.extend_from_slice(b",\"data\":");
    out.extend_from_slice(&json(data));
    out.extend_from_slice(b"}}");
    out
}

fn open_error(id: Id<'_>, code: i64, message: &str) -> Vec<u8> {
    let mut out = head(id);
    out.extend_from_slice(b",\"error\":{\"code\":");
    out.extend_from_slice(code.to_string().as_bytes());
    out.extend_from_slice(b",\"message\":");
    out.extend_from_slice(&json(message));
    out
}

fn head(id: Id<'_>) -> Vec<u8> {
    let mut out = b"{\"jsonrpc\":\"2.0\"".to_vec();
    if let Some(id) = id.raw() {
        out.extend_from_slice(b",\"id\":");
        out.extend_from_slice(id.as_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_compact_and_in_order() {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        assert_eq!(text(result(Id::Raw("7.0"), &json!({}))), r#"{"jsonrpc":"2.0","id":7.0,"result":{}}"#);
        assert_eq!(text(result(Id::Absent, &json!({}))), r#"{"jsonrpc":"2.0","result":{}}"#);
        assert_eq!(
            text(error(Id::Null, -32700, "a \"b\"\n")),
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"a \"b\"\n"}}"#
        );
        assert_eq!(
            text(error_with_data(Id::Raw("\"x\""), -32402, "m", &json!({ "creditsRequired": 5 }))),
            r#"{"jsonrpc":"2.0","id":"x","error":{"code":-32402,"message":"m","data":{"creditsRequired":5}}}"#
        );
    }
}
