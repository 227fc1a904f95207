//! `GET /status`: keys, usage and settings at a glance.

use std::io;
use std::sync::Arc;

use paygate_core::config::GateConfig;
use paygate_core::gate::ToolTerms;
use paygate_core::key::record::{Record, number_value};
use paygate_core::text::clean::property_order;
use paygate_core::usage::UsageFilter;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::error::AdminError;
use super::fields;
use super::keys::view;
use crate::app::App;
use crate::http::produced::{Pieces, listing, produced};
use crate::http::request::Request;
use crate::http::respond::{JSON, Response};
use crate::http::route::{Access, Routes};

pub(super) fn routes(routes: &mut Routes) {
    routes.at("/status", Access::AdminBeforeMethod).any(status);
}

/// Shows everything, or the keys and the usage of one tenant.
async fn status(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let namespace = fields::namespace(&request);
    Ok(produced(JSON, move || overview(&app, namespace)).await?)
}

fn overview(app: &App, namespace: Option<String>) -> io::Result<Pieces> {
    let config = app.gate.config();
    let (accounts, now) = (&app.ledger().accounts, app.ledger().now());
    let usage = app.usage();
    let filter = UsageFilter { since: None, namespace: namespace.clone() };
    let before = object([
        ("name", app.name.clone().into()),
        ("shadowMode", config.shadow_mode.into()),
        ("activeKeys", accounts.active_count().into()),
    ]);
    let mut behind = object([
        ("usage", json_value(&usage.summary(&filter)?)),
        // Those of this run: what the database keeps of earlier ones is in the usage.
        ("eventCount", app.gate.meter().len().into()),
        ("namespaces", json_value(&accounts.namespaces())),
    ]);
    if let Some(namespace) = &namespace {
        behind.insert("filteredNamespace".to_owned(), namespace.as_str().into());
    }
    behind.insert("config".to_owned(), settings(&config, app.news.webhook.is_some()));
    let of_tenant = move |record: &Record| {
        namespace.as_deref().is_none_or(|namespace| *record.identity.namespace == *namespace)
    };
    let views = accounts.all().into_iter().filter_map(move |account| {
        let record = account.lock();
        of_tenant(&record).then(|| Ok(view(&record, now)))
    });
    Ok(listing(&before, "keys", views, &behind))
}

/// The settings that are shown; of the address of webhooks only that there is one.
fn settings(config: &GateConfig, webhook: bool) -> Value {
    let terms: Vec<_> = config.prices.listed().map(|terms| (terms.name.clone(), tool_terms(terms))).collect();
    let tools = property_order(terms.iter().map(|(name, terms)| (name, terms)));
    let tools: Map<_, _> = tools.map(|(name, terms)| (name.to_owned(), terms.clone())).collect();
    json!({
        "defaultCreditsPerCall": config.prices.default.get(),
        "globalRateLimitPerMin": number_value(config.global_rate_limit),
        "toolPricing": tools,
        "refundOnFailure": config.refunds.on_failure,
        "webhookUrl": webhook.then_some("***"),
    })
}

/// The terms of a tool as they are configured; what is off is left out.
fn tool_terms(terms: &ToolTerms) -> Value {
    let mut told = object([("creditsPerCall", terms.credits_per_call.get().into())]);
    for (name, number) in
        [("rateLimitPerMin", terms.calls_per_minute), ("creditsPerKbInput", terms.credits_per_kb)]
    {
        if number != 0.0 {
            told.insert(name.to_owned(), number_value(number));
        }
    }
    told.into()
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn json_value(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("sums can always be written")
}
