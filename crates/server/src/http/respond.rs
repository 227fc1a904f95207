//! Responses: their bodies, and the headers that all of them have.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName, PRAGMA};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body::{Frame, SizeHint};
use paygate_mcp_wire::wire::Spliced;
use serde::Serialize;

use super::cors;
use super::in_flight::InFlight;

/// What every handler gives in the end.
pub(crate) type Response = http::Response<Body>;

/// Bodies up to this size are copied into one piece; longer ones go out in the slices they came in.
const COPIED_BYTES_MAX: usize = 4096;

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const CSV: HeaderValue = HeaderValue::from_static("text/csv");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// A body, whole or made while it is sent.
#[derive(Debug, Default)]
pub(crate) struct Body {
    content: Content,
    /// The request stays under way until its answer has been handed over.
    in_flight: Option<InFlight>,
}

enum Content {
    /// Slices, and what they have in all.
    Whole { parts: std::vec::IntoIter<Bytes>, bytes_left: u64 },
    /// What comes, until nothing does. An error breaks the connection, so that nobody takes a part for the whole.
    Streamed(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
}

impl Default for Content {
    fn default() -> Self {
        Self::Whole { parts: Vec::new().into_iter(), bytes_left: 0 }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole { bytes_left, .. } => {
                f.debug_struct("Whole").field("bytes_left", bytes_left).finish()
            }
            Self::Streamed(_) => f.write_str("Streamed"),
        }
    }
}

impl Body {
    /// A body that is made while it is sent.
    pub(crate) fn streamed(content: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self { content: Content::Streamed(Box::pin(content)), in_flight: None }
    }

    /// Keeps a request counted as under way until the body has been handed over.
    pub(crate) fn hold(&mut self, in_flight: InFlight) {
        self.in_flight = Some(in_flight);
    }
}

impl From<Spliced> for Body {
    fn from(message: Spliced) -> Self {
        let bytes = message.byte_count();
        let parts = match bytes {
            0 => Vec::new(),
            1..=COPIED_BYTES_MAX => vec![message.into_bytes()],
            _ => message.into_parts(),
        };
        let content = Content::Whole { parts: parts.into_iter(), bytes_left: bytes as u64 };
        Self { content, in_flight: None }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut self.content {
            Content::Whole { parts, bytes_left } => {
                let Some(part) = parts.next() else { return Poll::Ready(None) };
                *bytes_left -= part.len() as u64;
                Poll::Ready(Some(Ok(Frame::data(part))))
            }
            Content::Streamed(content) => {
                content.as_mut().poll_next(context).map(|part| part.map(|part| part.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.content, Content::Whole { bytes_left: 0, .. })
    }

    fn size_hint(&self) -> SizeHint {
        match self.content {
            Content::Whole { bytes_left, .. } => SizeHint::with_exact(bytes_left),
            Content::Streamed(_) => SizeHint::default(),
        }
    }
}

/// Whatever a handler may give.
pub(crate) trait IntoResponse {
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(response) => response.into_response(),
            Err(error) => error.into_response(),
        }
    }
}

/// A response without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::default());
    *response.status_mut() = status;
    *response.headers_mut() = common_headers();
    response
}

/// A response with a body of some type.
pub(crate) fn with_body(status: StatusCode, content_type: HeaderValue, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    *response.headers_mut() = common_headers();
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// A response with JSON that is written already.
pub(crate) fn raw_json(status: StatusCode, json: impl Into<Spliced>) -> Response {
    with_body(status, JSON, json.into())
}

/// A response with compact JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    raw_json(status, serde_json::to_vec(value).expect(PLAIN))
}

/// A response with JSON that is indented by two spaces.
pub(crate) fn pretty_json(status: StatusCode, value: &impl Serialize) -> Response {
    raw_json(status, serde_json::to_vec_pretty(value).expect(PLAIN))
}

const PLAIN: &str = "values with text for member names can always be written";

/// A response that browsers keep as a file.
pub(crate) fn as_file(mut response: Response, disposition: HeaderValue) -> Response {
    response.headers_mut().insert(CONTENT_DISPOSITION, disposition);
    response
}

/// A response that says what is wrong.
pub(crate) fn error(status: StatusCode, message: &str) -> Response {
    #[derive(Serialize)]
    struct Error<'a> {
        error: &'a str,
    }
    json(status, &Error { error: message })
}

/// The refusal of a method, which names those that are answered.
pub(crate) fn method_not_allowed<'a>(
    message: &str,
    allowed: impl IntoIterator<Item = &'a Method>,
) -> Response {
    let names: Vec<&str> = allowed.into_iter().map(Method::as_str).collect();
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, message);
    let names = HeaderValue::try_from(names.join(", ")).expect("methods are tokens");
    response.headers_mut().insert(ALLOW, names);
    response
}

/// Says that nobody on the way may keep a response: there are secrets in it.
pub(crate) fn forbid_storing(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
}

fn common_headers() -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(16);
    cors::add_headers(&mut headers);
    headers.insert(KEEP_ALIVE, HeaderValue::from_static("timeout=5"));
    headers
}
