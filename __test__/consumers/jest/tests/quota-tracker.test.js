'use strict';

const { KeyStore, QuotaTracker } = require('paygate-mcp');

const quota = { dailyCallLimit: 2, monthlyCallLimit: 0, dailyCreditLimit: 0, monthlyCreditLimit: 0 };

beforeEach(() => {
  jest.useFakeTimers();
  jest.setSystemTime(new Date('2026-03-31T23:59:59.999Z'));
});

afterEach(() => jest.useRealTimers());

test('counters of a live and of a plain record start over with the fake day', () => {
  const tracker = new QuotaTracker();
  const live = new KeyStore().createKey('a', 5);
  for (const record of [live, { ...live }]) {
    tracker.record(record, 3);
    tracker.record(record, 3);
    expect(record).toMatchObject({ quotaDailyCalls: 2, quotaDailyCredits: 6, quotaMonthlyCalls: 2 });
    expect(tracker.check(record, 1, quota)).toStrictEqual({ allowed: false, reason: expect.stringMatching(/^daily_call_quota/) });
  }
  jest.setSystemTime(new Date('2026-04-01T00:00:00.000Z'));
  expect(tracker.check(live, 1, quota)).toStrictEqual({ allowed: true });
  expect(live).toMatchObject({ quotaDailyCalls: 0, quotaMonthlyCalls: 0, quotaLastResetDay: '2026-04-01', quotaLastResetMonth: '2026-04' });
});
