'use strict';

const { createServer } = require('node:http');
const { WebhookEmitter } = require('paygate-mcp');
const { expectPlain } = require('./realm.js');

const event = { timestamp: '2026-03-14T09:00:00.000Z', apiKey: 'pg_1234567', keyName: 'a', tool: 't', creditsCharged: 2, allowed: true };

test('events arrive signed, and what failed is told in plain objects', async () => {
  const posts = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => (body += chunk));
    request.on('end', () => {
      response.end();
      posts.push({ headers: request.headers, body });
      arrived();
    });
  });
  let arrived;
  const one = new Promise((resolve) => (arrived = resolve));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const emitter = new WebhookEmitter(`http://127.0.0.1:${server.address().port}/hook`, { secret: 's', flushIntervalMs: 10 });
  emitter.emit(event);
  emitter.flush();
  await one;
  emitter.destroy();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  const { events } = JSON.parse(posts[0].body);
  expect(events).toStrictEqual([event]);
  expect(emitter.getDeadLetters()).toStrictEqual([]);
  expectPlain(emitter.getRetryStats());
});

test('signatures', () => {
  expect(WebhookEmitter.sign('1709123456.{"a":1}', 'whsec_test')).toBe('af5787dee2528ad3b2c3e10986fd65c5e50b77c76ed37c3927652114e825684d');
});
