//! Requests in, responses out: connections, routes, bodies, addresses, headers.

pub(crate) mod accept;
pub(crate) mod body;
pub(crate) mod client_address;
pub(crate) mod cors;
pub(crate) mod in_flight;
pub(crate) mod origin;
pub(crate) mod outlive;
pub(crate) mod produced;
pub(crate) mod request;
pub(crate) mod respond;
pub(crate) mod route;
