//! Bodies of requests: read whole, within bounds of size and time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::EXPECT;
use http::{HeaderMap, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::respond::{self, IntoResponse, Response};
use crate::config::HttpLimits;

/// How long what a client still sends after it was refused is taken in and thrown away.
const DISCARD_TIME_MAX: Duration = Duration::from_secs(5);

/// Why a body was not taken. Nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("Request body too large")]
    TooLarge,
    #[error("Request body took too long")]
    TooSlow,
    #[error("Request body ended too soon")]
    CutOff,
}

impl IntoResponse for BodyError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::CutOff => StatusCode::BAD_REQUEST,
        };
        respond::error(status, &self.to_string())
    }
}

/// Reads a body whole.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut body: Incoming,
    limits: &HttpLimits,
) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > limits.body_bytes_max as u64 {
        discard(headers, body).await;
        return Err(BodyError::TooLarge);
    }
    let collected = timeout(limits.body_timeout, collect(&mut body, limits.body_bytes_max)).await;
    let collected = collected.unwrap_or(Err(BodyError::TooSlow));
    if let Err(BodyError::TooLarge) = collected {
        discard(headers, body).await;
    }
    collected
}

async fn collect(body: &mut Incoming, bytes_max: usize) -> Result<Bytes, BodyError> {
    let Some(first) = next(body).await? else { return Ok(Bytes::new()) };
    if first.len() > bytes_max {
        return Err(BodyError::TooLarge);
    }
    // Most bodies come in one piece, which is kept as it is.
    if body.is_end_stream() {
        return Ok(first);
    }
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut whole = BytesMut::with_capacity(bytes_max.min(first.len().saturating_add(announced)));
    whole.extend_from_slice(&first);
    while let Some(data) = next(body).await? {
        if whole.len() + data.len() > bytes_max {
            return Err(BodyError::TooLarge);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

async fn next(body: &mut Incoming) -> Result<Option<Bytes>, BodyError> {
    while let Some(frame) = body.frame().await {
        // Frames that are no data are trailers, which nobody asks for.
        if let Ok(data) = frame.map_err(|_| BodyError::CutOff)?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// Takes in what the client still sends and throws it away, for a while. A connection that is closed on unread bytes
/// is reset, and the client would never see the answer. A client that waits for leave to send gets none.
pub(crate) async fn discard(headers: &HeaderMap, mut body: Incoming) {
    if headers.contains_key(EXPECT) {
        return;
    }
    let rest = async { while let Some(Ok(_)) = body.frame().await {} };
    // Whoever sends for longer is cut off.
    let _ = timeout(DISCARD_TIME_MAX, rest).await;
}
