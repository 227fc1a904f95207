'use strict';

// Hooks, configuration that changes, long batches, odd arguments.

const assert = require('node:assert/strict');
const test = require('node:test');
const { Gate, TeamManager, DEFAULT_CONFIG } = require('..');

function gateWith(config, credits = 1000) {
  const gate = new Gate({ ...DEFAULT_CONFIG, globalRateLimitPerMin: 0, ...config });
  const { key } = gate.store.createKey('k', credits);
  return { gate, key, record: gate.store.getKey(key) };
}

test('the event a hook hears is the object the meter shows', () => {
  const { gate, key } = gateWith();
  const heard = [];
  gate.onUsageEvent = (event) => heard.push(event);
  gate.evaluate(key, { name: 'a' });
  gate.evaluate('nobody', { name: 'b' });
  gate.evaluateBatch(key, [{ name: 'c' }, { name: 'd' }]);
  gate.refund(key, 'a', 1);
  gate.onUsageEvent = undefined;
  gate.evaluate(key, { name: 'e' });
  const events = gate.meter.getEvents();
  assert.equal(heard.length, 5);
  heard.forEach((event, index) => assert.equal(event, events[index]));
  assert.deepEqual(events.map((event) => event.tool), ['a', 'b', 'c', 'd', 'a', 'e']);
  assert.equal(gate.meter.getEvents()[0], events[0]);
});

test('a hook may read records and decide calls itself', () => {
  const { gate, key, record } = gateWith({ toolPricing: { dear: { creditsPerCall: 7 }, kb: { creditsPerCall: 1, creditsPerKbInput: 1024 } } });
  const seen = [];
  gate.teamChecker = (apiKey, credits) => {
    if (credits === 7) gate.evaluate(key, { name: 'inner' });
    seen.push([apiKey === key, credits, record.credits]);
    return { allowed: true };
  };
  gate.onCreditsDeducted = (apiKey, credits) => {
    if (credits === 7) gate.getToolPrice('kb', { text: 'x'.repeat(100) });
  };
  assert.deepEqual(gate.evaluate(key, { name: 'dear' }), { allowed: true, creditsCharged: 7, remainingCredits: 992 });
  assert.deepEqual(gate.evaluate(key, { name: 'kb', arguments: {} }), { allowed: true, creditsCharged: 3, remainingCredits: 989 });
  assert.deepEqual(seen, [[true, 1, 1000], [true, 7, 999], [true, 3, 992]]);
  assert.deepEqual(gate.evaluateBatch(key, [{ name: 'dear' }, { name: 'x' }]).totalCredits, 8);
});

test('a team that refuses is told, and nothing is taken', () => {
  const { gate, key, record } = gateWith();
  const log = [];
  gate.teamChecker = () => ({ allowed: false });
  gate.teamRecorder = () => log.push('recorded');
  gate.onCreditsDeducted = () => log.push('deducted');
  const decision = gate.evaluate(key, { name: 'x' });
  assert.deepEqual(decision, { allowed: false, reason: undefined, creditsCharged: 0, remainingCredits: 1000 });
  const batch = gate.evaluateBatch(key, [{ name: 'x' }]);
  assert.deepEqual([batch.allAllowed, batch.reason, batch.failedIndex, batch.remainingCredits], [false, undefined, 0, 1000]);
  gate.teamChecker = () => ({ allowed: false, reason: 'no' });
  assert.equal(gate.evaluate(key, { name: 'x' }).reason, 'no');
  assert.deepEqual([record.credits, log, gate.meter.eventCount], [1000, [], 2]);
  gate.teamChecker = () => {
    throw new Error('down');
  };
  assert.throws(() => gate.evaluate(key, { name: 'x' }), /^Error: down$/);
  assert.throws(() => gate.evaluateBatch(key, [{ name: 'x' }]), /^Error: down$/);
  assert.deepEqual([record.credits, gate.meter.eventCount], [1000, 2]);
});

test('books stay exact over a hundred thousand calls with hooks', () => {
  const calls = 100_000;
  const { gate, key, record } = gateWith({}, calls / 2);
  const teams = new TeamManager();
  const team = teams.createTeam({ name: 'T', budget: calls / 4 });
  teams.assignKey(team.id, key);
  let deducted = 0;
  gate.teamChecker = (apiKey, credits) => teams.checkBudget(apiKey, credits);
  gate.teamRecorder = (apiKey, credits) => teams.recordUsage(apiKey, credits);
  gate.onCreditsDeducted = (apiKey, credits) => {
    deducted += credits;
  };
  let allowed = 0;
  for (let i = 0; i < calls; i += 1) {
    if (gate.evaluate(key, { name: 'x' }).allowed) allowed += 1;
  }
  assert.deepEqual(
    [allowed, deducted, team.totalSpent, record.credits, record.totalSpent, record.totalCalls],
    [calls / 4, calls / 4, calls / 4, calls / 4, calls / 4, calls / 4],
  );
});

test('changes of the configuration object take effect with the next call', () => {
  const config = { toolPricing: { a: { creditsPerCall: 2 } }, globalQuota: undefined };
  const { gate, key, record } = gateWith(config);
  const charged = (name, args) => gate.evaluate(key, { name, arguments: args }).creditsCharged;
  assert.equal(charged('a'), 2);
  gate.config.toolPricing.a.creditsPerCall = 3;
  assert.equal(charged('a'), 3);
  gate.config.toolPricing.a.creditsPerKbInput = 1024;
  assert.equal(charged('a', {}), 5);
  gate.config.toolPricing.b = { creditsPerCall: 9 };
  assert.equal(charged('b'), 9);
  delete gate.config.toolPricing.b;
  assert.equal(charged('b'), 1);
  gate.config.defaultCreditsPerCall = 4;
  assert.equal(charged('b'), 4);
  gate.config.toolPricing = { b: { creditsPerCall: 6 } };
  assert.deepEqual(gate.evaluateBatch(key, [{ name: 'a' }, { name: 'b' }]).totalCredits, 10);
  gate.config.globalQuota = { dailyCallLimit: record.quotaDailyCalls, monthlyCallLimit: 0, dailyCreditLimit: 0, monthlyCreditLimit: 0 };
  assert.match(gate.evaluate(key, { name: 'a' }).reason, /^daily_call_quota_exceeded/);
  gate.config.globalQuota.dailyCallLimit += 1;
  assert.equal(gate.evaluate(key, { name: 'a' }).allowed, true);
  gate.config.shadowMode = true;
  assert.match(gate.evaluate(key, { name: 'a' }).reason, /^shadow:daily_call_quota_exceeded/);
  gate.config.toolPricing.b.creditsPerCall = -1;
  assert.throws(() => gate.evaluate(key, { name: 'b' }), /toolPricing\["b"\].creditsPerCall/);
  gate.config.refundOnFailure = true;
  assert.equal(gate.refundOnFailure, true);
});

test('batches of any length up to the limit are decided as one', () => {
  const { gate, key, record } = gateWith({ toolPricing: { kb: { creditsPerCall: 0, creditsPerKbInput: 1024 } } }, 10_000);
  for (const count of [1, 127, 128, 129, 1000]) {
    const before = record.credits;
    const calls = Array.from({ length: count }, (_, i) => (i % 2 ? { name: `t${i}é` } : { name: 'kb', arguments: {} }));
    const batch = gate.evaluateBatch(key, calls);
    const total = calls.reduce((sum, call) => sum + (call.name === 'kb' ? 2 : 1), 0);
    assert.deepEqual([batch.allAllowed, batch.totalCredits, batch.decisions.length], [true, total, count]);
    assert.deepEqual([batch.decisions[0].creditsCharged, batch.remainingCredits], [2, before - total]);
    assert.equal(batch.decisions.every((decision, i) => decision.creditsCharged === (i % 2 ? 1 : 2)), true);
    record.deniedTools = ['no'];
    calls[count - 1] = { name: 'no' };
    const refused = gate.evaluateBatch(key, calls);
    assert.deepEqual([refused.failedIndex, refused.reason], [count - 1, 'tool_denied: no is in deniedTools']);
    assert.equal(refused.decisions.filter((decision) => decision.reason === 'batch_rejected').length, count - 1);
    record.deniedTools = [];
  }
  assert.throws(() => gate.evaluateBatch(key, Array(1001).fill({ name: 'x' })), RangeError);
  gate.config.maxBatchCalls = 2;
  assert.throws(() => gate.evaluateBatch(key, Array(3).fill({ name: 'x' })), RangeError);
});

test('in shadow mode a long batch says which calls went on unpaid', () => {
  const { gate, key, record } = gateWith({ shadowMode: true });
  record.deniedTools = ['no'];
  const calls = Array.from({ length: 200 }, (_, i) => ({ name: i === 150 ? 'no' : 'yes' }));
  const batch = gate.evaluateBatch(key, calls);
  assert.deepEqual([batch.totalCredits, batch.decisions[149].reason, batch.decisions[150]], [
    199,
    undefined,
    { allowed: true, reason: 'shadow:tool_denied: no is in deniedTools', creditsCharged: 0, remainingCredits: 801 },
  ]);
});

test('tool names are told apart whatever their letters', () => {
  const { gate, key, record } = gateWith();
  record.deniedTools = ['k', 'é'];
  const reason = (name) => gate.evaluate(key, { name }).reason;
  // U+016B ends in the byte of "k"; an accent may be a letter of its own.
  assert.deepEqual([reason('\u016b'), reason('e\u0301')], [undefined, undefined]);
  assert.deepEqual([reason('k'), reason('é')], ['tool_denied: k is in deniedTools', 'tool_denied: é is in deniedTools']);
  assert.match(reason('n'.repeat(257)), /^invalid_tool_name/);
  assert.match(reason('é'.repeat(129)), /^invalid_tool_name/);
  assert.equal(reason('n'.repeat(256)), undefined);
  assert.equal(reason('x'.repeat(100_000)).slice(0, 17), 'invalid_tool_name');
  assert.equal(gate.evaluate('k'.repeat(100_000), { name: 'x' }).reason, 'invalid_api_key');
  assert.equal(gate.meter.getEvents().at(-1).apiKey, 'k'.repeat(10));
});

test('half a character becomes U+FFFD, and nothing else does', () => {
  const { gate } = gateWith();
  const name = (given) => gate.store.createKey(given, 1, { tags: { [given]: given } });
  for (const [given, kept] of [
    ['\ud800x', '\ufffdx'],
    ['\udc00\udc00', '\ufffd\ufffd'],
    ['\\ud800', '\\ud800'],
    ['\\\ud800', '\\\ufffd'],
    ['\u{1F600}', '\u{1F600}'],
  ]) {
    const record = name(given);
    assert.deepEqual([record.name, { ...record.tags }], [kept, { [kept]: kept }]);
    const batch = Array.from({ length: 130 }, () => ({ name: given }));
    assert.equal(gate.evaluateBatch(gate.store.createKey('rich', 1000).key, batch).allAllowed, true);
    assert.equal(gate.meter.getEvents().at(-1).tool, kept);
  }
});

test('what cannot be measured or named throws and takes nothing', () => {
  const { gate, key, record } = gateWith({ toolPricing: { kb: { creditsPerCall: 1, creditsPerKbInput: 1 } } });
  const cycle = {};
  cycle.self = cycle;
  for (const args of [cycle, { n: 1n }]) {
    assert.throws(() => gate.evaluate(key, { name: 'kb', arguments: args }), TypeError);
    assert.throws(() => gate.evaluateBatch(key, [{ name: 'x' }, { name: 'kb', arguments: args }]), TypeError);
    assert.throws(() => gate.getToolPrice('kb', args), TypeError);
    assert.equal(gate.evaluate(key, { name: 'free', arguments: args }).allowed, true);
  }
  for (const bad of [5, {}, ['k'], true, Symbol('k')]) {
    assert.throws(() => gate.evaluate(bad, { name: 'x' }), TypeError);
    assert.throws(() => gate.evaluateBatch(bad, [{ name: 'x' }]), TypeError);
  }
  assert.throws(() => gate.evaluate(key, null), TypeError);
  assert.equal(record.credits, 998);
});

test('a gate behind a Proxy or as a prototype works as itself', () => {
  const { gate, key } = gateWith();
  assert.equal(new Proxy(gate, {}).evaluate(key, { name: 'x' }).remainingCredits, 999);
  assert.equal(Object.create(gate).evaluate(key, { name: 'x' }).remainingCredits, 998);
  assert.deepEqual(Object.keys(gate), ['config', 'store', 'rateLimiter', 'meter', 'webhook', 'quotaTracker']);
});
