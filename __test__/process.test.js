'use strict';

// Processes and threads: what is on disk when they end, and that they end.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const test = require('node:test');
const { Worker } = require('node:worker_threads');
const { KeyStore } = require('..');

const root = join(__dirname, '..');

function folder(context) {
  const path = mkdtempSync(join(tmpdir(), 'paygate-test-'));
  context.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Runs a script that charges a key in a state file, and gives what the file says afterwards. */
function afterwards(context, script) {
  const cwd = folder(context);
  const head = `
    const { Gate, KeyStore, DEFAULT_CONFIG } = require(${JSON.stringify(root)});
    const gate = new Gate({ ...DEFAULT_CONFIG, globalRateLimitPerMin: 0 }, 'state.json');
    const record = gate.store.importKey('pg_k', 'k', 1000);
    for (let i = 0; i < 100; i += 1) gate.evaluate('pg_k', { name: 'x' });`;
  const { status, signal, stderr } = spawnSync(process.execPath, ['-e', head + script], { cwd, encoding: 'utf8' });
  const file = join(cwd, 'state.json');
  const image = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : [];
  return { cwd, file, status, signal, stderr, record: image[0]?.[1] };
}

for (const [how, script, status] of [
  ['ends', '', 0],
  ['exits', 'process.exit(3)', 3],
  ['throws', 'throw new Error("out")', 1],
  ['changed its folder', 'process.chdir("/")', 0],
]) {
  test(`the state file shows everything when the process ${how}`, (context) => {
    const { record, status: ended } = afterwards(context, script);
    assert.deepEqual([ended, record.credits, record.totalSpent], [status, 900, 100]);
  });
}

test('edits of a live record are in the file after save and at the end', (context) => {
  const { record } = afterwards(context, 'record.spendingLimit = 7; record.mine = { a: 1 }; gate.store.save(); record.mine.a = 2; gate.store.save();');
  assert.deepEqual([record.spendingLimit, record.mine], [7, { a: 2 }]);
});

test('charges survive a kill', (context) => {
  const { file, signal } = afterwards(context, 'process.kill(process.pid, "SIGKILL")');
  assert.equal(signal, 'SIGKILL');
  const script = `const { KeyStore } = require(${JSON.stringify(root)}); console.log(new KeyStore(${JSON.stringify(file)}).getKey('pg_k').credits)`;
  const { stdout } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
  assert.equal(stdout, `[paygate] Loaded 1 key(s) from ${file}\n900\n`);
});

test('a file that cannot be read is moved aside, not overwritten', (context) => {
  const cwd = folder(context);
  writeFileSync(join(cwd, 'state.json'), '{"broken":');
  const script = `
    const { KeyStore } = require(${JSON.stringify(root)});
    const store = new KeyStore('state.json');
    store.importKey('pg_n', 'n', 1);
    console.log(require('node:fs').readdirSync('.').filter((name) => name.includes('corrupt')).length);`;
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', script], { cwd, encoding: 'utf8' });
  assert.equal(stdout, '1\n');
  assert.match(stderr, /^\[paygate\] Failed to load state: /);
});

test('each worker thread has books of its own, and may be ended at any time', async () => {
  const script = `
    const { workerData, parentPort } = require('node:worker_threads');
    const { Gate, DEFAULT_CONFIG } = require(workerData);
    const gate = new Gate({ ...DEFAULT_CONFIG, globalRateLimitPerMin: 0 });
    const { key } = gate.store.createKey('k', 100_000);
    for (let i = 0; i < 20_000; i += 1) gate.evaluate(key, { name: 'x' });
    parentPort.postMessage(gate.store.getKey(key).credits);
    setInterval(() => gate.evaluate(key, { name: 'x' }), 1);`;
  const workers = Array.from({ length: 3 }, () => new Worker(script, { eval: true, workerData: root }));
  const balances = await Promise.all(workers.map((worker) => new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  })));
  assert.deepEqual(balances, [80_000, 80_000, 80_000]);
  await Promise.all(workers.map((worker) => worker.terminate()));
  const store = new KeyStore();
  assert.equal(store.createKey('still here', 1).credits, 1);
});
