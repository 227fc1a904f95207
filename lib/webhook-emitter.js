'use strict';

const { native, shared, call, promised, json, text, FIRST } = require('./native.js');

const DEFAULT_BATCH_SIZE = 10;
const DEFAULT_FLUSH_INTERVAL = 5000;
const DEFAULT_MAX_RETRIES = 5;
const DEFAULT_BASE_DELAY = 1000;
const DEFAULT_MAX_DEAD_LETTERS = 1000;

/** How often deliveries that failed are looked at. */
const RETRY_INTERVAL = 1000;

/** Own to the package: what an emitter is made of. */
const PARTS = Symbol('parts');

class WebhookEmitter {
  constructor(url, options = {}) {
    const maxRetries = options.maxRetries ?? DEFAULT_MAX_RETRIES;
    const handle = call(native.webhookNew, settings(url, maxRetries, options));
    start(this, handle, maxRetries, Number(options.flushIntervalMs) || DEFAULT_FLUSH_INTERVAL);
  }

  emit(event) {
    if (typeof event !== 'object' || event === null) {
      throw new TypeError(`event must be an object, but is ${event === null ? 'null' : typeof event}`);
    }
    put(this, event);
  }

  emitAdmin(type, actor, metadata = {}) {
    put(this, { type, timestamp: new Date().toISOString(), actor, metadata });
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
  return json({
    url: text(url),
    secret: secret ? text(secret) : null,
    batchSize: Number(batchSize) || DEFAULT_BATCH_SIZE,
    maxRetries: Number(maxRetries),
    baseDelay: Number(baseDelayMs ?? DEFAULT_BASE_DELAY),
    maxDeadLetters: Number(maxDeadLetters ?? DEFAULT_MAX_DEAD_LETTERS),
    extraCertificates: process.env.NODE_EXTRA_CA_CERTS || null,
  });
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

function put(emitter, event) {
  const isAdmin = typeof event.type === 'string';
  const given = json(event);
  if (given === undefined) throw new TypeError('event has no form in JSON');
  if (call(native.webhookEmit, emitter[PARTS].handle, given, isAdmin ? 1 : 0)) stayForPosts(emitter[PARTS]);
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

function string(value, name) {
  if (typeof value !== 'string') throw new TypeError(`${name} must be a string, but is ${typeof value}`);
  return value;
}

function bytes(value, name) {
  return string(Buffer.isBuffer(value) ? value.toString() : value, name);
}

/** What a gate's emitter is made from; undefined when its configuration names no receiver. */
function gateWebhook({ webhookUrl, webhookSecret, webhookMaxRetries }) {
  if (!webhookUrl) return undefined;
  return settings(webhookUrl, webhookMaxRetries ?? DEFAULT_MAX_RETRIES, { secret: webhookSecret });
}

/** The emitter of a gate. */
function emitterOf(handle, { webhookMaxRetries }) {
  const emitter = Object.create(WebhookEmitter.prototype);
  return start(emitter, handle, webhookMaxRetries ?? DEFAULT_MAX_RETRIES, DEFAULT_FLUSH_INTERVAL);
}

module.exports = { WebhookEmitter, gateWebhook, emitterOf };
