'use strict';

const { Gate, KeyStore, DEFAULT_CONFIG } = require('paygate-mcp');
const { expectPlain, thrown } = require('./realm.js');

let gate;

function gateWith(config) {
  gate = new Gate({ ...DEFAULT_CONFIG, toolPricing: { search: { creditsPerCall: 5 } }, ...config });
  return gate.store.createKey('alice', 12);
}

beforeEach(() => {
  jest.useFakeTimers();
  jest.setSystemTime(new Date('2026-03-14T09:26:53.589Z'));
});

afterEach(() => {
  gate?.destroy();
  jest.useRealTimers();
});

test('decisions are plain objects', () => {
  const { key } = gateWith();
  const allowed = gate.evaluate(key, { name: 'search' });
  expect(allowed).toStrictEqual({ allowed: true, creditsCharged: 5, remainingCredits: 7 });
  expectPlain(allowed);
  const denied = gate.evaluate('pg_nobody', { name: 'search' });
  expect(denied).toStrictEqual({ allowed: false, reason: 'invalid_api_key', creditsCharged: 0, remainingCredits: 0 });
  expect(gate.evaluate(null, { name: 'search' })).toMatchObject({ allowed: false, reason: 'missing_api_key' });
});

test('batches are plain objects with plain arrays', () => {
  const { key } = gateWith();
  const result = gate.evaluateBatch(key, [{ name: 'search' }, { name: 'other' }]);
  expect(result).toStrictEqual({
    allAllowed: true,
    totalCredits: 6,
    decisions: [
      { allowed: true, creditsCharged: 5, remainingCredits: 6 },
      { allowed: true, creditsCharged: 1, remainingCredits: 6 },
    ],
    remainingCredits: 6,
    failedIndex: -1,
  });
  expectPlain(result);
  expect(gate.evaluateBatch(key, [{ name: 'search' }, { name: 'search' }])).toMatchObject({ allAllowed: false, failedIndex: 0 });
});

test('a fake clock moves the rate window', () => {
  const { key } = gateWith({ globalRateLimitPerMin: 2, toolPricing: {} });
  const call = () => gate.evaluate(key, { name: 'x' });
  expect([call().allowed, call().allowed]).toEqual([true, true]);
  expect(call()).toMatchObject({ allowed: false, reason: expect.stringMatching(/^rate_limited/) });
  jest.setSystemTime(Date.now() + 59_999);
  expect(call().allowed).toBe(false);
  jest.setSystemTime(Date.now() + 1);
  expect(call().allowed).toBe(true);
});

test('a fake clock moves the quota of the day', () => {
  const quota = { dailyCallLimit: 1, monthlyCallLimit: 0, dailyCreditLimit: 0, monthlyCreditLimit: 0 };
  const { key } = gateWith({ globalQuota: quota });
  expect(gate.evaluate(key, { name: 'x' }).allowed).toBe(true);
  expect(gate.evaluate(key, { name: 'x' }).allowed).toBe(false);
  jest.setSystemTime(new Date('2026-03-15T00:00:00.000Z'));
  expect(gate.evaluate(key, { name: 'x' }).allowed).toBe(true);
});

test('a fake clock lets keys expire', () => {
  gateWith();
  const { key } = gate.store.createKey('bob', 5, { expiresAt: '2026-03-14T10:00:00.000Z' });
  expect(gate.evaluate(key, { name: 'x' }).allowed).toBe(true);
  jest.setSystemTime(new Date('2026-03-14T10:00:00.001Z'));
  expect(gate.evaluate(key, { name: 'x' })).toMatchObject({ allowed: false, reason: 'api_key_expired' });
});

test('errors are this realm\'s', () => {
  const { key } = gateWith();
  expect(() => gate.refund(key, 'x', NaN)).toThrow(Error);
  expect(() => gate.refund(key, 'x', NaN)).toThrow(RangeError);
  expect(() => gate.evaluateBatch(key, [{}])).toThrow(TypeError);
  expect(() => new Gate({ ...DEFAULT_CONFIG, defaultCreditsPerCall: 0.5 })).toThrow(/defaultCreditsPerCall/);
  expect(thrown(() => gate.refund(key, 'x', 0))).toBeInstanceOf(Error);
});

test('hooks may be mocks, and one that throws is heard', () => {
  const { key } = gateWith();
  gate.onUsageEvent = jest.fn();
  gate.onCreditsDeducted = jest.fn();
  gate.teamChecker = jest.fn(() => ({ allowed: true }));
  gate.evaluate(key, { name: 'search' });
  expect(gate.teamChecker).toHaveBeenCalledWith(key, 5);
  expect(gate.onCreditsDeducted).toHaveBeenCalledWith(key, 5);
  expect(gate.onUsageEvent).toHaveBeenCalledWith(expect.objectContaining({ tool: 'search', creditsCharged: 5, allowed: true }));
  gate.teamChecker = () => ({ allowed: false, reason: 'team_budget_exceeded' });
  expect(gate.evaluate(key, { name: 'search' })).toMatchObject({ allowed: false, reason: 'team_budget_exceeded' });
  gate.teamChecker = () => { throw new Error('mine'); };
  expect(() => gate.evaluate(key, { name: 'search' })).toThrow('mine');
});

test('methods can be spied on, and the parts are of the exported classes', () => {
  const { key } = gateWith();
  const spy = jest.spyOn(gate, 'evaluate');
  gate.evaluate(key, { name: 'x' });
  expect(spy).toHaveReturnedWith(expect.objectContaining({ allowed: true }));
  expect(gate.store).toBeInstanceOf(KeyStore);
  const status = gate.getStatus();
  expect(status.keys).toHaveLength(1);
  expectPlain(JSON.parse(JSON.stringify(status)));
});
