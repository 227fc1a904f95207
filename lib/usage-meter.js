'use strict';

const { comparable, json, members, number, text } = require('./arguments.js');
const { native, shared, call, FIRST, SECOND } = require('./native.js');

const DEFAULT_EVENTS_MAX = 100_000;

/** Numbers of an event: time, credits, whether it was let through, texts; crates/node/src/usage_meter.rs has the same. */
const NUMBERS = 8;

/** In place of whether a call was let through: the event is one that a script made. */
const FOREIGN = -1;

/** The place of a text that there is not. */
const NO_TEXT = -1;

/** Room for the events that are read at a time. */
const room = new Float64Array(512 * NUMBERS);

/** Own to the package: what a meter is made of. */
const METER = Symbol('meter');

class UsageMeter {
  constructor(maxEvents = DEFAULT_EVENTS_MAX) {
    start(this, call(native.meterNew, number(maxEvents, 'maxEvents')));
  }

  record(event) {
    // Events before this one first, so that the one that is told without its content is this one.
    latest(this);
    const { timestamp, apiKey, keyName, tool, creditsCharged, allowed, denyReason, namespace } = members(event, 'event');
    const given = {
      timestamp: text(timestamp, 'event.timestamp'),
      apiKey: text(apiKey, 'event.apiKey'),
      keyName: keyName ? text(keyName, 'event.keyName') : '',
      tool: text(tool, 'event.tool'),
      creditsCharged: number(creditsCharged, 'event.creditsCharged'),
      allowed: Boolean(allowed),
      denyReason: denyReason ? text(denyReason, 'event.denyReason') : null,
      namespace: typeof namespace === 'string' ? namespace : null,
    };
    call(native.meterRecord, this[METER].handle, json(given, 'event'));
    latest(this, event);
  }

  getEvents(since, namespace) {
    const events = latest(this);
    if (!since && !namespace) return events.slice();
    if (since) comparable(since, 'since');
    return events.filter(
      (event) => (!since || event.timestamp >= since) && (!namespace || event.namespace === namespace),
    );
  }

  getSummary(since, namespace) {
    const from = since ? text(since, 'since') : undefined;
    const within = namespace ? text(namespace, 'namespace') : undefined;
    return JSON.parse(call(native.meterSummary, this[METER].handle, from, within), sum);
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
function sum(name, value) {
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
  const { events } = held;
  let count;
  do {
    const words = call(native.meterRead, held.handle, held.first + events.length, room);
    count = shared[SECOND];
    forget(held, shared[FIRST]);
    const texts = textsOf(words);
    for (let i = 0; i < count; i += 1) events.push(eventAt(i * NUMBERS, texts) ?? foreign);
  } while (count * NUMBERS === room.length);
  return events;
}

/** The texts that were read last, as JSON and as they are: calls are often followed by more of the same. */
let lastWords;
let lastTexts = [];

function textsOf(words) {
  if (words !== lastWords) {
    lastWords = words;
    lastTexts = words === undefined ? [] : JSON.parse(words);
  }
  return lastTexts;
}

/** Drops the objects of events before the first that is kept. */
function forget(held, first) {
  if (first === held.first) return;
  held.events.splice(0, first - held.first);
  held.first = first;
}

/** The event at a place of the numbers; none for one that a script made. */
function eventAt(at, texts) {
  const allowed = room[at + 2];
  if (allowed === FOREIGN) return undefined;
  const event = {
    timestamp: timestampOf(room[at]),
    apiKey: texts[room[at + 3]],
    keyName: texts[room[at + 4]],
    tool: texts[room[at + 5]],
    creditsCharged: room[at + 1],
    allowed: allowed === 1,
  };
  if (room[at + 6] !== NO_TEXT) event.denyReason = texts[room[at + 6]];
  if (room[at + 7] !== NO_TEXT) event.namespace = texts[room[at + 7]];
  return event;
}

/** The second that was last written as text, and that text: times come in order, many in a second. */
let second = NaN;
let written = '';

/** A time as text, as `toISOString` writes it. */
function timestampOf(at) {
  const milliseconds = at - second;
  if (milliseconds >= 0 && milliseconds < 1000) return `${written}${String(milliseconds).padStart(3, '0')}Z`;
  const whole = new Date(at).toISOString();
  second = Math.floor(at / 1000) * 1000;
  written = whole.slice(0, -'000Z'.length);
  return whole;
}

function eventOf([at, apiKey, keyName, tool, creditsCharged, allowed, denyReason, namespace]) {
  const event = { timestamp: timestampOf(at), apiKey, keyName, tool, creditsCharged, allowed };
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
