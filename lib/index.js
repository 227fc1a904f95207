'use strict';

// Without the native half there is nothing, and that shows at once.
require('./native.js');

// Everything else is loaded when it is first asked for: a program that has a gate does not wait for the servers.
const lazily = (load) => {
  let loaded;
  return { get: () => (loaded ??= load()) };
};

const all = Object.defineProperties({}, {
  PayGateServer: lazily(() => require('./pay-gate-server.js').PayGateServer),
  Gate: lazily(() => require('./gate.js').Gate),
  McpProxy: lazily(() => require('./mcp-proxy.js').McpProxy),
  HttpMcpProxy: lazily(() => require('./http-mcp-proxy.js').HttpMcpProxy),
  MultiServerRouter: lazily(() => require('./multi-server-router.js').MultiServerRouter),
  KeyStore: lazily(() => require('./key-store.js').KeyStore),
  UsageMeter: lazily(() => require('./usage-meter.js').UsageMeter),
  RateLimiter: lazily(() => require('./rate-limiter.js').RateLimiter),
  StripeWebhookHandler: lazily(() => require('./stripe-webhook-handler.js').StripeWebhookHandler),
  WebhookEmitter: lazily(() => require('./webhook-emitter.js').WebhookEmitter),
  QuotaTracker: lazily(() => require('./quota-tracker.js').QuotaTracker),
  OAuthProvider: lazily(() => require('./oauth-provider.js').OAuthProvider),
  SessionManager: lazily(() => require('./session-manager.js').SessionManager),
  writeSseHeaders: lazily(() => require('./sse.js').writeSseHeaders),
  writeSseEvent: lazily(() => require('./sse.js').writeSseEvent),
  writeSseKeepAlive: lazily(() => require('./sse.js').writeSseKeepAlive),
  AuditLogger: lazily(() => require('./audit-logger.js').AuditLogger),
  maskKeyForAudit: lazily(() => require('./audit-logger.js').maskKeyForAudit),
  ToolRegistry: lazily(() => require('./tool-registry.js').ToolRegistry),
  MetricsCollector: lazily(() => require('./metrics-collector.js').MetricsCollector),
  getDashboardHtml: lazily(() => require('./dashboard.js').getDashboardHtml),
  AnalyticsEngine: lazily(() => require('./analytics-engine.js').AnalyticsEngine),
  AlertEngine: lazily(() => require('./alert-engine.js').AlertEngine),
  TeamManager: lazily(() => require('./team-manager.js').TeamManager),
  RedisClient: lazily(() => require('./redis-client.js').RedisClient),
  parseRedisUrl: lazily(() => require('./redis-url.js').parseRedisUrl),
  RedisSubscriber: lazily(() => require('./redis-subscriber.js').RedisSubscriber),
  RedisSync: lazily(() => require('./redis-sync.js').RedisSync),
  PayGateClient: lazily(() => require('./client.js').PayGateClient),
  PayGateError: lazily(() => require('./client.js').PayGateError),
  validateConfig: lazily(() => require('./config-validation.js').validateConfig),
  formatDiagnostics: lazily(() => require('./config-validation.js').formatDiagnostics),
  DEFAULT_CONFIG: lazily(() => require('./default-config.js').DEFAULT_CONFIG),
});

// Read-only accessors in this form, so that ES modules can import the names.
Object.defineProperty(exports, '__esModule', { value: true });
Object.defineProperty(exports, 'PayGateServer', { enumerable: true, get: function () { return all.PayGateServer; } });
Object.defineProperty(exports, 'Gate', { enumerable: true, get: function () { return all.Gate; } });
Object.defineProperty(exports, 'McpProxy', { enumerable: true, get: function () { return all.McpProxy; } });
Object.defineProperty(exports, 'HttpMcpProxy', { enumerable: true, get: function () { return all.HttpMcpProxy; } });
Object.defineProperty(exports, 'MultiServerRouter', { enumerable: true, get: function () { return all.MultiServerRouter; } });
Object.defineProperty(exports, 'KeyStore', { enumerable: true, get: function () { return all.KeyStore; } });
Object.defineProperty(exports, 'UsageMeter', { enumerable: true, get: function () { return all.UsageMeter; } });
Object.defineProperty(exports, 'RateLimiter', { enumerable: true, get: function () { return all.RateLimiter; } });
Object.defineProperty(exports, 'StripeWebhookHandler', { enumerable: true, get: function () { return all.StripeWebhookHandler; } });
Object.defineProperty(exports, 'WebhookEmitter', { enumerable: true, get: function () { return all.WebhookEmitter; } });
Object.defineProperty(exports, 'QuotaTracker', { enumerable: true, get: function () { return all.QuotaTracker; } });
Object.defineProperty(exports, 'OAuthProvider', { enumerable: true, get: function () { return all.OAuthProvider; } });
Object.defineProperty(exports, 'SessionManager', { enumerable: true, get: function () { return all.SessionManager; } });
Object.defineProperty(exports, 'writeSseHeaders', { enumerable: true, get: function () { return all.writeSseHeaders; } });
Object.defineProperty(exports, 'writeSseEvent', { enumerable: true, get: function () { return all.writeSseEvent; } });
Object.defineProperty(exports, 'writeSseKeepAlive', { enumerable: true, get: function () { return all.writeSseKeepAlive; } });
Object.defineProperty(exports, 'AuditLogger', { enumerable: true, get: function () { return all.AuditLogger; } });
Object.defineProperty(exports, 'maskKeyForAudit', { enumerable: true, get: function () { return all.maskKeyForAudit; } });
Object.defineProperty(exports, 'ToolRegistry', { enumerable: true, get: function () { return all.ToolRegistry; } });
Object.defineProperty(exports, 'MetricsCollector', { enumerable: true, get: function () { return all.MetricsCollector; } });
Object.defineProperty(exports, 'getDashboardHtml', { enumerable: true, get: function () { return all.getDashboardHtml; } });
Object.defineProperty(exports, 'AnalyticsEngine', { enumerable: true, get: function () { return all.AnalyticsEngine; } });
Object.defineProperty(exports, 'AlertEngine', { enumerable: true, get: function () { return all.AlertEngine; } });
Object.defineProperty(exports, 'TeamManager', { enumerable: true, get: function () { return all.TeamManager; } });
Object.defineProperty(exports, 'RedisClient', { enumerable: true, get: function () { return all.RedisClient; } });
Object.defineProperty(exports, 'parseRedisUrl', { enumerable: true, get: function () { return all.parseRedisUrl; } });
Object.defineProperty(exports, 'RedisSubscriber', { enumerable: true, get: function () { return all.RedisSubscriber; } });
Object.defineProperty(exports, 'RedisSync', { enumerable: true, get: function () { return all.RedisSync; } });
Object.defineProperty(exports, 'PayGateClient', { enumerable: true, get: function () { return all.PayGateClient; } });
Object.defineProperty(exports, 'PayGateError', { enumerable: true, get: function () { return all.PayGateError; } });
Object.defineProperty(exports, 'validateConfig', { enumerable: true, get: function () { return all.validateConfig; } });
Object.defineProperty(exports, 'formatDiagnostics', { enumerable: true, get: function () { return all.formatDiagnostics; } });
Object.defineProperty(exports, 'DEFAULT_CONFIG', { enumerable: true, get: function () { return all.DEFAULT_CONFIG; } });
