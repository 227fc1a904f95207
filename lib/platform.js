'use strict';

// Where the native half of the package is: the addon and the program. One that was built here, from source, stands
// before a prebuilt one; prebuilt ones come with the package or as a package of their own for each platform.

const { existsSync } = require('node:fs');
const { dirname, join } = require('node:path');

const root = join(__dirname, '..');

/** Operating system, processor and, on Linux, C library. */
const platform = process.platform === 'linux' ? `linux-${process.arch}-gnu` : `${process.platform}-${process.arch}`;

const names = {
  addon: `paygate.${platform}.node`,
  program: process.platform === 'win32' ? 'paygate-mcp.exe' : 'paygate-mcp',
};

/** What a build from source leaves, under the name that this package looks for. */
const built = { addon: join(__dirname, names.addon), program: join(__dirname, names.program) };

const HOW_TO_BUILD =
  'Install Rust 1.95 or newer (https://rustup.rs) and a C compiler, then install it again or run "npm rebuild paygate-mcp".';

/** The path of the addon or the program; undefined when there is none. */
function find(part) {
  if (existsSync(built[part])) return built[part];
  const bundled = join(root, 'npm', platform, names[part]);
  if (existsSync(bundled)) return bundled;
  const folder = platformPackage();
  const packaged = folder && join(folder, names[part]);
  return packaged && existsSync(packaged) ? packaged : undefined;
}

/** The folder of the platform's package, if it is installed and of this version. */
function platformPackage() {
  try {
    const manifest = require.resolve(`@paygate-mcp/${platform}/package.json`);
    return require(manifest).version === require('../package.json').version ? dirname(manifest) : undefined;
  } catch {
    return undefined;
  }
}

/** Loads the addon. */
function load() {
  const path = find('addon');
  if (path === undefined) throw new Error(`paygate-mcp has no native addon for ${platform}. ${HOW_TO_BUILD}`);
  try {
    return require(path);
  } catch (error) {
    throw new Error(`paygate-mcp could not load its native addon: ${error.message}. ${HOW_TO_BUILD}`, { cause: error });
  }
}

module.exports = { HOW_TO_BUILD, built, find, load, names, platform, root };
