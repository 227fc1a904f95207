//! The gate's configuration as it is used.

use crate::credits::Credits;
use crate::gate::PriceList;
use crate::ledger::RefundPolicy;
use crate::limit::quota::Quota;

/// Most calls a batch may have unless configured otherwise.
pub const BATCH_CALLS_MAX: usize = 1000;

/// What a gate goes by. Every value is valid.
#[derive(Debug, Clone)]
pub struct GateConfig {
    /// What tools cost.
    pub prices: PriceList,
    /// Calls a minute of each key; 0 or below is no limit. Read when the gate is made.
    pub global_rate_limit: f64,
    /// The quota of keys that have none of their own.
    pub global_quota: Option<Quota>,
    /// Whether refusals are only noted, not made.
    pub shadow_mode: bool,
    /// Which endings give credits back.
    pub refunds: RefundPolicy,
    /// Most calls a batch may have.
    pub batch_calls_max: usize,
    /// Whether each call of a batch counts in the key's window, or the batch once.
    pub batch_rate_per_call: bool,
}

impl Default for GateConfig {
    /// One credit a call, sixty calls a minute, nothing given back.
    fn default() -> Self {
        Self {
            prices: PriceList::flat(Credits::new(1).expect("1 is within the bound")),
            global_rate_limit: 60.0,
            global_quota: None,
            shadow_mode: false,
            refunds: RefundPolicy::default(),
            batch_calls_max: BATCH_CALLS_MAX,
            batch_rate_per_call: false,
        }
    }
}
