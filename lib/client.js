'use strict';

// The client of a gateway: pure JavaScript on Node alone, so that it works where the gateway itself does not run.

const { callable, members, number, shown, text, written, wrong } = require('./arguments.js');
const { Connection, textOf, eventsOf } = require('./client-connection.js');

const TIMEOUT_MS = 30_000;
const RETRIES_MAX = 1;
const PAYMENT_REQUIRED = -32402;
const NOT_FOUND = 404;

/** How a gateway answers `GET /balance` without a key, and with one that it does not know. */
const NO_SUCH_KEY = [401, NOT_FOUND];

const HELLO = {
  protocolVersion: '2024-11-05',
  capabilities: {},
  clientInfo: { name: 'paygate-client', version: '1.0.0' },
};

/** Own to the package: what a client is made of. */
const PARTS = Symbol('parts');

class PayGateError extends Error {
  constructor(code, message, data) {
    super(message === undefined ? undefined : text(message, 'message'));
    this.code = code;
    this.data = data;
    this.name = 'PayGateError';
  }

  get isPaymentRequired() {
    return this.code === PAYMENT_REQUIRED;
  }

  get isRateLimited() {
    return this.message.includes('rate_limit');
  }

  get isExpired() {
    return this.message.includes('expired');
  }
}

class PayGateClient {
  constructor(config) {
    const { url, apiKey, timeout, autoRetry, maxRetries, onCreditsNeeded, pathPrefix } = members(config, 'config');
    const parts = {
      connection: new Connection(text(url, 'url'), timeoutOf(timeout), prefixOf(pathPrefix)),
      // One that is not given is an error when it is to be sent.
      apiKey: apiKey === undefined ? undefined : text(apiKey, 'apiKey'),
      retriesMax: autoRetry && onCreditsNeeded ? number(maxRetries || RETRIES_MAX, 'maxRetries') : 0,
      onCreditsNeeded,
      requests: 0,
      session: undefined,
      balance: null,
    };
    Object.defineProperty(this, PARTS, { value: parts });
  }

  async initialize(options) {
    const parts = this[PARTS];
    parts.session = undefined;
    const { result, error, session } = await ask(parts, 'initialize', HELLO, options);
    if (error !== undefined) throw error;
    parts.session = session;
    if (session !== undefined) await tell(parts, 'notifications/initialized', options);
    return result;
  }

  async ping(options) {
    const { error } = await ask(this[PARTS], 'ping', {}, options);
    return error === undefined;
  }

  async listTools(options) {
    const { result, error } = await ask(this[PARTS], 'tools/list', {}, options);
    if (error !== undefined) throw error;
    return result?.tools ?? [];
  }

  async callTool(name, args, options) {
    const parts = this[PARTS];
    for (let retries = 0; ; retries += 1) {
      const { result, error } = await ask(parts, 'tools/call', { name, arguments: args ?? {} }, options);
      if (error === undefined) return result;
      const retry = error.isPaymentRequired && retries < parts.retriesMax;
      if (!retry || !(await callable(parts.onCreditsNeeded, 'onCreditsNeeded')(needed(name, error.data)))) throw error;
    }
  }

  async getBalance(options) {
    const parts = this[PARTS];
    const { connection, apiKey } = parts;
    const request = { method: 'GET', path: '/balance', headers: { 'X-API-Key': apiKey }, signal: signalOf(options) };
    const balance = await connection.exchange(request, readBalance);
    if (typeof balance?.credits === 'number') parts.balance = balance.credits;
    return balance;
  }

  get lastKnownBalance() {
    return this[PARTS].balance;
  }

  async close() {
    const parts = this[PARTS];
    const { connection, apiKey, session } = parts;
    parts.session = undefined;
    if (session !== undefined) {
      const headers = { 'X-API-Key': apiKey, 'Mcp-Session-Id': session };
      // A server that cannot be reached ends the session by itself.
      await connection.exchange({ method: 'DELETE', path: '/mcp', headers }, textOf).catch(() => {});
    }
    connection.closeIdle();
  }
}

function timeoutOf(timeout) {
  const milliseconds = number(timeout || TIMEOUT_MS, 'timeout');
  if (milliseconds > 0) return milliseconds;
  throw new RangeError(`timeout must be a number of milliseconds above 0, but is ${shown(timeout)}`);
}

/** The path that a gateway is mounted at, without a slash at the end. */
function prefixOf(path) {
  return new URL(`/${text(path ?? '', 'pathPrefix').replace(/^\/+|\/+$/g, '')}`, 'http://gateway').pathname.replace(/\/$/, '');
}

function signalOf(options) {
  const signal = options?.signal ?? undefined;
  if (signal === undefined || typeof signal.throwIfAborted === 'function') return signal;
  throw wrong('signal', 'an AbortSignal', signal);
}

/** Sends a JSON-RPC request. Gives its result or error, and the session that the answer names. */
async function ask(parts, method, params, options) {
  parts.requests += 1;
  const id = parts.requests;
  const body = written({ jsonrpc: '2.0', id, method, params }, 'args');
  const read = (response) => readReply(response, id);
  const { session } = parts;
  const answer = await post(parts, body, signalOf(options), read);
  if (session === undefined) return answer;
  if (answer.forgotten) {
    if (parts.session === session) parts.session = undefined;
    return post(parts, body, signalOf(options), read);
  }
  if (answer.session !== undefined && parts.session === session) parts.session = answer.session;
  return answer;
}

/** Sends a JSON-RPC notification. Whether it arrives shows with the next request. */
async function tell(parts, method, options) {
  await post(parts, JSON.stringify({ jsonrpc: '2.0', method }), signalOf(options), textOf).catch(() => {});
}

function post({ connection, apiKey, session }, message, signal, read) {
  const body = Buffer.from(message);
  const headers = { 'Content-Type': 'application/json', 'X-API-Key': apiKey, 'Content-Length': body.length };
  if (session !== undefined) headers['Mcp-Session-Id'] = session;
  return connection.exchange({ method: 'POST', path: '/mcp', headers, body, signal }, read);
}

async function readReply(response, id) {
  const { statusCode: status, headers } = response;
  const streamed = headers['content-type']?.includes('text/event-stream');
  const reply = streamed ? await replyAmong(eventsOf(response), id) : JSON.parse(await textOf(response));
  const { result, error } = Object(reply);
  return {
    result,
    error: errorOf(status, reply, result, error),
    session: headers['mcp-session-id'],
    // The server knows no such session, and has not looked at the request.
    forgotten: status === NOT_FOUND && reply?.id !== id,
  };
}

/** The error of a reply, if it is one. */
function errorOf(status, reply, result, error) {
  // What is refused before it is looked at as JSON-RPC has a text at most.
  if (typeof error === 'string' && error !== '') return new PayGateError(status, error, reply);
  if (error) return new PayGateError(error.code, error.message, error.data);
  if (status >= 400 && result === undefined) return new PayGateError(status, `HTTP ${status}`, reply);
  return undefined;
}

/** The reply to a request among the events of a stream, which may hold notifications and other messages before it. */
async function replyAmong(events, id) {
  for await (const data of events) {
    const message = parsed(data);
    if (message?.id === id && message.method === undefined) return message;
  }
  throw new Error('No matching response in SSE stream');
}

async function readBalance(response) {
  const body = await textOf(response);
  const balance = parsed(body);
  if (balance === undefined) throw new Error(`Invalid JSON response: ${body.slice(0, 100)}`);
  const { statusCode: status } = response;
  // That is told by the body alone, as ever.
  if (status >= 400 && !NO_SUCH_KEY.includes(status)) {
    throw new PayGateError(status, typeof balance?.error === 'string' ? balance.error : `HTTP ${status}`, balance);
  }
  return balance;
}

/** The value of a JSON text; undefined when it is none. */
function parsed(json) {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

function needed(tool, data) {
  return {
    tool,
    creditsRequired: data?.creditsRequired || 0,
    remainingCredits: data?.remainingCredits || 0,
  };
}

module.exports = { PayGateClient, PayGateError };
