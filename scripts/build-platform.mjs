// Fills npm/<platform>/, the package of prebuilt files for the platform it runs on: the addon and the program.
// `npm pack` runs it, so that what is packed is never older than its sources.
import { chmodSync, copyFileSync, existsSync, renameSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { requireRust, root, step, target } from './steps.mjs';

const { names, platform } = createRequire(import.meta.url)('../lib/platform.js');
const library = { darwin: 'libpaygate_node.dylib', win32: 'paygate_node.dll' }[process.platform] ?? 'libpaygate_node.so';
const folder = path.join(root, 'npm', platform);

if (!existsSync(path.join(folder, 'package.json'))) {
  console.log(`There is no npm/${platform}/package.json: the package will be built from source where it is installed.`);
  process.exit(0);
}

requireRust();
// All crates at once, as the checks build them: of some of them alone, cargo would compile much a second time.
await step('building the addon and the program', 'cargo', ['build', '--release', '--locked', '--workspace']);
for (const [from, to] of [[library, names.addon], [names.program, names.program]]) {
  const file = path.join(folder, to);
  copyFileSync(path.join(target, 'release', from), `${file}.new`);
  chmodSync(`${file}.new`, 0o755);
  renameSync(`${file}.new`, file);
  console.log(`  npm/${platform}/${to}  ${(statSync(file).size / 1e6).toFixed(1)} MB`);
}
