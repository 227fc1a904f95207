// What do hooks add to a decision that a script makes?
import { SEARCH, batch, richGate } from './gates.mjs';

export const title = 'Calls and batches that are paid for, in memory, with hooks';
export const leftOut = 'hooks of a server, which other threads ask (see the calls over HTTP); what a hook does itself.';

const EVALUATE = { calls: 100_000 };

const HOOKS = ['teamChecker', 'onCreditsDeducted', 'onUsageEvent'];

/** A gate whose hooks count how often they were called. `took` gives the count and starts again. */
export function hookedGate(...names) {
  const it = richGate();
  let told = 0;
  const hooks = {
    teamChecker() {
      told += 1;
      return { allowed: true };
    },
    onCreditsDeducted() {
      told += 1;
    },
    onUsageEvent() {
      told += 1;
    },
  };
  for (const name of names) it.gate[name] = hooks[name];
  const took = () => {
    const count = told;
    told = 0;
    return count;
  };
  return { ...it, took };
}

export async function prepare() {
  const ten = batch(10);
  const single = HOOKS.map((hook) => {
    const { gate, key, took } = hookedGate(hook);
    return { ...EVALUATE, what: `evaluate, ${hook}`, act: () => gate.evaluate(key, SEARCH), of: took };
  });
  const { gate, key, record, took } = hookedGate(...HOOKS);
  const watched = () => ({ remainingCredits: gate.evaluate(key, SEARCH).remainingCredits, after: record.credits });
  const told = ({ remainingCredits, after }) => (remainingCredits === after ? took() : 0);
  const all = { each: 3, budget: 1000, was: 3944 };
  return {
    rows: [
      ...single,
      { ...EVALUATE, ...all, what: 'evaluate, three hooks', act: () => gate.evaluate(key, SEARCH), of: took },
      { ...EVALUATE, ...all, what: 'evaluate, three hooks, then the record\'s credits', act: watched, of: told },
      { what: 'batch of 10, three hooks', calls: 10_000, act: () => gate.evaluateBatch(key, ten), of: took, each: 12 },
    ],
  };
}
