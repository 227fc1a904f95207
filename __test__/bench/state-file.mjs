// What does a decision cost that is in the database before it is answered, and does that grow with the keys?
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SEARCH, batch, charged, richGate, total } from './gates.mjs';

export const title = 'Calls and batches that are paid for, with a state file';
export const leftOut = 'a power cut: what is acknowledged survives kill -9 (Durability::Process); the file of 2.9.0, written at most once a second.';

const SIZES = [
  { keys: 1, was: 272_000 },
  { keys: 10_000, was: 55_000_000 },
];

export async function prepare(quick) {
  const folder = mkdtempSync(join(tmpdir(), 'paygate-bench-'));
  const ten = batch(10);
  const gates = [];
  const rows = SIZES.flatMap(({ keys, was }) => {
    const count = quick ? Math.min(keys, 10) : keys;
    const { gate, key } = richGate({}, {}, join(folder, `${keys}.json`));
    gates.push(gate);
    for (let i = 1; i < count; i += 1) gate.store.importKey(`pg_${i}`, `key ${i}`, 1000);
    const budget = 25_000;
    return [
      { what: `evaluate, ${keys} key(s)`, calls: 2000, act: () => gate.evaluate(key, SEARCH), of: charged, budget, was },
      { what: `batch of 10, ${keys} key(s)`, calls: 1000, act: () => gate.evaluateBatch(key, ten), of: total, each: 10, budget },
    ];
  });
  const end = () => {
    for (const gate of gates) {
      gate.store.save();
      gate.destroy();
    }
    rmSync(folder, { recursive: true, force: true });
  };
  return { rows, end };
}
