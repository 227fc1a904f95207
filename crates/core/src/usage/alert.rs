//! Alerts: rules over what is known of a key, checked after its calls.
//!
//! A rule that fires for a key stays silent for that key until its cooldown is over. What fired waits to be fetched.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::clock::{Clock, Timestamp};
use crate::key::record::{Record, number_value, truthy};
use crate::text::number::{js_number, json_to_number, json_to_text};
use crate::text::round::{half_up, to_tenths};

/// Most alerts that wait to be fetched; when one more fires, the oldest goes.
pub const PENDING_MAX: usize = 10_000;

/// How long a refusal by a rate limit is remembered.
const DENIALS_MS: i64 = 5 * 60_000;
/// Runs of refusals that are told apart by the millisecond. Later ones share a second.
const DENIAL_RUNS_EXACT: usize = 1000;

/// The pause after an alert of a rule that names none, in seconds.
const COOLDOWN_SECONDS: f64 = 3600.0;

/// Keys that are remembered before it is looked whether any can be forgotten.
const KEYS_UNSWEPT: usize = 1024;

/// What a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AlertType {
    /// How much of everything ever granted is spent, in percent.
    SpendingThreshold,
    /// The balance.
    CreditsLow,
    /// How much of the key's own quota of calls is used, in percent.
    QuotaWarning,
    /// How long the key has to live, in seconds.
    KeyExpirySoon,
    /// How often a rate limit refused in the last five minutes.
    RateLimitSpike,
}

impl AlertType {
    /// Every type with its name.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::SpendingThreshold, "spending_threshold"),
        (Self::CreditsLow, "credits_low"),
        (Self::QuotaWarning, "quota_warning"),
        (Self::KeyExpirySoon, "key_expiry_soon"),
        (Self::RateLimitSpike, "rate_limit_spike"),
    ];

    /// The type of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }

    /// The name of the type.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// When to raise an alert.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertRule {
    /// What it looks at; a rule of a type that nobody knows never fires.
    pub kind: Option<AlertType>,
    /// From which number on, or down to which, in the unit of its type.
    pub threshold: f64,
    /// The pause after it fired for a key, in milliseconds; negative for none.
    pub cooldown_ms: f64,
    /// The rule as it was written.
    given: Value,
}

/// Why a rule is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AlertRuleError {
    /// It is no object.
    #[error("Invalid alert rule: must be an object")]
    NoObject,
    /// There is no such type.
    #[error("Invalid alert type: {0}. Valid: {valid}", valid = AlertType::ALL.map(|(_, name)| name).join(", "))]
    UnknownType(String),
    /// The threshold is no number, or negative.
    #[error("Invalid threshold for {0}: must be a non-negative number")]
    BadThreshold(&'static str),
}

impl AlertRule {
    /// A rule of a script. A cooldown of 0 or NaN is the usual one, an hour.
    pub fn new(kind: &str, threshold: f64, cooldown_seconds: f64) -> Self {
        let named = cooldown_seconds != 0.0 && !cooldown_seconds.is_nan();
        Self {
            kind: AlertType::named(kind),
            threshold,
            cooldown_ms: if named { cooldown_seconds } else { COOLDOWN_SECONDS } * 1000.0,
            given: json!({ "type": kind, "threshold": number_value(threshold) }),
        }
    }

    /// A rule of a configuration or a request, which is kept as it was written.
    ///
    /// # Errors
    /// What is wrong with it, in the words in which an operator is told.
    pub fn checked(given: Value) -> Result<Self, AlertRuleError> {
        if !given.is_object() {
            return Err(AlertRuleError::NoObject);
        }
        let name = given.get("type").map_or_else(|| "undefined".to_owned(), json_to_text);
        let Some(kind) = given.get("type").and_then(Value::as_str).and_then(AlertType::named) else {
            return Err(AlertRuleError::UnknownType(name));
        };
        let threshold = given.get("threshold").and_then(Value::as_f64);
        let Some(threshold) = threshold.filter(|threshold| *threshold >= 0.0) else {
            return Err(AlertRuleError::BadThreshold(kind.name()));
        };
        let cooldown = given.get("cooldownSeconds").filter(|cooldown| truthy(cooldown));
        Ok(Self { given: given.clone(), ..Self::new(&name, threshold, cooldown.map_or(0.0, json_to_number)) })
    }

    /// The rule as it was written.
    pub fn given(&self) -> &Value {
        &self.given
    }
}

/// What rules look at: the key as it is after a call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlertFacts<'a> {
    /// What stands for the key; cooldowns and refusals are counted by it.
    pub key_prefix: &'a str,
    /// The key's name.
    pub key_name: &'a str,
    /// The balance.
    pub credits: f64,
    /// Credits spent in all.
    pub total_spent: f64,
    /// Calls of the day, and how many the key's own quota allows; 0 or NaN without one.
    pub daily_calls: (f64, f64),
    /// The same of the month.
    pub monthly_calls: (f64, f64),
    /// When the key ends, as it is told and as a point in time in milliseconds; NaN for never.
    pub expiry: (&'a str, f64),
    /// Whether the call was refused by a rate limit.
    pub rate_limited: bool,
}

impl<'a> AlertFacts<'a> {
    /// The facts of a record. `key_prefix` is what stands for the key where others may see it.
    pub fn of(record: &'a Record, key_prefix: &'a str, rate_limited: bool, now: Timestamp) -> Self {
        let mut counters = record.counters;
        counters.roll(now);
        let limits = record.quota.as_deref().copied().unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "points in time are below 2^53")]
        let expires_at = record.expiry.at.map_or(f64::NAN, |at| at.0 as f64);
        Self {
            key_prefix,
            key_name: &record.identity.name,
            credits: record.credits.as_f64(),
            total_spent: record.spent.as_f64(),
            daily_calls: (counters.daily_calls, limits.daily_calls),
            monthly_calls: (counters.monthly_calls, limits.monthly_calls),
            expiry: (record.expiry.text.as_deref().unwrap_or_default(), expires_at),
            rate_limited,
        }
    }
}

/// Something an operator wants to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Counts the alerts of an engine, from 0.
    pub number: u64,
    /// The place of the rule that fired.
    pub rule: usize,
    /// What the rule looks at.
    pub kind: AlertType,
    /// When it fired.
    pub at: Timestamp,
    /// What stands for the key, with `...` behind it.
    pub key_prefix: Box<str>,
    /// The key's name.
    pub key_name: Box<str>,
    /// The rule's threshold.
    pub threshold: f64,
    /// The number that met it.
    pub current_value: f64,
    finding: Finding,
}

/// What a rule found.
#[derive(Debug, Clone, PartialEq)]
enum Finding {
    Spending { percent: f64, credits: f64, total_spent: f64 },
    Credits { credits: f64 },
    Quota { period: Period, percent: f64, used: f64, limit: f64 },
    Expiry { expires_at: Box<str>, seconds_left: f64 },
    Denials { count: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Period {
    Daily,
    Monthly,
}

impl AlertRule {
    /// What the rule finds in the facts, if it is enough to fire.
    fn finds(&self, facts: &AlertFacts<'_>, denials: u64, now: Timestamp) -> Option<Finding> {
        match self.kind? {
            AlertType::SpendingThreshold => {
                let &AlertFacts { credits, total_spent, .. } = facts;
                let budget = credits + total_spent;
                let percent = total_spent / budget * 100.0;
                (budget > 0.0 && percent >= self.threshold).then_some(Finding::Spending {
                    percent,
                    credits,
                    total_spent,
                })
            }
            AlertType::CreditsLow => {
                let credits = facts.credits;
                (credits <= self.threshold).then_some(Finding::Credits { credits })
            }
            AlertType::QuotaWarning => self
                .finds_quota(Period::Daily, facts.daily_calls)
                .or_else(|| self.finds_quota(Period::Monthly, facts.monthly_calls)),
            AlertType::KeyExpirySoon => {
                let (text, at) = facts.expiry;
                #[expect(clippy::cast_precision_loss, reason = "points in time are below 2^53")]
                let left_ms = at - now.0 as f64;
                (left_ms > 0.0 && left_ms <= self.threshold * 1000.0)
                    .then(|| Finding::Expiry { expires_at: text.into(), seconds_left: left_ms / 1000.0 })
            }
            AlertType::RateLimitSpike => (facts.rate_limited && number(denials) >= self.threshold)
                .then_some(Finding::Denials { count: denials }),
        }
    }

    fn finds_quota(&self, period: Period, (used, limit): (f64, f64)) -> Option<Finding> {
        let percent = used / limit * 100.0;
        (limit > 0.0 && percent >= self.threshold).then_some(Finding::Quota { period, percent, used, limit })
    }
}

#[expect(clippy::cast_precision_loss, reason = "refusals are far fewer than 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}

impl Finding {
    fn current_value(&self) -> f64 {
        match self {
            Self::Spending { percent, .. } | Self::Quota { percent, .. } => to_tenths(*percent),
            Self::Credits { credits } => *credits,
            Self::Expiry { seconds_left, .. } => half_up(*seconds_left),
            Self::Denials { count } => number(*count),
        }
    }
}

impl Alert {
    /// What happened, for people.
    pub fn message(&self) -> String {
        let Self { key_name: name, .. } = self;
        let threshold = js_number(self.threshold);
        match &self.finding {
            Finding::Spending { percent, credits, total_spent } => format!(
                "Key \"{name}\" has spent {}% of total budget ({}/{} credits)",
                js_number(half_up(*percent)),
                js_number(*total_spent),
                js_number(credits + total_spent),
            ),
            Finding::Credits { credits } => format!(
                "Key \"{name}\" has only {} credits remaining (threshold: {threshold})",
                js_number(*credits)
            ),
            Finding::Quota { period, percent, used, limit } => format!(
                "Key \"{name}\" {} call quota at {}% ({}/{})",
                match period {
                    Period::Daily => "daily",
                    Period::Monthly => "monthly",
                },
                js_number(half_up(*percent)),
                js_number(*used),
                js_number(*limit),
            ),
            Finding::Expiry { expires_at, seconds_left } => format!(
                "Key \"{name}\" expires in {} hours ({expires_at})",
                js_number(to_tenths(seconds_left / 3600.0))
            ),
            Finding::Denials { count } => {
                format!("Key \"{name}\" hit {count} rate limit denials in 5 min (threshold: {threshold})")
            }
        }
    }

    /// The numbers behind it, by name.
    pub fn metadata(&self) -> Map<String, Value> {
        let metadata = match &self.finding {
            Finding::Spending { credits, total_spent, .. } => json!({
                "credits": number_value(*credits),
                "totalSpent": number_value(*total_spent),
                "totalBudget": number_value(credits + total_spent),
            }),
            Finding::Credits { credits } => json!({ "credits": number_value(*credits) }),
            Finding::Quota { period, used, limit, .. } => json!({
                "quotaType": match period {
                    Period::Daily => "dailyCalls",
                    Period::Monthly => "monthlyCalls",
                },
                "used": number_value(*used),
                "limit": number_value(*limit),
            }),
            Finding::Expiry { expires_at, seconds_left } => json!({
                "expiresAt": expires_at,
                "remainingSeconds": number_value(half_up(*seconds_left)),
            }),
            Finding::Denials { count } => {
                json!({ "denialCount": count, "windowMinutes": DENIALS_MS / 60_000 })
            }
        };
        match metadata {
            Value::Object(metadata) => metadata,
            _ => unreachable!("every arm makes an object"),
        }
    }
}

/// As 2.9.0 shows an alert.
impl Serialize for Alert {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Shown<'a> {
            r#type: &'static str,
            timestamp: String,
            key_prefix: &'a str,
            key_name: &'a str,
            threshold: Value,
            current_value: Value,
            message: String,
            metadata: Map<String, Value>,
        }
        Shown {
            r#type: self.kind.name(),
            timestamp: self.at.to_string(),
            key_prefix: &self.key_prefix,
            key_name: &self.key_name,
            threshold: number_value(self.threshold),
            current_value: number_value(self.current_value),
            message: self.message(),
            metadata: self.metadata(),
        }
        .serialize(serializer)
    }
}

/// Checks keys against rules and keeps what fired until it is fetched. Callable from any thread.
pub struct AlertEngine {
    rules: Vec<AlertRule>,
    dry_run: bool,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    keys: HashMap<Box<str>, KeyState, RandomState>,
    /// How many keys were left when it was last looked for those that can be forgotten.
    keys_left: usize,
    fired: u64,
    pending: VecDeque<Alert>,
}

/// What is remembered of a key.
#[derive(Debug, Default)]
struct KeyState {
    /// The places of rules that fired, and when they did last.
    fired: Vec<(usize, Timestamp)>,
    denials: Denials,
}

/// Refusals by rate limits of about the last five minutes.
#[derive(Debug, Default)]
struct Denials {
    runs: VecDeque<(Timestamp, u64)>,
    count: u64,
}

impl Denials {
    /// Counts a refusal, and forgets those that are five minutes old.
    fn add(&mut self, now: Timestamp) {
        self.count += 1;
        let shared_ms = if self.runs.len() < DENIAL_RUNS_EXACT { 1 } else { 1000 };
        match self.runs.back_mut() {
            Some((at, run)) if (0..shared_ms).contains(&(now.0 - at.0)) => *run += 1,
            _ => self.runs.push_back((now, 1)),
        }
        while let Some((at, run)) = self.runs.front()
            && now.0 - at.0 >= DENIALS_MS
        {
            self.count -= run;
            self.runs.pop_front();
        }
    }

    /// Whether the next refusal would make all these forgotten.
    fn stale(&self, now: Timestamp) -> bool {
        self.runs.back().is_none_or(|(at, _)| now.0 - at.0 >= DENIALS_MS)
    }
}

impl KeyState {
    /// Whether a rule fired so lately that it has to wait.
    fn cooling(&self, place: usize, rule: &AlertRule, now: Timestamp) -> bool {
        let last = self.fired.iter().find(|(fired, _)| *fired == place);
        #[expect(clippy::cast_precision_loss, reason = "points in time are below 2^53")]
        let cooling = last.is_some_and(|(_, at)| ((now.0 - at.0) as f64) < rule.cooldown_ms);
        cooling
    }

    fn note_fired(&mut self, place: usize, now: Timestamp) {
        match self.fired.iter_mut().find(|(fired, _)| *fired == place) {
            Some((_, at)) => *at = now,
            None => self.fired.push((place, now)),
        }
    }
}

impl State {
    fn denials(&self, key_prefix: &str) -> u64 {
        self.keys.get(key_prefix).map_or(0, |key| key.denials.count)
    }

    /// What is remembered of a key. Keys of which nothing counts any more are forgotten when there are many.
    fn key(&mut self, key_prefix: &str, rules: &[AlertRule], now: Timestamp) -> &mut KeyState {
        if self.keys.len() >= KEYS_UNSWEPT.max(2 * self.keys_left) && !self.keys.contains_key(key_prefix) {
            self.keys.retain(|_, key| {
                !key.denials.stale(now)
                    || rules.iter().enumerate().any(|(place, rule)| key.cooling(place, rule, now))
            });
            self.keys_left = self.keys.len();
        }
        if !self.keys.contains_key(key_prefix) {
            self.keys.insert(key_prefix.into(), KeyState::default());
        }
        self.keys.get_mut(key_prefix).expect("just inserted")
    }
}

impl AlertEngine {
    /// An engine with these rules. In a dry run nothing waits to be fetched.
    pub fn new(rules: Vec<AlertRule>, dry_run: bool, clock: Arc<dyn Clock>) -> Self {
        Self { rules, dry_run, clock, state: Mutex::default() }
    }

    /// The rules, in the order in which they are checked.
    pub fn rules(&self) -> &[AlertRule] {
        &self.rules
    }

    /// Checks a key against every rule. Returns what fires now.
    pub fn check(&self, facts: &AlertFacts<'_>) -> Vec<Alert> {
        let now = self.clock.wall();
        let denials = if facts.rate_limited { self.state.lock().denials(facts.key_prefix) } else { 0 };
        let found = self.rules.iter().enumerate();
        let mut found =
            found.filter_map(|(place, rule)| Some((place, rule.finds(facts, denials, now)?))).peekable();
        // Most checks find nothing, and meet no other thread.
        if found.peek().is_none() {
            return Vec::new();
        }
        let mut state = self.state.lock();
        let mut alerts = Vec::new();
        for (place, finding) in found {
            let rule = &self.rules[place];
            let key = state.key(facts.key_prefix, &self.rules, now);
            if key.cooling(place, rule, now) {
                continue;
            }
            key.note_fired(place, now);
            let number = state.fired;
            state.fired += 1;
            alerts.push(Alert {
                number,
                rule: place,
                kind: rule.kind.expect("only rules of a known type find anything"),
                at: now,
                key_prefix: format!("{}...", facts.key_prefix).into(),
                key_name: facts.key_name.into(),
                threshold: rule.threshold,
                current_value: finding.current_value(),
                finding,
            });
        }
        if !self.dry_run {
            state.pending.extend(alerts.iter().cloned());
            let over = state.pending.len().saturating_sub(PENDING_MAX);
            state.pending.drain(..over);
        }
        alerts
    }

    /// Notes that a rate limit refused a call of a key. To be told before the call is checked.
    pub fn record_rate_limit_denial(&self, key_prefix: &str) {
        let now = self.clock.wall();
        self.state.lock().key(key_prefix, &self.rules, now).denials.add(now);
    }

    /// Fetches the alerts that wait, oldest first.
    pub fn consume(&self) -> Vec<Alert> {
        std::mem::take(&mut self.state.lock().pending).into()
    }

    /// How many alerts wait.
    pub fn pending_count(&self) -> usize {
        self.state.lock().pending.len()
    }

    /// Forgets cooldowns, refusals, and alerts that wait.
    pub fn clear(&self) {
        let mut state = self.state.lock();
        *state = State { fired: state.fired, ..State::default() };
    }
}

#[cfg(test)]
mod tests;
