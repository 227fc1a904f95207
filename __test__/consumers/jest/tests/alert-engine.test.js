'use strict';

const { AlertEngine, KeyStore } = require('paygate-mcp');
const { expectPlain } = require('./realm.js');

beforeEach(() => {
  jest.useFakeTimers();
  jest.setSystemTime(new Date('2026-03-14T09:26:53.589Z'));
});

afterEach(() => jest.useRealTimers());

test('alerts are plain, and fire again when the fake cooldown has passed', () => {
  const alerts = new AlertEngine({ rules: [{ type: 'credits_low', threshold: 20, cooldownSeconds: 60 }] });
  const record = new KeyStore().createKey('alice', 20);
  const fired = alerts.check(record.key, record);
  expect(fired).toStrictEqual([
    {
      type: 'credits_low',
      timestamp: '2026-03-14T09:26:53.589Z',
      keyPrefix: `${record.key.slice(0, 10)}...`,
      keyName: 'alice',
      threshold: 20,
      currentValue: 20,
      message: 'Key "alice" has only 20 credits remaining (threshold: 20)',
      metadata: { credits: 20 },
    },
  ]);
  expectPlain(fired);
  expect(alerts.check(record.key, record)).toStrictEqual([]);
  jest.advanceTimersByTime(60_000);
  expect(alerts.check(record.key, record)).toHaveLength(1);
  expect(alerts.consumeAlerts()).toHaveLength(2);
  expect(alerts.pendingCount).toBe(0);
});
