'use strict';

// Worked examples: a clock that stands still until it is moved, an empty folder to work in, and what was printed.

process.env.TZ = 'UTC';

const assert = require('node:assert/strict');
const { mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { dirname, join } = require('node:path');
const test = require('node:test');
const paygate = require('../..');

const { Gate, DEFAULT_CONFIG } = paygate;

const START = Date.parse('2026-03-14T09:26:53.589Z');

const PRICES = {
  search: { creditsPerCall: 5 },
  translate: { creditsPerCall: 3 },
  lim: { creditsPerCall: 1, rateLimitPerMin: 2 },
  kb: { creditsPerCall: 1, creditsPerKbInput: 2 },
};

/** A gate with the prices above. */
const gate = (config, statePath) => new Gate({ ...DEFAULT_CONFIG, toolPricing: PRICES, ...config }, statePath);

/** Puts a known key into a gate or a store. */
const put = (holder, credits, options) => {
  (holder.store || holder).importKey('pg_demo_0001', 'demo', credits, options);
  return 'pg_demo_0001';
};

const counters = (record) => ({
  credits: record.credits,
  totalSpent: record.totalSpent,
  totalCalls: record.totalCalls,
  dayCalls: record.quotaDailyCalls,
  dayCredits: record.quotaDailyCredits,
});

const attempt = (act) => {
  try {
    return act();
  } catch (error) {
    return `throws ${error.name}: ${error.message}`;
  }
};

const readFile = (path) => readFileSync(path, 'utf8');

const writeFile = (path, content) => {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
};

const folders = [];

/** Stores write their files a last time when the process ends; the folders go after that. */
function removeFolders() {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
}

/** Runs something in an empty folder at the start of the examples' time, and gives it the means to go on. */
function atStart(run) {
  const { now } = Date;
  const { log, error } = console;
  const folder = mkdtempSync(join(tmpdir(), 'paygate-test-'));
  const before = process.cwd();
  const printed = [];
  let time = START;
  Date.now = () => time;
  console.log = (line) => printed.push(`stdout: ${line}`);
  console.error = (line) => printed.push(`stderr: ${line}`);
  process.chdir(folder);
  try {
    return run({ tick: (milliseconds) => (time += milliseconds), printed });
  } finally {
    process.chdir(before);
    Object.assign(console, { log, error });
    Date.now = now;
    // The last listener is the last to hear, after those of stores that were just opened.
    folders.push(folder);
    process.off('exit', removeFolders);
    process.on('exit', removeFolders);
  }
}

/** A test of what an example's JSON text is, down to the order of fields. */
function example(title, run, expected) {
  test(title, () => {
    const seen = atStart((means) => JSON.stringify(run(means)));
    // Parsed first, for a readable difference.
    assert.deepEqual(JSON.parse(seen), JSON.parse(expected));
    assert.equal(seen, expected);
  });
}

module.exports = { PRICES, gate, put, counters, attempt, readFile, writeFile, atStart, example, ...paygate };
