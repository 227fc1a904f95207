'use strict';

const { AnalyticsEngine } = require('paygate-mcp');
const { expectPlain, thrown } = require('./realm.js');

test('a report is plain and goes by the fake clock', () => {
  jest.useFakeTimers();
  jest.setSystemTime(new Date('2026-03-14T09:00:00.000Z'));
  try {
    const events = [
      { timestamp: '2026-03-14T08:30:00.000Z', apiKey: 'pg_1234567', keyName: 'a', tool: 't', creditsCharged: 2, allowed: true },
    ];
    const report = new AnalyticsEngine().report(events);
    expect(report).toMatchObject({ to: '2026-03-14T09:00:00.000Z', granularity: 'hourly' });
    expect(report.timeSeries).toHaveLength(24);
    expect(report.tools).toStrictEqual([{ tool: 't', calls: 1, allowed: 1, denied: 0, credits: 2, successRate: 1, avgCreditsPerCall: 2 }]);
    expectPlain(report);
    expect(thrown(() => new AnalyticsEngine().report([], { from: 'nope' }))).toBeInstanceOf(RangeError);
  } finally {
    jest.useRealTimers();
  }
});
