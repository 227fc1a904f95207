'use strict';

const { EventEmitter } = require('node:events');
const { text } = require('./arguments.js');
const servers = require('./wrapped-servers.js');

const { SERVERS } = servers;

/** The code of 2.9.0 for the refusal of a single call of a remote server. */
const REFUSED = -32000;

class HttpMcpProxy extends EventEmitter {
  constructor(gate, remoteUrl) {
    super();
    const { href: url } = new URL(text(remoteUrl, 'remoteUrl'));
    servers.wrap(this, gate, { url }, { stopped: 'Proxy not started', refusal: REFUSED });
  }

  get isRunning() {
    return this[SERVERS].running;
  }

  async start() {
    await servers.start(this);
  }

  async stop() {
    await servers.stop(this);
  }

  async handleRequest(request, apiKey, clientIp) {
    return servers.handleRequest(this, request, apiKey, clientIp);
  }

  async handleBatchRequest(calls, batchId, apiKey, clientIp) {
    return servers.handleBatchRequest(this, calls, batchId, apiKey, clientIp);
  }

  async forwardUngated(request) {
    return servers.forwardUngated(this, request);
  }
}

module.exports = { HttpMcpProxy };
