'use strict';

const { createHash } = require('node:crypto');
const { OAuthProvider } = require('paygate-mcp');
const { expectPlain } = require('./realm.js');

const verifier = 'v'.repeat(43);
const challenge = createHash('sha256').update(verifier).digest('base64url');

let provider;

beforeEach(() => {
  jest.useFakeTimers();
  jest.setSystemTime(new Date('2026-03-14T09:26:53.589Z'));
  provider = new OAuthProvider({ accessTokenTtl: 60 });
});

afterEach(() => {
  provider.destroy();
  jest.useRealTimers();
});

test('a client is live, a token lives as long as the fake clock lets it', () => {
  const client = provider.registerClient({ clientName: 'app', redirectUris: ['http://localhost/cb'], apiKeyRef: 'pg_key' });
  expect(client).toMatchObject({ clientName: 'app', redirectUris: ['http://localhost/cb'], createdAt: '2026-03-14T09:26:53.589Z' });
  const code = provider.createAuthCode({ clientId: client.clientId, redirectUri: 'http://localhost/cb', codeChallenge: challenge });
  const tokens = provider.exchangeCode({ code, clientId: client.clientId, redirectUri: 'http://localhost/cb', codeVerifier: verifier });
  expect(tokens).toMatchObject({ expiresIn: 60, tokenType: 'Bearer', scope: 'tools:*' });
  expectPlain(tokens);
  expect(provider.validateToken(tokens.accessToken)).toMatchObject({ apiKey: 'pg_key' });
  jest.setSystemTime(Date.now() + 60_001);
  expect(provider.validateToken(tokens.accessToken)).toBeNull();
  expectPlain(provider.getMetadata());
});

test('errors are this realm\'s', () => {
  expect(() => provider.registerClient({ clientName: '', redirectUris: [] })).toThrow(Error);
  expect(() => provider.exchangeCode({ code: 'x', clientId: 'y', redirectUri: 'z', codeVerifier: verifier })).toThrow(
    'invalid_grant: Unknown or expired code',
  );
});
