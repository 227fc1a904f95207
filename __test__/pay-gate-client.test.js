'use strict';

// The client of a gateway, against servers that answer as the test says.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const { once } = require('node:events');
const { mkdtempSync, rmSync, writeFileSync } = require('node:fs');
const { createServer } = require('node:http');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const test = require('node:test');
const { inspect, promisify } = require('node:util');

const { PayGateClient, PayGateError } = require('../lib/client.js');

/** A server that keeps what it was asked, and the connections it came over. */
async function serve(t, answer, { host = '127.0.0.1', ...options } = {}) {
  const asked = [];
  const sockets = new Set();
  const server = createServer(options, async (request, response) => {
    sockets.add(request.socket);
    let body = '';
    for await (const piece of request.setEncoding('utf8')) body += piece;
    const { method, url, headers, rawHeaders } = request;
    asked.push({ method, url, headers, rawHeaders, body });
    await answer(response, body === '' ? undefined : JSON.parse(body), asked.at(-1));
  });
  server.listen(0, host);
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const name = host.includes(':') ? `[${host}]` : host;
  const url = `http://${name}:${server.address().port}`;
  const client = (config) => new PayGateClient({ url, apiKey: 'pg_test', ...config });
  return { asked, sockets, url, client, server };
}

const reply = (response, message, headers) => {
  response.writeHead(200, { 'Content-Type': 'application/json', ...headers });
  response.end(JSON.stringify({ jsonrpc: '2.0', ...message }));
};
const results = (result) => (response, message) => reply(response, { id: message?.id, result });
const fails = (error) => (response, message) => reply(response, { id: message?.id, error });
const raw = (text, status = 200, headers) => (response) => response.writeHead(status, headers).end(text);

const UNPAID = {
  code: -32402,
  message: 'Payment required: insufficient_credits: need 1, have 0',
  data: { creditsRequired: 1, remainingCredits: 0 },
};

test('a tool call is sent as ever', async (t) => {
  const { asked, client } = await serve(t, results({ content: [{ type: 'text', text: 'ok' }] }));
  const result = await client().callTool('x', { a: 1 });
  assert.deepStrictEqual(result, { content: [{ type: 'text', text: 'ok' }] });
  const [{ method, url, rawHeaders, body }] = asked;
  assert.deepEqual([method, url], ['POST', '/mcp']);
  assert.equal(body, '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"a":1}}}');
  const sent = ['Content-Type', 'application/json', 'X-API-Key', 'pg_test', 'Content-Length', String(body.length)];
  assert.deepEqual(rawHeaders.slice(0, 6), sent);
  const names = rawHeaders.filter((_, i) => i % 2 === 0);
  assert.deepEqual(names.sort(), ['Connection', 'Content-Length', 'Content-Type', 'Host', 'X-API-Key']);
});

test('ids count over all methods', async (t) => {
  const { asked, client } = await serve(t, results({}));
  const c = client();
  assert.deepStrictEqual(await c.initialize(), {});
  assert.equal(await c.ping(), true);
  assert.deepStrictEqual(await c.listTools(), []);
  await c.callTool('x');
  const bodies = asked.map(({ body }) => JSON.parse(body));
  assert.deepEqual(
    bodies.map(({ id, method, params }) => [id, method, params]),
    [
      [1, 'initialize', { protocolVersion: '2024-11-05', capabilities: {}, clientInfo: { name: 'paygate-client', version: '1.0.0' } }],
      [2, 'ping', {}],
      [3, 'tools/list', {}],
      [4, 'tools/call', { name: 'x', arguments: {} }],
    ],
  );
});

test('a reply without a result is none', async (t) => {
  for (const text of ['{"jsonrpc":"2.0","id":1}', 'null', '5', '[]']) {
    const { client } = await serve(t, raw(text));
    const c = client();
    assert.deepStrictEqual(await c.listTools(), []);
    assert.equal(await c.callTool('x'), undefined);
    assert.equal(await c.initialize(), undefined);
  }
});

test('a refusal is an error that says what it is', async (t) => {
  const { client } = await serve(t, fails(UNPAID));
  const c = client();
  const refused = await c.callTool('search').catch((error) => error);
  assert.ok(refused instanceof PayGateError && refused instanceof Error);
  assert.deepEqual({ ...refused }, { code: -32402, data: UNPAID.data, name: 'PayGateError' });
  assert.deepEqual(Object.keys(refused), ['code', 'data', 'name']);
  assert.equal(String(refused), `PayGateError: ${UNPAID.message}`);
  assert.deepEqual([refused.isPaymentRequired, refused.isRateLimited, refused.isExpired], [true, false, false]);
  await assert.rejects(c.listTools(), PayGateError);
  await assert.rejects(c.initialize(), PayGateError);
  assert.equal(await c.ping(), false);
});

test('the error of the client', () => {
  const error = new PayGateError(-32000, 'rate_limited: 5 calls/min exceeded');
  assert.deepEqual([error.isPaymentRequired, error.isRateLimited, error.isExpired], [false, true, false]);
  assert.equal('data' in error, true);
  assert.equal(JSON.stringify(new PayGateError(-32402, 'm')), '{"code":-32402,"name":"PayGateError"}');
  assert.equal(new PayGateError(-1, 'Payment required: api_key_expired').isExpired, true);
  assert.throws(() => PayGateError(-1, 'm'), TypeError);
});

test('a call is repeated while credits are found for it', async (t) => {
  let paid = 0;
  const { asked, client } = await serve(t, (response, message) =>
    (paid === 2 ? results({ content: [] }) : fails(UNPAID))(response, message),
  );
  const asks = [];
  const onCreditsNeeded = async (info) => {
    asks.push(info);
    paid += 1;
    return true;
  };
  const c = client({ autoRetry: true, maxRetries: 2, onCreditsNeeded });
  assert.deepStrictEqual(await c.callTool('search'), { content: [] });
  const info = { tool: 'search', creditsRequired: 1, remainingCredits: 0 };
  assert.deepStrictEqual(asks, [info, info]);
  assert.deepEqual(asked.map(({ body }) => JSON.parse(body).id), [1, 2, 3]);
});

test('a call is not repeated without leave', async (t) => {
  const { asked, client } = await serve(t, fails({ ...UNPAID, data: undefined }));
  let asks = [];
  const onCreditsNeeded = async (info) => asks.push(info) > 0;
  const calls = async (config) => {
    asks = [];
    asked.length = 0;
    await assert.rejects(client(config).callTool('x'), { code: -32402 });
    return [asks.length, asked.length];
  };
  assert.deepEqual(await calls({ onCreditsNeeded }), [0, 1]);
  assert.deepEqual(await calls({ autoRetry: true }), [0, 1]);
  assert.deepEqual(await calls({ autoRetry: true, onCreditsNeeded }), [1, 2]);
  assert.deepEqual(asks, [{ tool: 'x', creditsRequired: 0, remainingCredits: 0 }]);
  assert.deepEqual(await calls({ autoRetry: true, onCreditsNeeded, maxRetries: 0 }), [1, 2]);
  assert.deepEqual(await calls({ autoRetry: true, onCreditsNeeded, maxRetries: 3 }), [3, 4]);
  assert.deepEqual(await calls({ autoRetry: true, onCreditsNeeded: async () => false, maxRetries: 3 }), [0, 1]);
  const broken = client({ autoRetry: true, onCreditsNeeded: async () => { throw new RangeError('no bank'); } });
  await assert.rejects(broken.callTool('x'), { name: 'RangeError', message: 'no bank' });
});

test('another error asks for no credits', async (t) => {
  const { client } = await serve(t, fails({ code: -32000, message: 'Payment required: x' }));
  const c = client({ autoRetry: true, onCreditsNeeded: () => assert.fail('asked') });
  await assert.rejects(c.callTool('x'), { code: -32000, message: 'Payment required: x' });
});

test('the balance is kept', async (t) => {
  const bodies = ['{"credits":3,"name":"k"}', '{"error":"Invalid or inactive API key"}', 'out of order', '{"credits":1}'];
  const statuses = [200, 404, 200, 200];
  const { asked, client } = await serve(t, (response) => raw(bodies.shift(), statuses.shift())(response));
  const c = client();
  assert.equal(c.lastKnownBalance, null);
  assert.deepStrictEqual(await c.getBalance(), { credits: 3, name: 'k' });
  assert.equal(c.lastKnownBalance, 3);
  assert.deepStrictEqual(await c.getBalance(), { error: 'Invalid or inactive API key' });
  assert.equal(c.lastKnownBalance, 3);
  await assert.rejects(c.getBalance(), { name: 'Error', message: 'Invalid JSON response: out of order' });
  await c.getBalance();
  assert.equal(c.lastKnownBalance, 1);
  const [{ method, url, headers }] = asked;
  assert.deepEqual([method, url, headers['x-api-key'], headers['content-type']], ['GET', '/balance', 'pg_test', undefined]);
});

test('what a server refuses before it looks at it is an error with its text', async (t) => {
  const draining = await serve(t, raw('{"error":"Server is shutting down"}', 503));
  const c = draining.client();
  assert.equal(await c.ping(), false);
  const data = { error: 'Server is shutting down' };
  await assert.rejects(c.callTool('x'), { name: 'PayGateError', code: 503, message: 'Server is shutting down', data });
  await assert.rejects(c.getBalance(), { name: 'PayGateError', code: 503, message: 'Server is shutting down', data });
  const forbidden = await serve(t, raw('{"message":"Forbidden"}', 403));
  await assert.rejects(forbidden.client().callTool('x'), { name: 'PayGateError', code: 403, message: 'HTTP 403' });
  const html = await serve(t, raw('<html>', 502));
  await assert.rejects(html.client().callTool('x'), SyntaxError);
});

test('only scheme, host and port of the address count', async (t) => {
  const { asked, url, client } = await serve(t, results({}));
  await client({ url: `${url.replace('//', '//user:word@')}/prefix/path?z=1` }).callTool('x');
  assert.equal(asked[0].url, '/mcp');
  assert.equal(asked[0].headers.authorization, undefined);
  for (const none of ['', 'localhost', 'http://', undefined, null, {}]) {
    assert.throws(() => client({ url: none }), { name: 'TypeError', message: 'Invalid URL', code: 'ERR_INVALID_URL' });
  }
  assert.throws(() => PayGateClient({ url }), TypeError);
});

test('a gateway behind a path is reached', async (t) => {
  const { asked, client } = await serve(t, results({}));
  for (const pathPrefix of ['/gate', 'gate/', '//gate//', '/a b/ü', '/', '', undefined, null]) {
    const c = client({ pathPrefix });
    await c.ping();
    await c.getBalance();
  }
  const paths = asked.map(({ url }) => url);
  const under = (prefix) => [`${prefix}/mcp`, `${prefix}/balance`];
  const expected = ['/gate', '/gate', '/gate', '/a%20b/%C3%BC', '', '', '', ''].flatMap(under);
  assert.deepEqual(paths, expected);
});

test('an IPv6 address is reached', async (t) => {
  const { asked, client } = await serve(t, results({}), { host: '::1' });
  assert.equal(await client().ping(), true);
  assert.match(asked[0].headers.host, /^\[::1\]:\d+$/);
});

test('characters that come in pieces stay whole', async (t) => {
  const text = 'äöü 漢字 🦀';
  const inPieces = (body, headers) => async (response) => {
    response.writeHead(200, headers);
    for (const byte of Buffer.from(body)) {
      response.write(Buffer.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    response.end();
  };
  const json = await serve(t, inPieces(JSON.stringify({ id: 1, result: { text } })));
  assert.deepStrictEqual(await json.client().callTool('x'), { text });
  const events = `: hello\r\n\r\nevent: message\r\ndata: {"method":"notifications/x"}\r\n\r\ndata:{"id":1,\r\ndata: "result":${JSON.stringify({ text })}}\r\n\r\n`;
  const stream = await serve(t, inPieces(events, { 'Content-Type': 'text/event-stream' }));
  assert.deepStrictEqual(await stream.client().callTool('x'), { text });
});

test('an event stream is read until the answer', async (t) => {
  const headers = { 'Content-Type': 'text/event-stream; charset=utf-8' };
  const open = await serve(t, (response, message) => {
    response.writeHead(200, headers);
    response.write(`data: {"id":${message.id},"method":"ping"}\n\n`);
    response.write('data: not json\n\n');
    response.write(`data: {"jsonrpc":"2.0","id":${message.id},"error":{"code":-32402,"message":"Payment required: x"}}\n\n`);
  });
  await assert.rejects(open.client().callTool('x'), { name: 'PayGateError', code: -32402 });
  const bare = await serve(t, (response, message) => raw(`data: {"id":${message.id},"result":5}`, 200, headers)(response));
  assert.equal(await bare.client().callTool('x'), 5);
  const none = await serve(t, raw('data: {"id":"other","result":5}\n\n', 200, headers));
  await assert.rejects(none.client().callTool('x'), { message: 'No matching response in SSE stream' });
});

test('the time limit is for the whole of a request', async (t) => {
  const silent = await serve(t, () => {});
  const limit = { timeout: 60 };
  const expected = { name: 'Error', message: 'Request timed out after 60ms' };
  await assert.rejects(silent.client(limit).callTool('x'), expected);
  await assert.rejects(silent.client(limit).getBalance(), expected);
  const closed = [];
  const trickling = await serve(t, (response) => {
    response.writeHead(200);
    const timer = setInterval(() => response.write(' '), 10);
    closed.push(once(response, 'close').then(() => clearInterval(timer)));
  });
  await assert.rejects(trickling.client(limit).callTool('x'), expected);
  await closed[0];
  for (const timeout of [-1, 'soon', {}]) {
    assert.throws(() => silent.client({ timeout }), { name: 'RangeError', message: /^timeout must be/ });
  }
  const patient = await serve(t, results({}));
  for (const timeout of [Infinity, 2 ** 40, '5000', 0, null, NaN]) assert.equal(await patient.client({ timeout }).ping(), true);
});

test('a request can be given up', async (t) => {
  const { client, asked } = await serve(t, () => {});
  const c = client({ timeout: 5000 });
  const given = new Error('enough');
  for (const start of [
    (options) => c.callTool('x', {}, options),
    (options) => c.initialize(options),
    (options) => c.ping(options),
    (options) => c.listTools(options),
    (options) => c.getBalance(options),
  ]) {
    const abort = new AbortController();
    const before = asked.length;
    const pending = assert.rejects(start({ signal: abort.signal }), given);
    while (asked.length === before) await new Promise((resolve) => setImmediate(resolve));
    abort.abort(given);
    await pending;
    await assert.rejects(start({ signal: AbortSignal.abort(given) }), given);
    assert.equal(asked.length, before + 1);
  }
  await assert.rejects(c.ping({ signal: AbortSignal.abort() }), { name: 'AbortError' });
  await assert.rejects(c.ping({ signal: {} }), { name: 'TypeError', message: 'signal must be an AbortSignal, but is object' });
});

test('a call is not repeated once it was given up', async (t) => {
  const { client, asked } = await serve(t, fails(UNPAID));
  const abort = new AbortController();
  const onCreditsNeeded = async () => {
    abort.abort(new Error('enough'));
    return true;
  };
  await assert.rejects(client({ autoRetry: true, onCreditsNeeded }).callTool('x', {}, { signal: abort.signal }), { message: 'enough' });
  assert.equal(asked.length, 1);
});

test('the session of initialize is used and ended', async (t) => {
  const { client, asked } = await serve(t, (response, message, { method }) => {
    if (method === 'DELETE') return raw('{"message":"Session terminated"}')(response);
    if (message.id === undefined) return raw('', 202)(response);
    return reply(response, { id: message.id, result: {} }, { 'Mcp-Session-Id': 's1' });
  });
  const c = client();
  await c.ping();
  await c.initialize();
  await c.callTool('x');
  await c.initialize();
  await c.close();
  await c.close();
  await c.ping();
  const seen = asked.map(({ method, headers, body }) => [body ? JSON.parse(body).method : method, headers['mcp-session-id']]);
  assert.deepEqual(seen, [
    ['ping', undefined],
    ['initialize', undefined],
    ['notifications/initialized', 's1'],
    ['tools/call', 's1'],
    ['initialize', undefined],
    ['notifications/initialized', 's1'],
    ['DELETE', 's1'],
    ['ping', undefined],
  ]);
});

test('a session that the server has forgotten or replaced is given up', async (t) => {
  let live = 's1';
  const { client, asked } = await serve(t, (response, message, { headers }) => {
    const given = headers['mcp-session-id'];
    if (given !== undefined && given !== live) return raw('{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}', 404)(response);
    return reply(response, { id: message.id, result: {} }, { 'Mcp-Session-Id': live });
  });
  const c = client();
  await c.initialize();
  live = 's2';
  asked.length = 0;
  const both = await Promise.all([c.callTool('x'), c.callTool('y')]);
  assert.deepEqual(both, [{}, {}]);
  assert.deepEqual(asked.map(({ headers }) => headers['mcp-session-id']), ['s1', 's1', undefined, undefined]);
  assert.deepEqual(asked.map(({ body }) => JSON.parse(body).id).sort(), [2, 2, 3, 3]);

  const replacing = await serve(t, (response, message) =>
    message.id === undefined ? raw('')(response) : reply(response, { id: message.id, result: {} }, { 'Mcp-Session-Id': `s${message.id}` }),
  );
  const other = replacing.client();
  await other.initialize();
  await other.ping();
  await other.ping();
  assert.deepEqual(replacing.asked.map(({ headers }) => headers['mcp-session-id']), [undefined, 's1', 's1', 's2']);
});

test('closing without a server is no error', async (t) => {
  const { client, server } = await serve(t, (response, message) => reply(response, { id: message.id, result: {} }, { 'Mcp-Session-Id': 's' }));
  const c = client();
  await c.initialize();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await c.close();
  await assert.rejects(c.ping(), { code: 'ECONNREFUSED' });
});

test('a connection serves one call after the other', async (t) => {
  const { client, sockets } = await serve(t, results({ ok: true }));
  const c = client();
  for (let i = 0; i < 5; i += 1) await c.callTool('x');
  assert.equal(sockets.size, 1);
  await c.close();
  await Promise.all([...sockets].map((socket) => socket.destroyed || once(socket, 'close')));
  await c.callTool('x');
  assert.equal(sockets.size, 2);
});

test('a script that was busy sends no call into a connection that the server has closed meanwhile', async () => {
  // The server runs on a thread of its own and says nothing of when it closes connections.
  const script = `
    const { createServer } = require('node:net');
    const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');
    const answer = '{"id":1,"result":"paid"}';
    if (isMainThread) {
      const { PayGateClient } = require(${JSON.stringify(join(__dirname, '../lib/client.js'))});
      const closed = new Int32Array(new SharedArrayBuffer(4));
      const worker = new Worker(__filename, { workerData: closed });
      worker.once('message', async (port) => {
        const client = new PayGateClient({ url: 'http://127.0.0.1:' + port, apiKey: 'k' });
        for (let call = 0; call < 3; call += 1) {
          console.log(await client.callTool('x'));
          Atomics.wait(closed, 0, call);
        }
        worker.terminate();
      });
    } else {
      const server = createServer((socket) => {
        socket.on('error', () => {});
        socket.once('data', () => {
          socket.write('HTTP/1.1 200 OK\\r\\nContent-Length: ' + answer.length + '\\r\\n\\r\\n' + answer);
          setTimeout(() => {
            socket.destroy();
            socket.once('close', () => {
              Atomics.add(workerData, 0, 1);
              Atomics.notify(workerData, 0);
            });
          }, 100);
        });
      });
      server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
    }`;
  const folder = mkdtempSync(join(tmpdir(), 'paygate-client-'));
  try {
    const file = join(folder, 'busy.js');
    writeFileSync(file, script);
    const { stdout } = await promisify(execFile)(process.execPath, [file]);
    assert.equal(stdout, 'paid\n'.repeat(3));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a kept connection keeps no process alive', async (t) => {
  const { url } = await serve(t, results('done'), { keepAliveTimeout: 60_000 });
  const script = `
    const { PayGateClient } = require(${JSON.stringify(join(__dirname, '../lib/client.js'))});
    const client = new PayGateClient({ url: ${JSON.stringify(url)}, apiKey: 'k' });
    client.callTool('x').then((result) => {
      const at = performance.now();
      process.on('exit', () => console.log(result, performance.now() - at < 2000));
    });`;
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', script]);
  assert.equal(stdout, 'done true\n');
});

test('answers that are no JSON leave the connections of other calls alone', async (t) => {
  let turn = 0;
  const { client } = await serve(t, (response, message) => {
    turn += 1;
    return (turn % 3 === 0 ? raw('nonsense') : results(message.id))(response, message);
  });
  const c = client();
  for (let round = 0; round < 20; round += 1) {
    const calls = await Promise.allSettled(Array.from({ length: 6 }, () => c.callTool('x')));
    assert.equal(calls.filter(({ status }) => status === 'rejected').length, 2);
    for (const { reason } of calls) assert.ok(reason === undefined || reason instanceof SyntaxError, reason);
  }
});

test('what cannot be sent rejects', async (t) => {
  const { client, asked } = await serve(t, results({}));
  const cycle = {};
  cycle.self = cycle;
  const hostile = { get x() { throw new RangeError('mine'); } };
  await assert.rejects(client().callTool('x', cycle), TypeError);
  await assert.rejects(client().callTool('x', { n: 1n }), TypeError);
  await assert.rejects(client().callTool('x', hostile), { message: 'mine' });
  await assert.rejects(client({ apiKey: undefined }).callTool('x'), TypeError);
  await assert.rejects(client({ apiKey: 'a\nb' }).ping(), TypeError);
  assert.equal(asked.length, 0);
  await client().callTool('\ud800', { odd: '\udfff' });
  assert.deepEqual(JSON.parse(asked[0].body).params, { name: '\ud800', arguments: { odd: '\udfff' } });
});

test('a connection that is lost in the middle of an answer rejects', async (t) => {
  const { client } = await serve(t, (response) => {
    response.writeHead(200, { 'Content-Length': 100 });
    response.write('{"id":1,', () => response.destroy());
  });
  await assert.rejects(client().callTool('x'), { code: 'ECONNRESET' });
});

test('the client shows no secret and can be extended', async (t) => {
  const { client, url } = await serve(t, results({}));
  assert.doesNotMatch(inspect(client(), { depth: 5 }) + JSON.stringify(client()), /pg_test/);
  class Mine extends PayGateClient {
    callTool(name) {
      return super.callTool(`mine:${name}`);
    }
  }
  assert.deepStrictEqual(await new Mine({ url, apiKey: 'k' }).callTool('x'), {});
});
