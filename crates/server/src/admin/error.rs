//! Why an admin request is refused, and the one place that says by which status.

use http::StatusCode;
use paygate_core::credits::CreditsError;
use paygate_core::journal::JournalError;

use crate::http::request::ObjectError;
use crate::http::respond::{self, IntoResponse, Response};

/// Why an admin request is refused. Unless it says otherwise, nothing was changed.
#[derive(Debug)]
pub(crate) enum AdminError {
    /// The body is no JSON object.
    Object(ObjectError),
    /// Fields are missing, by the text that programs know.
    Missing(&'static str),
    /// Credits are not a whole number above zero.
    CreditsNotPositive,
    /// A field has a value that cannot be used.
    Field { name: &'static str, problem: &'static str },
    /// A sum would pass the bound of credits.
    Credits(CreditsError),
    /// There is no such key that may be used.
    KeyNotUsable,
    /// The change was made and will be written, but is not durable yet.
    NotDurable(JournalError),
}

impl From<ObjectError> for AdminError {
    fn from(error: ObjectError) -> Self {
        Self::Object(error)
    }
}

impl From<JournalError> for AdminError {
    fn from(error: JournalError) -> Self {
        Self::NotDurable(error)
    }
}

impl IntoResponse for AdminError {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::Object(error) => return error.into_response(),
            Self::Missing(message) => (StatusCode::BAD_REQUEST, message.to_owned()),
            Self::CreditsNotPositive => {
                (StatusCode::BAD_REQUEST, "Credits must be a positive integer".to_owned())
            }
            Self::Field { name, problem } => (StatusCode::BAD_REQUEST, format!("Invalid {name}: {problem}")),
            Self::Credits(error) => (StatusCode::BAD_REQUEST, format!("Invalid credits: {error}")),
            Self::KeyNotUsable => (StatusCode::NOT_FOUND, "Key not found or inactive".to_owned()),
            Self::NotDurable(error) => {
                (StatusCode::INTERNAL_SERVER_ERROR, format!("The change is not durable yet: {error}"))
            }
        };
        respond::error(status, &message)
    }
}
