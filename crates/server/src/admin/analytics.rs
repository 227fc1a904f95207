//! `GET /analytics`: usage over time, by tool and by key.

use std::sync::Arc;

use http::StatusCode;
use paygate_core::text::number::leading_integer;
use paygate_core::usage::{AnalyticsOptions, AnalyticsQuery};

use super::error::AdminError;
use super::fields;
use crate::app::App;
use crate::http::produced::on_a_thread;
use crate::http::request::Request;
use crate::http::respond::{self, Response};
use crate::http::route::{Access, Routes};

pub(super) fn routes(routes: &mut Routes) {
    routes.at("/analytics", Access::AdminAfterMethod).get(analytics);
}

/// Reports on a range, of all tenants or of one.
async fn analytics(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let (from, to) = (request.parameter("from"), request.parameter("to"));
    let granularity = request.parameter("granularity");
    let top = request.parameter("top").and_then(|text| leading_integer(&text)).unwrap_or_default();
    let options = AnalyticsOptions {
        from: from.as_deref(),
        to: to.as_deref(),
        granularity: granularity.as_deref(),
        top,
    };
    let query = AnalyticsQuery::new(options, app.ledger().now())?;
    let (history, namespace) = (app.usage(), fields::namespace(&request));
    let report = on_a_thread(move || history.report(&query, namespace.as_deref())).await?;
    Ok(respond::pretty_json(StatusCode::OK, &report))
}
