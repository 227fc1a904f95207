//! `GET /usage`: what was called, event by event.

use std::sync::Arc;

use http::HeaderValue;
use paygate_core::key::record::number_value;
use paygate_core::ledger::Accounts;
use paygate_core::text::csv::{Quoting, push_field};
use paygate_core::text::number::js_number;
use paygate_core::usage::{Kept, UsageFilter};
use serde::Serialize;
use serde_json::{Map, Value};

use super::error::AdminError;
use super::fields;
use super::shown_key::shown_key;
use crate::app::App;
use crate::http::produced::{listing, produced, table};
use crate::http::request::Request;
use crate::http::respond::{self, JSON, Response};
use crate::http::route::{Access, Routes};

const CSV_HEADER: &str = "timestamp,apiKey,keyName,tool,creditsCharged,allowed,denyReason";
const CSV_FILE: HeaderValue = HeaderValue::from_static("attachment; filename=\"paygate-usage.csv\"");

/// An event as it is listed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    timestamp: String,
    api_key: String,
    key_name: String,
    tool: String,
    credits_charged: Value,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    deny_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
}

pub(super) fn routes(routes: &mut Routes) {
    routes.at("/usage", Access::AdminAfterMethod).get(usage);
}

/// Lists the events since a time, of all tenants or of one, oldest first.
async fn usage(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let since = request.parameter("since");
    let filter = UsageFilter { since: since.clone(), namespace: fields::namespace(&request) };
    let history = app.usage();
    if request.parameter("format").as_deref() == Some("csv") {
        let begin = move || {
            let events = history.select(&filter)?.entries;
            Ok(table(CSV_HEADER, events, move |event| csv_line(&app.ledger().accounts, event)))
        };
        return Ok(respond::as_file(produced(respond::CSV, begin).await?, CSV_FILE));
    }
    let begin = move || {
        let selection = history.select(&filter)?;
        let events = selection.entries.map(move |event| Ok(shown(&app.ledger().accounts, &event?)));
        let since = since.unwrap_or_else(|| "all".to_owned());
        let before = [("count".to_owned(), selection.count.into()), ("since".to_owned(), since.into())];
        Ok(listing(&before.into_iter().collect(), "events", events, &Map::new()))
    };
    Ok(produced(JSON, begin).await?)
}

fn shown(accounts: &Accounts, event: &Kept) -> Shown {
    Shown {
        timestamp: event.timestamp(),
        api_key: shown_key(accounts, event.api_key()),
        key_name: event.key_name().to_owned(),
        tool: event.tool().to_owned(),
        credits_charged: number_value(event.credits()),
        allowed: event.allowed(),
        deny_reason: event.reason().map(str::to_owned),
        namespace: event.namespace().map(str::to_owned),
    }
}

fn csv_line(accounts: &Accounts, event: &Kept) -> String {
    let mut line = String::new();
    let timestamp = event.timestamp();
    let key = shown_key(accounts, event.api_key());
    for text in [&*timestamp, &key, event.key_name(), event.tool()] {
        push_field(&mut line, text, Quoting::WhereNeeded);
        line.push(',');
    }
    // A refund's number is one, although it begins as a formula may.
    line.push_str(&format!("{},{},", js_number(event.credits()), event.allowed()));
    push_field(&mut line, event.reason().unwrap_or_default(), Quoting::WhereNeeded);
    line
}
