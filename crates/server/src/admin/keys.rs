//! `/keys`: makes keys and lists them.

use std::sync::Arc;

use http::StatusCode;
use paygate_core::clock::Timestamp;
use paygate_core::credits::Credits;
use paygate_core::key::address::{self, CompiledAllowlist};
use paygate_core::key::record::{Expiry, Field, Record, truthy};
use paygate_core::ledger::KeyOptions;
use paygate_core::limit::quota::Quota;
use paygate_core::text::clean;
use paygate_core::text::number::json_to_text;
use paygate_core::text::trim::{cut, trim};
use serde_json::{Map, Value};

use super::error::AdminError;
use super::fields;
use crate::app::App;
use crate::http::request::Request;
use crate::http::respond::{self, Response};
use crate::http::route::{Access, Routes};

/// The balance of a key that is given none.
const CREDITS_DEFAULT: f64 = 100.0;
/// Longest name of a key, in UTF-16 units.
const NAME_UNITS_MAX: usize = 200;
/// Dates end so many milliseconds after 1970.
const DATE_MS_MAX: f64 = 8.64e15;

pub(crate) fn routes(routes: &mut Routes) {
    routes.at("/keys", Access::AdminBeforeMethod).get(list).post(create);
}

/// `GET /keys`: lists all keys, or those of one tenant.
async fn list(app: Arc<App>, request: Request) -> Response {
    let namespace = request.parameter("namespace");
    let now = app.ledger().now();
    let accounts = app.ledger().accounts.all();
    let records = accounts.iter().map(|account| account.lock());
    let of_tenant = |record: &Record| {
        namespace.as_deref().is_none_or(|namespace| *record.identity.namespace == *namespace)
    };
    let told: Vec<_> = records.filter(|record| of_tenant(record)).map(|record| view(&record, now)).collect();
    respond::pretty_json(StatusCode::OK, &told)
}

/// A record as it is listed, with so much of its key as does not give it away.
pub(crate) fn view(record: &Record, now: Timestamp) -> Map<String, Value> {
    let mut view = record.masked(now);
    view.insert("keyPrefix".to_owned(), shown_prefix(&record.key).into());
    view
}

/// The first ten characters of a key, and never more than half of it.
fn shown_prefix(key: &str) -> String {
    let half = key.encode_utf16().count() / 2;
    let shown = if key.encode_utf16().count() <= 10 { half } else { 10 };
    format!("{}...", cut(key, shown))
}

/// `POST /keys`: makes a key and tells it, this once.
async fn create(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let body = request.into_object(&app).await?;
    let now = app.ledger().now();
    let name = match body.get("name").filter(|name| truthy(name)) {
        Some(name) => trim(cut(&json_to_text(name), NAME_UNITS_MAX)).to_owned(),
        None => "unnamed".to_owned(),
    };
    let credits = initial_credits(body.get("credits"))?;
    let options = KeyOptions {
        allowed_tools: list_field(&body, "allowedTools").into_iter().collect(),
        denied_tools: list_field(&body, "deniedTools").into_iter().collect(),
        expiry: expiry(&body, now)?,
        quota: body.get("quota").filter(|quota| truthy(quota)).map(quota).transpose()?,
        tags: body.get("tags").map(clean::tags).unwrap_or_default(),
        ip_allowlist: allowlist(&body)?,
        namespace: body.get("namespace").and_then(Value::as_str).map(|name| clean::namespace(name).into()),
    };
    let written = app.ledger().create(&name, credits, options);
    app.saved(written.ticket).await?;
    let account = app.ledger().accounts.at(written.value).expect("accounts stay at their places");
    let record = account.lock();
    Ok(respond::json(StatusCode::CREATED, &told(&record)))
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

/// The end of a key: so many seconds from now, or a date.
fn expiry(body: &Map<String, Value>, now: Timestamp) -> Result<Expiry, AdminError> {
    let given = |name| body.get(name).filter(|value| !value.is_null());
    let seconds = given("expiresIn").map(|value| fields::number("expiresIn", value)).transpose()?;
    if let Some(seconds) = seconds.filter(|seconds| *seconds > 0.0) {
        #[expect(clippy::cast_precision_loss, reason = "dates are below 2^53 ms")]
        let at = now.0 as f64 + seconds * 1000.0;
        if at > DATE_MS_MAX {
            return Err(AdminError::Field { name: "expiresIn", problem: "is beyond the range of dates" });
        }
        #[expect(clippy::cast_possible_truncation, reason = "within the range of dates")]
        return Ok(Expiry::new(&Timestamp(at as i64).to_string()));
    }
    let Some(date) = given("expiresAt").filter(|date| truthy(date)) else { return Ok(Expiry::default()) };
    let expiry = Expiry::new(&json_to_text(date));
    if expiry.at.is_none() {
        return Err(AdminError::Field { name: "expiresAt", problem: "is not a date" });
    }
    Ok(expiry)
}

fn quota(value: &Value) -> Result<Quota, AdminError> {
    Ok(Quota {
        daily_calls: fields::limit("quota.dailyCallLimit", value.get("dailyCallLimit"))?,
        monthly_calls: fields::limit("quota.monthlyCallLimit", value.get("monthlyCallLimit"))?,
        daily_credits: fields::limit("quota.dailyCreditLimit", value.get("dailyCreditLimit"))?,
        monthly_credits: fields::limit("quota.monthlyCreditLimit", value.get("monthlyCreditLimit"))?,
    })
}

/// The addresses a key may be used from. What is no address would lock everybody out.
fn allowlist(body: &Map<String, Value>) -> Result<CompiledAllowlist, AdminError> {
    let entries = list_field(body, "ipAllowlist");
    if entries.iter().any(|entry| address::validate(entry).is_err()) {
        return Err(AdminError::Field { name: "ipAllowlist", problem: "holds what is no address or range" });
    }
    Ok(CompiledAllowlist::new(entries))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_shown_whole() {
        assert_eq!(shown_prefix("pg_0123456789abcdef"), "pg_0123456...");
        assert_eq!(shown_prefix("pg_1234567"), "pg_12...");
        assert_eq!(shown_prefix("pg_123"), "pg_...");
        assert_eq!(shown_prefix("k"), "...");
    }
}
