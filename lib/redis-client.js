'use strict';

const { json, number, texts } = require('./arguments.js');
const { native, call, promised } = require('./native.js');
const { connectionOptions } = require('./redis-url.js');

/** Own to the package: the connection of a client. */
const CONNECTION = Symbol('connection');

const KEYS_AT_A_TIME = 100;

// Every method sends before it returns, so that commands reach Redis in the order of the calls.
class RedisClient {
  constructor(opts) {
    Object.defineProperty(this, CONNECTION, { value: call(native.redisNew, json(connectionOptions(opts), 'opts')) });
  }

  get isConnected() {
    return call(native.redisConnected, this[CONNECTION]);
  }

  async connect() {
    await promised(native.redisConnect, this[CONNECTION]);
  }

  async disconnect() {
    call(native.redisDisconnect, this[CONNECTION]);
  }

  async command(...args) {
    if (args.length === 0) throw new TypeError('args must hold the name of a command');
    return JSON.parse(await promised(native.redisCommand, this[CONNECTION], json(texts(args, 'args'), 'args')));
  }

  async ping() {
    return this.command('PING');
  }

  async set(key, value, exSeconds) {
    const expiry = number(exSeconds, 'exSeconds') > 0 ? ['EX', exSeconds] : [];
    return this.command('SET', key, value, ...expiry);
  }

  async get(key) {
    return this.command('GET', key);
  }

  async del(...keys) {
    return this.command('DEL', ...keys);
  }

  async exists(key) {
    return this.command('EXISTS', key);
  }

  async incr(key) {
    return this.command('INCR', key);
  }

  async incrby(key, n) {
    return this.command('INCRBY', key, n);
  }

  async decrby(key, n) {
    return this.command('DECRBY', key, n);
  }

  async expire(key, seconds) {
    return this.command('EXPIRE', key, seconds);
  }

  async pexpire(key, ms) {
    return this.command('PEXPIRE', key, ms);
  }

  async hset(key, ...fieldValues) {
    return this.command('HSET', key, ...fieldValues);
  }

  async hdel(key, ...fields) {
    return this.command('HDEL', key, ...fields);
  }

  async hget(key, field) {
    return this.command('HGET', key, field);
  }

  async hgetall(key) {
    const flat = await this.command('HGETALL', key);
    const entries = [];
    for (let i = 0; i + 1 < flat.length; i += 2) entries.push([flat[i], flat[i + 1]]);
    return Object.fromEntries(entries);
  }

  async zadd(key, score, member) {
    return this.command('ZADD', key, score, member);
  }

  async zcard(key) {
    return this.command('ZCARD', key);
  }

  async zrangebyscore(key, min, max) {
    return this.command('ZRANGEBYSCORE', key, min, max);
  }

  async zremrangebyscore(key, min, max) {
    return this.command('ZREMRANGEBYSCORE', key, min, max);
  }

  async publish(channel, message) {
    return this.command('PUBLISH', channel, message);
  }

  async rpush(key, ...values) {
    return this.command('RPUSH', key, ...values);
  }

  async llen(key) {
    return this.command('LLEN', key);
  }

  async lrange(key, start, stop) {
    return this.command('LRANGE', key, start, stop);
  }

  async ltrim(key, start, stop) {
    return this.command('LTRIM', key, start, stop);
  }

  async evalLua(script, numkeys, ...keysAndArgs) {
    return this.command('EVAL', script, numkeys, ...keysAndArgs);
  }

  async scan(cursor, pattern, count = KEYS_AT_A_TIME) {
    return this.command('SCAN', cursor, 'MATCH', pattern, 'COUNT', count);
  }

  async scanAll(pattern, count = KEYS_AT_A_TIME) {
    const all = [];
    let cursor = '0';
    do {
      const [next, keys] = await this.scan(cursor, pattern, count);
      for (const key of keys) all.push(key);
      cursor = next;
    } while (cursor !== '0');
    return all;
  }
}

module.exports = { RedisClient };
