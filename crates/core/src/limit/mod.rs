//! Counters as plain values: calls in a rolling minute, calls and credits in a day and a month.

pub mod quota;
pub mod rate_limiter;
pub mod rate_window;
