// Builds the native addon and puts it where lib/native.js looks for it.
import { spawnSync } from 'node:child_process';
import { copyFileSync, renameSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const { built, names } = createRequire(import.meta.url)('../lib/platform.js');
const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const library = { darwin: 'libpaygate_node.dylib', win32: 'paygate_node.dll' }[process.platform] ?? 'libpaygate_node.so';
const target = process.env.CARGO_TARGET_DIR ?? join(root, 'target');
const addon = built.addon;

console.log('Building the addon (cargo build --release -p paygate-node) …');
const started = Date.now();
const cargo = spawnSync('cargo', ['build', '--release', '-p', 'paygate-node'], { cwd: root, stdio: 'inherit' });
if (cargo.error) {
  console.error(`cargo could not be started: ${cargo.error.message}. Rust is needed to build from source: https://rustup.rs`);
  process.exit(1);
}
if (cargo.status !== 0) process.exit(cargo.status ?? 1);

// Renamed into place: a process that has the old addon loaded keeps it.
copyFileSync(join(target, 'release', library), `${addon}.new`);
renameSync(`${addon}.new`, addon);
const megabytes = (statSync(addon).size / 1e6).toFixed(1);
console.log(`Built lib/${names.addon} (${megabytes} MB) in ${((Date.now() - started) / 1000).toFixed(1)} s.`);
