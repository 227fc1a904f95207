// Values that nobody sane would give, drawn from a seed.

/** What a hostile getter, Proxy or method throws; not an error of ours. */
export class Trap extends Error {}

let state = 0;

/** Begins the draws of a seed. */
export function seed(number) {
  state = number >>> 0;
}

/** A number from 0 to below 1 (mulberry32). */
export function chance() {
  state = (state + 0x6d2b79f5) >>> 0;
  let mixed = Math.imul(state ^ (state >>> 15), state | 1);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
}

export const below = (count) => Math.floor(chance() * count);
export const one = (list) => list[below(list.length)];

/** Names that may be meant: of keys and teams, and what to do inside a getter. The run fills them. */
export const known = { keys: [], teams: [], act: () => {} };

const long = 'x'.repeat(100_000);
const cycle = { name: 'cycle' };
cycle.self = cycle;

const nested = (levels, wrap) => {
  let value = {};
  for (let level = 0; level < levels; level += 1) value = wrap(value);
  return value;
};
const trapped = () =>
  Object.defineProperty({}, one(FIELDS), {
    enumerable: true,
    get() {
      throw new Trap('a getter');
    },
  });
const proxied = () =>
  new Proxy(one([{}, [], () => {}]), {
    get(target, name) {
      if (chance() < 0.1) throw new Trap('a proxy');
      return Reflect.get(target, name);
    },
  });
const moody = () => ({
  [one(['toString', 'valueOf', 'toJSON'])]() {
    throw new Trap('a conversion');
  },
});
/** Uses a gate while it is looked at. */
const busy = () =>
  Object.defineProperty({ toString: () => (known.act(), one(TEXTS)) }, one(['name', 'credits', 'quotaDailyCalls', 'quotaLastResetDay']), {
    enumerable: true,
    get: () => (known.act(), one([1, 'search'])),
    set() {},
  });

const FIELDS = [
  'name', 'arguments', 'credits', 'tags', 'key', 'length', 'type', 'rules', 'timestamp', 'quota', 'budget', 'namespace',
  'allowedTools', 'ipAllowlist', 'types', 'limit', 'offset', 'from', 'to', 'topN', 'granularity', 'since', 'method',
  'params', 'id', 'prefix', 'serverCommand', 'remoteUrl', 'host', 'port', 'url', 'timeout', 'clientId', 'redirectUris',
  'scope', 'code', 'level', 'field', 'message', 'maxRetries', 'apiKey', 'expiresAt', 'creditsCharged', 'metadata',
];
const NUMBERS = [0, -0, 1, 2, 5, 0.5, -1, 1e9, 2 ** 31, 2 ** 53 - 1, 2 ** 53, 1e300, -1e300, NaN, Infinity, -Infinity, 1e-320];
const TEXTS = [
  '', ' ', 'search', 'echo', '__proto__', 'constructor', 'toString', '\ud800', 'a\udc00b', '\0', 'ünïcödé',
  '🙂'.repeat(300), long, 'pg_', '10.0.0.0/8', '2026-01-01', 'nope', '999999-01-01', '{"a":1}', 'tools/call',
  'tools/list', 'http://127.0.0.1:1/', 'redis://127.0.0.1:1', 'a:b', 'a\r\nb: c',
];

const HOSTILE = [
  () => one(NUMBERS),
  () => one(NUMBERS),
  () => one(TEXTS),
  () => one(TEXTS),
  () => one(known.keys),
  () => one(known.keys),
  () => one(known.teams),
  () => undefined,
  () => null,
  () => true,
  () => false,
  () => 10n ** 30n,
  () => 5n,
  () => Symbol('s'),
  () => () => one([undefined, { allowed: true }, { allowed: false, reason: 'no' }, null, 7, Symbol('r')]),
  () => new Date(one(NUMBERS)),
  () => cycle,
  () => nested(one([98, 99, 100, 127, 2000, 20_000]), one([(value) => ({ value }), (value) => [value]])),
  () => trapped(),
  () => proxied(),
  () => moody(),
  () => busy(),
  () => new Map([[1, 2]]),
  () => new Array(below(4)),
  () => [one(TEXTS), , one(NUMBERS)],
  () => Array.from({ length: below(5) }, () => value(2)),
  () => ({ name: value(2), arguments: value(2) }),
  () => ({ name: one(['search', 'echo']), arguments: { q: one(TEXTS) } }),
  () => [{ name: 'search' }, { name: one(TEXTS) }],
  () => ({ method: one(['tools/call', 'tools/list', 'ping', value(2)]), id: value(2), params: value(2) }),
  () => ({ [one(FIELDS)]: value(2) }),
  () => ({ [one(FIELDS)]: value(2), [one(FIELDS)]: value(2) }),
  () => Object.create(null),
  () => ({ [Symbol.toPrimitive]: one([5, () => ({})]) }),
  () => new Array(1000).fill(one(TEXTS).slice(0, 100)),
  () => Buffer.from('bytes'),
];

let depth = 0;

/** A value; inside another one, at most so many levels deep. */
export function value(levels = 3) {
  depth += 1;
  try {
    return depth > levels ? one(NUMBERS) : one(HOSTILE)();
  } finally {
    depth -= 1;
  }
}

/** Up to four arguments. */
export const some = () => Array.from({ length: below(5) }, () => value());

/** An object with one member that is anything, beside sane ones. */
export const spoiled = (sane, fields) => ({ ...sane, [one(fields)]: value() });
