//! `POST /oauth/token` and `POST /oauth/revoke`: tokens are issued, and given back (RFC 7009).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use paygate_core::key::record::number_value;
use serde::Serialize;
use serde_json::Value;
use tokio::task::spawn_blocking;

use super::parameters::{Parameters, Sent};
use super::refusal::Refusal;
use super::{endpoint, provider};
use crate::app::App;
use crate::auth::oauth::{
    CodeExchange, Credentials, OAuthError, OAuthProvider, RefreshRequest, Token, TokenGrant,
};
use crate::http::request::{Request, form_text};
use crate::http::respond::{self, Response};
use crate::http::route::Routes;

pub(crate) fn routes(routes: &mut Routes) {
    endpoint(routes, "/oauth/token").post(issue);
    endpoint(routes, "/oauth/revoke").post(revoke);
}

/// What a client is given, as the standard names it.
#[derive(Serialize)]
struct Issued<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    scope: &'a str,
}

/// A client and its secret, as the `Authorization` header has them.
struct Basic {
    client_id: String,
    secret: String,
}

/// How a client names itself, and what it shows.
struct Client {
    id: Option<String>,
    basic: Option<Basic>,
    secret: Option<String>,
}

/// What tokens are asked for with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grant {
    AuthorizationCode,
    RefreshToken,
}

impl Grant {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "authorization_code" => Self::AuthorizationCode,
            "refresh_token" => Self::RefreshToken,
            _ => return None,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
        }
    }
}

impl Client {
    /// A client that names itself in two ways must name the same.
    fn of(headers: &HeaderMap, parameters: &Parameters) -> Result<Self, OAuthError> {
        let text = |name: &str| parameters.text(name).map(str::to_owned);
        let basic = basic(headers);
        let (id, secret) = (text("client_id"), text("client_secret"));
        if let (Some(basic), Some(id)) = (&basic, &id)
            && basic.client_id != *id
        {
            return Err(OAuthError::ClientUnauthenticated);
        }
        Ok(Self { id, basic, secret })
    }

    fn id(&self) -> &str {
        let in_header = || self.basic.as_ref().map(|basic| basic.client_id.as_str());
        self.id.as_deref().or_else(in_header).unwrap_or_default()
    }

    /// What it shows to an endpoint for which no way was registered.
    fn credentials_anywhere(&self) -> Credentials<'_> {
        match self.credentials() {
            Credentials::Absent => Credentials::Absent,
            Credentials::InBody(secret) | Credentials::InHeader(secret) | Credentials::Anywhere(secret) => {
                Credentials::Anywhere(secret)
            }
        }
    }

    fn credentials(&self) -> Credentials<'_> {
        match (&self.basic, &self.secret) {
            (Some(basic), _) => Credentials::InHeader(&basic.secret),
            (None, Some(secret)) => Credentials::InBody(secret),
            (None, None) => Credentials::Absent,
        }
    }
}

/// The name and the secret of `Authorization: Basic`, each encoded as in a form.
fn basic(headers: &HeaderMap) -> Option<Basic> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (client_id, secret) = decoded.split_once(':')?;
    Some(Basic { client_id: form_text(client_id), secret: form_text(secret) })
}

/// Issues tokens for a code or a refresh token.
async fn issue(app: Arc<App>, request: Request) -> Result<Response, Refusal> {
    let Sent { headers, parameters, .. } = Sent::read(&app, request).await?;
    let grant =
        parameters.text("grant_type").and_then(Grant::from_name).ok_or(Refusal::UnsupportedGrantType)?;
    let by_header = headers.contains_key(AUTHORIZATION);
    let refused = |error| Refusal::NotIssued { error, by_header };
    let client = Client::of(&headers, &parameters).map_err(refused)?;
    let provider = provider(&app).clone();
    let issued = spawn_blocking(move || {
        let issued = granted(&provider, grant, &client, &parameters)?;
        let token = provider.token(&issued.access_token);
        Ok((issued, token))
    });
    let (issued, token) = issued.await.expect("issuing cannot fail in any other way").map_err(refused)?;
    // Somebody else may have revoked it already.
    if let Some(token) = token {
        app.news.oauth_token_issued(&token, grant.name());
    }
    let told = Issued {
        access_token: &issued.access_token,
        token_type: "Bearer",
        expires_in: number_value(issued.expires_in_seconds),
        refresh_token: issued.refresh_token.as_deref(),
        scope: &issued.scope,
    };
    let mut response = respond::json(StatusCode::OK, &told);
    respond::forbid_storing(response.headers_mut());
    Ok(response)
}

fn granted(
    provider: &OAuthProvider,
    grant: Grant,
    client: &Client,
    parameters: &Parameters,
) -> Result<TokenGrant, OAuthError> {
    let text = |name: &str| parameters.text(name).unwrap_or_default();
    let (client_id, credentials) = (client.id(), client.credentials());
    match grant {
        Grant::AuthorizationCode => provider.exchange_code(&CodeExchange {
            code: text("code"),
            client_id,
            redirect_uri: text("redirect_uri"),
            code_verifier: parameters.maybe_empty("code_verifier"),
            credentials,
        }),
        Grant::RefreshToken => provider.refresh_access_token(&RefreshRequest {
            refresh_token: text("refresh_token"),
            client_id,
            scope: parameters.text("scope"),
            credentials,
        }),
    }
}

/// Revokes a token and all that came of the same approval. One that is unknown is as good as revoked.
async fn revoke(app: Arc<App>, request: Request) -> Result<Response, Refusal> {
    #[derive(Serialize)]
    struct Revoked {
        revoked: bool,
    }
    let Sent { headers, parameters, .. } = Sent::read(&app, request).await?;
    let text = parameters.text("token").ok_or(Refusal::TokenMissing)?.to_owned();
    let by_header = headers.contains_key(AUTHORIZATION);
    let refused = |error| Refusal::NotIssued { error, by_header };
    let client = Client::of(&headers, &parameters).map_err(refused)?;
    let provider = provider(&app).clone();
    let revoked = spawn_blocking(move || revoked(&provider, &text, &client));
    if let Some(token) = revoked.await.expect("revoking cannot fail in any other way").map_err(refused)? {
        app.news.oauth_token_revoked(&token);
    }
    Ok(respond::json(StatusCode::OK, &Revoked { revoked: true }))
}

/// Revokes a token, if there is one. Whoever has it may, unless its client has said how it shows who it is.
fn revoked(provider: &OAuthProvider, text: &str, client: &Client) -> Result<Option<Arc<Token>>, OAuthError> {
    let Some(token) = provider.token(text) else { return Ok(None) };
    provider.authenticate_client(token.client_id(), client.credentials_anywhere())?;
    Ok(provider.revoke_token(text).then_some(token))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn shown(header: &str) -> Option<(String, String)> {
        let headers = [(AUTHORIZATION, HeaderValue::try_from(header).unwrap())].into_iter().collect();
        basic(&headers).map(|basic| (basic.client_id, basic.secret))
    }

    #[test]
    fn the_header_has_a_name_and_a_secret_encoded_twice() {
        let encoded = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(shown(&encoded("a:b")), Some(("a".into(), "b".into())));
        assert_eq!(shown(&encoded("a:b:c").replace("Basic", "basic")), Some(("a".into(), "b:c".into())));
        assert_eq!(shown(&encoded("a%3Ab:c+d%2F")), Some(("a:b".into(), "c d/".into())));
        assert_eq!(shown(&encoded("a:")), Some(("a".into(), String::new())));
        for none in ["Basic", "Basic ", "Basic !!", &encoded("a"), "Bearer pg_1"] {
            assert_eq!(shown(none), None, "{none}");
        }
    }
}
