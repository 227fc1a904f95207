'use strict';

const { AuditLogger, maskKeyForAudit } = require('paygate-mcp');
const { expectPlain } = require('./realm.js');

let log;

beforeEach(() => {
  jest.useFakeTimers();
  jest.setSystemTime(new Date('2026-03-14T09:26:53.589Z'));
  log = new AuditLogger({ maxAgeHours: 1 });
});

afterEach(() => {
  log.destroy();
  jest.useRealTimers();
});

test('events are plain, live and the same on each read', () => {
  const metadata = { keyMasked: 'pg_1234...cdef' };
  const event = log.log('key.created', 'admin', 'Key created: a', metadata);
  expect(event).toStrictEqual({ id: 1, timestamp: '2026-03-14T09:26:53.589Z', type: 'key.created', actor: 'admin', message: 'Key created: a', metadata });
  expectPlain(event);
  expect(event.metadata).toBe(metadata);
  const page = log.query({ types: ['key.created'] });
  expect(page).toStrictEqual({ total: 1, offset: 0, limit: 100, events: [event] });
  expect(page.events[0]).toBe(event);
  expectPlain(log.stats());
  event.timestamp = '2026-03-14T08:00:00.000Z';
  expect(log.enforceRetention()).toBe(1);
  expect(log.size).toBe(0);
});

test('retention goes by the fake clock and its timer', () => {
  log.log('gate.allow', 'a', 'm');
  jest.advanceTimersByTime(60 * 60 * 1000);
  expect(log.size).toBe(1);
  jest.advanceTimersByTime(60 * 1000);
  expect(log.size).toBe(0);
});

test('masks', () => {
  expect(maskKeyForAudit('pg_1234567890abcdef')).toBe('pg_1234...cdef');
  expect(maskKeyForAudit(null)).toBe('***');
  expect(() => maskKeyForAudit(5)).toThrow(TypeError);
});
