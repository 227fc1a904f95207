'use strict';

const { native, call, text } = require('./native.js');

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
  const found = call(native.redisAddress, text(url));
  if (found === undefined) throw Object.assign(new TypeError('Invalid URL'), { code: 'ERR_INVALID_URL' });
  const { host, port, username, password, db, tls } = JSON.parse(found);
  const options = { host, port, password: password ?? undefined, db };
  if (tls || username !== null) options[LOGIN] = { username: username ?? undefined, tls };
  return options;
}

/** Options of a connection as native code takes them. */
function connectionOptions(opts) {
  if (typeof opts !== 'object' || opts === null) throw new TypeError('opts must be an object');
  const { host, port = PORT, password, db, connectTimeout, commandTimeout } = opts;
  const { username = opts[LOGIN]?.username, tls = opts[LOGIN]?.tls } = opts;
  const number = Number(port);
  if (!Number.isInteger(number) || number < 0 || number > PORT_MAX) {
    throw new RangeError(`port must be a whole number from 0 to ${PORT_MAX}, but is ${text(port)}`);
  }
  return {
    host: host ? text(host) : '127.0.0.1',
    port: number,
    username: username ? text(username) : null,
    password: password ? text(password) : null,
    db: db > 0 ? Math.min(Number(db), Number.MAX_SAFE_INTEGER) : 0,
    tls: Boolean(tls),
    connectTimeout: milliseconds(connectTimeout, CONNECT_TIMEOUT_MS),
    commandTimeout: milliseconds(commandTimeout, COMMAND_TIMEOUT_MS),
    extraCertificates: process.env.NODE_EXTRA_CA_CERTS || null,
  };
}

function milliseconds(given, fallback) {
  const number = Math.floor(Number(given || fallback));
  return number >= 1 ? Math.min(number, TIMEOUT_MS_MAX) : 1;
}

module.exports = { parseRedisUrl, connectionOptions };
