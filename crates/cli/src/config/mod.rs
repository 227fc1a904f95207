//! The configuration as it is written: read from a file, joined with flags, checked.

mod diagnostic;
mod raw;
mod validation;

pub(crate) use diagnostic::{Diagnostic, Level, format_diagnostics};
pub(crate) use raw::{Given, LoadError, RawConfig};
pub(crate) use validation::validate;
