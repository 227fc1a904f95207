// A program in TypeScript, written as programs for 2.9.0 are, compiles under `strict` and does what it says.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const root = join(here, '..');

test('a program for 2.9.0 compiles and runs', () => {
  // Below the package, so that it is found under its own name.
  const folder = mkdtempSync(join(root, 'target', 'program-'));
  try {
    const fixtures = join(here, 'fixtures');
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
    const options = ['--strict', '--module', 'node16', '--target', 'es2022', '--types', 'node', '--outDir', folder, '--rootDir', fixtures];
    const compiled = spawnSync(process.execPath, [tsc, join(fixtures, 'program.ts'), ...options], {
      cwd: root,
      encoding: 'utf8',
    });
    assert.equal(compiled.status, 0, compiled.stdout);
    const program = join(folder, 'program.js');
    const printed = execFileSync(process.execPath, [program, join(fixtures, 'tools.mjs')], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    assert.match(printed, /done\n$/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
