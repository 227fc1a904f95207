'use strict';

// The native half of the package, and how it is called. Numbers cross in one shared array, texts as they are,
// everything else as JSON text. Native code never throws but for a bug of its own: errors are made here, so that
// they are this realm's.

const native = require('./platform.js').load();

/** The shared numbers. Every call of any gate or store overwrites them: read what you need before calling anything. */
const shared = native.shared;

// Places in the shared numbers; crates/node/src/call.rs has the same list.
const KIND = 0;
const FIRST = 1;
const SECOND = 2;
const NOW = 3;
const BYTES = 4;
const THIRD = 5;
const FAILURE = 6;
const JSON_TEXT = 7;
const NOTICES = 8;
const CHANNEL = 9;
const TICKET = 10;
const LINES = 11;

const ERRORS = [undefined, RangeError, Error, TypeError];

/** Calls a native function that may answer with an error. */
function call(run, ...given) {
  shared[NOW] = Date.now();
  shared[FAILURE] = 0;
  shared[CHANNEL] = channel;
  const answer = run(...given);
  if (shared[FAILURE] !== 0) throw new ERRORS[shared[FAILURE]](answer);
  return answer;
}

/** The channel over which other threads tell this copy of the package something; 0 until something needs it. */
let channel = 0;

/** What listens, by the number it was given. */
const targets = new Map();
let lastTarget = 0;

/** How many things keep the process alive. */
let held = 0;

/** Has a function hear what threads tell its target. Gives the target. Keeps nothing alive. */
function listen(hear) {
  if (channel === 0) channel = call(native.channelOpen, deliver);
  lastTarget = (lastTarget % 0xffff_ffff) + 1;
  targets.set(lastTarget, hear);
  return lastTarget;
}

/** Has a target hear no more. */
function unlisten(target) {
  targets.delete(target);
}

function deliver(target, kind, text) {
  try {
    targets.get(target)?.(kind, text);
  } catch (error) {
    // What a listener throws is the script's affair, as from any event.
    process.nextTick(() => {
      throw error;
    });
  }
}

/** Keeps the process alive until `release` was called as often. */
function hold() {
  held += 1;
  if (held === 1) call(native.channelHold, 1);
}

function release() {
  held -= 1;
  if (held === 0) call(native.channelHold, 0);
}

// Kinds of ends of a promise; crates/node/src/channel.rs has the same list.
const NOTHING = 0;
const TEXT = 1;

/** Calls a native function that goes on beside the script. The promise keeps the process alive until it is settled. */
function promised(run, ...given) {
  return new Promise((resolve, reject) => {
    const target = listen((kind, text) => {
      unlisten(target);
      release();
      if (kind === NOTHING || kind === TEXT) resolve(text);
      else reject(failure(text));
    });
    hold();
    try {
      shared[TICKET] = target;
      call(run, ...given);
    } catch (error) {
      unlisten(target);
      release();
      throw error;
    }
  });
}

/** The error that a native failure is. */
function failure(text) {
  const { message, code } = JSON.parse(text);
  const error = new Error(message);
  if (code !== null) error.code = code;
  return error;
}

module.exports = { native, shared, call, listen, unlisten, hold, release, promised, KIND, FIRST, SECOND, NOW, BYTES, THIRD, JSON_TEXT, NOTICES, LINES };
