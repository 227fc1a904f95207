//! The latest events, and what they sum up to.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use indexmap::IndexMap;
use parking_lot::Mutex;

use super::event::{ForeignEvent, Subject, Telling, UsageEvent, Who};
use crate::clock::Timestamp;
use crate::key::record::{Identity, prefix};
use crate::text::clean::sort_properties;
use crate::text::trim::cut;

/// Names that a JavaScript object has of its own: tools and keys called like them have no row in a summary.
const INHERITED: [&str; 12] = [
    "constructor",
    "__defineGetter__",
    "__defineSetter__",
    "hasOwnProperty",
    "__lookupGetter__",
    "__lookupSetter__",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toString",
    "valueOf",
    "__proto__",
    "toLocaleString",
];

/// Keeps the latest events in order. Callable from any thread.
#[derive(Debug)]
pub struct UsageMeter {
    events_max: f64,
    events: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    /// The number of the first event kept, counted from 0 since the meter was made.
    first: u64,
    events: VecDeque<Stored>,
    /// The identity under which an account was first seen, by its place.
    identities: Vec<Option<Arc<Identity>>>,
}

/// An event as it lies in the ring.
#[derive(Debug)]
enum Stored {
    Own(Compact),
    Foreign(Box<ForeignEvent>),
}

#[derive(Debug)]
struct Compact {
    at: Timestamp,
    who: CompactWho,
    tool: Arc<str>,
    credits: i64,
    allowed: bool,
    reason: Option<Cow<'static, str>>,
}

/// Who an event in the ring is about. Nearly all are about an account under the name it had at first: these share
/// one identity of the ring, so that forgetting an event touches no memory of its account.
#[derive(Debug)]
enum CompactWho {
    Nobody,
    Unknown(Box<str>),
    Renamed(Arc<Identity>),
    Account(usize),
}

/// An event as it is given out.
#[derive(Debug, Clone)]
pub enum Kept {
    /// One of ours.
    Own(UsageEvent),
    /// One that was handed in.
    Foreign(Box<ForeignEvent>),
}

/// Counts of one tool or key.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Row {
    /// Events.
    pub calls: u64,
    /// Credits of events that were let through.
    pub credits: f64,
    /// Events that were not.
    pub denied: u64,
}

/// Sums over events. Maps are in the order in which JavaScript shows properties.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UsageSummary {
    /// Events, refunds included.
    pub total_calls: u64,
    /// Credits of events that were let through, refunds subtracted.
    pub total_credits_spent: f64,
    /// Events that were refused.
    pub total_denied: u64,
    /// By tool.
    pub per_tool: IndexMap<Box<str>, Row>,
    /// By the key's name, or what stands for the key when it has none.
    pub per_key: IndexMap<Box<str>, Row>,
    /// Refusals by reason.
    pub deny_reasons: IndexMap<Box<str>, u64>,
}

/// What a summary needs of an event.
struct View<'a> {
    key: &'a str,
    tool: &'a str,
    credits: f64,
    allowed: bool,
    reason: Option<&'a str>,
}

impl Ring {
    fn push(&mut self, event: Stored, events_max: f64) {
        self.events.push_back(event);
        #[expect(clippy::cast_precision_loss, reason = "events in memory are far fewer than 2^53")]
        let full = self.events.len() as f64 > events_max;
        if full {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "not negative, and small"
            )]
            let oldest = ((events_max * 0.25).floor().max(0.0) as usize).min(self.events.len());
            self.events.drain(..oldest);
            self.first += oldest as u64;
        }
    }

    fn compact(&mut self, who: Subject<'_>) -> CompactWho {
        match who {
            Subject::Nobody => CompactWho::Nobody,
            Subject::Unknown(key) => CompactWho::Unknown(prefix(key).into()),
            Subject::Known(place, identity) => {
                if self.identities.len() <= place {
                    self.identities.resize(place + 1, None);
                }
                let first_seen = self.identities[place].get_or_insert_with(|| identity.clone());
                if Arc::ptr_eq(first_seen, identity) {
                    CompactWho::Account(place)
                } else {
                    CompactWho::Renamed(identity.clone())
                }
            }
        }
    }

    fn identity(&self, place: usize) -> &Arc<Identity> {
        self.identities[place].as_ref().expect("kept since the account's first event")
    }

    fn given_out(&self, event: &Stored) -> Kept {
        match event {
            Stored::Foreign(event) => Kept::Foreign(event.clone()),
            Stored::Own(event) => Kept::Own(UsageEvent {
                at: event.at,
                who: match &event.who {
                    CompactWho::Nobody => Who::Nobody,
                    CompactWho::Unknown(prefix) => Who::Unknown(prefix.clone()),
                    CompactWho::Renamed(identity) => Who::Known(identity.clone()),
                    CompactWho::Account(place) => Who::Known(self.identity(*place).clone()),
                },
                tool: event.tool.clone(),
                credits: event.credits,
                allowed: event.allowed,
                reason: event.reason.clone(),
            }),
        }
    }

    /// Events of a time and a tenant, oldest first. Times are compared as text.
    fn matching(&self, since: Option<&str>, namespace: Option<&str>) -> impl Iterator<Item = Kept> {
        self.events.iter().map(|event| self.given_out(event)).filter(move |event| {
            since.is_none_or(|since| *event.timestamp() >= *since)
                && namespace.is_none_or(|namespace| event.namespace() == Some(namespace))
        })
    }
}

impl Kept {
    /// When, as text.
    pub fn timestamp(&self) -> String {
        match self {
            Self::Own(event) => event.at.to_string(),
            Self::Foreign(event) => event.timestamp.to_string(),
        }
    }

    /// The tenant.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::Own(event) => event.namespace(),
            Self::Foreign(event) => event.namespace.as_deref(),
        }
    }

    fn view(&self) -> View<'_> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "credits are below 2^53")]
            Self::Own(event) => View {
                key: name_or(event.key_name(), event.api_key()),
                tool: &event.tool,
                credits: event.credits as f64,
                allowed: event.allowed,
                reason: event.reason.as_deref(),
            },
            Self::Foreign(event) => View {
                key: name_or(&event.key_name, &event.api_key),
                tool: &event.tool,
                credits: event.credits,
                allowed: event.allowed,
                reason: event.reason.as_deref(),
            },
        }
    }
}

fn name_or<'a>(name: &'a str, api_key: &'a str) -> &'a str {
    if name.is_empty() { cut(api_key, 10) } else { name }
}

impl UsageMeter {
    /// Events kept unless told otherwise.
    pub const EVENTS_MAX: f64 = 100_000.0;

    /// A meter that keeps so many events. When one more comes, the oldest quarter goes.
    pub fn new(events_max: f64) -> Self {
        Self { events_max, events: Mutex::default() }
    }

    /// Takes events of a gate.
    pub(crate) fn keep<'a>(&self, events: impl Iterator<Item = Telling<'a>>) {
        let mut ring = self.events.lock();
        for Telling { at, who, tool, credits, allowed, reason } in events {
            let who = ring.compact(who);
            ring.push(Stored::Own(Compact { at, who, tool, credits, allowed, reason }), self.events_max);
        }
    }

    /// Takes an event that was made elsewhere.
    pub fn record(&self, event: ForeignEvent) {
        self.events.lock().push(Stored::Foreign(Box::new(event)), self.events_max);
    }

    /// Forgets all events.
    pub fn clear(&self) {
        let mut ring = self.events.lock();
        ring.first += ring.events.len() as u64;
        ring.events.clear();
    }

    /// The number of events kept.
    pub fn len(&self) -> usize {
        self.events.lock().events.len()
    }

    /// Whether no event is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Events of a time and a tenant, oldest first. `since` is compared as text.
    pub fn events(&self, since: Option<&str>, namespace: Option<&str>) -> Vec<Kept> {
        let ring = self.events.lock();
        ring.matching(since, namespace).collect()
    }

    /// The number of the first event kept, and all events from the given number on. Events are counted from 0.
    pub fn events_from(&self, number: u64) -> (u64, Vec<Kept>) {
        let ring = self.events.lock();
        let skip = usize::try_from(number.saturating_sub(ring.first)).unwrap_or(usize::MAX);
        (ring.first, ring.events.iter().skip(skip).map(|event| ring.given_out(event)).collect())
    }

    /// Sums over events of a time and a tenant.
    pub fn summary(&self, since: Option<&str>, namespace: Option<&str>) -> UsageSummary {
        let mut summary = UsageSummary::default();
        for event in self.events.lock().matching(since, namespace) {
            summary.add(&event.view());
        }
        sort_properties(&mut summary.per_tool);
        sort_properties(&mut summary.per_key);
        sort_properties(&mut summary.deny_reasons);
        summary
    }
}

impl UsageSummary {
    fn add(&mut self, event: &View<'_>) {
        self.total_calls += 1;
        if event.allowed {
            self.total_credits_spent += event.credits;
        } else {
            self.total_denied += 1;
            if let Some(reason) = event.reason.filter(|reason| !reason.is_empty()) {
                *counted(&mut self.deny_reasons, reason) += 1;
            }
        }
        for (rows, name) in [(&mut self.per_tool, event.tool), (&mut self.per_key, event.key)] {
            if INHERITED.contains(&name) {
                continue;
            }
            let row = counted(rows, name);
            row.calls += 1;
            if event.allowed {
                row.credits += event.credits;
            } else {
                row.denied += 1;
            }
        }
    }
}

/// The entry of a name, made if need be; the name is copied only then.
fn counted<'a, V: Default>(map: &'a mut IndexMap<Box<str>, V>, name: &str) -> &'a mut V {
    let at = map.get_index_of(name).unwrap_or_else(|| map.insert_full(name.into(), V::default()).0);
    &mut map[at]
}
