//! What a gate says.

use std::borrow::Cow;
use std::fmt;

use crate::credits::Credits;
use crate::limit::quota::QuotaExceeded;
use crate::text::number::js_number;

/// Why a call is refused. Its text, and the order in which reasons win, are contract.
#[derive(Debug, Clone, PartialEq)]
pub enum DenyReason {
    /// No key was given.
    MissingApiKey,
    /// The key is unknown or revoked.
    InvalidApiKey,
    /// The key has passed its end.
    ApiKeyExpired,
    /// The address is not one the key may be used from.
    IpNotAllowed(Box<str>),
    /// The tool's name is longer than 256 bytes.
    InvalidToolName,
    /// The key has a list of tools, and this is none of them.
    ToolNotAllowed(Box<str>),
    /// The tool is on the key's list of forbidden ones.
    ToolDenied(Box<str>),
    /// The key has had its calls for this minute.
    RateLimited(f64),
    /// The key has had its calls of this tool for this minute.
    ToolRateLimited(Box<str>, f64),
    /// The balance is below the price.
    InsufficientCredits {
        /// The price, or the total of a batch.
        need: u64,
        /// The balance.
        have: Credits,
    },
    /// The key's lifetime cap would be passed.
    SpendingLimitExceeded {
        /// The cap.
        limit: f64,
        /// What was spent before.
        spent: Credits,
        /// The price, or the total of a batch.
        need: u64,
    },
    /// One of the four limits of the quota would be passed.
    Quota(QuotaExceeded),
    /// The key's team refuses; the reason is the team's own, or none.
    Team(Option<Box<str>>),
}

impl DenyReason {
    /// The reason as events and the shadow mode tell it: sums of money are left out.
    pub fn event_text(&self) -> Cow<'static, str> {
        match self {
            Self::InsufficientCredits { .. } => Cow::Borrowed("insufficient_credits"),
            Self::SpendingLimitExceeded { .. } => Cow::Borrowed("spending_limit_exceeded"),
            Self::MissingApiKey => Cow::Borrowed("missing_api_key"),
            Self::InvalidApiKey => Cow::Borrowed("invalid_api_key"),
            Self::ApiKeyExpired => Cow::Borrowed("api_key_expired"),
            other => Cow::Owned(other.to_string()),
        }
    }
}

impl fmt::Display for DenyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingApiKey => f.write_str("missing_api_key"),
            Self::InvalidApiKey => f.write_str("invalid_api_key"),
            Self::ApiKeyExpired => f.write_str("api_key_expired"),
            Self::IpNotAllowed(address) => write!(f, "ip_not_allowed: {address} not in allowlist"),
            Self::InvalidToolName => f.write_str("invalid_tool_name: longer than 256 bytes"),
            Self::ToolNotAllowed(tool) => write!(f, "tool_not_allowed: {tool} not in allowedTools"),
            Self::ToolDenied(tool) => write!(f, "tool_denied: {tool} is in deniedTools"),
            Self::RateLimited(limit) => write!(f, "rate_limited: {} calls/min exceeded", js_number(*limit)),
            Self::ToolRateLimited(tool, limit) => {
                write!(f, "tool_rate_limited: {tool} limited to {} calls/min", js_number(*limit))
            }
            Self::InsufficientCredits { need, have } => {
                write!(f, "insufficient_credits: need {need}, have {have}")
            }
            Self::SpendingLimitExceeded { limit, spent, need } => {
                let limit = js_number(*limit);
                write!(f, "spending_limit_exceeded: limit {limit}, spent {spent}, need {need}")
            }
            Self::Quota(exceeded) => exceeded.fmt(f),
            Self::Team(reason) => f.write_str(reason.as_deref().unwrap_or("undefined")),
        }
    }
}

/// Whether a call may go on.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It may, and was paid for.
    Allowed,
    /// It may not.
    Denied(DenyReason),
    /// It would not, but refusals are only noted: it goes on unpaid.
    Shadowed(DenyReason),
}

/// The answer to one call.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Whether the call may go on.
    pub verdict: Verdict,
    /// Credits that were taken.
    pub charged: Credits,
    /// The balance afterwards; 0 when the key is not known.
    pub remaining: Credits,
}

impl Decision {
    /// Whether the call may go on.
    pub fn allowed(&self) -> bool {
        !matches!(self.verdict, Verdict::Denied(_))
    }

    /// The reason as it is told, if there is one.
    pub fn reason(&self) -> Option<String> {
        match &self.verdict {
            Verdict::Allowed | Verdict::Denied(DenyReason::Team(None)) => None,
            Verdict::Denied(reason) => Some(reason.to_string()),
            Verdict::Shadowed(reason) => Some(format!("shadow:{}", reason.event_text())),
        }
    }
}
