//! Checks a configuration and reports every problem at once, each under the name the user wrote.

use indexmap::IndexMap;
use url::Url;

use super::{Diagnostic, Given, RawConfig};
use crate::credits::Credits;
use crate::key::address;

const NOT_NEGATIVE: &str = "Must be >= 0.";
const WHOLE: &str = "Must be a whole number.";
const IN_BOUND: &str = "Must be at most 9007199254740991.";

/// Who reads the findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// The script that gave the configuration. It is answered with the names it gave, keys included.
    Script,
    /// Whoever sees a terminal or a log. Of a key only so much is shown as does not give it away.
    Log,
}

/// Checks a configuration. No findings means that it is valid. Fields that are not known are left alone.
///
/// # Examples
/// ```
/// # use paygate_core::config::{RawConfig, Reader, validate};
/// let mut config = RawConfig::default();
/// config.set("serverCommand", "node".into());
/// config.set("port", 70000.0.into());
///
/// let findings = validate(&config, Reader::Script);
/// assert_eq!(findings[0].message, "Invalid port 70000. Must be 0–65535.");
/// ```
pub fn validate(config: &RawConfig, reader: Reader) -> Vec<Diagnostic> {
    let mut findings = Findings { config, reader, found: Vec::new() };
    findings.backend();
    findings.servers();
    findings.numbers();
    findings.webhook();
    findings.redis();
    findings.tools();
    findings.quota();
    findings.imports();
    findings.oauth();
    findings.modes();
    findings.remote();
    findings.additions();
    findings.found
}

struct Findings<'a> {
    config: &'a RawConfig,
    reader: Reader,
    found: Vec<Diagnostic>,
}

impl<'a> Findings<'a> {
    fn error(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.found.push(Diagnostic::error(field, message));
    }

    fn warn(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.found.push(Diagnostic::warning(field, message));
    }

    /// Whether a field says anything at all.
    fn says(&self, field: &str) -> bool {
        self.config.get(field).is_some_and(Given::truthy)
    }

    fn list(&self, field: &str) -> &'a [Given] {
        self.config.get(field).and_then(Given::list).unwrap_or_default()
    }

    fn members(&self, field: &str) -> Option<&'a IndexMap<String, Given>> {
        match self.config.get(field)? {
            Given::Object(members) => Some(members),
            _ => None,
        }
    }

    fn backend(&mut self) {
        const ONE: &str = "Use one or the other.";
        let (command, remote) = (self.says("serverCommand"), self.says("remoteUrl"));
        let servers = !self.list("servers").is_empty();
        if !command && !remote && !servers {
            self.error(
                "serverCommand | remoteUrl | servers",
                "No backend configured. Provide serverCommand, remoteUrl, or servers[].",
            );
        }
        if servers && (command || remote) {
            self.error("servers", format!("Cannot combine servers[] with serverCommand or remoteUrl. {ONE}"));
        }
        if command && remote {
            self.error(
                "serverCommand | remoteUrl",
                format!("Cannot specify both serverCommand and remoteUrl. {ONE}"),
            );
        }
    }

    fn servers(&mut self) {
        let mut seen = Vec::new();
        for (index, server) in self.list("servers").iter().enumerate() {
            let says = |name: &str| server.member(name).is_some_and(Given::truthy);
            let prefix = server.member("prefix").filter(|prefix| prefix.truthy()).map(Given::to_string);
            let place = format!("servers[{index}]");
            match &prefix {
                None => self.error(
                    format!("{place}.prefix"),
                    format!("Server at index {index} is missing required \"prefix\" field."),
                ),
                Some(prefix) => {
                    self.prefix(&format!("{place}.prefix"), prefix, seen.contains(prefix));
                    seen.push(prefix.clone());
                }
            }
            let name = prefix.unwrap_or_else(|| index.to_string());
            match (says("serverCommand"), says("remoteUrl")) {
                (false, false) => {
                    self.error(place, format!("Server \"{name}\" has no serverCommand or remoteUrl."));
                }
                (true, true) => {
                    self.error(
                        place,
                        format!("Server \"{name}\" has both serverCommand and remoteUrl. Use one."),
                    );
                }
                (true, false) | (false, true) => {}
            }
        }
    }

    fn prefix(&mut self, place: &str, prefix: &str, taken: bool) {
        if taken {
            self.error(
                place,
                format!("Duplicate prefix \"{prefix}\". Each server must have a unique prefix."),
            );
        }
        if !plain_prefix(prefix) {
            self.warn(
                place,
                format!(
                    "Prefix \"{prefix}\" contains special characters. \
                     Recommended: alphanumeric, hyphens, underscores."
                ),
            );
        }
    }

    /// A number of a kind, if it is given.
    fn number(&mut self, field: &str, name: &str, given: Option<&Given>, kind: fn(f64) -> bool, must: &str) {
        if let Some(given) = given
            && !given.number().is_some_and(kind)
        {
            self.error(field, format!("Invalid {name}: {given}. {must}"));
        }
    }

    fn numbers(&mut self) {
        let config = self.config;
        if let Some(given) = config.get("port")
            && !given.number().is_some_and(|port| port.fract() == 0.0 && (0.0..=65535.0).contains(&port))
        {
            self.error("port", format!("Invalid port {given}. Must be 0–65535."));
        }
        let price = "defaultCreditsPerCall";
        self.price(price, price, config.get(price), "");
        let rate = "globalRateLimitPerMin";
        self.number(rate, rate, config.get(rate), not_negative, NOT_NEGATIVE);
        let retries = "webhookMaxRetries";
        let whole = |number: f64| number.fract() == 0.0 && not_negative(number);
        self.number(retries, retries, config.get(retries), whole, "Must be a non-negative integer.");
    }

    /// A price: a whole number of credits.
    fn price(&mut self, field: &str, name: &str, given: Option<&Given>, of: &str) {
        let Some(given) = given else { return };
        let problem = match given.number() {
            Some(number) if not_negative(number) && number.fract() != 0.0 => WHOLE,
            Some(number) if not_negative(number) && number <= Credits::MAX.as_f64() => return,
            Some(number) if not_negative(number) => IN_BOUND,
            _ => NOT_NEGATIVE,
        };
        self.error(field, format!("Invalid {name}{of}: {given}. {problem}"));
    }

    /// The text of a field that says anything, and the address it stands for, if it is one.
    fn url(&self, field: &str) -> Option<(String, Option<Url>)> {
        let text = self.config.get(field).filter(|given| given.truthy())?.to_string();
        let url = Url::parse(&text).ok();
        Some((text, url))
    }

    fn webhook(&mut self) {
        if self.says("webhookSecret") && !self.says("webhookUrl") {
            self.warn("webhookSecret", "webhookSecret is set but webhookUrl is not. Secret will be ignored.");
        }
        if let Some((text, None)) = self.url("webhookUrl") {
            self.error("webhookUrl", format!("Invalid webhookUrl: \"{text}\". Must be a valid URL."));
        }
    }

    fn redis(&mut self) {
        match self.url("redisUrl") {
            Some((text, None)) => {
                self.error(
                    "redisUrl",
                    format!("Invalid redisUrl: \"{text}\". Must be a valid redis:// URL."),
                );
            }
            Some((_, Some(url))) if !matches!(url.scheme(), "redis" | "rediss") => {
                let scheme = url.scheme();
                self.error(
                    "redisUrl",
                    format!(
                        "Invalid redisUrl protocol \"{scheme}:\". Expected \"redis://\" or \"rediss://\"."
                    ),
                );
            }
            Some((_, Some(_))) | None => {}
        }
    }

    fn tools(&mut self) {
        for (tool, terms) in self.members("toolPricing").into_iter().flatten() {
            let place = format!("toolPricing.{tool}");
            let of = format!(" for \"{tool}\"");
            if *terms == Given::Null {
                self.error(&place, format!("Invalid terms{of}. Must be an object."));
                continue;
            }
            let price = "creditsPerCall";
            self.price(&format!("{place}.{price}"), price, terms.member(price), &of);
            for name in ["rateLimitPerMin", "creditsPerKbInput"] {
                let (field, what) = (format!("{place}.{name}"), format!("{name}{of}"));
                self.number(&field, &what, terms.member(name), not_negative, NOT_NEGATIVE);
            }
        }
    }

    fn quota(&mut self) {
        let Some(quota) = self.config.get("globalQuota") else { return };
        for name in ["dailyCallLimit", "monthlyCallLimit", "dailyCreditLimit", "monthlyCreditLimit"] {
            let field = format!("globalQuota.{name}");
            self.number(&field, name, quota.member(name), not_negative, NOT_NEGATIVE);
        }
    }

    fn imports(&mut self) {
        for (key, given) in self.members("importKeys").into_iter().flatten() {
            let problem = match given.number() {
                Some(number) if not_negative(number) && Credits::floored(number).is_ok() => continue,
                Some(number) if not_negative(number) => IN_BOUND,
                _ => NOT_NEGATIVE,
            };
            let key = match self.reader {
                Reader::Script => key.clone(),
                Reader::Log => shown_key(key),
            };
            let message = format!("Invalid credits for imported key \"{key}\": {given}. {problem}");
            self.error(format!("importKeys.{key}"), message);
        }
    }

    fn oauth(&mut self) {
        let Some(oauth) = self.config.get("oauth") else { return };
        let above_zero = |number: f64| number.is_finite() && number > 0.0;
        for name in ["accessTokenTtl", "refreshTokenTtl"] {
            self.number(&format!("oauth.{name}"), name, oauth.member(name), above_zero, "Must be > 0.");
        }
    }

    fn modes(&mut self) {
        if self.says("shadowMode") {
            self.warn("shadowMode", "Shadow mode is enabled. Payment will not be enforced.");
        }
        if self.says("stateFile") && self.says("redisUrl") {
            self.warn(
                "stateFile + redisUrl",
                "Both stateFile and redisUrl are configured. \
                 Redis is the source of truth; stateFile is redundant.",
            );
        }
    }

    fn remote(&mut self) {
        match self.url("remoteUrl") {
            Some((text, None)) => {
                self.error("remoteUrl", format!("Invalid remoteUrl: \"{text}\". Must be a valid URL."));
            }
            Some((_, Some(url))) if !matches!(url.scheme(), "http" | "https") => {
                let scheme = url.scheme();
                self.error(
                    "remoteUrl",
                    format!(
                        "Invalid remoteUrl protocol \"{scheme}:\". Expected \"http://\" or \"https://\"."
                    ),
                );
            }
            Some((_, Some(_))) | None => {}
        }
    }

    /// Fields that 2.9.0 did not know.
    fn additions(&mut self) {
        let whole = |number: f64| number.fract() == 0.0 && (1.0..=Credits::MAX.as_f64()).contains(&number);
        for field in ["maxBodyBytes", "maxBatchCalls", "historyDays", "historyRows"] {
            self.number(field, field, self.config.get(field), whole, "Must be a whole number above 0.");
        }
        if let Some(given) = self.config.get("batchRateLimit")
            && !matches!(given.text(), Some("per-batch" | "per-call"))
        {
            let message = format!("Invalid batchRateLimit: {given}. Must be \"per-batch\" or \"per-call\".");
            self.error("batchRateLimit", message);
        }
        for field in ["allowedOrigins", "trustedProxies"] {
            self.texts(field);
        }
        for proxy in self.list("trustedProxies").iter().filter_map(Given::text) {
            if let Err(error) = address::validate(proxy) {
                self.error("trustedProxies", format!("Invalid trustedProxies entry \"{proxy}\": {error}."));
            }
        }
    }

    /// A list of texts, if it is given.
    fn texts(&mut self, field: &str) {
        let texts = |given: &Given| {
            given.list().is_some_and(|entries| entries.iter().all(|entry| matches!(entry, Given::Text(_))))
        };
        if let Some(given) = self.config.get(field)
            && !texts(given)
        {
            self.error(field, format!("Invalid {field}. Must be a list of texts."));
        }
    }
}

fn not_negative(number: f64) -> bool {
    number.is_finite() && number >= 0.0
}

fn plain_prefix(prefix: &str) -> bool {
    prefix.starts_with(|c: char| c.is_ascii_alphabetic())
        && prefix.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

/// So much of a key as does not give it away.
fn shown_key(key: &str) -> String {
    const SHOWN_MAX: usize = 10;
    let shown: String = key.chars().take(SHOWN_MAX.min(key.chars().count() / 2)).collect();
    format!("{shown}...")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn raw(config: Value) -> RawConfig {
        let Value::Object(fields) = config else { panic!("a configuration is an object") };
        RawConfig::from(fields)
    }

    fn found(config: &RawConfig, reader: Reader) -> Vec<String> {
        let findings = validate(config, reader);
        findings.into_iter().map(|finding| format!("[{}] {}", finding.field, finding.message)).collect()
    }

    #[test]
    fn every_problem_is_reported_in_the_order_of_the_fields() {
        let config = raw(json!({
            "servers": [{ "prefix": "1!" }],
            "serverCommand": "x",
            "remoteUrl": "ftp://h",
            "port": "80",
            "defaultCreditsPerCall": 2.5,
            "globalRateLimitPerMin": null,
            "webhookMaxRetries": -1,
            "webhookSecret": "s",
            "redisUrl": "nope",
            "toolPricing": { "t": { "creditsPerCall": -1, "rateLimitPerMin": "5" }, "n": null },
            "globalQuota": { "dailyCallLimit": -2 },
            "importKeys": { "pg_0123456789abcdefgh": -1, "pg_1": 1e16 },
            "oauth": { "accessTokenTtl": 0 },
            "shadowMode": true,
            "stateFile": "s.json",
            "maxBatchCalls": 0,
            "prot": 1,
        }));
        assert_eq!(
            found(&config, Reader::Log),
            [
                "[servers] Cannot combine servers[] with serverCommand or remoteUrl. Use one or the other.",
                "[serverCommand | remoteUrl] Cannot specify both serverCommand and remoteUrl. Use one or the other.",
                "[servers[0].prefix] Prefix \"1!\" contains special characters. Recommended: alphanumeric, hyphens, underscores.",
                "[servers[0]] Server \"1!\" has no serverCommand or remoteUrl.",
                "[port] Invalid port 80. Must be 0–65535.",
                "[defaultCreditsPerCall] Invalid defaultCreditsPerCall: 2.5. Must be a whole number.",
                "[globalRateLimitPerMin] Invalid globalRateLimitPerMin: null. Must be >= 0.",
                "[webhookMaxRetries] Invalid webhookMaxRetries: -1. Must be a non-negative integer.",
                "[webhookSecret] webhookSecret is set but webhookUrl is not. Secret will be ignored.",
                "[redisUrl] Invalid redisUrl: \"nope\". Must be a valid redis:// URL.",
                "[toolPricing.t.creditsPerCall] Invalid creditsPerCall for \"t\": -1. Must be >= 0.",
                "[toolPricing.t.rateLimitPerMin] Invalid rateLimitPerMin for \"t\": 5. Must be >= 0.",
                "[toolPricing.n] Invalid terms for \"n\". Must be an object.",
                "[globalQuota.dailyCallLimit] Invalid dailyCallLimit: -2. Must be >= 0.",
                "[importKeys.pg_0123456...] Invalid credits for imported key \"pg_0123456...\": -1. Must be >= 0.",
                "[importKeys.pg...] Invalid credits for imported key \"pg...\": 10000000000000000. Must be at most 9007199254740991.",
                "[oauth.accessTokenTtl] Invalid accessTokenTtl: 0. Must be > 0.",
                "[shadowMode] Shadow mode is enabled. Payment will not be enforced.",
                "[stateFile + redisUrl] Both stateFile and redisUrl are configured. Redis is the source of truth; stateFile is redundant.",
                "[remoteUrl] Invalid remoteUrl protocol \"ftp:\". Expected \"http://\" or \"https://\".",
                "[maxBatchCalls] Invalid maxBatchCalls: 0. Must be a whole number above 0.",
            ]
        );
    }

    #[test]
    fn a_plain_configuration_is_valid() {
        let config = raw(json!({ "serverCommand": "x", "port": 0, "globalQuota": {} }));
        assert_eq!(found(&config, Reader::Log), Vec::<String>::new());
    }

    #[test]
    fn a_script_is_told_the_keys_it_gave() {
        let config = raw(json!({ "serverCommand": "x", "importKeys": { "pg_1": -1 } }));
        let message = "[importKeys.pg_1] Invalid credits for imported key \"pg_1\": -1. Must be >= 0.";
        assert_eq!(found(&config, Reader::Script), [message]);
    }

    #[test]
    fn what_only_a_script_can_give_is_no_number_and_prints_as_it_does_there() {
        let mut config = raw(json!({ "serverCommand": "x" }));
        config.set("port", f64::NAN.into());
        config.set("webhookMaxRetries", f64::INFINITY.into());
        let big = Given::Foreign { text: "5".to_owned(), truthy: true };
        config.set("globalRateLimitPerMin", big.clone());
        config.set("webhookUrl", big);
        assert_eq!(
            found(&config, Reader::Script),
            [
                "[port] Invalid port NaN. Must be 0–65535.",
                "[globalRateLimitPerMin] Invalid globalRateLimitPerMin: 5. Must be >= 0.",
                "[webhookMaxRetries] Invalid webhookMaxRetries: Infinity. Must be a non-negative integer.",
                "[webhookUrl] Invalid webhookUrl: \"5\". Must be a valid URL.",
            ]
        );
    }
}
