//! The crate's integration tests.
//!
//! - `image`: 2.9.0's state file, byte for byte and entry by entry
//! - `truth`: which of database and image is believed, and what becomes of the other
//! - `unusable`: paths that cannot be used
//! - `sharing`: several state files, and several processes, on one path
//! - `crash`: processes that are killed, and disks that are full
//! - `payments`: what was paid for is granted once, whatever happens to the process
//! - `history`: what is kept for reports when a process is killed, and by two at a time
//! - `random`: operations by chance, reopened
//! - `books`: what the others open

#![expect(clippy::unwrap_used, reason = "a test ends where something it needs is missing")]

mod books;
mod crash;
mod history;
mod image;
mod payments;
mod random;
mod sharing;
mod truth;
mod unusable;
