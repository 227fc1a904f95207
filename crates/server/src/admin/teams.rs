//! `/teams`: budgets and quotas that keys share, and who is in them.

use std::sync::Arc;

use http::StatusCode;
use paygate_core::journal::Ticket;
use paygate_core::key::record::{Field, Record, number_value, truthy};
use paygate_core::key::team::{SharedTeam, Team, TeamDraft, TeamUpdate};
use paygate_core::text::clean::property_order;
use paygate_core::text::number::json_to_text;
use paygate_core::usage::audit::mask_key;
use serde::Serialize;
use serde_json::{Map, Value};

use super::error::AdminError;
use super::fields;
use crate::app::App;
use crate::http::request::Request;
use crate::http::respond::{self, Response};
use crate::http::route::{Access, Routes};

const USE_POST: &str = "Method not allowed. Use POST.";
const USE_GET: &str = "Method not allowed. Use GET.";

pub(crate) fn routes(routes: &mut Routes) {
    let access = Access::AdminBeforeMethod;
    routes.at("/teams", access).get(list).post(create);
    routes.at("/teams/update", access).wrong_method(USE_POST).post(update);
    routes.at("/teams/delete", access).wrong_method(USE_POST).post(delete);
    routes.at("/teams/assign", access).wrong_method(USE_POST).post(assign);
    routes.at("/teams/remove", access).wrong_method(USE_POST).post(remove);
    routes.at("/teams/usage", access).wrong_method(USE_GET).get(usage);
}

#[derive(Serialize)]
struct Listed {
    teams: Vec<Map<String, Value>>,
    count: usize,
}

#[derive(Serialize)]
struct Told {
    message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<Map<String, Value>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    team_id: Box<str>,
    team_name: Box<str>,
    member_count: usize,
    total_budget: Value,
    total_spent: Value,
    remaining_budget: Value,
    members: Vec<Map<String, Value>>,
}

/// `GET /teams`: lists the teams that there are.
async fn list(app: Arc<App>, _request: Request) -> Response {
    let all = app.ledger().teams.all();
    let teams: Vec<_> =
        all.iter().map(|team| team.lock()).filter(|team| team.active).map(|t| view(&t)).collect();
    respond::json(StatusCode::OK, &Listed { count: teams.len(), teams })
}

/// `POST /teams`: makes a team.
async fn create(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let body = request.into_object(&app).await?;
    let name = required(&body, "name", "Missing required field: name")?;
    let text =
        |field: &str| body.get(field).filter(|text| truthy(text)).map(json_to_text).unwrap_or_default();
    let draft = TeamDraft {
        name: name.to_owned(),
        description: text("description"),
        budget: fields::limit("budget", body.get("budget"))?,
        quota: body.get("quota").map(quota).transpose()?,
        tags: tags(&body).map(|(name, value)| (name, json_to_text(value))).collect(),
    };
    let ledger = app.ledger();
    let team = ledger.teams.create(draft, &**ledger.entropy(), ledger.now());
    let (ticket, made) = saved(&app, &team);
    app.news.team_created(&made);
    app.durable(ticket).await?;
    let told = Told { message: "Team created", team: Some(view(&made)) };
    Ok(respond::json(StatusCode::CREATED, &told))
}

/// `POST /teams/update`: changes what is given of a team.
async fn update(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let body = request.into_object(&app).await?;
    let id = team_id(&body)?;
    let text = |field: &str| body.get(field).map(json_to_text);
    let remove_or = |value: &Value| if value.is_null() { Ok(None) } else { quota(value).map(Some) };
    let tag = |(name, value): (String, &Value)| (name, (!value.is_null()).then(|| json_to_text(value)));
    let update = TeamUpdate {
        name: text("name"),
        description: text("description"),
        budget: body.get("budget").map(|budget| fields::limit("budget", Some(budget))).transpose()?,
        quota: body.get("quota").map(remove_or).transpose()?,
        tags: tags(&body).map(tag).collect(),
    };
    let teams = &app.ledger().teams;
    let changed = teams.update(id, update).then(|| teams.get(id)).flatten();
    let (ticket, team) = saved(&app, &changed.ok_or(AdminError::TeamNotActive)?);
    app.news.team_updated(id);
    app.durable(ticket).await?;
    let told = Told { message: "Team updated", team: Some(view(&team)) };
    Ok(respond::json(StatusCode::OK, &told))
}

/// `POST /teams/delete`: releases a team's keys; what it was stays on record.
async fn delete(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let body = request.into_object(&app).await?;
    let id = team_id(&body)?;
    let teams = &app.ledger().teams;
    let deleted = teams.delete(id).then(|| teams.get(id)).flatten();
    let (ticket, _) = saved(&app, &deleted.ok_or(AdminError::TeamNotThere)?);
    app.news.team_deleted(id);
    app.durable(ticket).await?;
    Ok(done("Team deleted"))
}

/// `POST /teams/assign`: puts a key into a team.
async fn assign(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let body = request.into_object(&app).await?;
    let (id, key) = (team_id(&body)?, member(&body)?);
    join(&app, id, key)?;
    let ticket = app.ledger().teams.get(id).map(|team| saved(&app, &team).0);
    app.news.team_key_assigned(id, key);
    if let Some(ticket) = ticket {
        app.durable(ticket).await?;
    }
    Ok(done("Key assigned to team"))
}

/// Puts a key into a team. It stays locked meanwhile, so that it is not replaced by another in between.
fn join(app: &App, id: &str, key: &str) -> Result<(), AdminError> {
    let account = app.ledger().accounts.find(key).ok_or(AdminError::KeyUnknown)?;
    let record = account.lock();
    if !record.usable(app.ledger().now()) {
        return Err(AdminError::KeyUnknown);
    }
    app.ledger().teams.assign(id, key).map_err(AdminError::NotAssigned)
}

/// `POST /teams/remove`: takes a key out of its team.
async fn remove(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let body = request.into_object(&app).await?;
    let (id, key) = (team_id(&body)?, member(&body)?);
    let teams = &app.ledger().teams;
    let left = teams.remove(id, key).then(|| teams.get(id)).flatten();
    let (ticket, _) = saved(&app, &left.ok_or(AdminError::NotAMember)?);
    app.news.team_key_removed(id, key);
    app.durable(ticket).await?;
    Ok(done("Key removed from team"))
}

/// `GET /teams/usage`: what a team has spent, and each of its keys that may be used.
async fn usage(app: Arc<App>, request: Request) -> Result<Response, AdminError> {
    let missing = AdminError::Missing("Missing required query param: teamId");
    let id = request.parameter("teamId").ok_or(missing)?;
    let team = app.ledger().teams.get(&id).ok_or(AdminError::TeamUnknown)?;
    // Keys are looked at with no team locked: a decision locks them the other way round.
    let team = team.lock().clone();
    let now = app.ledger().now();
    let of_member = |key: &str| {
        let account = app.ledger().accounts.find(key)?;
        let record = account.lock();
        record.usable(now).then(|| spent_by(&record))
    };
    let left = if team.budget > 0.0 { (team.budget - team.total_spent).max(0.0) } else { 0.0 };
    let usage = Usage {
        member_count: team.member_keys.len(),
        total_budget: number_value(team.budget),
        total_spent: number_value(team.total_spent),
        remaining_budget: number_value(left),
        members: team.member_keys.iter().filter_map(|key| of_member(key)).collect(),
        team_id: team.id,
        team_name: team.name,
    };
    Ok(respond::json(StatusCode::OK, &usage))
}

fn spent_by(record: &Record) -> Map<String, Value> {
    let fields = [Field::Name, Field::Credits, Field::TotalSpent, Field::TotalCalls].map(Field::name);
    let masked = ("keyMasked".to_owned(), mask_key(&record.key).into());
    let values = fields.map(|name| (name.to_owned(), record.value(name).unwrap_or(Value::Null)));
    std::iter::once(masked).chain(values).collect()
}

/// A team as it is told, with so much of its keys as does not give them away.
fn view(team: &Team) -> Map<String, Value> {
    let mut view = team.to_object();
    if let Some(keys) = view.get_mut("memberKeys") {
        *keys = team.member_keys.iter().map(|key| mask_key(key)).collect();
    }
    view
}

/// Hands a team to the journal as it stands. Under its lock, so that of two changes the last is written last.
fn saved(app: &App, team: &SharedTeam) -> (Ticket, Team) {
    let team = team.lock();
    (app.ledger().save_team(team.change()), team.clone())
}

fn done(message: &'static str) -> Response {
    respond::json(StatusCode::OK, &Told { message, team: None })
}

fn team_id(body: &Map<String, Value>) -> Result<&str, AdminError> {
    required(body, "teamId", "Missing required field: teamId")
}

fn member(body: &Map<String, Value>) -> Result<&str, AdminError> {
    required(body, "key", "Missing required field: key")
}

/// A field that is text and not empty.
fn required<'a>(
    body: &'a Map<String, Value>,
    name: &str,
    missing: &'static str,
) -> Result<&'a str, AdminError> {
    let text = body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    text.ok_or(AdminError::Missing(missing))
}

/// A quota is kept as it was sent, once its numbers are numbers.
fn quota(value: &Value) -> Result<Value, AdminError> {
    fields::limit("quota.dailyCallLimit", value.get("dailyCallLimit"))?;
    fields::limit("quota.monthlyCallLimit", value.get("monthlyCallLimit"))?;
    fields::limit("quota.dailyCreditLimit", value.get("dailyCreditLimit"))?;
    fields::limit("quota.monthlyCreditLimit", value.get("monthlyCreditLimit"))?;
    Ok(value.clone())
}

/// Labels in JavaScript's order; a list has its indexes as names.
fn tags(body: &Map<String, Value>) -> impl Iterator<Item = (String, &Value)> {
    let tags = body.get("tags");
    let object = tags.and_then(Value::as_object).into_iter().flat_map(property_order);
    let list = tags.and_then(Value::as_array).into_iter().flatten().enumerate();
    let named = object.map(|(name, value)| (name.to_owned(), value));
    named.chain(list.map(|(index, value)| (index.to_string(), value)))
}
