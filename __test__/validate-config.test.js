'use strict';

// What is wrong with a configuration, and how it is told.

const assert = require('node:assert/strict');
const test = require('node:test');
const { DEFAULT_CONFIG, formatDiagnostics, validateConfig } = require('..');

/** The findings about a configuration that has a server to wrap, as lines. */
const lines = (config) =>
  validateConfig({ serverCommand: 'node', ...config }).map(({ level, field, message }) => `${level} [${field}] ${message}`);

test('a configuration with one server and nothing odd is valid', () => {
  for (const config of [{ serverCommand: 'x' }, { remoteUrl: 'http://h' }, { servers: [{ prefix: 'a', serverCommand: 'x' }] }]) {
    assert.deepStrictEqual(validateConfig(config), []);
  }
  assert.deepStrictEqual(validateConfig({ ...DEFAULT_CONFIG, serverCommand: 'x' }), []);
});

test('findings are plain objects: level, field, message', () => {
  const [finding] = validateConfig({});
  assert.deepStrictEqual(finding, {
    level: 'error',
    field: 'serverCommand | remoteUrl | servers',
    message: 'No backend configured. Provide serverCommand, remoteUrl, or servers[].',
  });
  assert.deepStrictEqual(Object.keys(finding), ['level', 'field', 'message']);
});

test('everything wrong at once is reported in the order of the rules', () => {
  const findings = validateConfig({
    servers: [{ prefix: '1!' }, { prefix: '1!', serverCommand: 'x', remoteUrl: 'http://h' }],
    remoteUrl: 'ftp://h',
    port: 70000,
    defaultCreditsPerCall: -1,
    globalRateLimitPerMin: NaN,
    webhookMaxRetries: 0.5,
    webhookSecret: 's',
    redisUrl: 'http://h',
    toolPricing: { t: { creditsPerCall: -1, rateLimitPerMin: '5' } },
    globalQuota: { monthlyCreditLimit: -1, dailyCallLimit: null },
    importKeys: { k: -1 },
    oauth: { refreshTokenTtl: Infinity, accessTokenTtl: 0 },
    shadowMode: 1,
    stateFile: 'x',
  });
  assert.deepStrictEqual(findings.map(({ field }) => field), [
    'servers',
    'servers[0].prefix',
    'servers[0]',
    'servers[1].prefix',
    'servers[1].prefix',
    'servers[1]',
    'port',
    'defaultCreditsPerCall',
    'globalRateLimitPerMin',
    'webhookMaxRetries',
    'webhookSecret',
    'redisUrl',
    'toolPricing.t.creditsPerCall',
    'toolPricing.t.rateLimitPerMin',
    'globalQuota.dailyCallLimit',
    'globalQuota.monthlyCreditLimit',
    'importKeys.k',
    'oauth.accessTokenTtl',
    'oauth.refreshTokenTtl',
    'shadowMode',
    'stateFile + redisUrl',
    'remoteUrl',
  ]);
});

test('prices are whole numbers of credits; what keys are given is rounded down, within the bound', () => {
  assert.deepStrictEqual(lines({ defaultCreditsPerCall: 0.5 }), [
    'error [defaultCreditsPerCall] Invalid defaultCreditsPerCall: 0.5. Must be a whole number.',
  ]);
  assert.deepStrictEqual(lines({ toolPricing: { t: { creditsPerCall: 2 ** 53, creditsPerKbInput: -1 } } }), [
    'error [toolPricing.t.creditsPerCall] Invalid creditsPerCall for "t": 9007199254740992. Must be at most 9007199254740991.',
    'error [toolPricing.t.creditsPerKbInput] Invalid creditsPerKbInput for "t": -1. Must be >= 0.',
  ]);
  assert.deepStrictEqual(lines({ importKeys: { a: 0.5, b: 2 ** 53, c: undefined } }), [
    'error [importKeys.b] Invalid credits for imported key "b": 9007199254740992. Must be at most 9007199254740991.',
    'error [importKeys.c] Invalid credits for imported key "c": undefined. Must be >= 0.',
  ]);
});

test('what is no number is shown as JavaScript prints it', () => {
  const printed = (port) => lines({ port })[0];
  const thrower = { toString() { throw new Error('no text'); } };
  for (const [port, text] of [
    [NaN, 'NaN'],
    [-Infinity, '-Infinity'],
    [null, 'null'],
    ['80', '80'],
    [80n, '80'],
    [true, 'true'],
    [[1, [null, 2]], '1,,2'],
    [{}, '[object Object]'],
    [new Number(5), '5'],
    [Symbol('s'), 'Symbol(s)'],
    [Object.create(null), '[object]'],
    [thrower, '[object]'],
    [-1e21, '-1e+21'],
    ['half \ud83d a character', 'half \ufffd a character'],
  ]) {
    assert.equal(printed(port), `error [port] Invalid port ${text}. Must be 0–65535.`);
  }
  assert.equal(printed(undefined), undefined);
  assert.match(printed(() => 5), /Invalid port \(\) => 5\./);
});

test('values count as true as JavaScript takes them', () => {
  for (const shadowMode of [false, 0, NaN, '', null, undefined, 0n]) assert.deepStrictEqual(lines({ shadowMode }), []);
  for (const shadowMode of [true, 'no', [], {}, 1n, Symbol('s')]) assert.equal(lines({ shadowMode }).length, 1);
  assert.equal(validateConfig({ serverCommand: NaN })[0].field, 'serverCommand | remoteUrl | servers');
});

test('addresses are read as URLs', () => {
  const wrong = (config) => lines(config).map((line) => line.replace(/^error /, ''));
  assert.deepStrictEqual(wrong({ webhookUrl: new URL('https://h/x'), redisUrl: 'rediss://h:1/2' }), []);
  assert.deepStrictEqual(wrong({ webhookUrl: 5, redisUrl: '%' }), [
    '[webhookUrl] Invalid webhookUrl: "5". Must be a valid URL.',
    '[redisUrl] Invalid redisUrl: "%". Must be a valid redis:// URL.',
  ]);
  const [remote] = validateConfig({ remoteUrl: 'localhost:3000' });
  assert.equal(remote.message, 'Invalid remoteUrl protocol "localhost:". Expected "http://" or "https://".');
});

test('parts of another type than theirs are passed over, entries that are null are named', () => {
  const odd = { servers: 'x', toolPricing: 5, globalQuota: 'x', importKeys: null, oauth: true };
  assert.deepStrictEqual(lines(odd), []);
  assert.deepStrictEqual(lines({ toolPricing: { a: null, b: 5 } }), [
    'error [toolPricing.a] Invalid terms for "a". Must be an object.',
  ]);
  assert.deepStrictEqual(validateConfig({ servers: [null] }).map(({ field }) => field), ['servers[0].prefix', 'servers[0]']);
});

test('fields that are not known and types that do not matter are left alone', () => {
  const cyclic = { serverArgs: 5, adminKey: '', name: {}, alertRules: [], prot: 1 };
  cyclic.self = cyclic;
  assert.deepStrictEqual(lines(cyclic), []);
});

test('fields that 2.9.0 did not know are checked', () => {
  assert.deepStrictEqual(lines({ maxBodyBytes: 0, maxBatchCalls: 1.5, batchRateLimit: 'x', allowedOrigins: 'x', trustedProxies: ['nope'] }).map((line) => line.split(']')[0]), [
    'error [maxBodyBytes',
    'error [maxBatchCalls',
    'error [batchRateLimit',
    'error [allowedOrigins',
    'error [trustedProxies',
  ]);
});

test('a configuration may be any object: with getters, a Proxy, without a prototype, of a class', () => {
  class Config {
    get serverCommand() { return 'node'; }
    get port() { return -1; }
  }
  const plain = { serverCommand: 'node', port: -1 };
  for (const config of [new Config(), new Proxy(plain, {}), Object.assign(Object.create(null), plain), Object.assign(() => {}, plain)]) {
    assert.deepStrictEqual(validateConfig(config).map(({ field }) => field), ['port']);
  }
  assert.throws(() => validateConfig({ get port() { throw new RangeError('mine'); } }), { name: 'RangeError', message: 'mine' });
});

test('there is nothing to check in null; other values are configurations without fields', () => {
  for (const config of [null, undefined]) {
    assert.throws(() => validateConfig(config), { name: 'TypeError', message: `config must be an object, but is ${config}` });
  }
  for (const config of [5, 'text', true, [], Symbol('s')]) {
    assert.deepStrictEqual(validateConfig(config), validateConfig({}));
  }
});

test('findings as text: errors, then warnings, each in the order given', () => {
  assert.equal(formatDiagnostics([]), '✓ Config is valid.');
  assert.equal(
    formatDiagnostics([
      { level: 'warning', field: 'x', message: 'one' },
      { level: 'error', field: 'y', message: 'two' },
      { level: 'note', field: 'q', message: 'dropped' },
      { level: 'warning', field: 'z', message: 'three' },
    ]),
    '✗ 1 error(s):\n  ERROR  [y] two\n⚠ 2 warning(s):\n  WARN   [x] one\n  WARN   [z] three',
  );
  assert.equal(formatDiagnostics([{ level: 'note', field: 'a', message: 'b' }]), '');
  assert.equal(formatDiagnostics([{ level: 'error' }]), '✗ 1 error(s):\n  ERROR  [undefined] undefined');
  assert.throws(() => formatDiagnostics('text'), { name: 'TypeError', message: 'diags must be an array, but is string' });
});
