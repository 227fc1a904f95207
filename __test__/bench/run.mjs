// Prints what the in-process API costs from JavaScript:
//
//     node __test__/bench/run.mjs [--quick] [--only decide,memory]
//
// One file a question, and one process, so that none runs on code that was compiled for another. `--quick` does very
// little of everything: it shows that it all works, and no times. Needs the addon and the release build of the
// testkit; `npm run bench` builds both.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { machine, measure, print } from './measure.mjs';

const QUESTIONS = ['decide', 'hooks', 'denials', 'state-file', 'records', 'telling', 'servers', 'start', 'memory'];

const options = { quick: { type: 'boolean', default: false }, only: { type: 'string' } };
const { quick, only } = parseArgs({ options }).values;
const names = only?.split(',') ?? QUESTIONS;
const unknown = names.find((name) => !QUESTIONS.includes(name));
if (unknown !== undefined) throw new Error(`there is no question ${unknown}; there are ${QUESTIONS.join(', ')}`);

if (names.length === 1) {
  const { title, leftOut, prepare, series } = await import(`./${names[0]}.mjs`);
  await (series === undefined ? rows(title, leftOut, prepare) : series(quick));
} else {
  console.log(machine());
  console.log('Median of nine short runs in turns, and (least .. most).');
  for (const name of names) {
    const args = [fileURLToPath(import.meta.url), '--only', name, ...(quick ? ['--quick'] : [])];
    const { status, signal } = spawnSync(process.execPath, args, { stdio: 'inherit' });
    if (status !== 0) throw new Error(`${name} ended with ${signal ?? status}`);
  }
  console.log(`\n${machine()}`);
}

async function rows(title, leftOut, prepare) {
  const { rows, end } = await prepare(quick);
  try {
    print(title, await measure(rows, quick), leftOut);
  } finally {
    await end?.();
  }
}
