//! Tell it: what happened, as events, and the meter that counts them.

mod alert;
mod analytics;
pub mod audit;
mod event;
mod meter;
pub mod metrics;

pub use alert::{Alert, AlertEngine, AlertFacts, AlertRule, AlertRuleError, AlertType, PENDING_MAX};
pub use analytics::{
    AnalyticsError, AnalyticsOptions, AnalyticsQuery, AnalyticsReport, AnalyticsSummary, BUCKETS_MAX,
    EventTime, EventView, Tally, TimeBucket, ToolBreakdown, TopConsumer, Trend, TrendChange,
};
pub use event::{EventSink, ForeignEvent, UsageEvent, Who};
pub(crate) use event::{Subject, Telling};
pub use meter::{Kept, Row, UsageMeter, UsageSummary};
