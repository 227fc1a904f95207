//! The configuration as it is written: in a file, by flags, or by a script.

use std::fmt;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::key::record::number_value;
use crate::text::number::js_number;

/// Fields by name, as they were given, in the order in which they came.
#[derive(Debug, Clone, Default)]
pub struct RawConfig {
    fields: IndexMap<String, Given>,
}

/// A value as it was given.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, which need not be finite unless a file gave it.
    Number(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Given>),
    /// An object.
    Object(IndexMap<String, Given>),
    /// What only a script can give, such as a function.
    Foreign {
        /// How it prints.
        text: String,
        /// Whether JavaScript takes it for true.
        truthy: bool,
    },
}

impl RawConfig {
    /// Puts a value in place of what the field has, or adds the field.
    pub fn set(&mut self, field: impl Into<String>, value: Given) {
        self.fields.insert(field.into(), value);
    }

    /// Takes a field away.
    pub fn forget(&mut self, field: &str) {
        self.fields.shift_remove(field);
    }

    /// The names of the fields, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }

    /// A field as it was given.
    pub fn get(&self, field: &str) -> Option<&Given> {
        self.fields.get(field)
    }

    /// A field as JSON; `None` also for a number that is not finite and for what only a script can give.
    pub fn json(&self, field: &str) -> Option<Value> {
        self.get(field)?.json()
    }

    /// A field that is text and not empty.
    pub fn text(&self, field: &str) -> Option<String> {
        self.get(field)?.text().map(str::to_owned)
    }

    /// A field that is a number.
    pub fn number(&self, field: &str) -> Option<f64> {
        self.get(field)?.number()
    }
}

impl From<Map<String, Value>> for RawConfig {
    fn from(fields: Map<String, Value>) -> Self {
        fields.into_iter().map(|(field, value)| (field, value.into())).collect()
    }
}

impl FromIterator<(String, Given)> for RawConfig {
    fn from_iter<T: IntoIterator<Item = (String, Given)>>(fields: T) -> Self {
        Self { fields: fields.into_iter().collect() }
    }
}

impl Given {
    /// The value, if it is a number and not merely text of one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The value, if it is text and not empty.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// The entries, if it is a list.
    pub fn list(&self) -> Option<&[Given]> {
        match self {
            Self::List(entries) => Some(entries),
            _ => None,
        }
    }

    /// A member, if it is an object that has it.
    pub fn member(&self, name: &str) -> Option<&Given> {
        match self {
            Self::Object(members) => members.get(name),
            _ => None,
        }
    }

    /// Whether it says anything at all, in JavaScript's sense.
    pub fn truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(truth) => *truth,
            Self::Number(number) => *number != 0.0 && !number.is_nan(),
            Self::Text(text) => !text.is_empty(),
            Self::List(_) | Self::Object(_) => true,
            Self::Foreign { truthy, .. } => *truthy,
        }
    }

    fn json(&self) -> Option<Value> {
        match self {
            Self::Null => Some(Value::Null),
            Self::Bool(truth) => Some(Value::Bool(*truth)),
            Self::Number(number) => number.is_finite().then(|| number_value(*number)),
            Self::Text(text) => Some(Value::String(text.clone())),
            Self::List(entries) => entries.iter().map(Self::json).collect::<Option<_>>().map(Value::Array),
            Self::Object(members) => {
                let member = |(name, value): (&String, &Self)| Some((name.clone(), value.json()?));
                members.iter().map(member).collect::<Option<_>>().map(Value::Object)
            }
            Self::Foreign { .. } => None,
        }
    }
}

impl From<Value> for Given {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(truth) => Self::Bool(truth),
            Value::Number(number) => {
                let number = number.as_f64();
                Self::Number(
                    number.expect("every number is readable as a double without arbitrary precision"),
                )
            }
            Value::String(text) => Self::Text(text),
            Value::Array(entries) => Self::List(entries.into_iter().map(Self::from).collect()),
            Value::Object(members) => {
                Self::Object(members.into_iter().map(|(name, value)| (name, value.into())).collect())
            }
        }
    }
}

impl From<&str> for Given {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<f64> for Given {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Given {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

/// As JavaScript prints it in a text.
impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(truth) => truth.fmt(f),
            Self::Number(number) => js_number(*number).fmt(f),
            Self::Text(text) | Self::Foreign { text, .. } => f.write_str(text),
            Self::List(entries) => {
                for (index, entry) in entries.iter().enumerate() {
                    if index > 0 {
                        f.write_str(",")?;
                    }
                    if *entry != Self::Null {
                        entry.fmt(f)?;
                    }
                }
                Ok(())
            }
            Self::Object(_) => f.write_str("[object Object]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn foreign(text: &str, truthy: bool) -> Given {
        Given::Foreign { text: text.to_owned(), truthy }
    }

    #[test]
    fn values_print_as_javascript_shows_them() {
        for (value, text) in [
            (json!(null), "null"),
            (json!(1e21), "1e+21"),
            (json!("5"), "5"),
            (json!([1, null, ["a", [null]], {}]), "1,,a,,[object Object]"),
            (json!({ "a": 1 }), "[object Object]"),
        ] {
            assert_eq!(Given::from(value).to_string(), text);
        }
        assert_eq!(Given::Number(f64::NAN).to_string(), "NaN");
        assert_eq!(foreign("() => 5", true).to_string(), "() => 5");
    }

    #[test]
    fn values_are_true_or_false_as_javascript_takes_them() {
        for truthy in [json!(true), json!(-1), json!("0"), json!([]), json!({})].map(Given::from) {
            assert!(truthy.truthy(), "{truthy:?}");
        }
        for falsy in [json!(null), json!(false), json!(0), json!("")].map(Given::from) {
            assert!(!falsy.truthy(), "{falsy:?}");
        }
        assert!(!Given::Number(f64::NAN).truthy());
        assert!(!foreign("0", false).truthy() && foreign("1", true).truthy());
    }

    #[test]
    fn what_a_file_gave_comes_back_as_it_was() {
        let file = json!({ "a": [1, 2.5, null, { "b": "c" }], "d": false, "e": {} });
        let Value::Object(fields) = file.clone() else { unreachable!() };
        let config = RawConfig::from(fields);
        for name in ["a", "d", "e"] {
            assert_eq!(config.json(name), file.get(name).cloned());
        }
        assert_eq!(config.names().collect::<Vec<_>>(), ["a", "d", "e"]);
    }

    #[test]
    fn what_json_cannot_hold_is_none_as_json() {
        let mut config = RawConfig::default();
        config.set("nan", f64::NAN.into());
        config.set("list", Given::List(vec![foreign("f", true)]));
        assert_eq!((config.json("nan"), config.json("list"), config.json("absent")), (None, None, None));
    }
}
