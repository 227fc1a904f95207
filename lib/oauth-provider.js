'use strict';

const { array, json, members, number, shown, text, texts } = require('./arguments.js');
const { native, shared, call, FIRST, NOTICES } = require('./native.js');
const { RecordType, RecordOwner, LiveRecord } = require('./live-record.js');

const CLIENT_RECORD = new RecordType({
  fields: ['clientId', 'clientName', 'redirectUris', 'grantTypes', 'scope', 'createdAt', 'apiKeyRef'],
  numbers: [],
  nested: ['redirectUris', 'grantTypes'],
  show: native.clientRecord,
  read: native.clientRead,
  write: native.clientWrite,
});

/** How often expired codes and tokens are removed, in milliseconds. */
const SWEEP_INTERVAL = 300_000;

/** Own to the package: what a provider is made of. */
const OAUTH = Symbol('oauth');

class OAuthProvider {
  constructor(config, statePath) {
    const { issuer, accessTokenTtl, refreshTokenTtl, codeTtl, scopes, approveLinked, rotateRefreshTokens } = config ?? {};
    const given = {
      issuer: issuer === undefined || issuer === null ? undefined : text(issuer, 'issuer'),
      scopes: scopes === undefined || scopes === null ? undefined : words(scopes, 'scopes'),
      approveLinked: approveLinked === undefined || Boolean(approveLinked),
      rotateRefreshTokens: Boolean(rotateRefreshTokens),
    };
    const handle = call(
      native.oauthNew,
      json(given, 'config'),
      statePath ? text(statePath, 'statePath') : undefined,
      seconds('accessTokenTtl', accessTokenTtl),
      seconds('refreshTokenTtl', refreshTokenTtl),
      seconds('codeTtl', codeTtl),
    );
    print(handle);
    start(this, handle);
    this[OAUTH].timer = setInterval(change, SWEEP_INTERVAL, handle, native.oauthSweep);
  }

  registerClient(params) {
    const { clientName, redirectUris, grantTypes, scope, apiKeyRef, tokenEndpointAuthMethod } = members(params, 'params');
    const given = {
      clientName: clientName ? text(clientName, 'clientName') : '',
      // A text is walked as 2.9.0 walked it, and fails on its first character.
      redirectUris: words(typeof redirectUris === 'string' ? [...redirectUris] : (redirectUris ?? []), 'redirectUris'),
      grantTypes: grantTypes || undefined,
      scope: optional(scope, 'scope'),
      apiKeyRef: optional(apiKeyRef, 'apiKeyRef'),
      tokenEndpointAuthMethod: optional(tokenEndpointAuthMethod, 'tokenEndpointAuthMethod'),
    };
    const secret = change(this[OAUTH].handle, native.oauthRegister, json(given, 'grantTypes'));
    const slot = shared[FIRST];
    const record = recordAt(this, slot, native.clientRead(this[OAUTH].handle, slot, 0));
    return new RegisteredClient(record, secret ?? null).proxy;
  }

  getClient(clientId) {
    const slot = call(native.oauthFind, this[OAUTH].handle, name(clientId));
    return slot < 0 ? null : recordAt(this, slot, clientId).proxy;
  }

  linkClientToApiKey(clientId, apiKey) {
    const key = apiKey === undefined || apiKey === null ? undefined : text(apiKey, 'apiKey');
    return change(this[OAUTH].handle, native.oauthLink, name(clientId), key);
  }

  listClients() {
    const rows = JSON.parse(call(native.oauthClients, this[OAUTH].handle));
    return rows.map(([slot, id, clientSecretPrefix]) => ({ ...recordAt(this, slot, id).proxy, clientSecretPrefix }));
  }

  createAuthCode(params) {
    const { clientId, redirectUri, codeChallenge, codeChallengeMethod, scope, apiKeyRef } = members(params, 'params');
    const given = {
      clientId: name(clientId),
      redirectUri: name(redirectUri),
      codeChallenge: optional(codeChallenge, 'codeChallenge'),
      codeChallengeMethod: optional(codeChallengeMethod, 'codeChallengeMethod'),
      scope: optional(scope, 'scope'),
      apiKeyRef: optional(apiKeyRef, 'apiKeyRef'),
    };
    return call(native.oauthCode, this[OAUTH].handle, json(given, 'params'));
  }

  exchangeCode(params) {
    const { code, clientId, redirectUri, codeVerifier, clientSecret } = members(params, 'params');
    const given = {
      code: name(code),
      clientId: name(clientId),
      redirectUri: name(redirectUri),
      codeVerifier: verifier(codeVerifier),
      clientSecret: optional(clientSecret, 'clientSecret'),
    };
    return grant(change(this[OAUTH].handle, native.oauthExchange, json(given, 'params')));
  }

  refreshAccessToken(params) {
    const { refreshToken, clientId, scope, clientSecret } = members(params, 'params');
    const given = {
      refreshToken: name(refreshToken),
      clientId: name(clientId),
      scope: optional(scope, 'scope'),
      clientSecret: optional(clientSecret, 'clientSecret'),
    };
    return grant(change(this[OAUTH].handle, native.oauthRefresh, json(given, 'params')));
  }

  validateToken(bearerToken) {
    const found = call(native.oauthValidate, this[OAUTH].handle, name(bearerToken));
    return found === undefined ? null : JSON.parse(found);
  }

  revokeToken(token) {
    return change(this[OAUTH].handle, native.oauthRevoke, name(token));
  }

  getMetadata() {
    return JSON.parse(call(native.oauthMetadata, this[OAUTH].handle));
  }

  get tokenCount() {
    return call(native.oauthTokenCount, this[OAUTH].handle);
  }

  get clientCount() {
    return call(native.oauthClientCount, this[OAUTH].handle);
  }

  destroy() {
    clearInterval(this[OAUTH].timer);
  }
}

/** The record of a client that was just registered: the one that others get, and the secret, which is in no other. */
class RegisteredClient extends LiveRecord {
  constructor(record, secret) {
    super(record.owner, record.place, record.name);
    this.record = record;
    this.secret = secret;
    this.windows = record.windows;
  }

  fill() {
    const { clientId, ...others } = Object.getOwnPropertyDescriptors(super.fill());
    const clientSecret = { value: this.secret, writable: true, enumerable: true, configurable: true };
    this.target = Object.defineProperties({}, { clientId, clientSecret, ...others });
    return this.target;
  }

  window(field, content) {
    return this.record.window(field, content);
  }

  assign(field, value) {
    if (!this.owner.type.fields.has(field)) return super.assign(field, value);
    this.record.assign(field, value);
    return this.bringBack(field);
  }
}

function start(provider, handle) {
  const parts = { handle, owner: new RecordOwner(CLIENT_RECORD, handle), records: [], timer: undefined };
  Object.defineProperty(provider, OAUTH, { value: parts });
  return provider;
}

/** The window on the client in a slot. */
function recordAt(provider, slot, id) {
  const { owner, records } = provider[OAUTH];
  return (records[slot] ??= new LiveRecord(owner, slot, id));
}

/** Calls a native function that may write, and prints what there is to print. */
function change(handle, run, ...given) {
  try {
    return call(run, handle, ...given);
  } finally {
    print(handle);
  }
}

/** Prints what a provider has to tell of its file. */
function print(handle) {
  if (shared[NOTICES] === 0) return;
  shared[NOTICES] = 0;
  const answers = shared.slice();
  for (const [isGood, line] of JSON.parse(call(native.oauthNotices, handle))) {
    if (isGood) console.log(line);
    else console.error(line);
  }
  shared.set(answers);
}

/** What something is found by. Nothing is found by what is no text. */
function name(value) {
  return typeof value === 'string' ? value : '';
}

/** A text that may be absent; what JavaScript takes for false is. */
function optional(value, argument) {
  return value ? text(value, argument) : undefined;
}

function words(values, argument) {
  return texts(array(values, argument), argument);
}

/** A verifier as text; undefined when it is neither text nor bytes. */
function verifier(value) {
  if (!ArrayBuffer.isView(value)) return typeof value === 'string' ? value : undefined;
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString();
}

/** A time in seconds; undefined stands for the usual one. */
function seconds(argument, value) {
  if (value === undefined) return undefined;
  const given = number(value, argument);
  if (Number.isNaN(given)) throw new TypeError(`${argument} must be a number of seconds, but is ${shown(value)}`);
  return given;
}

/** Tokens as they are handed out. */
function grant(answer) {
  const expiresIn = shared[FIRST];
  const [accessToken, refreshToken, scope] = JSON.parse(answer);
  const tokens = refreshToken === null ? { accessToken } : { accessToken, refreshToken };
  return { ...tokens, expiresIn, tokenType: 'Bearer', scope };
}

module.exports = { OAuthProvider, OAUTH };
