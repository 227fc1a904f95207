//! Where a call comes from, when proxies stand between.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};
use paygate_core::key::address::CompiledAllowlist;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Its address, as it is told; an IPv4 address that came mapped into IPv6 is told as IPv4.
    pub(crate) text: Arc<str>,
    /// Whether its word about where a call comes from counts.
    pub(crate) trusted: bool,
}

impl Peer {
    pub(crate) fn new(address: SocketAddr, proxies: &CompiledAllowlist) -> Self {
        let text: Arc<str> = address.ip().to_canonical().to_string().into();
        let trusted = trusts(proxies, &text);
        Self { text, trusted }
    }
}

/// An empty list of proxies trusts nobody, unlike an empty list of callers.
fn trusts(proxies: &CompiledAllowlist, address: &str) -> bool {
    !proxies.is_empty() && proxies.permits(address)
}

/// The address of the caller: the peer's, or, when the peer is a trusted proxy, the last one in the chain of
/// forwarding that is not a trusted proxy itself. Everything before that may be made up.
pub(crate) fn client_address<'a>(
    peer: &'a Peer,
    headers: &'a HeaderMap,
    proxies: &CompiledAllowlist,
) -> Cow<'a, str> {
    if !peer.trusted {
        return Cow::Borrowed(&peer.text);
    }
    let chain = chain(headers);
    let client = chain.iter().rev().find(|hop| !trusts(proxies, hop)).or(chain.first());
    client.map_or(Cow::Borrowed(&peer.text), |hop| Cow::Owned(hop.clone()))
}

/// The addresses a request was forwarded for, the first hop first.
fn chain(headers: &HeaderMap) -> Vec<String> {
    let values = |name| headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    let named = |hops: Vec<&str>| -> Vec<String> {
        hops.into_iter().map(str::trim).filter(|hop| !hop.is_empty()).map(bare_address).collect()
    };
    if headers.contains_key(&X_FORWARDED_FOR) {
        return named(values(&X_FORWARDED_FOR).flat_map(|value| value.split(',')).collect());
    }
    let elements = values(&FORWARDED).flat_map(|value| value.split(','));
    named(elements.filter_map(forwarded_for).collect())
}

/// The `for` of one element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<&str> {
    let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    Some(value.trim().trim_matches('"'))
}

/// A hop without the port and the brackets that proxies add.
fn bare_address(hop: &str) -> String {
    let socket = hop.parse::<SocketAddr>().map(|socket| socket.ip());
    let literal = || hop.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok();
    match socket.ok().or_else(literal).or_else(|| hop.parse().ok()) {
        Some(address) => address.to_canonical().to_string(),
        None => hop.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn seen(peer: &str, header: Option<(HeaderName, &'static str)>) -> String {
        let proxies = CompiledAllowlist::new(["127.0.0.0/8", "::1", "10.0.0.0/8"]);
        let peer = Peer::new(SocketAddr::new(peer.parse().unwrap(), 1), &proxies);
        let mut headers = HeaderMap::new();
        if let Some((name, value)) = header {
            headers.insert(name, HeaderValue::from_static(value));
        }
        client_address(&peer, &headers, &proxies).into_owned()
    }

    fn forwarded(peer: &str, chain: &'static str) -> String {
        seen(peer, Some((X_FORWARDED_FOR, chain)))
    }

    #[test]
    fn the_last_hop_that_is_no_trusted_proxy_counts() {
        assert_eq!(forwarded("127.0.0.1", "203.0.113.7"), "203.0.113.7");
        assert_eq!(forwarded("127.0.0.1", "6.6.6.6, 203.0.113.7, 10.0.0.3"), "203.0.113.7");
        assert_eq!(forwarded("::1", " 10.0.0.9 , 10.0.0.3"), "10.0.0.9");
        assert_eq!(forwarded("127.0.0.1", "203.0.113.7:4711"), "203.0.113.7");
        assert_eq!(forwarded("127.0.0.1", "[2001:db8::1]:80"), "2001:db8::1");
        assert_eq!(forwarded("127.0.0.1", "unknown"), "unknown");
        assert_eq!(forwarded("127.0.0.1", " , "), "127.0.0.1");
        assert_eq!(
            seen("127.0.0.1", Some((FORWARDED, "for=\"[2001:db8::2]\";proto=http, for=10.1.1.1"))),
            "2001:db8::2"
        );
    }

    #[test]
    fn strangers_are_not_believed() {
        assert_eq!(forwarded("203.0.113.9", "10.0.0.1"), "203.0.113.9");
        assert_eq!(seen("::ffff:203.0.113.9", None), "203.0.113.9");
        let nobody = CompiledAllowlist::default();
        assert!(!Peer::new("127.0.0.1:1".parse().unwrap(), &nobody).trusted);
    }
}
