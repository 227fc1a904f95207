// A short run of __test__/fuzz/run.mjs with a seed that is always the same, and one with a new seed, which the failure
// names; `npm run fuzz` runs as long as you like.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = fileURLToPath(new URL('fuzz/run.mjs', import.meta.url));
const TIME_MS_MAX = 120_000;

for (const seed of ['1', String(Date.now() % 1e9)]) {
  test(`20,000 calls with hostile arguments, seed ${seed}`, async (t) => {
    const given = [run, '--calls', '20000', '--seed', seed];
    const ended = await promisify(execFile)(process.execPath, given, { timeout: TIME_MS_MAX }).catch((error) => error);
    t.diagnostic(ended.stdout.trim());
    assert.equal(ended.code, undefined, `${ended.stdout}${ended.stderr}`);
    assert.match(ended.stdout, /^20000 calls in /);
  });
}
