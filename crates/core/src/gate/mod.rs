//! May they call: prices, checks, single and batch decisions.

pub mod argument_size;
mod batch;
mod checks;
mod decision;
mod gate;
mod price;
mod pricing;

pub use argument_size::TooDeep;
pub use batch::{BatchCall, BatchDecision, BatchLine, BatchVerdict};
pub use decision::{Decision, DenyReason, Verdict};
pub use gate::{BatchCharge, CallRequest, Charged, Gate, GateParts, Judgement, Taken};
pub use price::{Arguments, PriceList, ToolTerms};
pub use pricing::{PAYMENT_ERROR_CODE, PaymentMetadata, PriceDocument, PricingModel, ToolPricing};
