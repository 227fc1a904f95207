'use strict';

const { createServer } = require('node:http');
const { PayGateClient, PayGateError } = require('paygate-mcp');
const alone = require('paygate-mcp/client');

let server;
let answer;

beforeAll((done) => {
  server = createServer((request, response) => {
    request.resume().on('end', () => {
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify({ jsonrpc: '2.0', id: 1, ...answer }));
    });
  }).listen(0, '127.0.0.1', done);
});

afterAll((done) => {
  server.closeAllConnections();
  server.close(done);
});

const client = () => new PayGateClient({ url: `http://127.0.0.1:${server.address().port}`, apiKey: 'pg_key' });

test('answers are plain, promises and errors this realm\'s', async () => {
  expect(alone.PayGateClient).toBe(PayGateClient);
  answer = { result: { content: [{ type: 'text', text: 'hello' }] } };
  const called = client().callTool('search', {});
  expect(called).toBeInstanceOf(Promise);
  await expect(called).resolves.toMatchObject({ content: [{ type: 'text', text: 'hello' }] });
  answer = { error: { code: -32402, message: 'Payment required: insufficient_credits', data: { creditsRequired: 5, remainingCredits: 1 } } };
  const error = await client().callTool('search', {}).catch((caught) => caught);
  expect(error).toBeInstanceOf(PayGateError);
  expect(error).toBeInstanceOf(Error);
  expect(error).toMatchObject({ name: 'PayGateError', code: -32402, isPaymentRequired: true });
  await expect(client().callTool('search', {})).rejects.toThrow(/Payment required/);
});
