//! `cargo xtask ci`: everything that must hold before a change lands, in the order in which it fails fastest.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// A command that must succeed.
struct Step {
    title: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

const fn step(title: &'static str, program: &'static str, arguments: &'static [&'static str]) -> Step {
    Step { title, program, arguments, environment: &[] }
}

const CI: &[Step] = &[
    step("format", "cargo", &["fmt", "--all", "--check"]),
    step(
        "lints",
        "cargo",
        &["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"],
    ),
    step("programs", "cargo", &["build", "--release", "--locked", "--workspace"]),
    step("addon", "node", &["scripts/build-addon.mjs"]),
    step("Rust tests", "cargo", &["test", "--workspace", "--locked"]),
    Step {
        title: "documentation",
        program: "cargo",
        arguments: &["doc", "--workspace", "--no-deps", "--locked"],
        environment: &[("RUSTDOCFLAGS", "--deny warnings")],
    },
    step("JavaScript tests", "npm", &["run", "--silent", "test:js"]),
    step("TypeScript types", "npm", &["run", "--silent", "test:types"]),
    step("packed package", "npm", &["run", "--silent", "test:consumers"]),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["ci"] => ci(),
        _ => {
            say("usage: cargo xtask ci    checks, builds and tests everything");
            ExitCode::FAILURE
        }
    }
}

/// Runs every step, stops at the first that fails, and ends with the times.
#[expect(clippy::disallowed_methods, reason = "the steps are timed for the reader")]
fn ci() -> ExitCode {
    let mut times = Vec::new();
    for step in CI {
        say(&format!("\n── {}: {} {}", step.title, step.program, step.arguments.join(" ")));
        let start = Instant::now();
        let mut command = Command::new(step.program);
        command.args(step.arguments).envs(step.environment.iter().copied()).current_dir(root());
        match command.status() {
            Ok(status) if status.success() => times.push((step.title, start.elapsed())),
            Ok(status) => return failed(step, &format!("ended with {status}")),
            Err(error) => return failed(step, &format!("could not be started: {error}")),
        }
    }
    say("");
    for (title, time) in &times {
        say(&format!("  {title:<20} {:>6.1} s", time.as_secs_f64()));
    }
    let all: Duration = times.iter().map(|(_, time)| *time).sum();
    say(&format!("  {:<20} {:>6.1} s", "all passed", all.as_secs_f64()));
    ExitCode::SUCCESS
}

fn failed(step: &Step, how: &str) -> ExitCode {
    say(&format!("\nFAILED: {}: `{} {}` {how}", step.title, step.program, step.arguments.join(" ")));
    ExitCode::FAILURE
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("this crate lies two folders below the root").to_owned()
}

#[expect(clippy::print_stdout, reason = "the reader of a check looks at standard output")]
fn say(line: &str) {
    println!("{line}");
}
