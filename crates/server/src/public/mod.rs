//! What anyone may ask for.

mod balance;
pub(crate) mod dashboard;
mod health;
pub(crate) mod mcp;
mod root;

use crate::http::route::Routes;

pub(crate) fn routes(routes: &mut Routes) {
    root::routes(routes);
    health::routes(routes);
    balance::routes(routes);
}
