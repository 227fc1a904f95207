'use strict';

// Sessions and their event streams.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { EventEmitter, once } = require('node:events');
const { createServer, get } = require('node:http');
const { join } = require('node:path');
const test = require('node:test');

const { SessionManager } = require('../lib/session-manager.js');

const START = Date.parse('2026-03-14T09:26:53.589Z');

/** Sessions at a time that stands still until it is moved. */
function sessions(t, config) {
  t.mock.timers.enable({ apis: ['Date', 'setInterval'], now: START });
  const manager = new SessionManager(config);
  t.after(() => manager.destroy());
  return { manager, tick: (milliseconds) => t.mock.timers.tick(milliseconds) };
}

/** A response that keeps what is written to it. */
class Stream extends EventEmitter {
  written = '';
  writableEnded = false;
  write(text) {
    this.written += text;
    return true;
  }
  end() {
    this.writableEnded = true;
    this.emit('close');
  }
}

test('a session is made, found and ended', (t) => {
  const { manager, tick } = sessions(t);
  assert.equal(manager.sessionCount, 0);
  const id = manager.createSession('pg_k');
  assert.match(id, /^mcp_sess_[0-9a-f]{32}$/);
  const anonymous = manager.createSession(null);
  tick(5);
  const session = manager.getSession(id);
  assert.deepStrictEqual(session, {
    id,
    createdAt: START,
    lastActivityAt: START + 5,
    sseConnections: new Set(),
    apiKey: 'pg_k',
  });
  assert.deepEqual(Object.keys(session), ['id', 'createdAt', 'lastActivityAt', 'sseConnections', 'apiKey']);
  assert.equal(manager.getSession(id), session);
  assert.equal(manager.getSession(anonymous).apiKey, null);
  assert.equal(manager.sessionCount, 2);
  assert.equal(manager.destroySession(id), true);
  assert.equal(manager.destroySession(id), false);
  for (const none of [id, '', 'none', undefined, null, {}, Symbol('s')]) {
    assert.equal(manager.getSession(none), null);
    assert.equal(manager.destroySession(none), false);
    assert.equal(manager.addSseConnection(none, new Stream()), false);
    assert.equal(manager.sendNotification(none, {}), undefined);
  }
  assert.equal(manager.sessionCount, 1);
  assert.equal(manager.destroy(), undefined);
  assert.equal(manager.sessionCount, 0);
});

test('a session lives for half an hour after it was last used', (t) => {
  const { manager, tick } = sessions(t);
  const id = manager.createSession('k');
  tick(30 * 60_000);
  assert.notEqual(manager.getSession(id), null);
  tick(30 * 60_000);
  assert.equal(manager.addSseConnection(id, new Stream()), true);
  tick(30 * 60_000);
  manager.sendNotification(id, {});
  assert.equal(manager.sessionCount, 1);
  tick(1);
  assert.equal(manager.getSession(id), null);
  assert.equal(manager.sessionCount, 0);
});

test('sessions that nobody asks for are swept once a minute', (t) => {
  const { manager, tick } = sessions(t, { sessionTimeoutMs: 400 });
  const id = manager.createSession('k');
  const stream = new Stream();
  manager.addSseConnection(id, stream);
  tick(59_999);
  assert.equal(manager.sessionCount, 1);
  tick(1);
  assert.equal(manager.sessionCount, 0);
  assert.equal(stream.writableEnded, true);
});

test('a time limit below zero lets nothing live', (t) => {
  const { manager } = sessions(t, { sessionTimeoutMs: -1 });
  assert.equal(manager.getSession(manager.createSession(null)), null);
});

test('the session idle the longest makes room', (t) => {
  const { manager, tick } = sessions(t, { maxSessions: 2 });
  const ids = ['1', '2'].map((key) => {
    tick(8);
    return manager.createSession(key);
  });
  tick(8);
  manager.getSession(ids[0]);
  const third = manager.createSession('3');
  assert.equal(manager.sessionCount, 2);
  assert.equal(manager.getSession(ids[1]), null);
  assert.equal(manager.getSession(ids[0]).apiKey, '1');
  // What a script writes into a session counts.
  manager.getSession(third).lastActivityAt = 0;
  manager.createSession('4');
  assert.equal(manager.getSession(third), null);
  assert.notEqual(manager.getSession(ids[0]), null);
});

test('a session has at most three streams', (t) => {
  const { manager } = sessions(t);
  const id = manager.createSession('k');
  const streams = [1, 2, 3].map(() => new Stream());
  for (const stream of streams) assert.equal(manager.addSseConnection(id, stream), true);
  assert.equal(manager.addSseConnection(id, new Stream()), false);
  streams[1].emit('close');
  assert.equal(manager.getSession(id).sseConnections.size, 2);
  assert.equal(manager.addSseConnection(id, new Stream()), true);
  assert.equal(manager.addSseConnection(manager.createSession(null), new Stream()), true);
});

test('a message goes to all streams of its session', (t) => {
  const { manager } = sessions(t);
  const [id, other] = [manager.createSession('k'), manager.createSession('k')];
  const [a, b, elsewhere] = [new Stream(), new Stream(), new Stream()];
  manager.addSseConnection(id, a);
  manager.addSseConnection(id, b);
  manager.addSseConnection(other, elsewhere);
  assert.equal(manager.sendNotification(id, { jsonrpc: '2.0', method: 'notifications/x' }), undefined);
  const expected = 'event: message\ndata: {"jsonrpc":"2.0","method":"notifications/x"}\n\n';
  assert.deepEqual([a.written, b.written, elsewhere.written], [expected, expected, '']);
});

test('a stream that fails is dropped, and the others are served', (t) => {
  const { manager } = sessions(t);
  const id = manager.createSession('k');
  const [broken, ended, whole] = [new Stream(), new Stream(), new Stream()];
  for (const stream of [broken, ended, whole]) manager.addSseConnection(id, stream);
  broken.write = () => {
    throw new Error('gone');
  };
  ended.writableEnded = true;
  manager.sendNotification(id, {});
  assert.deepEqual([...manager.getSession(id).sseConnections], [whole]);
  assert.equal(whole.written, 'event: message\ndata: {}\n\n');
  // A message that is no JSON is the caller's mistake, and no stream suffers for it.
  assert.throws(() => manager.sendNotification(id, { n: 1n }), TypeError);
  assert.equal(manager.getSession(id).sseConnections.size, 1);
});

test('ending sessions ends their streams', (t) => {
  const { manager } = sessions(t);
  const ids = [manager.createSession('a'), manager.createSession(null)];
  const streams = ids.map((id) => {
    const stream = new Stream();
    manager.addSseConnection(id, stream);
    return stream;
  });
  const broken = new Stream();
  broken.end = () => {
    throw new Error('gone');
  };
  manager.addSseConnection(ids[0], broken);
  manager.destroySession(ids[0]);
  assert.deepEqual(streams.map(({ writableEnded }) => writableEnded), [true, false]);
  manager.destroy();
  assert.equal(streams[1].writableEnded, true);
  assert.equal(manager.getSession(ids[1]), null);
});

test('a stream of a real server leaves when its client does', async (t) => {
  const manager = new SessionManager();
  const id = manager.createSession('k');
  const server = createServer((request, response) => {
    response.writeHead(200);
    response.flushHeaders();
    server.emit('added', manager.addSseConnection(id, response), response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    manager.destroy();
    server.close();
  });
  const request = get({ port: server.address().port, agent: false });
  request.on('error', () => {});
  const [[added, response], [received]] = await Promise.all([once(server, 'added'), once(request, 'response')]);
  assert.equal(added, true);
  manager.sendNotification(id, { a: 1 });
  const [piece] = await once(received.setEncoding('utf8'), 'data');
  assert.match(piece, /^event: message\n/);
  received.on('error', () => {});
  request.destroy();
  await once(response, 'close');
  assert.equal(manager.getSession(id).sseConnections.size, 0);
  // One that is gone already takes no place.
  assert.equal(manager.addSseConnection(id, response), true);
  assert.equal(manager.getSession(id).sseConnections.size, 0);
});

test('sessions keep a process alive until they are destroyed', () => {
  const script = `
    const { SessionManager } = require(${JSON.stringify(join(__dirname, '../lib/session-manager.js'))});
    const manager = new SessionManager();
    setTimeout(() => { console.log('alive'); manager.destroy(); }, 50).unref();`;
  assert.equal(execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' }), 'alive\n');
});

test('the class can be extended, and needs new', (t) => {
  assert.throws(() => SessionManager(), TypeError);
  class Mine extends SessionManager {
    createSession(apiKey) {
      return super.createSession(`mine:${apiKey}`);
    }
  }
  const mine = new Mine({ maxSessions: undefined });
  t.after(() => mine.destroy());
  assert.equal(mine.getSession(mine.createSession('k')).apiKey, 'mine:k');
});
