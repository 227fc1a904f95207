'use strict';

const { array, json, members, number, object, string, text } = require('./arguments.js');
const { native, call } = require('./native.js');

/** Numbers of an event; crates/node/src/analytics_engine.rs has the same. */
const NUMBERS = 5;

class AnalyticsEngine {
  report(events, options = {}) {
    const { from, to, granularity, topN } = members(options, 'options');
    const given = {
      from: from ? string(from, 'from') : null,
      to: to ? string(to, 'to') : null,
      granularity: granularity ? text(granularity, 'granularity') : '',
    };
    const { times, words, numbers, odd } = columns(events);
    const top = number(topN || 0, 'topN');
    const texts = [times, words].map((given) => json(given, 'events'));
    const report = call(native.analyticsReport, json(given, 'options'), top, ...texts, numbers);
    return JSON.parse(report, odd ? sum : undefined);
  }
}

/** Events as native code reads them: all texts but the times are named by their place among the words. */
function columns(events) {
  const count = array(events, 'events').length;
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
    if (typeof event !== 'object' || event === null) object(event, `events[${i}]`);
    const { timestamp, apiKey, keyName, tool, creditsCharged, allowed } = event;
    const credits = number(creditsCharged, 'events[].creditsCharged');
    // What is no text is in no range of texts.
    times[i] = typeof timestamp === 'string' ? timestamp : '';
    numbers[at] = place(text(apiKey, 'events[].apiKey'));
    numbers[at + 1] = place(keyName ? text(keyName, 'events[].keyName') : '');
    numbers[at + 2] = place(text(tool, 'events[].tool'));
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
