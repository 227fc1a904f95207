// The real program in front of a stdio server, on a free port, ended with the test.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const program = path.join(process.env.CARGO_TARGET_DIR ?? path.join(root, 'target'), 'release', 'paygate-mcp');
export const ADMIN_KEY = 'admin-key-of-the-tests';

/** A folder that is removed with the test. */
export function temporaryFolder(t) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'paygate-test-'));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts the gate in front of `server` (a command line) and resolves once it serves. */
export async function startGateway(t, server, flags = []) {
  const child = spawn(program, ['wrap', '--server', server, '--port', '0', '--rate-limit', '0', ...flags], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PAYGATE_ADMIN_KEY: ADMIN_KEY },
  });
  const exited = new Promise(resolve => child.on('exit', (code, signal) => resolve(signal ?? code)));
  let said = '';
  child.stderr.on('data', chunk => { said += chunk; });
  const url = await new Promise((resolve, reject) => {
    child.stdout.on('data', chunk => {
      said += chunk;
      const found = /http:\/\/localhost:(\d+)/.exec(said);
      if (found) resolve(`http://127.0.0.1:${found[1]}`);
    });
    child.on('error', reject);
    exited.then(how => reject(new Error(`the gate ended (${how}) before it served:\n${said}`)));
  });
  const gateway = {
    url,
    pid: child.pid,
    exited,
    /** Ends the gate; resolves when it is gone. */
    async stop(signal = 'SIGTERM') {
      child.kill(signal);
      return exited;
    },
    /** Makes a key and resolves to its text. */
    async createKey(credits, options = {}) {
      const made = await fetch(`${url}/keys`, {
        method: 'POST',
        headers: { 'X-Admin-Key': ADMIN_KEY },
        body: JSON.stringify({ name: 'test', credits, ...options }),
      });
      if (made.status !== 201) throw new Error(`POST /keys: ${made.status} ${await made.text()}`);
      return (await made.json()).key;
    },
    /** What `/balance` says of a key. */
    async balance(key) {
      return (await fetch(`${url}/balance`, { headers: { 'X-API-Key': key } })).json();
    },
  };
  t?.after(() => gateway.stop());
  return gateway;
}
