// What does a refusal cost? It takes nothing and writes nothing, so that crossing into native code is most of it.
import { RICH, SEARCH, batch, richGate } from './gates.mjs';

export const title = 'Calls and batches that are refused, in memory';
export const leftOut = 'what a caller does with a refusal; shadow mode, which is a call that goes through.';

const refused = ({ allowed }) => (allowed ? 0 : 1);
const noneAllowed = ({ allAllowed }) => (allAllowed ? 0 : 1);

const ONE = { calls: 100_000, of: refused, budget: 350 };

export async function prepare() {
  return { rows: [...calls(), ...batches(10, 15_000), ...batches(100, 1500)] };
}

function calls() {
  const { gate, key } = richGate({ globalRateLimitPerMin: 0 }, { deniedTools: ['search'] });
  const poor = gate.store.createKey('poor', 1).key;
  gate.evaluate(poor, { name: 'other' });
  const limited = richGate({ globalRateLimitPerMin: 1 });
  limited.gate.evaluate(limited.key, SEARCH);
  // When a minute has passed one call is let through.
  const overRate = ({ allowed, reason }) => (allowed || reason.startsWith('rate_limited') ? 1 : 0);
  return [
    { ...ONE, what: 'call, no key', act: () => gate.evaluate(null, SEARCH) },
    { ...ONE, what: 'call, unknown key', act: () => gate.evaluate('pg_nobody', SEARCH), was: 711 },
    { ...ONE, what: 'call, denied tool', act: () => gate.evaluate(key, SEARCH), was: 855 },
    { ...ONE, what: 'call, over the rate limit', act: () => limited.gate.evaluate(limited.key, SEARCH), of: overRate, was: 2094 },
    { ...ONE, what: 'call, no credits', act: () => gate.evaluate(poor, SEARCH) },
  ];
}

function batches(count, calls) {
  const tools = batch(count);
  const { gate } = richGate();
  const key = (options, credits = RICH) => gate.store.createKey('bench', credits, options).key;
  const last = tools.at(-1).name;
  const rows = {
    'unknown key': 'pg_nobody',
    'the first tool denied': key({ deniedTools: ['tool-0'] }),
    'the last tool denied': key({ deniedTools: [last] }),
    'no credits': key({}, 1),
  };
  const was = (title) => (count === 10 && title === 'the first tool denied' ? 1029 : undefined);
  return Object.entries(rows).map(([title, who]) => ({
    what: `batch of ${count}, ${title}`,
    calls,
    act: () => gate.evaluateBatch(who, tools),
    of: noneAllowed,
    budget: count * 160,
    was: was(title),
  }));
}
