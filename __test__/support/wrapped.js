'use strict';

// Gates in front of wrapped servers: a child that is scripted by the names of its tools, and a remote one.

const { once } = require('node:events');
const { createServer } = require('node:http');
const { join } = require('node:path');
const { Gate, DEFAULT_CONFIG } = require('../..');

const CHILD = join(__dirname, '../fixtures/child.mjs');

/** A gate, and a key with credits. */
function gateWith(config, credits = 50, options = {}) {
  const gate = new Gate({ ...DEFAULT_CONFIG, globalRateLimitPerMin: 0, ...config });
  const { key } = gate.store.createKey('k', credits, options);
  return { gate, key, record: gate.store.getKey(key) };
}

/** A request to call a tool. */
function callOf(name, args, id = 1) {
  return { jsonrpc: '2.0', id, method: 'tools/call', params: args === undefined ? { name } : { name, arguments: args } };
}

/** What an emitter tells, by the names of its events. */
function heard(emitter, ...names) {
  const told = [];
  for (const name of names) emitter.on(name, (...args) => told.push([name, ...args]));
  return told;
}

/** Keeps a running front end for as long as a test needs it. */
async function during(frontEnd, act) {
  await frontEnd.start();
  try {
    return await act(frontEnd);
  } finally {
    await frontEnd.stop();
  }
}

/** A remote server that answers each message by a script: `(message, request, response)`. */
async function remote(script, act) {
  const log = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const piece of request) body += piece;
    const message = body === '' ? undefined : JSON.parse(body);
    log.push({ method: request.method, url: request.url, headers: request.headers, message });
    if (message === undefined || message.id === undefined) response.writeHead(202).end();
    else await script(message, request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    return await act(`http://127.0.0.1:${server.address().port}/mcp`, log);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** Answers a message as the child does, as JSON. */
function plain(message, request, response) {
  const { id, params } = message;
  const answers = {
    echo: { result: { echo: params?.arguments ?? null } },
    fail: { error: { code: -32050, message: 'broken' } },
  };
  const answer = message.method === 'tools/list' ? { result: { tools: [{ name: 'far' }] } } : (answers[params?.name] ?? { result: { ok: params?.name ?? message.method } });
  const session = message.method === 'initialize' ? { 'Mcp-Session-Id': 'far-1' } : {};
  response.writeHead(200, { 'Content-Type': 'application/json', ...session });
  response.end(JSON.stringify({ jsonrpc: '2.0', id, ...answer }));
}

module.exports = { CHILD, gateWith, callOf, heard, during, remote, plain };
