//! What a gate goes by: as it is written and checked, and in the only form the engine reads.
//!
//! - [`RawConfig`]: prices, limits and policies as a file, flags or a script gave them
//! - [`validate`]: every problem of a raw configuration, each a [`Diagnostic`]
//! - [`GateConfig`]: the valid form

mod diagnostic;
mod gate_config;
mod raw;
mod validation;

pub use diagnostic::{Diagnostic, Level, format_diagnostics};
pub use gate_config::{BATCH_CALLS_MAX, GateConfig};
pub use raw::{Given, RawConfig};
pub use validation::{Reader, validate};
