//! A backend with a real child process.
//!
//! - `child`: what the child does, and how it is started;
//! - `calls`: requests, answers, and what a child says unasked;
//! - `bounds`: time-outs, full queues, oversized and malformed answers;
//! - `lifecycle`: start, crash, restart, stop.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected has failed")]

mod bounds;
mod calls;
mod child;
mod lifecycle;
