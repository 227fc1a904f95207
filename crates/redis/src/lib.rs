//! Speaks to Redis, through which several gates share their keys: the wire, and what stands on it.
//!
//! Keys, fields and messages are those of paygate-mcp 2.9.0, so gates of both can share one Redis. Nothing here
//! decides whether a call may be made.
//!
//! - `options`: where Redis is and who we are there
//! - `connection`, `subscription`: commands with their replies, and messages; `dial` opens what both stand on
//! - `keyspace`: the names of keys, and records as hashes
//! - `message`: what gates tell each other
//! - `script`: what Redis does in one step
//! - `replica`: a gate's own copy of the keys in Redis

pub mod connection;
mod dial;
mod error;
pub mod keyspace;
pub mod message;
mod options;
pub mod replica;
pub mod script;
pub mod subscription;

pub use connection::{Connection, Reply};
pub use error::Error;
pub use options::{Address, InvalidUrl, Options};
pub use replica::Replica;
pub use subscription::{Heard, Subscription};
