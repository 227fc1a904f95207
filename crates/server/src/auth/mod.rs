//! Who asks: callers by their key, operators by the admin key, clients by tokens.

pub(crate) mod admin;
pub(crate) mod caller;
pub mod oauth;
