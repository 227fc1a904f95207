//! `validateConfig` and `formatDiagnostics`.

use paygate_core::config::{Diagnostic, Given, Level, RawConfig, Reader, format_diagnostics, validate};
use serde::Deserialize;

use crate::call::{Call, Value};

/// A value of a script, as the shell passes it: what JSON has as it is, except that lists and objects are told apart
/// from what it has not.
#[derive(Deserialize)]
#[serde(untagged)]
enum Passed {
    Bool(bool),
    Number(f64),
    Text(String),
    Wrapped(Wrapped),
    Null,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Wrapped {
    List(Vec<Passed>),
    /// Members as pairs, in order.
    Object(Vec<(String, Passed)>),
    /// A number that JSON has not, by its name.
    NotFinite(String),
    /// How something else prints, and whether it counts as true.
    Foreign(String, bool),
}

impl From<Passed> for Given {
    fn from(passed: Passed) -> Self {
        match passed {
            Passed::Null => Self::Null,
            Passed::Bool(truth) => Self::Bool(truth),
            Passed::Number(number) => Self::Number(number),
            Passed::Text(text) => Self::Text(text),
            Passed::Wrapped(Wrapped::List(entries)) => {
                Self::List(entries.into_iter().map(Self::from).collect())
            }
            Passed::Wrapped(Wrapped::Object(members)) => Self::Object(given(members)),
            Passed::Wrapped(Wrapped::NotFinite(name)) => Self::Number(match name.as_str() {
                "Infinity" => f64::INFINITY,
                "-Infinity" => f64::NEG_INFINITY,
                _ => f64::NAN,
            }),
            Passed::Wrapped(Wrapped::Foreign(text, truthy)) => Self::Foreign { text, truthy },
        }
    }
}

fn given<T: FromIterator<(String, Given)>>(members: Vec<(String, Passed)>) -> T {
    members.into_iter().map(|(name, value)| (name, value.into())).collect()
}

/// `configValidate(fields)`: findings as triples of level, field and message.
pub(crate) fn validate_config(call: &Call<'_>) -> Value {
    let fields: Vec<(String, Passed)> = call.json(0).expect("always given");
    let config: RawConfig = given(fields);
    let found = validate(&config, Reader::Script).into_iter();
    let row = |Diagnostic { level, field, message }| (level.as_str(), field, message);
    call.json_text(&found.map(row).collect::<Vec<_>>())
}

/// `configFormat(findings)`: findings, as triples, as text.
pub(crate) fn format(call: &Call<'_>) -> Value {
    let findings: Vec<(String, String, String)> = call.json(0).expect("always given");
    let finding = |(level, field, message): (String, String, String)| {
        let level = if level == Level::Error.as_str() { Level::Error } else { Level::Warning };
        Diagnostic { level, field, message }
    };
    call.string(&format_diagnostics(&findings.into_iter().map(finding).collect::<Vec<_>>()))
}
