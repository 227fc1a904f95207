// Does memory grow with what is done? Each case runs in a process of its own and shows what it holds as it goes on.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const GROWTH = fileURLToPath(new URL('growth.mjs', import.meta.url));

/** What is done in each round, and in how many. */
const CASES = [
  { name: 'evaluations', what: 'evaluations', rounds: 10, each: 1_000_000 },
  { name: 'hooked', what: 'evaluations, three hooks, reading the credits', rounds: 5, each: 200_000 },
  { name: 'batches', what: 'batches of 10', rounds: 5, each: 200_000 },
  { name: 'strangers', what: 'refusals, each of another key and tool', rounds: 10, each: 200_000 },
  { name: 'windows', what: 'record windows made and dropped', rounds: 5, each: 200_000 },
  { name: 'lists', what: 'lists of tags made and dropped', rounds: 10, each: 200_000 },
  { name: 'gates', what: 'gates made and dropped', rounds: 10, each: 4000 },
  { name: 'files', what: 'gates with a state file made and dropped', rounds: 5, each: 100 },
  { name: 'kept', what: 'evaluations with a state file', rounds: 6, each: 50_000 },
  { name: 'audit', what: 'audit events', rounds: 5, each: 200_000 },
  { name: 'calls', what: 'calls through McpProxy', rounds: 5, each: 20_000 },
  { name: 'http', what: 'calls to PayGateServer over HTTP, three hooks', rounds: 5, each: 10_000 },
  { name: 'cycles', what: 'servers started and stopped', rounds: 10, each: 100 },
];

/** Longest time of a case. */
const CASE_MS_MAX = 600_000;

const QUICK = { rounds: 2, each: 5 };

export const title = 'Memory';

export async function series(quick) {
  console.log(`\n${title}: in MB after a collection; «growth» is that of the second half`);
  for (const { name, what, ...full } of CASES) {
    const { rounds, each } = quick ? QUICK : full;
    const args = ['--expose-gc', GROWTH, name, String(rounds), String(each)];
    const { stdout, stderr, status, signal } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: CASE_MS_MAX });
    if (status !== 0) throw new Error(`${name} ended with ${signal ?? status}: ${stderr}`);
    show(what, JSON.parse(stdout));
  }
  console.log('  Left out: memory that a script holds itself; pages that the allocator keeps for the next call, which count as resident.');
}

function show(what, { rows, sum }) {
  const middle = rows[rows.length >> 1];
  const last = rows.at(-1);
  const done = last.done - middle.done;
  console.log(`\n  ${what}   sum ${sum}`);
  console.log('        done   resident      heap  external  threads  files   an operation');
  for (const { done: count, rss, heap, external, threads, files, nanoseconds } of rows) {
    const megabytes = [rss, heap, external].map((bytes) => (bytes / 1e6).toFixed(1).padStart(10));
    const time = nanoseconds === undefined ? '' : `${(nanoseconds / 1e3).toFixed(2)} µs`;
    console.log(`  ${String(count).padStart(10)} ${megabytes.join('')}${String(threads).padStart(9)}${String(files).padStart(7)}${time.padStart(15)}`);
  }
  const growth = ['rss', 'heap'].map((kind) => ((last[kind] - middle[kind]) / done).toFixed(2));
  console.log(`  growth: ${growth[0]} bytes resident, ${growth[1]} of heap, an operation`);
}
