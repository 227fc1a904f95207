'use strict';

const { number, text } = require('./arguments.js');
const { native, shared, call, FIRST, SECOND } = require('./native.js');

const MINUTE_MS = 60_000;

/** Own to the package: what a limiter is made of. */
const LIMITER = Symbol('limiter');

class RateLimiter {
  constructor(maxCallsPerMin) {
    start(this, call(native.limiterNew), maxCallsPerMin);
  }

  check(key) {
    const reason = call(native.limiterCheck, this[LIMITER].handle, text(key, 'key'), this[LIMITER].limit);
    return verdict(reason);
  }

  record(key) {
    const { handle, limit } = this[LIMITER];
    if (!(limit <= 0)) call(native.limiterRecord, handle, text(key, 'key'));
  }

  checkCustom(key, maxCalls) {
    const reason = call(native.limiterCheck, this[LIMITER].handle, text(key, 'key'), number(maxCalls, 'maxCalls'));
    return verdict(reason === undefined ? undefined : `${reason} for tool`);
  }

  recordCustom(key) {
    call(native.limiterRecord, this[LIMITER].handle, text(key, 'key'));
  }

  getCurrentCount(key) {
    return call(native.limiterCount, this[LIMITER].handle, text(key, 'key'));
  }

  destroy() {
    clearInterval(this[LIMITER].timer);
  }
}

function verdict(reason) {
  const remaining = shared[FIRST];
  const resetInMs = shared[SECOND];
  return reason === undefined
    ? { allowed: true, remaining, resetInMs }
    : { allowed: false, reason, remaining, resetInMs };
}

function start(limiter, handle, maxCallsPerMin) {
  const limit = number(maxCallsPerMin, 'maxCallsPerMin');
  const parts = { handle, limit, timer: limit > 0 ? sweepEachMinute(handle) : undefined };
  Object.defineProperty(limiter, LIMITER, { value: parts });
  return limiter;
}

/** Forgets old windows now and then. Keeps neither the process nor the limiter alive. */
function sweepEachMinute(handle) {
  const held = new WeakRef(handle);
  const timer = setInterval(() => {
    const limiter = held.deref();
    if (limiter === undefined) clearInterval(timer);
    else call(native.limiterSweep, limiter);
  }, MINUTE_MS);
  timer.unref?.();
  return timer;
}

/** The limiter over the windows of a store's keys. */
function limiterOf(storeHandle, maxCallsPerMin) {
  return start(Object.create(RateLimiter.prototype), call(native.limiterOf, storeHandle), maxCallsPerMin);
}

module.exports = { RateLimiter, limiterOf };
