//! `POST /keys/tags`: the labels of a key.

use std::sync::Arc;

use http::StatusCode;
use paygate_core::text::number::json_to_text;
use serde::Serialize;
use serde_json::Value;

use crate::admin::error::AdminError;
use crate::admin::fields;
use crate::app::App;
use crate::http::request::Request;
use crate::http::respond::{self, Response};

#[derive(Serialize)]
struct TagsSet {
    tags: Value,
    message: &'static str,
}

/// Merges labels into those of a key: null deletes one, anything else sets it.
pub(super) async fn merge_tags(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let body = request.into_object(&app).await?;
    let key = fields::key(&body)?;
    let given = fields::labels(&body)?;
    let key = key.as_str().ok_or(AdminError::KeyNotFound)?;
    let given =
        given.into_iter().map(|(name, value)| (name, (!value.is_null()).then(|| json_to_text(value))));
    let given: Vec<_> = given.collect();
    let given = given.iter().map(|(name, text)| (name.as_str(), text.as_deref()));
    let set = app.ledger().set_tags(key, given).ok_or(AdminError::KeyNotFound)?;
    app.saved(set.ticket).await?;
    let tags: Value = set.value.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
    app.news.key_tags_updated(key, tags.clone());
    Ok(respond::json(StatusCode::OK, &TagsSet { tags, message: "Tags updated" }))
}
