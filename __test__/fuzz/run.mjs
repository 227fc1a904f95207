// Calls everything that the package exports, at random, with arguments that nobody sane would give:
//
//     node __test__/fuzz/run.mjs [--calls 1000000] [--seed 1]
//
// Whatever happens, the process lives, every error is a JavaScript Error with a message, and every balance is a whole
// number of credits. The store is kept in a file, whose books are verified afterwards, entry by entry.
import { execFileSync } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('../..', import.meta.url));
const paygate = createRequire(import.meta.url)(root);
const { values } = parseArgs({
  options: { calls: { type: 'string', default: '1000000' }, seed: { type: 'string', default: String(Date.now() % 1e9) } },
});
const calls = Number(values.calls);
const seed = Number(values.seed);

/** Methods that go to the network, start programs or take their time; their arguments are tried where they are made. */
const NOT_CALLED = new Set(['start', 'stop', 'gracefulStop', 'handleRequest', 'handleBatchRequest', 'forwardUngated']);

/** Classes whose methods speak to a server that is not there. */
const OF_THE_NETWORK = new Set(['PayGateClient', 'RedisClient', 'RedisSubscriber', 'RedisSync']);

/** What a hostile getter throws; not an error of ours. */
class Trap extends Error {}

// ── Chance ───────────────────────────────────────────────────────────────────

let state = seed >>> 0;
/** A number from 0 to below 1 (mulberry32). */
function chance() {
  state = (state + 0x6d2b79f5) >>> 0;
  let mixed = Math.imul(state ^ (state >>> 15), state | 1);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
}
const below = (count) => Math.floor(chance() * count);
const one = (list) => list[below(list.length)];

// ── Arguments ────────────────────────────────────────────────────────────────

const long = 'x'.repeat(100_000);
const cycle = { name: 'cycle' };
cycle.self = cycle;
const deep = () => {
  let value = {};
  for (let i = 0; i < 2000; i += 1) value = { value };
  return value;
};
const trapped = () =>
  Object.defineProperty({}, one(['name', 'arguments', 'credits', 'tags', 'key', 'length', 'type', 'rules', 'timestamp']), {
    enumerable: true,
    get() {
      throw new Trap('a getter');
    },
  });
const proxied = () =>
  new Proxy(one([{}, [], () => {}]), {
    get(target, name) {
      if (chance() < 0.1) throw new Trap('a proxy');
      return Reflect.get(target, name);
    },
  });
const moody = () => ({
  toString() {
    throw new Trap('a toString');
  },
});

const NUMBERS = [0, -0, 1, 2, 5, 0.5, -1, 1e9, 2 ** 31, 2 ** 53 - 1, 2 ** 53, 1e300, -1e300, NaN, Infinity, -Infinity, 1e-320];
const TEXTS = ['', ' ', 'search', 'echo', '__proto__', 'constructor', 'toString', '\ud800', 'a\udc00b', '\0', 'ünïcödé', '🙂'.repeat(300), long, 'pg_', '10.0.0.0/8', '2026-01-01', 'nope', '999999-01-01', '{"a":1}'];

let keys = [];
let teams = [];
const hostile = [
  () => one(NUMBERS),
  () => one(NUMBERS),
  () => one(TEXTS),
  () => one(TEXTS),
  () => one(keys),
  () => one(keys),
  () => one(teams),
  () => undefined,
  () => null,
  () => true,
  () => false,
  () => 10n ** 30n,
  () => Symbol('s'),
  () => () => one([undefined, { allowed: true }, { allowed: false, reason: 'no' }, null, 7]),
  () => new Date(one(NUMBERS)),
  () => cycle,
  () => deep(),
  () => trapped(),
  () => proxied(),
  () => moody(),
  () => new Map([[1, 2]]),
  () => Array.from({ length: below(5) }, () => value(2)),
  () => ({ name: value(2), arguments: value(2) }),
  () => ({ name: one(['search', 'echo']), arguments: { q: one(TEXTS) } }),
  () => [{ name: 'search' }, { name: one(TEXTS) }],
  () => ({ [one(['credits', 'tags', 'name', 'quota', 'budget', 'namespace', 'allowedTools', 'ipAllowlist', 'types', 'limit', 'offset', 'from', 'to', 'topN', 'granularity', 'since'])]: value(2) }),
  () => Object.create(null),
  () => new Array(1000).fill(one(TEXTS)),
  () => Buffer.from('bytes'),
];
let depth = 0;
function value(levels = 3) {
  depth += 1;
  try {
    return depth > levels ? one(NUMBERS) : one(hostile)();
  } finally {
    depth -= 1;
  }
}

// ── What is called ───────────────────────────────────────────────────────────

const folder = mkdtempSync(join(tmpdir(), 'paygate-fuzz-'));
// Some arguments are taken for paths.
process.chdir(folder);
const statePath = join(folder, 'state.json');
const PRICING = { search: { creditsPerCall: 2, rateLimitPerMin: 50 }, echo: { creditsPerCall: 1, creditsPerKbInput: 3 } };
const gate = new paygate.Gate({ ...paygate.DEFAULT_CONFIG, globalRateLimitPerMin: 1000, toolPricing: PRICING }, statePath);
const quiet = ['log', 'error', 'warn'].map((name) => [name, console[name]]);
const report = console.log;
for (const [name] of quiet) console[name] = () => {};

/** Sane instances of every class, beside those that are made at random. */
const makers = {
  Gate: () => gate,
  KeyStore: () => gate.store,
  UsageMeter: () => new paygate.UsageMeter(100),
  RateLimiter: () => new paygate.RateLimiter(5),
  QuotaTracker: () => new paygate.QuotaTracker(),
  TeamManager: () => new paygate.TeamManager(),
  StripeWebhookHandler: () => new paygate.StripeWebhookHandler(gate.store, 'whsec'),
  WebhookEmitter: () => new paygate.WebhookEmitter('nota url', { maxRetries: 0 }),
  OAuthProvider: () => new paygate.OAuthProvider({}),
  SessionManager: () => new paygate.SessionManager(),
  AuditLogger: () => new paygate.AuditLogger({ maxEvents: 100 }),
  ToolRegistry: () => new paygate.ToolRegistry({ ...paygate.DEFAULT_CONFIG, toolPricing: PRICING }, false),
  MetricsCollector: () => new paygate.MetricsCollector(),
  AnalyticsEngine: () => new paygate.AnalyticsEngine(),
  AlertEngine: () => new paygate.AlertEngine({ rules: [{ type: 'credits_low', threshold: 5 }] }),
};

const members = (prototype) =>
  Object.getOwnPropertyNames(prototype).filter(
    (name) => name !== 'constructor' && !NOT_CALLED.has(name) && !(name in EventEmitter.prototype),
  );

const steps = [];
const made = [];
for (const [name, exported] of Object.entries(paygate)) {
  if (typeof exported !== 'function') continue;
  const statics = Object.getOwnPropertyNames(exported).filter((own) => typeof exported[own] === 'function');
  for (const own of statics) steps.push([`${name}.${own}`, () => exported[own](...given())]);
  if (!/^[A-Z]/.test(name)) {
    steps.push([name, () => exported(...given())]);
    continue;
  }
  steps.push([
    `new ${name}`,
    () => {
      if (name === 'KeyStore' || name === 'Gate') return new exported(given()[0]).destroy?.();
      const instance = new exported(...given());
      if (instance.destroy) instance.destroy();
      return undefined;
    },
  ]);
  if (OF_THE_NETWORK.has(name) || makers[name] === undefined) continue;
  const instance = makers[name]();
  made.push(instance);
  for (const member of members(exported.prototype)) {
    const { get } = Object.getOwnPropertyDescriptor(exported.prototype, member);
    if (get !== undefined) steps.push([`${name}#${member}`, () => instance[member]]);
    else if (member !== 'destroy') steps.push([`${name}#${member}`, () => instance[member](...given())]);
  }
}
// What a record lets a script do to it.
steps.push(
  ['record.get', () => JSON.stringify(gate.store.getKey(one(keys)))],
  ['record.set', () => { const record = gate.store.getKey(one(keys)); if (record) record[one(Object.keys(record))] = value(); }],
  ['record.delete', () => { const record = gate.store.getKey(one(keys)); return record && delete record[one(['tags', 'quota', 'name', 'expiresAt', 'lastUsedAt'])]; }],
  ['record.nested', () => { const record = gate.store.getKey(one(keys)); if (record?.allowedTools) record.allowedTools.push(value()); }],
  ['gate.hooks', () => { gate[one(['teamChecker', 'teamRecorder', 'onUsageEvent', 'onCreditsDeducted'])] = chance() < 0.7 ? undefined : value(); }],
);

const given = () => Array.from({ length: below(5) }, () => value());

// ── The run ──────────────────────────────────────────────────────────────────

const thrown = new Map();
function failed(what, error) {
  console.log = report;
  console.log(`seed ${seed}: ${what}`, error);
  process.exit(1);
}
process.on('unhandledRejection', (error) => {
  if (!(error instanceof Error)) failed('a rejection that is no Error', error);
});

function refill() {
  keys = [];
  for (let i = 0; i < 5; i += 1) keys.push(gate.store.createKey(`k${i}`, 1000).key);
  keys.push('pg_unknown', '');
  teams = ['team_unknown'];
}
refill();

for (let done = 0; done < calls; done += 1) {
  const [what, step] = one(steps);
  try {
    const answer = step();
    if (typeof answer?.then === 'function') answer.then(undefined, () => {});
  } catch (error) {
    if (error instanceof Trap) continue;
    if (!(error instanceof Error) || error.message === '') failed(`${what} threw what is no Error with a message`, error);
    if (/internal error|ERR_PAYGATE_PANIC/.test(`${error.code} ${error.message}`)) failed(`${what} hit a bug`, error);
    const sort = `${what}: ${error.name}: ${error.message.slice(0, 80)}`;
    thrown.set(sort, (thrown.get(sort) ?? 0) + 1);
  }
  if (done % 1000 === 0) {
    for (const key of keys) {
      const record = gate.store.getKeyRaw(key);
      if (record && !(Number.isSafeInteger(record.credits) && record.credits >= 0)) failed(`the balance of ${key}`, record.credits);
    }
    if (done % 20_000 === 0) refill();
    // Promises and timers have their turn.
    await new Promise(setImmediate);
  }
}

for (const instance of made) instance.destroy?.();
gate.store.save();
for (const [name, print] of quiet) console[name] = print;
if (process.env.PAYGATE_FUZZ_ERRORS) for (const [sort, count] of [...thrown].sort()) console.log(`${count}\t${sort}`);
const verify = ['release', 'debug'].map((profile) => join(root, 'target', profile, 'verify-books')).find(existsSync);
if (verify === undefined) throw new Error('cargo build -p paygate-testkit makes what verifies the books');
const books = JSON.parse(execFileSync(verify, [`${statePath}.db`], { encoding: 'utf8' }));
if (books.faults.length > 0) failed('the books', books.faults);
rmSync(folder, { recursive: true, force: true });
console.log(`${calls} calls, seed ${seed}: ${thrown.size} sorts of errors, each an Error; ${books.accounts} accounts, ${books.entries} entries, no fault`);
process.exit(0);
