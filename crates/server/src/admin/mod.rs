//! What operators ask for, by the admin key. A file for each resource; this one only merges.

mod alerts;
mod analytics;
mod audit;
mod error;
mod fields;
mod keys;
mod limits;
mod namespaces;
mod oauth_clients;
mod shown_key;
mod status;
mod stripe;
mod teams;
mod topup;
mod usage;
mod webhooks;

use crate::http::route::Routes;

pub(crate) fn routes(routes: &mut Routes) {
    keys::routes(routes);
    limits::routes(routes);
    namespaces::routes(routes);
    oauth_clients::routes(routes);
    status::routes(routes);
    usage::routes(routes);
    audit::routes(routes);
    analytics::routes(routes);
    alerts::routes(routes);
    topup::routes(routes);
    teams::routes(routes);
    webhooks::routes(routes);
    stripe::routes(routes);
}
