//! OAuth over HTTP: where clients register, ask for codes and tokens, and give tokens back. Without a provider all of
//! it is 404.
//!
//! - `metadata`: the documents that lead a client here
//! - `register`, `authorize`, `token`: one endpoint each, and `revoke` with the tokens
//! - `consent`: the page on which the owner of a key approves a client
//! - `parameters`, `refusal`: what all of them read and how all of them refuse

mod authorize;
mod consent;
mod metadata;
mod parameters;
mod refusal;
mod register;
mod token;

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use url::Url;

use crate::app::App;
use crate::auth::oauth::OAuthProvider;
use crate::http::client_address::Peer;
use crate::http::origin;
use crate::http::respond::{self, Response};
use crate::http::route::{Access, Route, Routes};

pub(crate) fn routes(routes: &mut Routes) {
    metadata::routes(routes);
    register::routes(routes);
    authorize::routes(routes);
    token::routes(routes);
}

/// Opens a path where there is a provider.
fn endpoint<'a>(routes: &'a mut Routes, path: &'static str) -> &'a mut Route {
    routes.at(path, Access::Public).closed_by(disabled)
}

/// Keeps the paths of OAuth closed where there is none.
pub(crate) fn disabled(app: &App) -> Option<Response> {
    app.oauth.is_none().then(|| respond::error(StatusCode::NOT_FOUND, "OAuth not enabled"))
}

/// The provider of a server whose paths of OAuth are open.
pub(crate) fn provider(app: &App) -> &Arc<OAuthProvider> {
    app.oauth.as_ref().expect("asked for before any handler")
}

/// Where the sender of a request finds the server: the issuer, when that is the host that was asked, for it knows the
/// path under which a proxy serves it.
pub(crate) fn base_url(provider: &OAuthProvider, headers: &HeaderMap, peer: &Peer) -> String {
    let asked = origin::base_url(peer, headers);
    let same_host = |issuer: &&String| {
        let of = |url: &str| Url::parse(url).ok().map(|url| url.origin());
        asked.as_deref().and_then(of).is_some_and(|asked| of(issuer).as_ref() == Some(&asked))
    };
    match provider.config().issuer.as_ref().filter(same_host) {
        Some(issuer) => issuer.trim_end_matches('/').to_owned(),
        None => provider.origin_or(asked.as_deref()),
    }
}
