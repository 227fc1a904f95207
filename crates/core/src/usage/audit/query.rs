//! Which events are asked for, and the page that answers.

use std::collections::HashSet;
use std::sync::Arc;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::event::AuditEvent;
use crate::clock::Timestamp;
use crate::key::record::number_value;
use crate::text::date::{local_zone, parse_date};

/// Events of a page unless told otherwise, and at most.
const LIMIT: f64 = 100.0;
const LIMIT_MAX: f64 = 1000.0;

/// An end of a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The moment itself is inside.
    At(Timestamp),
    /// What was written is no date: nothing is inside.
    Unreadable,
}

impl Bound {
    /// Reads a date as JavaScript does; an empty text is no bound.
    pub fn read(text: &str) -> Option<Self> {
        let at = parse_date(text, local_zone()).map(Timestamp);
        (!text.is_empty()).then(|| at.map_or(Self::Unreadable, Self::At))
    }
}

/// What events must be like, all of it. The default takes every event.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// One of these types; empty is any.
    pub types: HashSet<String>,
    /// A part of the actor, whatever its case; empty is any.
    pub actor: String,
    /// No earlier than this.
    pub since: Option<Bound>,
    /// No later than this.
    pub until: Option<Bound>,
}

impl AuditFilter {
    /// The events that are asked for, in the order given.
    pub(super) fn pick(&self, mut events: Vec<Arc<AuditEvent>>) -> Vec<Arc<AuditEvent>> {
        let actor = self.actor.to_lowercase();
        events.retain(|event| self.picks(event, &actor));
        events
    }

    /// Whether an actor is one of those that are asked for. `part` is what is asked for, in small letters.
    pub fn picks_actor(actor: &str, part: &str) -> bool {
        part.is_empty() || actor.to_lowercase().contains(part)
    }

    fn picks(&self, event: &AuditEvent, actor: &str) -> bool {
        let since = |at: Timestamp| match self.since {
            None => true,
            Some(Bound::At(since)) => since <= at,
            Some(Bound::Unreadable) => false,
        };
        let until = |at: Timestamp| match self.until {
            None => true,
            Some(Bound::At(until)) => at <= until,
            Some(Bound::Unreadable) => false,
        };
        (self.types.is_empty() || self.types.contains(&*event.kind))
            && Self::picks_actor(&event.actor, actor)
            && event.when.at.map_or(self.since.is_none() && self.until.is_none(), |at| since(at) && until(at))
    }
}

/// A part of a list, as a caller asks for it: `None`, 0 and NaN stand for the default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Paging {
    /// Events to pass over; by default none.
    pub offset: Option<f64>,
    /// Events at most.
    pub limit: Option<f64>,
}

impl Paging {
    /// Events to pass over, and events at most, as they are told: whole numbers count, fractions do not.
    pub fn page_bounds(self) -> (f64, f64) {
        (self.offset(), self.limit())
    }

    fn offset(self) -> f64 {
        given(self.offset).map_or(0.0, |offset| offset.max(0.0))
    }

    /// A hundred unless told otherwise, at least one, at most a thousand. A fraction stays, and counts for nothing.
    fn limit(self) -> f64 {
        given(self.limit).unwrap_or(LIMIT).clamp(1.0, LIMIT_MAX)
    }

    /// The part that is asked for; without a limit all that follows.
    fn slice<T: Clone>(offset: f64, limit: Option<f64>, events: &[T]) -> Vec<T> {
        let end = limit.map_or(events.len(), |limit| place(offset + limit).min(events.len()));
        events.get(place(offset)..end).map(<[T]>::to_vec).unwrap_or_default()
    }

    pub(super) fn page(self, events: &[Arc<AuditEvent>]) -> AuditPage {
        let (offset, limit) = (self.offset(), self.limit());
        let page = Self::slice(offset, Some(limit), events);
        AuditPage { total: events.len(), offset, limit, events: page }
    }

    /// As a page, but whole where no limit is given.
    pub(super) fn unbounded(self, events: &[Arc<AuditEvent>]) -> Vec<Arc<AuditEvent>> {
        Self::slice(self.offset(), given(self.limit).map(|limit| limit.max(1.0)), events)
    }
}

fn given(number: Option<f64>) -> Option<f64> {
    number.filter(|number| *number != 0.0 && !number.is_nan())
}

fn place(number: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "never negative; saturates")]
    let place = number as usize;
    place
}

/// Some of the events that were asked for, newest first.
#[derive(Debug, Clone)]
pub struct AuditPage {
    /// How many were asked for in all.
    pub total: usize,
    /// How many were passed over.
    pub offset: f64,
    /// How many there are here at most.
    pub limit: f64,
    /// The events.
    pub events: Vec<Arc<AuditEvent>>,
}

/// As it is shown over HTTP.
impl Serialize for AuditPage {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { total, offset, limit, events } = self;
        let mut page = to.serialize_struct("AuditPage", 4)?;
        page.serialize_field("total", total)?;
        page.serialize_field("offset", &number_value(*offset))?;
        page.serialize_field("limit", &number_value(*limit))?;
        page.serialize_field("events", &Shared(events))?;
        page.end()
    }
}

/// Events that others hold too.
struct Shared<'a>(&'a [Arc<AuditEvent>]);

impl Serialize for Shared<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(|event| &**event))
    }
}
