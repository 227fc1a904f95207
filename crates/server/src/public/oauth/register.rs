//! `POST /oauth/register`: a client registers itself (RFC 7591).

use std::sync::Arc;

use http::StatusCode;
use paygate_core::key::record::truthy;
use paygate_core::text::number::json_to_text;
use serde_json::{Map, Value, json};
use tokio::task::spawn_blocking;

use super::refusal::Refusal;
use super::{endpoint, provider};
use crate::app::App;
use crate::auth::oauth::{Registered, Registration};
use crate::config::HttpLimits;
use crate::http::client_address::client_address;
use crate::http::request::Request;
use crate::http::respond::{self, Response};
use crate::http::route::Routes;

/// Longest body: clients are kept, and anybody may register one.
const BODY_BYTES_MAX: usize = 16 << 10;

pub(crate) fn routes(routes: &mut Routes) {
    endpoint(routes, "/oauth/register").post(register);
}

/// Registers a client and tells its secret, this once.
async fn register(app: Arc<App>, request: Request) -> Result<Response, Refusal> {
    let address = client_address(&request.peer, &request.head.headers, &app.trusted_proxies).into_owned();
    let limits = HttpLimits { body_bytes_max: app.limits.body_bytes_max.min(BODY_BYTES_MAX), ..app.limits };
    let body = request.into_object_within(&limits).await.map_err(Refusal::Registration)?;
    let registration = registration(&body)?;
    if !provider(&app).registration_permitted(&address) {
        return Err(Refusal::TooManyRegistrations);
    }
    let provider = provider(&app).clone();
    let registered = spawn_blocking(move || provider.register_client(registration));
    let registered = registered
        .await
        .expect("registering cannot fail in any other way")
        .map_err(Refusal::NotRegistered)?;
    app.news.oauth_client_registered(&registered.client.lock());
    let mut response = respond::json(StatusCode::CREATED, &told(&registered, app.ledger().now().0 / 1000));
    respond::forbid_storing(response.headers_mut());
    Ok(response)
}

fn registration(body: &Map<String, Value>) -> Result<Registration, Refusal> {
    let given = |name: &str| body.get(name).filter(|value| truthy(value));
    let text = |name: &str| given(name).map(json_to_text);
    let uris = given("redirect_uris").filter(|uris| uris.as_array().is_none_or(|uris| !uris.is_empty()));
    let (Some(name), Some(uris)) = (given("client_name"), uris) else {
        return Err(Refusal::Metadata("client_name and redirect_uris are required".to_owned()));
    };
    let Value::String(client_name) = name else {
        return Err(Refusal::Metadata("client_name must be a text".to_owned()));
    };
    let redirect_uris = match uris {
        Value::Array(uris) => uris.iter().map(json_to_text).collect(),
        // A text is walked as 2.9.0 walked it, and fails on its first character.
        Value::String(uri) => uri.chars().map(String::from).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            return Err(Refusal::Metadata("redirect_uris must be a list".to_owned()));
        }
    };
    Ok(Registration {
        client_name: client_name.clone(),
        redirect_uris,
        grant_types: body.get("grant_types").cloned(),
        scope: text("scope"),
        api_key: text("api_key"),
        token_endpoint_auth_method: text("token_endpoint_auth_method"),
    })
}

/// A client that says how it authenticates knows the standard, and is told what that asks for; others are told what
/// 2.9.0 told them.
fn told(registered: &Registered, issued_at_seconds: i64) -> Map<String, Value> {
    let client = registered.client.lock();
    let field = |name: &str| client.value(name).cloned().unwrap_or_default();
    let auth_method = client.value("tokenEndpointAuthMethod").cloned();
    let mut told = Map::new();
    let mut tell = |name: &str, value: Value| drop(told.insert(name.to_owned(), value));
    tell("client_id", field("clientId"));
    if let Some(secret) = &registered.secret {
        tell("client_secret", secret.as_str().into());
    }
    tell("client_name", field("clientName"));
    tell("redirect_uris", field("redirectUris"));
    tell("grant_types", field("grantTypes"));
    tell("scope", field("scope"));
    tell("client_id_issued_at", issued_at_seconds.into());
    if let Some(method) = auth_method {
        tell("token_endpoint_auth_method", method);
        tell("response_types", json!(["code"]));
        if registered.secret.is_some() {
            tell("client_secret_expires_at", 0.into());
        }
    }
    told
}
