//! What the program goes by: flags before the environment, the environment before the file, the file before defaults,
//! merged once, here.

use std::collections::HashSet;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use paygate_core::config::{BATCH_CALLS_MAX, Diagnostic, GateConfig, Given, Level as Severity, RawConfig};
use paygate_core::credits::Credits;
use paygate_core::gate::{PriceList, ToolTerms};
use paygate_core::journal::Durability;
use paygate_core::key::record::truthy;
use paygate_core::ledger::RefundPolicy;
use paygate_core::limit::quota::Quota;
use paygate_core::text::number::{json_to_number, json_to_text, leading_integer, to_number};
use paygate_core::text::trim::trim;
use paygate_core::usage::AlertRule;
use paygate_mcp_wire::stdio::split_command_line;
use paygate_server::oauth::OAuthConfig;
use paygate_server::webhook::{Secret, StripeSettings, WebhookSettings};
use paygate_server::{HttpLimits, ServerEntry};
use paygate_store::Retention;
use serde_json::Value;
use tracing::Level;

use crate::args::Args;
use crate::config::{LoadError, load, validate};
use crate::env;

/// The port that is listened on unless configured otherwise.
const PORT_DEFAULT: u16 = 3402;

/// What `wrap` goes by. Every value is valid.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) wrapped: WrappedSettings,
    pub(crate) host: Option<IpAddr>,
    pub(crate) port: u16,
    /// `None` is the server's default.
    pub(crate) name: Option<String>,
    /// `None` is one that is made at the start.
    pub(crate) admin_key: Option<String>,
    pub(crate) gate: GateConfig,
    /// `None` is the server's default.
    pub(crate) free_methods: Option<HashSet<String>>,
    pub(crate) imports: Vec<(String, Credits)>,
    /// Whether imported keys start over although they are known.
    pub(crate) reimport: bool,
    pub(crate) state: Option<StateSettings>,
    /// When to raise alerts.
    pub(crate) alert_rules: Vec<AlertRule>,
    /// Who is told what happens.
    pub(crate) webhook: Option<WebhookSettings>,
    /// How Stripe is known.
    pub(crate) stripe: Option<StripeSettings>,
    /// How tokens are issued that stand for keys, if they are.
    pub(crate) oauth: Option<OAuthConfig>,
    pub(crate) allowed_origins: Vec<String>,
    /// `None` is the server's default.
    pub(crate) trusted_proxies: Option<Vec<String>>,
    pub(crate) limits: HttpLimits,
    pub(crate) log_level: Level,
    /// What to tell before the start.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// Which servers are wrapped.
#[derive(Debug, Clone)]
pub(crate) enum WrappedSettings {
    /// A command and its arguments.
    Command(String, Vec<String>),
    /// The address of a remote server.
    Remote(String),
    /// Several servers.
    Many(Vec<ServerEntry>),
}

/// Where the books are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateSettings {
    pub(crate) path: PathBuf,
    pub(crate) durability: Durability,
    /// Whether a damaged file is read as far as it goes.
    pub(crate) recover: bool,
    /// How much is kept for reports.
    pub(crate) retention: Retention,
}

/// Why nothing starts.
#[derive(Debug)]
pub(crate) enum SettingsError {
    /// The file could not be read.
    Load(LoadError),
    /// The configuration is not valid; warnings included.
    Invalid(Vec<Diagnostic>),
    /// A flag has a value that cannot be used, or asks for what this build cannot do.
    Flag(String),
}

impl Settings {
    /// Merges everything that was said.
    pub(crate) fn resolve(args: &Args) -> Result<Self, SettingsError> {
        let mut raw = match args.value("config") {
            Some(path) => load(path).map_err(SettingsError::Load)?,
            None => RawConfig::default(),
        };
        let mut findings = merge_numbers(args, &mut raw);
        merge_texts(args, &mut raw);
        findings.extend(validate(&raw));
        let tool_prices = args.value("tool-price").map(|text| tool_prices(text, &mut findings));
        let imports = imports(args, &raw, &mut findings);
        if findings.iter().any(|finding| finding.level == Severity::Error) {
            return Err(SettingsError::Invalid(findings));
        }
        refuse_unavailable(args, &raw)?;
        let flag_error = SettingsError::Flag;
        let wrapped = wrapped(args, &raw).map_err(flag_error)?;
        let durability = durability(args).map_err(flag_error)?;
        let recover = args.switch("state-recover").unwrap_or(false);
        let retention = retention(&raw);
        let state = raw.text("stateFile").map(|path| StateSettings {
            path: at_home(&path),
            durability,
            recover,
            retention,
        });
        Ok(Self {
            wrapped,
            host: raw.text("host").map(|host| resolve_host(&host)).transpose().map_err(flag_error)?,
            port: raw.number("port").map_or(PORT_DEFAULT, port),
            name: args.value("name").map(str::to_owned),
            admin_key: raw.text("adminKey"),
            gate: gate(&raw, tool_prices),
            free_methods: texts(&raw, "freeMethods").map(|methods| methods.into_iter().collect()),
            imports,
            reimport: args.switch("reimport").unwrap_or(false),
            state,
            alert_rules: alert_rules(&raw),
            webhook: webhook(&raw),
            stripe: stripe(&raw),
            oauth: oauth(&raw),
            allowed_origins: texts(&raw, "allowedOrigins").unwrap_or_default(),
            trusted_proxies: texts(&raw, "trustedProxies"),
            limits: limits(&raw),
            log_level: log_level(args).map_err(flag_error)?,
            warnings: findings,
        })
    }
}

// ── Merging ──────────────────────────────────────────────────────────────────

/// Puts the numbers of flags in place of the file's. A fraction where a whole number belongs is an error.
fn merge_numbers(args: &Args, raw: &mut RawConfig) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for (flag, field) in [
        ("port", "port"),
        ("price", "defaultCreditsPerCall"),
        ("rate-limit", "globalRateLimitPerMin"),
        ("max-body-bytes", "maxBodyBytes"),
    ] {
        let Some(text) = args.value(flag) else { continue };
        let whole = leading_integer(text).unwrap_or(f64::NAN);
        let exact = to_number(text);
        if exact.is_finite() && exact.fract() != 0.0 {
            findings
                .push(Diagnostic::error(field, format!("Invalid {field}: {text}. Must be a whole number.")));
        }
        raw.set(field, whole.into());
    }
    if let Some(retries) = args.value("webhook-retries") {
        match to_number(retries).floor() {
            // What is no number stands for the default, as in 2.9.0.
            number if number.is_nan() => raw.forget("webhookMaxRetries"),
            number => raw.set("webhookMaxRetries", number.into()),
        }
    }
    findings
}

fn merge_texts(args: &Args, raw: &mut RawConfig) {
    for (flag, field) in [
        ("remote-url", "remoteUrl"),
        ("webhook-url", "webhookUrl"),
        ("webhook-secret", "webhookSecret"),
        ("redis-url", "redisUrl"),
        ("stripe-secret", "stripeWebhookSecret"),
        ("admin-key", "adminKey"),
        ("state-file", "stateFile"),
        ("host", "host"),
    ] {
        if let Some(text) = args.value(flag) {
            raw.set(field, text.into());
        }
    }
    if let Some(line) = args.value("server") {
        // Validated by its first word; a line without one is no command.
        raw.set("serverCommand", line.split_whitespace().next().unwrap_or_default().into());
        raw.forget("serverArgs");
    }
    for (flag, field) in [("shadow", "shadowMode"), ("refund-on-failure", "refundOnFailure")] {
        if let Some(on) = args.switch(flag) {
            raw.set(field, on.into());
        }
    }
}

/// What can be asked for, but not yet done, must not be passed over.
fn refuse_unavailable(args: &Args, raw: &RawConfig) -> Result<(), SettingsError> {
    let field = ["redisUrl"].into_iter().find(|field| raw.json(field).is_some_and(|value| truthy(&value)));
    let asked = args.unavailable().map(|flag| format!("--{flag}")).or(field.map(str::to_owned));
    match asked {
        Some(asked) => Err(SettingsError::Flag(format!("{asked} is not available yet in this build"))),
        None => Ok(()),
    }
}

// ── Single settings ──────────────────────────────────────────────────────────

fn wrapped(args: &Args, raw: &RawConfig) -> Result<WrappedSettings, String> {
    let servers = raw.json("servers").and_then(|servers| servers.as_array().cloned()).unwrap_or_default();
    if !servers.is_empty() {
        return Ok(WrappedSettings::Many(servers.iter().map(server_entry).collect()));
    }
    if let Some(url) = raw.text("remoteUrl") {
        return Ok(WrappedSettings::Remote(url));
    }
    let (command, args) = command(args, raw)?;
    Ok(WrappedSettings::Command(command, args))
}

/// One of several servers; what says nothing in JavaScript's sense is not there.
fn server_entry(server: &Value) -> ServerEntry {
    let text = |name: &str| server.get(name).filter(|value| truthy(value)).map(json_to_text);
    let args = server.get("serverArgs").and_then(Value::as_array).cloned().unwrap_or_default();
    ServerEntry {
        prefix: text("prefix"),
        command: text("serverCommand"),
        args: args.iter().map(json_to_text).collect(),
        url: text("remoteUrl"),
    }
}

fn command(args: &Args, raw: &RawConfig) -> Result<(String, Vec<String>), String> {
    let home = env::home();
    if let Some(line) = args.value("server") {
        return split_command_line(line, home.as_deref()).map_err(|error| format!("--server: {error}"));
    }
    let command = raw.text("serverCommand").expect("validated: there is a command");
    Ok((command, texts(raw, "serverArgs").unwrap_or_default()))
}

fn gate(raw: &RawConfig, tool_prices: Option<Vec<ToolTerms>>) -> GateConfig {
    let defaults = GateConfig::default();
    let credits = |number: f64| Credits::floored(number).expect("validated: a price is within the bound");
    let default_price = raw.number("defaultCreditsPerCall").map_or(defaults.prices.default, credits);
    let tools = tool_prices.unwrap_or_else(|| file_prices(raw, default_price));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "validated: whole and above 0"
    )]
    let batch_calls_max = raw.number("maxBatchCalls").map_or(BATCH_CALLS_MAX, |calls| calls as usize);
    GateConfig {
        prices: PriceList::new(default_price, tools),
        global_rate_limit: raw.number("globalRateLimitPerMin").unwrap_or(defaults.global_rate_limit),
        global_quota: raw.json("globalQuota").filter(truthy).map(|quota| self::quota(&quota)),
        shadow_mode: switch(raw, "shadowMode"),
        refunds: RefundPolicy {
            on_failure: switch(raw, "refundOnFailure"),
            on_tool_error: switch(raw, "refundOnToolError"),
        },
        batch_calls_max,
        batch_rate_per_call: raw.text("batchRateLimit").as_deref() == Some("per-call"),
    }
}

/// An entry without a price has the default one.
fn file_prices(raw: &RawConfig, default_price: Credits) -> Vec<ToolTerms> {
    let tools = raw.json("toolPricing").and_then(|tools| tools.as_object().cloned()).unwrap_or_default();
    let terms = |(tool, terms): (String, Value)| {
        let number = |name: &str| terms.get(name).map_or(0.0, json_to_number);
        let price = terms.get("creditsPerCall").map(json_to_number);
        ToolTerms {
            name: tool.into(),
            credits_per_call: price.map_or(default_price, |price| {
                Credits::floored(price).expect("validated: a price is within the bound")
            }),
            calls_per_minute: number("rateLimitPerMin"),
            credits_per_kb: number("creditsPerKbInput"),
        }
    };
    tools.into_iter().map(terms).collect()
}

/// Reads `tool:price,…`. Tools may have colons in their names; parts that lack either half are skipped.
fn tool_prices(text: &str, findings: &mut Vec<Diagnostic>) -> Vec<ToolTerms> {
    let mut prices = Vec::new();
    for (tool, price) in text.split(',').filter_map(|part| part.rsplit_once(':')) {
        let (tool, price) = (trim(tool), trim(price));
        if tool.is_empty() || price.is_empty() {
            continue;
        }
        match leading_integer(price).filter(|price| *price >= 0.0).map(Credits::floored) {
            Some(Ok(credits_per_call)) => prices.push(ToolTerms {
                name: tool.into(),
                credits_per_call,
                calls_per_minute: 0.0,
                credits_per_kb: 0.0,
            }),
            Some(Err(_)) | None => findings.push(Diagnostic::error(
                format!("toolPricing.{tool}.creditsPerCall"),
                format!("Invalid creditsPerCall for \"{tool}\": {price}. Must be >= 0."),
            )),
        }
    }
    prices
}

/// The keys to import: those of the flag, then those of the file.
fn imports(args: &Args, raw: &RawConfig, findings: &mut Vec<Diagnostic>) -> Vec<(String, Credits)> {
    let mut imports = Vec::new();
    for part in args.value("import-key").unwrap_or_default().split(',') {
        let mut pieces = part.split(':').map(trim);
        let (Some(key), Some(credits)) = (pieces.next(), pieces.next()) else { continue };
        if key.is_empty() || credits.is_empty() {
            continue;
        }
        match leading_integer(credits).filter(|credits| *credits >= 0.0).map(Credits::floored) {
            Some(Ok(credits)) => imports.push((key.to_owned(), credits)),
            Some(Err(_)) | None => findings.push(Diagnostic::error(
                "importKeys",
                format!("Invalid credits for an imported key: {credits}. Must be >= 0."),
            )),
        }
    }
    let file = raw.json("importKeys").and_then(|keys| keys.as_object().cloned()).unwrap_or_default();
    let credits = |(key, credits): (String, Value)| Some((key, Credits::floored(credits.as_f64()?).ok()?));
    imports.extend(file.into_iter().filter_map(credits));
    imports
}

/// The limits of all keys, rounded down; what is absent is off.
fn quota(value: &Value) -> Quota {
    let limit =
        |name: &str| value.get(name).and_then(Value::as_f64).map_or(0.0, |limit| limit.floor().max(0.0));
    Quota {
        daily_calls: limit("dailyCallLimit"),
        monthly_calls: limit("monthlyCallLimit"),
        daily_credits: limit("dailyCreditLimit"),
        monthly_credits: limit("monthlyCreditLimit"),
    }
}

/// Who is told what happens.
fn webhook(raw: &RawConfig) -> Option<WebhookSettings> {
    let mut settings = WebhookSettings::new(raw.text("webhookUrl")?);
    settings.secret = raw.text("webhookSecret").as_deref().map(Secret::new);
    settings.extra_certificates = env::extra_certificates();
    if let Some(retries) = raw.number("webhookMaxRetries") {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "validated: whole and not negative; beyond its type it is as good as for ever"
        )]
        let retries = retries as u32;
        settings.max_retries = retries;
    }
    Some(settings)
}

/// How tokens are issued. Whatever says that they are, without saying how, stands for the usual way.
fn oauth(raw: &RawConfig) -> Option<OAuthConfig> {
    let given = raw.get("oauth").filter(|oauth| oauth.truthy())?;
    let usual = OAuthConfig::default();
    let seconds = |name: &str, usual: f64| given.member(name).and_then(Given::number).unwrap_or(usual);
    let switch = |name: &str, usual: bool| given.member(name).map_or(usual, Given::truthy);
    let scopes = given.member("scopes").and_then(Given::list);
    Some(OAuthConfig {
        issuer: given.member("issuer").and_then(Given::text).map(str::to_owned),
        access_token_ttl_seconds: seconds("accessTokenTtl", usual.access_token_ttl_seconds),
        refresh_token_ttl_seconds: seconds("refreshTokenTtl", usual.refresh_token_ttl_seconds),
        code_ttl_seconds: seconds("codeTtl", usual.code_ttl_seconds),
        scopes: scopes.map_or(usual.scopes, |scopes| {
            scopes.iter().filter_map(Given::text).map(str::to_owned).collect()
        }),
        approve_linked: switch("approveLinked", usual.approve_linked),
        rotate_refresh_tokens: switch("rotateRefreshTokens", usual.rotate_refresh_tokens),
    })
}

fn stripe(raw: &RawConfig) -> Option<StripeSettings> {
    let grant_free = raw.get("stripe").and_then(|stripe| stripe.member("grantFree"));
    let grant_free = grant_free.is_some_and(Given::truthy);
    Some(StripeSettings { grant_free, ..StripeSettings::new(&raw.text("stripeWebhookSecret")?) })
}

fn alert_rules(raw: &RawConfig) -> Vec<AlertRule> {
    let given = raw.json("alertRules").and_then(|rules| rules.as_array().cloned()).unwrap_or_default();
    given.into_iter().filter_map(|rule| AlertRule::checked(rule).ok()).collect()
}

fn retention(raw: &RawConfig) -> Retention {
    let mut retention = Retention::default();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "validated: whole and above 0; saturates"
    )]
    let whole = |field| raw.number(field).map(|number| number as u64);
    if let Some(days) = whole("historyDays") {
        retention.age_max = Duration::from_secs(days.saturating_mul(24 * 60 * 60));
    }
    if let Some(rows) = whole("historyRows") {
        retention.rows_max = rows;
    }
    retention
}

fn limits(raw: &RawConfig) -> HttpLimits {
    let mut limits = HttpLimits::default();
    if let Some(bytes) = raw.number("maxBodyBytes") {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "validated: whole and above 0"
        )]
        let bytes = bytes as usize;
        limits.body_bytes_max = bytes;
    }
    limits
}

fn switch(raw: &RawConfig, field: &str) -> bool {
    raw.json(field).is_some_and(|value| truthy(&value))
}

fn texts(raw: &RawConfig, field: &str) -> Option<Vec<String>> {
    let entries = raw.json(field)?;
    let entries = entries.as_array()?.iter().filter_map(Value::as_str);
    Some(entries.map(str::to_owned).collect())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "validated: whole and at most 65535"
)]
fn port(port: f64) -> u16 {
    port as u16
}

fn resolve_host(host: &str) -> Result<IpAddr, String> {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    let named = || (host, 0).to_socket_addrs().ok()?.next().map(|address| address.ip());
    literal
        .parse()
        .ok()
        .or_else(named)
        .ok_or_else(|| format!("--host: {host:?} is no address of this machine"))
}

fn durability(args: &Args) -> Result<Durability, String> {
    match args.value("durability") {
        None | Some("process") => Ok(Durability::Process),
        Some("power") => Ok(Durability::Power),
        Some(other) => Err(format!("--durability is process or power, not {other:?}")),
    }
}

fn log_level(args: &Args) -> Result<Level, String> {
    let level = args.value("log-level").unwrap_or("info");
    level.parse().map_err(|_| format!("--log-level is error, warn, info, debug or trace, not {level:?}"))
}

/// A path whose leading `~` stands for the user's home folder.
fn at_home(path: &str) -> PathBuf {
    match (path.strip_prefix('~'), env::home()) {
        (Some(""), Some(home)) => home,
        (Some(rest), Some(home)) if rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(path),
    }
}
