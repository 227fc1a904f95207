// What `npm install` of the packed package gives: modules of both kinds, types and a program.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import test, { after, before } from 'node:test';
import { install, npm, pack, root, run, temporaryFolder, version } from './packed.mjs';

const USE = `
  const gate = new Gate({ ...DEFAULT_CONFIG, toolPricing: { search: { creditsPerCall: 5 } } });
  const { key } = gate.store.createKey('a', 7);
  console.log(JSON.stringify([gate.evaluate(key, { name: 'search' }), gate.evaluate(key, { name: 'search' }).allowed]));
  gate.destroy();`;
const USED = '[{"allowed":true,"creditsCharged":5,"remainingCredits":2},false]\n';

const packed = fs.mkdtempSync(path.join(os.tmpdir(), 'paygate-packed-'));
let tarball;
before(() => {
  tarball = pack(root, packed);
});
after(() => fs.rmSync(packed, { recursive: true, force: true }));

/** Uses an installed package in every way there is. */
function useIt(folder) {
  assert.equal(run(folder, process.execPath, '-e', `const { Gate, DEFAULT_CONFIG } = require('paygate-mcp');${USE}`), USED);
  const esm = `import { Gate, DEFAULT_CONFIG } from 'paygate-mcp';${USE}`;
  assert.equal(run(folder, process.execPath, '--input-type=module', '-e', esm), USED);
  const subpaths = `
    const { PayGateClient } = require('paygate-mcp/client');
    const { McpProxy } = require('paygate-mcp/proxy');
    const all = require('paygate-mcp');
    console.log(PayGateClient === all.PayGateClient, McpProxy === all.McpProxy)`;
  assert.equal(run(folder, process.execPath, '-e', subpaths), 'true true\n');
  assert.equal(run(folder, path.join(folder, 'node_modules/.bin/paygate-mcp'), 'version'), `paygate-mcp v${version}\n`);
  assert.equal(run(folder, process.execPath, 'node_modules/paygate-mcp/dist/cli.js', 'version'), `paygate-mcp v${version}\n`);
  assert.equal(npm(['exec', '--offline', '--', 'paygate-mcp', 'version'], folder), `paygate-mcp v${version}\n`);
}

/** The first bytes of what the command is. */
const head = (installed) => fs.readFileSync(path.join(installed, 'bin/paygate-mcp')).subarray(0, 4).toString('latin1');

test('an installed package works; its command is the program itself', (t) => {
  const folder = temporaryFolder(t);
  const installed = install(path.join(folder, 'user'), [tarball]);
  useIt(path.join(folder, 'user'));
  if (process.platform === 'linux') assert.equal(head(installed), '\x7fELF');
  assert.deepEqual(fs.readdirSync(path.join(installed, 'lib')).filter((name) => !name.endsWith('.js')), []);
});

test('with install scripts off, the command goes by way of Node', async (t) => {
  const folder = temporaryFolder(t);
  const user = path.join(folder, 'user');
  const installed = install(user, [tarball], '--ignore-scripts');
  useIt(user);
  assert.equal(head(installed), '#!/u');
  const command = path.join(user, 'node_modules/.bin/paygate-mcp');
  const { status, stderr } = spawnSync(command, ['bogus'], { encoding: 'utf8' });
  assert.deepEqual([status, stderr], [1, 'Unknown command: bogus\n\n']);
  await serveAndStop(command);
});

/** Starts the command in front of a server, and sees it end in good order when it is told to. */
async function serveAndStop(command) {
  const backend = `node ${path.join(root, '__test__/fixtures/slow-backend.mjs')}`;
  const child = spawn(command, ['wrap', '--server', backend, '--port', '0'], { stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = new Promise((resolve) => child.on('exit', (code, signal) => resolve([code, signal])));
  let said = '';
  await new Promise((resolve, reject) => {
    child.stdout.on('data', (chunk) => {
      said += chunk;
      if (/http:\/\/localhost:\d+/.test(said)) resolve();
    });
    child.on('exit', () => reject(new Error(`it ended before it served:\n${said}`)));
  });
  child.kill('SIGTERM');
  assert.deepEqual(await ended, [0, null]);
  assert.match(said, /Graceful shutdown/);
}

test('the native half may come as a package of its own', (t) => {
  const folder = temporaryFolder(t);
  // As at a registry: one package without prebuilt files, and one for this platform.
  run(folder, 'tar', 'xzf', tarball);
  const [platform] = fs.readdirSync(path.join(folder, 'package/npm'));
  const prebuilt = pack(path.join(folder, 'package/npm', platform), path.join(folder, 'platform'));
  fs.rmSync(path.join(folder, 'package/npm'), { recursive: true });
  const main = pack(path.join(folder, 'package'), path.join(folder, 'main'), '--ignore-scripts');
  for (const flags of [[], ['--ignore-scripts']]) {
    const user = path.join(folder, `user${flags.length}`);
    install(user, [prebuilt, main], ...flags);
    useIt(user);
  }
  // Without it, and without Rust, the package says what is missing.
  const alone = path.join(folder, 'alone');
  install(alone, [main], '--ignore-scripts');
  assert.throws(() => run(alone, process.execPath, '-e', `require('paygate-mcp')`), /has no native addon for .* Install Rust/);
  assert.throws(() => run(alone, path.join(alone, 'node_modules/.bin/paygate-mcp')), /has no program for .* Install Rust/);
  assert.equal(run(alone, process.execPath, '-p', `typeof require('paygate-mcp/client').PayGateClient`), 'function\n');
});

test('the types serve users of both module systems', (t) => {
  const folder = temporaryFolder(t);
  const user = path.join(folder, 'user');
  install(user, [tarball], '--ignore-scripts');
  const source = `
    import { Gate, DEFAULT_CONFIG, type GateDecision } from 'paygate-mcp';
    import { PayGateClient, type ToolCallResult } from 'paygate-mcp/client';
    import { McpProxy } from 'paygate-mcp/proxy';
    const gate = new Gate(DEFAULT_CONFIG);
    const decision: GateDecision = gate.evaluate(null, { name: 'search' });
    const proxy: McpProxy = new McpProxy(gate, 'node', ['server.js']);
    export const answer: Promise<ToolCallResult> = new PayGateClient({ url: 'http://h', apiKey: decision.reason ?? '' }).callTool('x');
    export { proxy };`;
  for (const name of ['a.mts', 'b.cts']) fs.writeFileSync(path.join(user, name), source);
  const options = (module, moduleResolution, files) => ({
    compilerOptions: { strict: true, noEmit: true, target: 'ES2022', module, moduleResolution, types: ['node'], typeRoots: [path.join(root, 'node_modules/@types')] },
    files,
  });
  const tsc = path.join(root, 'node_modules/typescript/bin/tsc');
  for (const [module, resolution] of [['NodeNext', 'NodeNext'], ['ESNext', 'Bundler']]) {
    fs.writeFileSync(path.join(user, 'tsconfig.json'), JSON.stringify(options(module, resolution, module === 'ESNext' ? ['a.mts'] : ['a.mts', 'b.cts'])));
    const { status, stdout } = spawnSync(process.execPath, [tsc, '-p', user], { encoding: 'utf8' });
    assert.deepEqual([status, stdout], [0, '']);
  }
});
