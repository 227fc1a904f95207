// The package in every Node that it is for. Other Nodes than the one that runs this come from npm, once.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { cache, install, npm, pack, root, temporaryFolder } from './packed.mjs';

const NODES = ['18.20.8', '20.20.2', '22.23.3', '24.21.0'];
/** A program that does not end by itself has not let go of something. */
const TIMEOUT_MS = 30_000;

/** The program of a version of Node. */
function nodeOf(version) {
  if (process.versions.node.split('.')[0] === version.split('.')[0]) return process.execPath;
  const folder = path.join(cache, 'nodes', version);
  const name = `node-${process.platform}-${process.arch}`;
  const program = path.join(folder, 'node_modules', name, 'bin', 'node');
  if (!fs.existsSync(program)) {
    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(path.join(folder, 'package.json'), '{}');
    npm(['install', '--ignore-scripts', '--prefer-offline', `${name}@${version}`], folder);
  }
  return program;
}

test('a program of a user runs and ends in every Node', async (t) => {
  const folder = temporaryFolder(t);
  const tarball = pack(root, path.join(folder, 'tarball'));
  const user = path.join(folder, 'user');
  install(user, [tarball], '--ignore-scripts');
  fs.copyFileSync(path.join(root, '__test__/consumers/smoke.cjs'), path.join(user, 'smoke.cjs'));
  for (const version of NODES) {
    await t.test(`Node ${version.split('.')[0]}`, () => {
      const { status, signal, stdout, stderr } = spawnSync(nodeOf(version), ['smoke.cjs'], { cwd: user, encoding: 'utf8', timeout: TIMEOUT_MS });
      assert.deepEqual({ status, signal, stderr }, { status: 0, signal: null, stderr: '' });
      assert.match(stdout, new RegExp(`^ok ${version.split('.')[0]}\\.`, 'm'));
    });
  }
});
