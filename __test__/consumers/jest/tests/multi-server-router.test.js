'use strict';

const { join } = require('node:path');
const { Gate, MultiServerRouter, DEFAULT_CONFIG } = require('paygate-mcp');

const wrapped = (prefix) => ({ prefix, serverCommand: process.execPath, serverArgs: [join(__dirname, 'backend.js')] });

test('calls go to the server of their prefix', async () => {
  const gate = new Gate(DEFAULT_CONFIG);
  const { key } = gate.store.createKey('alice', 3);
  const router = new MultiServerRouter(gate, [wrapped('a'), wrapped('b')]);
  expect(router.prefixes).toStrictEqual(['a', 'b']);
  await router.start();
  try {
    const listed = await router.handleRequest({ jsonrpc: '2.0', id: 1, method: 'tools/list' }, null);
    expect(listed.result.tools.map(({ name }) => name)).toStrictEqual(['a:search', 'b:search']);
    const answer = await router.handleRequest({ jsonrpc: '2.0', id: 2, method: 'tools/call', params: { name: 'b:search' } }, key);
    expect(answer).toMatchObject({ id: 2, result: { content: [{ text: 'search' }] } });
  } finally {
    await router.stop();
    gate.destroy();
  }
  expect(() => new MultiServerRouter(gate, [{ prefix: 'a:b' }])).toThrow(Error);
});
