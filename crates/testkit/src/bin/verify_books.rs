//! Compares the accounts of a database with their entries and prints what it found as JSON. The database may be in use.

use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "what the program is for")]
fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: verify-books DATABASE");
        return ExitCode::FAILURE;
    };
    match paygate_store::verify_file(Path::new(&path)) {
        Ok(report) => {
            let found = json!({
                "accounts": report.accounts,
                "entries": report.entries,
                "open": report.open,
                "faults": report.faults,
            });
            println!("{found}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{path}: {error}");
            ExitCode::FAILURE
        }
    }
}
