'use strict';

const { text } = require('./arguments.js');
const { native, call } = require('./native.js');
const { SessionManager, sendTo } = require('./session-manager.js');
const { streamOf } = require('./sse.js');

const STREAMS_MAX = 3;

/** Session objects that are kept although nobody may hold them; those with streams are kept in any case. */
const OBJECTS_MAX = 1000;

/** Own to the package: what the sessions of a server are made of. */
const PARTS = Symbol('parts');

/** The sessions of a running server. Their streams are those that the script has added. */
class ServerSessions {
  createSession(apiKey) {
    return call(native.sessionsCreate, this[PARTS].handle, ...(apiKey ? [text(apiKey, 'apiKey')] : []));
  }

  getSession(sessionId) {
    const { handle, objects } = this[PARTS];
    const id = text(sessionId, 'sessionId');
    const view = call(native.sessionsView, handle, id);
    if (view === undefined) {
      forget(this, id);
      return null;
    }
    const [createdAt, lastActivityAt, apiKey] = JSON.parse(view);
    let session = objects.get(id);
    if (session === undefined) {
      session = { id, createdAt, lastActivityAt, sseConnections: new Set(), apiKey };
      keep(objects, session);
    }
    session.lastActivityAt = lastActivityAt;
    return session;
  }

  destroySession(sessionId) {
    const id = text(sessionId, 'sessionId');
    forget(this, id);
    return call(native.sessionsEnd, this[PARTS].handle, id);
  }

  addSseConnection(sessionId, res) {
    const session = this.getSession(sessionId);
    if (session === null || session.sseConnections.size >= STREAMS_MAX) return false;
    if (!streamOf(res, 'on').destroyed) {
      session.sseConnections.add(res);
      res.on('close', () => session.sseConnections.delete(res));
    }
    return true;
  }

  sendNotification(sessionId, message) {
    const session = this[PARTS].objects.get(text(sessionId, 'sessionId'));
    if (session !== undefined) sendTo(session, message);
  }

  get sessionCount() {
    return call(native.sessionsCount, this[PARTS].handle);
  }

  destroy() {
    for (const id of [...this[PARTS].objects.keys()]) forget(this, id);
    call(native.sessionsEnd, this[PARTS].handle);
  }
}

Object.setPrototypeOf(ServerSessions.prototype, SessionManager.prototype);

/** Keeps a session's object, so that it is the same each time. */
function keep(objects, session) {
  if (objects.size >= OBJECTS_MAX) {
    for (const [id, { sseConnections }] of objects) {
      if (sseConnections.size === 0) objects.delete(id);
    }
  }
  objects.set(session.id, session);
}

function forget(sessions, id) {
  const { objects } = sessions[PARTS];
  const session = objects.get(id);
  if (session === undefined) return;
  objects.delete(id);
  for (const res of session.sseConnections) {
    try {
      res.end();
    } catch {
      // A stream that cannot be ended is gone.
    }
  }
  session.sseConnections.clear();
}

/** The sessions of a server. */
function sessionsOf(handle) {
  const sessions = Object.create(ServerSessions.prototype);
  Object.defineProperty(sessions, PARTS, { value: { handle, objects: new Map() } });
  return sessions;
}

module.exports = { sessionsOf };
