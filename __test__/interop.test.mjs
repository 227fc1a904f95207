// The public TypeScript client through the gate to public servers over stdio.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { root, startGateway, temporaryFolder } from './support/gateway.mjs';

const installed = name => path.join(root, 'node_modules/@modelcontextprotocol', name, 'dist/index.js');

async function connect(t, gateway, key) {
  const client = new Client({ name: 'test', version: '1.0.0' });
  const headers = key ? { 'X-API-Key': key } : {};
  await client.connect(new StreamableHTTPClientTransport(new URL(`${gateway.url}/mcp`), { requestInit: { headers } }));
  t.after(() => client.close());
  return client;
}

const text = result => result.content.map(part => part.text).join('');

test('the everything server: connect, list, call paid tools', async t => {
  const gateway = await startGateway(t, `node ${installed('server-everything')} stdio`);
  const key = await gateway.createKey(10);
  const client = await connect(t, gateway, key);

  assert.match(client.getServerVersion().name, /everything/i);
  const { tools } = await client.listTools();
  const echo = tools.find(tool => tool.name === 'echo');
  assert.ok(echo, `no echo among ${tools.map(tool => tool.name)}`);
  assert.equal(echo._pricing?.creditsPerCall ?? 1, 1);

  const said = 'Grüße, 日本語, 👋🏽';
  assert.match(text(await client.callTool({ name: 'echo', arguments: { message: said } })), new RegExp(said));
  const sum = await client.callTool({ name: 'get-sum', arguments: { a: 2, b: 40 } });
  assert.match(text(sum), /42/);
  await client.ping();
  const { resources } = await client.listResources();
  assert.ok(resources.length > 0);
  const { prompts } = await client.listPrompts();
  assert.ok(prompts.length > 0);

  const { credits, totalSpent } = await gateway.balance(key);
  assert.deepEqual({ credits, totalSpent }, { credits: 8, totalSpent: 2 });
});

test('the filesystem server: write, read, list; what it refuses is told', async t => {
  const folder = fs.realpathSync(temporaryFolder(t));
  const gateway = await startGateway(t, `node ${installed('server-filesystem')} ${folder}`);
  const client = await connect(t, gateway, await gateway.createKey(10));

  const file = path.join(folder, 'note.txt');
  await client.callTool({ name: 'write_file', arguments: { path: file, content: 'Grüße\n日本語\n' } });
  assert.equal(fs.readFileSync(file, 'utf8'), 'Grüße\n日本語\n');
  assert.match(text(await client.callTool({ name: 'read_text_file', arguments: { path: file } })), /日本語/);
  assert.match(text(await client.callTool({ name: 'list_directory', arguments: { path: folder } })), /note\.txt/);
  const outside = await client.callTool({ name: 'read_text_file', arguments: { path: '/etc/passwd' } });
  assert.equal(outside.isError, true);
});

test('without a key a client connects, lists and pings, and a call names the payment', async t => {
  const gateway = await startGateway(t, `node ${installed('server-everything')} stdio`);
  const client = await connect(t, gateway, null);

  await client.listTools();
  await assert.rejects(client.callTool({ name: 'echo', arguments: { message: 'x' } }), error => {
    assert.equal(error.code, -32402);
    assert.match(error.message, /Payment required: missing_api_key/);
    return true;
  });
  await client.ping();
});

test('two clients use the same ids at once: every slow answer reaches its owner', async t => {
  const gateway = await startGateway(t, 'node __test__/fixtures/slow-backend.mjs');
  const calls = 60;
  const answers = await Promise.all(['left', 'right'].map(async name => {
    const client = await connect(t, gateway, await gateway.createKey(calls));
    return Promise.all(Array.from({ length: calls }, async (_, n) => {
      // The later a call is made the sooner it is answered.
      const wanted = `${name}-${n}`;
      const result = await client.callTool({ name: 'late-echo', arguments: { text: wanted, after: 4 * (calls - n) } });
      return text(result) === wanted;
    }));
  }));
  assert.deepEqual(answers.flat().filter(right => !right), []);
});
