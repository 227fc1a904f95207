'use strict';

const { json, members, number, string, text, wellFormed, written, wrong } = require('./arguments.js');
const { native, shared, call, promised, FIRST } = require('./native.js');

const DEFAULT_BATCH_SIZE = 10;
const DEFAULT_FLUSH_INTERVAL = 5000;
const DEFAULT_MAX_RETRIES = 5;
const DEFAULT_BASE_DELAY = 1000;
const DEFAULT_MAX_DEAD_LETTERS = 1000;

/** The longest time that Node's timers take. */
const INTERVAL_MAX = 2 ** 31 - 1;

/** How often deliveries that failed are looked at. */
const RETRY_INTERVAL = 1000;

/** Own to the package: what an emitter is made of. */
const PARTS = Symbol('parts');

class WebhookEmitter {
  constructor(url, options = {}) {
    const { maxRetries, flushIntervalMs } = members(options, 'options');
    const retries = maxRetries ?? DEFAULT_MAX_RETRIES;
    const handle = call(native.webhookNew, settings(url, retries, options));
    const interval = number(flushIntervalMs, 'options.flushIntervalMs') || DEFAULT_FLUSH_INTERVAL;
    start(this, handle, retries, Math.min(interval, INTERVAL_MAX));
  }

  emit(event) {
    if (typeof event !== 'object' || event === null) throw wrong('event', 'an object', event);
    put(this, event, 'event');
  }

  emitAdmin(type, actor, metadata = {}) {
    const event = { type, timestamp: new Date().toISOString(), actor, metadata };
    put(this, event, 'the event of type, actor and metadata');
  }

  flush() {
    const { handle } = this[PARTS];
    call(native.webhookFlush, handle);
    stayForPosts(this[PARTS]);
  }

  getDeadLetters() {
    return deadLetters(this).slice();
  }

  clearDeadLetters() {
    const { handle } = this[PARTS];
    return call(native.webhookClear, handle);
  }

  getRetryStats() {
    return JSON.parse(call(native.webhookStats, this[PARTS].handle));
  }

  destroy() {
    const { timers } = this[PARTS];
    timers.splice(0).forEach((timer) => clearInterval(timer));
    this.flush();
  }

  static sign(payload, secret) {
    return call(native.webhookSign, bytes(payload, 'payload'), string(secret, 'secret'));
  }

  static verify(payload, signature, secret) {
    const given = [bytes(payload, 'payload'), string(signature, 'signature'), string(secret, 'secret')];
    return call(native.webhookVerify, ...given);
  }
}

/** What native code makes an emitter from. */
function settings(url, maxRetries, { secret, batchSize, baseDelayMs, maxDeadLetters }) {
  const given = {
    url: text(url, 'url'),
    secret: secret ? text(secret, 'options.secret') : null,
    batchSize: number(batchSize, 'options.batchSize') || DEFAULT_BATCH_SIZE,
    maxRetries: number(maxRetries, 'options.maxRetries'),
    baseDelay: number(baseDelayMs ?? DEFAULT_BASE_DELAY, 'options.baseDelayMs'),
    maxDeadLetters: number(maxDeadLetters ?? DEFAULT_MAX_DEAD_LETTERS, 'options.maxDeadLetters'),
    extraCertificates: process.env.NODE_EXTRA_CA_CERTS || null,
  };
  return json(given, 'options');
}

/** Sets an emitter to work. */
function start(emitter, handle, maxRetries, flushInterval) {
  emitter.maxRetries = maxRetries;
  // `first` is the number of the first of `letters`, counted from 0 since the emitter was made.
  const parts = { handle, timers: [], letters: [], first: 0, staying: false };
  Object.defineProperty(emitter, PARTS, { value: parts });
  for (const [run, interval] of [[native.webhookFlush, flushInterval], [native.webhookRetry, RETRY_INTERVAL]]) {
    const timer = setInterval(() => {
      call(run, handle);
      stayForPosts(parts);
    }, interval);
    timer.unref?.();
    parts.timers.push(timer);
  }
  if (emitters.size === 0) process.on('beforeExit', stayForAllPosts);
  for (const held of emitters) {
    if (held.deref() === undefined) emitters.delete(held);
  }
  emitters.add(new WeakRef(parts));
  return emitter;
}

/** What emitters that still exist are made of. */
const emitters = new Set();

/** The process does not end by itself before a post under way was answered. */
function stayForPosts(parts) {
  if (parts.staying || !call(native.webhookBusy, parts.handle)) return;
  parts.staying = true;
  const leave = () => {
    parts.staying = false;
  };
  promised(native.webhookIdle, parts.handle).then(leave, leave);
}

/** Posts of a gate's events go out without any script's doing. */
function stayForAllPosts() {
  for (const held of emitters) {
    const parts = held.deref();
    if (parts !== undefined) stayForPosts(parts);
  }
}

function put(emitter, event, name) {
  const isAdmin = typeof event.type === 'string';
  const given = written(event, name);
  if (given === undefined) throw new TypeError(`${name} must be an object with a form in JSON, but has none`);
  const line = wellFormed(given);
  if (call(native.webhookEmit, emitter[PARTS].handle, line, isAdmin ? 1 : 0)) stayForPosts(emitter[PARTS]);
}

/** The dead letters that are kept. Each object is made once. */
function deadLetters(emitter) {
  const held = emitter[PARTS];
  const rows = JSON.parse(call(native.webhookDeadLetters, held.handle, held.first + held.letters.length));
  const first = shared[FIRST];
  if (first > held.first) {
    held.letters.splice(0, Math.min(first - held.first, held.letters.length));
    held.first = first;
  }
  held.letters.push(...rows);
  return held.letters;
}

function bytes(value, name) {
  return string(Buffer.isBuffer(value) ? value.toString() : value, name);
}

/** What a gate's emitter is made from; undefined when its configuration names no receiver. */
function gateWebhook({ webhookUrl, webhookSecret, webhookMaxRetries }) {
  if (!webhookUrl) return undefined;
  const retries = number(webhookMaxRetries ?? DEFAULT_MAX_RETRIES, 'config.webhookMaxRetries');
  const secret = webhookSecret ? text(webhookSecret, 'config.webhookSecret') : null;
  return settings(text(webhookUrl, 'config.webhookUrl'), retries, { secret });
}

/** The emitter of a gate. */
function emitterOf(handle, { webhookMaxRetries }) {
  const emitter = Object.create(WebhookEmitter.prototype);
  return start(emitter, handle, webhookMaxRetries ?? DEFAULT_MAX_RETRIES, DEFAULT_FLUSH_INTERVAL);
}

module.exports = { WebhookEmitter, gateWebhook, emitterOf };
