'use strict';

// What the package exports, and what importing it does.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const test = require('node:test');

const root = join(__dirname, '..');
const paygate = require('..');
const { example } = require('./support/example.js');

const NAMES = ['Gate', 'KeyStore', 'UsageMeter', 'RateLimiter', 'QuotaTracker', 'TeamManager', 'DEFAULT_CONFIG'];

example(
  'the default configuration, in field order',
  () => paygate.DEFAULT_CONFIG,
  '{"name":"PayGate MCP Server","serverCommand":"","serverArgs":[],"port":3402,"defaultCreditsPerCall":1,"toolPricing":{},"globalRateLimitPerMin":60,"freeMethods":["initialize","initialized","ping","notifications/initialized","tools/list","resources/list","prompts/list"],"shadowMode":false,"webhookUrl":null,"webhookSecret":null,"webhookMaxRetries":5,"refundOnFailure":false}',
);

function node(...args) {
  return execFileSync(process.execPath, args, { encoding: 'utf8', cwd: root });
}

test('the exports are read-only, in order, and classes need new', () => {
  assert.deepEqual(Object.keys(paygate), NAMES);
  assert.equal(paygate.__esModule, true);
  assert.equal(Object.isFrozen(paygate.DEFAULT_CONFIG), false);
  assert.throws(() => {
    paygate.Gate = null;
  }, TypeError);
  for (const name of NAMES.slice(0, -1)) assert.throws(() => paygate[name](), TypeError);
  class Mine extends paygate.Gate {}
  const mine = new Mine(paygate.DEFAULT_CONFIG);
  assert.ok(mine instanceof paygate.Gate && mine.store instanceof paygate.KeyStore);
  mine.destroy();
});

test('nothing but the package itself can be imported', () => {
  const script = `
    for (const path of ['package.json', 'lib/native.js', 'lib/gate.js']) {
      try { require('paygate-mcp/' + path); console.log(path); } catch (error) { if (error.code !== 'ERR_PACKAGE_PATH_NOT_EXPORTED') throw error; }
    }`;
  assert.equal(node('-e', script), '');
});

test('an ES module can import the names of the package', () => {
  const script = `import { ${NAMES.join(', ')} } from 'paygate-mcp'; console.log(typeof Gate, DEFAULT_CONFIG.port)`;
  assert.equal(node('--input-type=module', '-e', script), 'function 3402\n');
});

test('importing and using the package prints nothing and keeps no process alive', () => {
  const script = `
    const { Gate, RateLimiter, DEFAULT_CONFIG } = require('paygate-mcp');
    new RateLimiter(5).record('k');
    const gate = new Gate(DEFAULT_CONFIG);
    gate.evaluate(gate.store.createKey('a', 1).key, { name: 'x' });`;
  assert.equal(node('-e', script), '');
});

test('every native function is entered through the guard that stops panics', () => {
  const read = (file) => readFileSync(join(root, 'crates/node/src', file), 'utf8');
  const border = read('call.rs');
  const native = require('../lib/native.js').native;
  const table = [...read('table.rs').matchAll(/c"(\w+)"/g)].map(([, name]) => name);
  // What JavaScript sees is the table, and nothing in the table is a raw callback.
  assert.deepEqual(Object.keys(native), ['shared', ...table]);
  assert.equal([...border.matchAll(/napi_create_function\(/g)].length, 1);
  assert.match(border, /napi_create_function\(env, null_mut\(\), 0, Some\(enter::<ARGUMENTS>\)/);
  assert.match(border, /extern "C" fn enter<[^{]*\{\s*guard\(env, \|\| \{/);
  // Raw callbacks are the border's alone: `enter`, `free` and the registration.
  for (const file of ['books.rs', 'gate.rs', 'key_store.rs', 'live_record.rs', 'quota_tracker.rs', 'rate_limiter.rs', 'table.rs', 'team_manager.rs', 'usage_meter.rs']) {
    assert.doesNotMatch(read(file), /extern "C"|unsafe/, file);
  }
  assert.equal([...border.matchAll(/extern "C" fn/g)].length, 3);
  assert.match(border, /extern "C" fn free<T>[\s\S]{0,500}catch_unwind\(AssertUnwindSafe\(\|\| drop/);
});

test('a panic in native code is an exception, and the process goes on', () => {
  const { native } = require('../lib/native.js');
  assert.throws(() => native.storeSize('no handle'), { code: 'ERR_PAYGATE_PANIC', message: /^internal error: the shell passes a handle first \(.*call\.rs:\d+:\d+\)$/ });
  assert.equal(new paygate.KeyStore().keys.size, 0);
});
