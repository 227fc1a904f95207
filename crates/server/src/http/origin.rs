//! Where a request was sent to, as its sender sees it.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::{FORWARDED, HOST, HeaderName, ORIGIN};
use url::Url;

use super::client_address::Peer;

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The address under which the sender of a request knows the server, without a slash at its end:
/// `https://pay.example`, or `https://example/pay` behind a proxy that serves it under a path. The word of proxies
/// counts as far as they are trusted. `None` when no host is told that could be one.
pub(crate) fn base_url(peer: &Peer, headers: &HeaderMap) -> Option<String> {
    let host = host(peer, headers)?;
    let scheme = forwarded(peer, headers, X_FORWARDED_PROTO, "proto");
    let scheme =
        if scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) { "https" } else { "http" };
    let mut url = Url::parse(&format!("{scheme}://{host}")).ok()?;
    let host_alone = url.path() == "/"
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().or(url.fragment()).is_none();
    if !host_alone {
        return None;
    }
    let prefix = peer.trusted.then(|| first(headers, X_FORWARDED_PREFIX)).flatten();
    url.set_path(&prefix.unwrap_or_default());
    Some(url.as_str().trim_end_matches('/').to_owned())
}

/// Whether a form was sent by a page of this server's own, or by what is no page at all.
pub(crate) fn sent_from_own_page(peer: &Peer, headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    // The scheme is left out: not every proxy that ends TLS says so.
    origin.zip(host(peer, headers)).is_some_and(|((_, asked), own)| asked.eq_ignore_ascii_case(&own))
}

fn host<'a>(peer: &Peer, headers: &'a HeaderMap) -> Option<Cow<'a, str>> {
    forwarded(peer, headers, X_FORWARDED_HOST, "host").or_else(|| first(headers, HOST))
}

/// What a trusted proxy says: by the header of that name, or by that parameter of `Forwarded`.
fn forwarded<'a>(
    peer: &Peer,
    headers: &'a HeaderMap,
    name: HeaderName,
    parameter: &str,
) -> Option<Cow<'a, str>> {
    if !peer.trusted {
        return None;
    }
    first(headers, name).or_else(|| {
        let element = headers.get(FORWARDED)?.to_str().ok()?.split(',').next()?;
        let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case(parameter))?;
        Some(Cow::Borrowed(value.trim().trim_matches('"'))).filter(|value| !value.is_empty())
    })
}

/// The first entry of a header, which the proxy that the sender met has written.
fn first(headers: &HeaderMap, name: HeaderName) -> Option<Cow<'_, str>> {
    let entry = headers.get(name)?.to_str().ok()?.split(',').next()?.trim();
    Some(Cow::Borrowed(entry)).filter(|entry| !entry.is_empty())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use paygate_core::key::address::CompiledAllowlist;

    use super::*;

    fn peer(address: &str) -> Peer {
        let proxies = CompiledAllowlist::new(["127.0.0.1"]);
        Peer::new(format!("{address}:1").parse().unwrap(), &proxies)
    }

    fn headers(given: &[(&'static str, &'static str)]) -> HeaderMap {
        given
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn base(address: &str, given: &[(&'static str, &'static str)]) -> Option<String> {
        base_url(&peer(address), &headers(given))
    }

    #[test]
    fn the_host_that_was_asked_is_the_server() {
        assert_eq!(base("10.0.0.1", &[("host", "pay.example:3402")]).unwrap(), "http://pay.example:3402");
        assert_eq!(base("10.0.0.1", &[("host", "[::1]:3402")]).unwrap(), "http://[::1]:3402");
        assert_eq!(base("10.0.0.1", &[]), None);
        for odd in ["a/b", "a?b", "a#b", "u@a", "u:p@a", "a b", ":80", "a\"b"] {
            let odd = HeaderValue::from_static(odd);
            let headers = [(HOST, odd.clone())].into_iter().collect();
            assert!(
                base_url(&peer("10.0.0.1"), &headers).is_none_or(|base| base == "http://a\"b"),
                "{odd:?}"
            );
        }
    }

    #[test]
    fn a_trusted_proxy_says_how_it_was_asked_and_nobody_else_does() {
        let told = [
            ("host", "10.0.0.2:3402"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "pay.example, 10.0.0.9"),
            ("x-forwarded-prefix", "/pay/"),
        ];
        assert_eq!(base("127.0.0.1", &told).unwrap(), "https://pay.example/pay");
        assert_eq!(base("10.0.0.1", &told).unwrap(), "http://10.0.0.2:3402");
        let standard =
            [("host", "a"), ("forwarded", "for=1.2.3.4;proto=https;host=\"pay.example:444\", for=10.0.0.9")];
        assert_eq!(base("127.0.0.1", &standard).unwrap(), "https://pay.example:444");
    }

    #[test]
    fn a_form_of_another_page_is_told_from_ones_own() {
        let own =
            |given: &[(&'static str, &'static str)]| sent_from_own_page(&peer("10.0.0.1"), &headers(given));
        assert!(own(&[("host", "pay.example")]), "no page at all");
        assert!(own(&[("host", "pay.example"), ("origin", "https://pay.example")]));
        assert!(own(&[("host", "pay.example"), ("sec-fetch-site", "same-origin"), ("origin", "null")]));
        assert!(!own(&[("host", "pay.example"), ("origin", "https://evil.example")]));
        assert!(!own(&[("host", "pay.example"), ("origin", "null")]));
        assert!(!own(&[("host", "pay.example"), ("sec-fetch-site", "same-site")]));
    }
}
