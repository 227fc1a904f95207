'use strict';

// Arguments that are not what they must be: each error says which one it is, what it must be and what it is.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { copyFileSync, mkdtempSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const test = require('node:test');
const paygate = require('..');
const { text, number, json, list, members, object, written } = require('../lib/arguments.js');

const { Gate, DEFAULT_CONFIG } = paygate;

const cycle = {};
cycle.self = cycle;
const nested = (levels, wrap) => Array.from({ length: levels }).reduce(wrap, {});
const deep = (levels) => nested(levels - 1, (value) => ({ value }));
const gateWith = (config) => {
  const gate = new Gate({ ...DEFAULT_CONFIG, globalRateLimitPerMin: 0, ...config });
  return { gate, key: gate.store.createKey('k', 100).key };
};
const throws = (run, name, message) => assert.throws(run, { name, message });

test('what JavaScript converts is converted as it does', () => {
  const texts = [5, null, undefined, true, [1, [2]], {}, 7n, Symbol('s'), new Date(0)];
  assert.deepEqual(texts.map((value) => text(value, 'x')), texts.map(String));
  const numbers = ['5', ' 1e3 ', '', null, undefined, true, [7], [1, 2], {}, new Date(5)];
  assert.deepEqual(numbers.map((value) => number(value, 'x')), numbers.map(Number));
  assert.equal(text({ [Symbol.toPrimitive]: (hint) => hint }, 'x'), 'string');
});

test('what JavaScript cannot convert is named', () => {
  const bare = Object.create(null);
  for (const value of [bare, [bare], [Symbol('s')], { [Symbol.toPrimitive]: 5 }, { [Symbol.toPrimitive]: () => ({}) }]) {
    throws(() => text(value, 'name'), 'TypeError', 'name must be a string, but is object');
    throws(() => number(value, 'amount'), 'TypeError', 'amount must be a number, but is object');
  }
  throws(() => number(Symbol('s'), 'amount'), 'TypeError', 'amount must be a number, but is symbol');
  throws(() => number(5n, 'amount'), 'TypeError', 'amount must be a number, but is bigint');
  throws(() => text(nested(50_000, (value) => [value]), 'name'), 'TypeError', 'name must be a string, but is object');
  throws(() => members(null, 'team'), 'TypeError', 'team must be an object, but is null');
  throws(() => object('x', 'record'), 'TypeError', 'record must be an object, but is string');
  throws(() => list({ length: 1 }, 'data'), 'TypeError', 'data must be an array, but is object');
  assert.deepEqual(list(new Set([1, 2]), 'data'), [1, 2]);
});

test('what has no form in JSON is named', () => {
  throws(() => json(cycle, 'quota'), 'TypeError', 'quota must have a form in JSON, but contains itself');
  throws(() => json({ a: [5n] }, 'quota'), 'TypeError', 'quota must have a form in JSON, but contains a bigint');
  assert.equal(json(() => {}, 'quota'), undefined);
});

test('JSON is nested as deep as native code reads it', () => {
  const tooDeep = 'quota must be nested at most 100 levels deep, but is nested deeper';
  assert.equal(json(deep(100), 'quota'), JSON.stringify(deep(100)));
  throws(() => json(deep(101), 'quota'), 'RangeError', tooDeep);
  throws(() => json(deep(100_000), 'quota'), 'RangeError', tooDeep);
  assert.equal(written(deep(1000), 'quota'), JSON.stringify(deep(1000)));
  // Many brackets are not many levels, and those in texts are none.
  const flat = { list: Array.from({ length: 500 }, () => [{}]), text: '[{"\\"'.repeat(500) };
  assert.equal(json(flat, 'quota'), JSON.stringify(flat));
});

test('what the caller throws surfaces as it is', () => {
  const mine = new TypeError('mine');
  const thrower = () => {
    throw mine;
  };
  const is = (error) => error === mine;
  assert.throws(() => text({ toString: thrower }, 'x'), is);
  assert.throws(() => number({ valueOf: thrower }, 'x'), is);
  assert.throws(() => json({ toJSON: thrower }, 'x'), is);
  assert.throws(() => json(Object.defineProperty({}, 'a', { enumerable: true, get: thrower }), 'x'), is);
  const endless = { toJSON: () => JSON.stringify(endless) };
  assert.throws(() => json(endless, 'x'), { name: 'RangeError', message: 'Maximum call stack size exceeded' });
  const { gate, key } = gateWith();
  assert.throws(() => gate.evaluate(key, new Proxy({}, { get: thrower })), is);
  assert.throws(() => gate.store.createKey('k', 1, new Proxy({}, { get: thrower })), is);
});

test('half characters become U+FFFD in JSON too', () => {
  assert.equal(json('a\ud800\udc00b\ud800', 'x'), '"a\ud800\udc00b\\ufffd"');
});

test('a gate names what is wrong with a call, and takes nothing', () => {
  const { gate, key } = gateWith({ toolPricing: { kb: { creditsPerCall: 1, creditsPerKbInput: 1 } } });
  const called = (...given) => () => gate.evaluate(key, ...given);
  throws(called(), 'TypeError', 'toolCall must be an object, but is undefined');
  throws(called({ name: Object.create(null) }), 'TypeError', 'toolCall.name must be a string, but is object');
  throws(called({ name: 'x' }, Object.create(null)), 'TypeError', 'clientIp must be a string, but is object');
  const arguments_ = 'toolCall.arguments must have a form in JSON, but contains a bigint';
  throws(called({ name: 'kb', arguments: { n: 1n } }), 'TypeError', arguments_);
  throws(called({ name: 'kb', arguments: () => {} }), 'TypeError', 'toolCall.arguments must be a value with a form in JSON, but is function');
  const batch = [{ name: 'kb' }, { name: 'kb', arguments: cycle }];
  throws(() => gate.evaluateBatch(key, batch), 'TypeError', 'calls[1].arguments must have a form in JSON, but contains itself');
  throws(() => gate.evaluateBatch(key, [{ name: 'x' }, { name: '' }]), 'TypeError', /^calls\[1\] must be an object with a non-empty string "name", but its name is empty$/);
  throws(() => gate.refund(key, 'x', 'secret'), 'RangeError', 'credits must be a whole number of at least 1, but is string');
  throws(() => gate.filterToolsForKey(gate.store.createKey('k', 1, { allowedTools: ['a'] }).key, [null]), 'TypeError', 'tools[0] must be an object, but is null');
  assert.equal(gate.store.getKey(key).credits, 100);
});

test('a configuration that cannot be one is named', () => {
  const { gate, key } = gateWith();
  throws(() => new Gate(), 'TypeError', 'config must be an object, but is undefined');
  throws(() => gateWith({ globalRateLimitPerMin: 5n }), 'TypeError', 'config.globalRateLimitPerMin must be a number, but is bigint');
  throws(() => gateWith({ maxBatchCalls: 'x' }), 'RangeError', 'config.maxBatchCalls must be a whole number of at least 1, but is string');
  throws(() => gateWith({ globalQuota: { dailyCallLimit: Symbol('s') } }), 'TypeError', 'config.globalQuota.dailyCallLimit must be a number, but is symbol');
  gate.config.maxBatchCalls = 0;
  throws(() => gate.evaluateBatch(key, [{ name: 'x' }]), 'RangeError', 'config.maxBatchCalls must be a whole number of at least 1, but is 0');
  gate.config.freeMethods = null;
  throws(() => gate.isFreeMethod('ping'), 'TypeError', 'config.freeMethods must be an array, but is null');
  throws(() => new paygate.PayGateServer({ ...DEFAULT_CONFIG, serverCommand: 'x', alertRules: 'none' }), 'TypeError', 'config.alertRules must be an array, but is string');
});

test('a team that is asked by what is no function takes nothing', () => {
  const { gate, key } = gateWith();
  gate.teamChecker = 5;
  throws(() => gate.evaluate(key, { name: 'x' }), 'TypeError', 'gate.teamChecker must be a function, but is number');
  throws(() => gate.evaluateBatch(key, [{ name: 'x' }]), 'TypeError', 'gate.teamChecker must be a function, but is number');
  gate.teamChecker = () => undefined;
  throws(() => gate.evaluate(key, { name: 'x' }), 'TypeError', 'gate.teamChecker() must be an object, but is undefined');
  gate.teamChecker = () => ({ allowed: false, reason: Object.create(null) });
  throws(() => gate.evaluate(key, { name: 'x' }), 'TypeError', 'gate.teamChecker().reason must be a string, but is object');
  const { credits, totalSpent } = gate.store.getKey(key);
  assert.deepEqual([credits, totalSpent, gate.meter.eventCount], [100, 0, 0]);
});

test('what hears of a charge and is no function throws, and the charge stands', () => {
  for (const hook of ['onCreditsDeducted', 'teamRecorder', 'onUsageEvent']) {
    const { gate, key } = gateWith();
    gate[hook] = 'no';
    const message = `gate.${hook} must be a function, but is string`;
    throws(() => gate.evaluate(key, { name: 'x' }), 'TypeError', message);
    throws(() => gate.evaluateBatch(key, [{ name: 'x' }, { name: 'y' }]), 'TypeError', message);
    gate[hook] = undefined;
    const { credits, totalSpent } = gate.store.getKey(key);
    assert.deepEqual([credits, totalSpent, gate.meter.eventCount], [97, 3, 3], hook);
  }
  const { gate, key } = gateWith();
  gate.evaluate(key, { name: 'x' });
  gate.onUsageEvent = {};
  throws(() => gate.refund(key, 'x', 1), 'TypeError', 'gate.onUsageEvent must be a function, but is object');
  assert.equal(gate.store.getKey(key).credits, 100);
});

test('hooks are called as methods of the gate, with what they are told and nothing else', () => {
  const { gate, key } = gateWith();
  const told = [];
  for (const hook of ['teamChecker', 'onCreditsDeducted', 'teamRecorder', 'onUsageEvent']) {
    gate[hook] = function hear(...given) {
      told.push([hook, this === gate, given.length]);
      return { allowed: true };
    };
  }
  gate.evaluate(key, { name: 'x' });
  assert.deepEqual(told, [['teamChecker', true, 2], ['onCreditsDeducted', true, 2], ['teamRecorder', true, 2], ['onUsageEvent', true, 1]]);
});

test('a quota that throws when it is looked at later ends nothing', async () => {
  const { gate, key } = gateWith();
  const record = gate.store.getKey(key);
  let isMoody = false;
  record.quota = Object.defineProperty({ monthlyCallLimit: 5 }, 'dailyCallLimit', {
    enumerable: true,
    get() {
      if (isMoody) throw new Error('mine');
      return 3;
    },
  });
  void record.quota;
  isMoody = true;
  await new Promise(setImmediate);
  assert.throws(() => gate.evaluate(key, { name: 'x' }), { message: 'mine' });
  isMoody = false;
  assert.equal(gate.evaluate(key, { name: 'x' }).allowed, true);
});

test('a field that cannot be kept is refused, and stays as it was', () => {
  const { gate, key } = gateWith();
  const record = gate.store.getKey(key);
  throws(() => (record.credits = 5n), 'TypeError', 'credits must be a number, but is bigint');
  throws(() => (record.credits = Infinity), 'RangeError', 'credits must be a whole number from 0 to 9007199254740991, but is Infinity');
  throws(() => (record.tags = cycle), 'TypeError', 'tags must have a form in JSON, but contains itself');
  record.own = 1;
  throws(() => (record.own = deep(500)), 'RangeError', /^own must be nested at most/);
  record.own2 = cycle;
  assert.deepEqual([record.credits, { ...record.tags }, record.own, record.own2], [100, {}, 1, cycle]);
});

test('what is nested as deep as it may be is there after a restart', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'paygate-arguments-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const statePath = join(folder, 'state.json');
  const store = new paygate.KeyStore(statePath);
  const record = store.createKey('k', 5);
  record.own = deep(100);
  record.quota = { dailyCallLimit: 1, own: deep(99) };
  const program = `
    const { KeyStore } = require(${JSON.stringify(join(__dirname, '..'))});
    const record = new KeyStore(process.argv[1]).getKey(process.argv[2]);
    process.stdout.write(JSON.stringify([record.own, record.quota.own]));`;
  const read = (path) => execFileSync(process.execPath, ['-e', program, path, record.key], { encoding: 'utf8' }).split('\n').at(-1);
  store.save();
  const expected = JSON.stringify([deep(100), deep(99)]);
  assert.equal(read(statePath), expected);
  copyFileSync(statePath, join(folder, 'copy.json'));
  assert.equal(read(join(folder, 'copy.json')), expected);
});

test('streams and proxies name what they were given', async () => {
  throws(() => paygate.writeSseEvent({}, {}, 'message'), 'TypeError', 'res must be a ServerResponse, but is object');
  throws(() => paygate.writeSseHeaders(null), 'TypeError', 'res must be a ServerResponse, but is null');
  const { gate, key } = gateWith();
  throws(() => new paygate.McpProxy(gate, 'x', 5), 'TypeError', 'serverArgs must be an array, but is number');
  throws(() => new paygate.MultiServerRouter(gate), 'TypeError', 'configs must be an array, but is undefined');
  throws(() => new paygate.MultiServerRouter(gate, [null]), 'TypeError', 'configs[0] must be an object, but is null');
  const proxy = new paygate.McpProxy(gate, 'x', []);
  const rejects = (promise, message) => assert.rejects(promise, { name: 'TypeError', message });
  await rejects(proxy.handleRequest({ params: cycle }, key), 'request must have a form in JSON, but contains itself');
  await rejects(proxy.forwardUngated({ toJSON: () => null }), 'request must be an object, but is null');
  const client = new paygate.PayGateClient({ url: 'http://127.0.0.1:1', apiKey: 'k' });
  await rejects(client.callTool('x', cycle), 'args must have a form in JSON, but contains itself');
});
