'use strict';

// Runs when npm has put the package in place: sees to it that there is a native half that works here, from a prebuilt
// one or from source, and puts the program in place of the script that would start it. Node's own modules only.

const { spawnSync } = require('node:child_process');
const { copyFileSync, chmodSync, existsSync, renameSync, rmSync } = require('node:fs');
const { join } = require('node:path');
const { HOW_TO_BUILD, built, find, names, platform, root } = require('../lib/platform.js');

const target = join(root, 'target');
const library = { darwin: 'libpaygate_node.dylib', win32: 'paygate_node.dll' }[process.platform] ?? 'libpaygate_node.so';

/** Whether an addon can be loaded here. In a process of its own: it may be for another machine. */
function loads(addon) {
  return spawnSync(process.execPath, ['-e', 'require(process.argv[1])', addon]).status === 0;
}

/** Builds addon and program from source. */
function build() {
  const cargo = spawnSync('cargo', ['--version'], { encoding: 'utf8' });
  if (cargo.error || cargo.status !== 0) fail(`There is no prebuilt paygate-mcp that works on ${platform}.`);
  console.log(`paygate-mcp: building from source for ${platform} with ${cargo.stdout.trim()}; this takes a minute or two …`);
  const started = Date.now();
  const flags = ['--release', '--locked', '--package', 'paygate-node', '--package', 'paygate-cli'];
  const { status } = spawnSync('cargo', ['build', ...flags, '--target-dir', target], { cwd: root, stdio: 'inherit' });
  if (status !== 0) fail(`paygate-mcp could not be built for ${platform}.`);
  place(join(target, 'release', library), built.addon);
  place(join(target, 'release', names.program), built.program);
  rmSync(target, { recursive: true, force: true });
  console.log(`paygate-mcp: built in ${((Date.now() - started) / 1000).toFixed(0)} s`);
}

/** Puts the program in place of the script that starts it, for a start without Node. */
function placeProgram(program) {
  // Windows starts what `bin` names through Node, whatever it is.
  if (process.platform === 'win32') return;
  const bin = join(root, 'bin', 'paygate-mcp');
  place(program, bin);
  chmodSync(bin, 0o755);
}

/** Copies a file by way of a name beside it: whoever has the old one open keeps it. */
function place(from, to) {
  copyFileSync(from, `${to}.new`);
  renameSync(`${to}.new`, to);
}

function fail(message) {
  console.error(`${message} ${HOW_TO_BUILD}`);
  process.exit(1);
}

function install() {
  // A checkout builds by its own scripts.
  if (existsSync(join(root, '__test__'))) return;
  const addon = find('addon');
  if (addon === undefined || !loads(addon)) build();
  const program = find('program');
  if (program !== undefined) placeProgram(program);
}

install();
