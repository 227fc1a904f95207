//! The configuration file: how it is read, and what is asked of a file beyond what is asked of every configuration.

use std::fmt;
use std::io;
use std::path::Path;

use paygate_core::config::{Diagnostic, Given, RawConfig};
use paygate_core::usage::AlertRule;
use serde_json::Value;

/// Every field that is read.
const KNOWN_FIELDS: [&str; 32] = [
    "serverCommand",
    "serverArgs",
    "remoteUrl",
    "servers",
    "port",
    "host",
    "defaultCreditsPerCall",
    "globalRateLimitPerMin",
    "shadowMode",
    "adminKey",
    "toolPricing",
    "importKeys",
    "stateFile",
    "historyDays",
    "historyRows",
    "stripeWebhookSecret",
    "stripe",
    "alertRules",
    "webhookUrl",
    "webhookSecret",
    "webhookMaxRetries",
    "refundOnFailure",
    "refundOnToolError",
    "redisUrl",
    "globalQuota",
    "oauth",
    "freeMethods",
    "allowedOrigins",
    "trustedProxies",
    "maxBodyBytes",
    "maxBatchCalls",
    "batchRateLimit",
];

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

/// Reads a file. A list counts as an object without fields, as it did in 2.9.0.
pub(crate) fn load(path: &str) -> Result<RawConfig, LoadError> {
    let text = std::fs::read_to_string(Path::new(path))
        .map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    match serde_json::from_str(&text).map_err(LoadError::Json)? {
        Value::Object(fields) => Ok(fields.into()),
        Value::Array(_) => Ok(RawConfig::default()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Err(LoadError::NotAnObject),
    }
}

/// What a file must not have although a script may: fields of another type than theirs, which would otherwise be
/// passed over in silence, and names that nobody reads.
pub(super) fn check(config: &RawConfig) -> Vec<Diagnostic> {
    lists(config)
        .chain(texts(config))
        .chain(stripe(config))
        .chain(oauth(config))
        .chain(terms(config))
        .chain(alert_rules(config))
        .chain(unknown_fields(config))
        .collect()
}

fn lists(config: &RawConfig) -> impl Iterator<Item = Diagnostic> {
    let texts = |entries: &[Given]| entries.iter().all(|entry| matches!(entry, Given::Text(_)));
    ["freeMethods", "serverArgs"].into_iter().filter_map(move |field| {
        let valid = config.get(field)?.list().is_some_and(texts);
        (!valid).then(|| Diagnostic::error(field, format!("Invalid {field}. Must be a list of texts.")))
    })
}

fn texts(config: &RawConfig) -> impl Iterator<Item = Diagnostic> {
    // That there is no command at all is a finding of its own; a secret that is empty is none.
    let maybe_empty = ["serverCommand", "webhookSecret", "stripeWebhookSecret"];
    ["adminKey", "stateFile", "host"].into_iter().chain(maybe_empty).filter_map(move |field| {
        let given = config.get(field).filter(|given| **given != Given::Null)?;
        let valid = given.text().is_some() || (maybe_empty.contains(&field) && !given.truthy());
        let message = || format!("Invalid {field}. Must be text that is not empty.");
        (!valid).then(|| Diagnostic::error(field, message()))
    })
}

fn stripe(config: &RawConfig) -> Option<Diagnostic> {
    let valid = match config.get("stripe")? {
        Given::Object(members) => members.get("grantFree").is_none_or(|free| matches!(free, Given::Bool(_))),
        given => *given == Given::Null,
    };
    let message = "Invalid stripe. Must be an object with \"grantFree\" true or false.";
    (!valid).then(|| Diagnostic::error("stripe", message.to_owned()))
}

/// Says whether a value is of the right type.
type Valid = fn(&Given) -> bool;

/// The members of `oauth` but for its times, which are checked wherever they come from.
fn oauth(config: &RawConfig) -> impl Iterator<Item = Diagnostic> {
    let text = |given: &Given| given.text().is_some();
    let texts = |given: &Given| {
        given.list().is_some_and(|entries| entries.iter().all(|entry| entry.text().is_some()))
    };
    let switch = |given: &Given| matches!(given, Given::Bool(_));
    let checks: [(_, Valid, _); 4] = [
        ("issuer", text, "text that is not empty"),
        ("scopes", texts, "a list of texts"),
        ("approveLinked", switch, "true or false"),
        ("rotateRefreshTokens", switch, "true or false"),
    ];
    let wrong = checks.map(|(name, valid, what)| {
        let given = config.get("oauth")?.member(name).filter(|given| **given != Given::Null)?;
        let message = || format!("Invalid {name}. Must be {what}.");
        (!valid(given)).then(|| Diagnostic::error(format!("oauth.{name}"), message()))
    });
    wrong.into_iter().flatten()
}

fn terms(config: &RawConfig) -> impl Iterator<Item = Diagnostic> {
    let tools = match config.get("toolPricing") {
        Some(Given::Object(tools)) => Some(tools),
        _ => None,
    };
    let wrong = |terms: &Given| !matches!(terms, Given::Object(_) | Given::Null);
    tools.into_iter().flatten().filter(move |(_, terms)| wrong(terms)).map(|(tool, _)| {
        Diagnostic::error(
            format!("toolPricing.{tool}"),
            format!("Invalid terms for \"{tool}\". Must be an object."),
        )
    })
}

fn alert_rules(config: &RawConfig) -> Vec<Diagnostic> {
    let given = match config.json("alertRules") {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Array(given)) => given,
        Some(_) => {
            return vec![Diagnostic::error(
                "alertRules",
                "Invalid alertRules. Must be a list of rules.".to_owned(),
            )];
        }
    };
    let errors = given.into_iter().enumerate().filter_map(|(place, rule)| {
        let error = AlertRule::checked(rule).err()?;
        Some(Diagnostic::error(format!("alertRules[{place}]"), format!("{error}.")))
    });
    errors.collect()
}

fn unknown_fields(config: &RawConfig) -> impl Iterator<Item = Diagnostic> {
    config.names().filter(|field| !KNOWN_FIELDS.contains(field)).map(|field| {
        let nearest = KNOWN_FIELDS.iter().min_by_key(|known| strsim::damerau_levenshtein(known, field));
        let near = nearest.filter(|known| strsim::damerau_levenshtein(known, field) <= 1 + field.len() / 4);
        let hint = near.map_or_else(String::new, |known| format!(" Did you mean \"{known}\"?"));
        Diagnostic::warning(field, format!("Unknown field, not used.{hint}"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_must_have_the_right_types_and_no_unknown_names() {
        let Value::Object(fields) = json!({
            "serverCommand": "",
            "adminKey": "",
            "stateFile": 5,
            "host": null,
            "serverArgs": "-v",
            "freeMethods": ["ping"],
            "webhookSecret": 5,
            "stripeWebhookSecret": "",
            "stripe": { "grantFree": "yes" },
            "oauth": { "issuer": "", "scopes": "a", "approveLinked": 1, "rotateRefreshTokens": null },
            "toolPricing": { "a": 5, "b": {} },
            "alertRules": [{ "type": "credits_low", "threshold": 5 }, { "type": "quota_warning", "threshold": -1 }],
            "prot": 1,
            "somethingElse": 1,
        }) else {
            unreachable!()
        };
        let findings = check(&fields.into());
        let found: Vec<_> =
            findings.iter().map(|finding| format!("[{}] {}", finding.field, finding.message)).collect();
        assert_eq!(
            found,
            [
                "[serverArgs] Invalid serverArgs. Must be a list of texts.",
                "[adminKey] Invalid adminKey. Must be text that is not empty.",
                "[stateFile] Invalid stateFile. Must be text that is not empty.",
                "[webhookSecret] Invalid webhookSecret. Must be text that is not empty.",
                "[stripe] Invalid stripe. Must be an object with \"grantFree\" true or false.",
                "[oauth.issuer] Invalid issuer. Must be text that is not empty.",
                "[oauth.scopes] Invalid scopes. Must be a list of texts.",
                "[oauth.approveLinked] Invalid approveLinked. Must be true or false.",
                "[toolPricing.a] Invalid terms for \"a\". Must be an object.",
                "[alertRules[1]] Invalid threshold for quota_warning: must be a non-negative number.",
                "[prot] Unknown field, not used. Did you mean \"port\"?",
                "[somethingElse] Unknown field, not used.",
            ]
        );
    }
}
