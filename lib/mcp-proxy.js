'use strict';

const { EventEmitter } = require('node:events');
const { list, text, texts } = require('./arguments.js');
const servers = require('./wrapped-servers.js');

const { SERVERS } = servers;

class McpProxy extends EventEmitter {
  constructor(gate, serverCommand, serverArgs) {
    super();
    const args = texts(list(serverArgs ?? [], 'serverArgs'), 'serverArgs');
    servers.wrap(this, gate, { command: text(serverCommand, 'serverCommand'), args }, { stopped: 'Server not started' });
  }

  get isRunning() {
    const { running, child } = this[SERVERS];
    return running && child;
  }

  async start() {
    try {
      await servers.start(this);
    } catch (error) {
      this.emit('server-error', error);
      throw error;
    }
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

module.exports = { McpProxy };
