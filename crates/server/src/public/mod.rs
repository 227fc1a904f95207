//! What anyone may ask for.

mod balance;
pub(crate) mod dashboard;
mod event_stream;
mod health;
pub(crate) mod mcp;
mod metrics;
pub(crate) mod oauth;
mod pricing;
mod root;
mod stripe;

use crate::http::route::Routes;

pub(crate) fn routes(routes: &mut Routes) {
    root::routes(routes);
    health::routes(routes);
    balance::routes(routes);
    pricing::routes(routes);
    metrics::routes(routes);
    dashboard::routes(routes);
    stripe::routes(routes);
    oauth::routes(routes);
}
