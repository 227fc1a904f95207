//! The program `paygate-mcp`: what the user asks for becomes a server's configuration, and the server runs until it
//! is told to stop.

mod args;
mod banner;
mod commands;
mod config;
mod env;
mod settings;
mod terminal;

use std::process::ExitCode;

/// Many small, short-lived buffers on two threads are what it is better at than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    commands::run(&env::arguments())
}
