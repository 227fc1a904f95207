//! The configuration as it is written.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;

use paygate_core::text::number::{js_number, json_to_text};
use serde_json::{Map, Value};

/// Fields by name, as they were written in the file or by flags.
#[derive(Debug, Clone, Default)]
pub(crate) struct RawConfig {
    file: Map<String, Value>,
    /// What flags put in place of the file's.
    flags: BTreeMap<&'static str, Given>,
}

/// A value as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Given {
    /// By a flag, which may also have failed to be a number.
    Number(f64),
    /// By the file, or by a flag that takes any text.
    Json(Value),
}

/// Why a file could not be read.
#[derive(Debug)]
pub(crate) enum LoadError {
    Read { path: String, source: io::Error },
    Json(serde_json::Error),
    NotAnObject,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, source } if source.kind() == io::ErrorKind::NotFound => {
                write!(f, "ENOENT: no such file or directory, open '{path}'")
            }
            Self::Read { path, source } => write!(f, "{source}, open '{path}'"),
            Self::Json(error) => error.fmt(f),
            Self::NotAnObject => f.write_str("the file must hold one JSON object"),
        }
    }
}

impl RawConfig {
    /// Reads a file. A list counts as an object without fields, as it did in 2.9.0.
    pub(crate) fn load(path: &str) -> Result<Self, LoadError> {
        let text = std::fs::read_to_string(Path::new(path))
            .map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
        match serde_json::from_str(&text).map_err(LoadError::Json)? {
            Value::Object(file) => Ok(file.into()),
            Value::Array(_) => Ok(Self::default()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Err(LoadError::NotAnObject),
        }
    }

    /// Puts a value in place of the file's.
    pub(crate) fn set(&mut self, field: &'static str, value: Given) {
        self.flags.insert(field, value);
    }

    /// Takes away what the file says of a field.
    pub(crate) fn forget(&mut self, field: &str) {
        self.file.remove(field);
    }

    /// The names of the file's fields, in its order.
    pub(crate) fn file_fields(&self) -> impl Iterator<Item = &str> {
        self.file.keys().map(String::as_str)
    }

    /// A field as it was written.
    pub(crate) fn get(&self, field: &str) -> Option<Given> {
        let file = || self.file.get(field).cloned().map(Given::Json);
        self.flags.get(field).cloned().or_else(file)
    }

    /// A field as JSON; what a flag gave as a number is none here.
    pub(crate) fn json(&self, field: &str) -> Option<Value> {
        match self.get(field) {
            Some(Given::Json(value)) => Some(value),
            Some(Given::Number(_)) | None => None,
        }
    }

    /// A field that is text and not empty.
    pub(crate) fn text(&self, field: &str) -> Option<String> {
        self.json(field)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// A field that is a number.
    pub(crate) fn number(&self, field: &str) -> Option<f64> {
        self.get(field)?.number()
    }
}

impl From<Map<String, Value>> for RawConfig {
    fn from(file: Map<String, Value>) -> Self {
        Self { file, flags: BTreeMap::new() }
    }
}

impl Given {
    /// The value, if it is a number and not merely text of one.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Json(value) => value.as_f64(),
        }
    }
}

impl From<&str> for Given {
    fn from(text: &str) -> Self {
        Self::Json(text.into())
    }
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => js_number(*number).fmt(f),
            Self::Json(value) => f.write_str(&json_to_text(value)),
        }
    }
}
