//! `GET /keys` and `POST /keys/search`: shows keys, all or those of a tenant or with some labels.

use std::io;
use std::iter::{from_fn, once};
use std::sync::Arc;

use paygate_core::clock::Timestamp;
use paygate_core::key::record::{Record, shown_prefix, truthy};
use paygate_core::text::clean;
use serde_json::{Map, Value};

use crate::admin::error::AdminError;
use crate::admin::fields;
use crate::app::App;
use crate::http::produced::{Pieces, produced};
use crate::http::request::Request;
use crate::http::respond::{JSON, Response};

/// What is told of one key.
type View = Map<String, Value>;

/// Lists all keys, or those of one tenant, revoked and expired ones included.
pub(super) async fn list(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let namespace = fields::namespace(&request);
    let of_tenant = move |record: &Record| {
        namespace.as_deref().is_none_or(|namespace| *record.identity.namespace == *namespace)
    };
    Ok(produced(JSON, move || Ok(listed(views(&app, of_tenant)))).await?)
}

/// Finds the keys that have all of some labels.
pub(super) async fn search(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let body = request.into_object(&app).await?;
    // What is no text equals no label and names no tenant.
    let labels =
        fields::labels(&body)?.into_iter().map(|(name, text)| (name, text.as_str().map(str::to_owned)));
    let labels: Vec<_> = labels.collect();
    let namespace = body.get("namespace").filter(|name| truthy(name));
    let namespace = namespace.map(|name| name.as_str().map(clean::namespace));
    let picked = move |record: &Record| {
        let of_tenant =
            namespace.as_ref().is_none_or(|name| name.as_deref() == Some(&record.identity.namespace));
        let labelled = |(name, wanted): &(String, Option<String>)| {
            record.tags.get(name.as_str()).is_some_and(|text| wanted.as_deref() == Some(&**text))
        };
        of_tenant && labels.iter().all(labelled)
    };
    Ok(produced(JSON, move || Ok(found(views(&app, picked)))).await?)
}

/// The keys that are picked, one after another, each as it is when its turn comes.
fn views(
    app: &App,
    picked: impl Fn(&Record) -> bool + Send + 'static,
) -> impl Iterator<Item = View> + Send + 'static {
    let now = app.ledger().now();
    app.ledger().accounts.all().into_iter().filter_map(move |account| {
        let record = account.lock();
        picked(&record).then(|| view(&record, now))
    })
}

/// A list in indented JSON.
fn listed(views: impl Iterator<Item = View> + Send + 'static) -> Pieces {
    let mut views = views.peekable();
    if views.peek().is_none() {
        return Box::new(once(Ok("[]".to_owned())));
    }
    let entries = views.enumerate().map(|(place, view)| {
        let before = if place == 0 { "[" } else { "," };
        let view = serde_json::to_string_pretty(&view)?;
        Ok(format!("{before}\n  {}", view.replace('\n', "\n  ")))
    });
    Box::new(entries.chain(once(Ok("\n]".to_owned()))))
}

/// What a search found, and how many that are, in compact JSON.
fn found(mut views: impl Iterator<Item = View> + Send + 'static) -> Pieces {
    let mut count = 0;
    let mut ended = false;
    let mut next = move || -> io::Result<Option<String>> {
        if let Some(view) = views.next() {
            let before = if count == 0 { "" } else { "," };
            count += 1;
            return Ok(Some(format!("{before}{}", serde_json::to_string(&view)?)));
        }
        let first_end = !std::mem::replace(&mut ended, true);
        Ok(first_end.then(|| format!("],\"count\":{count}}}")))
    };
    Box::new(once(Ok("{\"keys\":[".to_owned())).chain(from_fn(move || next().transpose())))
}

/// A record as it is listed, with so much of its key as does not give it away.
pub(crate) fn view(record: &Record, now: Timestamp) -> View {
    let mut view = record.masked(now);
    view.insert("keyPrefix".to_owned(), shown_prefix(&record.key).into());
    view
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_written_one_by_one_as_a_whole_document_would_be() {
        for count in 0..3 {
            let views: Vec<View> = (0..count)
                .map(|number| Map::from_iter([("n\n".to_owned(), json!([number, {}, ["a\nb"]]))]))
                .collect();
            let written = |pieces: Pieces| pieces.collect::<io::Result<String>>().unwrap();
            let whole = serde_json::to_string_pretty(&views).unwrap();
            assert_eq!(written(listed(views.clone().into_iter())), whole);
            let whole = json!({ "keys": views, "count": count }).to_string();
            assert_eq!(written(found(views.into_iter())), whole);
        }
    }
}
