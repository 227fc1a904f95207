'use strict';

// `HttpMcpProxy`: a remote server behind a gate.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { EventEmitter } = require('node:events');
const { join } = require('node:path');
const test = require('node:test');
const { HttpMcpProxy } = require('..');
const { gateWith, callOf, heard, during, remote, plain } = require('./support/wrapped.js');

test('a text that is no URL is refused at once', () => {
  const { gate } = gateWith();
  for (const url of ['nope', '', '/mcp', undefined]) assert.throws(() => new HttpMcpProxy(gate, url), { name: 'TypeError', message: 'Invalid URL' });
  assert.throws(() => new HttpMcpProxy({}, 'http://h'), { name: 'TypeError', message: 'gate must be a Gate, but is object' });
  assert.ok(new HttpMcpProxy(gate, 'http://h') instanceof EventEmitter);
});

test('a start contacts nobody, and a proxy that does not run says so', async () => {
  const { gate, key } = gateWith();
  await remote(plain, async (url, log) => {
    const proxy = new HttpMcpProxy(gate, url);
    const error = { code: -32603, message: 'Proxy not started' };
    assert.deepEqual(await proxy.handleRequest(callOf('echo'), key), { jsonrpc: '2.0', id: 1, error });
    await during(proxy, async () => assert.equal(proxy.isRunning, true));
    assert.equal(proxy.isRunning, false);
    assert.deepEqual(await proxy.handleBatchRequest([{ name: 'echo' }], 7, key), { jsonrpc: '2.0', id: 7, error });
    assert.equal(log.length, 0);
  });
});

test('calls are paid for, told without word of refunds, and given back when they fail', async () => {
  const { gate, key, record } = gateWith({ defaultCreditsPerCall: 3, refundOnFailure: true }, 30);
  await remote(plain, async (url) => {
    await during(new HttpMcpProxy(gate, url), async (proxy) => {
      const told = heard(proxy, 'tool-call', 'batch-call');
      assert.deepEqual(await proxy.handleRequest(callOf('echo', { q: 1 }, 'x'), key), { jsonrpc: '2.0', id: 'x', result: { echo: { q: 1 } } });
      await proxy.handleRequest(callOf('fail'), key);
      const batch = await proxy.handleBatchRequest([{ name: 'echo' }, { name: 'fail' }], 'b', key);
      assert.deepEqual([batch.result.totalCreditsCharged, batch.result.remainingCredits, record.credits], [3, 24, 24]);
      const apiKey = key.slice(0, 10);
      assert.deepEqual(told, [
        ['tool-call', { tool: 'echo', apiKey, creditsCharged: 3, remainingCredits: 27 }],
        ['tool-call', { tool: 'fail', apiKey, creditsCharged: 0, remainingCredits: 27 }],
        ['batch-call', { apiKey, callCount: 2, totalCreditsCharged: 3, remainingCredits: 24 }],
      ]);
    });
  });
});

test('a single call is refused with a code of its own', async () => {
  const { gate } = gateWith();
  await during(new HttpMcpProxy(gate, 'http://127.0.0.1:9/'), async (proxy) => {
    const data = { creditsRequired: 1, remainingCredits: 0 };
    assert.deepEqual((await proxy.handleRequest(callOf('echo'), null)).error, { code: -32000, message: 'Payment required: missing_api_key', data });
    assert.equal((await proxy.handleBatchRequest([{ name: 'echo' }], 1, null)).error.code, -32402);
  });
});

test('nothing of the caller but the message is passed on, and the session is carried along and ended', async () => {
  const { gate, key } = gateWith();
  await remote(plain, async (url, log) => {
    await during(new HttpMcpProxy(gate, url.replace('http://', 'http://user:secret@') + '?token=t'), async (proxy) => {
      await proxy.handleRequest({ jsonrpc: '2.0', id: 1, method: 'initialize', params: {} }, null);
      assert.deepEqual(await proxy.handleRequest({ jsonrpc: '2.0', method: 'notifications/initialized' }, null), { jsonrpc: '2.0', result: {} });
      await proxy.handleRequest(callOf('echo'), key);
    });
    assert.deepEqual(log.map(({ method, url: path, headers }) => [method, path, headers['mcp-session-id']]), [
      ['POST', '/mcp?token=t', undefined],
      ['POST', '/mcp?token=t', 'far-1'],
      ['POST', '/mcp?token=t', 'far-1'],
      ['DELETE', '/mcp', 'far-1'],
    ]);
    for (const { headers } of log.slice(0, 3)) {
      const names = Object.keys(headers).filter((name) => name !== 'mcp-session-id' && name !== 'connection');
      assert.deepEqual(names.sort(), ['accept', 'content-length', 'content-type', 'host']);
      assert.equal(headers.accept, 'application/json, text/event-stream');
    }
  });
});

test('an answer is found among events', async () => {
  const { gate } = gateWith();
  const script = ({ id }, _, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8' });
    response.write('event: message\r\ndata:{"jsonrpc":"2.0","method":"notifications/progress"}\r\n\r\n');
    response.write(`data: {"jsonrpc":"2.0",\r\ndata: "id":${id},`);
    response.end('\r\ndata:"result":{"é":1}}\r\n\r\n: bye\r\n\r\n');
  };
  await remote(script, async (url) => {
    await during(new HttpMcpProxy(gate, url), async (proxy) => {
      assert.deepEqual(await proxy.forwardUngated(callOf('x', {}, 'mine')), { jsonrpc: '2.0', id: 'mine', result: { é: 1 } });
    });
  });
});

test('what is no answer is a response that says so, and gives credits back', async () => {
  const { gate, key, record } = gateWith({ refundOnFailure: true });
  const scripts = {
    status: (response) => response.writeHead(500).end('x'.repeat(300)),
    garbage: (response) => response.writeHead(200, { 'Content-Type': 'application/json' }).end('<html>'),
    redirect: (response) => response.writeHead(307, { Location: '/' }).end(),
    events: (response) => response.writeHead(200, { 'Content-Type': 'text/event-stream' }).end('data: {"jsonrpc":"2.0","id":"other","result":1}'),
    cut: (response) => {
      response.writeHead(200, { 'Content-Length': 500 });
      response.write('{"jsonrpc"');
      setImmediate(() => response.destroy());
    },
  };
  await remote(({ params }, _, response) => scripts[params.name](response), async (url) => {
    await during(new HttpMcpProxy(gate, url), async (proxy) => {
      const message = async (tool) => (await proxy.handleRequest(callOf(tool), key)).error.message;
      assert.equal(await message('status'), `Remote server error: HTTP 500: ${'x'.repeat(200)}`);
      assert.equal(await message('events'), 'No matching response in SSE stream');
      for (const tool of ['garbage', 'redirect', 'cut']) assert.match(await message(tool), /^Remote server error: ./, tool);
    });
  });
  assert.equal(record.credits, 50);
});

test('a server that cannot be reached costs nothing', async () => {
  const { gate, key, record } = gateWith();
  await during(new HttpMcpProxy(gate, 'http://127.0.0.1:9/mcp?token=s3cret'), async (proxy) => {
    const { error } = await proxy.handleRequest(callOf('echo'), key);
    assert.equal(error.code, -32603);
    assert.match(error.message, /^Remote server error: (?!.*s3cret)./);
  });
  assert.equal(record.credits, 50);
});

test('a running proxy keeps no process alive, a request under way does', async () => {
  const script = (url) => `
    const { Gate, HttpMcpProxy, DEFAULT_CONFIG } = require('paygate-mcp');
    const proxy = new HttpMcpProxy(new Gate(DEFAULT_CONFIG), '${url}');
    proxy.start().then(() => {
      process.on('exit', () => console.log('end'));
      if ('${url}' !== 'http://127.0.0.1:9/') proxy.forwardUngated({ jsonrpc: '2.0', id: 1, method: 'ping' }).then(({ result }) => console.log(result.ok));
    });`;
  const options = { cwd: join(__dirname, '..'), encoding: 'utf8', timeout: 30_000 };
  assert.equal(execFileSync(process.execPath, ['-e', script('http://127.0.0.1:9/')], options), 'end\n');
  const { execFile } = require('node:child_process');
  await remote(plain, async (url) => {
    const printed = await new Promise((resolve) => execFile(process.execPath, ['-e', script(url)], options, (_, out) => resolve(out)));
    assert.equal(printed, 'ping\nend\n');
  });
});
