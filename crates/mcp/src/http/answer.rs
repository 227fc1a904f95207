//! Finds the answer to a request in what a remote server sends back.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use serde_json::value::RawValue;
use tokio::time::timeout;

use super::{EventReader, HttpConfig, HttpError};
use crate::wire::{Envelope, Kind, Reply, WireError};

/// Characters of an error's body that are told.
const EXCERPT_CHARACTERS: usize = 200;
/// No character takes more bytes.
const CHARACTER_BYTES_MAX: usize = 4;

/// How long a server may take to end its events once it has answered, so that the connection can be used again.
const ENDING_TIME_MAX: Duration = Duration::from_secs(1);

/// Reads the answer to the request of that id.
pub(super) async fn read_answer(
    mut response: Response,
    id: u64,
    config: &HttpConfig,
) -> Result<Reply, HttpError> {
    let status = response.status().as_u16();
    if status >= 400 {
        return Err(HttpError::Status { status, excerpt: read_excerpt(&mut response, config).await });
    }
    if is_event_stream(&response) {
        return read_events(response, id, config).await;
    }
    let body = read_body(&mut response, config).await?;
    reply_of(&body, id).map_err(unparsable)
}

fn is_event_stream(response: &Response) -> bool {
    let of_type = response.headers().get(CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase());
    of_type.is_some_and(|text| memchr::memmem::find(&text, b"text/event-stream").is_some())
}

/// The next piece of a body, in time.
async fn next_piece(response: &mut Response, config: &HttpConfig) -> Result<Option<Bytes>, HttpError> {
    let after = config.idle_time_max;
    match timeout(after, response.chunk()).await {
        Ok(piece) => piece.map_err(|error| HttpError::of_connection(error, after)),
        Err(_) => Err(HttpError::TimedOut { after, reached: true }),
    }
}

async fn read_body(response: &mut Response, config: &HttpConfig) -> Result<Bytes, HttpError> {
    let (mut pieces, mut bytes) = (Vec::new(), 0);
    while let Some(piece) = next_piece(response, config).await? {
        bytes += piece.len();
        if bytes > config.answer_bytes_max {
            return Err(too_long(config));
        }
        pieces.push(piece);
    }
    Ok(match pieces.len() {
        1 => pieces.remove(0),
        _ => pieces.concat().into(),
    })
}

async fn read_excerpt(response: &mut Response, config: &HttpConfig) -> String {
    let mut body = Vec::new();
    // What is there when the connection is lost is told all the same.
    while body.len() < EXCERPT_CHARACTERS * CHARACTER_BYTES_MAX
        && let Ok(Some(piece)) = next_piece(response, config).await
    {
        body.extend_from_slice(&piece);
    }
    String::from_utf8_lossy(&body).chars().take(EXCERPT_CHARACTERS).collect()
}

/// Reads events until the answer is among them. Messages of the server's own are passed over.
async fn read_events(mut response: Response, id: u64, config: &HttpConfig) -> Result<Reply, HttpError> {
    let mut reader = EventReader::default();
    while let Some(piece) = next_piece(&mut response, config).await? {
        reader.feed(&piece);
        while let Some(event) = reader.next_event() {
            if let Some(reply) = find_reply(&event, id) {
                tokio::spawn(read_to_end(response));
                return Ok(reply);
            }
        }
        if reader.byte_count() > config.answer_bytes_max {
            return Err(too_long(config));
        }
    }
    reader.last_event().and_then(|event| find_reply(&event, id)).ok_or(HttpError::NoMatch)
}

async fn read_to_end(mut response: Response) {
    let rest = async { while matches!(response.chunk().await, Ok(Some(_))) {} };
    // A server that goes on for longer loses the connection.
    let _ = timeout(ENDING_TIME_MAX, rest).await;
}

/// The answer that a body is. The server was asked one thing, so its answer may have any id; of several messages it
/// must be ours.
fn reply_of(body: &Bytes, id: u64) -> Result<Reply, WireError> {
    if is_list(body) { find_reply(body, id).ok_or(WireError::NotAReply) } else { Reply::parse(body) }
}

/// The answer to the request of that id, if the message is it, or a list that holds it.
fn find_reply(message: &Bytes, id: u64) -> Option<Reply> {
    if is_list(message) {
        let messages: Vec<&RawValue> = serde_json::from_slice(message).ok()?;
        let mut messages = messages.into_iter().map(|one| message.slice_ref(one.get().as_bytes()));
        return messages.find_map(|one| as_reply(&one, id));
    }
    as_reply(message, id)
}

fn as_reply(message: &Bytes, id: u64) -> Option<Reply> {
    let envelope = Envelope::parse_from_backend(message).ok()?;
    let ours = envelope.kind() == Kind::Response && envelope.id.number() == Some(id);
    ours.then(|| Reply::from_envelope(message, &envelope).ok())?
}

fn is_list(json: &[u8]) -> bool {
    json.trim_ascii_start().first() == Some(&b'[')
}

fn unparsable(error: WireError) -> HttpError {
    HttpError::Unparsable { detail: error.message() }
}

fn too_long(config: &HttpConfig) -> HttpError {
    HttpError::Unparsable { detail: format!("the answer is longer than {} bytes", config.answer_bytes_max) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(message: &'static str) -> Option<Bytes> {
        let reply = find_reply(&Bytes::from_static(message.as_bytes()), 7)?;
        Some(reply.answer(crate::wire::Id::Raw("\"mine\"")).into_bytes())
    }

    #[test]
    fn an_answer_is_known_by_our_id_alone_or_in_a_list() {
        assert_eq!(found(r#"{"id":7,"result":1.0}"#).unwrap(), r#"{"id":"mine","result":1.0}"#);
        assert_eq!(
            found(r#" [{"id":6,"result":1},{"id":7.0,"error":{}}]"#).unwrap(),
            r#"{"id":"mine","error":{}}"#
        );
    }

    #[test]
    fn requests_notifications_and_other_answers_are_not_taken_for_ours() {
        for message in [
            r#"{"id":7,"method":"ping"}"#,
            r#"{"method":"notifications/progress"}"#,
            r#"{"id":8,"result":1}"#,
            r#"{"id":"7","result":1}"#,
            r#"{"id":7}"#,
            "[1]",
            "not json",
            "",
        ] {
            assert_eq!(found(message), None, "{message}");
        }
    }

    #[test]
    fn a_body_is_the_answer_whatever_its_id_unless_it_is_a_list() {
        let reply = |body: &'static str| reply_of(&Bytes::from_static(body.as_bytes()), 7).map(|_| ());
        assert_eq!(reply(r#"{"id":null,"error":{"code":-32700}}"#), Ok(()));
        assert_eq!(reply(r#"[{"id":8,"result":1},{"id":7,"result":1}]"#), Ok(()));
        assert_eq!(reply(r#"[{"id":8,"result":1}]"#), Err(WireError::NotAReply));
        assert_eq!(reply(r#"{"hello":"world"}"#), Err(WireError::NotAReply));
        assert_eq!(reply(""), Err(WireError::NotJson));
    }
}
