//! One message, seen from outside.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{
    Id, WireError,
    members::{MembersError, Names, read_members, read_string},
};

/// How deep lists and objects of a client's message may be nested, the message itself included.
pub const DEPTH_MAX: usize = 64;

/// A borrowed view of one JSON-RPC message, whose payloads are left unparsed.
#[derive(Debug, Clone)]
pub struct Envelope<'a> {
    /// The id, as written.
    pub id: Id<'a>,
    /// The method, without its escapes.
    pub method: Option<Cow<'a, str>>,
    /// The raw `params`.
    pub params: Option<&'a RawValue>,
    /// The raw `result`.
    pub result: Option<&'a RawValue>,
    /// The raw `error`; a `null` counts as none, as answers of JSON-RPC 1.0 have it.
    pub error: Option<&'a RawValue>,
    /// The whole message, without the white space around it.
    pub(super) text: &'a str,
    /// The id's place in `text`, also when it is `null`.
    pub(super) id_raw: Option<&'a str>,
}

/// What a message is, judged by the members it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A method and an id: an answer is expected.
    Request,
    /// A method without an id, or with a `null` one: no answer is expected.
    Notification,
    /// No method, but a result or an error.
    Response,
    /// None of these.
    Neither,
}

impl<'a> Envelope<'a> {
    /// Reads a client's message.
    ///
    /// The message that is judged has to be the one the backend understands, so whatever two
    /// readers could read in two ways is refused, and so is what some readers could not take in.
    ///
    /// # Errors
    /// Any [`WireError`] with the codes -32700 and -32600.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let envelope = Self::read(bytes, Names::Unmistakable)?;
        if deeper_than(envelope.text.as_bytes(), DEPTH_MAX) {
            return Err(WireError::TooDeep { levels_max: DEPTH_MAX });
        }
        Ok(envelope)
    }

    /// Reads a backend's message: like [`parse`](Self::parse), but as deep as it likes and with
    /// whatever other members it likes.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_from_backend(bytes: &'a [u8]) -> Result<Self, WireError> {
        Self::read(bytes, Names::Exact)
    }

    fn read(bytes: &'a [u8], names: Names) -> Result<Self, WireError> {
        let text = std::str::from_utf8(bytes).map_err(|_| WireError::NotUtf8)?;
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        let wanted = ["jsonrpc", "id", "method", "params", "result", "error"];
        let [_, id, method, params, result, error] = read_members(text, wanted, names).map_err(refusal)?;
        Ok(Self {
            id: id.map_or(Ok(Id::Absent), read_id)?,
            method: method.map(|raw| read_string(raw).ok_or(WireError::BadMethod)).transpose()?,
            params,
            result,
            error: error.filter(|raw| raw.get() != "null"),
            text,
            id_raw: id.map(RawValue::get),
        })
    }

    /// Tells what the message is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match (&self.method, self.id) {
            (Some(_), Id::Raw(_)) => Kind::Request,
            (Some(_), Id::Absent | Id::Null) => Kind::Notification,
            (None, _) if self.result.is_some() || self.error.is_some() => Kind::Response,
            (None, _) => Kind::Neither,
        }
    }
}

fn refusal(error: MembersError) -> WireError {
    match error {
        MembersError::Syntax => WireError::NotJson,
        MembersError::NotAnObject => WireError::NotAnObject,
        MembersError::Duplicate(name) => WireError::DuplicateMember { name },
        MembersError::Lookalike { found, name } => WireError::LookalikeMember { found, name },
    }
}

fn read_id(raw: &RawValue) -> Result<Id<'_>, WireError> {
    match raw.get().as_bytes() {
        b"null" => Ok(Id::Null),
        [b'"' | b'-' | b'0'..=b'9', ..] => Ok(Id::Raw(raw.get())),
        _ => Err(WireError::BadId),
    }
}

/// Whether valid JSON is nested deeper than `levels_max`.
fn deeper_than(json: &[u8], levels_max: usize) -> bool {
    // Most messages have fewer brackets than that, and counting them is far cheaper than reading.
    if memchr::memchr2_iter(b'{', b'[', json).nth(levels_max).is_none() {
        return false;
    }
    let mut levels = 0;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => levels += 1,
            b'}' | b']' => levels -= 1,
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
        if levels > levels_max {
            return true;
        }
    }
    false
}

fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(message: &str) -> WireError {
        Envelope::parse(message.as_bytes()).unwrap_err()
    }

    #[test]
    fn ids_keep_their_type_and_digits() {
        for id in
            ["7", "\"7\"", "-5", "0", "9007199254740993", "1.0", "\"\"", "\"007\"", "\"é✓\"", "\"\\u00e9\""]
        {
            let message = format!(" {{\"id\" : {id} ,\"method\":\"ping\"}}\n");
            assert_eq!(Envelope::parse(message.as_bytes()).unwrap().id, Id::Raw(id));
        }
    }

    #[test]
    fn a_message_is_judged_by_its_members() {
        let kind = |message: &str| Envelope::parse(message.as_bytes()).unwrap().kind();
        assert_eq!(kind(r#"{"id":1,"method":"ping"}"#), Kind::Request);
        assert_eq!(kind(r#"{"id":null,"method":"ping"}"#), Kind::Notification);
        assert_eq!(kind(r#"{"method":"ping"}"#), Kind::Notification);
        assert_eq!(kind(r#"{"id":1,"result":null}"#), Kind::Response);
        assert_eq!(kind(r#"{"id":1,"error":{}}"#), Kind::Response);
        assert_eq!(kind(r#"{"id":1,"error":null}"#), Kind::Neither);
        assert_eq!(kind("{}"), Kind::Neither);
    }

    #[test]
    fn a_method_is_read_without_its_escapes() {
        let envelope = Envelope::parse(br#"{"m\u0065thod":"tools\/call"}"#).unwrap();
        assert_eq!(envelope.method.as_deref(), Some("tools/call"));
    }

    #[test]
    fn what_is_no_message_is_told_apart() {
        assert_eq!(Envelope::parse(b"{\"method\":\"\xff\"}").unwrap_err(), WireError::NotUtf8);
        for text in ["", "{", "{\"id\":1,}", "{\"id\":1} x", "[1,", "nope", "{\"id\":01}", "{\"a\":\"\n\"}"] {
            assert_eq!(refused(text), WireError::NotJson, "{text}");
        }
        for json in ["[]", "[{\"id\":1}]", "42", "null", "\"x\"", "true"] {
            assert_eq!(refused(json), WireError::NotAnObject, "{json}");
        }
        for id in ["true", "[]", "{}"] {
            assert_eq!(refused(&format!("{{\"id\":{id}}}")), WireError::BadId, "{id}");
        }
        assert_eq!(refused("{\"method\":7}"), WireError::BadMethod);
    }

    #[test]
    fn failures_have_the_codes_of_json_rpc() {
        assert_eq!(
            (WireError::NotJson.code(), WireError::NotJson.message().as_str()),
            (-32700, "Parse error")
        );
        assert_eq!(WireError::NotUtf8.code(), -32700);
        assert_eq!(WireError::NotAnObject.code(), -32600);
        assert_eq!(WireError::MissingToolName.code(), -32602);
    }

    /// Two readers of a message with two methods may run two different methods: one is charged,
    /// the other runs.
    #[test]
    fn a_message_that_could_be_read_in_two_ways_is_refused() {
        assert_eq!(
            refused(r#"{"method":"ping","m\u0065thod":"tools/call"}"#),
            WireError::DuplicateMember { name: "method" }
        );
        assert_eq!(refused(r#"{"id":1,"id":1}"#).message(), "Invalid Request: duplicate member \"id\"");
        for found in ["Method", "METHOD", "paramſ"] {
            let message = format!("{{\"method\":\"ping\",\"{found}\":\"tools/call\"}}");
            assert!(matches!(refused(&message), WireError::LookalikeMember { found: f, .. } if f == found));
        }
        let backends = Envelope::parse_from_backend(br#"{"id":1,"result":{},"Result":{}}"#);
        assert!(backends.is_ok(), "a backend's own members are its own affair");
    }

    #[test]
    fn nesting_is_counted_in_levels_and_not_in_brackets() {
        let nested = |levels: usize| {
            let inner = levels - 1;
            format!("{{\"params\":{}{}}}", "[".repeat(inner), "]".repeat(inner))
        };
        assert!(Envelope::parse(nested(64).as_bytes()).is_ok());
        assert_eq!(refused(&nested(65)), WireError::TooDeep { levels_max: 64 });
        assert_eq!(refused(&nested(500_000)), WireError::TooDeep { levels_max: 64 });
        let wide = format!("{{\"params\":[{}{{}}], \"x\":\"\\\"{}\"}}", "[],".repeat(100), "[".repeat(100));
        assert!(Envelope::parse(wide.as_bytes()).is_ok());
        assert!(Envelope::parse_from_backend(nested(500).as_bytes()).is_ok());
    }
}
