'use strict';

const { native, shared, call, json, text, FIRST, NOTICES } = require('./native.js');
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
    const given = json({
      issuer: issuer === undefined || issuer === null ? undefined : text(issuer),
      scopes: scopes === undefined || scopes === null ? undefined : texts('scopes', scopes),
      approveLinked: approveLinked === undefined || Boolean(approveLinked),
      rotateRefreshTokens: Boolean(rotateRefreshTokens),
    });
    const handle = call(
      native.oauthNew,
      given,
      statePath ? text(statePath) : undefined,
      seconds('accessTokenTtl', accessTokenTtl),
      seconds('refreshTokenTtl', refreshTokenTtl),
      seconds('codeTtl', codeTtl),
    );
    print(handle);
    start(this, handle);
    this[OAUTH].timer = setInterval(change, SWEEP_INTERVAL, handle, native.oauthSweep);
  }

  registerClient({ clientName, redirectUris, grantTypes, scope, apiKeyRef, tokenEndpointAuthMethod }) {
    const given = {
      clientName: clientName ? text(clientName) : '',
      // A text is walked as 2.9.0 walked it, and fails on its first character.
      redirectUris: texts('redirectUris', typeof redirectUris === 'string' ? [...redirectUris] : (redirectUris ?? [])),
      grantTypes: grantTypes || undefined,
      scope: optional(scope),
      apiKeyRef: optional(apiKeyRef),
      tokenEndpointAuthMethod: optional(tokenEndpointAuthMethod),
    };
    const secret = change(this[OAUTH].handle, native.oauthRegister, json(given));
    const slot = shared[FIRST];
    const record = recordAt(this, slot, native.clientRead(this[OAUTH].handle, slot, 0));
    return new RegisteredClient(record, secret ?? null).proxy;
  }

  getClient(clientId) {
    const slot = call(native.oauthFind, this[OAUTH].handle, name(clientId));
    return slot < 0 ? null : recordAt(this, slot, clientId).proxy;
  }

  linkClientToApiKey(clientId, apiKey) {
    const key = apiKey === undefined || apiKey === null ? undefined : text(apiKey);
    return change(this[OAUTH].handle, native.oauthLink, name(clientId), key);
  }

  listClients() {
    const rows = JSON.parse(call(native.oauthClients, this[OAUTH].handle));
    return rows.map(([slot, id, clientSecretPrefix]) => ({ ...recordAt(this, slot, id).proxy, clientSecretPrefix }));
  }

  createAuthCode({ clientId, redirectUri, codeChallenge, codeChallengeMethod, scope, apiKeyRef }) {
    const given = {
      clientId: name(clientId),
      redirectUri: name(redirectUri),
      codeChallenge: optional(codeChallenge),
      codeChallengeMethod: optional(codeChallengeMethod),
      scope: optional(scope),
      apiKeyRef: optional(apiKeyRef),
    };
    return call(native.oauthCode, this[OAUTH].handle, json(given));
  }

  exchangeCode({ code, clientId, redirectUri, codeVerifier, clientSecret }) {
    const given = {
      code: name(code),
      clientId: name(clientId),
      redirectUri: name(redirectUri),
      codeVerifier: verifier(codeVerifier),
      clientSecret: optional(clientSecret),
    };
    return grant(change(this[OAUTH].handle, native.oauthExchange, json(given)));
  }

  refreshAccessToken({ refreshToken, clientId, scope, clientSecret }) {
    const given = {
      refreshToken: name(refreshToken),
      clientId: name(clientId),
      scope: optional(scope),
      clientSecret: optional(clientSecret),
    };
    return grant(change(this[OAUTH].handle, native.oauthRefresh, json(given)));
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
function optional(value) {
  return value ? text(value) : undefined;
}

function texts(argument, values) {
  if (!Array.isArray(values)) throw new TypeError(`${argument} must be an array of strings`);
  return Array.from(values, text);
}

/** A verifier as text; undefined when it is neither text nor bytes. */
function verifier(value) {
  if (!ArrayBuffer.isView(value)) return typeof value === 'string' ? value : undefined;
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString();
}

/** A time in seconds; undefined stands for the usual one. */
function seconds(argument, value) {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (Number.isNaN(number)) throw new TypeError(`${argument} must be a number of seconds`);
  return number;
}

/** Tokens as they are handed out. */
function grant(answer) {
  const expiresIn = shared[FIRST];
  const [accessToken, refreshToken, scope] = JSON.parse(answer);
  const tokens = refreshToken === null ? { accessToken } : { accessToken, refreshToken };
  return { ...tokens, expiresIn, tokenType: 'Bearer', scope };
}

module.exports = { OAuthProvider, OAUTH };
