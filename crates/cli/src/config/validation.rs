//! Checks a configuration and reports every problem at once, each under the name the user wrote.

use paygate_core::credits::Credits;
use paygate_core::key::record::truthy;
use serde_json::{Map, Value};
use url::Url;

use super::{Diagnostic, Given, RawConfig};

/// Every field that is read.
const KNOWN_FIELDS: [&str; 28] = [
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
    "stripeWebhookSecret",
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

const NOT_NEGATIVE: &str = "Must be >= 0.";
const WHOLE: &str = "Must be a whole number.";

/// Checks a configuration. No findings means that it is valid.
pub(crate) fn validate(config: &RawConfig) -> Vec<Diagnostic> {
    let mut findings = Findings { config, found: Vec::new() };
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
    findings.unknown_fields();
    findings.found
}

struct Findings<'a> {
    config: &'a RawConfig,
    found: Vec<Diagnostic>,
}

impl Findings<'_> {
    fn error(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.found.push(Diagnostic::error(field, message));
    }

    fn warn(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.found.push(Diagnostic::warning(field, message));
    }

    /// Whether a field says anything at all, in JavaScript's sense.
    fn says(&self, field: &str) -> bool {
        match self.config.get(field) {
            Some(Given::Json(value)) => truthy(&value),
            Some(Given::Number(number)) => number != 0.0,
            None => false,
        }
    }

    fn list(&self, field: &str) -> Vec<Value> {
        match self.config.json(field) {
            Some(Value::Array(entries)) => entries,
            _ => Vec::new(),
        }
    }

    fn object(&self, field: &str) -> Map<String, Value> {
        match self.config.json(field) {
            Some(Value::Object(members)) => members,
            _ => Map::new(),
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
            let says = |name: &str| server.get(name).is_some_and(truthy);
            let prefix = server.get("prefix").and_then(Value::as_str).filter(|prefix| !prefix.is_empty());
            let place = format!("servers[{index}]");
            match prefix {
                None => self.error(
                    format!("{place}.prefix"),
                    format!("Server at index {index} is missing required \"prefix\" field."),
                ),
                Some(prefix) => {
                    if seen.contains(&prefix) {
                        self.error(
                            format!("{place}.prefix"),
                            format!("Duplicate prefix \"{prefix}\". Each server must have a unique prefix."),
                        );
                    }
                    seen.push(prefix);
                    if !plain_prefix(prefix) {
                        self.warn(
                            format!("{place}.prefix"),
                            format!(
                                "Prefix \"{prefix}\" contains special characters. \
                                 Recommended: alphanumeric, hyphens, underscores."
                            ),
                        );
                    }
                }
            }
            let name = prefix.map_or_else(|| index.to_string(), str::to_owned);
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

    /// A field that, when it is given, must be a number of a kind.
    fn number(&mut self, field: &str, kind: impl Fn(f64) -> bool, must: &str) {
        if let Some(given) = self.config.get(field)
            && !given.number().is_some_and(kind)
        {
            self.error(field, format!("Invalid {field}: {given}. {must}"));
        }
    }

    fn numbers(&mut self) {
        if let Some(given) = self.config.get("port")
            && !given.number().is_some_and(|port| port.fract() == 0.0 && (0.0..=65535.0).contains(&port))
        {
            self.error("port", format!("Invalid port {given}. Must be 0–65535."));
        }
        self.price(
            "defaultCreditsPerCall",
            "defaultCreditsPerCall",
            self.config.get("defaultCreditsPerCall"),
            "",
        );
        self.number("globalRateLimitPerMin", not_negative, NOT_NEGATIVE);
        let retries = |number: f64| number.fract() == 0.0 && not_negative(number);
        self.number("webhookMaxRetries", retries, "Must be a non-negative integer.");
    }

    /// A price: a whole number of credits.
    fn price(&mut self, field: &str, name: &str, given: Option<Given>, of: &str) {
        let Some(given) = given else { return };
        let problem = match given.number() {
            Some(number) if not_negative(number) && number.fract() != 0.0 => WHOLE,
            Some(number) if not_negative(number) && number <= Credits::MAX.as_f64() => return,
            Some(number) if not_negative(number) => "Must be at most 9007199254740991.",
            _ => NOT_NEGATIVE,
        };
        self.error(field, format!("Invalid {name}{of}: {given}. {problem}"));
    }

    fn webhook(&mut self) {
        if self.says("webhookSecret") && !self.says("webhookUrl") {
            self.warn("webhookSecret", "webhookSecret is set but webhookUrl is not. Secret will be ignored.");
        }
        if let Some(url) = self.config.text("webhookUrl")
            && Url::parse(&url).is_err()
        {
            self.error("webhookUrl", format!("Invalid webhookUrl: \"{url}\". Must be a valid URL."));
        }
    }

    fn redis(&mut self) {
        let Some(url) = self.config.text("redisUrl") else { return };
        match Url::parse(&url) {
            Err(_) => {
                self.error("redisUrl", format!("Invalid redisUrl: \"{url}\". Must be a valid redis:// URL."));
            }
            Ok(parsed) if !matches!(parsed.scheme(), "redis" | "rediss") => {
                let scheme = parsed.scheme();
                self.error(
                    "redisUrl",
                    format!(
                        "Invalid redisUrl protocol \"{scheme}:\". Expected \"redis://\" or \"rediss://\"."
                    ),
                );
            }
            Ok(_) => {}
        }
    }

    fn tools(&mut self) {
        for (tool, terms) in self.object("toolPricing") {
            let place = format!("toolPricing.{tool}");
            let of = format!(" for \"{tool}\"");
            if !terms.is_object() {
                self.error(&place, format!("Invalid terms{of}. Must be an object."));
                continue;
            }
            let given = |name: &str| terms.get(name).cloned().map(Given::Json);
            self.price(&format!("{place}.creditsPerCall"), "creditsPerCall", given("creditsPerCall"), &of);
            for name in ["rateLimitPerMin", "creditsPerKbInput"] {
                if let Some(given) = given(name)
                    && !given.number().is_some_and(not_negative)
                {
                    let message = format!("Invalid {name}{of}: {given}. {NOT_NEGATIVE}");
                    self.error(format!("{place}.{name}"), message);
                }
            }
        }
    }

    fn quota(&mut self) {
        let quota = self.object("globalQuota");
        for name in ["dailyCallLimit", "monthlyCallLimit", "dailyCreditLimit", "monthlyCreditLimit"] {
            if let Some(given) = quota.get(name).cloned().map(Given::Json)
                && !given.number().is_some_and(not_negative)
            {
                let message = format!("Invalid {name}: {given}. {NOT_NEGATIVE}");
                self.error(format!("globalQuota.{name}"), message);
            }
        }
    }

    fn imports(&mut self) {
        for (key, credits) in self.object("importKeys") {
            let given = Given::Json(credits);
            if !given.number().is_some_and(|credits| Credits::floored(credits).is_ok() && credits >= 0.0) {
                let key = shown_key(&key);
                let message = format!("Invalid credits for imported key \"{key}\": {given}. {NOT_NEGATIVE}");
                self.error(format!("importKeys.{key}"), message);
            }
        }
    }

    fn oauth(&mut self) {
        let oauth = self.object("oauth");
        for name in ["accessTokenTtl", "refreshTokenTtl"] {
            if let Some(given) = oauth.get(name).cloned().map(Given::Json)
                && !given.number().is_some_and(|number| number.is_finite() && number > 0.0)
            {
                self.error(format!("oauth.{name}"), format!("Invalid {name}: {given}. Must be > 0."));
            }
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
        let Some(url) = self.config.text("remoteUrl") else { return };
        match Url::parse(&url) {
            Err(_) => self.error("remoteUrl", format!("Invalid remoteUrl: \"{url}\". Must be a valid URL.")),
            Ok(parsed) if !matches!(parsed.scheme(), "http" | "https") => {
                let scheme = parsed.scheme();
                self.error(
                    "remoteUrl",
                    format!(
                        "Invalid remoteUrl protocol \"{scheme}:\". Expected \"http://\" or \"https://\"."
                    ),
                );
            }
            Ok(_) => {}
        }
    }

    /// Fields that 2.9.0 did not know.
    fn additions(&mut self) {
        let whole = |number: f64| number.fract() == 0.0 && (1.0..=Credits::MAX.as_f64()).contains(&number);
        self.number("maxBodyBytes", whole, "Must be a whole number above 0.");
        self.number("maxBatchCalls", whole, "Must be a whole number above 0.");
        if let Some(given) = self.config.get("batchRateLimit")
            && !matches!(given.to_string().as_str(), "per-batch" | "per-call")
        {
            let message = format!("Invalid batchRateLimit: {given}. Must be \"per-batch\" or \"per-call\".");
            self.error("batchRateLimit", message);
        }
        for field in ["freeMethods", "allowedOrigins", "trustedProxies", "serverArgs"] {
            if let Some(given) = self.config.json(field)
                && !given.as_array().is_some_and(|entries| entries.iter().all(Value::is_string))
            {
                self.error(field, format!("Invalid {field}. Must be a list of texts."));
            }
        }
        for proxy in self.list("trustedProxies").iter().filter_map(Value::as_str) {
            if let Err(error) = paygate_core::key::address::validate(proxy) {
                self.error("trustedProxies", format!("Invalid trustedProxies entry \"{proxy}\": {error}."));
            }
        }
        for field in ["serverCommand", "adminKey", "stateFile", "host"] {
            let text = |given: &Value| given.as_str().is_some_and(|text| !text.is_empty());
            if let Some(given) = self.config.json(field).filter(|given| !given.is_null())
                && !text(&given)
                && (field != "serverCommand" || truthy(&given))
            {
                self.error(field, format!("Invalid {field}. Must be text that is not empty."));
            }
        }
    }

    fn unknown_fields(&mut self) {
        let fields: Vec<String> = self.config.file_fields().map(str::to_owned).collect();
        for field in fields.iter().filter(|field| !KNOWN_FIELDS.contains(&field.as_str())) {
            let nearest = KNOWN_FIELDS.iter().min_by_key(|known| strsim::damerau_levenshtein(known, field));
            let near =
                nearest.filter(|known| strsim::damerau_levenshtein(known, field) <= 1 + field.len() / 4);
            let hint = near.map_or_else(String::new, |known| format!(" Did you mean \"{known}\"?"));
            self.warn(field, format!("Unknown field, not used.{hint}"));
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
    use serde_json::json;

    use super::*;

    fn found(config: Value) -> Vec<String> {
        let Value::Object(fields) = config else { panic!("a configuration is an object") };
        let config = RawConfig::from(fields);
        validate(&config)
            .into_iter()
            .map(|finding| format!("[{}] {}", finding.field, finding.message))
            .collect()
    }

    #[test]
    fn every_problem_is_reported_in_the_order_of_the_fields() {
        let findings = found(json!({
            "servers": [{ "prefix": "1!" }],
            "serverCommand": "x",
            "remoteUrl": "ftp://h",
            "port": "80",
            "defaultCreditsPerCall": 2.5,
            "globalRateLimitPerMin": null,
            "webhookMaxRetries": -1,
            "webhookSecret": "s",
            "redisUrl": "nope",
            "toolPricing": { "t": { "creditsPerCall": -1, "rateLimitPerMin": "5" } },
            "globalQuota": { "dailyCallLimit": -2 },
            "importKeys": { "pg_0123456789abcdefgh": -1 },
            "oauth": { "accessTokenTtl": 0 },
            "shadowMode": true,
            "stateFile": "s.json",
            "prot": 1,
        }));
        assert_eq!(
            findings,
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
                "[globalQuota.dailyCallLimit] Invalid dailyCallLimit: -2. Must be >= 0.",
                "[importKeys.pg_0123456...] Invalid credits for imported key \"pg_0123456...\": -1. Must be >= 0.",
                "[oauth.accessTokenTtl] Invalid accessTokenTtl: 0. Must be > 0.",
                "[shadowMode] Shadow mode is enabled. Payment will not be enforced.",
                "[stateFile + redisUrl] Both stateFile and redisUrl are configured. Redis is the source of truth; stateFile is redundant.",
                "[remoteUrl] Invalid remoteUrl protocol \"ftp:\". Expected \"http://\" or \"https://\".",
                "[prot] Unknown field, not used. Did you mean \"port\"?",
            ]
        );
    }

    #[test]
    fn a_plain_configuration_is_valid() {
        assert_eq!(
            found(json!({ "serverCommand": "x", "port": 0, "globalQuota": {} })),
            Vec::<String>::new()
        );
    }
}
