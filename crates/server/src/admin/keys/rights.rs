//! `POST /keys/acl`, `/keys/ip` and `/keys/quota`: what a key may call, from where, and how much.

use std::sync::Arc;

use http::StatusCode;
use paygate_core::key::record::{quota_value, truthy};
use paygate_core::ledger::ToolRights;
use paygate_core::text::clean;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{allowlist, quota};
use crate::admin::error::AdminError;
use crate::admin::fields;
use crate::app::App;
use crate::http::request::Request;
use crate::http::respond::{self, Response};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolsSet<'a> {
    allowed_tools: &'a [Box<str>],
    denied_tools: &'a [Box<str>],
    message: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AddressesSet<'a> {
    ip_allowlist: &'a [Box<str>],
    message: &'static str,
}

#[derive(Serialize)]
struct QuotaSet {
    #[serde(skip_serializing_if = "Option::is_none")]
    quota: Option<Value>,
    message: &'static str,
}

/// Replaces the lists of tools of a key; one that is absent stays.
pub(super) async fn set_tools(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let body = request.into_object(&app).await?;
    let key = fields::key(&body)?.as_str().ok_or(AdminError::KeyNotUsable)?;
    let given = |name| body.get(name).map(clean::name_list);
    let (allowed, denied) = (given("allowedTools"), given("deniedTools"));
    let set = app.ledger().set_tools(key, allowed.as_deref().map(texts), denied.as_deref().map(texts));
    let set = set.ok_or(AdminError::KeyNotUsable)?;
    app.saved(set.ticket).await?;
    let ToolRights { allowed, denied } = set.value;
    app.news.key_acl_updated(key, list(allowed.names()), list(denied.names()));
    let (allowed_tools, denied_tools) = (allowed.names(), denied.names());
    Ok(respond::json(StatusCode::OK, &ToolsSet { allowed_tools, denied_tools, message: "ACL updated" }))
}

/// Replaces the addresses that a key may be used from; no address at all is any.
pub(super) async fn set_addresses(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let body = request.into_object(&app).await?;
    let key = fields::key(&body)?;
    let given = body.get("ips").filter(|given| given.is_array());
    let given = given.ok_or(AdminError::Missing("Missing or invalid ips array"))?;
    let given = allowlist("ips", Some(given))?;
    let key = key.as_str().ok_or(AdminError::KeyNotFound)?;
    let set = app.ledger().set_ip_allowlist(key, texts(given.entries())).ok_or(AdminError::KeyNotFound)?;
    app.saved(set.ticket).await?;
    let ip_allowlist = set.value.entries();
    app.news.key_ip_updated(key, list(ip_allowlist));
    Ok(respond::json(StatusCode::OK, &AddressesSet { ip_allowlist, message: "IP allowlist updated" }))
}

/// Gives a key a quota of its own, or takes it away, so that the general one holds.
pub(super) async fn set_quota(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let body = request.into_object(&app).await?;
    let key = fields::key(&body)?.as_str().ok_or(AdminError::KeyNotFound)?;
    let quota = new_quota(&body)?;
    let set = app.ledger().set_quota(key, quota.clone()).ok_or(AdminError::KeyNotFound)?;
    app.saved(set.ticket).await?;
    let message = if let Some(quota) = &quota {
        app.news.key_quota_updated(key, quota.clone());
        "Quota set"
    } else {
        "Quota removed (using global defaults)"
    };
    Ok(respond::json(StatusCode::OK, &QuotaSet { quota, message }))
}

/// The quota that a body asks for, as an object; none when it is to be removed.
fn new_quota(body: &Map<String, Value>) -> Result<Option<Value>, AdminError> {
    let removed = body.get("remove").is_some_and(truthy);
    if removed { Ok(None) } else { Ok(Some(quota_value(&quota(body)?))) }
}

fn texts(names: &[Box<str>]) -> impl Iterator<Item = &str> {
    names.iter().map(|name| &**name)
}

fn list(names: &[Box<str>]) -> Value {
    texts(names).collect()
}
