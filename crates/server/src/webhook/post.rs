//! One attempt to deliver, over HTTP, and why it failed in the words of Node.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use http::{HeaderName, HeaderValue, header};
use paygate_mcp_wire::http::tls_config;
use reqwest::{Client, Response, Url, redirect};
use tokio::time::timeout;

/// How long a receiver may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// How long it may take to end its answer, which nobody reads, so that the connection can be used again.
const ENDING_TIME_MAX: Duration = Duration::from_secs(10);
/// How much of an answer is waited for.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How long a connection is kept. Most receivers keep theirs for five seconds or longer.
const IDLE_TIME_MAX: Duration = Duration::from_secs(4);

const USER_AGENT: HeaderValue = HeaderValue::from_static("paygate-mcp-webhook/1.0");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const SIGNATURE: HeaderName = HeaderName::from_static("x-paygate-signature");
const RETRY: HeaderName = HeaderName::from_static("x-paygate-retry");
const DELIVERY: HeaderName = HeaderName::from_static("x-paygate-delivery");

/// What is posted.
pub(super) struct Post {
    pub(super) delivery_id: Box<str>,
    /// The number of the attempt, the first being 0.
    pub(super) attempt: u32,
    pub(super) signature: Option<String>,
    pub(super) body: Vec<u8>,
}

/// Whom deliveries are posted to.
pub(super) struct Receiver {
    url: Url,
    extra_certificates: Option<PathBuf>,
    client: OnceLock<Client>,
}

impl Receiver {
    /// A receiver; `None` when the text is no address. `https` selects TLS, anything else plain HTTP. A fragment, a user
    /// name and a password are not sent.
    pub(super) fn new(url: &str, extra_certificates: Option<PathBuf>) -> Option<Self> {
        let mut url = Url::parse(url).ok()?;
        if !matches!(url.scheme(), "http" | "https") {
            url.set_scheme("http").ok()?;
        }
        if url.host_str().is_none_or(str::is_empty) {
            return None;
        }
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        url.set_fragment(None);
        Some(Self { url, extra_certificates, client: OnceLock::new() })
    }

    /// Posts once. The error says why the receiver has not taken it.
    pub(super) async fn post(&self, post: Post) -> Result<(), String> {
        let mut request = self
            .client()
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, JSON)
            .header(header::USER_AGENT, USER_AGENT);
        if let Some(signature) = post.signature {
            request = request.header(SIGNATURE, signature);
        }
        if post.attempt > 0 {
            request = request.header(RETRY, post.attempt);
        }
        let request = request.header(DELIVERY, &*post.delivery_id).body(post.body);
        let response = match timeout(ANSWER_TIME_MAX, request.send()).await {
            Err(_) => return Err(format!("Timeout ({}s)", ANSWER_TIME_MAX.as_secs())),
            Ok(Err(error)) => return Err(self.failure(error).await),
            Ok(Ok(response)) => response,
        };
        let status = response.status();
        tokio::spawn(read_to_end(response));
        if status.is_success() { Ok(()) } else { Err(format!("HTTP {}", status.as_u16())) }
    }

    fn client(&self) -> &Client {
        // Made when first needed: reading the machine's certificates takes a while.
        self.client.get_or_init(|| {
            Client::builder()
                .tls_backend_preconfigured(tls_config(self.extra_certificates.as_deref()))
                .redirect(redirect::Policy::none())
                .no_proxy()
                .pool_idle_timeout(IDLE_TIME_MAX)
                .build()
                .expect("TLS is set up from parts that are built in")
        })
    }

    async fn failure(&self, error: reqwest::Error) -> String {
        // The address may hold secrets.
        let error = error.without_url();
        if unresolved(&error) {
            let code = if root_cause(&error).contains("emporary") { "EAI_AGAIN" } else { "ENOTFOUND" };
            return format!("getaddrinfo {code} {}", self.host());
        }
        match (error.is_connect(), find::<io::Error>(&error).and_then(|error| code(error.kind()))) {
            (true, Some(code)) => format!("connect {code} {}", self.address().await),
            (false, Some(code @ "EPIPE")) => format!("write {code}"),
            (false, Some(code)) => format!("read {code}"),
            (_, None) if find::<hyper::Error>(&error).is_some_and(hyper::Error::is_incomplete_message) => {
                "socket hang up".to_owned()
            }
            (_, None) => root_cause(&error),
        }
    }

    fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default().trim_matches(['[', ']'])
    }

    /// The address that a name stands for, if it is one alone, and the port.
    async fn address(&self) -> String {
        let (host, port) = (self.host(), self.url.port_or_known_default().unwrap_or_default());
        let addresses = tokio::net::lookup_host((host, port)).await;
        let mut addresses: Vec<_> = addresses.into_iter().flatten().map(|address| address.ip()).collect();
        addresses.dedup();
        match addresses.as_slice() {
            [only] => format!("{only}:{port}"),
            _ => format!("{host}:{port}"),
        }
    }
}

async fn read_to_end(mut response: Response) {
    let rest = async {
        let mut left = ANSWER_BYTES_MAX;
        while let Ok(Some(piece)) = response.chunk().await
            && piece.len() < left
        {
            left -= piece.len();
        }
    };
    // A receiver that goes on for longer loses the connection.
    let _ = timeout(ENDING_TIME_MAX, rest).await;
}

/// The system's name of an error.
fn code(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::ConnectionRefused => Some("ECONNREFUSED"),
        ErrorKind::ConnectionReset => Some("ECONNRESET"),
        ErrorKind::ConnectionAborted => Some("ECONNABORTED"),
        ErrorKind::HostUnreachable => Some("EHOSTUNREACH"),
        ErrorKind::NetworkUnreachable => Some("ENETUNREACH"),
        ErrorKind::AddrNotAvailable => Some("EADDRNOTAVAIL"),
        ErrorKind::TimedOut => Some("ETIMEDOUT"),
        ErrorKind::BrokenPipe => Some("EPIPE"),
        _ => None,
    }
}

/// The errors of a chain, outermost first.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        let error: &'a (dyn Error + 'static) = *error;
        error.source()
    })
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// Whether the name of the host has no address.
fn unresolved(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|error| error.to_string() == "dns error")
}

fn root_cause(error: &(dyn Error + 'static)) -> String {
    chain(error)
        .last()
        .map(ToString::to_string)
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "Connection error".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Option<String> {
        Receiver::new(text, None).map(|receiver| receiver.url.to_string())
    }

    #[test]
    fn an_address_is_used_without_credentials_and_fragment() {
        assert_eq!(url("https://me:secret@h:81/a?b=c#d").unwrap(), "https://h:81/a?b=c");
        assert_eq!(url("http://[::1]:8080/").unwrap(), "http://[::1]:8080/");
        assert_eq!(url("ftp://h/x").unwrap(), "http://h/x");
    }

    #[test]
    fn text_without_a_host_is_no_address() {
        for text in ["nota url", "", "/hook", "http://", "localhost:3000/hook", "file:///hook"] {
            assert_eq!(url(text), None, "{text}");
        }
    }
}
