//! `/alerts`: what fired, and the rules by which it does.

use std::sync::Arc;

use http::StatusCode;
use paygate_core::usage::{Alert, AlertRule};
use serde::Serialize;
use serde_json::Value;

use super::error::AdminError;
use super::shown_key::shown_key;
use crate::app::App;
use crate::http::produced::on_a_thread;
use crate::http::request::Request;
use crate::http::respond::{self, Response};
use crate::http::route::{Access, Routes};

#[derive(Serialize)]
struct Fired<'a> {
    alerts: Vec<Alert>,
    count: usize,
    rules: Vec<&'a Value>,
}

#[derive(Serialize)]
struct Configured {
    rules: Vec<Value>,
    message: String,
}

pub(super) fn routes(routes: &mut Routes) {
    routes.at("/alerts", Access::AdminBeforeMethod).get(fetch).post(configure);
}

/// Hands out the alerts that wait, which are gone then.
async fn fetch(app: Arc<App>, _request: Request) -> Response {
    let engine = app.news.alerts.read().clone();
    let mut alerts = engine.consume();
    for alert in &mut alerts {
        let first_characters = alert.key_prefix.trim_end_matches("...");
        alert.key_prefix = shown_key(&app.ledger().accounts, first_characters).into();
    }
    let rules = engine.rules().iter().map(AlertRule::given).collect();
    respond::json(StatusCode::OK, &Fired { count: alerts.len(), alerts, rules })
}

/// Replaces all rules. What waits, and what is remembered for the old ones, is gone then.
async fn configure(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let mut body = request.into_object(&app).await?;
    let Some(Value::Array(given)) = body.remove("rules") else {
        return Err(AdminError::Missing("Missing or invalid rules array"));
    };
    let rules: Vec<AlertRule> = given.iter().cloned().map(AlertRule::checked).collect::<Result<_, _>>()?;
    app.news.configure_alerts(rules.clone());
    let keeper = app.clone();
    on_a_thread(move || keeper.keep_alert_rules(&rules)).await.map_err(AdminError::RulesNotKept)?;
    app.news.alerts_configured(&given);
    let message = format!("{} alert rule(s) configured", given.len());
    Ok(respond::json(StatusCode::OK, &Configured { rules: given, message }))
}
