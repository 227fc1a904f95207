'use strict';

// Webhooks: against receivers that really listen.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { createServer } = require('node:http');
const { once } = require('node:events');
const { join } = require('node:path');
const test = require('node:test');
const { DEFAULT_CONFIG, Gate, WebhookEmitter } = require('..');

const USAGE = { timestamp: '2024-01-01T00:00:00.000Z', apiKey: 'pg_aaaaaaa', keyName: 'n1', tool: 't', creditsCharged: 1, allowed: true };
const DAY = 86_400_000;

/** Somebody who is told. `answer` gives the status of each post, or does the answering. */
async function receiver(t, answer = () => 200) {
  const posts = [];
  const waiting = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8');
    request.on('data', (piece) => (body += piece));
    request.on('end', () => {
      const post = { method: request.method, url: request.url, headers: request.headers, body, json: JSON.parse(body) };
      posts.push(post);
      waiting.splice(0).forEach((look) => look());
      const status = answer(post, response);
      if (typeof status === 'number') response.writeHead(status, { location: '/elsewhere' }).end();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections?.();
    server.close();
  });
  const address = `127.0.0.1:${server.address().port}`;
  const received = async (count) => {
    while (posts.length < count) await new Promise((resolve) => waiting.push(resolve));
    return posts;
  };
  return { address, url: `http://${address}/hook`, posts, received };
}

function emitter(t, url, options) {
  const made = new WebhookEmitter(url, { flushIntervalMs: DAY, ...options });
  t.after(() => made.destroy());
  return made;
}

/** Waits until an emitter's statistics are what they are to be. */
async function until(made, isThere) {
  for (;;) {
    const stats = made.getRetryStats();
    if (isThere(stats)) return stats;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('a signature is the HMAC-SHA256 of the payload', () => {
  assert.equal(
    WebhookEmitter.sign('1709123456.{"a":1}', 'whsec_test'),
    'af5787dee2528ad3b2c3e10986fd65c5e50b77c76ed37c3927652114e825684d',
  );
  const signature = WebhookEmitter.sign('', 'k');
  assert.equal(signature, '8bb990c40a7d61cb97597a942125025be50ac8beb74436e3735b98893a7f6620');
  assert.equal(WebhookEmitter.sign(Buffer.from('ü'), 'k'), WebhookEmitter.sign('ü', 'k'));
  const verified = (...given) => WebhookEmitter.verify(...given);
  assert.deepEqual(
    [verified('', signature, 'k'), verified('', signature.toUpperCase(), 'k'), verified('', signature, 'K'), verified('', '', 'k')],
    [true, false, false, false],
  );
  assert.throws(() => WebhookEmitter.sign(5, 'k'), { name: 'TypeError', message: 'payload must be a string, but is number' });
  assert.throws(() => WebhookEmitter.sign('a'), { name: 'TypeError', message: /^secret / });
  assert.throws(() => WebhookEmitter.verify('a', undefined, 'k'), { name: 'TypeError', message: /^signature / });
});

test('full batches are posted at once, what is left over by the timer', async (t) => {
  const { url, received } = await receiver(t);
  const made = emitter(t, url, { batchSize: 3, flushIntervalMs: 200 });
  for (let i = 0; i < 7; i += 1) assert.equal(made.emit({ ...USAGE, keyName: `n${i}` }), undefined);
  const names = (await received(3)).map(({ json }) => json.events.map(({ keyName }) => keyName));
  assert.deepEqual(names.sort(), [['n0', 'n1', 'n2'], ['n3', 'n4', 'n5'], ['n6']]);
});

test('both kinds of events are in one body, which is signed', async (t) => {
  const { url, received } = await receiver(t);
  const made = emitter(t, `${url}?a=b#c`, { secret: 's' });
  made.emit(USAGE);
  assert.equal(made.emitAdmin('key.created', 'admin', { a: 1 }), undefined);
  made.emitAdmin('key.revoked', 'admin');
  made.flush();
  made.flush();
  const [{ method, url: path, headers, body, json }] = await received(1);
  assert.deepEqual([method, path], ['POST', '/hook?a=b']);
  assert.equal(headers['content-type'], 'application/json');
  assert.equal(headers['content-length'], String(Buffer.byteLength(body)));
  assert.equal(headers['user-agent'], 'paygate-mcp-webhook/1.0');
  assert.equal(headers['x-paygate-retry'], undefined);
  const [, at, signature] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(headers['x-paygate-signature']);
  assert.ok(WebhookEmitter.verify(`${at}.${body}`, signature, 's'));
  assert.deepEqual(Object.keys(json), ['sentAt', 'deliveryId', 'events', 'adminEvents']);
  assert.equal(json.deliveryId, headers['x-paygate-delivery']);
  assert.equal(new Date(json.sentAt).toISOString(), json.sentAt);
  assert.equal(JSON.stringify(json.events), JSON.stringify([USAGE]));
  assert.deepEqual(
    json.adminEvents.map(({ timestamp, ...event }) => JSON.stringify(event)),
    ['{"type":"key.created","actor":"admin","metadata":{"a":1}}', '{"type":"key.revoked","actor":"admin","metadata":{}}'],
  );
  assert.deepEqual(Object.keys(json.adminEvents[0]), ['type', 'timestamp', 'actor', 'metadata']);
});

test('a failed delivery is tried again under the same id, and buried', async (t) => {
  const { url, received } = await receiver(t, () => 500);
  const made = emitter(t, url, { maxRetries: 2, baseDelayMs: 10 });
  assert.equal(made.maxRetries, 2);
  made.emit(USAGE);
  made.flush();
  const posts = await received(3);
  assert.deepEqual(posts.map(({ headers }) => headers['x-paygate-retry']), [undefined, '1', '2']);
  assert.equal(new Set(posts.map(({ json }) => json.deliveryId)).size, 1);
  const stats = await until(made, ({ totalFailed }) => totalFailed === 1);
  assert.equal(
    JSON.stringify(stats),
    '{"pendingRetries":0,"deadLetterCount":1,"totalDelivered":0,"totalFailed":1,"totalRetries":2}',
  );
  const [letter] = made.getDeadLetters();
  assert.deepEqual(Object.keys(letter), ['events', 'attempts', 'lastError', 'firstAttempt', 'lastAttempt', 'url']);
  assert.deepStrictEqual(
    { ...letter, firstAttempt: '', lastAttempt: '' },
    { events: [USAGE], attempts: 2, lastError: 'HTTP 500', firstAttempt: '', lastAttempt: '', url },
  );
  assert.notEqual(made.getDeadLetters(), made.getDeadLetters());
  assert.equal(made.getDeadLetters()[0], letter);
  assert.deepEqual([made.clearDeadLetters(), made.clearDeadLetters(), made.getDeadLetters()], [1, 0, []]);
});

test('a redirect is a failure', async (t) => {
  const { url, posts } = await receiver(t, () => 302);
  const made = emitter(t, url, { maxRetries: 0, batchSize: 1 });
  made.emit(USAGE);
  await until(made, ({ totalFailed }) => totalFailed === 1);
  assert.deepEqual([made.getDeadLetters()[0].lastError, posts.length], ['HTTP 302', 1]);
});

test('nothing listens, or the address is none', async (t) => {
  const { url } = await receiver(t, (_, response) => response.destroy());
  const lastError = async (to) => {
    const made = emitter(t, to, { maxRetries: 0 });
    made.emit(USAGE);
    made.flush();
    await until(made, ({ totalFailed }) => totalFailed === 1);
    const [{ attempts, lastError: error }] = made.getDeadLetters();
    return [attempts, error];
  };
  assert.deepEqual(await lastError(url), [0, 'socket hang up']);
  const closed = createServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const { port } = closed.address();
  await new Promise((resolve) => closed.close(resolve));
  assert.deepEqual(await lastError(`http://127.0.0.1:${port}/`), [0, `connect ECONNREFUSED 127.0.0.1:${port}`]);
  const made = emitter(t, 'nota url');
  made.emit(USAGE);
  made.flush();
  assert.equal(made.getDeadLetters()[0].lastError, 'Invalid webhook URL', 'before the flush returns');
});

test('so many dead letters are kept; zero sets no bound of its own', async (t) => {
  const buried = (maxDeadLetters) => {
    const made = emitter(t, 'nota url', { batchSize: 1, maxDeadLetters });
    for (let i = 0; i < 5; i += 1) made.emit({ ...USAGE, keyName: `n${i}` });
    assert.equal(made.getRetryStats().totalFailed, 5);
    return made.getDeadLetters().map(({ events }) => events[0].keyName);
  };
  assert.deepEqual(buried(3), ['n2', 'n3', 'n4']);
  assert.equal(buried(undefined).length, 5);
  assert.equal(buried(0).length, 5);
});

test('a destroyed emitter posts what it had, and later only full batches', async (t) => {
  const { url, received } = await receiver(t);
  const made = emitter(t, url);
  made.emit(USAGE);
  made.destroy();
  assert.equal((await received(1))[0].json.events.length, 1);
  for (let i = 0; i < 10; i += 1) made.emit(USAGE);
  assert.equal((await received(2))[1].json.events.length, 10);
  made.destroy();
});

test('options that stand for the default', (t) => {
  for (const maxRetries of [undefined, null]) assert.equal(emitter(t, 'x', { maxRetries }).maxRetries, 5);
  assert.equal(emitter(t, 'x', { maxRetries: 0 }).maxRetries, 0);
  const made = emitter(t, 'nota url', { batchSize: 0 });
  for (let i = 0; i < 9; i += 1) made.emit(USAGE);
  assert.equal(made.getRetryStats().totalFailed, 0);
  made.emit(USAGE);
  assert.equal(made.getRetryStats().totalFailed, 1);
});

test('what is no event is an error, and goes nowhere', (t) => {
  const made = emitter(t, 'nota url');
  for (const event of [undefined, null, 5, 'text', () => {}, 5n]) assert.throws(() => made.emit(event), TypeError);
  const cycle = {};
  cycle.self = cycle;
  assert.throws(() => made.emit(cycle), TypeError);
  assert.throws(() => made.emit({ n: 1n }), TypeError);
  assert.throws(() => made.emit({ toJSON() {} }), TypeError);
  assert.throws(() => made.emitAdmin('key.created', 'admin', { n: 1n }), TypeError);
  const getter = { get type() { throw new RangeError('mine'); } };
  assert.throws(() => made.emit(getter), RangeError);
  made.flush();
  assert.deepEqual(made.getDeadLetters(), []);
  made.emit(new Proxy({ ...USAGE, tool: '\ud800', n: NaN }, {}));
  let deep = [];
  for (let i = 0; i < 1000; i += 1) deep = [deep];
  made.emit({ deep });
  made.flush();
  const [{ tool, n }] = made.getDeadLetters()[0].events;
  assert.deepEqual([tool, n], ['\ufffd', null]);
  assert.throws(() => WebhookEmitter('x'), TypeError);
  for (const url of [undefined, null, 5, {}]) emitter(t, url).flush();
  for (const odd of [NaN, Infinity, -1, 'x', {}, '7']) {
    emitter(t, 'x', { batchSize: odd, maxRetries: odd, baseDelayMs: odd, maxDeadLetters: odd }).emit(USAGE);
  }
});

test('it can be extended', async (t) => {
  const { url, received } = await receiver(t);
  class Mine extends WebhookEmitter {
    emit(event) {
      super.emit({ ...event, mine: true });
    }
  }
  const made = new Mine(url, { batchSize: 1 });
  t.after(() => made.destroy());
  made.emit(USAGE);
  assert.equal((await received(1))[0].json.events[0].mine, true);
});

// ── Of a gate ────────────────────────────────────────────────────────────────

const config = (webhookUrl, more) => ({ ...DEFAULT_CONFIG, globalRateLimitPerMin: 0, webhookUrl, ...more });

test('a gate tells of every decision and refund, in order', async (t) => {
  const { url, received } = await receiver(t);
  const gate = new Gate(config(url, { webhookSecret: 's', webhookMaxRetries: 3 }));
  t.after(() => gate.destroy());
  assert.ok(gate.webhook instanceof WebhookEmitter);
  assert.equal(gate.webhook.maxRetries, 3);
  const { key } = gate.store.createKey('a', 4, { deniedTools: ['bad'] });
  gate.evaluate(key, { name: 'x' });
  gate.evaluate(key, { name: 'bad' });
  gate.evaluateBatch(key, [{ name: 'x' }, { name: 'y' }]);
  gate.evaluateBatch(key, [{ name: 'x' }, { name: 'y' }]);
  gate.refund(key, 'x', 1);
  gate.evaluate('nobody', { name: 'x' });
  gate.webhook.emitAdmin('key.created', 'admin', {});
  gate.evaluate(null, { name: 'x' });
  gate.destroy();
  const [{ json, headers }] = await received(1);
  assert.ok(headers['x-paygate-signature']);
  const told = json.events.map(({ apiKey, tool, creditsCharged, allowed, denyReason }) =>
    [apiKey, tool, creditsCharged, allowed, denyReason ?? '-'].join(' ').replaceAll(key.slice(0, 10), 'K'));
  assert.deepEqual(told, [
    'K x 1 true -',
    'K bad 0 false tool_denied: bad is in deniedTools',
    'K x 1 true -',
    'K y 1 true -',
    'K x -1 true refund',
    'nobody x 0 false invalid_api_key',
    'none x 0 false missing_api_key',
  ]);
  assert.deepEqual(json.events, gate.meter.getEvents());
  assert.equal(json.adminEvents.length, 1);
});

test('a gate without a receiver has no emitter', () => {
  for (const url of [null, undefined, '']) assert.equal(new Gate(config(url)).webhook, null);
});

// ── Processes ────────────────────────────────────────────────────────────────

/** Runs a script, and gives its exit code. */
async function run(script, ...given) {
  const preamble = `const { Gate, WebhookEmitter, DEFAULT_CONFIG } = require(${JSON.stringify(join(__dirname, '..'))});`;
  const child = spawn(process.execPath, ['-e', preamble + script, ...given], { stdio: 'inherit' });
  const [code] = await once(child, 'exit');
  return code;
}

test('a process ends with its timers running, but not before its posts were answered', async (t) => {
  const { url, posts } = await receiver(t, (_, response) => void setTimeout(() => response.end(), 100));
  assert.equal(await run('new WebhookEmitter(process.argv[1]).emit({ tool: "lost" })', url), 0);
  assert.equal(posts.length, 0, 'nobody flushed');
  const flushed = 'const w = new WebhookEmitter(process.argv[1]); w.emit({ tool: "a" }); w.flush();' +
    'process.on("exit", () => { process.exitCode = w.getRetryStats().totalDelivered === 1 ? 0 : 1; });';
  assert.equal(await run(flushed, url), 0);
  assert.equal(posts.length, 1);
  const decided = 'const g = new Gate({ ...DEFAULT_CONFIG, webhookUrl: process.argv[1] });' +
    'for (let i = 0; i < 10; i += 1) g.evaluate(null, { name: "a" });' +
    'process.on("exit", () => { process.exitCode = g.webhook.getRetryStats().totalDelivered === 1 ? 0 : 1; });';
  assert.equal(await run(decided, url), 0);
  assert.equal(posts.length, 2);
});
