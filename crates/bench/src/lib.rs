//! How benches measure and print: medians of repeated runs beside their budgets.

use std::time::{Duration, Instant};

/// Runs of each case, of which the median counts.
const RUNS: usize = 9;

/// Whether the bench is run as a test: small, to see that it still works.
pub fn as_test() -> bool {
    std::env::args().any(|argument| argument == "--test")
}

/// Nanoseconds per operation: the median of several runs of `operations` each.
#[expect(clippy::disallowed_methods, reason = "a bench measures the time itself")]
pub fn nanoseconds(operations: u32, mut run: impl FnMut(u32)) -> f64 {
    let operations = if as_test() { operations.min(100) } else { operations };
    run(operations.min(10_000));
    let mut times: Vec<f64> = (0..if as_test() { 1 } else { RUNS })
        .map(|_| {
            let start = Instant::now();
            run(operations);
            nanoseconds_of(start.elapsed()) / f64::from(operations)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// A duration in nanoseconds.
#[expect(clippy::cast_precision_loss, reason = "benches run for seconds")]
pub fn nanoseconds_of(duration: Duration) -> f64 {
    duration.as_nanos() as f64
}

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub enum Budget {
    /// At most so much.
    AtMost(f64),
    /// At least so much.
    AtLeast(f64),
    /// None was set.
    Open,
}

/// Prints one row: what was measured, the figure, the budget, and the figure as a share of it.
#[expect(clippy::print_stdout, reason = "what a bench is for")]
pub fn row(what: &str, figure: f64, unit: &str, budget: Budget) {
    let beside = match budget {
        Budget::AtMost(most) => format!("≤ {most:<8} {:>6.2} {}", figure / most, met(figure <= most)),
        Budget::AtLeast(least) => format!("≥ {least:<8} {:>6.2} {}", figure / least, met(figure >= least)),
        Budget::Open => String::new(),
    };
    println!("{what:<76} {figure:>10.2} {unit:<6} {beside}");
}

fn met(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

/// Prints the heading of the rows.
#[expect(clippy::print_stdout, reason = "what a bench is for")]
pub fn heading(title: &str) {
    println!("\n{title}\n{:<76} {:>10} {:<6} {:<10} {:>6}", "case", "median", "unit", "budget", "ratio");
}
