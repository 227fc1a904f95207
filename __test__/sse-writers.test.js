'use strict';

// What the writers of event streams write.

const assert = require('node:assert/strict');
const { once } = require('node:events');
const { createServer, get } = require('node:http');
const test = require('node:test');

const { writeSseHeaders, writeSseEvent, writeSseKeepAlive } = require('../lib/sse.js');

/** What a writer writes, and what it returns. */
function written(write) {
  const lines = [];
  const res = { writeHead: (...head) => lines.push(head), write: (text) => lines.push(text) };
  return [write(res), ...lines];
}

test('the head of a stream', () => {
  const headers = {
    'Content-Type': 'text/event-stream',
    'Cache-Control': 'no-cache, no-transform',
    Connection: 'keep-alive',
    'X-Accel-Buffering': 'no',
    'Access-Control-Allow-Origin': '*',
    'Access-Control-Expose-Headers': 'Mcp-Session-Id',
  };
  const head = (extra) => written((res) => writeSseHeaders(res, extra))[1];
  assert.deepStrictEqual(written(writeSseHeaders), [undefined, [200, headers]]);
  assert.deepStrictEqual(head({ 'Mcp-Session-Id': 's', Connection: 'close' }), [
    200,
    { ...headers, Connection: 'close', 'Mcp-Session-Id': 's' },
  ]);
  assert.deepEqual(Object.keys(head({ Connection: 'close' })[1]), Object.keys(headers));
  const { 'Content-Type': _, ...others } = headers;
  assert.deepStrictEqual(head({ 'content-type': 'text/plain' })[1], { ...others, 'content-type': 'text/plain' });
  assert.deepStrictEqual(head(null), [200, headers]);
});

test('events and keep-alives', () => {
  const event = (...given) => written((res) => writeSseEvent(res, ...given));
  assert.deepEqual(event({ a: 1 }), [undefined, 'data: {"a":1}\n\n']);
  assert.deepEqual(event({ a: 'line\nbreak' }, 'message'), [
    undefined,
    'event: message\n',
    'data: {"a":"line\\nbreak"}\n\n',
  ]);
  assert.deepEqual(event([1, 2], ''), [undefined, 'data: [1,2]\n\n']);
  assert.deepEqual(written(writeSseKeepAlive), [undefined, ': keepalive\n\n']);
});

test('a broken event leaves nothing in the stream', () => {
  const lines = [];
  const res = { write: (text) => lines.push(text) };
  assert.throws(() => writeSseEvent(res, { n: 1n }, 'message'), TypeError);
  assert.throws(() => writeSseEvent(res, {}, 'a\ndata: forged'), { name: 'TypeError', message: /^eventType must not/ });
  assert.deepEqual(lines, []);
});

test('a real response', async (t) => {
  const server = createServer((request, response) => {
    writeSseHeaders(response, { 'cache-control': 'no-store', 'Mcp-Session-Id': 's' });
    writeSseEvent(response, { ü: 1 }, 'message');
    writeSseKeepAlive(response);
    response.end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const [response] = await once(get({ port: server.address().port, agent: false }), 'response');
  let body = '';
  for await (const piece of response.setEncoding('utf8')) body += piece;
  assert.equal(body, 'event: message\ndata: {"ü":1}\n\n: keepalive\n\n');
  const { headers } = response;
  assert.deepEqual([response.statusCode, headers['cache-control'], headers['mcp-session-id']], [200, 'no-store', 's']);
});
