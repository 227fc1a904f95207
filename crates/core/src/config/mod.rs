//! What a gate goes by: prices, limits and policies, in the only form the engine reads.

mod gate_config;

pub use gate_config::{BATCH_CALLS_MAX, GateConfig};
