'use strict';

// RedisClient and parseRedisUrl: commands, replies, failures.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const net = require('node:net');
const { join } = require('node:path');
const test = require('node:test');
const { promisify } = require('node:util');
const { RedisClient, parseRedisUrl } = require('..');
const { startRedis, until } = require('./support/redis.js');

const root = join(__dirname, '..');
const run = promisify(execFile);

async function connected(t, flags) {
  const redis = await startRedis(t, flags);
  const client = new RedisClient(redis.options);
  t.after(() => client.disconnect());
  return { redis, client };
}

test('a URL names a Redis', () => {
  assert.deepEqual(parseRedisUrl('redis://localhost'), { host: 'localhost', port: 6379, password: undefined, db: 0 });
  assert.deepEqual(Object.keys(parseRedisUrl('redis://h')), ['host', 'port', 'password', 'db']);
  assert.deepEqual(parseRedisUrl('redis://:pw@h:1/3abc'), { host: 'h', port: 1, password: 'pw', db: 3 });
  assert.deepEqual(parseRedisUrl('redis://'), { host: '127.0.0.1', port: 6379, password: undefined, db: 0 });
  assert.equal(JSON.stringify(parseRedisUrl('rediss://user:p%40ss@h')), '{"host":"h","port":6379,"password":"p@ss","db":0}');
  assert.equal(parseRedisUrl('redis://[::1]:7').host, '[::1]');
  for (const url of ['', 'nope', 'redis://h:99999', undefined]) {
    assert.throws(() => parseRedisUrl(url), { name: 'TypeError', message: 'Invalid URL' });
  }
});

test('options that cannot be are named', () => {
  assert.throws(() => new RedisClient(), { name: 'TypeError', message: 'opts must be an object, but is undefined' });
  for (const port of [-1, 1.5, 65536, 'x', NaN]) {
    assert.throws(() => new RedisClient({ host: 'h', port }), { name: 'RangeError', message: /^opts\.port must be/ });
  }
});

test('every command has its reply', async (t) => {
  const { client } = await connected(t);
  assert.equal(client.isConnected, false);
  assert.equal(await client.ping(), 'PONG');
  assert.equal(client.isConnected, true);
  assert.equal(await client.set('a', 'é\r\nx'), 'OK');
  assert.equal(await client.get('a'), 'é\r\nx');
  assert.equal(await client.get('none'), null);
  assert.equal(await client.set('short', 'x', 100), 'OK');
  assert.equal(await client.command('TTL', 'short'), 100);
  assert.equal(await client.exists('a'), 1);
  assert.equal(await client.del('a', 'short'), 2);
  assert.deepEqual([await client.incr('n'), await client.incrby('n', 5), await client.decrby('n', 2)], [1, 6, 4]);
  assert.deepEqual([await client.expire('n', 100), await client.pexpire('n', 1000)], [1, 1]);
  assert.equal(await client.hset('h', 'f', '1', '__proto__', '2'), 2);
  assert.equal(await client.hget('h', 'f'), '1');
  const hash = await client.hgetall('h');
  assert.deepEqual(Object.entries(hash), [['f', '1'], ['__proto__', '2']]);
  assert.equal(await client.hdel('h', '__proto__'), 1);
  assert.deepEqual(await client.hgetall('none'), {});
  assert.deepEqual([await client.zadd('z', 1, 'a'), await client.zadd('z', 2, 'b'), await client.zcard('z')], [1, 1, 2]);
  assert.deepEqual(await client.zrangebyscore('z', '-inf', 1), ['a']);
  assert.equal(await client.zremrangebyscore('z', 0, 1), 1);
  assert.deepEqual([await client.rpush('l', 'a', 'b', 'c'), await client.llen('l')], [3, 3]);
  assert.deepEqual(await client.lrange('l', 0, -1), ['a', 'b', 'c']);
  assert.equal(await client.ltrim('l', -1, -1), 'OK');
  assert.equal(await client.publish('nobody', 'x'), 0);
  assert.deepEqual(await client.evalLua('return {1,{2,"x"},false}', 0), [1, [2, 'x'], null]);
  const [cursor, keys] = await client.scan('0', 'h*');
  assert.deepEqual([cursor, keys], ['0', ['h']]);
  for (let i = 0; i < 300; i += 1) client.set(`many:${i}`, 'x');
  assert.equal(new Set(await client.scanAll('many:*', 10)).size, 300);
  assert.equal(await client.connect(), undefined);
  assert.equal(await client.disconnect(), undefined);
  assert.equal(client.isConnected, false);
  assert.equal(await client.ping(), 'PONG');
});

test('replies, lists and errors are of this realm, and errors are in the words of the server', async (t) => {
  const { client } = await connected(t);
  await client.set('text', 'x');
  const wrong = await client.lrange('text', 0, -1).catch((error) => error);
  assert.ok(wrong instanceof Error);
  assert.equal(wrong.message, 'WRONGTYPE Operation against a key holding the wrong kind of value');
  await assert.rejects(client.incrby('zz', 1.5), { message: 'ERR value is not an integer or out of range' });
  await assert.rejects(client.command(), { name: 'TypeError', message: 'args must hold the name of a command' });
  await assert.rejects(client.get(Object.create(null)), TypeError);
  const list = await client.command('KEYS', '*');
  assert.ok(list instanceof Array && client.ping() instanceof Promise);
});

test('commands are answered in the order of the calls, one that fails beside the others', async (t) => {
  const { client } = await connected(t);
  await client.command('MULTI');
  const queued = [client.set('a', 'x'), client.incr('a'), client.get('a')];
  const executed = assert.rejects(client.command('EXEC'), { message: 'ERR value is not an integer or out of range' });
  const after = [...Array(500).keys()].map((n) => client.rpush('list', String(n)));
  assert.deepEqual(await Promise.all(queued), ['QUEUED', 'QUEUED', 'QUEUED']);
  await executed;
  assert.deepEqual(await Promise.all(after), [...Array(500).keys()].map((n) => n + 1));
});

test('odd texts reach Redis as Node would write them', async (t) => {
  const { client } = await connected(t);
  await client.set('half', '\ud83d!');
  assert.equal(await client.get('half'), '\ufffd!');
  await client.set('zero', 'a\0b');
  assert.equal(await client.get('zero'), 'a\0b');
  const long = 'ü'.repeat(2_000_000);
  await client.set('long', long);
  assert.equal(await client.get('long'), long);
});

test('no command is sent before the login, whoever issues it first', async (t) => {
  const { redis, client } = await connected(t, ['--requirepass', 'se cret']);
  await assert.rejects(client.ping(), { message: 'NOAUTH Authentication required.' });
  const known = new RedisClient({ ...redis.options, password: 'se cret', db: 2 });
  t.after(() => known.disconnect());
  assert.deepEqual(await Promise.all([known.set('a', '1'), known.get('a'), known.connect(), known.get('a')]), ['OK', '1', undefined, '1']);
  assert.match(await known.command('CLIENT', 'INFO'), / db=2 /);
  const wrong = new RedisClient({ ...redis.options, password: 'wrong' });
  await assert.rejects(wrong.connect(), { message: /^WRONGPASS / });
  assert.equal(wrong.isConnected, false);
  const fromUrl = new RedisClient({ ...parseRedisUrl(redis.url.replace('//', '//anyone:se%20cret@')), connectTimeout: 1000 });
  t.after(() => fromUrl.disconnect());
  assert.equal(await fromUrl.command('ACL', 'WHOAMI'), 'default');
});

test('a refusal is the same for all who wait, and the next command tries again', async (t) => {
  const { redis, client } = await connected(t);
  await client.ping();
  await redis.stop();
  await until(() => !client.isConnected);
  const refused = { message: `connect ECONNREFUSED 127.0.0.1:${redis.port}`, code: 'ECONNREFUSED' };
  const waiting = [client.connect(), client.connect(), client.ping()];
  for (const each of await Promise.allSettled(waiting)) {
    assert.deepEqual([each.reason.message, each.reason.code], [refused.message, refused.code]);
  }
  await redis.restart();
  assert.equal(await client.ping(), 'PONG');
});

test('a late reply is dropped in its turn', async (t) => {
  const { redis } = await connected(t);
  const client = new RedisClient({ ...redis.options, commandTimeout: 100 });
  t.after(() => client.disconnect());
  await assert.rejects(client.command('BLPOP', 'empty', '0.3'), { message: 'Redis command timeout: BLPOP' });
  let answer;
  await until(async () => (answer = await client.command('ECHO', 'mine').catch(() => undefined)) !== undefined);
  assert.equal(answer, 'mine');
});

test('disconnecting ends what waits', async (t) => {
  const { client } = await connected(t);
  await client.connect();
  const waiting = client.command('BLPOP', 'empty', '0');
  await client.disconnect();
  await assert.rejects(waiting, { message: 'Disconnected' });
});

test('a server that does not answer is given up', async (t) => {
  const server = net.createServer().listen(0, '127.0.0.1');
  const sockets = [];
  server.on('connection', (socket) => sockets.push(socket));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await new Promise((resolve) => server.on('listening', resolve));
  const { port } = server.address();
  const silent = { host: '127.0.0.1', port, commandTimeout: 50 };
  const client = new RedisClient(silent);
  await assert.rejects(client.ping(), { message: 'Redis command timeout: PING' });
  const secret = new RedisClient({ ...silent, password: 'pw' });
  await assert.rejects(secret.connect(), { message: 'Redis command timeout: AUTH' });
  const secure = new RedisClient({ ...parseRedisUrl(`rediss://127.0.0.1:${port}`), connectTimeout: 50 });
  await assert.rejects(secure.connect(), { message: 'Redis connect timeout (50ms)' });
  const seen = await new Promise((resolve) => sockets[2].on('data', resolve));
  assert.equal(seen[0], 0x16, 'what is sent is the beginning of TLS');
  await client.disconnect();
});

test('a pending command keeps the process alive, a connection does not', async (t) => {
  const { redis } = await connected(t);
  const script = `
    const { RedisClient } = require('paygate-mcp');
    const client = new RedisClient({ host: '127.0.0.1', port: ${redis.port} });
    client.command('BLPOP', 'empty', '0.1').then((popped) => console.log(popped));`;
  const { stdout } = await run(process.execPath, ['-e', script], { cwd: root });
  assert.equal(stdout, 'null\n');
});

test('clients may be derived from, and a worker may end in the middle', async (t) => {
  const { redis } = await connected(t);
  class Mine extends RedisClient {
    async command(...args) {
      return [args[0], await super.command(...args)];
    }
  }
  const mine = new Mine(redis.options);
  t.after(() => mine.disconnect());
  assert.deepEqual(await mine.ping(), ['PING', 'PONG']);
  const script = `
    const { Worker } = require('node:worker_threads');
    const worker = new Worker(\`
      const { RedisClient } = require('paygate-mcp');
      const client = new RedisClient({ host: '127.0.0.1', port: ${redis.port} });
      client.command('BLPOP', 'empty', '0').catch(() => {});
      client.connect().then(() => require('node:worker_threads').parentPort.postMessage('waiting'));
    \`, { eval: true });
    worker.on('message', () => worker.terminate().then(() => console.log('ended')));`;
  const { stdout } = await run(process.execPath, ['-e', script], { cwd: root });
  assert.equal(stdout, 'ended\n');
});
