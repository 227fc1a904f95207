//! `GET /namespaces`: the tenants, and what each has and has spent.

use std::sync::Arc;

use http::StatusCode;
use paygate_core::ledger::NamespaceTotals;
use serde::Serialize;

use crate::app::App;
use crate::http::request::Request;
use crate::http::respond::{self, Response};
use crate::http::route::{Access, Routes};

#[derive(Serialize)]
struct Namespaces {
    namespaces: Vec<NamespaceTotals>,
    count: usize,
}

pub(crate) fn routes(routes: &mut Routes) {
    let route = routes.at("/namespaces", Access::AdminAfterMethod).get(namespaces);
    route.wrong_method("Method not allowed. Use GET.");
}

/// Tells the tenants in the order in which they came. Revoked keys count in the sums.
async fn namespaces(app: Arc<App>, _request: Request) -> Response {
    let namespaces = app.ledger().accounts.namespaces();
    let count = namespaces.len();
    respond::pretty_json(StatusCode::OK, &Namespaces { namespaces, count })
}
