//! One metric: its samples by their labels, and how they are written.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;
use indexmap::IndexMap;
use memchr::memchr3;
use parking_lot::RwLock;

use crate::text::number::js_number;

/// Names and values of labels, in the order in which they are written.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// Different values of one label; what comes later counts as [`OTHER`].
pub const LABEL_VALUES_MAX: usize = 1000;

/// Samples of one metric; what comes later counts under labels that are all [`OTHER`].
pub const SERIES_MAX: usize = 10_000;

/// What stands for values of labels for which there is no room.
pub const OTHER: &str = "other";

/// What sort of metric it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Counter,
    Gauge,
}

/// Tells a gauge's value; `None` when there is none to show.
pub(super) type Supplier = Box<dyn Fn() -> Option<f64> + Send + Sync>;

/// Where a metric's samples come from when they are shown.
pub(super) enum Source {
    /// What was set or counted.
    Series,
    /// The seconds the collector has been there.
    Uptime,
    /// Somebody who is asked.
    Supplier(Supplier),
}

/// One metric.
pub(super) struct Family {
    pub(super) sort: Sort,
    pub(super) source: Source,
    help: Box<str>,
    series: RwLock<Series>,
}

/// Samples by their labels as they are written, in the order in which they were first touched.
#[derive(Debug, Default)]
struct Series {
    samples: IndexMap<Box<str>, Sample, RandomState>,
    /// The values that each label has had.
    values: HashMap<Box<str>, HashSet<Box<str>>>,
}

/// A number that many threads add to.
#[derive(Debug, Default)]
struct Sample(AtomicU64);

impl Sample {
    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Adds; what is NaN counts as 0 before.
    fn add(&self, amount: f64) {
        let add = |bits| {
            let before = f64::from_bits(bits);
            Some((if before.is_nan() { 0.0 } else { before } + amount).to_bits())
        };
        // Never refused, as `add` always has a value.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

impl Series {
    /// The sample of some labels, made if need be and while there is room.
    fn sample(&mut self, labels: Labels<'_>) -> &Sample {
        let mut bounded = Vec::with_capacity(labels.len());
        for (name, value) in labels {
            let known = self.values.entry((*name).into()).or_default();
            let fits = *value == OTHER || known.contains(*value) || known.len() < LABEL_VALUES_MAX;
            bounded.push((*name, if fits { *value } else { OTHER }));
        }
        let mut text = written(&bounded);
        if !self.samples.contains_key(&*text) && self.samples.len() >= SERIES_MAX {
            bounded.iter_mut().for_each(|(_, value)| *value = OTHER);
            text = written(&bounded);
        }
        for (name, value) in bounded.iter().filter(|(_, value)| *value != OTHER) {
            let known = self.values.get_mut(*name).expect("made above");
            if !known.contains(*value) {
                known.insert((*value).into());
            }
        }
        self.samples.entry(text.into()).or_default()
    }
}

impl Family {
    pub(super) fn new(sort: Sort, help: &str, source: Source) -> Self {
        Self { sort, source, help: help.into(), series: RwLock::default() }
    }

    /// Adds to a sample.
    pub(super) fn add(&self, labels: Labels<'_>, amount: f64) {
        self.with_sample(labels, |sample| sample.add(amount));
    }

    /// Sets a sample.
    pub(super) fn set(&self, labels: Labels<'_>, value: f64) {
        self.with_sample(labels, |sample| sample.set(value));
    }

    fn with_sample(&self, labels: Labels<'_>, act: impl FnOnce(&Sample)) {
        if let Some(sample) = self.series.read().samples.get(written(labels).as_str()) {
            act(sample);
            return;
        }
        act(self.series.write().sample(labels));
    }

    /// A sample, if there is one.
    pub(super) fn get(&self, labels: Labels<'_>) -> Option<f64> {
        self.series.read().samples.get(written(labels).as_str()).map(Sample::get)
    }

    /// Writes what Prometheus reads, if there is anything to show.
    pub(super) fn write(&self, name: &str, uptime_seconds: f64, page: &mut String) {
        let single = match &self.source {
            Source::Uptime => Some(uptime_seconds),
            Source::Supplier(ask) => {
                let Some(value) = ask() else { return };
                Some(value)
            }
            Source::Series => None,
        };
        let series = self.series.read();
        if single.is_none() && series.samples.is_empty() {
            return;
        }
        let sort = match self.sort {
            Sort::Counter => "counter",
            Sort::Gauge => "gauge",
        };
        page.push_str("# HELP ");
        page.push_str(name);
        page.push(' ');
        push_escaped(page, &self.help, false);
        let _ = write!(page, "\n# TYPE {name} {sort}\n");
        if let Some(value) = single {
            let _ = writeln!(page, "{name} {}", Number(value));
            return;
        }
        for (labels, sample) in &series.samples {
            let value = Number(sample.get());
            let _ = match &**labels {
                "" => writeln!(page, "{name} {value}"),
                labels => writeln!(page, "{name}{{{labels}}} {value}"),
            };
        }
    }
}

/// Labels as they are written, without the braces. Equal texts are the same sample.
fn written(labels: Labels<'_>) -> String {
    let length = labels.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    let mut text = String::with_capacity(length);
    for (name, value) in labels {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        push_escaped(&mut text, value, true);
        text.push('"');
    }
    text
}

/// A text that must stay on its line, and between its quotes if it stands in some.
fn push_escaped(to: &mut String, text: &str, in_quotes: bool) {
    if memchr3(b'\\', b'"', b'\n', text.as_bytes()).is_none() {
        to.push_str(text);
        return;
    }
    for c in text.chars() {
        match c {
            '\\' => to.push_str("\\\\"),
            '"' if in_quotes => to.push_str("\\\""),
            '\n' => to.push_str("\\n"),
            _ => to.push(c),
        }
    }
}

/// A number as JavaScript prints it, but for the infinities, which Prometheus spells otherwise.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == f64::INFINITY {
            f.write_str("+Inf")
        } else if self.0 == f64::NEG_INFINITY {
            f.write_str("-Inf")
        } else {
            js_number(self.0).fmt(f)
        }
    }
}
