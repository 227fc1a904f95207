'use strict';

const { join } = require('node:path');
const { PayGateServer, PayGateClient, KeyStore } = require('paygate-mcp');

test('a server is started, used and stopped; its records are live', async () => {
  const server = new PayGateServer({ serverCommand: process.execPath, serverArgs: [join(__dirname, 'backend.js')], port: 0 }, 'admin');
  expect(server.gate.store).toBeInstanceOf(KeyStore);
  const starting = server.start();
  expect(starting).toBeInstanceOf(Promise);
  const { port, adminKey } = await starting;
  expect(adminKey).toBe('admin');
  try {
    const record = server.gate.store.createKey('alice', 3);
    const client = new PayGateClient({ url: `http://127.0.0.1:${port}`, apiKey: record.key });
    await expect(client.callTool('search', {})).resolves.toMatchObject({ content: [{ type: 'text', text: 'search' }] });
    expect(record).toMatchObject({ credits: 2, totalCalls: 1 });
    record.credits = 0;
    await expect(client.callTool('search', {})).rejects.toThrow(/insufficient_credits|Payment required/);
    server.gate.onUsageEvent = jest.fn();
    record.credits = 1;
    await client.callTool('search', {});
    expect(server.gate.onUsageEvent).toHaveBeenCalledWith(expect.objectContaining({ tool: 'search', allowed: true }));
  } finally {
    await server.stop();
  }
});
