'use strict';

// RedisSync: stores of several gates through one Redis.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const test = require('node:test');
const { promisify } = require('node:util');
const { DEFAULT_CONFIG, Gate, KeyStore, RedisClient, RedisSync } = require('..');
const { startRedis, until } = require('./support/redis.js');

const run = promisify(execFile);
const KEY = 'pg_demo_0001';
/** Long enough that no refresh falls into a test that does not wait for one. */
const NEVER = 3_600_000;

/** What a test prints through `console`, in order. */
function printed(t) {
  const lines = [];
  const { log, error } = console;
  console.log = (line) => lines.push(line);
  console.error = (line) => lines.push(`! ${line}`);
  t.after(() => Object.assign(console, { log, error }));
  return lines;
}

/** One gate's side: a store, a client, a synchronisation. */
function side(t, redis, { every = NEVER, store = new KeyStore(), client = new RedisClient(redis.options) } = {}) {
  const sync = new RedisSync(client, store, every);
  t.after(() => sync.destroy());
  return { client, store, sync };
}

/** A Redis with a key of some credits that one side knows. */
async function started(t, credits = 5, options) {
  const redis = await startRedis(t);
  const lines = printed(t);
  const one = side(t, redis, options);
  const record = one.store.importKey(KEY, 'demo', credits);
  await one.sync.init();
  return { redis, lines, record, ...one };
}

const numbers = (record) => [record.credits, record.totalSpent, record.totalCalls];

async function inRedis(client, key = KEY) {
  const { credits, totalSpent, totalCalls } = await client.hgetall(`pg:key:${key}`);
  return [credits, totalSpent, totalCalls];
}

test('the first side pushes, the second follows and keeps what only it has', async (t) => {
  const redis = await startRedis(t);
  const lines = printed(t);
  const one = side(t, redis);
  one.store.importKey(KEY, 'demo', 5);
  one.store.importKey('pg_demo_0002', 'other', 7);
  await one.sync.init();
  const two = side(t, redis);
  const before = two.store.importKey(KEY, 'conflicting', 999);
  two.store.importKey('pg_demo_0003', 'own', 3);
  await two.sync.init();
  assert.deepEqual(lines, [
    '[paygate:redis] Connected to Redis',
    '[paygate:redis] Pushed 2 local key(s) to Redis',
    '[paygate:redis] Connected to Redis',
    '[paygate:redis] Synced 2 key(s) from Redis',
  ]);
  assert.equal(two.store.activeKeyCount, 3);
  assert.deepEqual([two.store.getKey(KEY).credits, two.store.getKey(KEY).name, before.credits], [5, 'demo', 999]);
  assert.deepEqual((await one.client.command('SMEMBERS', 'pg:keys')).sort(), [KEY, 'pg_demo_0002']);
  assert.match(one.sync.instanceId, /^[0-9a-f]{16}$/);
  assert.notEqual(one.sync.instanceId, two.sync.instanceId);
  assert.deepEqual([one.sync.isConnected, one.sync.isPubSubActive], [true, false]);
});

test('a new key lies in Redis as 2.9.0 wrote it', async (t) => {
  const { client, record } = await started(t, 10);
  const hash = await client.hgetall(`pg:key:${KEY}`);
  const today = new Date().toISOString();
  assert.deepEqual(Object.entries(hash), [
    ['key', KEY], ['name', 'demo'], ['credits', '10'], ['totalSpent', '0'], ['totalCalls', '0'],
    ['createdAt', record.createdAt], ['lastUsedAt', ''], ['active', '1'], ['spendingLimit', '0'],
    ['allowedTools', '[]'], ['deniedTools', '[]'], ['expiresAt', ''], ['quota', ''], ['tags', '{}'], ['ipAllowlist', '[]'],
    ['quotaDailyCalls', '0'], ['quotaMonthlyCalls', '0'], ['quotaDailyCredits', '0'], ['quotaMonthlyCredits', '0'],
    ['quotaLastResetDay', today.slice(0, 10)], ['quotaLastResetMonth', today.slice(0, 7)], ['namespace', 'default'],
  ]);
});

test('what is pulled is an ordinary record', async (t) => {
  const { redis, store, sync } = await started(t);
  store.setTags(KEY, { team: 'é' });
  store.setAcl(KEY, ['search'], ['write']);
  store.setQuota(KEY, { dailyCallLimit: 5, monthlyCallLimit: 0, dailyCreditLimit: 0, monthlyCreditLimit: 0 });
  store.setExpiry(KEY, '2099-01-01T00:00:00.000Z');
  await sync.saveKey(store.getKey(KEY));
  const two = side(t, redis);
  await two.sync.init();
  assert.deepEqual({ ...two.store.getKey(KEY) }, { ...store.getKey(KEY) });
  assert.deepEqual(Object.keys(two.store.getKey(KEY)), Object.keys(store.getKey(KEY)));
});

test('a deduction is made once on both sides, or refused', async (t) => {
  const { client, record, sync } = await started(t);
  assert.equal(await sync.atomicDeduct('pg_unknown', 1), false);
  assert.equal(await sync.atomicDeduct(KEY, 100), false);
  assert.equal(await sync.atomicDeduct(KEY, 2), true);
  assert.deepEqual([numbers(record), await inRedis(client)], [[3, 2, 1], ['3', '2', '1']]);
  assert.notEqual(record.lastUsedAt, null);
  for (const amount of [0.5, NaN, -1, Infinity]) await assert.rejects(sync.atomicDeduct(KEY, amount), RangeError);
  const both = await Promise.all([sync.atomicDeduct(KEY, 2), sync.atomicDeduct(KEY, 2)]);
  assert.deepEqual(both, [true, false]);
  assert.deepEqual([numbers(record), await inRedis(client)], [[1, 4, 2], ['1', '4', '2']]);
});

test('two sides that deduct at once take what there is and no more, while both refresh', async (t) => {
  const { redis, client, store, sync } = await started(t, 300, { every: 5 });
  const two = side(t, redis, { every: 5 });
  await two.sync.init(redis.options);
  const taken = [];
  for (let call = 0; call < 200; call += 1) taken.push(sync.atomicDeduct(KEY, 1), two.sync.atomicDeduct(KEY, 1));
  const answers = await Promise.all(taken);
  assert.equal(answers.filter(Boolean).length, 300);
  assert.deepEqual(await inRedis(client), ['0', '300', '300']);
  for (const each of [store, two.store]) {
    await until(() => numbers(each.getKey(KEY)).join() === '0,300,300', 'the refresh');
  }
});

test('a gate that has charged tells Redis and is not charged again', async (t) => {
  const redis = await startRedis(t);
  printed(t);
  const gate = new Gate({ ...DEFAULT_CONFIG, globalRateLimitPerMin: 0 });
  t.after(() => gate.destroy());
  const record = gate.store.importKey(KEY, 'demo', 10);
  const { client, sync } = side(t, redis, { store: gate.store });
  await sync.init();
  const told = [];
  gate.onCreditsDeducted = (key, amount) => told.push(sync.atomicDeduct(key, amount));
  for (let call = 0; call < 4; call += 1) gate.evaluate(KEY, { name: 'search' });
  assert.deepEqual(await Promise.all(told), [true, true, true, true]);
  assert.deepEqual([numbers(record), await inRedis(client)], [[6, 4, 4], ['6', '4', '4']]);
});

test('credits are added on both sides; an unknown key gets none', async (t) => {
  const { client, record, store, sync } = await started(t);
  assert.equal(await sync.atomicTopup(KEY, 8.9), true);
  assert.deepEqual([record.credits, await client.hget(`pg:key:${KEY}`, 'credits')], [13, '13']);
  assert.equal(await sync.atomicTopup('pg_unknown', 5), false);
  assert.equal(await client.exists('pg:key:pg_unknown'), 0);
  for (const amount of [0, -1, 0.5]) assert.equal(await sync.atomicTopup(KEY, amount), false);
  await assert.rejects(sync.atomicTopup(KEY, NaN), RangeError);
  await assert.rejects(sync.atomicTopup(KEY, Number.MAX_SAFE_INTEGER), {
    name: 'RangeError',
    message: 'amount is too large: the sum would be more than 9007199254740991 credits',
  });
  store.importKey('pg_here_alone', 'here', 1);
  assert.equal(await sync.atomicTopup('pg_here_alone', 2), true);
  assert.deepEqual([store.getKey('pg_here_alone').credits, (await inRedis(client, 'pg_here_alone'))[0]], [3, '3']);
  await sync.revokeKey(KEY);
  assert.equal(await sync.atomicTopup(KEY, 1), false);
});

test('messages reach the others, in the shape of 2.9.0, and are hints to look', async (t) => {
  const { redis, client, store, sync, lines } = await started(t, 10);
  const two = side(t, redis);
  const seen = [];
  two.sync.onPubSubEvent = (event) => seen.push(event);
  await two.sync.init(redis.options);
  assert.equal(two.sync.isPubSubActive, true);
  assert.equal(lines.at(-1), `[paygate:redis] Pub/sub active (instance: ${two.sync.instanceId.slice(0, 8)})`);
  await until(async () => (await client.command('PUBSUB', 'NUMSUB', 'pg:events'))[1] === 1);
  const copy = two.store.getKey(KEY);

  await sync.atomicDeduct(KEY, 2);
  await until(() => copy.credits === 8, 'the deduction');
  assert.deepEqual(numbers(copy), [8, 2, 1]);
  await sync.atomicTopup(KEY, 5);
  await until(() => copy.credits === 13, 'the top-up');
  await client.publish('pg:events', JSON.stringify({ type: 'credits_changed', key: KEY, data: { credits: 999 }, instanceId: 'x' }));
  const { key } = store.createKey('new', 3);
  await sync.publishEvent({ type: 'key_created', key });
  await sync.saveKey(store.getKey(key));
  await until(() => two.store.getKey(key)?.credits === 3, 'the new key');
  await client.publish('pg:events', 'no json');
  await client.publish('pg:events', 'null');
  await sync.revokeKey(KEY);
  await until(() => two.store.getKey(KEY) === null, 'the revocation');
  assert.equal(copy.credits, 13);
  const { instanceId } = sync;
  assert.deepEqual(seen.map((event) => JSON.stringify(event)), [
    JSON.stringify({ type: 'credits_changed', key: KEY, data: { credits: 8, totalSpent: 2, totalCalls: 1 }, instanceId }),
    JSON.stringify({ type: 'credits_changed', key: KEY, data: { credits: 13 }, instanceId }),
    JSON.stringify({ type: 'credits_changed', key: KEY, data: { credits: 999 }, instanceId: 'x' }),
    JSON.stringify({ type: 'key_created', key, instanceId }),
    JSON.stringify({ type: 'key_updated', key, instanceId }),
    JSON.stringify({ type: 'key_revoked', key: KEY, instanceId }),
  ]);
});

test('a listener that throws stops the handling of its message', async (t) => {
  const { redis, client, sync, store } = await started(t);
  await sync.init(redis.options);
  await until(async () => (await client.command('PUBSUB', 'NUMSUB', 'pg:events'))[1] === 1);
  let heard = 0;
  sync.onPubSubEvent = () => {
    heard += 1;
    throw new Error('no');
  };
  await client.publish('pg:events', JSON.stringify({ type: 'key_revoked', key: KEY, instanceId: 'x' }));
  await until(() => heard === 1);
  sync.onPubSubEvent = undefined;
  assert.equal(store.getKey(KEY).active, true);
  await client.publish('pg:events', JSON.stringify({ type: 'key_revoked', key: KEY, instanceId: 'x' }));
  await until(() => store.getKey(KEY) === null);
});

test('a save adds what changed here and keeps what others changed', async (t) => {
  const { redis, client, record, sync } = await started(t, 10);
  const two = side(t, redis);
  await two.sync.init();
  await two.sync.atomicDeduct(KEY, 4);
  record.spendingLimit = 50;
  record.credits += 100;
  await sync.saveKey(record);
  assert.deepEqual(await inRedis(client), ['106', '4', '1']);
  assert.equal(await client.hget(`pg:key:${KEY}`, 'spendingLimit'), '50');
  await sync.saveAll();
  assert.deepEqual(await inRedis(client), ['106', '4', '1']);
});

test('usage is a list of JSON', async (t) => {
  const { client, sync, lines } = await started(t);
  await sync.recordUsage({ timestamp: '2026-01-01T00:00:00.000Z', tool: 'a' });
  await sync.recordUsage({ timestamp: '2026-01-02T00:00:00.000Z', tool: 'b' });
  assert.deepEqual(await sync.getUsageEvents('2026-01-02'), [{ timestamp: '2026-01-02T00:00:00.000Z', tool: 'b' }]);
  assert.deepEqual([(await sync.getUsageEvents()).length, await sync.getUsageCount()], [2, 2]);
  lines.length = 0;
  await sync.recordUsage(undefined);
  await client.rpush('pg:usage', 'no json');
  assert.deepEqual(await sync.getUsageEvents(), []);
  assert.equal(lines[0], '! [paygate:redis] Usage record error: event must be an object, but is undefined');
  assert.match(lines[1], /^! \[paygate:redis\] Usage get error: Unexpected token/);
});

test('a window is counted in Redis', async (t) => {
  const { sync } = await started(t);
  assert.deepEqual(await sync.checkRateLimit('x', 2), { allowed: true, remaining: 1, resetInMs: 60000 });
  assert.deepEqual(await sync.checkRateLimit('x', 2), { allowed: true, remaining: 0, resetInMs: 60000 });
  const full = await sync.checkRateLimit('x', 2);
  assert.ok(full.resetInMs > 0 && full.resetInMs <= 60000);
  assert.deepEqual({ ...full, resetInMs: 0 }, { allowed: false, remaining: 0, resetInMs: 0 });
  for (const limit of [0, -1, NaN]) {
    assert.deepEqual(await sync.checkRateLimit('x', limit), { allowed: true, remaining: Infinity, resetInMs: 0 });
  }
});

test('while Redis is away the store decides, and Redis hears of it afterwards', async (t) => {
  const { redis, client, record, store, sync, lines } = await started(t, 10, { every: 20 });
  const two = side(t, redis);
  await two.sync.init();
  // Redis is there, but out of reach for this side.
  const away = { name: 'Error', message: 'connect ECONNREFUSED 127.0.0.1:1', code: 'ECONNREFUSED' };
  const { command } = client;
  client.command = async () => {
    throw Object.assign(new Error(away.message), { code: away.code });
  };
  store.importKey('pg_demo_0002', 'second', 1);
  assert.equal(await sync.atomicDeduct(KEY, 3), true);
  assert.equal(await sync.atomicDeduct(KEY, 8), false);
  assert.equal(await sync.atomicTopup(KEY, 5), true);
  assert.equal(await sync.atomicTopup('pg_unknown', 5), false);
  assert.equal(await sync.revokeKey('pg_unknown'), false);
  assert.deepEqual(await sync.checkRateLimit('x', 2), { allowed: true, remaining: 1, resetInMs: 60000 });
  assert.equal(await sync.getUsageCount(), 0);
  await sync.saveKey(store.getKey('pg_demo_0002'));
  assert.deepEqual(numbers(record), [12, 3, 1]);
  for (const what of ['Atomic deduct', 'Atomic topup', 'Revoke', 'Rate check', 'Save key']) {
    assert.ok(lines.includes(`! [paygate:redis] ${what} error: ${away.message}`), what);
  }
  // Meanwhile another side deducts as well.
  assert.equal(await two.sync.atomicDeduct(KEY, 1), true);
  await until(() => lines.includes(`! [paygate:redis] Load error: ${away.message}`));
  client.command = command;
  await until(async () => (await inRedis(client))[0] === '11', 'the saved numbers');
  await until(() => store.getKey(KEY).credits === 11, 'the refresh');
  assert.deepEqual(numbers(store.getKey(KEY)), [11, 4, 2]);
  assert.deepEqual(await inRedis(client), ['11', '4', '2']);
  await until(() => client.exists('pg:key:pg_demo_0002'), 'the saved key');
});

test('a revocation that Redis did not hear of is not undone by it', async (t) => {
  const { client, store, sync, lines } = await started(t, 10, { every: 20 });
  const { command } = client;
  client.command = async () => {
    throw Object.assign(new Error('away'), { code: 'ECONNREFUSED' });
  };
  assert.equal(await sync.revokeKey(KEY), true);
  client.command = command;
  await until(async () => (await client.hget(`pg:key:${KEY}`, 'active')) === '0');
  lines.length = 0;
  await until(() => lines.includes('[paygate:redis] Synced 1 key(s) from Redis'));
  assert.equal(store.getKey(KEY), null);
});

test('what may have happened is not done again', async (t) => {
  const { client, record, sync } = await started(t);
  const { evalLua } = client;
  client.evalLua = async (...given) => {
    await evalLua.apply(client, given);
    throw Object.assign(new Error('Redis command timeout: EVAL'), { code: 'ERR_REDIS_UNANSWERED' });
  };
  assert.equal(await sync.atomicDeduct(KEY, 2), true);
  assert.equal(await sync.atomicTopup(KEY, 1), true);
  client.evalLua = evalLua;
  await sync.init();
  assert.deepEqual([numbers(record), await inRedis(client)], [[4, 2, 1], ['4', '2', '1']]);
});

test('a Redis that comes back empty gets all keys of the store', async (t) => {
  const { redis, client, record, sync, lines } = await started(t, 5, { every: 20 });
  await sync.init(redis.options);
  await redis.stop();
  await until(() => !sync.isConnected && !sync.isPubSubActive);
  assert.equal(await sync.atomicDeduct(KEY, 2), true);
  await until(() => lines.some((line) => line.startsWith('! [paygate:redis] Load error: ')));
  lines.length = 0;
  await redis.restart();
  await until(() => lines.includes('[paygate:redis] Pushed 1 local key(s) to Redis'));
  assert.deepEqual([numbers(record), await inRedis(client)], [[3, 2, 1], ['3', '2', '1']]);
  await until(() => sync.isPubSubActive, 'the subscription');
});

test('a bad record keeps no other back', async (t) => {
  const { redis, client, lines } = await started(t);
  await client.hset('pg:key:pg_bad', 'key', 'pg_bad', 'tags', '{');
  await client.hset('pg:key:pg_stub', 'credits', '5');
  await client.hset('pg:key:pg_odd', 'key', 'pg_odd', 'credits', '-7.5', 'totalSpent', '1e3', 'totalCalls', 'x');
  await client.set('pg:key:pg_text', 'x');
  await client.command('SADD', 'pg:keys', 'pg_bad', 'pg_stub', 'pg_odd', 'pg_text', 'pg_missing');
  const two = side(t, redis);
  lines.length = 0;
  await two.sync.init();
  assert.deepEqual(lines.slice(1).sort(), [
    '! [paygate:redis] Load error: WRONGTYPE Operation against a key holding the wrong kind of value',
    '! [paygate:redis] Load error: tags of a key is not valid JSON',
    '[paygate:redis] Synced 2 key(s) from Redis',
  ]);
  assert.deepEqual([...two.store.keys.keys()].sort(), [KEY, 'pg_odd']);
  assert.deepEqual(numbers(two.store.getKey('pg_odd')), [0, 1, 0]);
});

test('a failed start is the caller\'s to hear, a failed subscription is not fatal', async (t) => {
  const { redis, sync, lines } = await started(t);
  lines.length = 0;
  await sync.init({ ...redis.options, port: 1 });
  assert.equal(lines.at(-1), '! [paygate:redis] Pub/sub setup failed: connect ECONNREFUSED 127.0.0.1:1');
  const nowhere = side(t, { options: { host: '127.0.0.1', port: 1 } });
  await assert.rejects(nowhere.sync.init(), { message: 'connect ECONNREFUSED 127.0.0.1:1' });
});

test('what happens in the store is in its file', async (t) => {
  const folder = require('node:fs').mkdtempSync(join(require('node:os').tmpdir(), 'paygate-test-'));
  t.after(() => require('node:fs').rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'state.json');
  const { sync } = await started(t, 5, { store: new KeyStore(path) });
  await sync.atomicTopup(KEY, 5);
  await until(() => JSON.parse(readFileSync(path, 'utf8'))[0][1].credits === 10);
});

test('an argument that cannot be one is named', () => {
  const client = new RedisClient({ host: 'h', port: 1 });
  for (const store of [undefined, null, {}, 'x']) {
    assert.throws(() => new RedisSync(client, store), { name: 'TypeError', message: /^store must be a KeyStore, but is / });
  }
  assert.throws(() => new RedisSync(null, new KeyStore()), { name: 'TypeError', message: 'redis must be a RedisClient, but is null' });
  assert.throws(() => RedisSync(client, new KeyStore()), TypeError);
});

test('records that cannot be read are told, not thrown', async (t) => {
  const { sync, lines } = await started(t);
  lines.length = 0;
  await sync.saveKey(null);
  await sync.saveKey({ key: KEY, get name() { throw new Error('hostile'); } });
  assert.equal(lines.length, 2);
  assert.ok(lines.every((line) => line.startsWith('! [paygate:redis] Save key error: ')));
  assert.equal(lines[1], '! [paygate:redis] Save key error: hostile');
});

test('it keeps the process alive until it is destroyed', async (t) => {
  const redis = await startRedis(t);
  const script = `
    const { KeyStore, RedisClient, RedisSync } = require('paygate-mcp');
    const options = { host: '127.0.0.1', port: ${redis.port} };
    const sync = new RedisSync(new RedisClient(options), new KeyStore(), 20);
    process.on('exit', () => console.log('ended'));
    sync.init(options).then(() => setTimeout(() => {
      console.log('destroying');
      sync.destroy();
    }, 50).unref());`;
  const { stdout } = await run(process.execPath, ['-e', script], { cwd: join(__dirname, '..') });
  assert.deepEqual(stdout.trim().split('\n').slice(-2), ['destroying', 'ended']);
});
