//! `TeamManager`: teams in memory. The shell names a team by its slot, which stays the same as long as the team's
//! object does.

use std::sync::Arc;

use parking_lot::Mutex;
use paygate_core::clock::Clock;
use paygate_core::entropy::SystemEntropy;
use paygate_core::key::record::number_value;
use paygate_core::key::team::{SharedTeam, TEAM_FIELDS, TeamDraft, TeamRefusal, TeamUpdate, Teams};
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::call::{Call, Held, UNDEFINED, Value};
use crate::host::HostClock;
use crate::key_store::{StoreHandle, present};
use crate::live_record;

/// Teams as JavaScript holds them.
pub(crate) struct TeamsHandle {
    kept: Kept,
    slots: Mutex<Vec<SharedTeam>>,
}

/// Where teams are kept.
enum Kept {
    /// By themselves.
    Alone(Teams),
    /// In the books of a store, where they take part in decisions.
    InBooks(Arc<StoreHandle>),
}

impl TeamsHandle {
    fn new(kept: Kept) -> Self {
        Self { kept, slots: Mutex::default() }
    }

    fn teams(&self) -> &Teams {
        match &self.kept {
            Kept::Alone(teams) => teams,
            Kept::InBooks(store) => &store.books.ledger.teams,
        }
    }

    /// Writes a team down after it was changed. A failure is told by the journal, which keeps it and tries again.
    fn changed(&self, team: &SharedTeam) {
        if let Kept::InBooks(store) = &self.kept {
            let change = team.lock().change();
            store.books.ledger.save_team(change);
        }
    }

    fn changed_by_id(&self, id: &str) {
        if let Some(team) = self.teams().get(id) {
            self.changed(&team);
        }
    }

    fn slot_of(&self, team: SharedTeam) -> usize {
        let mut slots = self.slots.lock();
        slots.iter().position(|known| Arc::ptr_eq(known, &team)).unwrap_or_else(|| {
            slots.push(team);
            slots.len() - 1
        })
    }

    fn at(&self, slot: usize) -> Option<SharedTeam> {
        self.slots.lock().get(slot).cloned()
    }
}

/// A new team, as the shell passes it: texts uncut, tags as pairs.
#[derive(Deserialize)]
struct GivenTeam {
    name: String,
    description: String,
    #[serde(default, deserialize_with = "present")]
    quota: Option<Json>,
    tags: Vec<(String, String)>,
}

/// What is to change of a team, but for its quota, which is written as a field; what is absent stays.
#[derive(Deserialize)]
struct GivenUpdate {
    name: Option<String>,
    description: Option<String>,
    tags: Vec<(String, Option<String>)>,
}

/// `teamsNew()`.
pub(crate) fn new(call: &Call<'_>) -> Value {
    call.hold(Held::Teams(TeamsHandle::new(Kept::Alone(Teams::default()))))
}

/// `teamsOfStore(store)`: the teams whose members' keys are in a store.
pub(crate) fn of_store(call: &Call<'_>) -> Value {
    call.hold(Held::Teams(TeamsHandle::new(Kept::InBooks(call.store().clone()))))
}

/// `teamsCreate(teams, team, budget)`: the slot of a new team.
pub(crate) fn create(call: &Call<'_>) -> Value {
    let GivenTeam { name, description, quota, tags } = call.json(1).expect("always given");
    let draft = TeamDraft { name, description, budget: call.number(2), quota, tags };
    let teams = call.teams();
    let team = teams.teams().create(draft, &SystemEntropy, HostClock.wall());
    teams.changed(&team);
    call.place(Some(teams.slot_of(team)))
}

/// `teamsFind(teams, id)`: the slot of a team, deleted ones included, or −1.
pub(crate) fn find(call: &Call<'_>) -> Value {
    let teams = call.teams();
    let found = call.text(1).and_then(|id| teams.teams().get(&id));
    call.place(found.map(|team| teams.slot_of(team)))
}

/// `teamsList(teams)`: triples of slot, id and whether the team is active, in the order in which they were made.
pub(crate) fn list(call: &Call<'_>) -> Value {
    let teams = call.teams();
    let rows = teams.teams().all().into_iter().map(|team| {
        let (id, active) = {
            let team = team.lock();
            (team.id.clone(), team.active)
        };
        (teams.slot_of(team), id, active)
    });
    call.json_text(&rows.collect::<Vec<_>>())
}

/// `teamsUpdate(teams, id, update, budget?)`.
pub(crate) fn update(call: &Call<'_>) -> Value {
    let GivenUpdate { name, description, tags } = call.json(2).expect("always given");
    let budget = (call.count() > 3).then(|| call.number(3));
    let update = TeamUpdate { name, description, budget, quota: None, tags };
    let (teams, id) = (call.teams(), call.given(1));
    let updated = teams.teams().update(&id, update);
    teams.changed_by_id(&id);
    call.boolean(updated)
}

/// `teamsDelete(teams, id)`.
pub(crate) fn delete(call: &Call<'_>) -> Value {
    let (teams, id) = (call.teams(), call.given(1));
    let deleted = teams.teams().delete(&id);
    teams.changed_by_id(&id);
    call.boolean(deleted)
}

/// `teamsAssign(teams, id, key)`: why not, or nothing.
pub(crate) fn assign(call: &Call<'_>) -> Value {
    let (teams, id, key) = (call.teams(), call.given(1), call.given(2));
    let left = teams.teams().of_member(&key);
    let assigned = teams.teams().assign(&id, &key);
    if let Some(left) = left {
        teams.changed(&left);
    }
    teams.changed_by_id(&id);
    call.optional(assigned.err().map(|error| error.code()))
}

/// `teamsRemove(teams, id, key)`.
pub(crate) fn remove(call: &Call<'_>) -> Value {
    let (teams, id) = (call.teams(), call.given(1));
    let removed = teams.teams().remove(&id, &call.given(2));
    teams.changed_by_id(&id);
    call.boolean(removed)
}

/// `teamsOf(teams, key)`: the id of the team a key is in.
pub(crate) fn of_key(call: &Call<'_>) -> Value {
    let team = call.text(1).and_then(|key| call.teams().teams().of_member(&key));
    call.optional(team.map(|team| team.lock().id.clone()))
}

/// `teamsBudget(teams, key, credits)`: why the team refuses, or nothing.
pub(crate) fn check_budget(call: &Call<'_>) -> Value {
    let team = call.text(1).and_then(|key| call.teams().teams().of_member(&key));
    refusal(call, team.map_or(Ok(()), |team| team.lock().check_budget(call.number(2))))
}

/// `teamsQuota(teams, key, credits)`: why the team refuses, or nothing.
pub(crate) fn check_quota(call: &Call<'_>) -> Value {
    let team = call.text(1).and_then(|key| call.teams().teams().of_member(&key));
    let now = HostClock.wall();
    refusal(call, team.map_or(Ok(()), |team| team.lock().check_quota(now, call.number(2))))
}

fn refusal(call: &Call<'_>, checked: Result<(), TeamRefusal>) -> Value {
    call.optional(checked.err().map(TeamRefusal::reason))
}

/// `teamsRecord(teams, key, credits)`.
pub(crate) fn record_usage(call: &Call<'_>) -> Value {
    if let Some(team) = call.text(1).and_then(|key| call.teams().teams().of_member(&key)) {
        team.lock().record(HostClock.wall(), call.number(2));
        call.teams().changed(&team);
    }
    UNDEFINED
}

/// `teamsRestore(teams, id, team)`: whether the team could be read.
pub(crate) fn restore(call: &Call<'_>) -> Value {
    let object: Map<String, Json> = call.json(2).expect("always given");
    let (teams, id) = (call.teams(), call.given(1));
    let restored = teams.teams().restore(&id, &object, HostClock.wall());
    teams.changed_by_id(&id);
    call.boolean(restored)
}

/// `teamRecord(teams, slot)`: as `storeRecord`, of a team.
pub(crate) fn record(call: &Call<'_>) -> Value {
    let Some(team) = call.teams().at(call.index(1)) else { return UNDEFINED };
    let team = team.lock();
    live_record::shape(call, &team.field_names(), &TEAM_FIELDS, |name| team.value(name))
}

/// `teamRead(teams, slot, field)`: the value of one of the known fields, by its number.
pub(crate) fn read(call: &Call<'_>) -> Value {
    let Some(team) = call.teams().at(call.index(1)) else { return UNDEFINED };
    let Some(name) = TEAM_FIELDS.get(call.index(2)) else { return UNDEFINED };
    let team = team.lock();
    match team.number(name) {
        Some(number) => call.double(number),
        None => live_record::value(call, team.value(name)),
    }
}

/// `teamWrite(teams, slot, name, value?)`: assigns a field of a team, or removes it.
pub(crate) fn write(call: &Call<'_>) -> Value {
    if let Some(team) = call.teams().at(call.index(1)) {
        team.lock().set(&call.given(2), call.json(3));
        call.teams().changed(&team);
    }
    UNDEFINED
}

/// `teamWriteNumber(teams, slot, name, number)`: assigns a number, which need not be finite.
pub(crate) fn write_number(call: &Call<'_>) -> Value {
    if let Some(team) = call.teams().at(call.index(1)) {
        let (name, number) = (call.given(2), call.number(3));
        {
            let mut team = team.lock();
            if team.number(&name).is_some() {
                team.set_number(&name, number);
            } else {
                team.set(&name, Some(number_value(number)));
            }
        }
        call.teams().changed(&team);
    }
    UNDEFINED
}
