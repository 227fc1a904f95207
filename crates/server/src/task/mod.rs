//! What the clock starts rather than a request.

pub(crate) mod expiry;
pub(crate) mod sweep;
