'use strict';

// A real Redis for one test: its own port and folder, nothing kept, ended with the test.

const { spawn } = require('node:child_process');
const { mkdtempSync, rmSync } = require('node:fs');
const net = require('node:net');
const { tmpdir } = require('node:os');
const { join } = require('node:path');

/** Starts the server, and ends it once nobody holds the shell's input any more: also when the test is killed. */
const SCRIPT = `
redis-server "$@" </dev/null & server=$!
exec >&- 2>&-
read -r end
kill -9 $server
wait $server
`;

/** How often a port is tried that somebody else may have taken meanwhile. */
const ATTEMPTS = 20;

class Redis {
  constructor(folder, flags) {
    this.folder = folder;
    this.flags = flags;
    this.port = 0;
    this.shell = undefined;
  }

  get url() {
    return `redis://127.0.0.1:${this.port}`;
  }

  get options() {
    return { host: '127.0.0.1', port: this.port };
  }

  /** Starts the server and waits until it answers. What it said, if it ended instead. */
  async run() {
    const flags = ['--bind', '127.0.0.1', '--port', String(this.port), '--save', '', '--appendonly', 'no', ...this.flags];
    const shell = spawn('sh', ['-c', SCRIPT, 'redis', ...flags], { cwd: this.folder, stdio: ['pipe', 'pipe', 'ignore'] });
    this.shell = shell;
    let said = '';
    const isReady = await new Promise((resolve) => {
      shell.stdout.on('data', (chunk) => {
        said += chunk;
        if (said.includes('Ready to accept connections')) resolve(true);
      });
      shell.stdout.on('end', () => resolve(false));
    });
    if (isReady) return undefined;
    await this.stop();
    return said;
  }

  /** Ends it at once; its data is gone. */
  async stop() {
    const { shell } = this;
    if (shell === undefined) return;
    this.shell = undefined;
    const ended = new Promise((resolve) => shell.on('close', resolve));
    shell.stdin.end();
    await ended;
  }

  /** Starts it again, empty, on the same port. */
  async restart() {
    await this.stop();
    const failure = await this.run();
    if (failure !== undefined) throw new Error(`Redis did not come back:\n${failure}`);
  }
}

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.on('listening', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Starts an empty Redis that ends with the test. */
async function startRedis(t, flags = []) {
  const folder = mkdtempSync(join(tmpdir(), 'paygate-redis-'));
  const redis = new Redis(folder, flags);
  t.after(async () => {
    await redis.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  let failure;
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    redis.port = await freePort();
    failure = await redis.run();
    if (failure === undefined) return redis;
  }
  throw new Error(`no Redis: is redis-server installed (apt-get install redis-server)?\n${failure}`);
}

/** Waits until something is so. */
async function until(isSo, what = 'it') {
  const end = Date.now() + 5000;
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`${what} has not come about`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

module.exports = { startRedis, until };
