//! What the server says of itself: as an authorization server (RFC 8414), and as a resource (RFC 9728).

use std::sync::Arc;

use http::StatusCode;

use super::{base_url, endpoint, provider};
use crate::app::App;
use crate::http::request::Request;
use crate::http::respond::{self, Response};
use crate::http::route::Routes;
use crate::public::mcp::names_revision;

pub(crate) fn routes(routes: &mut Routes) {
    endpoint(routes, "/.well-known/oauth-authorization-server").any(authorization_server);
    endpoint(routes, "/.well-known/oauth-protected-resource").any(protected_resource);
    // Where the standard has clients look for a resource whose path is `/mcp`.
    endpoint(routes, "/.well-known/oauth-protected-resource/mcp").any(protected_resource);
}

async fn authorization_server(app: Arc<App>, request: Request) -> Response {
    let provider = provider(&app);
    let headers = &request.head.headers;
    let metadata = provider.metadata(Some(&base_url(provider, headers, &request.peer)));
    let metadata = if names_revision(headers) { metadata.with_all_auth_methods() } else { metadata };
    respond::json(StatusCode::OK, &metadata)
}

async fn protected_resource(app: Arc<App>, request: Request) -> Response {
    let provider = provider(&app);
    let base = base_url(provider, &request.head.headers, &request.peer);
    respond::json(StatusCode::OK, &provider.protected_resource(Some(&base)))
}
