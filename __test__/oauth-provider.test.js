'use strict';

// OAuth: clients, codes, tokens, and the file they are kept in.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { createHash } = require('node:crypto');
const { existsSync, mkdirSync, readdirSync, statSync } = require('node:fs');
const { join } = require('node:path');
const test = require('node:test');
const { inspect } = require('node:util');

const { example, atStart, attempt, readFile, writeFile, KeyStore, OAuthProvider } = require('./support/example.js');

const root = join(__dirname, '..');
const VERIFIER = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk';
const CHALLENGE = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM';
const URI = 'http://localhost/cb';

/** Runs something with a provider that is destroyed afterwards. */
function using(run, config, path) {
  const oauth = new OAuthProvider(config, path);
  try {
    return run(oauth);
  } finally {
    oauth.destroy();
  }
}

/** A client that is linked to a key. */
const linked = (oauth, more) => oauth.registerClient({ clientName: 'App', redirectUris: [URI], apiKeyRef: 'pg_k', ...more });

const codeFor = (oauth, { clientId }, more) =>
  oauth.createAuthCode({ clientId, redirectUri: URI, codeChallenge: CHALLENGE, ...more });

const exchange = (oauth, code, { clientId }, more) =>
  oauth.exchangeCode({ code, clientId, redirectUri: URI, codeVerifier: VERIFIER, ...more });

const tokensFor = (oauth, client, more) => exchange(oauth, codeFor(oauth, client, more), client);

/** Text without what is random. */
const plain = (value) => JSON.parse(JSON.stringify(value).replace(/(pg_client_|pg_secret_|pg_at_|pg_rt_)[0-9a-f]+/g, '$1…'));

example(
  'a registration is cut and completed',
  () => using((oauth) => {
    const uris = Array.from({ length: 12 }, (_, i) => `${URI}${i}`);
    const client = oauth.registerClient({ clientName: ` ${'n'.repeat(300)}`, redirectUris: uris, grantTypes: [], scope: '' });
    const register = (params) => attempt(() => oauth.registerClient({ clientName: 'x', ...params }));
    return [
      plain(oauth.registerClient({ clientName: '  App ', redirectUris: [URI, 'myapp://cb'], apiKeyRef: 'pg_x' })),
      [client.clientName.length, client.redirectUris.length, client.grantTypes, client.scope, client.apiKeyRef],
      register({ redirectUris: ['ok:foo', 'not a url'] }),
      register({ redirectUris: 'http://x' }),
      register({ redirectUris: [] }),
      register({ redirectUris: ['javascript:alert(1)'] }),
      register({ redirectUris: [URI], clientName: '' }),
      register({ redirectUris: [URI], clientName: '  ' }).clientName,
      register({ redirectUris: [URI], tokenEndpointAuthMethod: 'tls' }),
      oauth.clientCount,
    ];
  }),
  '[{"clientId":"pg_client_…","clientSecret":"pg_secret_…","clientName":"App","redirectUris":["http://localhost/cb","myapp://cb"],"grantTypes":["authorization_code","refresh_token"],"scope":"tools:*","createdAt":"2026-03-14T09:26:53.589Z","apiKeyRef":"pg_x"},[200,10,[],"tools:*",null],"throws Error: Invalid redirect URI: not a url","throws Error: Invalid redirect URI: h","throws Error: clientName and at least one redirectUri are required","throws Error: Invalid redirect URI: javascript:alert(1)","throws Error: clientName and at least one redirectUri are required","","throws Error: Unsupported token_endpoint_auth_method: tls",3]',
);

example(
  'a code works once, and is used up by whoever shows it',
  () => using((oauth) => {
    const [a, b] = [linked(oauth), linked(oauth)];
    const code = codeFor(oauth, a);
    return [
      attempt(() => exchange(oauth, code, b)),
      attempt(() => exchange(oauth, code, a)),
      attempt(() => exchange(oauth, codeFor(oauth, a), a, { codeVerifier: 'wrong' })),
      attempt(() => exchange(oauth, codeFor(oauth, a), a, { codeVerifier: '' })),
      attempt(() => exchange(oauth, codeFor(oauth, a), a, { codeVerifier: undefined })),
      attempt(() => exchange(oauth, codeFor(oauth, a), a, { redirectUri: 'http://localhost/x' })),
      plain(exchange(oauth, codeFor(oauth, a), a, { codeVerifier: Buffer.from(VERIFIER) })),
      plain(tokensFor(oauth, a, { scope: 'x y', codeChallengeMethod: 'S256' })),
      oauth.tokenCount,
    ];
  }),
  '["throws Error: invalid_grant: Client mismatch","throws Error: invalid_grant: Unknown or expired code","throws Error: invalid_grant: PKCE verification failed","throws Error: invalid_grant: PKCE verification failed","throws TypeError: The \\"data\\" argument must be of type string or an instance of Buffer, TypedArray, or DataView. Received undefined","throws Error: invalid_grant: redirect_uri mismatch",{"accessToken":"pg_at_…","refreshToken":"pg_rt_…","expiresIn":3600,"tokenType":"Bearer","scope":"tools:*"},{"accessToken":"pg_at_…","refreshToken":"pg_rt_…","expiresIn":3600,"tokenType":"Bearer","scope":"x y"},4]',
);

example(
  'why there is no code, in order',
  () => using((oauth) => {
    const client = oauth.registerClient({ clientName: 'App', redirectUris: [URI], scope: 'tools:read' });
    const why = (more) => attempt(() => codeFor(oauth, client, more));
    return [
      why({ clientId: 'none', redirectUri: 'x' }),
      why({ redirectUri: 'x', codeChallenge: '' }),
      why({ codeChallenge: '', codeChallengeMethod: 'plain' }),
      why({ codeChallengeMethod: 'plain' }),
      why(),
      why({ apiKeyRef: 'pg_k', scope: 'root' }),
      why({ apiKeyRef: 'pg_k', scope: 'root tools:read' }).length,
      why({ apiKeyRef: 'pg_k', codeChallengeMethod: '' }).length,
    ];
  }),
  '["throws Error: Unknown client","throws Error: Invalid redirect_uri","throws Error: code_challenge is required (PKCE)","throws Error: Only S256 code_challenge_method is supported","throws Error: No API key linked to this client. Admin must link an API key first.","throws Error: invalid_scope: The requested scope exceeds the granted scope",64,64]',
);

example(
  'what one approval gave is counted, refreshed and revoked together',
  ({ tick }) => using((oauth) => {
    const client = linked(oauth, { scope: 'tools:read tools:write' });
    const { accessToken, refreshToken } = tokensFor(oauth, client);
    const refresh = (more) => attempt(() => oauth.refreshAccessToken({ refreshToken, clientId: client.clientId, ...more }));
    const next = refresh({ scope: 'tools:read' });
    const out = [
      plain(next), oauth.validateToken(next.accessToken).scope, plain(oauth.validateToken(accessToken)), oauth.validateToken(refreshToken),
      refresh({ scope: 'root' }), refresh({ refreshToken: 'none' }), refresh({ refreshToken: accessToken }), refresh({ clientId: 'other' }),
      refresh().scope, oauth.tokenCount, oauth.revokeToken(next.accessToken), oauth.revokeToken(accessToken), oauth.tokenCount, refresh(),
    ];
    const short = tokensFor(oauth, client);
    tick(3_600_000);
    out.push(oauth.validateToken(short.accessToken) !== null);
    tick(1);
    out.push(oauth.validateToken(short.accessToken), oauth.tokenCount);
    tick(30 * 86_400_000);
    out.push(refresh({ refreshToken: short.refreshToken }), oauth.tokenCount);
    return out;
  }),
  '[{"accessToken":"pg_at_…","expiresIn":3600,"tokenType":"Bearer","scope":"tools:read"},"tools:read",{"apiKey":"pg_k","scope":"tools:read tools:write","clientId":"pg_client_…"},null,"throws Error: invalid_scope: The requested scope exceeds the granted scope","throws Error: invalid_grant: Unknown refresh token","throws Error: invalid_grant: Not a refresh token","throws Error: invalid_grant: Client mismatch","tools:read tools:write",4,true,false,0,"throws Error: invalid_grant: Unknown refresh token",true,null,1,"throws Error: invalid_grant: Refresh token expired",0]',
);

example(
  'lifetimes of 0 and less',
  ({ tick }) => using((oauth) => {
    const client = linked(oauth);
    const tokens = tokensFor(oauth, client);
    tick(1e12);
    const lasting = [tokens.expiresIn, oauth.validateToken(tokens.accessToken) !== null];
    return using((brief) => {
      const known = linked(brief);
      const code = codeFor(brief, known);
      const now = tokensFor(brief, known).expiresIn;
      tick(1);
      return [...lasting, now, attempt(() => exchange(brief, code, known))];
    }, { codeTtl: 0, accessTokenTtl: 0.5 });
  }, { accessTokenTtl: 0, refreshTokenTtl: -5 }),
  '[0,true,0.5,"throws Error: invalid_grant: Code expired"]',
);

example(
  'metadata',
  () => [
    using((oauth) => oauth.getMetadata(), { issuer: 'https://a.example/', scopes: ['s'] }),
    using((oauth) => oauth.getMetadata().issuer, { issuer: undefined }),
    using((oauth) => oauth.getMetadata().scopes_supported, { issuer: null, scopes: null }),
  ],
  '[{"issuer":"https://a.example/","authorization_endpoint":"https://a.example//oauth/authorize","token_endpoint":"https://a.example//oauth/token","registration_endpoint":"https://a.example//oauth/register","revocation_endpoint":"https://a.example//oauth/revoke","scopes_supported":["s"],"response_types_supported":["code"],"grant_types_supported":["authorization_code","refresh_token"],"code_challenge_methods_supported":["S256"],"token_endpoint_auth_methods_supported":["client_secret_post","none"]},"http://localhost:3402",["tools:*","tools:read","tools:write"]]',
);

example(
  'the file, and what is printed',
  ({ printed }) => {
    const path = 'sub/oauth.json';
    const [client, tokens] = using((oauth) => { const known = linked(oauth); return [{ ...known }, tokensFor(oauth, known)]; }, {}, path);
    const content = readFile(path);
    const leaks = [client.clientSecret, tokens.accessToken, tokens.refreshToken].filter((secret) => content.includes(secret.slice(14)));
    const state = JSON.parse(content);
    const again = using((oauth) => [
      oauth.listClients()[0].clientSecretPrefix === `${client.clientSecret.slice(0, 12)}...`,
      oauth.validateToken(tokens.accessToken).apiKey,
      plain(oauth.refreshAccessToken({ refreshToken: tokens.refreshToken, clientId: client.clientId })).accessToken,
    ], {}, path);
    const hidden = (text) => text.replace(/[0-9a-f]{32,}/g, '…').replace(/pg_secret_../, 'pg_secret_..');
    return [
      leaks, (statSync(path).mode & 0o777).toString(8), content === JSON.stringify(state, null, 2), readdirSync('sub'),
      JSON.parse(hidden(JSON.stringify(state.clients))), JSON.parse(hidden(JSON.stringify(state.tokens[1]))), again, printed,
    ];
  },
  '[[],"600",true,["oauth.json"],[["pg_client_…",{"clientId":"pg_client_…","clientSecret":"pg_secret_..:sha256:…","clientName":"App","redirectUris":["http://localhost/cb"],"grantTypes":["authorization_code","refresh_token"],"scope":"tools:*","createdAt":"2026-03-14T09:26:53.589Z","apiKeyRef":"pg_k"}]],["sha256:…",{"token":"sha256:…","tokenType":"refresh","clientId":"pg_client_…","scope":"tools:*","apiKeyRef":"pg_k","expiresAt":1776072413589,"createdAt":"2026-03-14T09:26:53.589Z","family":"…"}],[true,"pg_k","pg_at_…"],["stdout: [paygate:oauth] Loaded 1 client(s), 2 token(s)"]]',
);

example(
  'files that cannot be read or written',
  ({ printed }) => {
    writeFile('bad.json', '{');
    using((oauth) => linked(oauth), {}, 'bad.json');
    const aside = readdirSync('.').filter((name) => name.startsWith('bad.json.corrupt-'));
    new KeyStore('keys.json').createKey('a', 5);
    const keys = readFile('keys.json');
    using((oauth) => linked(oauth), {}, 'keys.json');
    writeFile('file', '');
    using((oauth) => linked(oauth), {}, 'file/oauth.json');
    // The reasons of the system and of the parser are theirs.
    const told = printed.map((line) => line.replace(process.cwd(), '').replace(/EOF[^;]*|(?<=save state: ).*/, '…'));
    return [aside.length, readFile(aside[0]), existsSync('bad.json'), readFile('keys.json') === keys, told];
  },
  '[1,"{",true,true,["stderr: [paygate:oauth] Failed to load state: …; the file was moved to /bad.json.corrupt-1773480413589","stderr: [paygate:oauth] Failed to load state: the file is a list, as key stores write it; the file is left as it is and nothing will be saved","stderr: [paygate:oauth] Failed to save state: …"]]',
);

test('a client is one object, live, and without its secret', () => {
  atStart(() => using((oauth) => {
    const registered = oauth.registerClient({ clientName: 'App', redirectUris: [URI] });
    const client = oauth.getClient(registered.clientId);
    assert.equal(oauth.getClient(registered.clientId), client);
    const { clientSecret, ...others } = registered;
    assert.match(clientSecret, /^pg_secret_[0-9a-f]{64}$/);
    assert.deepEqual({ ...client }, others);
    assert.equal('clientSecret' in client, false);
    assert.equal(inspect(client).includes('pg_secret_'), false);
    assert.deepEqual(Object.keys(registered).slice(0, 3), ['clientId', 'clientSecret', 'clientName']);

    // Edits count, through whichever of the two.
    registered.redirectUris.push('x:y');
    assert.deepEqual([...client.redirectUris], [URI, 'x:y']);
    assert.equal(registered.redirectUris, client.redirectUris);
    client.apiKeyRef = 'pg_live';
    assert.equal(registered.apiKeyRef, 'pg_live');
    const code = codeFor(oauth, registered, { redirectUri: 'x:y' });
    assert.equal(oauth.validateToken(exchange(oauth, code, registered, { redirectUri: 'x:y' }).accessToken).apiKey, 'pg_live');
    registered.redirectUris = ['z:'];
    assert.deepEqual([...client.redirectUris], ['z:']);
    assert.throws(() => codeFor(oauth, registered, { redirectUri: 'x:y' }), { message: 'Invalid redirect_uri' });
    client.redirectUris.length = 0;
    assert.throws(() => codeFor(oauth, registered, { redirectUri: 'z:' }), { message: 'Invalid redirect_uri' });

    // A secret may be set, and not read.
    registered.clientSecret = 'another secret text of mine';
    assert.equal(oauth.listClients()[0].clientSecretPrefix, 'another secr...');
    client.clientSecret = null;
    assert.equal(oauth.listClients()[0].clientSecretPrefix, 'none');

    assert.equal(oauth.linkClientToApiKey(registered.clientId, 'pg_linked'), true);
    assert.equal(client.apiKeyRef, 'pg_linked');
    assert.equal(oauth.linkClientToApiKey(registered.clientId, null), true);
    assert.equal(client.apiKeyRef, null);
    assert.equal(oauth.linkClientToApiKey('none', 'pg_k'), false);
  }));
});

test('edits are in the file with the next change, fields of a caller\'s own too', () => {
  atStart(() => {
    const { clientId } = using((oauth) => {
      const client = oauth.getClient(linked(oauth).clientId);
      client.scope = 'tools:read';
      client.note = { own: [1] };
      delete client.grantTypes;
      linked(oauth);
      return { ...client };
    }, {}, 'oauth.json');
    using((oauth) => {
      const client = oauth.getClient(clientId);
      assert.deepEqual(Object.keys(client), ['clientId', 'clientName', 'redirectUris', 'scope', 'createdAt', 'apiKeyRef', 'note']);
      assert.deepEqual([client.scope, client.note], ['tools:read', { own: [1] }]);
      assert.throws(() => codeFor(oauth, client, { scope: 'root' }), /^Error: invalid_scope: /);
    }, {}, 'oauth.json');
  });
});

test('a client that registered a way to authenticate has to', () => {
  using((oauth) => {
    const client = linked(oauth, { tokenEndpointAuthMethod: 'client_secret_post' });
    assert.equal(oauth.getClient(client.clientId).tokenEndpointAuthMethod, 'client_secret_post');
    const code = codeFor(oauth, client);
    const failed = { message: 'invalid_client: Client authentication failed' };
    assert.throws(() => exchange(oauth, code, client), failed);
    assert.throws(() => exchange(oauth, code, client, { clientSecret: `${client.clientSecret}0` }), failed);
    const { refreshToken } = exchange(oauth, code, client, { clientSecret: client.clientSecret });
    assert.throws(() => oauth.refreshAccessToken({ refreshToken, clientId: client.clientId }), failed);
    oauth.refreshAccessToken({ refreshToken, clientId: client.clientId, clientSecret: client.clientSecret });
    assert.equal(linked(oauth, { tokenEndpointAuthMethod: 'none' }).clientSecret, null);
  });
});

test('refresh tokens rotate where it is asked for, and one that is used again ends its family', () => {
  using((oauth) => {
    const client = linked(oauth);
    const { clientId } = client;
    const first = tokensFor(oauth, client);
    const second = oauth.refreshAccessToken({ refreshToken: first.refreshToken, clientId });
    assert.deepEqual(Object.keys(second), ['accessToken', 'refreshToken', 'expiresIn', 'tokenType', 'scope']);
    oauth.refreshAccessToken({ refreshToken: second.refreshToken, clientId });
    const reused = { message: 'invalid_grant: Refresh token was already used' };
    assert.throws(() => oauth.refreshAccessToken({ refreshToken: first.refreshToken, clientId }), reused);
    assert.equal(oauth.validateToken(second.accessToken), null);
    assert.equal(oauth.tokenCount, 0);
  }, { rotateRefreshTokens: true });
});

test('odd arguments are refused with an error, or found nowhere', () => {
  assert.throws(() => new OAuthProvider({ accessTokenTtl: 'soon' }), { name: 'TypeError', message: 'accessTokenTtl must be a number of seconds, but is string' });
  assert.throws(() => new OAuthProvider({ codeTtl: NaN }), { name: 'TypeError', message: /^codeTtl / });
  assert.throws(() => new OAuthProvider({ scopes: 'a b' }), { name: 'TypeError', message: /^scopes / });
  assert.throws(() => OAuthProvider(), TypeError);
  using((oauth) => {
    const client = linked(oauth);
    assert.throws(() => oauth.registerClient({ clientName: 'x', redirectUris: 5 }), { name: 'TypeError', message: /^redirectUris / });
    assert.throws(() => oauth.registerClient({ clientName: 'x', redirectUris: [null] }), { message: 'Invalid redirect URI: null' });
    assert.throws(() => oauth.registerClient(), TypeError);
    const cycle = [];
    cycle.push(cycle);
    assert.throws(() => linked(oauth, { grantTypes: cycle }), TypeError);
    assert.throws(() => linked(oauth, { get scope() { throw new RangeError('mine'); } }), { message: 'mine' });
    for (const odd of [undefined, null, 5, 5n, {}, [], Symbol('s'), '\ud800', '\0', NaN]) {
      assert.equal(oauth.getClient(odd), null);
      assert.equal(oauth.validateToken(odd), null);
      assert.equal(oauth.revokeToken(odd), false);
      assert.throws(() => codeFor(oauth, client, { clientId: odd }), { message: 'Unknown client' });
      assert.throws(() => exchange(oauth, odd, client), { message: 'invalid_grant: Unknown or expired code' });
      assert.throws(() => oauth.refreshAccessToken({ refreshToken: odd, clientId: client.clientId }), { message: 'invalid_grant: Unknown refresh token' });
    }
    for (const odd of [null, 'http://localhost/cb', 5, { 0: URI }, [5, null, {}], true]) {
      client.redirectUris = odd;
      assert.throws(() => codeFor(oauth, client), { message: 'Invalid redirect_uri' });
    }
    // A hash from the file is no token.
    client.redirectUris = [URI];
    const { accessToken } = tokensFor(oauth, client);
    assert.equal(oauth.validateToken(`sha256:${createHash('sha256').update(accessToken).digest('hex')}`), null);
  });
});

test('a subclass, and a provider without arguments', () => {
  class Mine extends OAuthProvider {
    validateToken(token) {
      return super.validateToken(token)?.apiKey ?? 'nobody';
    }
  }
  const oauth = new Mine();
  assert.ok(oauth instanceof OAuthProvider);
  assert.equal(oauth.validateToken('x'), 'nobody');
  assert.deepEqual([oauth.tokenCount, oauth.clientCount], [0, 0]);
  oauth.destroy();
  oauth.destroy();
  assert.equal(linked(oauth).clientName, 'App');
});

test('a provider keeps the process alive until it is destroyed', () => {
  const script = (end) => `
    const { OAuthProvider } = require('paygate-mcp');
    const oauth = new OAuthProvider();
    ${end}
    process.on('exit', () => console.log('exit'));`;
  const run = (end) => execFileSync(process.execPath, ['-e', script(end)], { cwd: root, encoding: 'utf8', timeout: 10_000 });
  assert.equal(run('oauth.destroy();'), 'exit\n');
  assert.equal(run('setTimeout(() => { console.log("alive"); oauth.destroy(); }, 50).unref();'), 'alive\nexit\n');
});

test('what has expired is swept away every five minutes', (t) => {
  t.mock.timers.enable({ apis: ['setInterval', 'Date'], now: 1_773_480_413_589 });
  using((oauth) => {
    tokensFor(oauth, linked(oauth));
    t.mock.timers.tick(299_999);
    assert.equal(oauth.tokenCount, 2);
    t.mock.timers.tick(1);
    assert.equal(oauth.tokenCount, 1);
  }, { accessTokenTtl: 1 });
});

test('a folder that is there is used, a mode is kept', () => {
  atStart(() => {
    mkdirSync('there');
    using((oauth) => linked(oauth), {}, 'there/oauth.json');
    require('node:fs').chmodSync('there/oauth.json', 0o640);
    using((oauth) => linked(oauth), {}, 'there/oauth.json');
    assert.equal(statSync('there/oauth.json').mode & 0o777, 0o640);
  });
});
