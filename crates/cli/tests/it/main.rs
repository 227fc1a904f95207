//! The program itself, run as users run it.
//!
//! - `child`: the wrapped server;
//! - `program`: a running program and a client;
//! - `commands`: what is answered without a server, and what is refused;
//! - `settings`: flags, the environment and the file, and which of them wins;
//! - `wrap`: a server from its banner to its end, and what survives it.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected has failed")]

mod child;
mod commands;
mod program;
mod settings;
mod wrap;
