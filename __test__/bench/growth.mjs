// Does something in rounds and tells what the process holds after each:
//
//     node --expose-gc __test__/bench/growth.mjs <case> <rounds> <operations of a round>
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { CONFIG, RICH, SEARCH, batch, paygate, richGate } from './gates.mjs';
import { hookedGate } from './hooks.mjs';
import { Caller, instantBackend } from './servers.mjs';

const { AuditLogger, McpProxy, PayGateServer } = paygate;

const CASES = { evaluations, hooked, batches, strangers, windows, lists, gates, files, kept, audit, calls, http, cycles };

/** Events that a meter keeps. */
const EVENTS_MAX = 100_000;

const [name, rounds, each] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'paygate-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
// Servers say on standard output that they drain.
const print = console.log;
console.log = () => {};

const { act, end } = await CASES[name]();
const rows = [await held(0)];
let sum = 0;
for (let round = 1; round <= Number(rounds); round += 1) {
  const start = process.hrtime.bigint();
  for (let i = 0; i < Number(each); i += 1) {
    const counted = act(i);
    sum += typeof counted === 'number' ? counted : await counted;
  }
  const nanoseconds = Number(process.hrtime.bigint() - start) / Number(each);
  rows.push({ ...(await held(round * Number(each))), nanoseconds });
}
await end?.();
if (sum !== Number(rounds) * Number(each)) throw new Error(`the sum is ${sum}, not ${Number(rounds) * Number(each)}`);
print(JSON.stringify({ rows, sum }));

/** What the process holds, after what can be collected is. */
async function held(done) {
  // What native code held is let go a turn after its object was collected.
  for (let i = 0; i < 4; i += 1) {
    globalThis.gc();
    await turn();
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  return { done, rss, heap: heapUsed, external, threads: count('task'), files: count('fd') };
}

/** How many the process has of something; 0 where the system does not tell. */
function count(what) {
  try {
    return readdirSync(`/proc/self/${what}`).length;
  } catch {
    return 0;
  }
}

/** Fills the meter of a gate, which keeps the latest events, so that what grows after that is something else. */
function filled(gate, key) {
  for (let i = 0; i <= EVENTS_MAX; i += 1) gate.evaluate(key, SEARCH);
}

function evaluations() {
  const { gate, key } = richGate({ globalRateLimitPerMin: 1e9 });
  return { act: () => gate.evaluate(key, SEARCH).creditsCharged };
}

function hooked() {
  const { gate, key, record, took } = hookedGate('teamChecker', 'onCreditsDeducted', 'onUsageEvent');
  const act = () => {
    const { remainingCredits } = gate.evaluate(key, SEARCH);
    return record.credits === remainingCredits ? took() / 3 : 0;
  };
  return { act };
}

function batches() {
  const { gate, key } = richGate();
  const ten = batch(10);
  return { act: () => gate.evaluateBatch(key, ten).totalCredits / 10 };
}

function strangers() {
  const { gate } = richGate();
  let number = 0;
  const act = () => {
    number += 1;
    return gate.evaluate(`pg_${number}`, { name: `tool-${number}` }).allowed ? 0 : 1;
  };
  return { act };
}

/** Each import of a key gives it another record, and the one before keeps its last values for whoever holds it. */
function windows() {
  const { gate } = richGate();
  const options = { tags: { team: 'blue' }, allowedTools: ['search'] };
  const act = () => {
    const record = gate.store.importKey('pg_same', 'same', 10, options);
    return record.tags.team === 'blue' && record.allowedTools[0] === 'search' ? record.credits / 10 : 0;
  };
  return { act };
}

function lists() {
  const { record } = richGate();
  const act = (i) => {
    record.tags = { number: String(i) };
    record.allowedTools = ['search'];
    return record.tags.number === String(i) ? record.allowedTools.length : 0;
  };
  return { act };
}

function gates() {
  const act = async (i) => {
    const { gate, key } = richGate({ globalRateLimitPerMin: 60 });
    const { creditsCharged } = gate.evaluate(key, SEARCH);
    gate.destroy();
    // Collected objects let go of what native code holds only when the script pauses.
    if (i % 100 === 0) await turn();
    return creditsCharged;
  };
  return { act };
}

function files() {
  let number = 0;
  const act = async () => {
    number += 1;
    const { gate, key } = richGate({}, {}, join(folder, `${number}.json`));
    const { creditsCharged } = gate.evaluate(key, SEARCH);
    gate.store.save();
    gate.destroy();
    await turn();
    return creditsCharged;
  };
  return { act };
}

function kept() {
  const { gate, key } = richGate({}, {}, join(folder, 'kept.json'));
  return { act: () => gate.evaluate(key, SEARCH).creditsCharged };
}

function audit() {
  const log = new AuditLogger({ cleanupIntervalMs: 0 });
  return { act: (i) => (log.log('key.topup', 'admin', 'added credits', { i }).metadata.i === i ? 1 : 0) };
}

async function calls() {
  const { gate, key } = richGate();
  filled(gate, key);
  const proxy = new McpProxy(gate, instantBackend(), []);
  await proxy.start();
  const request = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'search' } };
  const act = async () => ((await proxy.handleRequest(request, key)).result === undefined ? 0 : 1);
  return { act, end: () => proxy.stop() };
}

function serverOf() {
  return new PayGateServer({ ...CONFIG, serverCommand: instantBackend(), serverArgs: [], port: 0 });
}

async function http() {
  const server = serverOf();
  const hooks = { teamChecker: () => ({ allowed: true }), onCreditsDeducted: () => {}, onUsageEvent: () => {} };
  const { key } = server.gate.store.createKey('bench', RICH);
  filled(server.gate, key);
  Object.assign(server.gate, hooks);
  const { port } = await server.start();
  const caller = await Caller.to(port, key);
  const act = async () => ((await caller.call()).result === undefined ? 0 : 1);
  const end = async () => {
    caller.close();
    await server.stop();
  };
  return { act, end };
}

function cycles() {
  const act = async () => {
    const server = serverOf();
    const { port } = await server.start();
    await server.stop();
    return port > 0 ? 1 : 0;
  };
  return { act };
}
