//! `MetricsCollector`: counters and gauges. A gauge whose value a script's function tells has a cell that the shell
//! fills, so that the page can be made on any thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use paygate_core::usage::metrics::{MetricsCollector, ToolCallOutcome};

use crate::call::{Call, UNDEFINED, Value};
use crate::host::HostClock;

/// What a cell holds before its function was first called: bits of a NaN that no script can make.
const EMPTY: u64 = u64::MAX;

/// A collector as JavaScript holds it: its own, or the one of a server.
pub(crate) struct MetricsHandle {
    pub(crate) metrics: Arc<MetricsCollector>,
    cells: Mutex<Vec<Arc<AtomicU64>>>,
}

impl MetricsHandle {
    pub(crate) fn new(metrics: Arc<MetricsCollector>) -> Self {
        Self { metrics, cells: Mutex::default() }
    }
}

fn metrics_of<'a>(call: &'a Call<'_>) -> &'a MetricsCollector {
    &call.the::<MetricsHandle>().metrics
}

/// The labels that are an argument: pairs of name and value, in order.
fn labels(call: &Call<'_>, at: usize) -> Option<Vec<(String, String)>> {
    call.json(at)
}

fn lent(labels: &[(String, String)]) -> Vec<(&str, &str)> {
    labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// `metricsNew()`.
pub(crate) fn new(call: &Call<'_>) -> Value {
    call.hold_any(MetricsHandle::new(Arc::new(MetricsCollector::new(Arc::new(HostClock)))))
}

/// `metricsCounter(metrics, name, help)`.
pub(crate) fn register_counter(call: &Call<'_>) -> Value {
    call.boolean(metrics_of(call).register_counter(&call.given(1), &call.given(2)))
}

/// `metricsGauge(metrics, name, help)`.
pub(crate) fn register_gauge(call: &Call<'_>) -> Value {
    call.boolean(metrics_of(call).register_gauge(&call.given(1), &call.given(2)))
}

/// `metricsSuppliedGauge(metrics, name, help)`: the place of its cell, or −1 when it is not the first of its name.
pub(crate) fn register_supplied_gauge(call: &Call<'_>) -> Value {
    let cell = Arc::new(AtomicU64::new(EMPTY));
    let told = cell.clone();
    let supplier = move || {
        let bits = told.load(Ordering::Relaxed);
        (bits != EMPTY).then(|| f64::from_bits(bits))
    };
    let new = metrics_of(call).register_supplied_gauge(&call.given(1), &call.given(2), supplier);
    let place = new.then(|| {
        let mut cells = call.the::<MetricsHandle>().cells.lock();
        cells.push(cell);
        cells.len() - 1
    });
    call.place(place)
}

/// `metricsSupply(metrics, cell, value)`: fills a cell.
pub(crate) fn supply(call: &Call<'_>) -> Value {
    if let Some(cell) = call.the::<MetricsHandle>().cells.lock().get(call.index(1)) {
        let value = call.number(2);
        cell.store(if value.is_nan() { f64::NAN } else { value }.to_bits(), Ordering::Relaxed);
    }
    UNDEFINED
}

/// `metricsIncrement(metrics, name, amount, labels?)`.
pub(crate) fn increment(call: &Call<'_>) -> Value {
    let labels = labels(call, 3).unwrap_or_default();
    metrics_of(call).increment(&call.given(1), &lent(&labels), call.number(2));
    UNDEFINED
}

/// `metricsSet(metrics, name, value, labels?)`.
pub(crate) fn set_gauge(call: &Call<'_>) -> Value {
    let labels = labels(call, 3).unwrap_or_default();
    metrics_of(call).set_gauge(&call.given(1), &lent(&labels), call.number(2));
    UNDEFINED
}

/// `metricsCount(metrics, name, labels?)`: what a counter has counted.
pub(crate) fn counter(call: &Call<'_>) -> Value {
    let labels = labels(call, 2).unwrap_or_default();
    call.double(metrics_of(call).counter(&call.given(1), &lent(&labels)))
}

/// `metricsShown(metrics, name, labels?)`: what a gauge shows.
pub(crate) fn gauge(call: &Call<'_>) -> Value {
    let labels = labels(call, 2);
    let labels = labels.as_deref().map(lent);
    call.double(metrics_of(call).gauge(&call.given(1), labels.as_deref()))
}

/// `metricsAllowed(metrics, tool, credits)`.
pub(crate) fn record_allowed(call: &Call<'_>) -> Value {
    let outcome = ToolCallOutcome::Allowed { credits: call.number(2) };
    metrics_of(call).record_tool_call(&call.given(1), outcome);
    UNDEFINED
}

/// `metricsDenied(metrics, tool, reason?)`.
pub(crate) fn record_denied(call: &Call<'_>) -> Value {
    let reason = call.text(2);
    let outcome = ToolCallOutcome::Denied { reason: reason.as_deref() };
    metrics_of(call).record_tool_call(&call.given(1), outcome);
    UNDEFINED
}

/// `metricsHttpRequest(metrics, method, path, status)`.
pub(crate) fn record_http_request(call: &Call<'_>) -> Value {
    metrics_of(call).record_http_request(&call.given(1), &call.given(2), call.given(3));
    UNDEFINED
}

/// `metricsRateLimitHit(metrics, tool)`.
pub(crate) fn record_rate_limit_hit(call: &Call<'_>) -> Value {
    metrics_of(call).record_rate_limit_hit(&call.given(1));
    UNDEFINED
}

/// `metricsRefund(metrics, tool, credits)`.
pub(crate) fn record_refund(call: &Call<'_>) -> Value {
    metrics_of(call).record_refund(&call.given(1), call.number(2));
    UNDEFINED
}

/// `metricsPage(metrics)`: all metrics as Prometheus reads them.
pub(crate) fn serialize(call: &Call<'_>) -> Value {
    call.string(&metrics_of(call).serialize())
}
