//! Live records and teams: their fields, and the values of these for JavaScript.

use serde_json::{Map, Value as Json};

use crate::call::{Call, UNDEFINED, Value, slot};

/// A field's value: plain ones as they are, lists and objects as JSON text, which the shared numbers tell.
pub(crate) fn value(call: &Call<'_>, value: Option<Json>) -> Value {
    match value {
        None => UNDEFINED,
        Some(Json::Null) => call.null(),
        Some(Json::Bool(truth)) => call.boolean(truth),
        Some(Json::Number(number)) => call.double(number.as_f64().unwrap_or(f64::NAN)),
        Some(Json::String(text)) => call.string(&text),
        Some(nested @ (Json::Array(_) | Json::Object(_))) => {
            call.set(slot::JSON, 1.0);
            call.json_text(&nested)
        }
    }
}

/// The names of the fields of a record in order, and the values of those that the engine does not know; nothing when
/// the record shows exactly the known ones.
pub(crate) fn shape(
    call: &Call<'_>,
    names: &[&str],
    known: &[&str],
    value: impl Fn(&str) -> Option<Json>,
) -> Value {
    if names == known {
        return UNDEFINED;
    }
    let own = names.iter().filter(|name| !known.contains(name));
    let own: Map<_, _> = own.filter_map(|name| Some(((*name).to_owned(), value(name)?))).collect();
    call.json_text(&(names, own))
}
