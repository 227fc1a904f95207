//! Who asks: callers by their key, operators by the admin key.

pub(crate) mod admin;
pub(crate) mod caller;
