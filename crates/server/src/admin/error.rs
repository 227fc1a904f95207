//! Why an admin request is refused, and the one place that says by which status.

use std::io;

use http::StatusCode;
use paygate_core::credits::CreditsError;
use paygate_core::journal::JournalError;
use paygate_core::key::team::AssignError;
use paygate_core::usage::{AlertRuleError, AnalyticsError};

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
    /// There is no such key.
    KeyNotFound,
    /// There is no such key that may join a team.
    KeyUnknown,
    /// There is no such team.
    TeamUnknown,
    /// There is no such team that could be changed.
    TeamNotActive,
    /// There is no such team that could be deleted.
    TeamNotThere,
    /// A key cannot join a team.
    NotAssigned(AssignError),
    /// A key is not in the team.
    NotAMember,
    /// No payment of that event waits for a key.
    PaymentNotThere,
    /// The record of payments could not be read.
    Payments(JournalError),
    /// A rule for alerts is none.
    AlertRule(AlertRuleError),
    /// There is no report for what was asked.
    Analytics(AnalyticsError),
    /// What is on record could not be read.
    Unreadable(io::Error),
    /// The rules for alerts are used, but the next start will not know them.
    RulesNotKept(io::Error),
    /// The change was made and will be written, but is not durable yet.
    NotDurable(JournalError),
}

impl From<ObjectError> for AdminError {
    fn from(error: ObjectError) -> Self {
        Self::Object(error)
    }
}

impl From<AlertRuleError> for AdminError {
    fn from(error: AlertRuleError) -> Self {
        Self::AlertRule(error)
    }
}

impl From<AnalyticsError> for AdminError {
    fn from(error: AnalyticsError) -> Self {
        Self::Analytics(error)
    }
}

impl From<io::Error> for AdminError {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
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
            Self::KeyNotFound => (StatusCode::NOT_FOUND, "Key not found".to_owned()),
            Self::KeyUnknown => (StatusCode::NOT_FOUND, "API key not found".to_owned()),
            Self::TeamUnknown => (StatusCode::NOT_FOUND, "Team not found".to_owned()),
            Self::TeamNotActive => (StatusCode::NOT_FOUND, "Team not found or inactive".to_owned()),
            Self::TeamNotThere => (StatusCode::NOT_FOUND, "Team not found or already deleted".to_owned()),
            Self::NotAssigned(error) => (StatusCode::BAD_REQUEST, error.code().to_owned()),
            Self::NotAMember => (StatusCode::NOT_FOUND, "Key not found in team".to_owned()),
            Self::PaymentNotThere => {
                (StatusCode::NOT_FOUND, "Payment not found or already granted".to_owned())
            }
            Self::Payments(error) => {
                (StatusCode::INTERNAL_SERVER_ERROR, format!("Payments cannot be read: {error}"))
            }
            Self::AlertRule(error) => (StatusCode::BAD_REQUEST, error.to_string()),
            Self::Analytics(error) => (StatusCode::BAD_REQUEST, error.to_string()),
            Self::Unreadable(error) => {
                tracing::error!(%error, "a report could not be made");
                (StatusCode::INTERNAL_SERVER_ERROR, "Internal server error".to_owned())
            }
            Self::RulesNotKept(error) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("The rules are used, but could not be kept: {error}"),
            ),
            Self::NotDurable(error) => {
                (StatusCode::INTERNAL_SERVER_ERROR, format!("The change is not durable yet: {error}"))
            }
        };
        respond::error(status, &message)
    }
}
