'use strict';

const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { Gate, KeyStore, DEFAULT_CONFIG } = require('paygate-mcp');
const { expectPlain } = require('./realm.js');

let folder;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'paygate-jest-'));
  jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate'] });
  jest.setSystemTime(new Date('2026-03-14T09:26:53.589Z'));
});

afterEach(() => {
  jest.useRealTimers();
  jest.restoreAllMocks();
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const FRESH = {
  name: 'alice',
  credits: 5,
  totalSpent: 0,
  totalCalls: 0,
  createdAt: '2026-03-14T09:26:53.589Z',
  lastUsedAt: null,
  active: true,
  spendingLimit: 0,
  allowedTools: [],
  deniedTools: [],
  expiresAt: null,
  quota: undefined,
  tags: { team: 'a' },
  ipAllowlist: [],
  namespace: 'default',
  quotaDailyCalls: 0,
  quotaMonthlyCalls: 0,
  quotaDailyCredits: 0,
  quotaMonthlyCredits: 0,
  quotaLastResetDay: '2026-03-14',
  quotaLastResetMonth: '2026-03',
};

test('a record is a record to every matcher', () => {
  const store = new KeyStore();
  const record = store.createKey('alice', 5, { tags: { team: 'a' } });
  expect(record).toEqual({ ...FRESH, key: record.key });
  expect({ ...record }).toStrictEqual({ key: record.key, ...FRESH });
  expect(record).toMatchObject({ name: 'alice', tags: { team: 'a' } });
  expect(record).toHaveProperty('credits', 5);
  expect(record).toHaveProperty('tags.team', 'a');
  expect(record.allowedTools).toBeInstanceOf(Array);
  expect(store.getKey(record.key)).toBe(record);
  expect(store.getKey('pg_nobody')).toBeNull();
  expectPlain(JSON.parse(JSON.stringify(record)));
});

test('a record is live: created, charged, read, edited', () => {
  const gate = new Gate({ ...DEFAULT_CONFIG, globalRateLimitPerMin: 0 });
  const record = gate.store.createKey('alice', 3);
  gate.evaluate(record.key, { name: 'x' });
  expect(record).toMatchObject({ credits: 2, totalSpent: 1, totalCalls: 1, lastUsedAt: '2026-03-14T09:26:53.589Z' });
  record.credits = 0;
  expect(gate.evaluate(record.key, { name: 'x' }).allowed).toBe(false);
  record.credits = 9;
  record.deniedTools.push('x');
  expect(gate.evaluate(record.key, { name: 'x' }).reason).toMatch(/^tool_denied|^tool_not_allowed/);
  record.deniedTools.length = 0;
  expect(record.deniedTools).toStrictEqual([]);
  expect(gate.evaluate(record.key, { name: 'x' }).allowed).toBe(true);
  gate.destroy();
});

test('lists are plain arrays of plain objects', () => {
  const store = new KeyStore();
  store.createKey('alice', 5);
  const [listed] = store.listKeys();
  expect(listed).toMatchObject({ name: 'alice', keyPrefix: expect.stringMatching(/^pg_[0-9a-f]{7}\.\.\.$/), expired: false });
  expect(store.listNamespaces()).toStrictEqual([
    { namespace: 'default', keyCount: 1, activeKeys: 1, totalCredits: 5, totalSpent: 0 },
  ]);
});

test('errors are this realm\'s', () => {
  const store = new KeyStore();
  for (const credits of [NaN, Infinity, 2 ** 53]) expect(() => store.createKey('a', credits)).toThrow(RangeError);
  expect(() => store.createKey('a', NaN)).toThrow(Error);
});

test('what a store says of its file can be seen by a spy', () => {
  const log = jest.spyOn(console, 'log').mockImplementation(() => {});
  const error = jest.spyOn(console, 'error').mockImplementation(() => {});
  const path = join(folder, 'state.json');
  const { key } = new KeyStore(path).createKey('alice', 5);
  expect(JSON.parse(readFileSync(path, 'utf8'))).toHaveLength(1);
  log.mockClear();
  expect(new KeyStore(path).getKey(key)).toMatchObject({ name: 'alice', credits: 5 });
  const printed = [...log.mock.calls, ...error.mock.calls].flat().join('\n');
  expect(printed).toMatch(/Loaded 1/i);
  const broken = join(folder, 'broken.json');
  writeFileSync(broken, '{ not json');
  error.mockClear();
  expect(new KeyStore(broken).keys.size).toBe(0);
  expect(error).toHaveBeenCalled();
});
