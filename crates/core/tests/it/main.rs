//! The crate's integration tests.
//!
//! - `javascript`: texts and numbers against what the `node` on the PATH makes of them

#![expect(clippy::unwrap_used, reason = "a test ends where something it needs is missing")]

mod javascript;
