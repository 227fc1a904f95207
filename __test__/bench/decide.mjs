// What does a decision cost, in memory, that lets a call or a batch through?
import { RICH, SEARCH, batch, charged, richGate, total } from './gates.mjs';

export const title = 'Calls and batches that are paid for, in memory';
export const leftOut = 'threads that decide at the same time (cargo bench); Date.now() is the real one and counts.';

const EVALUATE = { calls: 100_000, of: charged, budget: 350, was: 3921 };
const TEN = { calls: 15_000, of: total, each: 10, budget: 1600, was: 12_510 };
const HUNDRED = { calls: 1500, of: total, each: 100, was: 100_255 };

/** Limits of every kind, none of which is reached. */
const LIMITS = {
  allowedTools: ['search', ...batch(10).map(({ name }) => name)],
  quota: { dailyCallLimit: 1e12, monthlyCallLimit: 1e12, dailyCreditLimit: 1e12, monthlyCreditLimit: 1e12 },
};

const PRICED_BY_SIZE = Object.fromEntries(
  ['search', ...batch(10).map(({ name }) => name)].map((name) => [name, { creditsPerCall: 1, creditsPerKbInput: 0.001 }]),
);

export async function prepare() {
  const ten = batch(10);
  const hundred = batch(100);
  const one = Array.from({ length: 100 }, () => SEARCH);
  return {
    rows: [
      ...plain(ten, hundred, one),
      ...manyKeys(),
      ...pair('rate limit', richGate({ globalRateLimitPerMin: 1e9 }), ten, { was: 140_700 }, { was: undefined }),
      ...limited(ten),
      ...pricedBySize(ten),
      watched(),
    ],
  };
}

function pair(title, { gate, key }, ten, moreOfOne, moreOfTen) {
  return [
    { ...EVALUATE, what: `evaluate, ${title}`, act: () => gate.evaluate(key, SEARCH), ...moreOfOne },
    { ...TEN, what: `batch of 10, ${title}`, act: () => gate.evaluateBatch(key, ten), ...moreOfTen },
  ];
}

function plain(ten, hundred, one) {
  const { gate, key } = richGate();
  return [
    ...pair('plain', { gate, key }, ten),
    { ...TEN, what: 'batch of 10, one tool', act: () => gate.evaluateBatch(key, one.slice(0, 10)) },
    { ...HUNDRED, what: 'batch of 100, a hundred tools', act: () => gate.evaluateBatch(key, hundred) },
    { ...HUNDRED, what: 'batch of 100, one tool', act: () => gate.evaluateBatch(key, one) },
  ];
}

function manyKeys() {
  const { gate } = richGate();
  const keys = Array.from({ length: 64 }, (_, i) => gate.store.createKey(`k${i}`, RICH).key);
  // As a key comes from a request: a piece of a text that was just made.
  const fresh = (i) => `Bearer ${keys[i & 63]}`.slice(7);
  return [
    { ...EVALUATE, what: 'evaluate, 64 keys in turn', act: (i) => gate.evaluate(keys[i & 63], SEARCH) },
    { ...EVALUATE, what: 'evaluate, a key that was just read', act: (i) => gate.evaluate(fresh(i), SEARCH), was: 4253 },
  ];
}

function limited(ten) {
  const it = richGate({}, LIMITS);
  it.record.spendingLimit = RICH;
  return pair('list of tools, quota, spending limit', it, ten, { was: 3890 }, { was: undefined });
}

function pricedBySize(ten) {
  const { gate, key } = richGate({ toolPricing: PRICED_BY_SIZE });
  const small = { query: 'weather in Rome', limit: 10 };
  const large = { text: 'x'.repeat(3000), tags: ['a', 'b', 'c'], nested: { depth: 2, list: [1, 2, 3] } };
  const calls = ten.map((call) => ({ ...call, arguments: small }));
  const act = (args) => () => gate.evaluate(key, { name: 'search', arguments: args });
  // A part of a credit is rounded up.
  return [
    { ...EVALUATE, what: 'evaluate, priced by size, small arguments', act: act(small), each: 2, was: 4316, budget: undefined },
    { ...EVALUATE, what: 'evaluate, priced by size, 3 KB', act: act(large), each: 2, calls: 30_000, was: 10_053, budget: undefined },
    { ...TEN, what: 'batch of 10, priced by size', act: () => gate.evaluateBatch(key, calls), each: 20, was: 14_528, budget: undefined },
  ];
}

function watched() {
  const { gate, key, record } = richGate();
  const act = () => ({ remainingCredits: gate.evaluate(key, SEARCH).remainingCredits, after: record.credits });
  const of = ({ remainingCredits, after }) => (remainingCredits === after ? 1 : 0);
  return { ...EVALUATE, what: 'evaluate, then the record\'s credits', act, of, was: 3948 };
}
