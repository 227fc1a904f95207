//! `/audit`: who did what and when.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use paygate_core::text::number::leading_integer;
use paygate_core::usage::Order;
use paygate_core::usage::audit::{AuditEvent, AuditFilter, Bound, CSV_HEADER, Paging};
use serde_json::{Map, Value};

use super::error::AdminError;
use crate::app::App;
use crate::http::produced::{listing, on_a_thread, produced, table};
use crate::http::request::Request;
use crate::http::respond::{self, JSON, Response};
use crate::http::route::{Access, Routes};

const CSV_FILE: HeaderValue = HeaderValue::from_static("attachment; filename=\"paygate-audit.csv\"");

pub(super) fn routes(routes: &mut Routes) {
    routes.at("/audit", Access::AdminAfterMethod).get(query);
    routes.at("/audit/export", Access::AdminAfterMethod).get(export);
    routes.at("/audit/stats", Access::AdminAfterMethod).get(stats);
}

/// Shows a page of the events that are asked for, newest first.
async fn query(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let filter = filter(&request);
    let number = |name| request.parameter(name).and_then(|text| leading_integer(&text));
    let paging = Paging { offset: number("offset"), limit: number("limit") };
    let history = app.audit();
    let page = on_a_thread(move || history.query(&filter, paging)).await?;
    // By way of a value, so that particulars are indented too.
    let page = serde_json::to_value(&page).expect(PLAIN);
    Ok(respond::pretty_json(StatusCode::OK, &page))
}

/// Shows all events that are asked for: as JSON oldest first, as a table newest first, as 2.9.0 did.
async fn export(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let filter = filter(&request);
    let history = app.audit();
    if request.parameter("format").as_deref() == Some("csv") {
        let begin = move || {
            let events = history.select(&filter, Order::NewestFirst)?.entries;
            Ok(table(CSV_HEADER, events, |event| csv_line(event)))
        };
        return Ok(respond::as_file(produced(respond::CSV, begin).await?, CSV_FILE));
    }
    let begin = move || {
        let selection = history.select(&filter, Order::OldestFirst)?;
        let events = selection.entries.map(|event| Ok(serde_json::to_value(&*event?).expect(PLAIN)));
        let before: Map<String, Value> = [("count".to_owned(), selection.count.into())].into_iter().collect();
        Ok(listing(&before, "events", events, &Map::new()))
    };
    Ok(produced(JSON, begin).await?)
}

/// Shows what the log holds, in sums.
async fn stats(app: Arc<App>, _request: Request) -> Result<Response, AdminError> {
    let history = app.audit();
    let stats = on_a_thread(move || history.stats()).await?;
    Ok(respond::pretty_json(StatusCode::OK, &stats))
}

const PLAIN: &str = "events can always be written";

fn filter(request: &Request) -> AuditFilter {
    let types = request.parameter("types").unwrap_or_default();
    let bound = |name| request.parameter(name).and_then(|text| Bound::read(&text));
    AuditFilter {
        types: types.split(',').filter(|kind| !kind.is_empty()).map(str::to_owned).collect(),
        actor: request.parameter("actor").unwrap_or_default(),
        since: bound("since"),
        until: bound("until"),
    }
}

fn csv_line(event: &AuditEvent) -> String {
    let mut line = String::new();
    event.push_csv(&mut line);
    line
}
