'use strict';

const { native, call, json, text } = require('./native.js');
const { RecordType, RecordOwner, LiveRecord } = require('./live-record.js');

const TEAM_RECORD = new RecordType({
  fields: [
    'id',
    'name',
    'description',
    'memberKeys',
    'budget',
    'totalSpent',
    'quota',
    'quotaDailyCalls',
    'quotaMonthlyCalls',
    'quotaDailyCredits',
    'quotaMonthlyCredits',
    'quotaLastResetDay',
    'quotaLastResetMonth',
    'tags',
    'createdAt',
    'active',
  ],
  numbers: [
    'budget',
    'totalSpent',
    'quotaDailyCalls',
    'quotaMonthlyCalls',
    'quotaDailyCredits',
    'quotaMonthlyCredits',
  ],
  nested: ['memberKeys', 'tags'],
  show: native.teamRecord,
  read: native.teamRead,
  write: native.teamWrite,
  writeNumber: native.teamWriteNumber,
});

/** Most tags that count at creation. */
const TAGS_MAX = 50;

/** Own to the package: what a team manager is made of. */
const PARTS = Symbol('parts');

class TeamManager {
  constructor() {
    start(this, call(native.teamsNew));
  }

  createTeam({ name, description, budget, quota, tags }) {
    const given = {
      name: text(name),
      description: description ? text(description) : '',
      quota,
      tags: Object.entries(tags ?? {}).slice(0, TAGS_MAX).map(([tag, value]) => [tag, text(value)]),
    };
    const slot = call(native.teamsCreate, this[PARTS].handle, json(given), budget ? Number(budget) : 0);
    const record = recordAt(this, slot, native.teamRead(this[PARTS].handle, slot, 0));
    if (quota !== undefined) record.holdQuota(quota);
    return record.proxy;
  }

  getTeam(teamId) {
    return recordOf(this, teamId)?.proxy ?? null;
  }

  listTeams() {
    return teams(this).filter(([, , active]) => active).map(([slot, id]) => recordAt(this, slot, id).proxy);
  }

  updateTeam(teamId, updates) {
    const { handle, owner } = this[PARTS];
    const record = recordOf(this, teamId);
    if (record === undefined || !record.proxy.active) return false;
    const { name, description, budget, quota, tags } = updates;
    const pairs = Object.entries(tags || {}).map(([tag, value]) => [tag, value === null ? null : text(value)]);
    const given = json({
      name: name === undefined ? undefined : text(name),
      description: description === undefined ? undefined : text(description),
      tags: pairs,
    });
    const limit = budget === undefined ? [] : [Number(budget)];
    const updated = call(native.teamsUpdate, handle, record.name, given, ...limit);
    owner.epoch += 1;
    if (quota !== undefined) record.assignQuota(quota === null ? undefined : quota);
    return updated;
  }

  deleteTeam(teamId) {
    return changed(this, native.teamsDelete, teamId);
  }

  assignKey(teamId, apiKey) {
    const error = changed(this, native.teamsAssign, teamId, apiKey);
    return error === undefined ? { success: true } : { success: false, error };
  }

  removeKey(teamId, apiKey) {
    return changed(this, native.teamsRemove, teamId, apiKey);
  }

  getTeamForKey(apiKey) {
    return call(native.teamsOf, this[PARTS].handle, text(apiKey)) ?? null;
  }

  checkBudget(apiKey, creditsNeeded) {
    return verdict(call(native.teamsBudget, this[PARTS].handle, text(apiKey), Number(creditsNeeded)));
  }

  checkQuota(apiKey, credits) {
    const { handle, owner } = this[PARTS];
    owner.pushQuotas();
    return verdict(call(native.teamsQuota, handle, text(apiKey), Number(credits)));
  }

  recordUsage(apiKey, credits) {
    call(native.teamsRecord, this[PARTS].handle, text(apiKey), Number(credits));
  }

  getUsageSummary(teamId, getKey) {
    const team = this.getTeam(teamId);
    if (team === null) return null;
    const { id, name, memberKeys, budget, totalSpent } = team;
    const members = [];
    for (const key of memberKeys) {
      const record = getKey(key);
      if (record) {
        members.push({
          keyMasked: `${key.slice(0, 7)}...${key.slice(-4)}`,
          name: record.name,
          credits: record.credits,
          totalSpent: record.totalSpent,
          totalCalls: record.totalCalls,
        });
      }
    }
    return {
      teamId: id,
      teamName: name,
      memberCount: memberKeys.length,
      totalBudget: budget,
      totalSpent,
      remainingBudget: budget > 0 ? Math.max(0, budget - totalSpent) : 0,
      members,
    };
  }

  toJSON() {
    return teams(this).map(([slot, id]) => [id, recordAt(this, slot, id).proxy]);
  }

  fromJSON(data) {
    const { handle } = this[PARTS];
    for (const [id, team] of data) {
      if (!id || !team || typeof team.id !== 'string') continue;
      call(native.teamsRestore, handle, text(id), json({ ...team }));
      if (typeof team.quota === 'object' && team.quota !== null) recordOf(this, id).holdQuota(team.quota);
    }
  }
}

function start(manager, handle) {
  const parts = { handle, owner: new RecordOwner(TEAM_RECORD, handle), records: [] };
  Object.defineProperty(manager, PARTS, { value: parts });
  return manager;
}

/** The teams whose members' keys are in a store; they take part in its gate's decisions. */
function teamManagerOf(storeHandle) {
  const manager = start(Object.create(TeamManager.prototype), call(native.teamsOfStore, storeHandle));
  manager[PARTS].owner.served = true;
  return manager;
}

function verdict(reason) {
  return reason === undefined ? { allowed: true } : { allowed: false, reason };
}

/** Slot, id and whether it is active, of all teams in order. */
function teams(manager) {
  return JSON.parse(call(native.teamsList, manager[PARTS].handle));
}

/** The window on the team in a slot. */
function recordAt(manager, slot, id) {
  const { owner, records } = manager[PARTS];
  return (records[slot] ??= new LiveRecord(owner, slot, id));
}

/** The window on a team, deleted ones included. */
function recordOf(manager, teamId) {
  const id = text(teamId);
  const slot = call(native.teamsFind, manager[PARTS].handle, id);
  return slot < 0 ? undefined : recordAt(manager, slot, id);
}

/** Calls a native method that changes who is in a team. */
function changed(manager, run, ...given) {
  const { handle, owner } = manager[PARTS];
  owner.epoch += 1;
  return call(run, handle, ...given.map(text));
}

module.exports = { TeamManager, teamManagerOf };
