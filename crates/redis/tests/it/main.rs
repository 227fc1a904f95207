//! Against a real Redis, one for each test.
//!
//! - `connection`: commands, their order, failures, reconnecting, logging in
//! - `scripts`: what Redis does in one step
//! - `subscription`: messages

#![expect(clippy::unwrap_used, reason = "a test ends where something it needs is missing")]

mod connection;
mod scripts;
mod subscription;

use paygate_redis::{Address, Connection, Options, Reply};
use paygate_testkit::Redis;
use tokio::runtime::Handle;

/// The options for a Redis of a test.
fn options(redis: &Redis) -> Options {
    Options::new(Address::from_url(&redis.url()).unwrap(), || unreachable!("tests use no TLS"))
}

/// A connection to a Redis of a test.
fn connection(redis: &Redis) -> Connection {
    Connection::new(options(redis), Handle::current())
}

fn text(text: &str) -> Reply {
    Reply::Text(text.to_owned())
}
