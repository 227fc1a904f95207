'use strict';

const { native, call, json, text } = require('./native.js');

/** Numbers of an event; crates/node/src/analytics_engine.rs has the same. */
const NUMBERS = 5;

class AnalyticsEngine {
  report(events, options = {}) {
    const { from, to, granularity, topN } = options;
    const given = { from: time(from, 'from'), to: time(to, 'to'), granularity: granularity ? text(granularity) : '' };
    const { times, words, numbers, odd } = columns(events);
    const top = Number(topN || 0);
    const report = call(native.analyticsReport, json(given), top, json(times), json(words), numbers);
    return JSON.parse(report, odd ? sum : undefined);
  }
}

/** An end of the range; null for the default one. */
function time(value, name) {
  if (!value) return null;
  if (typeof value !== 'string') throw new TypeError(`${name} must be a string, but is ${typeof value}`);
  return value;
}

/** Events as native code reads them: all texts but the times are named by their place among the words. */
function columns(events) {
  if (!Array.isArray(events)) throw new TypeError('events must be an array');
  const count = events.length;
  const times = new Array(count);
  const numbers = new Float64Array(count * NUMBERS);
  const places = new Map();
  const place = (word) => {
    let found = places.get(word);
    if (found === undefined) {
      found = places.size;
      places.set(word, found);
    }
    return found;
  };
  let odd = false;
  for (let i = 0, at = 0; i < count; i += 1, at += NUMBERS) {
    const event = events[i];
    if (typeof event !== 'object' || event === null) throw new TypeError(`events[${i}] must be an object`);
    const { timestamp, apiKey, keyName, tool, creditsCharged, allowed } = event;
    const credits = Number(creditsCharged);
    // What is no text is in no range of texts.
    times[i] = typeof timestamp === 'string' ? timestamp : '';
    numbers[at] = place(text(apiKey));
    numbers[at + 1] = place(keyName ? text(keyName) : '');
    numbers[at + 2] = place(text(tool));
    numbers[at + 3] = credits;
    numbers[at + 4] = allowed ? 1 : 0;
    odd ||= !Number.isFinite(credits);
  }
  return { times, words: [...places.keys()], numbers, odd };
}

/** Sums that JSON could not hold. */
function sum(name, value) {
  if (value === null && (name === 'credits' || name === 'totalCredits' || name === 'avgCreditsPerCall')) return NaN;
  // Against nothing there is no change.
  if (name === 'trend' && value.previous.credits === 0) value.change.credits = null;
  return value;
}

module.exports = { AnalyticsEngine };
