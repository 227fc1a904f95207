//! `GET /balance`: what the holder of a key has left.

use std::sync::Arc;

use http::StatusCode;
use paygate_core::key::record::{Field, Record, number_value};
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::auth::caller::api_key;
use crate::http::request::Request;
use crate::http::respond::{self, IntoResponse, Response};
use crate::http::route::{Access, Routes};

/// Why no balance is told.
enum BalanceError {
    NoKey,
    UnknownKey,
}

impl IntoResponse for BalanceError {
    fn into_response(self) -> Response {
        match self {
            Self::NoKey => respond::error(StatusCode::UNAUTHORIZED, "Missing X-API-Key header"),
            Self::UnknownKey => respond::error(StatusCode::NOT_FOUND, "Invalid or inactive API key"),
        }
    }
}

pub(crate) fn routes(routes: &mut Routes) {
    routes.at("/balance", Access::Public).get(balance);
}

async fn balance(app: Arc<App>, request: Request) -> Result<Response, BalanceError> {
    let key = api_key(&request.head.headers, app.oauth.as_deref()).ok_or(BalanceError::NoKey)?;
    let account = app.ledger().accounts.find(&key).ok_or(BalanceError::UnknownKey)?;
    let now = app.ledger().now();
    let mut record = account.lock();
    if !record.usable(now) {
        return Err(BalanceError::UnknownKey);
    }
    record.roll_counters(now);
    Ok(respond::json(StatusCode::OK, &told(&record)))
}

/// What is told of a record to its holder.
fn told(record: &Record) -> Map<String, Value> {
    let limit = record.spending_limit;
    let left = if limit > 0.0 { number_value((limit - record.spent.as_f64()).max(0.0)) } else { Value::Null };
    let counters = record.counters;
    let used = json!({
        "dailyCalls": number_value(counters.daily_calls),
        "monthlyCalls": number_value(counters.monthly_calls),
        "dailyCredits": number_value(counters.daily_credits),
        "monthlyCredits": number_value(counters.monthly_credits),
    });
    let value = |field: Field| (field.name(), record.value(field.name()).unwrap_or(Value::Null));
    let told = [
        value(Field::Name),
        value(Field::Credits),
        value(Field::TotalSpent),
        value(Field::TotalCalls),
        value(Field::SpendingLimit),
        ("remainingBudget", left),
        value(Field::LastUsedAt),
        value(Field::AllowedTools),
        value(Field::DeniedTools),
        value(Field::ExpiresAt),
        value(Field::Tags),
        value(Field::IpAllowlist),
        value(Field::Quota),
        ("quotaUsage", used),
    ];
    told.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
