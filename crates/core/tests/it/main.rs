//! The crate's integration tests.
//!
//! - `books`: the laws of accounts and charges, under random operations and threads
//! - `payments`: what was paid for is granted once
//! - `recording`: a journal that keeps everything in memory, for the others
//! - `decisions`: what a gate says to single calls and batches, in which order
//! - `javascript`: texts and numbers against what the `node` on the PATH makes of them

#![expect(clippy::unwrap_used, reason = "a test ends where something it needs is missing")]

mod books;
mod decisions;
mod javascript;
mod payments;
mod recording;
