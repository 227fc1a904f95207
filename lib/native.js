'use strict';

// The native half of the package, and how it is called. Numbers cross in one shared array, texts as they are,
// everything else as JSON text. Native code never throws but for a bug of its own: errors are made here, so that
// they are this realm's.

const platform = process.platform === 'linux' ? `linux-${process.arch}-gnu` : `${process.platform}-${process.arch}`;
const native = require(`./paygate.${platform}.node`);

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
const LINES = 9;

/** Calls a native function that may answer with an error. */
function call(run, ...given) {
  shared[NOW] = Date.now();
  shared[FAILURE] = 0;
  const answer = run(...given);
  if (shared[FAILURE] !== 0) throw new (shared[FAILURE] === 1 ? RangeError : Error)(answer);
  return answer;
}

const LONE_SURROGATES = /(^|[^\\])((?:\\\\)*)\\ud[89a-f][0-9a-f]{2}/g;

/** A value as JSON text, or undefined when it has none. Half a character, which UTF-8 cannot hold, becomes U+FFFD. */
function json(value) {
  let text = JSON.stringify(value);
  if (text !== undefined && text.includes('\\ud')) {
    // Neighbours share the character between them, so one pass may leave some.
    for (let before; before !== text; ) {
      before = text;
      text = text.replace(LONE_SURROGATES, '$1$2\\ufffd');
    }
  }
  return text;
}

/** A value as text, as JavaScript converts it. */
function text(value) {
  return typeof value === 'string' ? value : String(value);
}

module.exports = { native, shared, call, json, text, KIND, FIRST, SECOND, NOW, BYTES, THIRD, JSON_TEXT, NOTICES, LINES };
