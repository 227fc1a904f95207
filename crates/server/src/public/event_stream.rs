//! `GET /mcp`: a stream on which a client listens for what its session's server says unasked.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use paygate_mcp_wire::sse;
use paygate_mcp_wire::wire::Spliced;
use serde_json::json;
use tokio::select;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::app::App;
use crate::http::respond::{self, Body, IntoResponse, Response};
use crate::session::{SessionId, SessionStream, StreamError};

const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
pub(crate) const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");

/// How often a quiet stream says that it is still there.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);

impl IntoResponse for StreamError {
    fn into_response(self) -> Response {
        match self {
            Self::TooMany => {
                respond::error(StatusCode::TOO_MANY_REQUESTS, "Too many SSE connections for this session")
            }
            Self::UnknownSession => respond::error(StatusCode::NOT_FOUND, "Session not found"),
        }
    }
}

/// Opens a stream for the client of a session. It begins with an event if the client knows the manners of 2.9.0, and
/// ends with the session.
///
/// # Errors
/// [`StreamError`].
pub(crate) fn open(app: &App, session: SessionId, opening: bool) -> Result<Response, StreamError> {
    let stream = app.sessions.open_stream(session)?;
    let opening = opening.then(|| self::opening(session));
    let mut response =
        respond::with_body(StatusCode::OK, EVENT_STREAM, Body::streamed(events(stream, opening)));
    add_headers(response.headers_mut());
    Ok(response)
}

/// Adds what tells a client, and what is on the way to it, that events come.
pub(crate) fn add_headers(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, EVENT_STREAM);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
}

/// What a client of 2.9.0 reads first.
fn opening(session: SessionId) -> Bytes {
    let message = json!({
        "jsonrpc": "2.0",
        "method": "notifications/initialized",
        "params": {"sessionId": session.to_string()},
    });
    sse::event(Spliced::from(message.to_string().into_bytes())).into_bytes()
}

fn events(stream: SessionStream, opening: Option<Bytes>) -> impl Stream<Item = io::Result<Bytes>> {
    let mut ticks = interval_at(Instant::now() + KEEP_ALIVE_INTERVAL, KEEP_ALIVE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    stream::unfold((stream, opening, ticks), |(mut stream, opening, mut ticks)| async move {
        let event = match opening {
            Some(opening) => opening,
            None => select! {
                () = stream.ended() => return None,
                _ = ticks.tick() => sse::keep_alive(),
            },
        };
        Some((Ok(event), (stream, None, ticks)))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::StreamExt;
    use paygate_core::clock::ManualClock;
    use paygate_core::entropy::SeededEntropy;

    use super::*;
    use crate::session::Sessions;

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_says_that_it_is_there_until_its_session_ends() {
        let clock = Arc::new(ManualClock::default());
        let sessions = Arc::new(Sessions::new(clock, Arc::new(SeededEntropy::new(1))));
        let id = sessions.create(None);
        let begun = Instant::now();
        let stream = events(sessions.open_stream(id).unwrap(), Some(opening(id)));
        let mut stream = std::pin::pin!(stream);
        let first = stream.next().await.unwrap().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&first),
            format!(
                "event: message\ndata: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\",\
                 \"params\":{{\"sessionId\":\"{id}\"}}}}\n\n"
            )
        );
        for minutes in [0.5, 1.0] {
            assert_eq!(stream.next().await.unwrap().unwrap(), sse::keep_alive());
            assert_eq!(begun.elapsed().as_secs_f64(), minutes * 60.0);
        }
        sessions.end(id);
        assert!(stream.next().await.is_none());
    }
}
