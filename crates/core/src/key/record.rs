//! What is known of one key: its balance and counters, its rights, its labels.
//!
//! A record is what the JavaScript API hands out as a plain object and what the state file holds, so it also keeps
//! what the engine has no use for: the order of its fields, fields of a caller's own, values of odd types.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Map, Number, Value};

use super::address::CompiledAllowlist;
use super::oddities::Oddities;
use super::permitted_tools::ToolList;
use crate::clock::Timestamp;
use crate::credits::{Credits, CreditsError};
use crate::limit::quota::{Quota, QuotaCounters};
use crate::text::clean::property_order;
use crate::text::date::{self, Day, Month};
use crate::text::number::{json_to_number, json_to_text};

/// Labels of a key, in property order.
pub type Tags = IndexMap<Box<str>, Box<str>>;

/// How a key is named where its secret must not be: shared by all events of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The first ten characters of the key.
    pub prefix: Box<str>,
    /// Its label.
    pub name: Box<str>,
    /// Its tenant.
    pub namespace: Box<str>,
}

impl Identity {
    /// The identity of a key.
    pub fn new(key: &str, name: &str, namespace: &str) -> Self {
        Self { prefix: prefix(key).into(), name: name.into(), namespace: namespace.into() }
    }
}

/// The first ten UTF-16 units of a key.
pub fn prefix(key: &str) -> &str {
    crate::text::trim::cut(key, 10)
}

/// What may be seen of a key where it must not be known: its first ten characters, of a key that has no others half of
/// them, and `...`.
///
/// # Examples
/// ```
/// # use paygate_core::key::record::shown_prefix;
/// assert_eq!(shown_prefix("pg_0123456789abcdef"), "pg_0123456...");
/// assert_eq!(shown_prefix("pg_1234567"), "pg_12...");
/// assert_eq!(shown_prefix("k"), "...");
/// ```
pub fn shown_prefix(key: &str) -> String {
    let first = prefix(key);
    let shown =
        if first == key { crate::text::trim::cut(key, key.encode_utf16().count() / 2) } else { first };
    format!("{shown}...")
}

/// When a key ends: the text as it was given, and the moment it stands for, if it is a date.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Expiry {
    /// What was given; `None` for never.
    pub text: Option<Box<str>>,
    /// The moment from which the key is expired.
    pub at: Option<Timestamp>,
}

impl Expiry {
    /// Reads a date as JavaScript does; what is no date never comes.
    pub fn new(text: &str) -> Self {
        let at = date::parse_date(text, date::local_zone()).map(Timestamp);
        Self { text: Some(text.into()), at }
    }
}

/// Everything about one key.
///
/// What every decision reads stands first and together, so that with a million keys a decision meets few lines of
/// memory that are not in the cache.
#[derive(Debug, Clone)]
#[repr(C)]
pub struct Record {
    /// The balance.
    pub credits: Credits,
    /// Credits spent in all.
    pub spent: Credits,
    /// Everything ever granted: always `credits + spent`, kept on its own so that a mistake in either is seen.
    pub granted: u64,
    /// Successful deductions; a batch counts once.
    pub calls: u64,
    /// Lifetime cap of `spent`; 0 or below is none.
    pub spending_limit: f64,
    /// If not empty, only these tools.
    pub allowed_tools: ToolList,
    /// Never these tools.
    pub denied_tools: ToolList,
    /// Addresses the key may be used from; empty is any.
    pub ip_allowlist: CompiledAllowlist,
    /// The key's own quota.
    pub quota: Option<Box<Quota>>,
    /// Label and tenant.
    pub identity: Arc<Identity>,
    /// When the key ends.
    pub expiry: Expiry,
    /// When credits were last taken.
    pub last_used_at: Option<Timestamp>,
    /// Use in the present day and month.
    pub counters: QuotaCounters,
    /// False once revoked or rotated away.
    pub active: bool,
    /// What differs from a plain record; most have none.
    oddities: Option<Box<Oddities>>,
    /// The secret itself.
    pub key: Arc<str>,
    /// The key that took this one's place.
    pub successor: Option<Arc<str>>,
    /// When the key was made, as text.
    pub created_at: Box<str>,
    /// Labels.
    pub tags: Tags,
}

/// The fields of a record, in the order in which a new one shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the fields' own")]
#[repr(u8)]
pub enum Field {
    Key,
    Name,
    Credits,
    TotalSpent,
    TotalCalls,
    CreatedAt,
    LastUsedAt,
    Active,
    SpendingLimit,
    AllowedTools,
    DeniedTools,
    ExpiresAt,
    Quota,
    Tags,
    IpAllowlist,
    Namespace,
    QuotaDailyCalls,
    QuotaMonthlyCalls,
    QuotaDailyCredits,
    QuotaMonthlyCredits,
    QuotaLastResetDay,
    QuotaLastResetMonth,
}

impl Field {
    /// Every field, in order, with the name it has in JavaScript and JSON.
    pub const ALL: [(Self, &'static str); 22] = [
        (Self::Key, "key"),
        (Self::Name, "name"),
        (Self::Credits, "credits"),
        (Self::TotalSpent, "totalSpent"),
        (Self::TotalCalls, "totalCalls"),
        (Self::CreatedAt, "createdAt"),
        (Self::LastUsedAt, "lastUsedAt"),
        (Self::Active, "active"),
        (Self::SpendingLimit, "spendingLimit"),
        (Self::AllowedTools, "allowedTools"),
        (Self::DeniedTools, "deniedTools"),
        (Self::ExpiresAt, "expiresAt"),
        (Self::Quota, "quota"),
        (Self::Tags, "tags"),
        (Self::IpAllowlist, "ipAllowlist"),
        (Self::Namespace, "namespace"),
        (Self::QuotaDailyCalls, "quotaDailyCalls"),
        (Self::QuotaMonthlyCalls, "quotaMonthlyCalls"),
        (Self::QuotaDailyCredits, "quotaDailyCredits"),
        (Self::QuotaMonthlyCredits, "quotaMonthlyCredits"),
        (Self::QuotaLastResetDay, "quotaLastResetDay"),
        (Self::QuotaLastResetMonth, "quotaLastResetMonth"),
    ];

    /// The field of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(field, _)| *field)
    }

    /// The name of the field.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// A quota as an object with its four limits.
pub fn quota_value(quota: &Quota) -> Value {
    let mut object = Map::new();
    for (name, limit) in [
        ("dailyCallLimit", quota.daily_calls),
        ("monthlyCallLimit", quota.monthly_calls),
        ("dailyCreditLimit", quota.daily_credits),
        ("monthlyCreditLimit", quota.monthly_credits),
    ] {
        object.insert(name.into(), number_value(limit));
    }
    Value::Object(object)
}

/// Reads the four limits of an object; one that is absent is off.
pub fn quota_of(value: &Value) -> Quota {
    let limit = |name: &str| value.get(name).map_or(f64::NAN, json_to_number);
    Quota {
        daily_calls: limit("dailyCallLimit"),
        monthly_calls: limit("monthlyCallLimit"),
        daily_credits: limit("dailyCreditLimit"),
        monthly_credits: limit("monthlyCreditLimit"),
    }
}

/// A number as JSON has it: whole numbers without a fraction, what is not finite as null.
pub fn number_value(number: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
    if number.trunc() == number && number.abs() < EXACT {
        return Value::Number(Number::from(number as i64));
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

/// Whether JavaScript takes a value for true.
pub fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(b) => *b,
        Value::Number(n) => n.as_f64().is_some_and(|n| n != 0.0),
        Value::String(s) => !s.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

impl Record {
    /// A record as a new key has it.
    pub fn new(key: Arc<str>, identity: Identity, credits: Credits, now: Timestamp) -> Self {
        Self {
            key,
            identity: Arc::new(identity),
            credits,
            spent: Credits::ZERO,
            granted: credits.get(),
            calls: 0,
            created_at: now.to_string().into(),
            last_used_at: None,
            active: true,
            spending_limit: 0.0,
            allowed_tools: ToolList::default(),
            denied_tools: ToolList::default(),
            expiry: Expiry::default(),
            quota: None,
            tags: Tags::default(),
            ip_allowlist: CompiledAllowlist::default(),
            counters: QuotaCounters::new(now),
            successor: None,
            oddities: None,
        }
    }

    /// Whether the key has passed its end.
    pub fn expired(&self, now: Timestamp) -> bool {
        self.expiry.at.is_some_and(|end| now >= end)
    }

    /// Whether the key may be used: neither revoked nor expired.
    pub fn usable(&self, now: Timestamp) -> bool {
        self.active && !self.expired(now)
    }

    /// Whether the key had expired when it was made, and nothing was ever spent on it.
    pub fn never_lived(&self) -> bool {
        let made = || date::parse_date(&self.created_at, date::local_zone()).map(Timestamp);
        self.spent == Credits::ZERO
            && self.expiry.at.is_some_and(|end| made().is_some_and(|made| end <= made))
    }

    /// Renames the key or moves it to another tenant.
    pub fn rename(&mut self, name: Option<&str>, namespace: Option<&str>) {
        let name = name.unwrap_or(&self.identity.name);
        let namespace = namespace.unwrap_or(&self.identity.namespace);
        self.identity = Arc::new(Identity::new(&self.key, name, namespace));
    }

    /// A copy under another key, which takes this one's place.
    pub fn renamed(&self, key: Arc<str>) -> Self {
        let identity = Arc::new(Identity::new(&key, &self.identity.name, &self.identity.namespace));
        let mut renamed = Self { key, identity, ..self.clone() };
        renamed.forget_odd(Field::Key);
        renamed
    }

    /// Rolls the counters to the present day and month.
    pub fn roll_counters(&mut self, now: Timestamp) {
        if self.counters.roll(now) {
            self.forget_odd(Field::QuotaLastResetDay);
            self.forget_odd(Field::QuotaLastResetMonth);
        }
    }

    /// The names of all fields, in the order in which they are shown.
    pub fn field_names(&self) -> Vec<&str> {
        match &self.oddities {
            Some(oddities) => oddities.names().collect(),
            None => Field::ALL.iter().map(|(_, name)| *name).collect(),
        }
    }

    /// The value of a field; `None` when the record has no such field, or it is there without a value.
    pub fn value(&self, name: &str) -> Option<Value> {
        Oddities::value_or(self.oddities.as_deref(), name, || self.plain_value(Field::named(name)?))
    }

    /// The value of a known field as the engine holds it.
    fn plain_value(&self, field: Field) -> Option<Value> {
        let text = |text: &str| Value::String(text.to_owned());
        let list = |names: &[Box<str>]| Value::Array(names.iter().map(|name| text(name)).collect());
        Some(match field {
            Field::Key => text(&self.key),
            Field::Name => text(&self.identity.name),
            Field::Credits => self.credits.get().into(),
            Field::TotalSpent => self.spent.get().into(),
            Field::TotalCalls => self.calls.into(),
            Field::CreatedAt => text(&self.created_at),
            Field::LastUsedAt => self.last_used_at.map_or(Value::Null, |at| at.to_string().into()),
            Field::Active => self.active.into(),
            Field::SpendingLimit => number_value(self.spending_limit),
            Field::AllowedTools => list(self.allowed_tools.names()),
            Field::DeniedTools => list(self.denied_tools.names()),
            Field::ExpiresAt => self.expiry.text.as_deref().map_or(Value::Null, text),
            Field::Quota => return self.quota.as_deref().map(quota_value),
            Field::Tags => {
                Value::Object(self.tags.iter().map(|(name, value)| (name.to_string(), text(value))).collect())
            }
            Field::IpAllowlist => list(self.ip_allowlist.entries()),
            Field::Namespace => text(&self.identity.namespace),
            Field::QuotaDailyCalls => number_value(self.counters.daily_calls),
            Field::QuotaMonthlyCalls => number_value(self.counters.monthly_calls),
            Field::QuotaDailyCredits => number_value(self.counters.daily_credits),
            Field::QuotaMonthlyCredits => number_value(self.counters.monthly_credits),
            Field::QuotaLastResetDay => text(self.counters.day.as_str()),
            Field::QuotaLastResetMonth => text(self.counters.month.as_str()),
        })
    }

    /// Writes one field, as an assignment to a live record does; `None` removes it.
    ///
    /// Numbers of credits are floored. A value of another type than the field usually has is kept as it is and
    /// taken for what JavaScript would take it.
    ///
    /// # Errors
    /// A balance, total or counter that is not a number from 0 to 2^53 − 1; the record is unchanged.
    pub fn set(&mut self, name: &str, value: Option<Value>) -> Result<(), CreditsError> {
        let Some(field) = Field::named(name) else {
            match value {
                Some(value) => self.oddities().set(name, value),
                None => self.oddities().remove(name),
            }
            return Ok(());
        };
        let Some(value) = value else {
            self.clear(field);
            self.oddities().remove(name);
            return Ok(());
        };
        self.assign(field, &value)?;
        if let Some(oddities) = &mut self.oddities {
            oddities.show(name);
        }
        if is_money(field) || self.plain_value(field).as_ref() == Some(&value) {
            self.forget_odd(field);
        } else {
            self.oddities().set(name, value);
        }
        Ok(())
    }

    /// Takes a value for what the engine makes of it.
    fn assign(&mut self, field: Field, value: &Value) -> Result<(), CreditsError> {
        let number = || json_to_number(value);
        let text = || json_to_text(value);
        match field {
            Field::Key => {} // the place in the store decides whose record this is
            Field::Name => self.rename(Some(&text()), None),
            Field::Namespace => self.rename(None, Some(&text())),
            Field::Credits => {
                let credits = Credits::floored(number())?;
                self.granted = credits.get() + self.spent.get();
                self.credits = credits;
            }
            Field::TotalSpent => {
                let spent = Credits::floored(number())?;
                self.granted = self.credits.get() + spent.get();
                self.spent = spent;
            }
            Field::TotalCalls => self.calls = Credits::floored(number())?.get(),
            Field::CreatedAt => self.created_at = text().into(),
            Field::LastUsedAt => {
                self.last_used_at =
                    value.as_str().and_then(|text| date::parse_date(text, date::local_zone())).map(Timestamp);
            }
            Field::Active => self.active = truthy(value),
            Field::SpendingLimit => {
                let limit = number();
                if !limit.is_finite() {
                    return Err(CreditsError::OutOfRange);
                }
                self.spending_limit = limit.floor();
            }
            Field::AllowedTools => self.allowed_tools = texts(value).into_iter().collect(),
            Field::DeniedTools => self.denied_tools = texts(value).into_iter().collect(),
            Field::ExpiresAt => self.expiry = expiry_of(value),
            Field::Quota => self.quota = truthy(value).then(|| Box::new(quota_of(value))),
            Field::Tags => self.tags = tags_of(value),
            Field::IpAllowlist => self.ip_allowlist = CompiledAllowlist::new(texts(value)),
            Field::QuotaDailyCalls => self.counters.daily_calls = Credits::floored(number())?.as_f64(),
            Field::QuotaMonthlyCalls => self.counters.monthly_calls = Credits::floored(number())?.as_f64(),
            Field::QuotaDailyCredits => self.counters.daily_credits = Credits::floored(number())?.as_f64(),
            Field::QuotaMonthlyCredits => {
                self.counters.monthly_credits = Credits::floored(number())?.as_f64()
            }
            Field::QuotaLastResetDay => self.counters.day = Day::from_text(&text()),
            Field::QuotaLastResetMonth => self.counters.month = Month::from_text(&text()),
        }
        Ok(())
    }

    /// What a removed field counts as.
    fn clear(&mut self, field: Field) {
        match field {
            Field::Quota => self.quota = None,
            Field::Active => self.active = false,
            Field::ExpiresAt => self.expiry = Expiry::default(),
            Field::SpendingLimit => self.spending_limit = 0.0,
            Field::AllowedTools => self.allowed_tools = ToolList::default(),
            Field::DeniedTools => self.denied_tools = ToolList::default(),
            Field::IpAllowlist => self.ip_allowlist = CompiledAllowlist::default(),
            Field::Tags => self.tags = Tags::default(),
            Field::LastUsedAt => self.last_used_at = None,
            // Labels and sums stay what they were: no field that is taken away may change money.
            Field::Key
            | Field::Name
            | Field::Namespace
            | Field::CreatedAt
            | Field::Credits
            | Field::TotalSpent
            | Field::TotalCalls
            | Field::QuotaDailyCalls
            | Field::QuotaMonthlyCalls
            | Field::QuotaDailyCredits
            | Field::QuotaMonthlyCredits
            | Field::QuotaLastResetDay
            | Field::QuotaLastResetMonth => {}
        }
    }

    /// Forgets that a field had an odd value, after the engine has written it.
    pub fn forget_odd(&mut self, field: Field) {
        if let Some(oddities) = &mut self.oddities {
            oddities.forget(field.name());
        }
    }

    /// Forgets odd values of all numbers and of the last use, after they were read from the books.
    pub(crate) fn forget_odd_numbers(&mut self) {
        for (field, _) in
            Field::ALL.iter().filter(|(field, _)| is_money(*field) && *field != Field::SpendingLimit)
        {
            self.forget_odd(*field);
        }
        for field in [Field::LastUsedAt, Field::QuotaLastResetDay, Field::QuotaLastResetMonth] {
            self.forget_odd(field);
        }
    }

    fn oddities(&mut self) -> &mut Oddities {
        self.oddities
            .get_or_insert_with(|| Box::new(Oddities::of_fields(Field::ALL.iter().map(|(_, name)| *name))))
    }

    /// The record as an object, as the state file has it.
    pub fn to_object(&self) -> Map<String, Value> {
        let mut object = Map::new();
        for name in self.field_names() {
            if let Some(value) = self.value(name) {
                object.insert(name.to_owned(), value);
            }
        }
        object
    }

    /// Reads a record as a state file has it, completing what older files lack.
    ///
    /// Bad numbers count as 0. Fields the engine does not know are kept. `None` when the object has no text `key`.
    pub fn from_object(key: Arc<str>, object: &Map<String, Value>, now: Timestamp) -> Option<Self> {
        object.get("key").filter(|value| value.is_string())?;
        let mut record = Self::new(key.clone(), Identity::new(&key, "", "default"), Credits::ZERO, now);
        record.active = false;
        record.created_at = "".into();
        record.oddities = Some(Box::default());
        for (name, value) in property_order(object) {
            let repaired = repaired(name, value, now);
            if record.set(name, Some(repaired.clone())).is_err() {
                record.set(name, Some(0.into())).expect("0 is within every bound");
            }
        }
        for (name, value) in completions(now) {
            if !record.oddities().shows(name) {
                record.set(name, Some(value)).expect("the values of a new record are within every bound");
            }
        }
        record.forget_plain_order();
        Some(record)
    }

    /// Drops the oddities of a record that turned out to be an ordinary one.
    fn forget_plain_order(&mut self) {
        let plain = self.oddities.as_ref().is_some_and(|oddities| {
            let known = Field::ALL.iter().map(|(_, name)| *name);
            // A quota that is not set does not show in the file; its place is that of a new record.
            let but_quota = known.clone().filter(|name| *name != Field::Quota.name());
            oddities.only_order()
                && (oddities.names().eq(known) || (self.quota.is_none() && oddities.names().eq(but_quota)))
        });
        if plain {
            self.oddities = None;
        }
    }
}

const fn is_money(field: Field) -> bool {
    matches!(
        field,
        Field::Credits
            | Field::TotalSpent
            | Field::TotalCalls
            | Field::SpendingLimit
            | Field::QuotaDailyCalls
            | Field::QuotaMonthlyCalls
            | Field::QuotaDailyCredits
            | Field::QuotaMonthlyCredits
    )
}

/// A value of a file as it counts: lists and maps that are none become empty, an empty tenant the default one.
fn repaired(name: &str, value: &Value, now: Timestamp) -> Value {
    match Field::named(name) {
        Some(Field::AllowedTools | Field::DeniedTools | Field::IpAllowlist) if !value.is_array() => {
            Value::Array(Vec::new())
        }
        Some(Field::Tags) if !value.is_object() && !value.is_array() => Value::Object(Map::new()),
        Some(Field::Namespace) if !truthy(value) => "default".into(),
        Some(Field::QuotaLastResetDay) if !truthy(value) => Day::of(now.0).as_str().into(),
        Some(Field::QuotaLastResetMonth) if !truthy(value) => Month::of(now.0).as_str().into(),
        _ => value.clone(),
    }
}

/// What is added to a record of an older file, in this order.
fn completions(now: Timestamp) -> [(&'static str, Value); 13] {
    let none = || Value::Array(Vec::new());
    [
        ("spendingLimit", 0.into()),
        ("allowedTools", none()),
        ("deniedTools", none()),
        ("expiresAt", Value::Null),
        ("quotaDailyCalls", 0.into()),
        ("quotaMonthlyCalls", 0.into()),
        ("quotaDailyCredits", 0.into()),
        ("quotaMonthlyCredits", 0.into()),
        ("quotaLastResetDay", Day::of(now.0).as_str().into()),
        ("quotaLastResetMonth", Month::of(now.0).as_str().into()),
        ("tags", Value::Object(Map::new())),
        ("ipAllowlist", none()),
        ("namespace", "default".into()),
    ]
}

/// The texts of a list; what is no text, or no list, has none.
pub(crate) fn texts(value: &Value) -> Vec<Box<str>> {
    let entries = value.as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().filter_map(Value::as_str).map(Into::into).collect()
}

fn tags_of(value: &Value) -> Tags {
    match value {
        Value::Object(object) => {
            property_order(object).map(|(name, value)| (name.into(), json_to_text(value).into())).collect()
        }
        Value::Array(entries) => entries
            .iter()
            .enumerate()
            .map(|(at, value)| (at.to_string().into(), json_to_text(value).into()))
            .collect(),
        _ => Tags::default(),
    }
}

fn expiry_of(value: &Value) -> Expiry {
    let text = value.as_str().filter(|text| !text.is_empty()).map(Into::into);
    let at = if truthy(value) { date::json_to_date(value, date::local_zone()) } else { None };
    Expiry { text, at: at.map(Timestamp) }
}
