// The benches run, on very little of everything, and every sum is right: a bench that is wrong ends with an error.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

const RUN = fileURLToPath(new URL('bench/run.mjs', import.meta.url));

const quick = (...args) => {
  const { stdout, stderr, status } = spawnSync(process.execPath, [RUN, '--quick', ...args], {
    encoding: 'utf8',
    timeout: 300_000,
  });
  assert.equal(status, 0, stderr);
  return stdout;
};

test('every bench runs and does the work it measures', () => {
  const printed = quick();
  for (const row of ['evaluate, plain', 'batch of 100, one tool', 'three hooks', 'no credits', 'key(s)', 'tags.team', 'audit.log()', 'HTTP, 32 at a time', 'require', 'servers started and stopped']) {
    assert.ok(printed.includes(row), `nothing is shown of «${row}»:\n${printed}`);
  }
  assert.equal(printed.match(/ {2}Left out: /g).length, 9);
});

test('one question can be asked alone, and an unknown one is an error', () => {
  assert.match(quick('--only', 'denials'), /batch of 10, the last tool denied .* sum 20\n/);
  const { status, stderr } = spawnSync(process.execPath, [RUN, '--only', 'nothing'], { encoding: 'utf8' });
  assert.notEqual(status, 0);
  assert.match(stderr, /there is no question nothing; there are decide, /);
});
