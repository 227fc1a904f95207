//! What does one decision cost, and does it grow with the number of keys?
//!
//! `cargo bench -p bench --bench decide`. One thread, books in memory, the machine's clock; keys are asked in a fixed
//! random order. Left out: the journal (see `journal` figures of the Node bench and `http_call`), contention.

use std::hint::black_box;
use std::sync::Arc;

use bench::{Budget, heading, nanoseconds, row};
use paygate_core::clock::SystemClock;
use paygate_core::config::GateConfig;
use paygate_core::credits::Credits;
use paygate_core::entropy::SeededEntropy;
use paygate_core::gate::{Arguments, CallRequest, Gate, GateParts};
use paygate_core::journal::MemoryJournal;
use paygate_core::ledger::{KeyOptions, Ledger, LedgerParts};
use paygate_core::usage::UsageMeter;

fn gate(keys: usize, rate_limit: f64) -> (Gate, Vec<String>) {
    let parts = LedgerParts {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SeededEntropy::new(42)),
        journal: Arc::new(MemoryJournal::default()),
    };
    let ledger = Arc::new(Ledger::new(parts));
    let rich = Credits::new(1 << 40).expect("within the bound");
    let places = (0..keys).map(|_| ledger.create("bench", rich, KeyOptions::default()).value);
    let names =
        places.map(|place| ledger.accounts.at(place).expect("just made").lock().key.to_string()).collect();
    let config = GateConfig { global_rate_limit: rate_limit, ..GateConfig::default() };
    let meter = Arc::new(UsageMeter::new(UsageMeter::EVENTS_MAX));
    (Gate::new(config, GateParts { ledger, meter, sinks: Vec::new() }), names)
}

fn main() {
    heading("native decision, allowed and paid for, one thread");
    let sizes: &[usize] = if bench::as_test() { &[1, 100] } else { &[1, 1_000, 1_000_000] };
    for &keys in sizes {
        for (rate_limit, limited) in [(0.0, "no rate limit"), (1e9, "rate limit, none reached")] {
            let (gate, names) = gate(keys, rate_limit);
            let order = SeededEntropy::new(7);
            let order: Vec<usize> =
                (0..4096).map(|_| usize::try_from(order.next_u64() >> 1).unwrap_or(0) % keys).collect();
            let mut at = 0;
            let cost = nanoseconds(500_000, |operations| {
                for _ in 0..operations {
                    at = (at + 1) % order.len();
                    let call = CallRequest {
                        key: Some(&names[order[at]]),
                        tool: "search",
                        arguments: Arguments::None,
                        address: None,
                    };
                    assert!(black_box(gate.evaluate(&call)).expect("no arguments").allowed());
                }
            });
            let budget = if keys == 1 { 0.15 } else { 1.0 };
            row(&format!("{keys} keys, {limited}"), cost / 1000.0, "µs", Budget::AtMost(budget));
        }
    }
}
