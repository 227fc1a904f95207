//! `POST /keys`: makes a key.

use std::sync::Arc;

use http::StatusCode;
use paygate_core::clock::Timestamp;
use paygate_core::credits::Credits;
use paygate_core::key::record::{Expiry, Field, Record, truthy};
use paygate_core::ledger::KeyOptions;
use paygate_core::limit::quota::Quota;
use paygate_core::text::clean;
use paygate_core::text::number::json_to_text;
use paygate_core::text::trim::{cut, trim};
use serde_json::{Map, Value};

use super::{NO_DATE, allowlist, expiry_from_now, quota};
use crate::admin::error::AdminError;
use crate::admin::fields;
use crate::app::App;
use crate::http::request::Request;
use crate::http::respond::{self, Response};

/// The balance of a key that is given none.
const CREDITS_DEFAULT: f64 = 100.0;
/// Longest name of a key, in UTF-16 units.
const NAME_UNITS_MAX: usize = 200;

/// Makes a key and tells it, this once.
pub(super) async fn create(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let body = request.into_object(&app).await?;
    let name = given_name(&body);
    let credits = initial_credits(body.get("credits"))?;
    let options = KeyOptions {
        allowed_tools: list_field(&body, "allowedTools").into_iter().collect(),
        denied_tools: list_field(&body, "deniedTools").into_iter().collect(),
        expiry: expiry(&body, app.ledger().now())?,
        quota: own_quota(&body)?,
        tags: body.get("tags").map(clean::tags).unwrap_or_default(),
        ip_allowlist: allowlist("ipAllowlist", body.get("ipAllowlist"))?,
        namespace: body.get("namespace").and_then(Value::as_str).map(|name| clean::namespace(name).into()),
    };
    let written = app.ledger().create(trim(&name), credits, options);
    let account = app.ledger().accounts.at(written.value).expect("accounts stay at their places");
    let record = account.lock().clone();
    app.saved(written.ticket).await?;
    app.news.key_created(&record, &name);
    Ok(respond::json(StatusCode::CREATED, &told(&record)))
}

/// The name as it was given, of which a record keeps what is left when it has been trimmed.
fn given_name(body: &Map<String, Value>) -> String {
    let given = body.get("name").filter(|name| truthy(name));
    given.map_or_else(|| "unnamed".to_owned(), |name| cut(&json_to_text(name), NAME_UNITS_MAX).to_owned())
}

fn told(record: &Record) -> Map<String, Value> {
    let fields = [
        Field::Key,
        Field::Name,
        Field::Credits,
        Field::AllowedTools,
        Field::DeniedTools,
        Field::ExpiresAt,
        Field::Tags,
        Field::IpAllowlist,
        Field::Namespace,
    ];
    let value = |field: Field| record.value(field.name()).unwrap_or(Value::Null);
    let mut told: Map<_, _> =
        fields.into_iter().map(|field| (field.name().to_owned(), value(field))).collect();
    told.insert("message".to_owned(), "Save this key — it cannot be retrieved later.".into());
    told
}

fn initial_credits(value: Option<&Value>) -> Result<Credits, AdminError> {
    let number = match value {
        None | Some(Value::Null) => CREDITS_DEFAULT,
        Some(value) => fields::number("credits", value).map_err(|_| AdminError::CreditsNotPositive)?,
    };
    let credits = Credits::floored(number).map_err(AdminError::Credits)?;
    if credits == Credits::ZERO { Err(AdminError::CreditsNotPositive) } else { Ok(credits) }
}

fn list_field(body: &Map<String, Value>, name: &str) -> Vec<Box<str>> {
    body.get(name).map(clean::name_list).unwrap_or_default()
}

/// The key's own quota, if it is given one. What is no object sets no limit.
fn own_quota(body: &Map<String, Value>) -> Result<Option<Quota>, AdminError> {
    let Some(given) = body.get("quota").filter(|given| truthy(given)) else { return Ok(None) };
    given.as_object().map_or_else(|| Ok(Quota::default()), quota).map(Some)
}

/// The end of a key: so many seconds from now, or a date.
fn expiry(body: &Map<String, Value>, now: Timestamp) -> Result<Expiry, AdminError> {
    if let Some(end) = expiry_from_now(body, now)? {
        return Ok(Expiry::new(&end.to_string()));
    }
    let Some(date) = body.get("expiresAt").filter(|date| truthy(date)) else { return Ok(Expiry::default()) };
    let expiry = Expiry::new(&json_to_text(date));
    if expiry.at.is_some() { Ok(expiry) } else { Err(NO_DATE) }
}
