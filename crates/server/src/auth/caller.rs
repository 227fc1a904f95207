//! The key that a caller shows.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName};

use super::oauth::OAuthProvider;
use crate::http::request::header_text;

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// How every key that was made here begins. Bearer tokens that begin otherwise are somebody else's.
const KEY_PREFIX: &str = "pg_";

/// How access tokens and refresh tokens begin. None of them is a key, known or not.
const TOKEN_PREFIXES: [&str; 2] = ["pg_at_", "pg_rt_"];

const MCP_PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// The key of `X-API-Key`, or of `Authorization: Bearer`: the key itself, or an access token that stands for it.
pub(crate) fn api_key<'a>(headers: &'a HeaderMap, oauth: Option<&OAuthProvider>) -> Option<Cow<'a, str>> {
    let key = header_text(headers, X_API_KEY).filter(|key| !key.is_empty());
    // 2.9.0 knew the scheme by its exact name; the standards that revisions of MCP go by take it in any case.
    let any_case = headers.contains_key(MCP_PROTOCOL_VERSION);
    key.or_else(|| bearer_key(header_text(headers, AUTHORIZATION)?, any_case, oauth))
}

fn bearer_key<'a>(
    header: Cow<'a, str>,
    any_case: bool,
    oauth: Option<&OAuthProvider>,
) -> Option<Cow<'a, str>> {
    let token = bearer(&header, any_case)?;
    if let Some(token) = oauth.and_then(|oauth| oauth.validate_token(token)) {
        return Some(Cow::Owned(token.api_key().to_owned()));
    }
    if !token.starts_with(KEY_PREFIX) || TOKEN_PREFIXES.iter().any(|prefix| token.starts_with(prefix)) {
        return None;
    }
    match &header {
        Cow::Borrowed(header) => bearer(header, any_case).map(Cow::Borrowed),
        Cow::Owned(_) => Some(Cow::Owned(token.to_owned())),
    }
}

/// The token of an `Authorization` header.
fn bearer(text: &str, any_case: bool) -> Option<&str> {
    let (scheme, token) = text.split_once(' ')?;
    let named = scheme == "Bearer" || (any_case && scheme.eq_ignore_ascii_case("bearer"));
    named.then_some(token.trim_start())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn shown(headers: &[(&'static str, &'static str)]) -> Option<String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        api_key(&map, None).map(Cow::into_owned)
    }

    #[test]
    fn a_key_comes_by_its_own_header_or_as_a_bearer_token() {
        assert_eq!(shown(&[("x-api-key", "anything")]).as_deref(), Some("anything"));
        assert_eq!(shown(&[("authorization", "Bearer pg_1")]).as_deref(), Some("pg_1"));
        let revision = ("mcp-protocol-version", "2025-06-18");
        assert_eq!(shown(&[("authorization", "bearer pg_1"), revision]).as_deref(), Some("pg_1"));
        assert_eq!(shown(&[("x-api-key", "a"), ("authorization", "Bearer pg_1")]).as_deref(), Some("a"));
        assert_eq!(shown(&[("x-api-key", ""), ("authorization", "Bearer pg_1")]).as_deref(), Some("pg_1"));
    }

    #[test]
    fn other_credentials_are_no_key() {
        for value in [
            "Bearer eyJhbGciOi",
            "Bearer pg_at_0",
            "Bearer pg_rt_0",
            "bearer pg_1",
            "Basic pg_1",
            "pg_1",
            "Bearer",
        ] {
            assert_eq!(shown(&[("authorization", value)]), None, "{value}");
        }
        assert_eq!(shown(&[]), None);
    }
}
