'use strict';

// Records behave as plain objects do, and what is written to them counts.

const assert = require('node:assert/strict');
const test = require('node:test');
const { inspect, isDeepStrictEqual } = require('node:util');
const { Gate, KeyStore, TeamManager, DEFAULT_CONFIG } = require('..');

function plain(record) {
  return JSON.parse(JSON.stringify(record));
}

function storeWith(options) {
  const store = new KeyStore();
  return { store, record: store.importKey('pg_k', 'k', 10, options) };
}

test('a record looks like a plain object', () => {
  const { record } = storeWith({ tags: { env: 'prod' }, allowedTools: ['a', 'b'], quota: { dailyCallLimit: 3 } });
  const copy = { ...record };
  assert.deepStrictEqual(record, copy);
  assert.deepStrictEqual({ ...record }, record);
  assert.ok(isDeepStrictEqual(record, copy));
  assert.equal(JSON.stringify(record), JSON.stringify(copy));
  assert.equal(inspect(record), inspect(copy));
  assert.match(inspect(record), /tags: \{ env: 'prod' \}/);
  assert.deepEqual(Object.entries(record), Object.entries(copy));
  assert.deepEqual(Object.getOwnPropertyDescriptors(record).credits, {
    value: 10,
    writable: true,
    enumerable: true,
    configurable: true,
  });
  const named = [];
  for (const name in record) named.push(name);
  assert.deepEqual(named, Object.keys(record));
  assert.ok('quota' in record && Object.hasOwn(record, 'credits') && !('nothing' in record));
  assert.equal(Object.getPrototypeOf(record), Object.prototype);
  assert.deepEqual(Object.getOwnPropertySymbols(copy), []);
  assert.ok(Array.isArray(record.allowedTools));
  assert.deepStrictEqual(record.allowedTools, ['a', 'b']);
  assert.deepStrictEqual(record.tags, { env: 'prod' });
  assert.equal(record.tags, record.tags);
  assert.equal(record.allowedTools, record.allowedTools);
  assert.deepEqual(Object.keys(plain(record)), Object.keys(record));
});

test('a descriptor shows the present value, and fields cannot be fixed', () => {
  const { store, record } = storeWith();
  store.deductCredits('pg_k', 4);
  assert.equal(Object.getOwnPropertyDescriptor(record, 'credits').value, 6);
  assert.throws(() => Object.freeze(record), TypeError);
  assert.throws(() => Object.defineProperty(record, 'credits', { get: () => 1 }), TypeError);
  Object.defineProperty(record, 'credits', { value: 2, writable: true, enumerable: true, configurable: true });
  assert.equal(store.hasCredits('pg_k', 3), false);
});

test('what inherits from a record has fields of its own', () => {
  const { record } = storeWith();
  const heir = Object.create(record);
  heir.credits = 99;
  assert.deepEqual([heir.credits, record.credits, Object.hasOwn(heir, 'credits')], [99, 10, true]);
});

test('lists and tags take every kind of change', () => {
  const { store, record } = storeWith({ allowedTools: ['a'], tags: { env: 'prod' } });
  const gate = new Gate({ ...DEFAULT_CONFIG, globalRateLimitPerMin: 0 });
  const live = gate.store.importKey('pg_k', 'k', 100);
  const allowed = (tool) => gate.evaluate('pg_k', { name: tool }).allowed;
  live.allowedTools.push('x', 'y');
  assert.deepEqual([allowed('x'), allowed('z')], [true, false]);
  live.allowedTools.splice(0, 1);
  assert.deepEqual([allowed('x'), allowed('y')], [false, true]);
  live.allowedTools[1] = 'z';
  assert.equal(allowed('z'), true);
  live.allowedTools.length = 0;
  assert.equal(allowed('anything'), true);
  live.deniedTools = ['bad'];
  assert.equal(allowed('bad'), false);
  live.deniedTools.pop();
  assert.equal(allowed('bad'), true);
  live.allowedTools.push('b', 'a');
  assert.deepEqual(live.allowedTools.sort(), ['a', 'b']);

  const { tags } = record;
  store.setTags('pg_k', { tier: 'gold' });
  assert.deepEqual({ ...tags }, { env: 'prod', tier: 'gold' });
  tags.more = 'yes';
  delete tags.env;
  assert.deepEqual(store.listKeysByTag({ more: 'yes', env: undefined }).length, 1);
  record.tags = { only: '1' };
  assert.deepEqual(plain(record).tags, { only: '1' });
  // The object that was replaced is its holder's.
  tags.late = '1';
  assert.deepEqual({ ...record.tags }, { only: '1' });
  const list = record.allowedTools;
  store.setAcl('pg_k', ['q']);
  assert.deepEqual([[...list], [...record.allowedTools]], [['a'], ['q']]);
});

test('a quota stays the object it was, and its changes count', async () => {
  const gate = new Gate({ ...DEFAULT_CONFIG, globalRateLimitPerMin: 0 });
  const quota = { dailyCallLimit: 1, monthlyCallLimit: 0, dailyCreditLimit: 0, monthlyCreditLimit: 0 };
  const record = gate.store.importKey('pg_k', 'k', 100, { quota });
  assert.equal(record.quota, quota);
  const reason = () => gate.evaluate('pg_k', { name: 'x' }).reason;
  assert.equal(reason(), undefined);
  assert.equal(reason(), 'daily_call_quota_exceeded: 1/1 calls today');
  quota.dailyCallLimit = 2;
  assert.equal(reason(), undefined);
  record.quota.dailyCallLimit = 3;
  assert.equal(reason(), undefined);
  const other = { ...quota, dailyCallLimit: 4 };
  assert.equal(gate.store.setQuota('pg_k', other), true);
  assert.equal(gate.store.getKey('pg_k').quota, other);
  quota.dailyCallLimit = 0;
  assert.deepEqual([reason(), reason()], [undefined, 'daily_call_quota_exceeded: 4/4 calls today']);
  record.quota.dailyCallLimit = 5;
  await Promise.resolve();
  delete record.quota;
  assert.deepEqual([reason(), 'quota' in record], [undefined, false]);
  record.quota = other;
  assert.equal(gate.store.listKeys()[0].quota, other);
  record.quota = undefined;
  assert.deepEqual([reason(), record.quota], [undefined, undefined]);
});

test('a key that is imported again lets the old object go', () => {
  const { store, record } = storeWith({ tags: { a: '1' }, quota: { dailyCallLimit: 1 } });
  record.mine = { x: 1 };
  store.deductCredits('pg_k', 3);
  assert.throws(() => store.importKey('pg_k', 'again', NaN), RangeError);
  assert.equal(store.getKey('pg_k'), record);
  const tags = record.tags;
  const fresh = store.importKey('pg_k', 'again', 50);
  assert.notEqual(fresh, record);
  assert.deepEqual([record.credits, record.totalSpent, record.name, record.quota], [7, 3, 'k', { dailyCallLimit: 1 }]);
  record.credits = 1e6;
  tags.late = '1';
  assert.deepEqual([record.credits, fresh.credits, { ...fresh.tags }, fresh.quota, fresh.mine], [1e6, 50, {}, undefined, undefined]);
  assert.equal(Object.isFrozen(Object.freeze({ ...record })), true);
});

test('fields of the caller\'s own stay, in their order', () => {
  const { store, record } = storeWith();
  const object = { deep: [1] };
  record.note = 'n';
  record.object = object;
  record.__proto__; // reads the prototype, as ever
  assert.equal(record.object, object);
  assert.deepEqual(Object.keys(record).slice(-2), ['note', 'object']);
  object.deep.push(2);
  const rotated = store.rotateKey('pg_k');
  assert.deepEqual([rotated.note, rotated.object], ['n', object]);
  delete record.note;
  assert.equal('note' in record, false);
  record.cycle = record;
  assert.equal(record.cycle, record);
});

test('odd values are kept as they are and count for what they are', () => {
  const { store, record } = storeWith();
  record.tags = null;
  record.active = 1;
  record.name = 5;
  record.expiresAt = 1;
  assert.deepEqual([record.tags, record.active, record.name, record.expiresAt], [null, 1, 5, 1]);
  assert.equal(store.isExpired('pg_k'), true);
  record.expiresAt = null;
  record.tags = { back: '1' };
  assert.equal(store.getKey('pg_k').tags.back, '1');
  record.active = 0;
  assert.equal(store.getKey('pg_k'), null);
  for (const field of ['credits', 'totalSpent', 'quotaDailyCalls', 'spendingLimit']) {
    for (const bad of [NaN, Infinity, undefined, 'x', {}, 2 ** 60]) {
      if (field === 'spendingLimit' && bad === 2 ** 60) continue;
      assert.throws(() => {
        record[field] = bad;
      }, RangeError, `${field} = ${String(bad)}`);
    }
  }
  assert.equal(record.credits, 10);
});

test('a record does as an object would, whatever is done to it', () => {
  const { record } = storeWith({ tags: { a: '1' } });
  const twin = { ...record, allowedTools: [], deniedTools: [], tags: { a: '1' }, ipAllowlist: [] };
  let seed = 7;
  const random = (below) => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed % below;
  };
  const fields = ['name', 'credits', 'spendingLimit', 'namespace', 'tags', 'allowedTools', 'x', 'y', '7'];
  const values = ['text', 3, 0, ['p', 'q'], { k: 'v' }, null];
  for (let step = 0; step < 3000; step += 1) {
    const field = fields[random(fields.length)];
    let value = values[random(values.length)];
    if (field === 'credits' || field === 'spendingLimit') value = random(100);
    const act = [
      (target) => { target[field] = structuredClone(value); },
      (target) => { delete target[field]; },
      (target) => { if (Array.isArray(target[field])) target[field].push(`t${step}`); },
      (target) => { if (target[field] && typeof target[field] === 'object') delete target[field].k; },
      (target) => { Object.assign(target, { [field]: structuredClone(value) }); },
    ][random(5)];
    act(record);
    act(twin);
    assert.equal(JSON.stringify(record), JSON.stringify(twin), `step ${step}: ${field}`);
    assert.deepEqual(Object.keys(record), Object.keys(twin));
  }
});

test('keys of a store read like a Map', () => {
  const { store, record } = storeWith();
  store.importKey('pg_l', 'l', 1);
  assert.deepEqual([...store.keys.keys()], ['pg_k', 'pg_l']);
  assert.deepEqual([...store.keys].map(([key, value]) => [key, value.name]), [['pg_k', 'k'], ['pg_l', 'l']]);
  assert.deepEqual([store.keys.get('pg_k') === record, store.keys.get('no'), store.keys.has('no'), store.keys.size], [true, undefined, false, 2]);
  const names = [];
  store.keys.forEach((value, key) => names.push(key + value.name));
  assert.deepEqual(names, ['pg_kk', 'pg_ll']);
  assert.equal(store.statePath, null);
});

test('teams are live in the same way', () => {
  const teams = new TeamManager();
  const team = teams.createTeam({ name: 'T', budget: 10, tags: { a: '1' } });
  teams.assignKey(team.id, 'k');
  assert.deepStrictEqual(team, { ...team });
  assert.equal(teams.getTeam(team.id), team);
  team.totalSpent = 9.5;
  assert.deepEqual(teams.checkBudget('k', 1), { allowed: false, reason: 'team_budget_exceeded' });
  team.budget = Infinity;
  assert.deepEqual([team.budget, teams.checkBudget('k', 1)], [Infinity, { allowed: true }]);
  const members = team.memberKeys;
  teams.assignKey(team.id, 'l');
  assert.deepEqual([...members], ['k', 'l']);
  team.quota = { dailyCallLimit: 1, monthlyCallLimit: 0, dailyCreditLimit: 0, monthlyCreditLimit: 0 };
  teams.recordUsage('k', 1);
  assert.equal(teams.checkQuota('k', 1).reason, 'team_daily_call_limit');
  team.quota.dailyCallLimit = 2;
  assert.equal(teams.checkQuota('k', 1).allowed, true);
  assert.equal(JSON.stringify(teams), JSON.stringify([[team.id, team]]));
});
