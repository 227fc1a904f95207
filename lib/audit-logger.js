'use strict';

const { array, json, number, string, text, time } = require('./arguments.js');
const { native, shared, call, FIRST, SECOND, THIRD } = require('./native.js');

const DEFAULTS = { maxEvents: 10_000, maxAgeHours: 720, cleanupIntervalMs: 60_000 };

/** Keys with fewer characters are not shown at all. */
const MASKED_UNITS_MIN = 10;

/** The longest time that Node's timers take. */
const INTERVAL_MAX = 2 ** 31 - 1;

/** Objects of events that may be held beyond those of events that are kept. */
const SPARE = 64;

/** Own to the package: what a logger is made of. */
const LOG = Symbol('log');

class AuditLogger {
  constructor(config = {}) {
    const { maxEvents, maxAgeHours, cleanupIntervalMs } = { ...DEFAULTS, ...config };
    const interval = number(cleanupIntervalMs, 'cleanupIntervalMs');
    const bounds = [number(maxEvents, 'maxEvents'), number(maxAgeHours, 'maxAgeHours')];
    start(this, new AuditObjects(call(native.auditNew, ...bounds)));
    if (interval > 0) this[LOG].timer = cleanEach(this, Math.min(interval, INTERVAL_MAX));
  }

  log(type, actor, message, metadata = {}) {
    return this[LOG].objects.log(type, actor, message, metadata);
  }

  query(q = {}) {
    const { objects } = this[LOG];
    const given = asked(q);
    objects.push();
    const numbers = call(native.auditQuery, objects.handle, given.filter, given.offset, given.limit);
    const [total, offset, limit] = [shared[FIRST], shared[SECOND], shared[THIRD]];
    return { total, offset, limit, events: objects.of(JSON.parse(numbers)) };
  }

  stats() {
    const { objects } = this[LOG];
    objects.push();
    return JSON.parse(call(native.auditStats, objects.handle));
  }

  exportAll() {
    const { objects } = this[LOG];
    objects.push();
    return objects.of(JSON.parse(call(native.auditAll, objects.handle)));
  }

  exportCsv(q = {}) {
    const { objects } = this[LOG];
    const { filter, offset, limit } = asked(q);
    objects.push();
    return call(native.auditCsv, objects.handle, filter, offset, limit);
  }

  get size() {
    return call(native.auditSize, this[LOG].objects.handle);
  }

  enforceRetention() {
    const { objects } = this[LOG];
    objects.push();
    const dropped = call(native.auditRetain, objects.handle);
    if (dropped > 0) objects.forget();
    return dropped;
  }

  clear() {
    const { objects } = this[LOG];
    call(native.auditClear, objects.handle);
    objects.forget();
  }

  destroy() {
    clearInterval(this[LOG].timer);
  }
}

/**
 * The objects of a log's events. Each is made once and belongs to whoever it was handed to: what is changed in it is
 * told to the log before the log is asked for anything.
 */
class AuditObjects {
  /** `told` is whether somebody but the script reads the log. */
  constructor(handle, told = false) {
    this.handle = handle;
    this.told = told;
    this.held = new Map();
    /** Those that were handed out in this turn of the event loop. */
    this.justHandedOut = new Set();
  }

  log(type, actor, message, metadata) {
    const texts = [shown(type, 'type'), shown(actor, 'actor'), shown(message, 'message')];
    const given = this.told ? particulars(metadata) : undefined;
    const timestamp = call(native.auditLog, this.handle, ...texts, given);
    const number = shared[FIRST];
    const id = shared[SECOND];
    const kept = shared[THIRD];
    const event = this.hold(number, { id, timestamp, type, actor, message, metadata }, given);
    if (this.held.size > 2 * kept + SPARE) this.forget();
    return event;
  }

  hold(number, event, metadata) {
    const held = new HeldEvent(number, event, metadata);
    this.held.set(number, held);
    this.pushSoon(held);
    return event;
  }

  /** The objects of some events, by their numbers. */
  of(numbers) {
    const missing = numbers.filter((number) => !this.held.has(number));
    if (missing.length !== 0) {
      const rows = JSON.parse(call(native.auditShow, this.handle, JSON.stringify(missing)));
      for (const [number, event] of rows) this.hold(number, event, this.told ? json(event.metadata, 'metadata') : undefined);
    }
    const events = [];
    for (const number of numbers) {
      const held = this.held.get(number);
      // Another thread may have pushed an event out meanwhile.
      if (held === undefined) continue;
      this.pushSoon(held);
      events.push(held.event);
    }
    return events;
  }

  /** Tells the log of all events that were changed. */
  push() {
    for (const held of this.held.values()) held.push(this, false);
  }

  /** Looks at an event again when its reader is done, for those who read the log on other threads. */
  pushSoon(held) {
    if (!this.told) return;
    if (this.justHandedOut.size === 0) {
      queueMicrotask(() => {
        const handedOut = [...this.justHandedOut];
        this.justHandedOut.clear();
        for (const held of handedOut) this.tryPush(held);
      });
    }
    this.justHandedOut.add(held);
  }

  /** What cannot be read throws where the log is next asked for something. */
  tryPush(held) {
    try {
      held.push(this, true);
    } catch {
      // Nobody called: there is nobody to throw at.
    }
  }

  /** Drops the objects of events that are no longer kept. */
  forget() {
    const kept = new Set(JSON.parse(call(native.auditAll, this.handle)));
    for (const number of this.held.keys()) {
      if (!kept.has(number)) this.held.delete(number);
    }
  }
}

/** An event in a script's hands, and what the log has of it. */
class HeldEvent {
  constructor(number, event, metadata) {
    this.number = number;
    this.event = event;
    this.metadata = metadata;
    this.remember();
  }

  remember() {
    const { timestamp, type, actor, message } = this.event;
    this.timestamp = timestamp;
    this.type = type;
    this.actor = actor;
    this.message = message;
  }

  /** Particulars take longer to compare than all the rest. */
  push(objects, withMetadata) {
    const { event } = this;
    const metadata = withMetadata ? particulars(event.metadata) : this.metadata;
    if (
      Object.is(event.timestamp, this.timestamp) &&
      Object.is(event.type, this.type) &&
      Object.is(event.actor, this.actor) &&
      Object.is(event.message, this.message) &&
      metadata === this.metadata
    ) {
      return;
    }
    const { timestamp, type, actor, message } = event;
    const edited = {
      timestamp: shown(timestamp, 'event.timestamp'),
      at: time(timestamp, 'event.timestamp'),
      type: shown(type, 'event.type'),
      actor: shown(actor, 'event.actor'),
      message: shown(message, 'event.message'),
    };
    call(native.auditEdit, objects.handle, this.number, json(edited, 'event'), metadata);
    this.remember();
    this.metadata = metadata;
  }
}

/** What stands in the log for a value that ought to be a text. */
function shown(value, name) {
  return value === undefined || value === null ? '' : text(value, name);
}

/** Particulars as JSON text. What JSON cannot hold is there for the script alone. */
function particulars(metadata) {
  try {
    return json(metadata, 'metadata') ?? '{}';
  } catch {
    return '{}';
  }
}

/** A query as the log reads it. What is falsy asks for nothing. */
function asked(q) {
  const { types, actor, since, until, offset, limit } = q ?? {};
  const filter = {
    types: types ? Array.from(array(types, 'types'), (type, i) => shown(type, `types[${i}]`)) : [],
    actor: actor ? text(actor, 'actor') : '',
    since: since ? time(since, 'since') : undefined,
    until: until ? time(until, 'until') : undefined,
  };
  return { filter: json(filter, 'types'), offset: number(offset, 'offset'), limit: number(limit, 'limit') };
}

function start(logger, objects) {
  Object.defineProperty(logger, LOG, { value: { objects, timer: undefined } });
  return logger;
}

/** Drops old events now and then. Keeps neither the process nor the logger alive. */
function cleanEach(logger, interval) {
  const held = new WeakRef(logger);
  const timer = setInterval(() => {
    const present = held.deref();
    if (present === undefined) clearInterval(timer);
    else present.enforceRetention();
  }, interval);
  timer.unref?.();
  return timer;
}

/** The logger over the log of a server, which drops old events itself. */
function auditLoggerOf(handle) {
  return start(Object.create(AuditLogger.prototype), new AuditObjects(handle, true));
}

/**
 * A key as 2.9.0 masks it. It is the script's key, and the script's to show; the server's own log, answers and
 * webhooks show less of a short one.
 */
function maskKeyForAudit(key) {
  if (!key) return '***';
  string(key, 'key');
  return key.length < MASKED_UNITS_MIN ? '***' : `${key.slice(0, 7)}...${key.slice(-4)}`;
}

module.exports = { AuditLogger, auditLoggerOf, maskKeyForAudit };
