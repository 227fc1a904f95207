// Programs that use the package are tested with jest, which runs each test file in a realm of its own: there an object
// made by native code is no instance of that file's Object. Its project is in jest/, its jest comes from npm, once.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { cache, npm, pack, root, run, temporaryFolder } from './packed.mjs';

const source = path.join(root, '__test__/consumers/jest');

/** The project with its jest and with the package as it is packed. */
function prepared(t) {
  const project = path.join(cache, 'jest');
  fs.mkdirSync(project, { recursive: true });
  const lock = fs.readFileSync(path.join(source, 'package-lock.json'));
  const kept = path.join(project, 'package-lock.json');
  if (!fs.existsSync(path.join(project, 'node_modules')) || !fs.existsSync(kept) || !fs.readFileSync(kept).equals(lock)) {
    fs.copyFileSync(path.join(source, 'package.json'), path.join(project, 'package.json'));
    fs.copyFileSync(path.join(source, 'package-lock.json'), kept);
    npm(['ci', '--ignore-scripts', '--prefer-offline'], project);
  }
  fs.copyFileSync(path.join(source, 'package.json'), path.join(project, 'package.json'));
  fs.rmSync(path.join(project, 'tests'), { recursive: true, force: true });
  fs.cpSync(path.join(source, 'tests'), path.join(project, 'tests'), { recursive: true });
  const installed = path.join(project, 'node_modules', 'paygate-mcp');
  fs.rmSync(installed, { recursive: true, force: true });
  fs.mkdirSync(installed);
  run(installed, 'tar', 'xzf', pack(root, temporaryFolder(t)), '--strip-components=1');
  return project;
}

test('tests of a user pass under jest', async (t) => {
  const project = prepared(t);
  const files = fs.readdirSync(path.join(source, 'tests')).filter((name) => name.endsWith('.test.js')).length;
  const jest = path.join(project, 'node_modules/jest/bin/jest.js');
  for (const [title, flag] of [['all files in one process', '--runInBand'], ['files in several processes', '--maxWorkers=2']]) {
    await t.test(title, () => {
      const { status, stderr } = spawnSync(process.execPath, [jest, '--ci', flag], { cwd: project, encoding: 'utf8' });
      assert.equal(status, 0, stderr);
      assert.match(stderr, new RegExp(`^Test Suites: ${files} passed, ${files} total$`, 'm'));
      // Something that is still open would keep a process of the user's alive.
      assert.doesNotMatch(stderr, /did not exit|failed to exit gracefully|open handle/);
    });
  }
});
