//! What tests and benches share: an MCP server that answers at once (the program `instant-backend`), and where the
//! programs of this workspace are built, and a real Redis.

mod redis;

use std::path::PathBuf;

pub use redis::Redis;

/// The path of a program of this workspace, built in the same profile as the caller.
///
/// # Panics
/// When the caller is not a program that cargo built.
pub fn built_program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    let deps = test.parent().expect("a program lies in a folder");
    let profile = if deps.ends_with("deps") { deps.parent().expect("deps lies in a profile") } else { deps };
    profile.join(name)
}
