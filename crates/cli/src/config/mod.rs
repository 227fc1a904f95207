//! The configuration as the command line has it: read from a file, joined with flags, checked.

mod file;

use paygate_core::config::{Diagnostic, RawConfig, Reader};

pub(crate) use file::{LoadError, load};

/// Checks a file, or a file joined with flags. No findings means that it is valid.
pub(crate) fn validate(config: &RawConfig) -> Vec<Diagnostic> {
    let mut findings = paygate_core::config::validate(config, Reader::Log);
    findings.extend(file::check(config));
    findings
}
