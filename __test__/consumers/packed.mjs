// The package as its users get it: packed, and installed into a folder that knows nothing of the checkout.
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

/** Where things are kept that take long to fetch. */
export const cache = path.join(path.resolve(root, process.env.CARGO_TARGET_DIR ?? 'target'), 'consumers');

/** The version of the package. */
export const { version } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'));

// What npm told the scripts it runs must not reach the npm that is run here.
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)));

/** Runs npm and gives what it printed; throws with all of it when it fails. */
export function npm(args, cwd) {
  const { status, stdout, stderr } = spawnSync('npm', [...args, '--no-audit', '--no-fund', '--no-update-notifier'], { cwd, env, encoding: 'utf8' });
  if (status !== 0) throw new Error(`npm ${args.join(' ')} ended with ${status}:\n${stdout}${stderr}`);
  return stdout;
}

/** Runs a program in a folder and gives what it printed on standard output. */
export function run(cwd, program, ...args) {
  return execFileSync(program, args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** A folder that is removed with the test. */
export function temporaryFolder(t) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'paygate-consumer-'));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Packs a package into a folder and gives the path of the tarball. */
export function pack(from, into, ...flags) {
  fs.mkdirSync(into, { recursive: true });
  npm(['pack', '--pack-destination', into, ...flags], from);
  const [tarball, ...others] = fs.readdirSync(into).filter((name) => name.endsWith('.tgz'));
  if (tarball === undefined || others.length > 0) throw new Error(`expected one tarball in ${into}`);
  return path.join(into, tarball);
}

/** Installs tarballs into a folder as a project of its own. Nothing is asked of the registry. */
export function install(folder, tarballs, ...flags) {
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ name: 'consumer', private: true }));
  npm(['install', '--offline', ...flags, ...tarballs], folder);
  return path.join(folder, 'node_modules', 'paygate-mcp');
}
