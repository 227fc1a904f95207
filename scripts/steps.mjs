// Steps of a set-up with a line of progress each. Node's own modules only: it runs on a fresh clone.
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

/** Where cargo puts what it builds. */
export const target = path.resolve(root, process.env.CARGO_TARGET_DIR ?? 'target');

/** Ends the program with a message that says what to do. */
export function fail(message) {
  console.error(`\n${message}`);
  process.exit(1);
}

/** Says what is missing, unless Rust is there. */
export function requireRust() {
  const cargo = spawnSync('cargo', ['--version'], { encoding: 'utf8' });
  if (cargo.error || cargo.status !== 0) {
    fail('Rust is needed to build paygate-mcp: install it from https://rustup.rs (1.95 or newer) and run the same command again.');
  }
}

/** Runs a command of the set-up and shows one line: what is done, and how long it took. Its output shows on failure. */
export async function step(title, command, args, options = {}) {
  const started = Date.now();
  process.stdout.write(`  ${title} … `);
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'], ...options });
  const output = [];
  child.stdout.on('data', chunk => output.push(chunk));
  child.stderr.on('data', chunk => output.push(chunk));
  const code = await new Promise(resolve => {
    child.on('error', error => { output.push(Buffer.from(error.message)); resolve(1); });
    child.on('close', resolve);
  });
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  if (code !== 0) {
    console.log(`failed after ${seconds} s`);
    fail(`${Buffer.concat(output).toString('utf8')}\nThe step «${title}» failed: ${command} ${args.join(' ')}`);
  }
  console.log(`${seconds} s`);
}

/** Installs the npm packages that package-lock.json names, unless they are there. */
export async function installPackages() {
  const lock = path.join(root, 'package-lock.json');
  const installed = path.join(root, 'node_modules', '.package-lock.json');
  const fresh = fs.existsSync(installed) && fs.statSync(installed).mtimeMs >= fs.statSync(lock).mtimeMs;
  if (!fresh) await step('installing npm packages', 'npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund']);
}

/** Installs the Redis that tests start for themselves, unless there is one. Nothing is left running. */
export async function installRedis() {
  const found = () => spawnSync('redis-server', ['--version']).status === 0;
  if (found()) return;
  const root = process.getuid?.() === 0;
  if (!root || spawnSync('apt-get', ['--version']).status !== 0) {
    fail('The tests need redis-server (6.0 or newer): install it (Debian: sudo apt-get install redis-server; macOS: brew install redis) and run the same command again.');
  }
  // The package would start a service of its own, which no test uses.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  await step('updating the list of packages', 'apt-get', ['update', '-qq'], { env });
  await step('installing redis-server', 'apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'redis-server'], { env });
  if (!found()) fail('redis-server was installed, but cannot be started.');
}
