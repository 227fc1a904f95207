//! `GET /`: what is here.

use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;

use crate::app::App;
use crate::config::VERSION;
use crate::http::request::Request;
use crate::http::respond::{self, Response};
use crate::http::route::{Access, Routes};
use crate::members::Members;

/// What is answered where. Programs read the method and the path that open each text.
const ENDPOINTS: [(&str, &str); 33] = [
    ("mcp", "POST /mcp — MCP over JSON-RPC; the caller's key goes in X-API-Key"),
    ("balance", "GET /balance — What a key has left (X-API-Key)"),
    ("dashboard", "GET /dashboard — Admin page for the browser"),
    ("status", "GET /status — Usage at a glance (X-Admin-Key)"),
    ("createKey", "POST /keys — Make a key (X-Admin-Key)"),
    ("listKeys", "GET /keys — List keys (X-Admin-Key)"),
    ("revokeKey", "POST /keys/revoke — Revoke a key (X-Admin-Key)"),
    ("rotateKey", "POST /keys/rotate — Replace a key by a new one (X-Admin-Key)"),
    ("setAcl", "POST /keys/acl — Say which tools a key may call (X-Admin-Key)"),
    ("setExpiry", "POST /keys/expiry — Say when a key ends (X-Admin-Key)"),
    ("topUp", "POST /topup — Add credits to a key (X-Admin-Key)"),
    ("usage", "GET /usage — Usage events, as JSON or CSV (X-Admin-Key)"),
    ("limits", "POST /limits — Cap what a key may spend in all (X-Admin-Key)"),
    ("setQuota", "POST /keys/quota — Set a key's daily and monthly quota (X-Admin-Key)"),
    ("setTags", "POST /keys/tags — Label a key (X-Admin-Key)"),
    ("setIpAllowlist", "POST /keys/ip — Say where a key may be used from (X-Admin-Key)"),
    ("searchKeys", "POST /keys/search — Find keys by their labels (X-Admin-Key)"),
    ("pricing", "GET /pricing — What each tool costs"),
    ("mcpPayment", "GET /.well-known/mcp-payment — How to pay, for programs"),
    ("audit", "GET /audit — Query the audit log (X-Admin-Key)"),
    ("auditExport", "GET /audit/export — The audit log, as JSON or CSV (X-Admin-Key)"),
    ("auditStats", "GET /audit/stats — The audit log in numbers (X-Admin-Key)"),
    ("metrics", "GET /metrics — Metrics for Prometheus"),
    ("analytics", "GET /analytics — Usage over time (X-Admin-Key)"),
    ("alerts", "GET /alerts — Alerts that fired; POST /alerts — set their rules (X-Admin-Key)"),
    (
        "webhookDeadLetters",
        "GET /webhooks/dead-letter — Deliveries that were given up; DELETE to forget them (X-Admin-Key)",
    ),
    ("webhookStats", "GET /webhooks/stats — Webhook deliveries in numbers (X-Admin-Key)"),
    ("teams", "GET /teams — List teams; POST /teams — make one (X-Admin-Key)"),
    ("teamsUpdate", "POST /teams/update — Change a team (X-Admin-Key)"),
    ("teamsDelete", "POST /teams/delete — Delete a team (X-Admin-Key)"),
    ("teamsAssign", "POST /teams/assign — Put a key into a team (X-Admin-Key)"),
    ("teamsRemove", "POST /teams/remove — Take a key out of a team (X-Admin-Key)"),
    ("teamsUsage", "GET /teams/usage?teamId=... — What a team used (X-Admin-Key)"),
];

/// What is answered besides where access tokens stand for keys.
const OAUTH_ENDPOINTS: [(&str, &str); 6] = [
    ("oauthMetadata", "GET /.well-known/oauth-authorization-server — How clients log in, for programs"),
    ("oauthRegister", "POST /oauth/register — Register a client"),
    ("oauthAuthorize", "GET /oauth/authorize — Ask the owner of a key for access"),
    ("oauthToken", "POST /oauth/token — Get an access token"),
    ("oauthRevoke", "POST /oauth/revoke — Give a token back"),
    ("oauthClients", "GET /oauth/clients — List clients (X-Admin-Key)"),
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info<'a> {
    name: &'a str,
    version: &'static str,
    endpoints: Members<&'static str>,
    shadow_mode: bool,
    oauth: bool,
    redis: bool,
}

pub(crate) fn routes(routes: &mut Routes) {
    routes.at("/", Access::Public).any(info);
}

async fn info(app: Arc<App>, _request: Request) -> Response {
    let oauth = app.oauth.is_some();
    let more = oauth.then_some(OAUTH_ENDPOINTS).into_iter().flatten();
    let info = Info {
        name: &app.name,
        version: VERSION,
        endpoints: ENDPOINTS.into_iter().chain(more).collect(),
        shadow_mode: app.gate.config().shadow_mode,
        oauth,
        redis: false,
    };
    respond::json(StatusCode::OK, &info)
}
