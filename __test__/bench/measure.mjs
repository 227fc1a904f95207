// How rows are measured and shown. The rows of a question are measured in turns, a short run of each, so that whatever
// else the machine does falls on all of them alike. Every run adds up what its calls gave, and a sum that is not what
// it should be ends the bench: nothing can be optimised away, and nothing that failed counts as fast.
import { cpus, loadavg } from 'node:os';

const RUNS = 9;

/** Results are kept for a while, so that an engine cannot drop making them. */
const RING = new Array(1024);

/** How much of a full run a quick one does. */
const QUICK = { runs: 1, calls: 20 };

/**
 * One row: `what` is measured, and `act(i)`, called `calls` times a run. `of(result)` is the number that a result
 * stands for, and `each` what it should be. A row with `lanes` is asynchronous, with so many calls under way at a time, and
 * `act` is given the number of the lane.
 * A row with `timed` measures its nanoseconds itself. `per` is how many things one call does. `budget` and `was`, what
 * 2.9.0 took, are nanoseconds of a call.
 */
export async function measure(rows, quick) {
  const runs = quick ? QUICK.runs : RUNS;
  const measured = rows.map((row) => {
    const calls = quick ? Math.min(row.calls, QUICK.calls) : row.calls;
    return { per: 1, each: 1, of: Number, ...row, calls, nanoseconds: [], sum: 0 };
  });
  for (const row of measured) await run({ ...row, sum: 0 }, Math.ceil(row.calls / 4));
  for (let turn = 0; turn < runs; turn += 1) {
    for (const row of measured) row.nanoseconds.push((await run(row, row.calls)) / row.calls / row.per);
  }
  for (const { what, sum, each, calls } of measured) {
    if (sum !== each * calls * runs) throw new Error(`${what}: the sum is ${sum}, not ${each * calls * runs}`);
  }
  return measured;
}

/** Nanoseconds of a run. */
async function run(row, calls) {
  if (row.timed !== undefined) return timedRun(row, calls);
  return row.lanes === undefined ? steadyRun(row, calls) : lanesRun(row, calls);
}

function steadyRun(row, calls) {
  const { act, of } = row;
  let sum = 0;
  const start = process.hrtime.bigint();
  for (let i = 0; i < calls; i += 1) {
    const result = act(i);
    RING[i & 1023] = result;
    sum += of(result);
  }
  const nanoseconds = Number(process.hrtime.bigint() - start);
  row.sum += sum;
  return nanoseconds;
}

async function lanesRun(row, calls) {
  let begun = 0;
  const lane = async (number) => {
    while (begun < calls) {
      begun += 1;
      const result = await row.act(number);
      row.sum += row.of(result);
    }
  };
  const start = process.hrtime.bigint();
  await Promise.all(Array.from({ length: row.lanes }, (_, number) => lane(number)));
  return Number(process.hrtime.bigint() - start);
}

async function timedRun(row, calls) {
  let nanoseconds = 0;
  for (let i = 0; i < calls; i += 1) {
    nanoseconds += await row.timed(i);
    row.sum += 1;
  }
  return nanoseconds;
}

function shown(nanoseconds) {
  if (nanoseconds < 1e3) return `${nanoseconds.toFixed(0)} ns`;
  return nanoseconds < 1e6 ? `${(nanoseconds / 1e3).toFixed(2)} µs` : `${(nanoseconds / 1e6).toFixed(2)} ms`;
}

/** Prints the rows of a question: median, least and most, and how they stand to the budget and to 2.9.0. */
export function print(title, rows, leftOut) {
  console.log(`\n${title}`);
  for (const { what, nanoseconds, budget, was, sum } of rows) {
    const sorted = [...nanoseconds].sort((a, b) => a - b);
    const [least, median, most] = [sorted[0], sorted[sorted.length >> 1], sorted.at(-1)];
    const against = [];
    if (budget !== undefined) {
      against.push(`${(median / budget).toFixed(2)} (${(least / budget).toFixed(2)}) of the budget, ${shown(budget)}`);
    }
    if (was !== undefined) against.push(`2.9.0: ${shown(was)}`);
    const figures = `${shown(median).padStart(9)} (${shown(least)} .. ${shown(most)})`;
    console.log(`  ${what.padEnd(52)}${figures.padEnd(36)}${against.join('; ').padEnd(56)} sum ${sum}`.trimEnd());
  }
  console.log(`  Left out: ${leftOut}`);
}

/** What the figures were taken on, and how busy it was. */
export function machine() {
  const load = loadavg().map((average) => average.toFixed(2));
  return `Node ${process.version}, ${cpus().length} cores, load average ${load.join(' ')}`;
}
