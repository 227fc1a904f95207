//! A backend with a real child process, and one with a real HTTP server.
//!
//! - `child`: what the child does, and how it is started;
//! - `calls`: requests, answers, and what a child says unasked;
//! - `bounds`: time-outs, full queues, oversized and malformed answers;
//! - `lifecycle`: start, crash, restart, stop;
//! - `remote`: an HTTP server, its sessions, and every way in which it may fail.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected has failed")]

mod bounds;
mod calls;
mod child;
mod lifecycle;
mod remote;
