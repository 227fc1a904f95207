'use strict';

const { callable, json, list, members, number, text } = require('./arguments.js');
const { native, call } = require('./native.js');
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

  createTeam(params) {
    const { name, description, budget, quota, tags } = members(params, 'params');
    const given = {
      name: text(name, 'name'),
      description: description ? text(description, 'description') : '',
      quota,
      tags: Object.entries(tags ?? {}).slice(0, TAGS_MAX).map(([tag, value]) => [tag, text(value, `tags.${tag}`)]),
    };
    const limit = budget ? number(budget, 'budget') : 0;
    const slot = call(native.teamsCreate, this[PARTS].handle, json(given, 'quota'), limit);
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
    const { name, description, budget, quota, tags } = members(updates, 'updates');
    const pairs = Object.entries(tags || {}).map(([tag, value]) => [tag, value === null ? null : text(value, `tags.${tag}`)]);
    const given = {
      name: name === undefined ? undefined : text(name, 'name'),
      description: description === undefined ? undefined : text(description, 'description'),
      tags: pairs,
    };
    const limit = budget === undefined ? [] : [number(budget, 'budget')];
    const updated = call(native.teamsUpdate, handle, record.name, json(given, 'updates'), ...limit);
    owner.epoch += 1;
    if (quota !== undefined) record.assignQuota(quota === null ? undefined : quota);
    return updated;
  }

  deleteTeam(teamId) {
    return changed(this, native.teamsDelete, text(teamId, 'teamId'));
  }

  assignKey(teamId, apiKey) {
    const error = changed(this, native.teamsAssign, text(teamId, 'teamId'), text(apiKey, 'apiKey'));
    return error === undefined ? { success: true } : { success: false, error };
  }

  removeKey(teamId, apiKey) {
    return changed(this, native.teamsRemove, text(teamId, 'teamId'), text(apiKey, 'apiKey'));
  }

  getTeamForKey(apiKey) {
    return call(native.teamsOf, this[PARTS].handle, text(apiKey, 'apiKey')) ?? null;
  }

  checkBudget(apiKey, creditsNeeded) {
    const credits = number(creditsNeeded, 'creditsNeeded');
    return verdict(call(native.teamsBudget, this[PARTS].handle, text(apiKey, 'apiKey'), credits));
  }

  checkQuota(apiKey, credits) {
    const { handle, owner } = this[PARTS];
    owner.pushQuotas();
    return verdict(call(native.teamsQuota, handle, text(apiKey, 'apiKey'), number(credits, 'credits')));
  }

  recordUsage(apiKey, credits) {
    call(native.teamsRecord, this[PARTS].handle, text(apiKey, 'apiKey'), number(credits, 'credits'));
  }

  getUsageSummary(teamId, getKey) {
    const team = this.getTeam(teamId);
    if (team === null) return null;
    const { id, name, budget, totalSpent } = team;
    const memberKeys = list(team.memberKeys, 'team.memberKeys');
    const rows = [];
    for (const member of memberKeys) {
      const key = text(member, 'team.memberKeys[]');
      const record = callable(getKey, 'getKey')(member);
      if (record) {
        rows.push({
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
      members: rows,
    };
  }

  toJSON() {
    return teams(this).map(([slot, id]) => [id, recordAt(this, slot, id).proxy]);
  }

  fromJSON(data) {
    const { handle } = this[PARTS];
    for (const [id, team] of list(data, 'data')) {
      if (!id || !team || typeof team.id !== 'string') continue;
      call(native.teamsRestore, handle, text(id, 'id'), json({ ...team }, 'team'));
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
  const id = text(teamId, 'teamId');
  const slot = call(native.teamsFind, manager[PARTS].handle, id);
  return slot < 0 ? undefined : recordAt(manager, slot, id);
}

/** Calls a native method that changes who is in a team. */
function changed(manager, run, ...given) {
  const { handle, owner } = manager[PARTS];
  owner.epoch += 1;
  return call(run, handle, ...given);
}

module.exports = { TeamManager, teamManagerOf };
