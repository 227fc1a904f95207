//! What Redis does in one step: nothing of another gate's falls between what a script reads and what it writes.
//!
//! What each takes and gives stands at its head. They run by their text, as 2.9.0's did.

/// Takes credits from a key: [`keyspace::record_key`](crate::keyspace::record_key); amount and time.
pub const DEDUCT: &str = include_str!("../scripts/deduct.lua");

/// Adds credits to a key: [`keyspace::record_key`](crate::keyspace::record_key); amount and bound.
pub const TOP_UP: &str = include_str!("../scripts/top_up.lua");

/// Counts a call in a sliding window: [`keyspace::rate_key`](crate::keyspace::rate_key); now, window and most calls.
pub const RATE_CHECK: &str = include_str!("../scripts/rate_check.lua");

/// Writes a record and adds to its numbers: [`keyspace::record_key`](crate::keyspace::record_key); three differences,
/// then fields.
pub const SAVE: &str = include_str!("../scripts/save.lua");
