//! How the endpoints of OAuth refuse, and the one place that says by which status.

use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::parameters::ParametersError;
use crate::auth::oauth::OAuthError;
use crate::http::request::ObjectError;
use crate::http::respond::{self, IntoResponse, Response};

/// Why a request of a client, or of a browser, is refused. Nothing was issued or registered.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The body cannot be read.
    Parameters(ParametersError),
    /// The body of a registration cannot be read.
    Registration(ObjectError),
    /// What a client says of itself is incomplete or wrong.
    Metadata(String),
    /// Too many clients were registered in the last minute.
    TooManyRegistrations,
    /// The provider does not register a client.
    NotRegistered(OAuthError),
    /// A browser cannot be sent anywhere.
    NotAuthorized { error: &'static str, description: Option<String> },
    /// A form was sent by somebody else's page.
    ForeignPage,
    /// A grant that is not known.
    UnsupportedGrantType,
    /// There is no token to give back.
    TokenMissing,
    /// The provider issues no tokens; and whether the client showed who it is by the `Authorization` header.
    NotIssued { error: OAuthError, by_header: bool },
}

#[derive(Serialize)]
struct Told<'a> {
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_description: Option<String>,
}

/// The code for all that is wrong with a registration.
const METADATA: &str = "invalid_client_metadata";

impl From<ParametersError> for Refusal {
    fn from(error: ParametersError) -> Self {
        Self::Parameters(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let bad = StatusCode::BAD_REQUEST;
        let (status, error, description) = match self {
            Self::Parameters(error) => return error.into_response(),
            Self::Registration(ObjectError::Body(error)) => return error.into_response(),
            Self::Registration(ObjectError::NotJson | ObjectError::NotUtf8 | ObjectError::NotAnObject) => {
                (bad, METADATA, None)
            }
            Self::Metadata(description) => (bad, METADATA, Some(description)),
            Self::TooManyRegistrations => {
                let description = "Too many registrations, try again in a minute".to_owned();
                (StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", Some(description))
            }
            Self::NotRegistered(OAuthError::TooManyClients) => {
                let description = OAuthError::TooManyClients.to_string();
                (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", Some(description))
            }
            Self::NotRegistered(error) => (bad, METADATA, Some(error.to_string())),
            Self::NotAuthorized { error, description } => (bad, error, description),
            Self::ForeignPage => {
                let description = "The form was not sent by this server's own page".to_owned();
                (StatusCode::FORBIDDEN, "access_denied", Some(description))
            }
            Self::UnsupportedGrantType => (bad, "unsupported_grant_type", None),
            Self::TokenMissing => (bad, "invalid_request", Some("token is required".to_owned())),
            Self::NotIssued { error, by_header } => return not_issued(&error, by_header),
        };
        let mut response = respond::json(status, &Told { error, error_description: description });
        if status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
        }
        response
    }
}

fn not_issued(error: &OAuthError, by_header: bool) -> Response {
    let unauthenticated = *error == OAuthError::ClientUnauthenticated;
    let status = if unauthenticated { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
    let told = Told { error: error.code(), error_description: Some(error.to_string()) };
    let mut response = respond::json(status, &told);
    if unauthenticated && by_header {
        let scheme = HeaderValue::from_static("Basic realm=\"paygate-mcp\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    }
    response
}
