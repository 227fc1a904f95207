// Prints what the in-process API costs from JavaScript:
//
//     node __test__/bench/run.mjs [--quick] [--only decide,memory]
//
// One file a question. `--quick` does very little of everything: it shows that it all works, and no times.
// Needs the addon and the release build of the testkit; `npm run bench` builds both.
import { parseArgs } from 'node:util';
import * as decide from './decide.mjs';
import * as denials from './denials.mjs';
import { machine, measure, print } from './measure.mjs';
import * as memory from './memory.mjs';
import * as records from './records.mjs';
import * as servers from './servers.mjs';
import * as start from './start.mjs';
import * as stateFile from './state-file.mjs';
import * as telling from './telling.mjs';

const QUESTIONS = { decide, denials, 'state-file': stateFile, records, telling, servers, start, memory };

const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false }, only: { type: 'string' } } });
const names = values.only?.split(',') ?? Object.keys(QUESTIONS);
const unknown = names.find((name) => !Object.hasOwn(QUESTIONS, name));
if (unknown !== undefined) throw new Error(`there is no question ${unknown}; there are ${Object.keys(QUESTIONS).join(', ')}`);

console.log(machine());
console.log('Median of nine short runs in turns, least .. most.');
for (const name of names) {
  const { title, leftOut, prepare, series } = QUESTIONS[name];
  if (series !== undefined) {
    await series(values.quick);
    continue;
  }
  const { rows, end } = await prepare(values.quick);
  try {
    print(title, await measure(rows, values.quick), leftOut);
  } finally {
    await end?.();
  }
}
console.log(`\n${machine()}`);
