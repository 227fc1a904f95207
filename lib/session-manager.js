'use strict';

const { randomBytes } = require('node:crypto');
const { number, written } = require('./arguments.js');
const { streamOf, writeEventText } = require('./sse.js');

const ID_BYTES = 16;
const SESSION_TIMEOUT_MS = 30 * 60 * 1000;
const SESSIONS_MAX = 1000;
const STREAMS_MAX = 3;
const SWEEP_INTERVAL_MS = 60_000;

/** Own to the package: what a session manager is made of. */
const PARTS = Symbol('parts');

class SessionManager {
  constructor(config) {
    const parts = {
      timeoutMs: number(config?.sessionTimeoutMs ?? SESSION_TIMEOUT_MS, 'config.sessionTimeoutMs'),
      sessionsMax: number(config?.maxSessions ?? SESSIONS_MAX, 'config.maxSessions'),
      streamsMax: number(config?.maxSsePerSession ?? STREAMS_MAX, 'config.maxSsePerSession'),
      sessions: new Map(),
      sweep: setInterval(() => sweep(this), SWEEP_INTERVAL_MS),
    };
    Object.defineProperty(this, PARTS, { value: parts });
  }

  createSession(apiKey) {
    const { sessions, sessionsMax } = this[PARTS];
    if (sessions.size >= sessionsMax) this.destroySession(idlest(sessions));
    const id = `mcp_sess_${randomBytes(ID_BYTES).toString('hex')}`;
    const now = Date.now();
    sessions.set(id, { id, createdAt: now, lastActivityAt: now, sseConnections: new Set(), apiKey: apiKey ?? null });
    return id;
  }

  getSession(sessionId) {
    const session = this[PARTS].sessions.get(sessionId);
    if (session === undefined) return null;
    if (expired(this, session)) {
      this.destroySession(sessionId);
      return null;
    }
    session.lastActivityAt = Date.now();
    return session;
  }

  addSseConnection(sessionId, res) {
    const session = this.getSession(sessionId);
    if (session === null) return false;
    const { sseConnections } = session;
    if (sseConnections.size >= this[PARTS].streamsMax) return false;
    // One that has closed already would never be taken out again.
    if (!streamOf(res, 'on').destroyed) {
      sseConnections.add(res);
      res.on('close', () => sseConnections.delete(res));
    }
    return true;
  }

  sendNotification(sessionId, message) {
    const session = this[PARTS].sessions.get(sessionId);
    if (session === undefined) return;
    sendTo(session, message);
  }

  destroySession(sessionId) {
    const { sessions } = this[PARTS];
    const session = sessions.get(sessionId);
    if (session === undefined) return false;
    sessions.delete(sessionId);
    for (const res of session.sseConnections) endStream(res);
    session.sseConnections.clear();
    return true;
  }

  get sessionCount() {
    return this[PARTS].sessions.size;
  }

  destroy() {
    const { sessions, sweep: timer } = this[PARTS];
    clearInterval(timer);
    for (const id of [...sessions.keys()]) this.destroySession(id);
  }
}

function expired(manager, session) {
  return Date.now() - session.lastActivityAt > manager[PARTS].timeoutMs;
}

function sweep(manager) {
  for (const [id, session] of [...manager[PARTS].sessions]) {
    if (expired(manager, session)) manager.destroySession(id);
  }
}

/** The id of the session that was used longest ago. */
function idlest(sessions) {
  let [found, oldest] = [undefined, Infinity];
  for (const [id, { lastActivityAt }] of sessions) {
    if (lastActivityAt < oldest) [found, oldest] = [id, lastActivityAt];
  }
  return found;
}

/** Writes a message to all streams of a session. */
function sendTo(session, message) {
  // Before anything is written: a message that is no JSON is no fault of the streams.
  const data = written(message, 'message');
  for (const res of session.sseConnections) {
    if (!sent(res, data)) session.sseConnections.delete(res);
  }
}

/** Writes a message to a stream. False when the stream can take no more. */
function sent(res, data) {
  // Writing after the end would be an error that nobody listens for.
  if (res.writableEnded || res.destroyed) return false;
  try {
    writeEventText(res, data, 'message');
    return true;
  } catch {
    return false;
  }
}

function endStream(res) {
  try {
    res.end();
  } catch {
    // A stream that cannot be ended is gone already.
  }
}

module.exports = { SessionManager, sendTo };
