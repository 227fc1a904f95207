'use strict';

const { EventEmitter } = require('node:events');
const { list, members, text, texts } = require('./arguments.js');
const servers = require('./wrapped-servers.js');

const { SERVERS } = servers;

const SEPARATOR = ':';

class MultiServerRouter extends EventEmitter {
  static get SEPARATOR() {
    return SEPARATOR;
  }

  constructor(gate, configs) {
    super();
    const entries = list(configs, 'configs').map(entryOf);
    const manner = { stopped: 'Router not started', routes: true, holds: entries.some(({ command }) => command !== undefined) };
    servers.wrap(this, gate, { servers: entries }, manner);
    this[SERVERS].prefixes = entries.map(({ prefix }) => prefix);
  }

  get isRunning() {
    return this[SERVERS].running;
  }

  get prefixes() {
    return [...this[SERVERS].prefixes];
  }

  get backendCount() {
    return this[SERVERS].prefixes.length;
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
}

/** One of the servers; what JavaScript takes for false is absent. */
function entryOf(config, index) {
  const name = `configs[${index}]`;
  const { prefix, serverCommand, serverArgs, remoteUrl } = members(config, name);
  const given = (value, field) => (value ? text(value, `${name}.${field}`) : undefined);
  return {
    prefix: prefix === undefined || prefix === null ? undefined : text(prefix, `${name}.prefix`),
    command: given(serverCommand, 'serverCommand'),
    args: texts(list(serverArgs ?? [], `${name}.serverArgs`), `${name}.serverArgs`),
    url: given(remoteUrl, 'remoteUrl'),
  };
}

module.exports = { MultiServerRouter };
