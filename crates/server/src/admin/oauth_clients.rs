//! `GET /oauth/clients`: who has registered.

use std::sync::Arc;

use http::StatusCode;
use paygate_core::usage::audit::mask_key;

use crate::app::App;
use crate::http::request::Request;
use crate::http::respond::{self, Response};
use crate::http::route::{Access, Routes};
use crate::public::oauth::{disabled, provider};

pub(crate) fn routes(routes: &mut Routes) {
    routes.at("/oauth/clients", Access::AdminAfterMethod).closed_by(disabled).get(list);
}

/// Lists all clients. API keys and secrets are not shown.
async fn list(app: Arc<App>, _request: Request) -> Response {
    respond::pretty_json(StatusCode::OK, &provider(&app).list_clients(mask_key))
}
