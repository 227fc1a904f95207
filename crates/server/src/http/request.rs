//! A request as handlers see it.

use std::borrow::Cow;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use hyper::body::Incoming;
use serde_json::{Map, Value};

use super::body::{self, BodyError};
use super::client_address::Peer;
use super::respond::{self, IntoResponse, Response};
use crate::app::App;
use crate::config::HttpLimits;

/// A request whose body has not been read.
pub(crate) struct Request {
    pub(crate) head: Parts,
    pub(crate) body: Incoming,
    pub(crate) peer: Peer,
}

/// Why a body is not what a route takes. Nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObjectError {
    Body(BodyError),
    NotUtf8,
    NotJson,
    NotAnObject,
}

impl IntoResponse for ObjectError {
    fn into_response(self) -> Response {
        let bad = |message| respond::error(http::StatusCode::BAD_REQUEST, message);
        match self {
            Self::Body(error) => error.into_response(),
            Self::NotUtf8 => bad("Invalid UTF-8"),
            Self::NotJson => bad("Invalid JSON"),
            Self::NotAnObject => bad("Request body must be a JSON object"),
        }
    }
}

impl Request {
    /// The body as a JSON object; of members with the same name the last counts.
    pub(crate) async fn into_object(self, app: &App) -> Result<Map<String, Value>, ObjectError> {
        self.into_object_within(&app.limits).await
    }

    /// As [`Self::into_object`], with bounds of its own.
    pub(crate) async fn into_object_within(
        self,
        limits: &HttpLimits,
    ) -> Result<Map<String, Value>, ObjectError> {
        let body = body::read(&self.head.headers, self.body, limits).await.map_err(ObjectError::Body)?;
        parse_object(&body)
    }

    /// A parameter of the query; an empty one counts as none.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let query = self.head.uri.query().unwrap_or_default();
        // What follows a second question mark is not looked at; so 2.9.0 had it.
        let query = query.split('?').next().unwrap_or_default();
        let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let (_, value) = pairs.find(|(found, _)| form_text(found) == name)?;
        Some(form_text(value)).filter(|value| !value.is_empty())
    }
}

fn parse_object(body: &Bytes) -> Result<Map<String, Value>, ObjectError> {
    let text = std::str::from_utf8(body).map_err(|_| ObjectError::NotUtf8)?;
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(ObjectError::NotAnObject),
        Err(_) => Err(ObjectError::NotJson),
    }
}

/// Decodes form data: `+` is a blank, escapes are UTF-8.
pub(crate) fn form_text(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = || {
            let digits = after.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
            u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        };
        rest = after;
        match (first, escaped()) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A header's text; several of one name are joined by commas, so that none of them passes for the only one.
pub(crate) fn header_text(headers: &HeaderMap, name: HeaderName) -> Option<Cow<'_, str>> {
    let mut values = headers.get_all(name).into_iter();
    let first = values.next()?;
    let Some(second) = values.next() else {
        return Some(String::from_utf8_lossy(first.as_bytes()));
    };
    let texts =
        [first, second].into_iter().chain(values).map(|value| String::from_utf8_lossy(value.as_bytes()));
    Some(Cow::Owned(texts.collect::<Vec<_>>().join(", ")))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn form_data_is_decoded() {
        assert_eq!(form_text("a+b%20c%C3%A9"), "a b cé");
        assert_eq!(form_text("100%"), "100%");
        assert_eq!(form_text("%4"), "%4");
        assert_eq!(form_text("%+1"), "% 1");
        assert_eq!(form_text("%zz"), "%zz");
        assert_eq!(form_text("%ff"), "\u{FFFD}");
    }

    #[test]
    fn only_objects_are_taken() {
        let parsed = |body: &'static [u8]| parse_object(&Bytes::from_static(body));
        assert_eq!(parsed(br#"{"a":1,"a":2}"#).unwrap()["a"], 2);
        for scalar in [b"null".as_slice(), b"[]", b"5", b"\"x\"", b"true"] {
            assert_eq!(parsed(scalar).unwrap_err(), ObjectError::NotAnObject);
        }
        for broken in [b"".as_slice(), b"{", b"{} x"] {
            assert_eq!(parsed(broken).unwrap_err(), ObjectError::NotJson);
        }
        assert_eq!(parsed(b"{\"a\":\"\xff\"}").unwrap_err(), ObjectError::NotUtf8);
    }

    #[test]
    fn a_header_that_comes_twice_is_neither_of_the_two() {
        let mut headers = HeaderMap::new();
        let name = HeaderName::from_static("x-api-key");
        assert_eq!(header_text(&headers, name.clone()), None);
        headers.append(&name, HeaderValue::from_static("a"));
        assert_eq!(header_text(&headers, name.clone()).as_deref(), Some("a"));
        headers.append(&name, HeaderValue::from_static("b"));
        assert_eq!(header_text(&headers, name).as_deref(), Some("a, b"));
    }
}
