// npm test: all set-up and all tests, Rust and JavaScript, with a line of progress for the set-up.
import { spawnSync } from 'node:child_process';
import { installPackages, installRedis, requireRust, root } from './steps.mjs';

requireRust();
await installPackages();
await installRedis();
const { status } = spawnSync('cargo', ['xtask', 'ci'], { cwd: root, stdio: 'inherit' });
process.exit(status ?? 1);
