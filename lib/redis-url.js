'use strict';

const { number, object, shown, text } = require('./arguments.js');
const { native, call } = require('./native.js');

const PORT = 6379;
const PORT_MAX = 65_535;
const CONNECT_TIMEOUT_MS = 5000;
const COMMAND_TIMEOUT_MS = 10_000;
/** The longest a timer waits. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

/**
 * What a URL says that the options of 2.9.0 have no name for: who logs in, and whether the connection is private.
 * Copies of the options keep it, and it does not show in their keys or as JSON.
 */
const LOGIN = Symbol('login');

function parseRedisUrl(url) {
  const found = call(native.redisAddress, text(url, 'url'));
  if (found === undefined) throw Object.assign(new TypeError('Invalid URL'), { code: 'ERR_INVALID_URL' });
  const { host, port, username, password, db, tls } = JSON.parse(found);
  const options = { host, port, password: password ?? undefined, db };
  if (tls || username !== null) options[LOGIN] = { username: username ?? undefined, tls };
  return options;
}

/** Options of a connection as native code takes them. */
function connectionOptions(opts) {
  const { host, port = PORT, password, db, connectTimeout, commandTimeout } = object(opts, 'opts');
  const { username = opts[LOGIN]?.username, tls = opts[LOGIN]?.tls } = opts;
  const numbered = number(port, 'opts.port');
  if (!Number.isInteger(numbered) || numbered < 0 || numbered > PORT_MAX) {
    throw new RangeError(`opts.port must be a whole number from 0 to ${PORT_MAX}, but is ${shown(port)}`);
  }
  return {
    host: host ? text(host, 'opts.host') : '127.0.0.1',
    port: numbered,
    username: username ? text(username, 'opts.username') : null,
    password: password ? text(password, 'opts.password') : null,
    db: database(db),
    tls: Boolean(tls),
    connectTimeout: milliseconds(connectTimeout, CONNECT_TIMEOUT_MS, 'opts.connectTimeout'),
    commandTimeout: milliseconds(commandTimeout, COMMAND_TIMEOUT_MS, 'opts.commandTimeout'),
    extraCertificates: process.env.NODE_EXTRA_CA_CERTS || null,
  };
}

/** The number of a database; what is no number above 0 is the first one. */
function database(db) {
  const numbered = number(db, 'opts.db');
  return numbered > 0 ? Math.min(numbered, Number.MAX_SAFE_INTEGER) : 0;
}

function milliseconds(given, fallback, name) {
  const whole = Math.floor(number(given || fallback, name));
  return whole >= 1 ? Math.min(whole, TIMEOUT_MS_MAX) : 1;
}

module.exports = { parseRedisUrl, connectionOptions };
