//! `POST /topup`: adds credits to a key.

use std::sync::Arc;

use http::StatusCode;
use paygate_core::credits::Credits;
use paygate_core::key::record::truthy;
use serde::Serialize;

use super::error::AdminError;
use super::fields;
use crate::app::App;
use crate::http::request::Request;
use crate::http::respond::{self, Response};
use crate::http::route::{Access, Routes};

#[derive(Serialize)]
struct ToppedUp {
    credits: u64,
    message: String,
}

pub(crate) fn routes(routes: &mut Routes) {
    routes.at("/topup", Access::AdminAfterMethod).post(top_up);
}

/// Adds credits to a key that may be used and tells its new balance.
async fn top_up(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let body = request.into_object(&app).await?;
    let given = |name| body.get(name).filter(|value| truthy(value));
    let (Some(key), Some(credits)) = (given("key"), given("credits")) else {
        return Err(AdminError::Missing("Missing key or credits"));
    };
    let number = fields::number("credits", credits).map_err(|_| AdminError::CreditsNotPositive)?;
    let credits = Credits::floored(number).map_err(AdminError::Credits)?;
    if credits == Credits::ZERO {
        return Err(AdminError::CreditsNotPositive);
    }
    // What is no text is no key.
    let key = key.as_str().ok_or(AdminError::KeyNotUsable)?;
    let granted = app.ledger().grant(key, credits).map_err(AdminError::Credits)?;
    let granted = granted.ok_or(AdminError::KeyNotUsable)?;
    app.saved(granted.ticket).await?;
    app.news.key_topped_up(key, credits, granted.value);
    let told = ToppedUp { credits: granted.value.get(), message: format!("Added {credits} credits") };
    Ok(respond::json(StatusCode::OK, &told))
}
