'use strict';

// RedisSubscriber: messages of others.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const { join } = require('node:path');
const test = require('node:test');
const { promisify } = require('node:util');
const { RedisClient, RedisSubscriber } = require('..');
const { startRedis, until } = require('./support/redis.js');

const run = promisify(execFile);

async function both(t, flags) {
  const redis = await startRedis(t, flags);
  const client = new RedisClient(redis.options);
  const subscriber = new RedisSubscriber(redis.options);
  t.after(() => Promise.all([client.disconnect(), subscriber.disconnect()]));
  return { redis, client, subscriber };
}

test('the latest handler hears all channels, and its mistakes are its own', async (t) => {
  const { client, subscriber } = await both(t);
  const heard = [];
  await subscriber.connect();
  assert.deepEqual([subscriber.isConnected, subscriber.isSubscribed], [true, false]);
  await subscriber.subscribe('a', () => assert.fail('another handler took its place'));
  assert.equal(
    await subscriber.subscribe('b', (channel, message) => {
      heard.push([channel, message]);
      throw new Error('swallowed');
    }),
    undefined,
  );
  assert.equal(subscriber.isSubscribed, true);
  await until(async () => (await client.command('PUBSUB', 'NUMSUB', 'b'))[1] === 1);
  await client.publish('a', 'één');
  await client.publish('b', '{"two":2}');
  await until(() => heard.length === 2);
  assert.deepEqual(heard, [['a', 'één'], ['b', '{"two":2}']]);
});

test('it needs to be connected, and says when it is no longer', async (t) => {
  const { redis, subscriber } = await both(t);
  await assert.rejects(subscriber.subscribe('a', () => {}), { message: 'Not connected' });
  await Promise.all([subscriber.connect(), subscriber.connect()]);
  await subscriber.subscribe('a', () => {});
  await redis.stop();
  await until(() => !subscriber.isConnected);
  assert.equal(subscriber.isSubscribed, false);
  await assert.rejects(subscriber.connect(), { message: `connect ECONNREFUSED 127.0.0.1:${redis.port}` });
  await redis.restart();
  await subscriber.connect();
  assert.deepEqual([subscriber.isConnected, subscriber.isSubscribed], [true, false]);
  await subscriber.disconnect();
  assert.equal(subscriber.isConnected, false);
  assert.equal(await subscriber.disconnect(), undefined);
});

test('it logs in', async (t) => {
  const { redis, subscriber } = await both(t, ['--requirepass', 'pw']);
  await subscriber.connect();
  const known = new RedisSubscriber({ ...redis.options, password: 'pw' });
  t.after(() => known.disconnect());
  await known.connect();
  const wrong = new RedisSubscriber({ ...redis.options, password: 'x' });
  await assert.rejects(wrong.connect(), { message: /^WRONGPASS/ });
  assert.equal(wrong.isConnected, false);
});

test('a subscription keeps the process alive until it is given up', async (t) => {
  const { redis, client } = await both(t);
  const script = `
    const { RedisSubscriber } = require('paygate-mcp');
    const subscriber = new RedisSubscriber({ host: '127.0.0.1', port: ${redis.port} });
    subscriber.connect().then(() => subscriber.subscribe('a', (channel, message) => {
      console.log(message);
      subscriber.disconnect();
    }));`;
  const ended = run(process.execPath, ['-e', script], { cwd: join(__dirname, '..') });
  await until(async () => (await client.publish('a', 'bye')) === 1);
  assert.equal((await ended).stdout, 'bye\n');
});

test('a worker may end while it hears', async (t) => {
  const { redis, client } = await both(t);
  const script = `
    const { Worker } = require('node:worker_threads');
    const worker = new Worker(\`
      const { RedisSubscriber } = require('paygate-mcp');
      const subscriber = new RedisSubscriber({ host: '127.0.0.1', port: ${redis.port} });
      subscriber.connect().then(() => subscriber.subscribe('a', () => {}))
        .then(() => require('node:worker_threads').parentPort.postMessage('hearing'));
    \`, { eval: true });
    worker.on('message', () => worker.terminate().then(() => console.log('ended')));`;
  const { stdout } = await run(process.execPath, ['-e', script], { cwd: join(__dirname, '..') });
  assert.equal(stdout, 'ended\n');
  await until(async () => (await client.command('PUBSUB', 'NUMSUB', 'a'))[1] === 0, 'the end of the subscription');
});
