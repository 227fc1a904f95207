// Calls everything that the package exports, at random, with arguments that nobody sane would give:
//
//     npm run fuzz -- [--calls 1000000] [--seed 1] [--all]
//
// Whatever happens, the process lives, every call returns within a second, every error is a JavaScript Error that names
// what is wrong, and every balance is a whole number of credits. Of keys that are only charged, refunded and granted
// credits to, what is left and what is spent is what was granted. The books that are kept in a file are verified entry
// by entry, and copies of them have the same keys. `--all` goes on after an error that names nothing, and lists all errors at the end.
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { fault } from './errors.mjs';
import { World, stepsOf } from './targets.mjs';
import { Trap, below, seed } from './values.mjs';
import { watch } from './watchdog.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const { values } = parseArgs({
  options: {
    calls: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: String(Date.now() % 1e9) },
    all: { type: 'boolean', default: false },
  },
});
const calls = Number(values.calls);
seed(Number(values.seed));

/** The books are checked after so many calls, and keys are made anew after so many. */
const CHECKED_EACH = 1000;
const REFILLED_EACH = 5000;
/** After so many calls everything is made anew, and the file's books are verified. */
const WORLD_CALLS = 25_000;

const CALL_MS_MAX = 1000;
/** Beyond this a call hangs even if it computes nothing. */
const CALL_WAIT_MS_MAX = 10_000;

const verifyBooks = ['release', 'debug'].map((profile) => join(root, 'target', profile, 'verify-books')).find(existsSync);
if (verifyBooks === undefined) throw new Error('cargo build -p paygate-testkit makes what verifies the books');

const began = performance.now();
const folder = mkdtempSync(join(tmpdir(), 'paygate-fuzz-'));
// Some arguments are taken for paths.
process.chdir(folder);
const { log: report } = console;
for (const name of ['log', 'error', 'warn']) console[name] = () => {};
process.on('warning', (warning) => failed('the process was warned', warning));

const thrown = new Map();
const slowest = { what: 'none', ms: 0 };
const books = { accounts: 0, entries: 0 };

function failed(what, why) {
  report(`seed ${values.seed}, call ${made}: ${what}`, why);
  rmSync(folder, { recursive: true, force: true });
  process.exit(1);
}

function judge(what, error) {
  if (error instanceof Trap) return;
  const found = fault(what, error);
  if (found !== undefined && !values.all) failed(`an error of ${what} ${found}`, error);
  const sort = `${found ?? 'is good'}: ${what}: ${error.name}: ${error.message.slice(0, 100)}`;
  thrown.set(sort, (thrown.get(sort) ?? 0) + 1);
}

function time(what, ms, cpu) {
  if (ms > slowest.ms) Object.assign(slowest, { what, ms });
  if (ms <= CALL_MS_MAX) return;
  // A machine that has other things to do is no hang.
  const { user, system } = process.cpuUsage(cpu);
  if ((user + system) / 1000 > CALL_MS_MAX || ms > CALL_WAIT_MS_MAX) failed(`${what} took ${Math.round(ms)} ms`, '');
}

/** A copy of a state file and of what belongs to it, in a folder of its own. */
function copied(statePath, name, ...suffixes) {
  const path = join(`${statePath}-${name}`, basename(statePath));
  mkdirSync(dirname(path));
  for (const suffix of suffixes.filter((suffix) => existsSync(statePath + suffix))) copyFileSync(statePath + suffix, path + suffix);
  return path;
}

let made = 0;
let tell;

/** Makes a world, calls what is in it, and verifies its books. */
async function live(number, count) {
  const statePath = join(folder, `state-${number}.json`);
  const world = new World(statePath);
  const steps = stepsOf(world);
  tell ??= watch(steps.map(([name]) => name));
  const pending = new Set();
  for (let done = 0; done < count; done += 1) {
    const which = below(steps.length);
    const [what, step] = steps[which];
    tell(made, which);
    const [cpu, start] = [process.cpuUsage(), performance.now()];
    try {
      const answer = step();
      if (answer instanceof Promise) {
        const settled = answer.then(() => {}, (error) => judge(what, error)).then(() => pending.delete(settled));
        pending.add(settled);
      }
    } catch (error) {
      judge(what, error);
    }
    time(what, performance.now() - start, cpu);
    made += 1;
    if (made % CHECKED_EACH === 0) {
      const found = world.fault();
      if (found !== undefined) failed(`after ${what}`, found);
      if (made % REFILLED_EACH === 0) world.refill();
      await Promise.all(pending);
      await new Promise(setImmediate);
    }
  }
  await Promise.all(pending);
  world.end();
  for (const parts of [['image', ''], ['database', '', '.db', '.db-wal']]) {
    const missing = world.missingIn(copied(statePath, ...parts));
    if (missing !== undefined) failed(`a copy of the ${parts[0]}`, missing);
  }
  const { accounts, entries, faults } = JSON.parse(execFileSync(verifyBooks, [`${statePath}.db`], { encoding: 'utf8' }));
  if (faults.length > 0) failed('the books', faults);
  books.accounts += accounts;
  books.entries += entries;
}

process.on('unhandledRejection', (error) => judge('something unawaited', error));
for (let number = 0; made < calls; number += 1) await live(number, Math.min(WORLD_CALLS, calls - made));

rmSync(folder, { recursive: true, force: true });
if (values.all) for (const [sort, count] of [...thrown].sort()) report(`${count}\t${sort}`);
const seconds = Math.round((performance.now() - began) / 1000);
const megabytes = Math.round(process.memoryUsage.rss() / 2 ** 20);
report(
  `${made} calls in ${seconds} s, seed ${values.seed}: ${thrown.size} sorts of errors, each of which names what is wrong; ` +
    `${books.accounts} accounts and ${books.entries} entries without a fault; ` +
    `the slowest call took ${Math.round(slowest.ms)} ms (${slowest.what}); ${megabytes} MB at the end`,
);
process.exit(0);
