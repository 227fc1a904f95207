'use strict';

const { RateLimiter } = require('paygate-mcp');

let limiter;

beforeEach(() => {
  jest.useFakeTimers();
  jest.setSystemTime(1_000_000);
  limiter = new RateLimiter(2);
});

afterEach(() => {
  limiter.destroy();
  jest.useRealTimers();
});

test('a window moves with the fake clock', () => {
  expect(limiter.check('k')).toStrictEqual({ allowed: true, remaining: 1, resetInMs: 60_000 });
  limiter.record('k');
  jest.advanceTimersByTime(1000);
  limiter.record('k');
  expect(limiter.check('k')).toMatchObject({ allowed: false, remaining: 0, resetInMs: 59_000 });
  jest.advanceTimersByTime(58_999);
  expect(limiter.check('k').allowed).toBe(false);
  jest.advanceTimersByTime(1);
  expect(limiter.check('k').allowed).toBe(true);
  expect(limiter.getCurrentCount('k')).toBe(1);
});

test('destroy leaves no timer', () => {
  expect(jest.getTimerCount()).toBe(1);
  limiter.destroy();
  expect(jest.getTimerCount()).toBe(0);
});
