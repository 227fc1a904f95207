'use strict';

const { randomBytes } = require('node:crypto');
const { array, json, number, shown, text, texts, wrong } = require('./arguments.js');
const { native, shared, call, hold, release, unlisten, promised, FIRST } = require('./native.js');
const { alertEngineOf } = require('./alert-engine.js');
const { AnalyticsEngine } = require('./analytics-engine.js');
const { auditLoggerOf } = require('./audit-logger.js');
const { DEFAULT_CONFIG } = require('./default-config.js');
const { GATE, servedGate, reconfigureIfChanged } = require('./gate.js');
const { HttpMcpProxy } = require('./http-mcp-proxy.js');
const { PARTS } = require('./key-store.js');
const { McpProxy } = require('./mcp-proxy.js');
const { MultiServerRouter } = require('./multi-server-router.js');
const { OAUTH, OAuthProvider } = require('./oauth-provider.js');
const { metricsCollectorOf } = require('./metrics-collector.js');
const { RedisClient } = require('./redis-client.js');
const { RedisSync } = require('./redis-sync.js');
const { parseRedisUrl } = require('./redis-url.js');
const { answerHooks, watchHooks } = require('./server-hooks.js');
const { sessionsOf } = require('./server-sessions.js');
const { teamManagerOf } = require('./team-manager.js');
const { toolRegistryOf } = require('./tool-registry.js');
const wrapped = require('./wrapped-servers.js');

const ADMIN_KEY_BYTES = 16;
const DRAIN_TIME_MS = 30_000;
const PORT_MAX = 65_535;

/** How often the configuration is looked at for changes that its owner has made, while a server runs. */
const CONFIG_CHECK_MS = 200;

/** Own to the package: what a server is made of. */
const SERVER = Symbol('server');

class PayGateServer {
  constructor(config, adminKey, statePath, remoteUrl, stripeWebhookSecret, servers, redisUrl) {
    if (typeof config !== 'object' || config === null) throw wrong('config', 'an object', config);
    this.config = { ...DEFAULT_CONFIG, ...config };
    this.gate = servedGate(this.config, statePath);
    watchHooks(this.gate);
    const { handle: store, owner } = this.gate.store[PARTS];
    // Requests change keys and teams on other threads.
    owner.served = true;
    this.teams = teamManagerOf(store);
    const parts = { adminKey: adminKey ? text(adminKey, 'adminKey') : `admin_${randomBytes(ADMIN_KEY_BYTES).toString('hex')}` };
    this.oauth = this.config.oauth ? new OAuthProvider(this.config.oauth, oauthPath(statePath)) : null;
    const several = servers && servers.length > 0;
    this.router = several ? new MultiServerRouter(this.gate, servers) : null;
    this.proxy = several ? null : proxyOf(this.gate, this.config, remoteUrl);
    parts.wrapped = this.router ?? this.proxy;
    parts.handle = call(
      native.serverNew,
      this.gate[GATE].handle,
      given(this.config, parts.adminKey, stripeWebhookSecret),
      parts.wrapped[wrapped.SERVERS].handle,
      ...(this.oauth === null ? [] : [this.oauth[OAUTH].handle]),
    );
    parts.redisOptions = redisUrl ? parseRedisUrl(redisUrl) : null;
    this.redisSync = redisUrl ? new RedisSync(new RedisClient(parts.redisOptions), this.gate.store) : null;
    if (this.redisSync !== null) tellRedis(this.gate, this.redisSync);
    this.sessions = sessionsOf(parts.handle);
    this.audit = auditLoggerOf(call(native.serverAudit, parts.handle));
    this.metrics = metricsCollectorOf(call(native.serverMetrics, parts.handle));
    this.registry = toolRegistryOf(this.config, Boolean(this.config.oauth), new ServerTools(parts.handle));
    this.analytics = new AnalyticsEngine();
    Object.defineProperty(this, SERVER, { value: parts });
  }

  /** The engine of the present rules: other rules are another one. */
  get alerts() {
    const parts = this[SERVER];
    const handle = call(native.serverAlerts, parts.handle);
    const engine = shared[FIRST];
    if (parts.engine !== engine) {
      parts.engine = engine;
      parts.alerts = alertEngineOf(handle);
    }
    return parts.alerts;
  }

  async start() {
    const parts = this[SERVER];
    if (parts.running) throw new Error('the server has been started already');
    parts.running = true;
    try {
      return await start(this);
    } catch (error) {
      parts.running = false;
      throw error;
    }
  }

  async stop() {
    await stop(this, 0);
  }

  async gracefulStop(timeoutMs = DRAIN_TIME_MS) {
    const parts = this[SERVER];
    const limitMs = number(timeoutMs, 'timeoutMs');
    if (parts.draining) return;
    parts.draining = true;
    console.log(`[paygate] Draining — ${call(native.serverInFlight, parts.handle)} request(s) under way`);
    await stop(this, limitMs);
    console.log('[paygate] Drained — everything is stopped');
  }
}

/** The names of the tools that a server knows of. */
class ServerTools {
  constructor(handle) {
    this.handle = handle;
  }

  get() {
    return JSON.parse(call(native.serverTools, this.handle));
  }

  set(names) {
    call(native.serverSetTools, this.handle, json(texts(array(names, 'toolNames'), 'toolNames'), 'toolNames'));
  }
}

async function start(server) {
  const { gate, redisSync } = server;
  const parts = server[SERVER];
  const port = portOf(server.config);
  if (redisSync !== null) {
    await redisSync.init(parts.redisOptions);
    console.log('[paygate] Redis distributed state enabled');
  }
  const target = wrapped.hear(parts.wrapped);
  let answer;
  try {
    answer = await promised(native.serverStart, parts.handle, port, target);
  } catch (error) {
    unlisten(target);
    await redisSync?.destroy();
    throw error;
  }
  wrapped.started(parts.wrapped);
  hold();
  parts.unhook = answerHooks(gate);
  parts.watch = setInterval(() => reconfigureIfChanged(gate), CONFIG_CHECK_MS);
  parts.watch.unref?.();
  return { port: JSON.parse(answer).port, adminKey: parts.adminKey };
}

/** Stops a server; calls that take longer are given up. */
async function stop(server, limitMs) {
  const parts = server[SERVER];
  const { unhook } = parts;
  await promised(native.serverStop, parts.handle, limitMs);
  if (unhook !== undefined && parts.unhook === unhook) {
    parts.unhook = undefined;
    parts.running = false;
    clearInterval(parts.watch);
    unhook();
    wrapped.stopped(parts.wrapped);
    release();
  }
  server.gate.destroy();
  server.oauth?.destroy();
  server.audit.destroy();
  server.sessions.destroy();
  await server.redisSync?.destroy();
}

/** Has Redis hear of what the gate takes, as 2.9.0 does: by the gate's hooks. */
function tellRedis(gate, redisSync) {
  gate.onCreditsDeducted = (apiKey, amount) => {
    if (amount > 0) redisSync.atomicDeduct(apiKey, amount);
  };
  gate.onUsageEvent = (event) => {
    redisSync.recordUsage(event);
  };
}

/** The one server that is wrapped: a remote one, or a program. */
function proxyOf(gate, { serverCommand, serverArgs }, remoteUrl) {
  return remoteUrl ? new HttpMcpProxy(gate, remoteUrl) : new McpProxy(gate, serverCommand, serverArgs);
}

/** Where OAuth keeps its state: beside the keys. */
function oauthPath(statePath) {
  return statePath ? call(native.serverOAuthPath, text(statePath, 'statePath')) : undefined;
}

/** The configuration as native code takes it. */
function given({ name, freeMethods, alertRules }, adminKey, stripeSecret) {
  const settings = {
    name: text(name, 'config.name'),
    adminKey,
    freeMethods: texts(array(freeMethods, 'config.freeMethods'), 'config.freeMethods'),
    stripeSecret: stripeSecret ? text(stripeSecret, 'stripeWebhookSecret') : null,
    alertRules: array(alertRules ?? [], 'config.alertRules'),
  };
  return json(settings, 'config.alertRules');
}

/** The port to listen on, or a RangeError. */
function portOf({ port }) {
  if (Number.isInteger(port) && port >= 0 && port <= PORT_MAX) return port;
  throw new RangeError(`config.port must be a whole number from 0 to ${PORT_MAX}, but is ${shown(port)}`);
}

module.exports = { PayGateServer };
