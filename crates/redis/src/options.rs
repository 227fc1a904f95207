//! Where Redis is, and who we are there.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use paygate_core::text::number::leading_integer;
use percent_encoding::percent_decode_str;
use rustls::ClientConfig;
use url::Url;

const HOST: &str = "127.0.0.1";
const PORT: u16 = 6379;

/// Where Redis is, and who we are there.
#[derive(Clone)]
pub struct Options {
    /// Name or address; an IPv6 address may stand in brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The name to log in under; it counts with a password only. A server that refuses it is asked again without.
    pub username: Option<String>,
    /// The password; without one nobody logs in.
    pub password: Option<String>,
    /// The number of the database.
    pub db: u64,
    /// Set for TLS: whom to trust.
    pub tls: Option<Arc<ClientConfig>>,
    /// How long opening a connection may take, logging in not counted.
    pub connect_timeout: Duration,
    /// How long a reply may take.
    pub command_timeout: Duration,
}

/// What was given is no URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Invalid URL")]
pub struct InvalidUrl;

/// What a URL says of a Redis.
#[derive(Clone, PartialEq)]
pub struct Address {
    /// Name or address, IPv6 in brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The name to log in under.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// The number of the database, as it was written.
    pub db: f64,
    /// Whether the scheme is `rediss`.
    pub tls: bool,
}

impl Address {
    /// Reads a URL as browsers do. The scheme is not checked; a missing host, port or database has its default.
    ///
    /// # Errors
    /// The text is no URL.
    ///
    /// # Examples
    /// ```
    /// # use paygate_redis::Address;
    /// let address = Address::from_url("rediss://:p%40ss@cache:6380/2").unwrap();
    /// assert_eq!((&*address.host, address.port, address.db), ("cache", 6380, 2.0));
    /// assert_eq!(address.password.as_deref(), Some("p@ss"));
    /// assert!(address.tls);
    /// ```
    pub fn from_url(url: &str) -> Result<Self, InvalidUrl> {
        let url = Url::parse(url).map_err(|_| InvalidUrl)?;
        let path = url.path();
        Ok(Self {
            host: url.host_str().filter(|host| !host.is_empty()).unwrap_or(HOST).to_owned(),
            port: url.port().filter(|port| *port != 0).unwrap_or(PORT),
            username: decoded(url.username()),
            password: decoded(url.password().unwrap_or_default()),
            db: leading_integer(path.strip_prefix('/').unwrap_or(path)).unwrap_or(0.0),
            tls: url.scheme() == "rediss",
        })
    }
}

/// A part of a URL in plain text; what is no text when decoded stays as it was written.
fn decoded(part: &str) -> Option<String> {
    let plain = || percent_decode_str(part).decode_utf8().map_or_else(|_| part.to_owned(), Into::into);
    (!part.is_empty()).then(plain)
}

impl Options {
    /// The options for an address. `trusted` says whom to trust and is asked when the address wants TLS.
    pub fn new(address: Address, trusted: impl FnOnce() -> Arc<ClientConfig>) -> Self {
        let Address { host, port, username, password, db, tls } = address;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 0 is 0")]
        let db = db as u64;
        Self { host, port, username, password, db, tls: tls.then(trusted), ..Self::default() }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host: HOST.to_owned(),
            port: PORT,
            username: None,
            password: None,
            db: 0,
            tls: None,
            connect_timeout: Duration::from_secs(5),
            command_timeout: Duration::from_secs(10),
        }
    }
}

/// Shows everything but the secrets.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, db, tls, connect_timeout, command_timeout, .. } = self;
        f.debug_struct("Options")
            .field("host", host)
            .field("port", port)
            .field("db", db)
            .field("tls", &tls.is_some())
            .field("connect_timeout", connect_timeout)
            .field("command_timeout", command_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> (String, u16, f64) {
        let Address { host, port, db, .. } = Address::from_url(url).unwrap();
        (host, port, db)
    }

    #[test]
    fn what_a_url_leaves_out_has_its_default() {
        assert_eq!(read("redis://"), ("127.0.0.1".into(), 6379, 0.0));
        assert_eq!(read("redis:"), ("127.0.0.1".into(), 6379, 0.0));
        assert_eq!(read("redis://h:0/"), ("h".into(), 6379, 0.0));
        assert_eq!(read("redis://h:7000/3abc"), ("h".into(), 7000, 3.0));
        assert_eq!(read("redis://h/x"), ("h".into(), 6379, 0.0));
        assert_eq!(read("redis://[::1]:1/1/2"), ("[::1]".into(), 1, 1.0));
    }

    #[test]
    fn text_that_is_no_url_is_refused() {
        for text in ["", "nope", "redis://h:99999", "redis://[::1"] {
            assert!(Address::from_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn name_and_password_are_plain_text() {
        let secret = |url: &str| {
            let Address { username, password, .. } = Address::from_url(url).unwrap();
            (username, password)
        };
        assert_eq!(secret("redis://u%3A:p%40ss@h"), (Some("u:".into()), Some("p@ss".into())));
        assert_eq!(secret("redis://:pw@h:1/0"), (None, Some("pw".into())));
        assert_eq!(secret("redis://h"), (None, None));
        assert_eq!(secret("redis://:%FF@h"), (None, Some("%FF".into())));
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = Options { password: Some("secret".into()), ..Options::default() };
        assert!(!format!("{shown:?}").contains("secret"));
    }
}
