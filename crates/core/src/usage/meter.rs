//! The latest events, and what they sum up to.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use indexmap::IndexMap;
use parking_lot::Mutex;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::analytics::UsageLine;
use super::event::{ForeignEvent, Subject, Telling, UsageEvent, Who};
use crate::clock::Timestamp;
use crate::key::record::{Identity, number_value, prefix};
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

/// Events read at a time while everybody who records one waits.
const PAGE: usize = 256;

/// The events that were there when it was made, oldest first, read page by page so that nobody waits for long. Events
/// that are forgotten meanwhile are passed over.
struct Pages<'a> {
    meter: &'a UsageMeter,
    next: u64,
    end: u64,
    page: std::vec::IntoIter<Kept>,
}

impl Iterator for Pages<'_> {
    type Item = Kept;

    fn next(&mut self) -> Option<Kept> {
        if let Some(event) = self.page.next() {
            return Some(event);
        }
        let ring = self.meter.events.lock();
        let from = self.next.max(ring.first);
        let count = usize::try_from(self.end.saturating_sub(from)).unwrap_or(usize::MAX).min(PAGE);
        let skip = usize::try_from(from - ring.first).unwrap_or(usize::MAX);
        let page: Vec<Kept> =
            ring.events.iter().skip(skip).take(count).map(|event| ring.given_out(event)).collect();
        drop(ring);
        self.next = from + count as u64;
        self.page = page.into_iter();
        self.page.next()
    }
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

    /// Whether it is of a time and a tenant. Times are compared as text.
    fn is_of(&self, since: Option<&str>, namespace: Option<&str>) -> bool {
        since.is_none_or(|since| *self.timestamp() >= *since)
            && namespace.is_none_or(|namespace| self.namespace() == Some(namespace))
    }

    /// What stands for the key.
    pub fn api_key(&self) -> &str {
        match self {
            Self::Own(event) => event.api_key(),
            Self::Foreign(event) => &event.api_key,
        }
    }

    /// The key's name, `unknown`, or nothing.
    pub fn key_name(&self) -> &str {
        match self {
            Self::Own(event) => event.key_name(),
            Self::Foreign(event) => &event.key_name,
        }
    }

    /// Which tool.
    pub fn tool(&self) -> &str {
        match self {
            Self::Own(event) => &event.tool,
            Self::Foreign(event) => &event.tool,
        }
    }

    /// Credits taken; negative when given back.
    pub fn credits(&self) -> f64 {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "credits are below 2^53")]
            Self::Own(event) => event.credits as f64,
            Self::Foreign(event) => event.credits,
        }
    }

    /// Whether the call was let through.
    pub fn allowed(&self) -> bool {
        match self {
            Self::Own(event) => event.allowed,
            Self::Foreign(event) => event.allowed,
        }
    }

    /// Why not, or `refund`.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Own(event) => event.reason.as_deref(),
            Self::Foreign(event) => event.reason.as_deref(),
        }
    }

    fn view(&self) -> View<'_> {
        View {
            key: name_or(self.key_name(), self.api_key()),
            tool: self.tool(),
            credits: self.credits(),
            allowed: self.allowed(),
            reason: self.reason(),
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

    /// The events that are there now, oldest first.
    fn pages(&self) -> Pages<'_> {
        let end = {
            let ring = self.events.lock();
            ring.first + ring.events.len() as u64
        };
        Pages { meter: self, next: 0, end, page: Vec::new().into_iter() }
    }

    /// Events of a time and a tenant, oldest first. `since` is compared as text.
    pub fn events(&self, since: Option<&str>, namespace: Option<&str>) -> Vec<Kept> {
        self.pages().filter(|event| event.is_of(since, namespace)).collect()
    }

    /// The number of the first event kept, and so many events at most from the given number on. Events are counted
    /// from 0.
    pub fn events_from(&self, number: u64, events_max: usize) -> (u64, Vec<Kept>) {
        let ring = self.events.lock();
        let skip = usize::try_from(number.saturating_sub(ring.first)).unwrap_or(usize::MAX);
        let events = ring.events.iter().skip(skip).take(events_max);
        (ring.first, events.map(|event| ring.given_out(event)).collect())
    }

    /// Sums over events of a time and a tenant.
    pub fn summary(&self, since: Option<&str>, namespace: Option<&str>) -> UsageSummary {
        let mut summary = UsageSummary::default();
        for event in self.pages().filter(|event| event.is_of(since, namespace)) {
            summary.add(&event.view());
        }
        summary.in_property_order()
    }
}

/// As it is shown over HTTP.
impl Serialize for Row {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { calls, credits, denied } = self;
        let mut row = to.serialize_struct("Row", 3)?;
        row.serialize_field("calls", calls)?;
        row.serialize_field("credits", &number_value(*credits))?;
        row.serialize_field("denied", denied)?;
        row.end()
    }
}

/// As it is shown over HTTP.
impl Serialize for UsageSummary {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { total_calls, total_credits_spent, total_denied, per_tool, per_key, deny_reasons } = self;
        let mut summary = to.serialize_struct("UsageSummary", 6)?;
        summary.serialize_field("totalCalls", total_calls)?;
        summary.serialize_field("totalCreditsSpent", &number_value(*total_credits_spent))?;
        summary.serialize_field("totalDenied", total_denied)?;
        summary.serialize_field("perTool", &Members(per_tool))?;
        summary.serialize_field("perKey", &Members(per_key))?;
        summary.serialize_field("denyReasons", &Members(deny_reasons))?;
        summary.end()
    }
}

/// A map as an object.
struct Members<'a, V>(&'a IndexMap<Box<str>, V>);

impl<V: Serialize> Serialize for Members<'_, V> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0)
    }
}

impl UsageSummary {
    /// Sums over events that are counted already: by key and tool, and refusals by reason, each in the order in which
    /// they first appeared.
    pub fn of_sums<'a>(
        lines: impl IntoIterator<Item = UsageLine<'a>>,
        deny_reasons: impl IntoIterator<Item = (&'a str, u64)>,
    ) -> Self {
        let mut summary = Self::default();
        for line in lines {
            let tally = line.tally;
            summary.total_calls += tally.calls;
            summary.total_credits_spent += tally.credits;
            summary.total_denied += tally.denied;
            summary.add_to_rows(name_or(line.key_name, line.key), line.tool, |row| {
                row.calls += tally.calls;
                row.credits += tally.credits;
                row.denied += tally.denied;
            });
        }
        for (reason, count) in deny_reasons {
            *counted(&mut summary.deny_reasons, reason) += count;
        }
        summary.in_property_order()
    }

    fn in_property_order(mut self) -> Self {
        sort_properties(&mut self.per_tool);
        sort_properties(&mut self.per_key);
        sort_properties(&mut self.deny_reasons);
        self
    }

    fn add_to_rows(&mut self, key: &str, tool: &str, add: impl Fn(&mut Row)) {
        for (rows, name) in [(&mut self.per_tool, tool), (&mut self.per_key, key)] {
            if !INHERITED.contains(&name) {
                add(counted(rows, name));
            }
        }
    }

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
        self.add_to_rows(event.key, event.tool, |row| {
            row.calls += 1;
            if event.allowed {
                row.credits += event.credits;
            } else {
                row.denied += 1;
            }
        });
    }
}

/// The entry of a name, made if need be; the name is copied only then.
fn counted<'a, V: Default>(map: &'a mut IndexMap<Box<str>, V>, name: &str) -> &'a mut V {
    let at = map.get_index_of(name).unwrap_or_else(|| map.insert_full(name.into(), V::default()).0);
    &mut map[at]
}
