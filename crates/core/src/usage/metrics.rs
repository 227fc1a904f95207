//! Counters and gauges, and the page on which Prometheus reads them.
//!
//! Counting is for the hot path: two look-ups and two additions a call. The page is made without anybody being asked
//! but the gauges' suppliers.

mod family;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use parking_lot::RwLock;

use crate::clock::{Clock, Timestamp};
use family::{Family, Sort, Source};
pub use family::{LABEL_VALUES_MAX, Labels, OTHER, SERIES_MAX};

const UPTIME: &str = "paygate_uptime_seconds";

/// How a call of a tool was decided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ToolCallOutcome<'a> {
    /// It was let through and paid for.
    Allowed {
        /// Credits actually charged.
        credits: f64,
    },
    /// It was not.
    Denied {
        /// Why not; only the code before the first `:` counts.
        reason: Option<&'a str>,
    },
}

/// Counts what happens. Callable from any thread.
///
/// A label has at most [`LABEL_VALUES_MAX`] different values and a metric at most [`SERIES_MAX`] samples; what comes
/// beyond is counted under [`OTHER`]. Labels are written in the order in which they are given, and the same labels in
/// another order are another sample: give them in the order of their names.
///
/// # Examples
/// ```
/// # use std::sync::Arc;
/// # use paygate_core::clock::SystemClock;
/// # use paygate_core::usage::metrics::{MetricsCollector, ToolCallOutcome};
/// let metrics = MetricsCollector::new(Arc::new(SystemClock));
/// metrics.register_supplied_gauge("keys", "Number of keys", || Some(3.0));
/// metrics.record_tool_call("search", ToolCallOutcome::Allowed { credits: 5.0 });
///
/// let page = metrics.serialize();
/// assert!(page.contains("paygate_tool_calls_total{status=\"allowed\",tool=\"search\"} 1\n"));
/// assert!(page.ends_with("# HELP keys Number of keys\n# TYPE keys gauge\nkeys 3\n"));
/// ```
pub struct MetricsCollector {
    clock: Arc<dyn Clock>,
    started: Timestamp,
    families: RwLock<IndexMap<Box<str>, Arc<Family>>>,
    built_in: BuiltIn,
}

/// The metrics that the gate counts itself, which are in the map too.
struct BuiltIn {
    tool_calls: Arc<Family>,
    credits_charged: Arc<Family>,
    denials: Arc<Family>,
    http_requests: Arc<Family>,
    rate_limit_hits: Arc<Family>,
    refunds: Arc<Family>,
}

impl MetricsCollector {
    /// A collector that has counted nothing yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let mut families = IndexMap::new();
        let mut counter = |name: &str, help| {
            let family = Arc::new(Family::new(Sort::Counter, help, Source::Series));
            families.insert(name.into(), family.clone());
            family
        };
        let built_in = BuiltIn {
            tool_calls: counter("paygate_tool_calls_total", "Total tool calls processed"),
            credits_charged: counter("paygate_credits_charged_total", "Total credits charged"),
            denials: counter("paygate_denials_total", "Total tool call denials"),
            http_requests: counter("paygate_http_requests_total", "Total HTTP requests"),
            rate_limit_hits: counter("paygate_rate_limit_hits_total", "Total rate limit hits"),
            refunds: counter("paygate_refunds_total", "Total credit refunds"),
        };
        let uptime = Family::new(Sort::Gauge, "Server uptime in seconds", Source::Uptime);
        families.insert(UPTIME.into(), Arc::new(uptime));
        Self { started: clock.wall(), clock, families: RwLock::new(families), built_in }
    }

    // ── Metrics of a caller's own ────────────────────────────────────────────

    /// Adds a counter. False, and nothing changes, when there is a metric of that name.
    pub fn register_counter(&self, name: &str, help: &str) -> bool {
        self.register(name, || Family::new(Sort::Counter, help, Source::Series))
    }

    /// Adds a gauge that is set. False, and nothing changes, when there is a metric of that name.
    pub fn register_gauge(&self, name: &str, help: &str) -> bool {
        self.register(name, || Family::new(Sort::Gauge, help, Source::Series))
    }

    /// Adds a gauge whose value is asked for whenever it is shown; it is left out while there is none. False, and
    /// nothing changes, when there is a metric of that name.
    ///
    /// The supplier is called on the thread that makes the page, with no lock held.
    pub fn register_supplied_gauge(
        &self,
        name: &str,
        help: &str,
        supplier: impl Fn() -> Option<f64> + Send + Sync + 'static,
    ) -> bool {
        self.register(name, || Family::new(Sort::Gauge, help, Source::Supplier(Box::new(supplier))))
    }

    fn register(&self, name: &str, make: impl FnOnce() -> Family) -> bool {
        let mut families = self.families.write();
        let new = !families.contains_key(name);
        if new {
            families.insert(name.into(), Arc::new(make()));
        }
        new
    }

    fn find(&self, name: &str, sort: Sort) -> Option<Arc<Family>> {
        self.families.read().get(name).filter(|family| family.sort == sort).cloned()
    }

    /// Adds to a counter; does nothing for what is none.
    pub fn increment(&self, name: &str, labels: Labels<'_>, amount: f64) {
        if let Some(counter) = self.find(name, Sort::Counter) {
            counter.add(labels, amount);
        }
    }

    /// Sets a gauge; does nothing for what is none. Of one that is asked for its value nothing else is shown.
    pub fn set_gauge(&self, name: &str, labels: Labels<'_>, value: f64) {
        if let Some(gauge) = self.find(name, Sort::Gauge) {
            gauge.set(labels, value);
        }
    }

    /// What a counter has counted; 0 for what is none.
    pub fn counter(&self, name: &str, labels: Labels<'_>) -> f64 {
        self.find(name, Sort::Counter).and_then(|counter| counter.get(labels)).unwrap_or(0.0)
    }

    /// What a gauge shows, or with labels what it was set to; 0 for what is none.
    pub fn gauge(&self, name: &str, labels: Option<Labels<'_>>) -> f64 {
        let Some(gauge) = self.find(name, Sort::Gauge) else { return 0.0 };
        let value = match (&gauge.source, labels) {
            (Source::Supplier(ask), None) => ask(),
            (_, labels) => gauge.get(labels.unwrap_or_default()),
        };
        value.unwrap_or(0.0)
    }

    // ── What the gate counts ─────────────────────────────────────────────────

    /// Counts a call of a tool that is known; others are to be called [`OTHER`].
    pub fn record_tool_call(&self, tool: &str, outcome: ToolCallOutcome<'_>) {
        match outcome {
            ToolCallOutcome::Allowed { credits } => {
                self.built_in.tool_calls.add(&[("status", "allowed"), ("tool", tool)], 1.0);
                if credits > 0.0 {
                    self.built_in.credits_charged.add(&[("tool", tool)], credits);
                }
            }
            ToolCallOutcome::Denied { reason } => {
                self.built_in.tool_calls.add(&[("status", "denied"), ("tool", tool)], 1.0);
                if let Some(reason) = reason.map(code).filter(|reason| !reason.is_empty()) {
                    self.built_in.denials.add(&[("reason", reason)], 1.0);
                }
            }
        }
    }

    /// Counts an HTTP request. Paths are grouped: see [`path_group`].
    pub fn record_http_request(&self, method: &str, path: &str, status: impl fmt::Display) {
        let (path, status) = (path_group(path), status.to_string());
        self.built_in.http_requests.add(&[("method", method), ("path", &path), ("status", &status)], 1.0);
    }

    /// Counts a call that was over a rate limit.
    pub fn record_rate_limit_hit(&self, tool: &str) {
        self.built_in.rate_limit_hits.add(&[("tool", tool)], 1.0);
    }

    /// Counts credits that were given back.
    pub fn record_refund(&self, tool: &str, credits: f64) {
        self.built_in.refunds.add(&[("tool", tool)], credits);
    }

    // ── What is shown ────────────────────────────────────────────────────────

    /// All metrics in Prometheus' text format 0.0.4, in the order in which they were registered.
    pub fn serialize(&self) -> String {
        let families: Vec<_> =
            self.families.read().iter().map(|(name, family)| (name.clone(), family.clone())).collect();
        let mut page = String::new();
        for (name, family) in families {
            family.write(&name, self.uptime_seconds(), &mut page);
        }
        page
    }

    fn uptime_seconds(&self) -> f64 {
        let seconds = (self.clock.wall().0 - self.started.0).max(0) / 1000;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let seconds = seconds as f64;
        seconds
    }
}

impl fmt::Debug for MetricsCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsCollector").field("started", &self.started).finish_non_exhaustive()
    }
}

/// The code that a reason begins with.
fn code(reason: &str) -> &str {
    match reason.split_once(':') {
        Some((code, _)) if !code.is_empty() => code,
        _ => reason,
    }
}

/// The path under which a request is counted: without what follows a `?`, in lower case, and all of `/oauth`,
/// `/keys` and `/audit` as one each.
///
/// # Examples
/// ```
/// # use paygate_core::usage::metrics::path_group;
/// assert_eq!(path_group("/Keys/Revoke?x=1"), "/keys/*");
/// assert_eq!(path_group("?a"), "/");
/// ```
pub fn path_group(path: &str) -> Cow<'_, str> {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    if path.is_empty() {
        return "/".into();
    }
    let path = match path.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
        true => Cow::Owned(path.to_lowercase()),
        false => Cow::Borrowed(path),
    };
    for (beginning, group) in [("/oauth", "/oauth/*"), ("/keys", "/keys/*"), ("/audit", "/audit/*")] {
        if path.starts_with(beginning) {
            return group.into();
        }
    }
    path
}
