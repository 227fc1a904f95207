'use strict';

// A panic that unwinds into Node ends the process. So every function that Node can enter stands in one file, and each
// stops panics itself.

const assert = require('node:assert/strict');
const { readdirSync, readFileSync } = require('node:fs');
const { join } = require('node:path');
const test = require('node:test');

const folder = join(__dirname, '../crates/node/src');
const BORDER = 'call.rs';

const entrances = (file) => {
  const source = readFileSync(join(folder, file), 'utf8');
  return [...source.matchAll(/extern "C" fn (\w+)[\s\S]*?\n}\n/g)].map(([whole, name]) => ({ name, whole }));
};

test('Node enters the addon in one file only', () => {
  for (const file of readdirSync(folder, { recursive: true })) {
    if (file.endsWith('.rs') && file !== BORDER) assert.deepEqual(entrances(file), [], file);
  }
});

test('every function that Node can enter stops panics', () => {
  const found = entrances(BORDER);
  assert.ok(found.length >= 4, 'the search itself works');
  for (const { name, whole } of found) assert.match(whole, /\bguard\(env, |catch_unwind\(/, name);
});

test('every function of the table is entered through the guard', () => {
  const border = readFileSync(join(folder, BORDER), 'utf8');
  const created = [...border.matchAll(/sys::napi_create_function\(([^;]*);/g)].map(([, given]) => given);
  assert.ok(created.length >= 1, 'the search itself works');
  for (const given of created) assert.match(given, /Some\(enter::</);
});
