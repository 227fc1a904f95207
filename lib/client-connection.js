'use strict';

// How the client reaches a gateway: connections that are kept, a limit on the whole of an exchange, and the texts
// of what comes back.

const { StringDecoder } = require('node:string_decoder');
const { setImmediate } = require('node:timers');

/** Unused connections are closed after so long. Gateways close theirs after 5 s, and who is first loses no request. */
const IDLE_MS = 4000;

/** The longest time that a timer of Node can measure, some 25 days. */
const TIMER_MS_MAX = 2 ** 31 - 1;

class Connection {
  constructor(url, timeoutMs, pathPrefix) {
    const { protocol, hostname, port } = new URL(url);
    // Here, since loading either takes as long as loading all the rest of the package, and most programs that have a
    // gate have no client.
    this.transport = protocol === 'https:' ? require('node:https') : require('node:http');
    // In a URL the colons of an IPv6 address stand between brackets, for a socket they do not.
    this.host = hostname.replace(/^\[(.*)\]$/, '$1');
    this.port = port || (protocol === 'https:' ? 443 : 80);
    this.pathPrefix = pathPrefix;
    this.timeoutMs = timeoutMs;
    this.agent = new this.transport.Agent({ keepAlive: true, timeout: IDLE_MS });
  }

  /** Sends a request and gives what `read` makes of its response. */
  async exchange({ method, path, headers, body, signal }, read) {
    await this.#hearOfClosedConnections();
    const { host, port, agent, timeoutMs } = this;
    signal?.throwIfAborted();
    return new Promise((resolve, reject) => {
      const request = this.transport.request({ host, port, method, path: this.pathPrefix + path, headers, agent });
      const end = (settle, value) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
        settle(value);
      };
      const fail = (error) => {
        end(reject, error);
        request.destroy();
      };
      const abort = () => fail(signal.reason);
      const timer = setTimeout(
        () => fail(new Error(`Request timed out after ${timeoutMs}ms`)),
        Math.min(timeoutMs, TIMER_MS_MAX),
      );
      signal?.addEventListener('abort', abort);
      request.on('error', fail);
      request.on('response', (response) => read(response).then((value) => end(resolve, value), fail));
      request.end(body);
    });
  }

  /** Closes the connections that are not in use. */
  closeIdle() {
    for (const socket of Object.values(this.agent.freeSockets).flat()) socket.destroy();
  }

  /**
   * Lets the event loop come round when a kept connection is to be used. A script that was busy has not heard yet
   * that the server has closed it, and a paid call must not be sent into the void.
   */
  async #hearOfClosedConnections() {
    if (Object.keys(this.agent.freeSockets).length === 0) return;
    // The first turn may be the end of the current one.
    await turn();
    await turn();
  }
}

function turn() {
  return new Promise((resolve) => setImmediate(resolve));
}

/** The whole body of a response. Characters may lie across its pieces. */
async function textOf(response) {
  const pieces = [];
  for await (const piece of response) pieces.push(piece);
  return Buffer.concat(pieces).toString('utf8');
}

/** The data of each event of a response that is an event stream, as soon as the event is whole. */
async function* eventsOf(response) {
  let data = [];
  for await (const line of linesOf(response)) {
    if (line.startsWith('data:')) data.push(line.slice(line[5] === ' ' ? 6 : 5));
    if (line !== '' || data.length === 0) continue;
    yield data.join('\n');
    data = [];
  }
}

/** The lines of a text that comes in pieces, and an empty one at the end. */
async function* linesOf(pieces) {
  const decoder = new StringDecoder('utf8');
  let [rest, held] = ['', ''];
  for await (const piece of pieces) {
    const text = held + decoder.write(piece);
    // The other half of the line break may come with the next piece.
    held = text.endsWith('\r') ? '\r' : '';
    const lines = text.slice(0, text.length - held.length).split(/\r\n|\n|\r/);
    lines[0] = rest + lines[0];
    rest = lines.pop();
    yield* lines;
  }
  yield rest;
  yield '';
}

module.exports = { Connection, textOf, eventsOf };
