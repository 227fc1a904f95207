//! The native half of the npm package: the engine of `paygate-core` as functions of a Node-API addon.
//!
//! The JavaScript shell in `lib/` is the package: classes, object literals and errors are made there, and it
//! converts what callers give with JavaScript's own `Number()` and `String()`. Here are plain functions over
//! numbers, texts and opaque handles. The few hot ones (`evaluate`, a batch, a field of a live record) read their
//! texts onto the stack and answer through one shared `Float64Array`; the cold ones pass JSON text both ways.
//!
//! - `call`: the border itself, and the only unsafe code: arguments in, values out, panics stopped
//! - `channel`, `runtime`: work that goes on beside the script, and how its ends and events come back
//! - `host`: the clock as the script sees it
//! - one file for each JavaScript class; `table` lists their functions
#![expect(unsafe_code, reason = "the border to Node-API is made of raw pointers; it is kept in `call`")]

mod alert_engine;
mod analytics_engine;
mod audit_logger;
mod backend;
mod books;
mod call;
mod channel;
mod config;
mod dashboard;
mod gate;
mod hooks;
mod host;
mod key_store;
mod live_record;
mod metrics_collector;
mod oauth_provider;
mod open_call;
mod quota_tracker;
mod rate_limiter;
mod redis_client;
mod redis_sync;
mod runtime;
mod server;
mod stripe_webhook_handler;
mod table;
mod team_manager;
mod usage_meter;
mod webhook_emitter;
