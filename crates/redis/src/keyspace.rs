//! What lies in Redis under which name, and a key's record as a hash.
//!
//! | name | what |
//! |---|---|
//! | `pg:keys` | set of all keys |
//! | `pg:key:<key>` | hash: one record |
//! | `pg:usage` | list: events as JSON, oldest first |
//! | `pg:rate:<name>` | sorted set: one member for each call in a window |
//! | `pg:events` | channel: [messages](crate::message) |

use std::collections::HashMap;

use paygate_core::clock::Timestamp;
use paygate_core::key::record::{Field, number_value, truthy};
use paygate_core::text::date::{Day, Month};
use paygate_core::text::number::{json_to_text, leading_integer};
use serde_json::{Map, Value};

/// The set of all keys.
pub const KEYS: &str = "pg:keys";
/// The list of usage events.
pub const USAGE: &str = "pg:usage";
/// The channel.
pub const EVENTS: &str = "pg:events";
/// Most usage events that are kept.
pub const USAGE_MAX: u32 = 100_000;

/// Where a key's record is.
pub fn record_key(key: &str) -> String {
    format!("pg:key:{key}")
}

/// Where the calls of a window are counted.
pub fn rate_key(name: &str) -> String {
    format!("pg:rate:{name}")
}

/// How the value of a field stands in a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As it is.
    Text,
    /// As it is; empty for null.
    Nullable,
    /// Decimal text.
    Number,
    /// `1` or `0`.
    Flag,
    /// A JSON array.
    List,
    /// A JSON object.
    Object,
    /// A JSON object; empty for none.
    Optional,
    /// The day of the counters.
    Day,
    /// The month of the counters.
    Month,
    /// The tenant; `default` for none.
    Namespace,
}

/// The fields of a hash, in the order in which they are written.
const FIELDS: [(&str, Form); 22] = [
    ("key", Form::Text),
    ("name", Form::Text),
    ("credits", Form::Number),
    ("totalSpent", Form::Number),
    ("totalCalls", Form::Number),
    ("createdAt", Form::Text),
    ("lastUsedAt", Form::Nullable),
    ("active", Form::Flag),
    ("spendingLimit", Form::Number),
    ("allowedTools", Form::List),
    ("deniedTools", Form::List),
    ("expiresAt", Form::Nullable),
    ("quota", Form::Optional),
    ("tags", Form::Object),
    ("ipAllowlist", Form::List),
    ("quotaDailyCalls", Form::Number),
    ("quotaMonthlyCalls", Form::Number),
    ("quotaDailyCredits", Form::Number),
    ("quotaMonthlyCredits", Form::Number),
    ("quotaLastResetDay", Form::Day),
    ("quotaLastResetMonth", Form::Month),
    ("namespace", Form::Namespace),
];

/// The numbers that several gates change at once, in the order in which scripts take them.
pub const SHARED_NUMBERS: [&str; 3] = ["credits", "totalSpent", "totalCalls"];

/// A field whose JSON cannot be read. Says nothing of what it holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} of a key is not valid JSON")]
pub struct UndecodableField {
    field: &'static str,
}

/// A record, as an object with the fields of a state file, as the fields and texts of a hash, in order.
pub fn encode(record: &Map<String, Value>) -> Vec<(&'static str, String)> {
    let text = |(name, form)| (name, encoded(form, record.get(name).unwrap_or(&Value::Null)));
    FIELDS.into_iter().map(text).collect()
}

fn encoded(form: Form, value: &Value) -> String {
    let json = |value: &Value, absent: &str| match value {
        Value::Null => absent.to_owned(),
        present => present.to_string(),
    };
    match form {
        Form::Text | Form::Nullable | Form::Day | Form::Month if value.is_null() => String::new(),
        Form::Text | Form::Nullable | Form::Day | Form::Month => json_to_text(value),
        Form::Number if value.is_null() => "0".to_owned(),
        Form::Number => json_to_text(value),
        Form::Flag => u8::from(truthy(value)).to_string(),
        Form::List => json(value, "[]"),
        Form::Object => json(value, "{}"),
        Form::Optional => json(value, ""),
        Form::Namespace if value.is_null() || value == "" => "default".to_owned(),
        Form::Namespace => json_to_text(value),
    }
}

/// A hash as an object with the fields of a state file, in their order there. `None` for one that is no record: it has
/// no `key`.
///
/// A field that is missing or unreadable has its default; fields that no record has are passed over.
///
/// # Errors
/// A list or object that is no JSON.
pub fn decode(
    hash: &HashMap<String, String>,
    now: Timestamp,
) -> Result<Option<Map<String, Value>>, UndecodableField> {
    if hash.get("key").is_none_or(String::is_empty) {
        return Ok(None);
    }
    let mut record = Map::new();
    for (_, name) in Field::ALL {
        let text = hash.get(name).map_or("", String::as_str);
        let value = match name {
            "createdAt" if !hash.contains_key(name) => Some(now.to_string().into()),
            _ => decoded(form_of(name), text, now).map_err(|_| UndecodableField { field: name })?,
        };
        if let Some(value) = value {
            record.insert(name.to_owned(), value);
        }
    }
    Ok(Some(record))
}

fn form_of(name: &str) -> Form {
    let field = FIELDS.iter().find(|(known, _)| *known == name);
    field.expect("every field of a record is a field of its hash").1
}

fn decoded(form: Form, text: &str, now: Timestamp) -> serde_json::Result<Option<Value>> {
    let or = |default: Value| if text.is_empty() { Ok(default) } else { serde_json::from_str(text) };
    Ok(Some(match form {
        Form::Text => text.into(),
        Form::Nullable if text.is_empty() => Value::Null,
        Form::Nullable => text.into(),
        Form::Number => number_value(leading_integer(text).unwrap_or(0.0)),
        Form::Flag => (text != "0").into(),
        Form::List => or(Value::Array(Vec::new()))?,
        Form::Object => or(Value::Object(Map::new()))?,
        Form::Optional if text.is_empty() => return Ok(None),
        Form::Optional => serde_json::from_str(text)?,
        Form::Day if text.is_empty() => Day::of(now.0).as_str().into(),
        Form::Month if text.is_empty() => Month::of(now.0).as_str().into(),
        Form::Namespace if text.is_empty() => "default".into(),
        Form::Day | Form::Month | Form::Namespace => text.into(),
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use paygate_core::credits::Credits;
    use paygate_core::key::record::{Identity, Record};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp(1_773_480_413_589);

    fn fresh() -> Map<String, Value> {
        let identity = Identity::new("pg_demo", "demo", "default");
        Record::new("pg_demo".into(), identity, Credits::new(10).unwrap(), NOW).to_object()
    }

    fn hash(fields: &[(&str, &str)]) -> HashMap<String, String> {
        fields.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    fn read(fields: &[(&str, &str)]) -> Map<String, Value> {
        let mut all = vec![("key", "pg_demo")];
        all.extend(fields);
        decode(&hash(&all), NOW).unwrap().unwrap()
    }

    #[test]
    fn a_new_key_is_written_as_2_9_0_wrote_it() {
        let texts: Vec<String> =
            encode(&fresh()).into_iter().map(|(name, text)| format!("{name}={text}")).collect();
        assert_eq!(
            texts.join(" "),
            "key=pg_demo name=demo credits=10 totalSpent=0 totalCalls=0 createdAt=2026-03-14T09:26:53.589Z lastUsedAt= \
             active=1 spendingLimit=0 allowedTools=[] deniedTools=[] expiresAt= quota= tags={} ipAllowlist=[] \
             quotaDailyCalls=0 quotaMonthlyCalls=0 quotaDailyCredits=0 quotaMonthlyCredits=0 \
             quotaLastResetDay=2026-03-14 quotaLastResetMonth=2026-03 namespace=default"
        );
    }

    #[test]
    fn every_field_of_a_record_has_its_place_in_a_hash() {
        for (_, name) in Field::ALL {
            form_of(name);
        }
        assert_eq!(FIELDS.len(), Field::ALL.len());
    }

    #[test]
    fn a_record_that_was_written_reads_the_same() {
        let mut record = fresh();
        record["active"] = false.into();
        record["tags"] = json!({"a": "é\"x"});
        record["allowedTools"] = json!(["search"]);
        record["lastUsedAt"] = "2026-03-14T09:26:53.589Z".into();
        record.insert("quota".into(), json!({"dailyCallLimit": 5}));
        let written = encode(&record).into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
        assert_eq!(decode(&written, NOW).unwrap().unwrap(), record);
    }

    #[test]
    fn what_is_read_is_an_ordinary_record() {
        let object = read(&[("credits", "7"), ("namespace", "acme")]);
        let record = Record::from_object(Arc::from("pg_demo"), &object, NOW).unwrap();
        assert!(record.field_names().into_iter().eq(Field::ALL.map(|(_, name)| name)));
        assert_eq!((record.credits.get(), record.granted), (7, 7));
    }

    #[test]
    fn missing_and_odd_fields_have_their_defaults() {
        let record = read(&[("credits", "12.9"), ("totalSpent", "x"), ("totalCalls", " 7z"), ("active", "")]);
        assert_eq!(record["credits"], 12);
        assert_eq!(record["totalSpent"], 0);
        assert_eq!(record["totalCalls"], 7);
        assert_eq!(record["active"], true);
        assert_eq!(record["name"], "");
        assert_eq!(record["createdAt"], NOW.to_string());
        assert_eq!(record["expiresAt"], Value::Null);
        assert_eq!(record["quotaLastResetMonth"], "2026-03");
        assert_eq!(record["namespace"], "default");
        assert!(!record.contains_key("quota"));
        assert_eq!(read(&[("active", "0")])["active"], false);
    }

    #[test]
    fn a_hash_without_its_key_is_no_record() {
        assert_eq!(decode(&hash(&[("credits", "5")]), NOW), Ok(None));
    }

    #[test]
    fn broken_json_names_its_field() {
        let broken = decode(&hash(&[("key", "k"), ("tags", "{")]), NOW).unwrap_err();
        assert_eq!(broken.to_string(), "tags of a key is not valid JSON");
    }

    proptest! {
        #[test]
        fn any_texts_make_a_record_whose_money_adds_up(texts in prop::collection::vec(".{0,20}|-?[0-9]{1,25}", 22)) {
            let fields = FIELDS.iter().zip(&texts).map(|((name, _), text)| ((*name).to_owned(), text.clone()));
            if let Ok(Some(object)) = decode(&fields.collect(), NOW) {
                let record = Record::from_object("pg_demo".into(), &object, NOW).unwrap();
                prop_assert_eq!(record.granted, record.credits.get() + record.spent.get());
            }
        }
    }
}
