//! Where a remote server is, and the bounds on what it may do.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use crate::stdio::FIRST_ID;

/// Where a remote server is, and the bounds on what it may do.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// Where messages are sent.
    pub(super) url: Url,
    /// The id of the first request. Default: [`FIRST_ID`].
    pub id_first: u64,
    /// How long nothing may come from the server while an answer is waited for. Default: 30 s.
    pub idle_time_max: Duration,
    /// How long an answer may take that keeps trickling. Default: 1 h.
    pub total_time_max: Duration,
    /// The longest answer. Default: 64 MB.
    pub answer_bytes_max: usize,
    /// How long the end of the session may take when the backend is stopped. Default: 5 s.
    pub stop_grace: Duration,
    /// A file of certificates (PEM) that are trusted beside the usual ones. Default: none.
    pub extra_certificates: Option<PathBuf>,
}

/// The text is no address of a remote server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Invalid URL")]
pub struct InvalidUrl;

impl HttpConfig {
    /// A remote server with default settings. `https:` means TLS, every other scheme plain HTTP. A user name and a
    /// password in the address are not used.
    ///
    /// # Errors
    /// [`InvalidUrl`].
    pub fn new(url: &str) -> Result<Self, InvalidUrl> {
        let mut url = Url::parse(url).map_err(|_| InvalidUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            url.set_scheme("http").map_err(|()| InvalidUrl)?;
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(InvalidUrl);
        }
        let has_host = "an address with a host may have credentials";
        url.set_username("").expect(has_host);
        url.set_password(None).expect(has_host);
        url.set_fragment(None);
        Ok(Self {
            url,
            id_first: FIRST_ID,
            idle_time_max: Duration::from_secs(30),
            total_time_max: Duration::from_secs(60 * 60),
            answer_bytes_max: 64 << 20,
            stop_grace: Duration::from_secs(5),
            extra_certificates: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<String, InvalidUrl> {
        HttpConfig::new(text).map(|config| config.url.to_string())
    }

    #[test]
    fn an_address_is_used_without_its_credentials() {
        assert_eq!(url("https://me:secret@h:81/a?b=c#d").unwrap(), "https://h:81/a?b=c");
        assert_eq!(url("http://[::1]:80/mcp").unwrap(), "http://[::1]/mcp");
    }

    #[test]
    fn whatever_is_not_https_is_plain_http() {
        assert_eq!(url("ftp://h/x").unwrap(), "http://h/x");
        assert_eq!(url("HTTPS://h").unwrap(), "https://h/");
    }

    #[test]
    fn text_without_a_host_is_no_address() {
        for text in ["", "nope", "/mcp", "http://", "h:80/mcp", "file:///mcp"] {
            assert_eq!(url(text), Err(InvalidUrl), "{text}");
        }
    }
}
