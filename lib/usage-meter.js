'use strict';

const { native, shared, call, json, text, FIRST } = require('./native.js');

const DEFAULT_EVENTS_MAX = 100_000;

/** Own to the package: what a meter is made of. */
const METER = Symbol('meter');

class UsageMeter {
  constructor(maxEvents = DEFAULT_EVENTS_MAX) {
    start(this, call(native.meterNew, Number(maxEvents)));
  }

  record(event) {
    // Events before this one first, so that the one that is told without its content is this one.
    latest(this);
    const { timestamp, apiKey, keyName, tool, creditsCharged, allowed, denyReason, namespace } = event;
    const given = {
      timestamp: text(timestamp),
      apiKey: text(apiKey),
      keyName: keyName ? text(keyName) : '',
      tool: text(tool),
      creditsCharged: Number(creditsCharged),
      allowed: Boolean(allowed),
      denyReason: denyReason ? text(denyReason) : null,
      namespace: typeof namespace === 'string' ? namespace : null,
    };
    call(native.meterRecord, this[METER].handle, json(given));
    latest(this, event);
  }

  getEvents(since, namespace) {
    const events = latest(this);
    if (!since && !namespace) return events.slice();
    return events.filter(
      (event) => (!since || event.timestamp >= since) && (!namespace || event.namespace === namespace),
    );
  }

  getSummary(since, namespace) {
    const texts = [since, namespace].map((filter) => (filter ? text(filter) : undefined));
    return JSON.parse(call(native.meterSummary, this[METER].handle, ...texts), number);
  }

  clear() {
    latest(this);
    call(native.meterClear, this[METER].handle);
    latest(this);
  }

  get eventCount() {
    return call(native.meterCount, this[METER].handle);
  }
}

/** Sums that JSON could not hold. */
function number(name, value) {
  return value === null && (name === 'credits' || name === 'totalCreditsSpent') ? NaN : value;
}

function start(meter, handle) {
  // `first` is the number of the first of `events`, counted from 0 since the meter was made.
  Object.defineProperty(meter, METER, { value: { handle, first: 0, events: [] } });
  return meter;
}

/** The objects of all events that are kept. Each is made once; `foreign` is the one that a script has just given. */
function latest(meter, foreign) {
  const held = meter[METER];
  const rows = call(native.meterEvents, held.handle, held.first + held.events.length);
  const first = shared[FIRST];
  if (first > held.first) {
    const dropped = Math.min(first - held.first, held.events.length);
    held.events.splice(0, dropped);
    held.first = first;
  }
  if (rows !== undefined) {
    for (const row of JSON.parse(rows)) held.events.push(row === null ? foreign : eventOf(row));
  }
  return held.events;
}

function eventOf([at, apiKey, keyName, tool, creditsCharged, allowed, denyReason, namespace]) {
  const event = { timestamp: new Date(at).toISOString(), apiKey, keyName, tool, creditsCharged, allowed };
  if (denyReason !== null) event.denyReason = denyReason;
  if (namespace !== null) event.namespace = namespace;
  return event;
}

/** The meter of a gate. */
function meterOf(handle) {
  return start(Object.create(UsageMeter.prototype), handle);
}

/** The latest events of a meter, as many as asked for. */
function lastEvents(meter, count) {
  return latest(meter).slice(-count);
}

module.exports = { UsageMeter, meterOf, lastEvents, eventOf };
