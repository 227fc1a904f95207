//! The commands, one file each.

mod help;
mod validate;
mod wrap;

use std::process::ExitCode;

use paygate_server::VERSION;

use crate::args::{Args, ArgsError};
use crate::{env, terminal};

/// Runs the command that the arguments name.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", arguments),
    };
    match command {
        "wrap" => with_args(rest, wrap::run),
        "validate" => with_args(rest, validate::run),
        "help" | "--help" | "-h" => {
            terminal::out(&help::text());
            ExitCode::SUCCESS
        }
        "version" | "--version" | "-v" => {
            terminal::out(&format!("paygate-mcp v{VERSION}\n"));
            ExitCode::SUCCESS
        }
        unknown => {
            terminal::err(&format!("Unknown command: {unknown}\n"));
            terminal::out(&help::text());
            ExitCode::FAILURE
        }
    }
}

fn with_args(words: &[String], command: fn(&Args) -> ExitCode) -> ExitCode {
    let parsed: Result<Args, ArgsError> =
        Args::parse(words).and_then(|args| args.with_environment(env::for_flag));
    match parsed {
        Ok(args) => {
            for word in &args.stray {
                terminal::err(&format!("Warning: {word:?} belongs to no flag and is not used"));
            }
            command(&args)
        }
        Err(error) => {
            terminal::err(&format!("Error: {error}"));
            ExitCode::FAILURE
        }
    }
}
