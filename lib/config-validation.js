'use strict';

// What is wrong with a configuration. The rules are native; here is what they look at, read from an object that may
// hold anything.

const { array, json, members: anyOf, text } = require('./arguments.js');
const { native, call } = require('./native.js');

/** Fields that are read as they are. */
const FIELDS = [
  'serverCommand',
  'remoteUrl',
  'port',
  'defaultCreditsPerCall',
  'globalRateLimitPerMin',
  'webhookMaxRetries',
  'webhookUrl',
  'webhookSecret',
  'redisUrl',
  'shadowMode',
  'stateFile',
  'maxBodyBytes',
  'maxBatchCalls',
  'batchRateLimit',
];
const SERVER_FIELDS = ['prefix', 'serverCommand', 'remoteUrl'];
const PRICE_FIELDS = ['creditsPerCall', 'rateLimitPerMin', 'creditsPerKbInput'];
const QUOTA_FIELDS = ['dailyCallLimit', 'monthlyCallLimit', 'dailyCreditLimit', 'monthlyCreditLimit'];
const OAUTH_FIELDS = ['accessTokenTtl', 'refreshTokenTtl'];
const LISTS = ['allowedOrigins', 'trustedProxies'];

function validateConfig(config) {
  const fields = members(anyOf(config, 'config'), FIELDS);
  add(fields, 'servers', config.servers, (servers) => list(servers, (server) => object(members(server, SERVER_FIELDS))));
  add(fields, 'toolPricing', config.toolPricing, (tools) => entries(tools, priced));
  add(fields, 'globalQuota', config.globalQuota, (quota) => object(members(quota, QUOTA_FIELDS)));
  add(fields, 'importKeys', config.importKeys, (keys) => entries(keys, passed));
  add(fields, 'oauth', config.oauth, (oauth) => object(members(oauth, OAUTH_FIELDS)));
  for (const name of LISTS) add(fields, name, config[name], (texts) => list(texts, passed));
  const findings = JSON.parse(call(native.configValidate, json(fields, 'config')));
  return findings.map(([level, field, message]) => ({ level, field, message }));
}

function formatDiagnostics(diags) {
  const given = Array.from(array(diags, 'diags'), (diag, i) => anyOf(diag, `diags[${i}]`));
  const known = given.filter(({ level }) => level === 'error' || level === 'warning');
  if (known.length === 0 && diags.length !== 0) return '';
  const row = ({ level, field, message }) => [level, text(field, 'diags[].field'), text(message, 'diags[].message')];
  return call(native.configFormat, json(known.map(row), 'diags'));
}

// ── How values are passed: crates/node/src/config.rs reads them ──────────────

/** The members of anything, by these names, as pairs. Those that are not given are left out. */
function members(holder, names) {
  const pairs = [];
  if (holder === null || holder === undefined) return pairs;
  for (const name of names) add(pairs, name, holder[name], passed);
  return pairs;
}

/** Adds a value to pairs, unless it is not given. */
function add(pairs, name, value, pass) {
  if (value !== undefined) pairs.push([name, pass(value)]);
}

const object = (pairs) => ({ object: pairs });

function list(value, pass) {
  return Array.isArray(value) ? { list: Array.from(value, pass) } : passed(value);
}

/** The own members of a value that is an object. */
function entries(value, pass) {
  if (typeof value !== 'object' || value === null) return passed(value);
  return object(Object.entries(value).map(([name, member]) => [name, pass(member)]));
}

/** An entry of a price list. One that is null has a finding of its own; of anything else its members count. */
function priced(entry) {
  return entry === null || entry === undefined ? null : object(members(entry, PRICE_FIELDS));
}

/** A single value. JSON holds most of those that are asked for; the rest is told by how it prints. */
function passed(value) {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      return Number.isFinite(value) ? value : { notFinite: String(value) };
    default:
      return value === null ? null : { foreign: [printed(value), Boolean(value)] };
  }
}

function printed(value) {
  try {
    return String(value);
  } catch {
    return `[${typeof value}]`;
  }
}

module.exports = { validateConfig, formatDiagnostics };
