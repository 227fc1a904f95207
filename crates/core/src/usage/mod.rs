//! Tell it: what happened, as events, and the meter that counts them.

mod alert;
mod analytics;
pub mod audit;
mod event;
mod history;
mod meter;
pub mod metrics;

pub use alert::{Alert, AlertEngine, AlertFacts, AlertRule, AlertRuleError, AlertType, PENDING_MAX};
pub use analytics::{
    AnalyticsError, AnalyticsOptions, AnalyticsQuery, AnalyticsReport, AnalyticsSummary, BUCKETS_MAX,
    EventTime, EventView, Tally, TimeBucket, ToolBreakdown, TopConsumer, Trend, TrendChange, UsageLine,
    first_told_from,
};
pub use event::{EventSink, ForeignEvent, UsageEvent, Who};
pub(crate) use event::{Subject, Telling};
pub use history::{AuditHistory, Order, Selection, UsageFilter, UsageHistory};
pub use meter::{Kept, Row, UsageMeter, UsageSummary};
