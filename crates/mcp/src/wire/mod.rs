//! JSON-RPC messages with raw payloads: what a message says about itself is parsed, what it
//! carries is not.

mod calls;
mod envelope;
mod error;
mod id;
mod members;
mod outgoing;
mod reply;
pub(crate) mod splice;
mod write;

#[cfg(test)]
mod tests;

pub use calls::{BatchCalls, ToolCall};
pub use envelope::{DEPTH_MAX, Envelope, Kind};
pub use error::WireError;
pub use id::Id;
pub use outgoing::{Outgoing, notification};
pub use reply::{Outcome, Reply};
pub use splice::Spliced;
pub use write::{error, error_with_data, result};
