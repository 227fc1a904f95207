// npm run bench: everything that is measured, with its budgets. Builds first; end other programs for steady figures.
import { spawnSync } from 'node:child_process';
import { installPackages, requireRust, root, step } from './steps.mjs';

requireRust();
await installPackages();
await step('building the programs', 'cargo', ['build', '--release', '--locked', '--workspace']);
await step('building the addon', 'node', ['scripts/build-addon.mjs']);
for (const [command, ...args] of [
  ['node', '__test__/bench/run.mjs'],
  ['cargo', 'bench', '--quiet', '--package', 'bench'],
]) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
