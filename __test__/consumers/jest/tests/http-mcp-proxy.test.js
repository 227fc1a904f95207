'use strict';

const { createServer } = require('node:http');
const { Gate, HttpMcpProxy, DEFAULT_CONFIG } = require('paygate-mcp');
const { expectPlain } = require('./realm.js');

test('a remote server is called, and paid for', async () => {
  const remote = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += chunk));
    request.on('end', () => {
      const { id, params } = JSON.parse(body);
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify({ jsonrpc: '2.0', id, result: { echoed: params } }));
    });
  });
  await new Promise((resolve) => remote.listen(0, '127.0.0.1', resolve));
  const gate = new Gate(DEFAULT_CONFIG);
  const record = gate.store.createKey('alice', 3);
  const proxy = new HttpMcpProxy(gate, `http://127.0.0.1:${remote.address().port}/mcp`);
  try {
    await proxy.start();
    const request = { jsonrpc: '2.0', id: 'a', method: 'tools/call', params: { name: 'search', arguments: { q: 1 } } };
    const answer = await proxy.handleRequest(request, record.key);
    expect(answer).toMatchObject({ id: 'a', result: { echoed: { name: 'search', arguments: { q: 1 } } } });
    expectPlain(answer);
    expect(record.credits).toBe(2);
  } finally {
    await proxy.stop();
    gate.destroy();
    remote.closeAllConnections();
    await new Promise((resolve) => remote.close(resolve));
  }
});
