// npm start: the gate in front of the public «everything» MCP server, with its books in ./.paygate/.
// Installs and builds what is missing, makes a demo key on the first run, and shows how to call.
import { spawn } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fail, installPackages, requireRust, root, step, target } from './steps.mjs';

const SERVER = 'node_modules/@modelcontextprotocol/server-everything/dist/index.js';
const DEMO_CREDITS = 100;
const home = path.join(root, '.paygate');
const flags = process.argv.slice(2);

console.log('paygate-mcp: a gate in front of an MCP server\n');
requireRust();
await installPackages();
await step('building the gate', 'cargo', ['build', '--release', '--locked', '--package', 'paygate-cli']);

fs.mkdirSync(home, { recursive: true, mode: 0o700 });
const adminKey = remembered('admin-key', () => `admin_${crypto.randomBytes(16).toString('hex')}`);
const gate = spawn(path.join(target, 'release', 'paygate-mcp'), [
  'wrap', '--server', `node ${SERVER} stdio`, '--name', 'paygate demo',
  '--state-file', path.join(home, 'state.json'), ...flags,
], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, PAYGATE_ADMIN_KEY: adminKey } });

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => gate.kill(signal));
gate.on('exit', (code, signal) => {
  if (signal) console.error(`the gate was ended by ${signal}; run npm start again to go on with the same books`);
  process.exit(code ?? 1);
});

const endpoint = await endpointOf(gate);
const key = await demoKey(endpoint);
const call = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'echo', arguments: { message: 'hello' } } });
console.log(`
  Endpoint   ${endpoint}/mcp
  Key        ${key}      (${DEMO_CREDITS} credits, one a call)
  Admin key  in .paygate/admin-key

  A paid call:
    curl -s ${endpoint}/mcp -H 'X-API-Key: ${key}' -H 'Content-Type: application/json' -d '${call}'

  What is left:
    curl -s ${endpoint}/balance -H 'X-API-Key: ${key}'

  Ctrl-C stops the gate; the books stay in .paygate/.
`);

/** A secret that is made on the first run and kept in ./.paygate/, readable by its owner alone. */
function remembered(name, make) {
  const file = path.join(home, name);
  if (!fs.existsSync(file)) fs.writeFileSync(file, make(), { mode: 0o600 });
  return fs.readFileSync(file, 'utf8').trim();
}

/** Shows the gate's banner and reads the address from it. */
function endpointOf(child) {
  return new Promise(resolve => {
    let text = '';
    child.stdout.on('data', chunk => {
      process.stdout.write(chunk);
      text += chunk;
      const found = /http:\/\/localhost:\d+/.exec(text);
      if (found) resolve(found[0]);
    });
  });
}

/** The key made on the first run; a new one when the books do not know it any more. */
async function demoKey(endpoint) {
  const file = path.join(home, 'demo-key');
  if (fs.existsSync(file)) {
    const known = fs.readFileSync(file, 'utf8').trim();
    const balance = await fetch(`${endpoint}/balance`, { headers: { 'X-API-Key': known } });
    if (balance.ok) return known;
  }
  const made = await fetch(`${endpoint}/keys`, {
    method: 'POST',
    headers: { 'X-Admin-Key': adminKey, 'Content-Type': 'application/json' },
    body: JSON.stringify({ name: 'demo', credits: DEMO_CREDITS }),
  });
  if (!made.ok) fail(`the gate made no demo key: HTTP ${made.status} ${await made.text()}`);
  const { key } = await made.json();
  fs.writeFileSync(file, key, { mode: 0o600 });
  return key;
}
