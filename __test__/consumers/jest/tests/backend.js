'use strict';

// A server to wrap: answers what MCP asks first, and every call of a tool with the tool's name; a tool called "fail"
// ends in an error.

const lines = require('node:readline').createInterface({ input: process.stdin });

lines.on('line', (line) => {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) return;
  const answer = (() => {
    switch (method) {
      case 'initialize':
        return { result: { protocolVersion: '2024-11-05', capabilities: {}, serverInfo: { name: 'b', version: '1' } } };
      case 'tools/list':
        return { result: { tools: [{ name: 'search', inputSchema: { type: 'object' } }] } };
      case 'tools/call':
        if (params.name === 'fail') return { error: { code: -32000, message: 'it failed' } };
        return { result: { content: [{ type: 'text', text: params.name }] } };
      default:
        return { result: {} };
    }
  })();
  console.log(JSON.stringify({ jsonrpc: '2.0', id, ...answer }));
});
