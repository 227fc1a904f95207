'use strict';

// A server in this process, on a free port, over a small tool server.

const { join } = require('node:path');
const { PayGateServer } = require('../..');

const ADMIN_KEY = 'admin-key-of-the-tests';

/** Arguments that start the tool server. */
const TOOLS = { serverCommand: process.execPath, serverArgs: [join(__dirname, '../fixtures/tools.mjs')] };

/** A started server, its address and ways to ask it; it ends with the test. */
async function serve(t, config = {}, ...more) {
  const server = new PayGateServer({ ...TOOLS, port: 0, globalRateLimitPerMin: 0, ...config }, ADMIN_KEY, ...more);
  const { port } = await server.start();
  t.after(() => server.stop());
  const url = `http://127.0.0.1:${port}`;
  const rpc = async (key, method, params, headers = {}) => {
    const response = await fetch(`${url}/mcp`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...(key ? { 'X-API-Key': key } : {}), ...headers },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
    });
    return response.json();
  };
  const callTool = (key, name, args = {}) => rpc(key, 'tools/call', { name, arguments: args });
  const admin = async (method, path, body) => {
    const headers = { 'X-Admin-Key': ADMIN_KEY, 'Content-Type': 'application/json' };
    const response = await fetch(url + path, { method, headers, body: body && JSON.stringify(body) });
    return { status: response.status, body: await response.json() };
  };
  return { server, url, rpc, callTool, admin };
}

module.exports = { ADMIN_KEY, TOOLS, serve };
