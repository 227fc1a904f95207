//! Named texts: of a query, of a form, or of a JSON object.

use std::collections::HashMap;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use paygate_core::key::record::truthy;
use paygate_core::text::number::json_to_text;
use serde_json::{Map, Value};
use url::form_urlencoded;

use crate::app::App;
use crate::http::body::{self, BodyError};
use crate::http::client_address::Peer;
use crate::http::request::Request;
use crate::http::respond::{self, IntoResponse, Response};

const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// Named texts. Of several with the same name the last counts.
#[derive(Debug, Default)]
pub(super) struct Parameters(HashMap<String, String>);

/// A request whose body was read.
pub(super) struct Sent {
    pub(super) headers: HeaderMap,
    pub(super) peer: Peer,
    pub(super) parameters: Parameters,
}

/// Why a body has no parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ParametersError {
    Body(BodyError),
    NotUtf8,
    NotAnObject,
}

impl IntoResponse for ParametersError {
    fn into_response(self) -> Response {
        match self {
            Self::Body(error) => error.into_response(),
            Self::NotUtf8 => respond::error(StatusCode::BAD_REQUEST, "Invalid UTF-8"),
            Self::NotAnObject => {
                respond::error(StatusCode::BAD_REQUEST, "Request body must be a JSON object or a form")
            }
        }
    }
}

impl Parameters {
    /// Those of a query, up to a second question mark.
    pub(super) fn of_query(request: &Request) -> Self {
        let query = request.head.uri.query().unwrap_or_default();
        Self::of_form(query.split('?').next().unwrap_or_default())
    }

    fn of_form(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// What says nothing in JavaScript's sense is not there, but for an empty text.
    fn of_object(object: Map<String, Value>) -> Self {
        let says = |value: &Value| truthy(value) || value.is_string();
        let given = object.into_iter().filter(|(_, value)| says(value));
        Self(given.map(|(name, value)| (name, json_to_text(&value))).collect())
    }

    /// Reads a body: as JSON if it is that, else as a form, whatever type it says it has.
    fn of_body(text: &str, says_form: bool) -> Result<Self, ParametersError> {
        match serde_json::from_str(text) {
            Ok(Value::Object(object)) => Ok(Self::of_object(object)),
            Ok(_) if !says_form => Err(ParametersError::NotAnObject),
            Ok(_) | Err(_) => Ok(Self::of_form(text)),
        }
    }

    /// A parameter that is there and not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.maybe_empty(name).filter(|text| !text.is_empty())
    }

    /// A parameter that is there.
    pub(super) fn maybe_empty(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl Sent {
    /// Reads the body of a request.
    pub(super) async fn read(app: &App, request: Request) -> Result<Self, ParametersError> {
        let Request { head, body, peer } = request;
        let headers = head.headers;
        let body = body::read(&headers, body, &app.limits).await.map_err(ParametersError::Body)?;
        let text = std::str::from_utf8(&body).map_err(|_| ParametersError::NotUtf8)?;
        let says_form = headers.get(CONTENT_TYPE).is_some_and(|said| said.as_bytes().starts_with(FORM));
        let parameters = Parameters::of_body(text, says_form)?;
        Ok(Self { headers, peer, parameters })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_json_if_it_can_be_and_else_a_form() {
        let json =
            Parameters::of_body(r#"{"a":"1","n":5,"a":"2","none":null,"no":false,"e":""}"#, true).unwrap();
        assert_eq!((json.text("a"), json.text("n")), (Some("2"), Some("5")));
        assert_eq!((json.text("none"), json.text("no"), json.text("e")), (None, None, None));
        assert_eq!((json.maybe_empty("e"), json.maybe_empty("none")), (Some(""), None));
        let form = Parameters::of_body("a=1+2%2F%C3%A4&b=&a=3+4", false).unwrap();
        assert_eq!((form.text("a"), form.text("b"), form.maybe_empty("b")), (Some("3 4"), None, Some("")));
        assert_eq!(Parameters::of_body("", false).unwrap().text("a"), None);
    }

    #[test]
    fn json_that_is_no_object_is_refused_unless_it_was_meant_as_a_form() {
        for scalar in ["null", "5", "[]", "\"a=1\"", "true"] {
            assert_eq!(Parameters::of_body(scalar, false).unwrap_err(), ParametersError::NotAnObject);
            assert_eq!(Parameters::of_body(scalar, true).unwrap().text("a"), None);
        }
    }
}
