//! Which pages may read answers, and which may ask at all.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS,
};
use http::{HeaderMap, HeaderValue};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE, OPTIONS");
const ASKED: HeaderValue = HeaderValue::from_static(
    "Content-Type, X-API-Key, X-Admin-Key, Mcp-Session-Id, Authorization, MCP-Protocol-Version, \
     Last-Event-ID, Idempotency-Key",
);
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Mcp-Session-Id, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Credits-Remaining",
);

/// Adds the headers by which every page may read the answer.
pub(crate) fn add_headers(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ASKED);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
}

/// Which pages may ask.
#[derive(Debug)]
pub(crate) struct OriginPolicy {
    /// Whether pages from elsewhere are turned away.
    guarded: bool,
    allowed: Vec<String>,
}

impl OriginPolicy {
    /// The policy of a server that listens on this machine alone, or on more; with origins that are allowed besides
    /// this machine's.
    ///
    /// Whoever listens on this machine alone trusts its users, and their browsers must not let strangers in.
    pub(crate) fn new(listens_on_loopback: bool, allowed: Vec<String>) -> Self {
        Self { guarded: listens_on_loopback || !allowed.is_empty(), allowed }
    }

    /// Whether a request may go on. One without an `Origin` was not sent by a page.
    pub(crate) fn permits(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(http::header::ORIGIN).filter(|_| self.guarded) else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        self.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)) || of_this_machine(origin)
    }
}

fn of_this_machine(origin: &str) -> bool {
    let Some((_, authority)) = origin.split_once("://") else { return false };
    let host = match authority.strip_prefix('[') {
        Some(literal) => literal.split(']').next(),
        None => authority.split(':').next(),
    };
    let host = host.unwrap_or_default();
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(policy: &OriginPolicy, origin: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::ORIGIN, HeaderValue::from_static(origin));
        policy.permits(&headers)
    }

    #[test]
    fn foreign_pages_are_turned_away_where_the_server_listens_on_this_machine_alone() {
        let local = OriginPolicy::new(true, Vec::new());
        for own in ["http://localhost:3402", "http://LOCALHOST", "https://127.0.0.1:1", "http://[::1]:3402"] {
            assert!(permits(&local, own), "{own}");
        }
        for foreign in ["https://evil.example", "null", "http://localhost.evil.example", "http://10.0.0.1"] {
            assert!(!permits(&local, foreign), "{foreign}");
        }
        assert!(local.permits(&HeaderMap::new()), "programs send no origin");
    }

    #[test]
    fn a_list_of_origins_counts_wherever_the_server_listens() {
        let open = OriginPolicy::new(false, Vec::new());
        assert!(permits(&open, "https://evil.example"));
        let listed = OriginPolicy::new(false, vec!["https://app.example".to_owned()]);
        assert!(permits(&listed, "https://app.example"));
        assert!(!permits(&listed, "https://evil.example"));
    }
}
