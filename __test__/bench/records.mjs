// What does it cost to look at a live record, and to change it?
import { RICH, SEARCH, richGate } from './gates.mjs';

export const title = 'Live records';
export const leftOut = 'records of teams, OAuth clients and audit events, which are made in the same way; a state file, where edits are written with the next change.';

const OPTIONS = { tags: { team: 'blue', env: 'test' }, allowedTools: ['search'], namespace: 'bench' };

export async function prepare(quick) {
  const { gate, key, record } = richGate({}, OPTIONS);
  const { store } = gate;
  let limit = RICH;
  const write = () => {
    limit -= 1;
    record.spendingLimit = limit;
    return record.spendingLimit === limit;
  };
  const isAsMade = (seen) => (seen.name === 'bench' && seen.tags.team === 'blue' && seen.credits === RICH ? 1 : 0);
  const many = richGate();
  for (let i = 1; i < (quick ? 10 : 1000); i += 1) many.gate.store.createKey(`k${i}`, 10);
  return {
    rows: [
      { what: 'credits', calls: 100_000, act: () => record.credits, of: (credits) => (credits === RICH ? 1 : 0), budget: 200, was: 9 },
      { what: 'name', calls: 100_000, act: () => record.name, of: (name) => name.length, each: 5, was: 9 },
      { what: 'tags.team', calls: 50_000, act: () => record.tags.team, of: (team) => team.length, each: 4, was: 9 },
      { what: 'spendingLimit = n, and read again', calls: 50_000, act: write },
      { what: 'getKey', calls: 50_000, act: () => store.getKey(key), of: (found) => (found === record ? 1 : 0), budget: 500 },
      { what: '{...record}', calls: 5000, act: () => ({ ...record }), of: isAsMade, was: 60 },
      { what: 'JSON.stringify(record)', calls: 5000, act: () => JSON.stringify(record), of: (text) => (text.startsWith(`{"key":"${key}"`) ? 1 : 0), was: 1300 },
      { what: 'Object.keys(record)', calls: 50_000, act: () => Object.keys(record), of: (names) => names.length, each: Object.keys(record).length, was: 50 },
      { what: 'createKey', calls: 2000, act: () => many.gate.store.createKey('k', 10), of: ({ credits }) => credits, each: 10, was: 5060 },
      { what: 'createKey, evaluate, read the credits', calls: 2000, act: () => used(many.gate), of: ({ credits }) => credits, each: 9 },
      { what: 'hasCredits', calls: 100_000, act: () => store.hasCredits(key, 1) },
      { what: 'deductCredits, 1', calls: 50_000, act: () => many.gate.store.deductCredits(many.key, 1) },
    ],
  };
}

function used(gate) {
  const record = gate.store.createKey('k', 10);
  gate.evaluate(record.key, SEARCH);
  return record;
}
