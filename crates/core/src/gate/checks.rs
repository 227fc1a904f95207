//! The checks: each looks at borrowed facts, says yes or why not, and touches nothing.
//!
//! Their order is contract, and differs between a call and a batch; `gate.rs` and `batch.rs` walk it.

use super::decision::DenyReason;
use super::price::ToolTerms;
use crate::clock::Timestamp;
use crate::config::GateConfig;
use crate::key::record::Record;
use crate::key::team::Team;
use crate::limit::quota::QuotaDemand;

/// Longest tool name, in bytes.
const TOOL_NAME_BYTES_MAX: usize = 256;

/// What the checks look at: one key, at one moment.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) config: &'a GateConfig,
    pub(super) record: &'a Record,
    pub(super) address: Option<&'a str>,
}

/// Whether a known key may be used at all.
pub(super) fn key_usable(record: &Record, now: Timestamp) -> Result<(), DenyReason> {
    if record.expired(now) {
        return Err(DenyReason::ApiKeyExpired);
    }
    if record.active { Ok(()) } else { Err(DenyReason::InvalidApiKey) }
}

pub(super) fn address_allowed(facts: Facts<'_>) -> Result<(), DenyReason> {
    match facts.address {
        Some(address) if !address.is_empty() && !facts.record.ip_allowlist.is_empty() => {
            if facts.record.ip_allowlist.permits(address) {
                Ok(())
            } else {
                Err(DenyReason::IpNotAllowed(address.into()))
            }
        }
        _ => Ok(()),
    }
}

pub(super) fn tool_permitted(record: &Record, tool: &str) -> Result<(), DenyReason> {
    if tool.len() > TOOL_NAME_BYTES_MAX {
        return Err(DenyReason::InvalidToolName);
    }
    if !record.allowed_tools.is_empty() && !record.allowed_tools.contains(tool) {
        return Err(DenyReason::ToolNotAllowed(tool.into()));
    }
    if record.denied_tools.contains(tool) {
        return Err(DenyReason::ToolDenied(tool.into()));
    }
    Ok(())
}

/// Whether so many calls more fit beside those of the last minute.
pub(super) fn rate_allowed(limit: f64, recent: u64, more: u64) -> Result<(), DenyReason> {
    #[expect(clippy::cast_precision_loss, reason = "a minute holds far fewer calls than 2^53")]
    let full = limit > 0.0 && (recent + more - 1) as f64 >= limit;
    if full { Err(DenyReason::RateLimited(limit)) } else { Ok(()) }
}

/// Whether the tool's own limit lets one more call through, beside the calls of the last minute.
pub(super) fn tool_rate_allowed(terms: &ToolTerms, recent: u64) -> Result<(), DenyReason> {
    #[expect(clippy::cast_precision_loss, reason = "a minute holds far fewer calls than 2^53")]
    refuse_tool_rate(terms, recent as f64 >= terms.calls_per_minute)
}

/// As [`tool_rate_allowed`], for the `nth` call of the tool in a batch.
pub(super) fn tool_rate_allows_nth(terms: &ToolTerms, recent: u64, nth: u64) -> Result<(), DenyReason> {
    #[expect(clippy::cast_precision_loss, reason = "a minute holds far fewer calls than 2^53")]
    refuse_tool_rate(terms, (recent + nth) as f64 > terms.calls_per_minute)
}

fn refuse_tool_rate(terms: &ToolTerms, full: bool) -> Result<(), DenyReason> {
    if full { Err(DenyReason::ToolRateLimited((*terms.name).into(), terms.calls_per_minute)) } else { Ok(()) }
}

pub(super) fn credits_available(facts: Facts<'_>, need: u64) -> Result<(), DenyReason> {
    let have = facts.record.credits;
    if need <= have.get() { Ok(()) } else { Err(DenyReason::InsufficientCredits { need, have }) }
}

pub(super) fn spending_limit_kept(facts: Facts<'_>, need: u64) -> Result<(), DenyReason> {
    let (limit, spent) = (facts.record.spending_limit, facts.record.spent);
    #[expect(clippy::cast_precision_loss, reason = "compared with a number of the same kind")]
    let passed = limit > 0.0 && (spent.get() + need) as f64 > limit;
    if passed { Err(DenyReason::SpendingLimitExceeded { limit, spent, need }) } else { Ok(()) }
}

/// Asks the key's own quota, or the one of all keys. The counters must stand for the present day.
pub(super) fn quota_kept(facts: Facts<'_>, demand: QuotaDemand, need: u64) -> Result<(), DenyReason> {
    let Some(quota) = facts.record.quota.as_deref().or(facts.config.global_quota.as_ref()) else {
        return Ok(());
    };
    #[expect(clippy::cast_precision_loss, reason = "judged to be within the balance")]
    facts.record.counters.check(quota, demand, need as f64).map_err(DenyReason::Quota)
}

/// Asks the budget and then the quota of the key's team, if it is in one.
pub(super) fn team_allows(team: Option<&mut Team>, now: Timestamp, need: f64) -> Result<(), DenyReason> {
    let Some(team) = team else { return Ok(()) };
    let checked = team.check_budget(need).and_then(|()| team.check_quota(now, need));
    checked.map_err(|refusal| DenyReason::Team(Some(refusal.reason().into())))
}
