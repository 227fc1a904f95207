'use strict';

const { UsageMeter, Gate, DEFAULT_CONFIG } = require('paygate-mcp');
const { expectPlain } = require('./realm.js');

const event = { timestamp: '2026-03-14T09:00:00.000Z', apiKey: 'pg_1234567', keyName: 'a', tool: 't', creditsCharged: 2, allowed: true };

test('events are the objects that were given; sums are plain objects', () => {
  const meter = new UsageMeter();
  meter.record(event);
  meter.record({ ...event, allowed: false, denyReason: 'rate_limited', creditsCharged: 0 });
  expect(meter.eventCount).toBe(2);
  expect(meter.getEvents()[0]).toBe(event);
  expect(meter.getEvents()).toBeInstanceOf(Array);
  const summary = meter.getSummary();
  expect(summary).toStrictEqual({
    totalCalls: 2,
    totalCreditsSpent: 2,
    totalDenied: 1,
    perTool: { t: { calls: 2, credits: 2, denied: 1 } },
    perKey: { a: { calls: 2, credits: 2, denied: 1 } },
    denyReasons: { rate_limited: 1 },
  });
  expectPlain(summary);
  meter.clear();
  expect(meter.getEvents()).toStrictEqual([]);
});

test('events of a gate are plain objects, the same on each read', () => {
  const gate = new Gate({ ...DEFAULT_CONFIG, globalRateLimitPerMin: 0 });
  gate.evaluate(gate.store.createKey('a', 5).key, { name: 'x' });
  const [first] = gate.meter.getEvents();
  expect(first).toEqual(expect.objectContaining({ tool: 'x', creditsCharged: 1, allowed: true, namespace: 'default' }));
  expectPlain(first);
  expect(gate.meter.getEvents()[0]).toBe(first);
});
