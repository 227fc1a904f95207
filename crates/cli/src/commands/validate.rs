//! `validate`: checks a configuration file and says what is wrong with it.

use std::process::ExitCode;

use paygate_core::config::{Level, format_diagnostics};

use crate::args::Args;
use crate::config::{load, validate};
use crate::terminal;

use super::help;

/// Checks the file of `--config`.
pub(crate) fn run(args: &Args) -> ExitCode {
    let Some(path) = args.value("config") else {
        terminal::err("Error: --config <path> is required for validate command.\n");
        terminal::out(&help::text());
        return ExitCode::FAILURE;
    };
    let config = match load(path) {
        Ok(config) => config,
        Err(error) => {
            terminal::err(&format!("Error loading config file: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let findings = validate(&config);
    terminal::out(&format!("{}\n", format_diagnostics(&findings)));
    let invalid = findings.iter().any(|finding| finding.level == Level::Error);
    if invalid { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
