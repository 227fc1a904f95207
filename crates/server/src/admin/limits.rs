//! `POST /limits`: what a key may spend in its life.

use std::sync::Arc;

use http::StatusCode;
use paygate_core::key::record::number_value;
use paygate_core::text::number::json_to_text;
use serde::Serialize;
use serde_json::Value;

use super::error::AdminError;
use super::fields;
use crate::app::App;
use crate::http::request::Request;
use crate::http::respond::{self, Response};
use crate::http::route::{Access, Routes};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LimitSet {
    spending_limit: Value,
    message: String,
}

pub(crate) fn routes(routes: &mut Routes) {
    routes.at("/limits", Access::AdminAfterMethod).post(set_limit);
}

/// Limits what a key may spend in its life; 0 is no limit.
async fn set_limit(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let body = request.into_object(&app).await?;
    let key = fields::key(&body)?.as_str().ok_or(AdminError::KeyNotUsable)?;
    let limit = fields::limit("spendingLimit", body.get("spendingLimit"))?;
    let set = app.ledger().set_spending_limit(key, limit).ok_or(AdminError::KeyNotUsable)?;
    app.saved(set.ticket).await?;
    let spending_limit = number_value(limit);
    app.news.key_limit_updated(key, spending_limit.clone());
    let message = if limit > 0.0 {
        format!("Spending limit set to {}", json_to_text(&spending_limit))
    } else {
        "Spending limit removed (unlimited)".to_owned()
    };
    Ok(respond::json(StatusCode::OK, &LimitSet { spending_limit, message }))
}
