'use strict';

const { SessionManager, writeSseEvent, writeSseHeaders } = require('paygate-mcp');

let sessions;

beforeEach(() => {
  jest.useFakeTimers();
  sessions = new SessionManager({ sessionTimeoutMs: 1000 });
});

afterEach(() => {
  sessions.destroy();
  jest.useRealTimers();
});

test('a session lives until the fake clock has passed its time', () => {
  const id = sessions.createSession('pg_key');
  expect(sessions.getSession(id)).toMatchObject({ id, apiKey: 'pg_key' });
  expect(sessions.getSession(id).sseConnections).toBeInstanceOf(Set);
  jest.setSystemTime(Date.now() + 1001);
  expect(sessions.getSession(id)).toBeNull();
});

test('event streams go to whatever response is given', () => {
  const res = { writeHead: jest.fn(), write: jest.fn(() => true) };
  writeSseHeaders(res);
  writeSseEvent(res, { a: 1 });
  expect(res.writeHead).toHaveBeenCalledWith(200, expect.objectContaining({ 'Content-Type': 'text/event-stream' }));
  expect(res.write.mock.calls.flat().join('')).toContain('data: {"a":1}\n');
});
