//! `POST /keys/revoke`, `/keys/rotate` and `/keys/expiry`: how long a key is good for.

use std::sync::Arc;

use http::StatusCode;
use paygate_core::key::record::truthy;
use paygate_core::text::date::{json_to_date, local_zone};
use paygate_core::text::number::json_to_text;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::task::spawn_blocking;

use super::{NO_DATE, expiry_from_now};
use crate::admin::error::AdminError;
use crate::admin::fields;
use crate::app::App;
use crate::http::request::Request;
use crate::http::respond::{self, Response};

#[derive(Serialize)]
struct Revoked {
    message: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rotated {
    message: &'static str,
    new_key: String,
    name: String,
    credits: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExpirySet {
    expires_at: Value,
    message: String,
}

/// Revokes a key for good; again is fine.
pub(super) async fn revoke(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let body = request.into_object(&app).await?;
    let key = fields::key(&body)?.as_str().ok_or(AdminError::KeyNotFound)?;
    let revoked = app.ledger().revoke(key).ok_or(AdminError::KeyNotFound)?;
    app.saved(revoked.ticket).await?;
    app.news.key_revoked(key);
    Ok(respond::json(StatusCode::OK, &Revoked { message: "Key revoked" }))
}

/// Replaces a key by a new one, which is told this once and takes everything over.
pub(super) async fn rotate(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let body = request.into_object(&app).await?;
    let key = fields::key(&body)?.as_str().ok_or(AdminError::KeyNotUsable)?;
    // Those who hear of it may have a file of their own to write.
    let rotating = spawn_blocking({
        let (ledger, key) = (app.ledger().clone(), key.to_owned());
        move || ledger.rotate(&key)
    });
    let rotated = rotating.await.expect("a rotation does not panic").ok_or(AdminError::KeyNotUsable)?;
    let account = app.ledger().accounts.at(rotated.value).expect("accounts stay at their places");
    let successor = account.lock().clone();
    app.saved(rotated.ticket).await?;
    app.news.key_rotated(key, &successor.key);
    let told = Rotated {
        message: "Key rotated",
        new_key: successor.key.to_string(),
        name: successor.identity.name.to_string(),
        credits: successor.credits.get(),
    };
    Ok(respond::json(StatusCode::OK, &told))
}

/// Sets the end of a key, of a revoked or expired one too; without one it never ends.
pub(super) async fn set_expiry(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let body = request.into_object(&app).await?;
    let key = fields::key(&body)?.as_str().ok_or(AdminError::KeyNotFound)?;
    let expires_at = match expiry_from_now(&body, app.ledger().now())? {
        Some(end) => end.to_string().into(),
        None => given_expiry(&body)?,
    };
    let set = app.ledger().set_expiry(key, expires_at.clone()).ok_or(AdminError::KeyNotFound)?;
    app.saved(set.ticket).await?;
    app.news.key_expiry_updated(key, expires_at.clone());
    let message = if truthy(&expires_at) {
        format!("Key expires at {}", json_to_text(&expires_at))
    } else {
        "Expiry removed (key never expires)".to_owned()
    };
    Ok(respond::json(StatusCode::OK, &ExpirySet { expires_at, message }))
}

/// The date in a body, kept as it was given; what counts as nothing is no end.
fn given_expiry(body: &Map<String, Value>) -> Result<Value, AdminError> {
    let given = body.get("expiresAt").cloned().unwrap_or(Value::Null);
    let usable = !truthy(&given) || json_to_date(&given, local_zone()).is_some();
    if usable { Ok(given) } else { Err(NO_DATE) }
}
