//! Keys that share a budget and a quota.
//!
//! A team's numbers are those of JavaScript: its budget and totals are written and read by scripts as they like, and
//! 0 or what is not a number means "no limit", by the ordinary comparison rules. Whole credits stay exact.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use parking_lot::{Mutex, RwLock};
use serde_json::{Map, Value};

use super::oddities::Oddities;
use super::record::{number_value, quota_of, quota_value, texts, truthy};
use crate::clock::Timestamp;
use crate::entropy::{Entropy, random_name};
use crate::journal::TeamChange;
use crate::limit::quota::{Quota, QuotaCounters, QuotaDemand, QuotaLimit};
use crate::text::clean::property_order;
use crate::text::date::{Day, Month};
use crate::text::number::{json_to_number, json_to_text};
use crate::text::trim::{cut, trim};

/// Most members a team may have.
pub const MEMBERS_MAX: usize = 100;
/// Most labels a team may have.
const TAGS_MAX: usize = 50;

/// A team under a lock of its own.
pub type SharedTeam = Arc<Mutex<Team>>;

/// A budget and a quota that several keys share.
#[derive(Debug, Clone)]
pub struct Team {
    /// `team_` and sixteen digits.
    pub id: Box<str>,
    /// Its label.
    pub name: Box<str>,
    /// What it is for.
    pub description: Box<str>,
    /// Its keys, in the order in which they came.
    pub member_keys: Vec<Box<str>>,
    /// Credits it may spend in all; 0 is no limit.
    pub budget: f64,
    /// Credits its members spent.
    pub total_spent: f64,
    /// Its quota.
    pub quota: Option<Quota>,
    /// Use in the day and month; a batch counts as one call.
    pub counters: QuotaCounters,
    /// Labels.
    pub tags: IndexMap<Box<str>, Box<str>>,
    /// When it was made, as text.
    pub created_at: Box<str>,
    /// False once deleted.
    pub active: bool,
    oddities: Option<Box<Oddities>>,
}

/// The fields of a team, in the order in which a new one shows them.
pub const TEAM_FIELDS: [&str; 16] = [
    "id",
    "name",
    "description",
    "memberKeys",
    "budget",
    "totalSpent",
    "quota",
    "quotaDailyCalls",
    "quotaMonthlyCalls",
    "quotaDailyCredits",
    "quotaMonthlyCredits",
    "quotaLastResetDay",
    "quotaLastResetMonth",
    "tags",
    "createdAt",
    "active",
];

/// Why a team refuses a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TeamRefusal {
    /// The budget would be passed.
    Budget,
    /// One of the four limits of the quota.
    Quota(QuotaLimit),
}

impl TeamRefusal {
    /// The reason as it is told.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Budget => "team_budget_exceeded",
            Self::Quota(QuotaLimit::DailyCalls) => "team_daily_call_limit",
            Self::Quota(QuotaLimit::MonthlyCalls) => "team_monthly_call_limit",
            Self::Quota(QuotaLimit::DailyCredits) => "team_daily_credit_limit",
            Self::Quota(QuotaLimit::MonthlyCredits) => "team_monthly_credit_limit",
        }
    }
}

/// Why a key could not join a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssignError {
    /// There is no such team, or it was deleted.
    TeamNotFound,
    /// The key is in another team.
    KeyAlreadyInTeam,
    /// The team has 100 members.
    TeamFull,
}

impl AssignError {
    /// The error as it is told.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TeamNotFound => "team_not_found",
            Self::KeyAlreadyInTeam => "key_already_in_team",
            Self::TeamFull => "team_full",
        }
    }
}

impl Team {
    fn new(id: &str, now: Timestamp) -> Self {
        Self {
            id: id.into(),
            name: "".into(),
            description: "".into(),
            member_keys: Vec::new(),
            budget: 0.0,
            total_spent: 0.0,
            quota: None,
            counters: QuotaCounters::new(now),
            tags: IndexMap::new(),
            created_at: now.to_string().into(),
            active: true,
            oddities: None,
        }
    }

    /// Whether so many more credits are within the budget.
    ///
    /// # Errors
    /// [`TeamRefusal::Budget`].
    pub fn check_budget(&self, credits: f64) -> Result<(), TeamRefusal> {
        if self.active && self.budget != 0.0 && self.total_spent + credits > self.budget {
            return Err(TeamRefusal::Budget);
        }
        Ok(())
    }

    /// Whether one more call of so many credits is within the quota.
    ///
    /// # Errors
    /// [`TeamRefusal::Quota`].
    pub fn check_quota(&mut self, now: Timestamp, credits: f64) -> Result<(), TeamRefusal> {
        let Some(quota) = self.quota.filter(|_| self.active) else { return Ok(()) };
        self.roll_counters(now);
        let checked = self.counters.check(&quota, QuotaDemand::Call, credits);
        checked.map_err(|exceeded| TeamRefusal::Quota(exceeded.limit))
    }

    /// Counts one call, or one batch, and its credits.
    pub fn record(&mut self, now: Timestamp, credits: f64) {
        if self.active {
            self.roll_counters(now);
            self.counters.record(now, 1.0, credits);
            self.total_spent += credits;
        }
    }

    /// Takes back credits that were counted in the day and month given.
    pub(crate) fn unrecord(&mut self, day: Day, month: Month, credits: f64) {
        self.total_spent = (self.total_spent - credits).max(0.0);
        self.counters.unrecord_of(day, month, credits);
    }

    fn roll_counters(&mut self, now: Timestamp) {
        if self.counters.roll(now)
            && let Some(oddities) = &mut self.oddities
        {
            oddities.forget("quotaLastResetDay");
            oddities.forget("quotaLastResetMonth");
        }
    }

    /// The names of all fields, in the order in which they are shown.
    pub fn field_names(&self) -> Vec<&str> {
        match &self.oddities {
            Some(oddities) => oddities.names().collect(),
            None => TEAM_FIELDS.to_vec(),
        }
    }

    /// The value of a field; `None` when there is none.
    pub fn value(&self, name: &str) -> Option<Value> {
        Oddities::value_or(self.oddities.as_deref(), name, || self.plain_value(name))
    }

    /// The value of a known field as the engine holds it.
    fn plain_value(&self, name: &str) -> Option<Value> {
        let text = |text: &str| Value::String(text.to_owned());
        Some(match name {
            "id" => text(&self.id),
            "name" => text(&self.name),
            "description" => text(&self.description),
            "memberKeys" => Value::Array(self.member_keys.iter().map(|key| text(key)).collect()),
            "budget" => number_value(self.budget),
            "totalSpent" => number_value(self.total_spent),
            "quota" => return self.quota.as_ref().map(quota_value),
            "quotaDailyCalls" => number_value(self.counters.daily_calls),
            "quotaMonthlyCalls" => number_value(self.counters.monthly_calls),
            "quotaDailyCredits" => number_value(self.counters.daily_credits),
            "quotaMonthlyCredits" => number_value(self.counters.monthly_credits),
            "quotaLastResetDay" => text(self.counters.day.as_str()),
            "quotaLastResetMonth" => text(self.counters.month.as_str()),
            "tags" => {
                Value::Object(self.tags.iter().map(|(name, value)| (name.to_string(), text(value))).collect())
            }
            "createdAt" => text(&self.created_at),
            "active" => self.active.into(),
            _ => return None,
        })
    }

    /// A number of the team, which JSON could not hold when it is not finite.
    pub fn number(&self, name: &str) -> Option<f64> {
        Some(match name {
            "budget" => self.budget,
            "totalSpent" => self.total_spent,
            "quotaDailyCalls" => self.counters.daily_calls,
            "quotaMonthlyCalls" => self.counters.monthly_calls,
            "quotaDailyCredits" => self.counters.daily_credits,
            "quotaMonthlyCredits" => self.counters.monthly_credits,
            _ => return None,
        })
    }

    /// Writes a number of the team as it is.
    pub fn set_number(&mut self, name: &str, number: f64) {
        match name {
            "budget" => self.budget = number,
            "totalSpent" => self.total_spent = number,
            "quotaDailyCalls" => self.counters.daily_calls = number,
            "quotaMonthlyCalls" => self.counters.monthly_calls = number,
            "quotaDailyCredits" => self.counters.daily_credits = number,
            "quotaMonthlyCredits" => self.counters.monthly_credits = number,
            _ => return,
        }
        if let Some(oddities) = &mut self.oddities {
            oddities.show(name);
            oddities.forget(name);
        }
    }

    /// Writes one field, as an assignment to a live team does; `None` removes it.
    pub fn set(&mut self, name: &str, value: Option<Value>) {
        let Some(value) = value else {
            if name == "quota" {
                self.quota = None;
            }
            self.oddities().remove(name);
            return;
        };
        match name {
            "id" => {} // the team keeps the id it is found by
            "name" => self.name = json_to_text(&value).into(),
            "description" => self.description = json_to_text(&value).into(),
            "memberKeys" => self.member_keys = texts(&value),
            "quota" => self.quota = truthy(&value).then(|| quota_of(&value)),
            "quotaLastResetDay" => self.counters.day = Day::from_text(&json_to_text(&value)),
            "quotaLastResetMonth" => self.counters.month = Month::from_text(&json_to_text(&value)),
            "tags" => {
                let tags = value.as_object().into_iter().flat_map(property_order);
                self.tags = tags.map(|(name, value)| (name.into(), json_to_text(value).into())).collect();
            }
            "createdAt" => self.created_at = json_to_text(&value).into(),
            "active" => self.active = truthy(&value),
            _ if self.number(name).is_some() => return self.set_number(name, json_to_number(&value)),
            _ => return self.oddities().set(name, value),
        }
        if let Some(oddities) = &mut self.oddities {
            oddities.show(name);
            oddities.forget(name);
        }
        if self.value(name).as_ref() != Some(&value) {
            self.oddities().set(name, value);
        }
    }

    fn clear_quota(&mut self) {
        self.quota = None;
        if let Some(oddities) = &mut self.oddities {
            oddities.forget("quota");
        }
    }

    fn oddities(&mut self) -> &mut Oddities {
        self.oddities.get_or_insert_with(|| Box::new(Oddities::of_fields(TEAM_FIELDS.into_iter())))
    }

    /// The team as an object, as it is written to JSON.
    pub fn to_object(&self) -> Map<String, Value> {
        let names = self.field_names();
        names.into_iter().filter_map(|name| Some((name.to_owned(), self.value(name)?))).collect()
    }

    /// The team as it is written to the journal.
    pub fn change(&self) -> TeamChange {
        let json = serde_json::to_string(&self.to_object()).expect("a team is plain JSON");
        TeamChange { id: self.id.clone(), json: json.into() }
    }

    /// Reads a team as it is written to JSON, completing what is missing. `None` without a text `id`.
    fn from_object(id: &str, object: &Map<String, Value>, now: Timestamp) -> Option<Self> {
        object.get("id").filter(|id| id.is_string())?;
        let mut team = Self::new(id, now);
        team.oddities = Some(Box::default());
        for (name, value) in property_order(object) {
            team.set(name, Some(value.clone()));
        }
        let missing = |team: &mut Self, name: &str, usable: bool, value: Value| {
            let shown = team.oddities().shows(name);
            if !shown || !usable {
                team.set(name, Some(value));
            }
        };
        let given = |name: &str| object.get(name).unwrap_or(&Value::Null);
        missing(&mut team, "tags", given("tags").is_object(), Value::Object(Map::new()));
        for name in ["quotaDailyCalls", "quotaMonthlyCalls", "quotaDailyCredits", "quotaMonthlyCredits"] {
            missing(&mut team, name, true, 0.into());
        }
        missing(
            &mut team,
            "quotaLastResetDay",
            truthy(given("quotaLastResetDay")),
            Day::of(now.0).as_str().into(),
        );
        let month = Month::of(now.0);
        missing(
            &mut team,
            "quotaLastResetMonth",
            truthy(given("quotaLastResetMonth")),
            month.as_str().into(),
        );
        missing(&mut team, "active", true, true.into());
        Some(team)
    }
}

/// What a team is made of, as a caller gave it.
#[derive(Debug, Clone, Default)]
pub struct TeamDraft {
    /// The label, uncleaned.
    pub name: String,
    /// What it is for, uncleaned.
    pub description: String,
    /// The budget, as a number.
    pub budget: f64,
    /// The quota, as given.
    pub quota: Option<Value>,
    /// Labels in property order, uncleaned.
    pub tags: Vec<(String, String)>,
}

/// What is to change of a team; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct TeamUpdate {
    /// The label, uncleaned.
    pub name: Option<String>,
    /// What it is for, uncleaned.
    pub description: Option<String>,
    /// The budget, as a number.
    pub budget: Option<f64>,
    /// `Some(None)` removes the quota.
    pub quota: Option<Option<Value>>,
    /// Labels to set, or to remove with `None`, in property order.
    pub tags: Vec<(String, Option<String>)>,
}

/// All teams, and which key is in which. Callable from any thread; each team has a lock of its own.
#[derive(Debug, Default)]
pub struct Teams {
    teams: RwLock<IndexMap<Box<str>, SharedTeam>>,
    by_member: RwLock<HashMap<Box<str>, SharedTeam>>,
}

impl Teams {
    /// Makes a team.
    pub fn create(&self, draft: TeamDraft, entropy: &dyn Entropy, now: Timestamp) -> SharedTeam {
        let mut team = Team::new(&random_name(entropy, "team_", 8), now);
        team.name = clean(&draft.name, 200);
        team.description = clean(&draft.description, 1000);
        team.budget = if draft.budget.is_nan() { draft.budget } else { draft.budget.floor().max(0.0) };
        if let Some(quota) = draft.quota {
            team.set("quota", Some(quota));
        }
        let tags = draft.tags.iter().take(TAGS_MAX);
        team.tags = tags.map(|(name, value)| (cut(name, 100).into(), cut(value, 100).into())).collect();
        let id = team.id.clone();
        let team = Arc::new(Mutex::new(team));
        self.teams.write().insert(id, team.clone());
        team
    }

    /// The team of that id, deleted ones included.
    pub fn get(&self, id: &str) -> Option<SharedTeam> {
        self.teams.read().get(id).cloned()
    }

    /// All teams in the order in which they were made, deleted ones included.
    pub fn all(&self) -> Vec<SharedTeam> {
        self.teams.read().values().cloned().collect()
    }

    /// The team that a key is in.
    pub fn of_member(&self, key: &str) -> Option<SharedTeam> {
        let members = self.by_member.read();
        if members.is_empty() { None } else { members.get(key).cloned() }
    }

    /// Changes a team. `false` when it is unknown or deleted.
    pub fn update(&self, id: &str, update: TeamUpdate) -> bool {
        let Some(team) = self.get(id) else { return false };
        let mut team = team.lock();
        if !team.active {
            return false;
        }
        if let Some(name) = update.name {
            team.name = clean(&name, 200);
        }
        if let Some(description) = update.description {
            team.description = clean(&description, 1000);
        }
        if let Some(budget) = update.budget {
            team.budget = if budget.is_nan() { budget } else { budget.floor().max(0.0) };
        }
        match update.quota {
            Some(Some(quota)) => team.set("quota", Some(quota)),
            Some(None) => team.clear_quota(),
            None => {}
        }
        for (name, value) in update.tags {
            match value {
                Some(value) => drop(team.tags.insert(cut(&name, 100).into(), cut(&value, 100).into())),
                None => drop(team.tags.shift_remove(&*name)),
            }
        }
        let ordered: Vec<_> = property_order(&team.tags).map(|(n, v)| (n.into(), v.clone())).collect();
        team.tags = ordered.into_iter().take(TAGS_MAX).collect();
        true
    }

    /// Deletes a team and releases its members. `false` when it is unknown or deleted already.
    pub fn delete(&self, id: &str) -> bool {
        let Some(shared) = self.get(id) else { return false };
        let mut team = shared.lock();
        if !team.active {
            return false;
        }
        team.active = false;
        let members = std::mem::take(&mut team.member_keys);
        drop(team);
        let mut by_member = self.by_member.write();
        for key in members {
            by_member.remove(&key);
        }
        true
    }

    /// Puts a key into a team; into its own team again is no change.
    ///
    /// # Errors
    /// See [`AssignError`].
    pub fn assign(&self, id: &str, key: &str) -> Result<(), AssignError> {
        let mut by_member = self.by_member.write();
        let shared = self.get(id).filter(|team| team.lock().active).ok_or(AssignError::TeamNotFound)?;
        if let Some(present) = by_member.get(key) {
            return if Arc::ptr_eq(present, &shared) { Ok(()) } else { Err(AssignError::KeyAlreadyInTeam) };
        }
        let mut team = shared.lock();
        if team.member_keys.len() >= MEMBERS_MAX {
            return Err(AssignError::TeamFull);
        }
        team.member_keys.push(key.into());
        drop(team);
        by_member.insert(key.into(), shared);
        Ok(())
    }

    /// Takes a key out of a team. `false` when it was not in that team.
    pub fn remove(&self, id: &str, key: &str) -> bool {
        let mut by_member = self.by_member.write();
        let Some(shared) = by_member.get(key).filter(|team| *team.lock().id == *id).cloned() else {
            return false;
        };
        by_member.remove(key);
        shared.lock().member_keys.retain(|member| **member != *key);
        true
    }

    /// Gives one key's place in its team to another. Gives the team's change, if the key was in one.
    pub fn rename_member(&self, from: &str, to: &str) -> Option<TeamChange> {
        let mut by_member = self.by_member.write();
        let shared = by_member.remove(from)?;
        by_member.insert(to.into(), shared.clone());
        let mut team = shared.lock();
        for member in &mut team.member_keys {
            if **member == *from {
                *member = to.into();
            }
        }
        Some(team.change())
    }

    /// Adds a team as it was written to JSON. `false` when it cannot be read.
    pub fn restore(&self, id: &str, object: &Map<String, Value>, now: Timestamp) -> bool {
        let Some(team) = Team::from_object(id, object, now) else { return false };
        let members = team.member_keys.clone();
        let shared = Arc::new(Mutex::new(team));
        self.teams.write().insert(id.into(), shared.clone());
        let mut by_member = self.by_member.write();
        for key in members {
            by_member.insert(key, shared.clone());
        }
        true
    }
}

fn clean(text: &str, units_max: usize) -> Box<str> {
    cut(trim(text), units_max).into()
}
