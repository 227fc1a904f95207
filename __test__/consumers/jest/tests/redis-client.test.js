'use strict';

const { createServer } = require('node:net');
const { RedisClient, parseRedisUrl } = require('paygate-mcp');
const { expectPlain } = require('./realm.js');

test('an address is read into a plain object', () => {
  const options = parseRedisUrl('redis://:secret@example.test:6380/2');
  expect(options).toMatchObject({ host: 'example.test', port: 6380, password: 'secret', db: 2 });
  expectPlain(options);
});

test('answers are plain, promises and errors this realm\'s', async () => {
  // As much of Redis as two commands need.
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (data) => {
      const text = String(data);
      if (text.includes('LRANGE')) socket.write('*2\r\n$1\r\na\r\n:5\r\n');
      else socket.write('-ERR no such thing\r\n');
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = new RedisClient({ host: '127.0.0.1', port: server.address().port });
  try {
    const asked = client.command('LRANGE', 'l', '0', '-1');
    expect(asked).toBeInstanceOf(Promise);
    const answer = await asked;
    expect(answer).toStrictEqual(['a', 5]);
    expectPlain(answer);
    const error = await client.command('NOPE').catch((caught) => caught);
    expect(error).toBeInstanceOf(Error);
    expect(error.message).toContain('no such thing');
  } finally {
    await client.disconnect();
    await new Promise((resolve) => server.close(resolve));
  }
});
