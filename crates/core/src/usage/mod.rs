//! Tell it: what happened, as events, and the meter that counts them.

mod event;
mod meter;

pub use event::{EventSink, ForeignEvent, UsageEvent, Who};
pub(crate) use event::{Subject, Telling};
pub use meter::{Kept, Row, UsageMeter, UsageSummary};
