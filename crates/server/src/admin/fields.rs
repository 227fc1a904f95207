//! Fields of request bodies, read as loosely as 2.9.0 read them where money is not at stake.

use paygate_core::key::record::truthy;
use paygate_core::text::clean;
use paygate_core::text::number::json_to_number;
use serde_json::{Map, Value};

use super::error::AdminError;
use crate::http::request::Request;

/// The key that a body names. What is no text is nobody's.
///
/// # Errors
/// There is none.
pub(crate) fn key(body: &Map<String, Value>) -> Result<&Value, AdminError> {
    body.get("key").filter(|key| truthy(key)).ok_or(AdminError::Missing("Missing key"))
}

/// The labels of a body, in JavaScript's order of properties; those of a list are named by their places.
///
/// # Errors
/// There are none.
pub(crate) fn labels(body: &Map<String, Value>) -> Result<Vec<(String, &Value)>, AdminError> {
    match body.get("tags") {
        Some(Value::Object(labels)) => {
            Ok(clean::property_order(labels).map(|(name, value)| (name.to_owned(), value)).collect())
        }
        Some(Value::Array(labels)) => {
            Ok(labels.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect())
        }
        None | Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            Err(AdminError::Missing("Missing or invalid tags object"))
        }
    }
}

/// The tenant that a query asks for, cleaned as those of keys are.
pub(crate) fn namespace(request: &Request) -> Option<String> {
    request.parameter("namespace").map(|name| clean::namespace(&name))
}

/// A number field: text that is a number counts as that number, and so does `true` as one.
///
/// # Errors
/// What would pass for a number by accident: text that is none, empty text, `false`, lists, objects, infinities.
pub(crate) fn number(name: &'static str, value: &Value) -> Result<f64, AdminError> {
    let invalid = AdminError::Field { name, problem: "must be a number" };
    let number = match value {
        Value::Number(_) | Value::Bool(true) => json_to_number(value),
        Value::String(text) if !paygate_core::text::trim::trim(text).is_empty() => json_to_number(value),
        Value::Null | Value::Bool(false) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            return Err(invalid);
        }
    };
    if number.is_finite() { Ok(number) } else { Err(invalid) }
}

/// A limit: floored, at least 0; absent and null are 0, which is off.
///
/// # Errors
/// As [`number`].
pub(crate) fn limit(name: &'static str, value: Option<&Value>) -> Result<f64, AdminError> {
    let number = value.filter(|value| !value.is_null()).map_or(Ok(0.0), |value| number(name, value))?;
    Ok(number.floor().max(0.0))
}
