//! The native half of the npm package: the engine of `paygate-core` as functions of a Node-API addon.
//!
//! The JavaScript shell in `lib/` is the package: classes, object literals and errors are made there, and it
//! converts what callers give with JavaScript's own `Number()` and `String()`. Here are plain functions over
//! numbers, texts and opaque handles. The few hot ones (`evaluate`, a batch, a field of a live record) read their
//! texts onto the stack and answer through one shared `Float64Array`; the cold ones pass JSON text both ways.
//!
//! - `call`: the border itself, and the only unsafe code: arguments in, values out, panics stopped
//! - `host`: the clock as the script sees it
//! - one file for each JavaScript class; `table` lists their functions
#![expect(unsafe_code, reason = "the border to Node-API is made of raw pointers; it is kept in `call`")]

mod books;
mod call;
mod gate;
mod host;
mod key_store;
mod live_record;
mod quota_tracker;
mod rate_limiter;
mod table;
mod team_manager;
mod usage_meter;
