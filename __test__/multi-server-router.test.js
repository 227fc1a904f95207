'use strict';

// `MultiServerRouter`: several servers under prefixes behind a gate.

const assert = require('node:assert/strict');
const { EventEmitter } = require('node:events');
const test = require('node:test');
const { MultiServerRouter } = require('..');
const { CHILD, gateWith, callOf, heard, during, remote, plain } = require('./support/wrapped.js');

const child = (prefix) => ({ prefix, serverCommand: process.execPath, serverArgs: [CHILD] });

test('a list of servers is checked in order', () => {
  const { gate } = gateWith();
  const fault = (...configs) => {
    try {
      new MultiServerRouter(gate, configs);
    } catch (error) {
      return `${error.name}: ${error.message}`;
    }
  };
  const invalid = (prefix) => `Error: Invalid server prefix: "${prefix}" — must be non-empty and not contain ":"`;
  assert.equal(fault({ prefix: '', serverCommand: 'x' }), invalid(''));
  assert.equal(fault({ serverCommand: 'x' }), invalid('undefined'));
  assert.equal(fault({ prefix: 'a', serverCommand: 'x' }, { prefix: 'a:b' }), invalid('a:b'));
  assert.equal(fault({ prefix: 'a', serverCommand: 'x' }, { prefix: 'a', serverCommand: 'y' }), 'Error: Duplicate server prefix: "a"');
  assert.equal(fault({ prefix: 'a' }), 'Error: Server "a" needs either serverCommand or remoteUrl');
  assert.equal(fault({ prefix: 'a', serverCommand: 'x', remoteUrl: 'http://h' }), 'Error: Server "a" cannot have both serverCommand and remoteUrl');
  assert.equal(fault({ prefix: 'a', remoteUrl: 'nope' }), 'TypeError: Invalid URL');
});

test('a router tells its prefixes, and that it does not run', async () => {
  const { gate } = gateWith();
  const router = new MultiServerRouter(gate, [{ prefix: 'a', serverCommand: 'x' }, { prefix: 'b', remoteUrl: 'http://h/mcp' }]);
  assert.ok(router instanceof EventEmitter);
  assert.equal(MultiServerRouter.SEPARATOR, ':');
  assert.deepEqual([router.prefixes, router.backendCount, router.isRunning], [['a', 'b'], 2, false]);
  router.prefixes.push('c');
  assert.equal(router.backendCount, 2);
  const error = { code: -32603, message: 'Router not started' };
  assert.deepEqual(await router.handleRequest({ jsonrpc: '2.0', id: 1, method: 'tools/list' }, null), { jsonrpc: '2.0', id: 1, error });
  assert.deepEqual(await router.handleBatchRequest([{ name: 'a:x' }], undefined, null), { jsonrpc: '2.0', error });
});

test('lists are joined, calls routed, and each is settled', async () => {
  const { gate, key, record } = gateWith({ toolPricing: { 'fs:echo': { creditsPerCall: 4 } }, refundOnFailure: true }, 40, { deniedTools: ['fs:write'] });
  await remote(plain, async (url) => {
    const servers = [child('fs'), { prefix: 'gone', remoteUrl: 'http://127.0.0.1:9/' }, { prefix: 'gh', remoteUrl: url }];
    await during(new MultiServerRouter(gate, servers), async (router) => {
      const told = heard(router, 'tool-call', 'batch-call');
      const list = { jsonrpc: '2.0', id: 1, method: 'tools/list' };
      const far = { name: 'gh:far', description: '[gh]' };
      const near = { name: 'fs:echo', description: '[fs] Give back' };
      assert.deepEqual(await router.handleRequest(list, key), { jsonrpc: '2.0', id: 1, result: { tools: [near, far] } });
      gate.config.freeMethods = ['initialize'];
      assert.equal((await router.handleRequest(list, null)).error.message, 'Payment required: missing_api_key');
      gate.config.freeMethods = ['initialize', 'tools/list', 'tools/call'];
      assert.equal((await router.handleRequest(list, null)).result.tools.length, 3);
      assert.deepEqual(await router.handleRequest({ ...list, id: undefined }, null), { jsonrpc: '2.0', result: { tools: [] } });

      assert.deepEqual((await router.handleRequest(callOf('fs:echo', { n: 1 }), key)).result, { echo: { n: 1 } });
      assert.deepEqual((await router.handleRequest(callOf('gh:a:b'), key)).result, { ok: 'a:b' });
      assert.equal((await router.handleRequest(callOf('gh:fail'), key)).error.code, -32050);
      assert.equal((await router.handleRequest(callOf('fs:write'), null)).error.code, -32402, 'a router gates calls in any case');
      const batch = await router.handleBatchRequest([{ name: 'fs:echo' }, { name: 'gh:fail' }, { name: 'gone:x' }], 3, key);
      assert.deepEqual(batch.result.results.map(({ tool, creditsCharged }) => [tool, creditsCharged]), [['fs:echo', 4], ['gh:fail', 0], ['gone:x', 0]]);
      assert.deepEqual([record.credits, record.totalSpent], [31, 9]);
      const apiKey = key.slice(0, 10);
      assert.deepEqual(told, [
        ['tool-call', { tool: 'fs:echo', server: 'fs', apiKey, creditsCharged: 4, remainingCredits: 36, refunded: false }],
        ['tool-call', { tool: 'gh:a:b', server: 'gh', apiKey, creditsCharged: 1, remainingCredits: 35, refunded: false }],
        ['tool-call', { tool: 'gh:fail', server: 'gh', apiKey, creditsCharged: 0, remainingCredits: 34, refunded: true }],
        ['batch-call', { apiKey, callCount: 3, totalCreditsCharged: 4, remainingCredits: 31, refunded: 2 }],
      ]);
    });
  });
});

test('everything else goes to the first server, and a name without a known prefix nowhere', async () => {
  const { gate, key, record } = gateWith();
  await during(new MultiServerRouter(gate, [child('a'), child('b')]), async (router) => {
    const message = async (asked) => (await asked).error.message;
    assert.deepEqual((await router.handleRequest({ jsonrpc: '2.0', id: 'i', method: 'initialize', params: {} }, null)).result, { serverInfo: { name: 'child' } });
    const seen = async (prefix) => (await router.handleRequest(callOf(`${prefix}:seen`), key)).result.seen.map(({ method }) => method);
    assert.deepEqual(await seen('a'), ['initialize', 'tools/call']);
    assert.deepEqual(await seen('b'), ['tools/call']);
    assert.equal(record.credits, 48);
    assert.equal(await message(router.handleRequest(callOf('search'), null)), 'Invalid tool name: "search" — must be prefixed (e.g., "server:tool"). Available prefixes: a, b');
    assert.equal(await message(router.handleRequest(callOf('x:y'), key)), 'Unknown server prefix: "x". Available: a, b');
    assert.equal(await message(router.handleBatchRequest([{ name: 'write' }], 1, null)), 'Invalid tool name in batch[0]: "write" — must be prefixed');
    assert.equal(await message(router.handleBatchRequest([{ name: 'a:x' }, { name: 'zz:x' }], 1, null)), 'Unknown server prefix in batch[1]: "zz". Available: a, b');
    await assert.rejects(router.handleBatchRequest([{ name: 'a:x' }, null], 1, key), { name: 'TypeError', message: /^calls\[1\]/ });
    assert.equal(record.credits, 48);
  });
});

test('a router without servers has no tools, and nobody to ask', async () => {
  const { gate } = gateWith();
  await during(new MultiServerRouter(gate, []), async (router) => {
    const ask = (method) => router.handleRequest({ jsonrpc: '2.0', id: 1, method }, null);
    assert.deepEqual((await ask('tools/list')).result, { tools: [] });
    assert.deepEqual((await ask('ping')).error, { code: -32603, message: 'No backends configured' });
  });
});

test('a server that cannot be started fails the start of all', async () => {
  const { gate } = gateWith();
  const router = new MultiServerRouter(gate, [child('a'), { prefix: 'b', serverCommand: '/no/such/program' }]);
  await assert.rejects(router.start(), { message: /no\/such\/program/, code: 'ENOENT' });
  assert.equal(router.isRunning, false);
});
