//! `/keys` and what is below it: makes keys, lists them, and changes what they may do.

mod create;
mod lifetime;
mod list;
mod rights;
mod tags;

pub(crate) use list::view;
use paygate_core::clock::Timestamp;
use paygate_core::key::address::{self, CompiledAllowlist};
use paygate_core::limit::quota::Quota;
use paygate_core::text::clean;
use serde_json::{Map, Value};

use super::error::AdminError;
use super::fields;
use crate::http::route::{Access, Routes};

/// Dates end so many milliseconds after 1970.
const DATE_MS_MAX: f64 = 8.64e15;

/// What is told of an end that is no date.
const NO_DATE: AdminError = AdminError::Field { name: "expiresAt", problem: "is not a date" };

pub(crate) fn routes(routes: &mut Routes) {
    routes.at("/keys", Access::AdminBeforeMethod).get(list::list).post(create::create);
    routes.at("/keys/search", Access::AdminAfterMethod).post(list::search);
    routes.at("/keys/revoke", Access::AdminAfterMethod).post(lifetime::revoke);
    routes.at("/keys/rotate", Access::AdminAfterMethod).post(lifetime::rotate);
    routes.at("/keys/expiry", Access::AdminAfterMethod).post(lifetime::set_expiry);
    routes.at("/keys/acl", Access::AdminAfterMethod).post(rights::set_tools);
    routes.at("/keys/ip", Access::AdminAfterMethod).post(rights::set_addresses);
    routes.at("/keys/quota", Access::AdminAfterMethod).post(rights::set_quota);
    routes.at("/keys/tags", Access::AdminAfterMethod).post(tags::merge_tags);
}

/// The end of a key that is given as so many seconds from now.
fn expiry_from_now(body: &Map<String, Value>, now: Timestamp) -> Result<Option<Timestamp>, AdminError> {
    let given = body.get("expiresIn").filter(|value| !value.is_null());
    let seconds = given.map(|value| fields::number("expiresIn", value)).transpose()?;
    let Some(seconds) = seconds.filter(|seconds| *seconds > 0.0) else { return Ok(None) };
    #[expect(clippy::cast_precision_loss, reason = "dates are below 2^53 ms")]
    let at = now.0 as f64 + seconds * 1000.0;
    if at > DATE_MS_MAX {
        return Err(AdminError::Field { name: "expiresIn", problem: "is beyond the range of dates" });
    }
    #[expect(clippy::cast_possible_truncation, reason = "within the range of dates")]
    Ok(Some(Timestamp(at as i64)))
}

/// Reads the four limits of a quota; one that is absent is off.
fn quota(limits: &Map<String, Value>) -> Result<Quota, AdminError> {
    let limit = |name| fields::limit(name, limits.get(name));
    Ok(Quota {
        daily_calls: limit("dailyCallLimit")?,
        monthly_calls: limit("monthlyCallLimit")?,
        daily_credits: limit("dailyCreditLimit")?,
        monthly_credits: limit("monthlyCreditLimit")?,
    })
}

/// The addresses a key may be used from. What is no address would lock everybody out.
fn allowlist(name: &'static str, value: Option<&Value>) -> Result<CompiledAllowlist, AdminError> {
    let entries = value.map(clean::name_list).unwrap_or_default();
    if entries.iter().any(|entry| address::validate(entry).is_err()) {
        return Err(AdminError::Field { name, problem: "holds what is no address or range" });
    }
    Ok(CompiledAllowlist::new(entries))
}
