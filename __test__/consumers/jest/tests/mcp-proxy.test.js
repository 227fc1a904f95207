'use strict';

const { EventEmitter } = require('node:events');
const { join } = require('node:path');
const { Gate, McpProxy, DEFAULT_CONFIG } = require('paygate-mcp');
const { expectPlain } = require('./realm.js');

const backend = join(__dirname, 'backend.js');

test('answers are plain, promises and errors this realm\'s', async () => {
  const gate = new Gate({ ...DEFAULT_CONFIG, refundOnFailure: true });
  const record = gate.store.createKey('alice', 3);
  const proxy = new McpProxy(gate, process.execPath, [backend]);
  expect(proxy).toBeInstanceOf(EventEmitter);
  const started = proxy.start();
  expect(started).toBeInstanceOf(Promise);
  await started;
  try {
    const call = (name) =>
      proxy.handleRequest({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name } }, record.key);
    const answer = await call('search');
    expect(answer).toStrictEqual({ jsonrpc: '2.0', id: 1, result: { content: [{ type: 'text', text: 'search' }] } });
    expectPlain(answer);
    expect(record.credits).toBe(2);
    expect(await call('fail')).toMatchObject({ id: 1, error: { message: 'it failed' } });
    expect(record.credits).toBe(2);
    expect(await proxy.handleRequest({ jsonrpc: '2.0', id: 2, method: 'tools/call', params: { name: 'x' } }, null)).toMatchObject({
      id: 2,
      error: { code: -32402 },
    });
  } finally {
    await proxy.stop();
    gate.destroy();
  }
  expect(proxy.isRunning).toBe(false);
});

test('a server that cannot be started rejects with this realm\'s Error', async () => {
  const gate = new Gate(DEFAULT_CONFIG);
  const proxy = new McpProxy(gate, 'no-such-program-anywhere', []);
  proxy.on('server-error', () => {});
  await expect(proxy.start()).rejects.toBeInstanceOf(Error);
  await proxy.stop();
  gate.destroy();
});
