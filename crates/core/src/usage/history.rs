//! Where reports read what happened: memory, or a place that keeps more of it.

use std::io;
use std::sync::Arc;

use super::analytics::{AnalyticsQuery, AnalyticsReport, EventView};
use super::audit::{AuditEvent, AuditFilter, AuditLog, AuditPage, AuditStats, Paging};
use super::meter::{Kept, UsageMeter, UsageSummary};

/// What was asked for: how many there are, and each of them, read while they are taken.
pub struct Selection<T> {
    /// How many follow.
    pub count: u64,
    /// Each of them, or why one could not be read; nothing follows then.
    pub entries: Box<dyn Iterator<Item = io::Result<T>> + Send>,
}

impl<T: Send + 'static> From<Vec<T>> for Selection<T> {
    fn from(entries: Vec<T>) -> Self {
        Self { count: entries.len() as u64, entries: Box::new(entries.into_iter().map(Ok)) }
    }
}

/// What usage events must be like, all of it. The default takes every event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageFilter {
    /// No earlier than this; compared as text.
    pub since: Option<String>,
    /// Of this tenant.
    pub namespace: Option<String>,
}

/// Usage events for reports. Calls may wait for a disk; each answers for one moment.
pub trait UsageHistory: Send + Sync + 'static {
    /// How many events there are.
    ///
    /// # Errors
    /// They could not be read. So of all others here.
    fn count(&self) -> io::Result<u64>;

    /// The events that are asked for, oldest first.
    ///
    /// # Errors
    /// As [`Self::count`].
    fn select(&self, filter: &UsageFilter) -> io::Result<Selection<Kept>>;

    /// Sums over the events that are asked for.
    ///
    /// # Errors
    /// As [`Self::count`].
    fn summary(&self, filter: &UsageFilter) -> io::Result<UsageSummary>;

    /// A report over the events of one tenant, or of all.
    ///
    /// # Errors
    /// As [`Self::count`].
    fn report(&self, query: &AnalyticsQuery, namespace: Option<&str>) -> io::Result<AnalyticsReport>;
}

/// The latest events, as far as memory has them.
impl UsageHistory for UsageMeter {
    fn count(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn select(&self, filter: &UsageFilter) -> io::Result<Selection<Kept>> {
        Ok(self.events(filter.since.as_deref(), filter.namespace.as_deref()).into())
    }

    fn summary(&self, filter: &UsageFilter) -> io::Result<UsageSummary> {
        Ok(UsageMeter::summary(self, filter.since.as_deref(), filter.namespace.as_deref()))
    }

    fn report(&self, query: &AnalyticsQuery, namespace: Option<&str>) -> io::Result<AnalyticsReport> {
        let events = self.events(Some(query.since()), namespace);
        Ok(query.report(events.iter().map(EventView::from)))
    }
}

/// Which events come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Those that were first.
    OldestFirst,
    /// Those that were last.
    NewestFirst,
}

/// Events of the audit log for reports. Calls may wait for a disk; each answers for one moment.
pub trait AuditHistory: Send + Sync + 'static {
    /// The events that are asked for.
    ///
    /// # Errors
    /// They could not be read. So of all others here.
    fn select(&self, filter: &AuditFilter, order: Order) -> io::Result<Selection<Arc<AuditEvent>>>;

    /// Some of the events that are asked for, newest first.
    ///
    /// # Errors
    /// As [`Self::select`].
    fn query(&self, filter: &AuditFilter, paging: Paging) -> io::Result<AuditPage>;

    /// What there is, in sums.
    ///
    /// # Errors
    /// As [`Self::select`].
    fn stats(&self) -> io::Result<AuditStats>;
}

/// The latest events, as far as memory has them.
impl AuditHistory for AuditLog {
    fn select(&self, filter: &AuditFilter, order: Order) -> io::Result<Selection<Arc<AuditEvent>>> {
        let mut events = self.matching(filter);
        if order == Order::NewestFirst {
            events.reverse();
        }
        Ok(events.into())
    }

    fn query(&self, filter: &AuditFilter, paging: Paging) -> io::Result<AuditPage> {
        Ok(AuditLog::query(self, filter, paging))
    }

    fn stats(&self) -> io::Result<AuditStats> {
        Ok(AuditLog::stats(self))
    }
}
