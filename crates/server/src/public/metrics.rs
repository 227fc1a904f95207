//! `GET /metrics`: counters and gauges for Prometheus.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use paygate_mcp_wire::wire::Spliced;

use crate::app::App;
use crate::http::produced::on_a_thread;
use crate::http::request::Request;
use crate::http::respond::{self, Response};
use crate::http::route::{Access, Routes};

const TEXT_FORMAT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

pub(super) fn routes(routes: &mut Routes) {
    routes.at("/metrics", Access::Public).any(metrics);
}

async fn metrics(app: Arc<App>, _request: Request) -> Response {
    let metrics = app.news.metrics.clone();
    // Some gauges look at every key.
    let page = on_a_thread(move || metrics.serialize()).await;
    respond::with_body(StatusCode::OK, TEXT_FORMAT, Spliced::from(page.into_bytes()))
}
