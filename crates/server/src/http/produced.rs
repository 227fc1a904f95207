//! Long documents: made on threads that may wait for a disk, a chunk at a time, no faster than the caller takes them.

use std::io;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderValue, StatusCode};
use paygate_mcp_wire::wire::Spliced;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::task::spawn_blocking;

use super::respond::{self, Body, Response};

/// A chunk is sent once it has this size.
const CHUNK_BYTES: usize = 32 * 1024;

/// A document in pieces.
pub(crate) type Pieces = Box<dyn Iterator<Item = io::Result<String>> + Send>;

/// What was made, and what makes the rest if there is any.
struct Begun {
    chunk: String,
    rest: Option<Pieces>,
}

/// A response whose body is made while it is sent; a short one is sent whole.
///
/// # Errors
/// Its beginning could not be made. When a later part cannot, the connection breaks.
pub(crate) async fn produced(
    content_type: HeaderValue,
    begin: impl FnOnce() -> io::Result<Pieces> + Send + 'static,
) -> io::Result<Response> {
    let Begun { chunk, rest } = on_a_thread(move || begin().and_then(next_chunk)).await?;
    let body = match rest {
        None => Body::from(Spliced::from(chunk.into_bytes())),
        Some(pieces) => Body::streamed(stream::iter([Ok(Bytes::from(chunk))]).chain(chunks(pieces))),
    };
    Ok(respond::with_body(StatusCode::OK, content_type, body))
}

/// Does what may take a while, or wait for a disk.
pub(crate) async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work).await.expect("reports do not panic, and the runtime outlives requests")
}

fn chunks(pieces: Pieces) -> impl stream::Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold(Some(pieces), async |pieces| {
        let pieces = pieces?;
        Some(match on_a_thread(move || next_chunk(pieces)).await {
            Ok(Begun { chunk, rest }) => (Ok(Bytes::from(chunk)), rest),
            Err(error) => {
                tracing::error!(%error, "a report broke off");
                (Err(error), None)
            }
        })
    })
}

fn next_chunk(mut pieces: Pieces) -> io::Result<Begun> {
    let mut chunk = String::with_capacity(CHUNK_BYTES);
    while chunk.len() < CHUNK_BYTES {
        match pieces.next() {
            Some(piece) => chunk.push_str(&piece?),
            None => return Ok(Begun { chunk, rest: None }),
        }
    }
    Ok(Begun { chunk, rest: Some(pieces) })
}

/// A table: its first line, and one for each entry.
pub(crate) fn table<T: 'static>(
    header: &'static str,
    entries: impl Iterator<Item = io::Result<T>> + Send + 'static,
    line: impl Fn(&T) -> String + Send + 'static,
) -> Pieces {
    let lines = entries.map(move |entry| entry.map(|entry| format!("\n{}", line(&entry))));
    Box::new(std::iter::once(Ok(header.to_owned())).chain(lines))
}

/// An object in indented JSON, with a list among its members: the members before it, the list under its name, and the
/// members behind it.
pub(crate) fn listing<T: Serialize + Send + 'static>(
    before: &Map<String, Value>,
    name: &'static str,
    entries: impl Iterator<Item = io::Result<T>> + Send + 'static,
    behind: &Map<String, Value>,
) -> Pieces {
    let mut entries = entries.peekable();
    let empty = entries.peek().is_none();
    let comma = if before.is_empty() { "" } else { "," };
    let start = format!("{{{}{comma}\n  \"{name}\": [", members(before));
    let entries = entries.enumerate().map(|(place, entry)| {
        let comma = if place == 0 { "" } else { "," };
        Ok(format!("{comma}\n    {}", indented(&entry?, "    ")))
    });
    let comma = if behind.is_empty() { "" } else { "," };
    let end = format!("{}]{comma}{}\n}}", if empty { "" } else { "\n  " }, members(behind));
    Box::new(std::iter::once(Ok(start)).chain(entries).chain(std::iter::once(Ok(end))))
}

/// The members of an object, each on lines of its own.
fn members(object: &Map<String, Value>) -> String {
    let lines = object.iter().map(|(name, value)| {
        let name = serde_json::to_string(name).expect("text can always be written");
        format!("\n  {name}: {}", indented(value, "  "))
    });
    lines.collect::<Vec<_>>().join(",")
}

/// A value whose lines but the first begin with so much space. Texts in JSON have no line ends of their own.
fn indented(value: &impl Serialize, space: &str) -> String {
    let text = serde_json::to_string_pretty(value).expect("what reports show can always be written");
    text.replace('\n', &format!("\n{space}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(object) = value else { panic!("no object") };
        object
    }

    fn written(before: Value, entries: Vec<Value>, behind: Value) -> String {
        let pieces = listing(&object(before), "list", entries.into_iter().map(Ok), &object(behind));
        pieces.collect::<io::Result<String>>().unwrap()
    }

    #[test]
    fn a_listing_is_what_a_whole_object_would_be() {
        for (before, entries, behind) in [
            (json!({}), json!([]), json!({})),
            (json!({"a": 1}), json!([]), json!({"z": {}})),
            (json!({"a\n\"": {"b": [1, {}]}, "c": []}), json!([{"x": [1, 2]}, "a\nb", {}]), json!({})),
            (json!({}), json!([[], 5]), json!({"y": null, "z": [{"q": "\u{2028}"}]})),
        ] {
            let mut whole = object(before.clone());
            whole.insert("list".to_owned(), entries.clone());
            whole.extend(object(behind.clone()));
            let Value::Array(entries) = entries else { unreachable!() };
            assert_eq!(written(before, entries, behind), serde_json::to_string_pretty(&whole).unwrap());
        }
    }

    #[test]
    fn an_error_ends_the_pieces_of_a_table() {
        let entries = [Ok(1), Err(io::Error::other("gone"))];
        let pieces = table("n", entries.into_iter(), |n: &i32| n.to_string());
        assert!(pieces.collect::<io::Result<String>>().is_err());
        let lines = table("n", [Ok(1), Ok(2)].into_iter(), |n: &i32| n.to_string());
        assert_eq!(lines.collect::<io::Result<String>>().unwrap(), "n\n1\n2");
    }

    proptest! {
        #[test]
        fn chunks_are_the_pieces_in_their_order(lengths in prop::collection::vec(0..3 * CHUNK_BYTES, 0..12)) {
            let pieces: Vec<String> = lengths.iter().enumerate()
                .map(|(place, length)| char::from(b'a' + place as u8).to_string().repeat(*length)).collect();
            let mut rest: Option<Pieces> = Some(Box::new(pieces.clone().into_iter().map(Ok)));
            let mut read = String::new();
            while let Some(pieces) = rest {
                let begun = next_chunk(pieces).unwrap();
                prop_assert!(begun.rest.is_none() || begun.chunk.len() >= CHUNK_BYTES);
                read.push_str(&begun.chunk);
                rest = begun.rest;
            }
            prop_assert_eq!(read, pieces.concat());
        }
    }
}
