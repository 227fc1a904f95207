// Prints what a decision costs from JavaScript. Medians of nine runs; results are kept in a ring, so that none of
// the work can be dropped by the engine.
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const root = fileURLToPath(new URL('../..', import.meta.url));
const { Gate, DEFAULT_CONFIG } = require(root);

const RUNS = 9;
const RING = new Array(1024);

const median = (numbers) => numbers.sort((a, b) => a - b)[numbers.length >> 1];

/** Nanoseconds of one call of `act`, which is given the number of the call. */
function measure(act, calls) {
  for (let i = 0; i < calls / 4; i += 1) RING[i & 1023] = act(i);
  const runs = [];
  for (let run = 0; run < RUNS; run += 1) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < calls; i += 1) RING[i & 1023] = act(i);
    runs.push(Number(process.hrtime.bigint() - start) / calls);
  }
  return median(runs);
}

function print(what, nanoseconds, budget) {
  const shown = (ns) => (ns < 1e6 ? `${(ns / 1e3).toFixed(2)} µs` : `${(ns / 1e6).toFixed(2)} ms`);
  console.log(`${what.padEnd(48)} ${shown(nanoseconds).padStart(10)}   budget ${shown(budget)}`);
}

const config = { ...DEFAULT_CONFIG, globalRateLimitPerMin: 0, toolPricing: { search: { creditsPerCall: 1 } } };
const ten = Array.from({ length: 10 }, (_, i) => ({ name: `tool-${i}` }));

function rich(gate, name = 'bench') {
  return gate.store.createKey(name, 9e15).key;
}

function benchGate(title, gate, calls, budgets) {
  const key = rich(gate);
  print(`evaluate, ${title}`, measure(() => gate.evaluate(key, { name: 'search' }), calls), budgets.one);
  print(`batch of 10, ${title}`, measure(() => gate.evaluateBatch(key, ten), calls / 8), budgets.ten);
  gate.destroy();
}

benchGate('in memory', new Gate(config), 200_000, { one: 350, ten: 1600 });
benchGate('in memory, rate limit', new Gate({ ...config, globalRateLimitPerMin: 1e9 }), 200_000, { one: 350, ten: 1600 });
{
  const gate = new Gate(config);
  const keys = Array.from({ length: 64 }, (_, i) => rich(gate, `k${i}`));
  print('evaluate, in memory, 64 keys', measure((i) => gate.evaluate(keys[i & 63], { name: 'search' }), 200_000), 350);
  const hooked = new Gate(config);
  const key = rich(hooked);
  hooked.teamChecker = () => ({ allowed: true });
  hooked.teamRecorder = () => {};
  hooked.onCreditsDeducted = () => {};
  print('evaluate, in memory, three hooks', measure(() => hooked.evaluate(key, { name: 'search' }), 100_000), 1000);
  const record = hooked.store.getKey(key);
  print('record.credits', measure(() => record.credits, 200_000), 200);
  print('getKey', measure(() => hooked.store.getKey(key), 200_000), 500);
}

for (const count of [1, 10_000]) {
  const folder = mkdtempSync(join(tmpdir(), 'paygate-bench-'));
  try {
    const gate = new Gate(config, join(folder, 'state.json'));
    for (let i = 1; i < count; i += 1) gate.store.importKey(`pg_${i}`, `key ${i}`, 1000);
    benchGate(`state file, ${count} key(s)`, gate, 4_000, { one: 25_000, ten: 25_000 });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const load = `const s = process.hrtime.bigint(); require(${JSON.stringify(root)}); console.log(Number(process.hrtime.bigint() - s))`;
const loads = Array.from({ length: RUNS }, () => Number(spawnSync(process.execPath, ['-e', load], { encoding: 'utf8' }).stdout));
print('require', median(loads), 10e6);
