// Ends a run whose present call does not return.
import { writeSync } from 'node:fs';
import { Worker, isMainThread, workerData } from 'node:worker_threads';

const STUCK_MS = 30_000;

/** Watches over calls: `names` are what can be called. Gives a function that is told of each call before it is made. */
export function watch(names) {
  const present = new Int32Array(new SharedArrayBuffer(8));
  new Worker(new URL(import.meta.url), { workerData: { present, names } }).unref();
  return (number, which) => {
    present[0] = number;
    present[1] = which;
  };
}

if (!isMainThread) {
  const { present, names } = workerData;
  let [last, since] = [-1, 0];
  setInterval(() => {
    if (present[0] !== last) [last, since] = [present[0], Date.now()];
    if (Date.now() - since < STUCK_MS) return;
    writeSync(2, `call ${last}, ${names[present[1]]}, has not returned for ${STUCK_MS / 1000} s\n`);
    process.kill(process.pid, 'SIGKILL');
  }, 1000);
}
