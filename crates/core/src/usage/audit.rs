//! The audit log: who did what and when, kept in memory, bounded in number and age.
//!
//! What is shown of a key here is what [`mask_key`] leaves of it.

mod csv;
mod event;
mod mask;
mod query;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use indexmap::IndexMap;
use parking_lot::Mutex;
use serde::{Serialize, Serializer};
use serde_json::value::to_raw_value;

pub use csv::CSV_HEADER;
pub use event::{AuditEdit, AuditEvent, AuditEventType, Sort, When};
pub use mask::mask_key;
pub use query::{AuditFilter, AuditPage, Bound, Paging};

use crate::clock::{Clock, Timestamp};
use crate::text::clean::sort_properties;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;

/// How many events are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capacity {
    /// The newest of all, so many; `None` is without bound.
    Shared(Option<usize>),
    /// So many each of traffic (`gate.…`, `session.…`), of wrong admin keys, and of everything else, which is what
    /// admins do: calls from anybody push out nothing but calls.
    Each(usize),
}

/// How much is kept, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditLimits {
    /// How many events.
    pub capacity: Capacity,
    /// For how long; `None` is for ever.
    pub age_max: Option<Duration>,
}

impl Default for AuditLimits {
    /// What a server keeps: 10,000 events of each sort, for 30 days.
    fn default() -> Self {
        let age_max = Duration::from_secs(30 * 24 * 60 * 60);
        Self { capacity: Capacity::Each(10_000), age_max: Some(age_max) }
    }
}

/// Keeps events in the order in which they were logged. Callable from any thread.
///
/// # Examples
/// ```
/// # use std::sync::Arc;
/// # use paygate_core::clock::SystemClock;
/// # use paygate_core::usage::audit::{AuditEventType, AuditFilter, AuditLimits, AuditLog, Paging};
/// let log = AuditLog::new(AuditLimits::default(), Arc::new(SystemClock));
/// log.log(AuditEventType::KeyRevoked, "admin", "Key revoked", &[("keyMasked", "pg_1234...cdef")]);
///
/// let page = log.query(&AuditFilter { actor: "ADMIN".into(), ..AuditFilter::default() }, Paging::default());
/// assert_eq!((page.total, page.events[0].id), (1, 1));
/// ```
pub struct AuditLog {
    limits: AuditLimits,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    sink: OnceLock<Arc<dyn AuditSink>>,
}

/// Keeps the events of a log in a place that outlives it. Hears of each in order, and must be quick: others who log
/// wait.
pub trait AuditSink: Send + Sync + 'static {
    /// An event was logged.
    fn logged(&self, event: &Arc<AuditEvent>);
    /// All events were forgotten.
    fn cleared(&self);
}

#[derive(Debug, Default)]
struct State {
    /// The number of the next event.
    next: u64,
    /// The number of the first event since the log was cleared, which is shown as 1.
    first: u64,
    /// Events by sort, each in order; only the first when all share one capacity.
    rings: [VecDeque<Arc<AuditEvent>>; Sort::COUNT],
}

impl State {
    fn len(&self) -> usize {
        self.rings.iter().map(VecDeque::len).sum()
    }

    /// All events, oldest first.
    fn events(&self) -> Vec<Arc<AuditEvent>> {
        let mut events: Vec<_> = self.rings.iter().flatten().cloned().collect();
        // Each ring is in order already, which is what this sort is quick at.
        events.sort_by_key(|event| event.number);
        events
    }

    fn find(&mut self, number: u64) -> Option<&mut Arc<AuditEvent>> {
        self.rings.iter_mut().find_map(|ring| {
            let at = ring.binary_search_by_key(&number, |event| event.number).ok()?;
            ring.get_mut(at)
        })
    }
}

/// What a log holds, in sums. As it is shown over HTTP and by the JavaScript API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditStats {
    /// Events kept.
    pub total_events: usize,
    /// When the first of them was.
    pub oldest_event: Option<String>,
    /// When the last of them was.
    pub newest_event: Option<String>,
    /// How many there are of each type, in the order in which JavaScript shows properties.
    #[serde(serialize_with = "as_object")]
    pub events_by_type: IndexMap<Cow<'static, str>, usize>,
    /// Events of the last 60 minutes.
    pub events_last_hour: usize,
    /// Events of the last 24 hours.
    #[serde(rename = "eventsLast24h")]
    pub events_last_day: usize,
}

fn as_object<S: Serializer>(counts: &IndexMap<Cow<'static, str>, usize>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(counts)
}

impl AuditLog {
    /// An empty log.
    pub fn new(limits: AuditLimits, clock: Arc<dyn Clock>) -> Self {
        Self { limits, clock, state: Mutex::default(), sink: OnceLock::new() }
    }

    /// Goes on where a log ended whose events a sink has kept: with the latest of them, oldest first, and with the
    /// sink. For a log in which nothing has been logged yet; a second sink is not heard.
    pub fn resume(&self, kept: Vec<AuditEvent>, sink: Arc<dyn AuditSink>) {
        let mut state = self.state.lock();
        for mut event in kept {
            // Two programs that kept events in one place may have given a number twice.
            event.number = state.next.max(event.id.saturating_sub(1));
            state.next = event.number + 1;
            let (ring, capacity) = self.ring_of(&event.kind);
            push(&mut state.rings[ring as usize], Arc::new(event), capacity);
        }
        let _ = self.sink.set(sink);
    }

    /// The ring of a type, and how much it holds.
    fn ring_of(&self, kind: &str) -> (Sort, Option<usize>) {
        match self.limits.capacity {
            Capacity::Shared(capacity) => (Sort::Traffic, capacity),
            Capacity::Each(capacity) => (Sort::of(kind), Some(capacity)),
        }
    }

    /// Keeps an event of this moment. The oldest of its ring goes when there is no room.
    ///
    /// `metadata` is anything that JSON can hold; keys in it must be masked.
    pub fn log(
        &self,
        kind: impl Into<Cow<'static, str>>,
        actor: &str,
        message: impl Into<Box<str>>,
        metadata: &(impl Serialize + ?Sized),
    ) -> Arc<AuditEvent> {
        let kind = kind.into();
        let (ring, capacity) = self.ring_of(&kind);
        let mut event = AuditEvent {
            number: 0,
            id: 0,
            when: When::at(Timestamp::default()),
            kind,
            actor: actor.into(),
            message: message.into(),
            metadata: to_raw_value(metadata).expect("metadata is plain JSON"),
        };
        let mut state = self.state.lock();
        event.number = state.next;
        event.id = state.next - state.first + 1;
        // Under the lock, so that times follow numbers.
        event.when = When::at(self.clock.wall());
        let event = Arc::new(event);
        state.next += 1;
        push(&mut state.rings[ring as usize], event.clone(), capacity);
        if let Some(sink) = self.sink.get() {
            sink.logged(&event);
        }
        event
    }

    /// Writes what a script has made of an event. False when the event is no longer kept.
    pub fn edit(&self, number: u64, edit: AuditEdit) -> bool {
        let AuditEdit { when, kind, actor, message, metadata } = edit;
        let mut state = self.state.lock();
        let Some(event) = state.find(number) else { return false };
        *event = Arc::new(AuditEvent {
            number,
            id: event.id,
            when,
            kind: kind.into(),
            actor: actor.into(),
            message: message.into(),
            metadata: metadata.unwrap_or_else(|| event.metadata.clone()),
        });
        true
    }

    /// Those of some events that are still kept, by their numbers.
    pub fn find(&self, numbers: &[u64]) -> Vec<Arc<AuditEvent>> {
        let mut state = self.state.lock();
        numbers.iter().filter_map(|number| state.find(*number).cloned()).collect()
    }

    /// All events, oldest first.
    pub fn events(&self) -> Vec<Arc<AuditEvent>> {
        self.state.lock().events()
    }

    /// The events that are asked for, oldest first.
    pub fn matching(&self, filter: &AuditFilter) -> Vec<Arc<AuditEvent>> {
        filter.pick(self.events())
    }

    fn newest_first(&self, filter: &AuditFilter) -> Vec<Arc<AuditEvent>> {
        let mut events = self.matching(filter);
        events.reverse();
        events
    }

    /// Some of the events that are asked for, newest first.
    pub fn query(&self, filter: &AuditFilter, paging: Paging) -> AuditPage {
        paging.page(&self.newest_first(filter))
    }

    /// The events that are asked for as a table, newest first: all of them unless there is a limit.
    pub fn csv(&self, filter: &AuditFilter, paging: Paging) -> String {
        csv::table(&paging.unbounded(&self.newest_first(filter)))
    }

    /// What the log holds, in sums.
    pub fn stats(&self) -> AuditStats {
        let events = self.events();
        let now = self.clock.wall().0;
        let since = |start: i64| {
            events.iter().filter(|event| event.when.at.is_some_and(|Timestamp(at)| at >= start)).count()
        };
        let mut by_type = IndexMap::new();
        for event in &events {
            *by_type.entry(event.kind.clone()).or_insert(0) += 1;
        }
        sort_properties(&mut by_type);
        AuditStats {
            total_events: events.len(),
            oldest_event: events.first().map(|event| event.when.text().into_owned()),
            newest_event: events.last().map(|event| event.when.text().into_owned()),
            events_by_type: by_type,
            events_last_hour: since(now - HOUR_MS),
            events_last_day: since(now - DAY_MS),
        }
    }

    /// The number of events kept.
    pub fn len(&self) -> usize {
        self.state.lock().len()
    }

    /// Whether no event is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops what is too old, and tells how many events that were. One whose time is no date stays.
    pub fn enforce_retention(&self) -> usize {
        let Some(age_max) = self.limits.age_max else { return 0 };
        let now = self.clock.wall().0;
        let age = |at: Timestamp| Duration::from_millis(u64::try_from(now.saturating_sub(at.0)).unwrap_or(0));
        let mut state = self.state.lock();
        let before = state.len();
        for ring in &mut state.rings {
            ring.retain(|event| event.when.at.is_none_or(|at| age(at) <= age_max));
        }
        before - state.len()
    }

    /// Forgets all events, and counts from 1 again.
    pub fn clear(&self) {
        let mut state = self.state.lock();
        state.first = state.next;
        state.rings.iter_mut().for_each(VecDeque::clear);
        if let Some(sink) = self.sink.get() {
            sink.cleared();
        }
    }
}

fn push(ring: &mut VecDeque<Arc<AuditEvent>>, event: Arc<AuditEvent>, capacity: Option<usize>) {
    ring.push_back(event);
    let gone = capacity.map_or(0, |capacity| ring.len().saturating_sub(capacity));
    ring.drain(..gone);
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog").field("limits", &self.limits).field("state", &self.state).finish()
    }
}
