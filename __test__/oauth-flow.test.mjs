// The public TypeScript client gets itself a token: it is refused, finds the authorization server, registers, sends its
// user to approve it, and pays with the user's key.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { UnauthorizedError, auth } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { root, startGateway, temporaryFolder } from './support/gateway.mjs';

const { serve } = createRequire(import.meta.url)('./support/server.js');

const tools = `${process.execPath} ${path.join(root, '__test__/fixtures/tools.mjs')}`;
const CALLBACK = 'http://127.0.0.1:9/callback';

/** What a client keeps, and the address that its user's browser is sent to. */
class Keeper {
  constructor(metadata = {}) {
    this.metadata = metadata;
  }
  get redirectUrl() {
    return CALLBACK;
  }
  get clientMetadata() {
    return { client_name: 'Agent', redirect_uris: [CALLBACK], ...this.metadata };
  }
  state() {
    return 'a state';
  }
  clientInformation() {
    return this.client;
  }
  saveClientInformation(client) {
    this.client = client;
  }
  tokens() {
    return this.saved;
  }
  saveTokens(tokens) {
    this.saved = tokens;
  }
  redirectToAuthorization(address) {
    this.address = address;
  }
  saveCodeVerifier(verifier) {
    this.verifier = verifier;
  }
  codeVerifier() {
    return this.verifier;
  }
}

/** What a browser does on the consent page: sends the form back with the fields that are there. */
async function approve(address, key) {
  const page = await fetch(address);
  assert.equal(page.status, 200);
  const fields = [...(await page.text()).matchAll(/<input type="hidden" name="(\w+)" value="([^"]*)">/g)];
  const body = new URLSearchParams(fields.map(([, name, value]) => [name, value.replaceAll('&amp;', '&')]));
  body.set('api_key', key);
  body.set('decision', 'approve');
  return fetch(address, { method: 'POST', body, redirect: 'manual', headers: { Origin: address.origin } });
}

/** The code that a browser is sent back with. */
function codeOf(response) {
  assert.equal(response.status, 302);
  const back = new URL(response.headers.get('location'));
  assert.equal(back.origin + back.pathname, CALLBACK);
  assert.equal(back.searchParams.get('state'), 'a state');
  return back.searchParams.get('code');
}

async function connected(t, url, authProvider) {
  const transport = new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { authProvider });
  const client = new Client({ name: 'test', version: '1.0.0' });
  await client.connect(transport);
  t.after(() => client.close());
  return { client, transport };
}

const callEcho = (client) => client.callTool({ name: 'echo', arguments: { a: 1 } });

function configuration(t, oauth) {
  const file = path.join(temporaryFolder(t), 'config.json');
  fs.writeFileSync(file, JSON.stringify({ oauth }));
  return ['--config', file];
}

test('a client that nobody knows is approved by the owner of a key', async (t) => {
  const gateway = await startGateway(t, tools, configuration(t, {}));
  const key = await gateway.createKey(10);
  const keeper = new Keeper({ token_endpoint_auth_method: 'none' });
  const { client, transport } = await connected(t, gateway.url, keeper);
  assert.ok((await client.listTools()).tools.length > 0, 'what is free needs no token');
  await assert.rejects(callEcho(client), UnauthorizedError);
  assert.equal(keeper.client.client_secret, undefined);

  await transport.finishAuth(codeOf(await approve(keeper.address, key)));
  assert.match(keeper.saved.access_token, /^pg_at_[0-9a-f]{64}$/);
  assert.ok((await callEcho(client)).content);
  assert.equal((await gateway.balance(key)).credits, 9);
});

test('a token that has expired is renewed on the way', async (t) => {
  const gateway = await startGateway(t, tools, configuration(t, { accessTokenTtl: 3600, rotateRefreshTokens: true }));
  const key = await gateway.createKey(10);
  const keeper = new Keeper({ token_endpoint_auth_method: 'client_secret_basic' });
  const { client, transport } = await connected(t, gateway.url, keeper);
  await assert.rejects(callEcho(client), UnauthorizedError);
  assert.match(keeper.client.client_secret, /^pg_secret_/);
  await transport.finishAuth(codeOf(await approve(keeper.address, key)));
  const first = keeper.saved;
  keeper.saved = { ...first, access_token: `pg_at_${'0'.repeat(64)}` };
  assert.ok((await callEcho(client)).content);
  assert.notEqual(keeper.saved.access_token, first.access_token);
  assert.notEqual(keeper.saved.refresh_token, first.refresh_token);
});

test('a client that is linked to a key is approved at once, and its tokens outlive a restart', async (t) => {
  const state = ['--state-file', path.join(temporaryFolder(t), 'state.json')];
  const settings = [...configuration(t, {}), ...state];
  const gateway = await startGateway(t, tools, settings);
  const key = await gateway.createKey(10);
  const keeper = new Keeper();
  const registered = await fetch(`${gateway.url}/oauth/register`, {
    method: 'POST',
    body: JSON.stringify({ ...keeper.clientMetadata, api_key: key }),
  });
  keeper.saveClientInformation(await registered.json());
  assert.equal(await auth(keeper, { serverUrl: `${gateway.url}/mcp` }), 'REDIRECT');
  const authorizationCode = codeOf(await fetch(keeper.address, { redirect: 'manual' }));
  assert.equal(await auth(keeper, { serverUrl: `${gateway.url}/mcp`, authorizationCode }), 'AUTHORIZED');
  await gateway.stop();

  const again = await startGateway(t, tools, settings);
  const { client } = await connected(t, again.url, keeper);
  assert.ok((await callEcho(client)).content);
  assert.equal((await again.balance(key)).credits, 9);
});

test('the server of a program issues tokens too, and its objects show them', async (t) => {
  const { server, url } = await serve(t, { oauth: {} });
  const { key } = server.gate.store.createKey('k', 10);
  const keeper = new Keeper();
  const { client, transport } = await connected(t, url, keeper);
  await assert.rejects(callEcho(client), UnauthorizedError);
  assert.equal(server.oauth.getClient(keeper.client.client_id).clientName, 'Agent');
  server.oauth.linkClientToApiKey(keeper.client.client_id, key);
  await transport.finishAuth(codeOf(await fetch(keeper.address, { redirect: 'manual' })));
  assert.ok((await callEcho(client)).content);
  assert.equal(server.oauth.validateToken(keeper.saved.access_token).apiKey, key);
  assert.equal(server.gate.store.getKey(key).credits, 9);
  const { events } = server.audit.query({ types: ['oauth.client_registered', 'oauth.token_issued'] });
  assert.deepEqual(events.map(({ type }) => type), ['oauth.token_issued', 'oauth.client_registered']);
});
