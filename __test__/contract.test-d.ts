// A user's view of the types. Compiled, never run: each line that must not compile says so.

import {
  AlertEngine,
  AnalyticsEngine,
  AuditLogger,
  DEFAULT_CONFIG,
  Gate,
  HttpMcpProxy,
  KeyStore,
  McpProxy,
  MetricsCollector,
  MultiServerRouter,
  OAuthProvider,
  QuotaTracker,
  RateLimiter,
  RedisClient,
  RedisSubscriber,
  RedisSync,
  TeamManager,
  ToolRegistry,
  UsageMeter,
  formatDiagnostics,
  maskKeyForAudit,
  parseRedisUrl,
  validateConfig,
  type ConfigDiagnostic,
  type ValidatableConfig,
  PayGateClient,
  PayGateError,
  SessionManager,
  getDashboardHtml,
  writeSseEvent,
  writeSseHeaders,
  writeSseKeepAlive,
  type Alert,
  type AlertEngineConfig,
  type AlertRule,
  type AlertType,
  type AnalyticsReport,
  type ApiKeyRecord,
  type AuditEvent,
  type AuditEventType,
  type AuditLogConfig,
  type AuditQuery,
  type AuditQueryResult,
  type BatchGateResult,
  type BatchToolCall,
  type BucketGranularity,
  type GateDecision,
  type JsonRpcError,
  type JsonRpcRequest,
  type JsonRpcResponse,
  type OAuthClientAuthMethod,
  type OAuthClientRecord,
  type OAuthConfig,
  type OAuthServerMetadata,
  type OAuthTokenRecord,
  type MessageHandler,
  type MetricLabels,
  type PayGateConfig,
  type PricingResponse,
  type PubSubEvent,
  type QuotaConfig,
  type RedisClientOptions,
  type ServerBackendConfig,
  type ServerPaymentMetadata,
  type TeamRecord,
  type TeamUsageSummary,
  type TimeBucket,
  type ToolBreakdown,
  type ToolCallParams,
  type ToolInfo,
  type ToolPricing,
  type ToolPricingInfo,
  type TopConsumer,
  type TrendComparison,
  type UsageEvent,
  type UsageSummary,
  type BalanceInfo,
  type CreditsNeededInfo,
  type McpSession,
  type PayGateClientConfig,
  type SessionManagerConfig,
  StripeWebhookHandler,
  WebhookEmitter,
  type DeadLetterEntry,
  type WebhookAdminEvent,
  type WebhookEvent,
} from 'paygate-mcp';
import { PayGateClient as SameClient, type ToolCallResult } from 'paygate-mcp/client';
import { createServer } from 'node:http';

/** Compiles only when both types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<_T extends true>(): void {}

const config: PayGateConfig = { ...DEFAULT_CONFIG, toolPricing: { search: { creditsPerCall: 5 } } };
const gate = new Gate(config, 'state.json');
new Gate(config);

same<Same<typeof gate.store, KeyStore>>();
same<Same<typeof gate.rateLimiter, RateLimiter>>();
same<Same<typeof gate.meter, UsageMeter>>();
same<Same<typeof gate.quotaTracker, QuotaTracker>>();
same<Same<typeof gate.refundOnFailure, boolean>>();

const decision = gate.evaluate('pg_key', { name: 'search', arguments: { q: 1 } }, '10.0.0.1');
same<Same<typeof decision, GateDecision>>();
same<Same<typeof decision.reason, string | undefined>>();
gate.evaluate(null, { name: 'search' });
// @ts-expect-error a key is text or null
gate.evaluate(5, { name: 'search' });
// @ts-expect-error a call has a name
gate.evaluate('pg_key', {});

const batch = gate.evaluateBatch('pg_key', [{ name: 'a' }, { name: 'b', arguments: {} }]);
same<Same<typeof batch, BatchGateResult>>();
same<Same<typeof batch.failedIndex, number>>();

gate.teamChecker = (apiKey: string, credits: number) => ({ allowed: credits < 5, reason: apiKey });
gate.teamChecker = () => ({ allowed: true });
gate.teamRecorder = (apiKey, credits) => {
  same<Same<typeof apiKey, string>>();
  same<Same<typeof credits, number>>();
};
gate.onUsageEvent = (event) => same<Same<typeof event, UsageEvent>>();
gate.onCreditsDeducted = () => {};
delete gate.onCreditsDeducted;
// @ts-expect-error a store is not replaced
gate.store = new KeyStore();

const tools = gate.filterToolsForKey('pg_key', [{ name: 'a', description: 'A' }]);
same<Same<typeof tools, { name: string; description: string }[] | null>>();
same<Same<ReturnType<typeof gate.isFreeMethod>, boolean>>();
same<Same<ReturnType<typeof gate.getToolPrice>, number>>();
same<Same<ReturnType<typeof gate.refund>, void>>();
const status = gate.getStatus('acme');
same<Same<typeof status.usage, UsageSummary>>();
same<Same<typeof status.filteredNamespace, string | undefined>>();
// @ts-expect-error lists never show the key
status.keys[0]?.key;

const proxy = new McpProxy(gate, 'node', ['server.js']);
const remote = new HttpMcpProxy(gate, 'http://localhost/mcp');
const router = new MultiServerRouter(gate, [{ prefix: 'a', serverCommand: 'x' }, { prefix: 'b', remoteUrl: 'http://h' }]);
for (const front of [proxy, remote, router]) {
  same<Same<ReturnType<typeof front.handleRequest>, Promise<JsonRpcResponse>>>();
  front.handleBatchRequest([{ name: 'a' }], undefined, null, '10.0.0.1').then((answer) => answer.error?.code);
  front.on('tool-call', () => {}).once('batch-call', () => {});
  same<Same<typeof front.isRunning, boolean>>();
}
proxy.forwardUngated({ jsonrpc: '2.0', id: 'x', method: 'ping' });
same<Same<ReturnType<typeof remote.stop>, Promise<void>>>();
same<Same<typeof MultiServerRouter.SEPARATOR, ':'>>();
same<Same<typeof router.prefixes, string[]>>();
// @ts-expect-error a router has no way past the gate
router.forwardUngated({ jsonrpc: '2.0', method: 'ping' });
// @ts-expect-error a server has a prefix
new MultiServerRouter(gate, [{ serverCommand: 'x' }]);

const store = new KeyStore();
const record = store.createKey('name', 5, { tags: { env: 'prod' }, expiresAt: null, allowedTools: ['a'] });
same<Same<typeof record, ApiKeyRecord>>();
record.spendingLimit = 5;
record.allowedTools.push('b');
delete record.quota;
same<Same<ReturnType<typeof store.getKey>, ApiKeyRecord | null>>();
same<Same<ReturnType<typeof store.rotateKey>, ApiKeyRecord | null>>();
store.setTags('k', { gone: null, kept: 'x' });
store.setQuota('k', null);
// @ts-expect-error a quota has four limits
store.setQuota('k', { dailyCallLimit: 1 });
for (const row of store.listKeys()) same<Same<typeof row.keyPrefix, string>>();
for (const [key, live] of store.keys) {
  same<Same<typeof key, string>>();
  same<Same<typeof live, ApiKeyRecord>>();
}
same<Same<typeof store.activeKeyCount, number>>();

const checked = new RateLimiter(5).checkCustom('k', 3);
same<Same<typeof checked.resetInMs, number>>();
const quota: QuotaConfig = { dailyCallLimit: 1, monthlyCallLimit: 0, dailyCreditLimit: 0, monthlyCreditLimit: 0 };
const verdict = new QuotaTracker().checkBatch(record, 3, 9, quota);
same<Same<typeof verdict.reason, string | undefined>>();

const meter = new UsageMeter(10);
meter.record({ timestamp: '', apiKey: '', keyName: '', tool: '', creditsCharged: 1, allowed: true });
same<Same<ReturnType<typeof meter.getEvents>, UsageEvent[]>>();

const teams = new TeamManager();
const team = teams.createTeam({ name: 'T', budget: 5, quota });
same<Same<typeof team, TeamRecord>>();
teams.updateTeam(team.id, { quota: null, tags: { x: null } });
const summary = teams.getUsageSummary(team.id, (key) => store.getKey(key));
same<Same<typeof summary, TeamUsageSummary | null>>();
teams.fromJSON(teams.toJSON());

const report = new AnalyticsEngine().report(meter.getEvents(), { from: '2026-01-01', granularity: 'daily', topN: 5 });
same<Same<typeof report, AnalyticsReport>>();
same<Same<typeof report.granularity, BucketGranularity>>();
same<Same<typeof report.timeSeries, TimeBucket[]>>();
same<Same<typeof report.tools, ToolBreakdown[]>>();
same<Same<typeof report.topConsumers, TopConsumer[]>>();
same<Same<typeof report.trend, TrendComparison>>();
same<Same<typeof report.trend.change.calls, number | null>>();
new AnalyticsEngine().report([]);
// @ts-expect-error hours or days
new AnalyticsEngine().report([], { granularity: 'weekly' });

const rules: AlertRule[] = [{ type: 'credits_low', threshold: 5 }, { type: 'rate_limit_spike', threshold: 3, cooldownSeconds: 60 }];
const alertConfig: AlertEngineConfig = { rules, dryRun: true };
const alerts = new AlertEngine(alertConfig);
new AlertEngine();
alerts.recordRateLimitDenial('pg_key');
same<Same<ReturnType<typeof alerts.check>, Alert[]>>();
alerts.check('pg_key', record, { rateLimitDenied: true });
same<Same<ReturnType<typeof alerts.consumeAlerts>, Alert[]>>();
same<Same<Alert['type'], AlertType>>();
same<Same<typeof alerts.configuredRules, AlertRule[]>>();
same<Same<typeof alerts.pendingCount, number>>();
// @ts-expect-error there is no such type
rules.push({ type: 'nope', threshold: 1 });

const auditConfig: Partial<AuditLogConfig> = { maxEvents: 5 };
const audit = new AuditLogger(auditConfig);
new AuditLogger();
same<Same<ReturnType<typeof audit.log>, AuditEvent>>();
audit.log('key.created', 'admin', 'Key created: x', { name: 'x' });
const auditQuery: AuditQuery = { types: ['gate.deny'], since: '2026-01-01', limit: 10 };
same<Same<ReturnType<typeof audit.query>, AuditQueryResult>>();
audit.exportCsv(auditQuery).trim();
same<Same<AuditEvent['type'], AuditEventType>>();
same<Same<ReturnType<typeof audit.stats>['oldestEvent'], string | null>>();
same<Same<ReturnType<typeof maskKeyForAudit>, string>>();
// @ts-expect-error there is no such type
audit.log('key.painted', 'admin', 'm');

const metrics = new MetricsCollector();
const labels: MetricLabels = { queue: 'a' };
metrics.registerGauge('depth', 'Queue depth', () => 1);
metrics.increment('jobs_total', labels, 2);
same<Same<ReturnType<typeof metrics.getGauge>, number>>();
same<Same<ReturnType<typeof metrics.serialize>, string>>();
// @ts-expect-error values of labels are texts
metrics.increment('jobs_total', { code: 5 });

const registry = new ToolRegistry(config, false);
registry.setDiscoveredTools(['search']);
same<Same<ReturnType<typeof registry.getServerMetadata>, ServerPaymentMetadata>>();
same<Same<ReturnType<typeof registry.getToolPricing>, ToolPricingInfo>>();
same<Same<ReturnType<typeof registry.getFullPricing>, PricingResponse>>();
const [listed] = registry.injectPricingIntoToolsList([{ name: 'a', title: 'A' }]);
same<Same<NonNullable<typeof listed>['_pricing'], ToolPricingInfo>>();
same<Same<NonNullable<typeof listed>['title'], string>>();
same<Same<ReturnType<typeof registry.buildPaymentRequired>['pricing'], ToolPricingInfo>>();

const sessions = new SessionManager({ maxSessions: 5 });
same<Same<ReturnType<typeof sessions.getSession>, McpSession | null>>();
same<Same<SessionManagerConfig['sessionTimeoutMs'], number>>();
createServer((_request, response) => {
  writeSseHeaders(response, { 'Mcp-Session-Id': sessions.createSession(null) });
  writeSseEvent(response, { a: 1 }, 'message');
  writeSseKeepAlive(response);
  sessions.addSseConnection('mcp_sess_', response);
});
same<Same<ReturnType<typeof getDashboardHtml>, string>>();

const oauthConfig: Partial<OAuthConfig> = { accessTokenTtl: 60, rotateRefreshTokens: true };
const oauth = new OAuthProvider(oauthConfig, 'oauth.json');
const registered = oauth.registerClient({ clientName: 'App', redirectUris: ['http://localhost/cb'] });
same<Same<typeof registered.clientSecret, string | null>>();
same<Same<ReturnType<typeof oauth.getClient>, OAuthClientRecord | null>>();
same<Same<ReturnType<typeof oauth.validateToken>, { apiKey: string; scope: string; clientId: string } | null>>();
same<Same<ReturnType<typeof oauth.getMetadata>, OAuthServerMetadata>>();
same<Same<ReturnType<typeof oauth.refreshAccessToken>['refreshToken'], string | undefined>>();
same<Same<OAuthTokenRecord['tokenType'], 'access' | 'refresh'>>();
same<Same<OAuthClientAuthMethod, NonNullable<OAuthClientRecord['tokenEndpointAuthMethod']>>>();
same<Same<typeof oauth.tokenCount, number>>();
// @ts-expect-error a list says how a secret begins, and no more
oauth.listClients()[0]?.clientSecret;
// @ts-expect-error a challenge is needed
oauth.createAuthCode({ clientId: 'pg_client_1', redirectUri: 'http://localhost/cb' });

const clientConfig: PayGateClientConfig = { url: 'http://localhost:3402', apiKey: 'pg_key', timeout: 5000 };
const client = new PayGateClient({
  ...clientConfig,
  autoRetry: true,
  onCreditsNeeded: async (info) => {
    same<Same<typeof info, CreditsNeededInfo>>();
    return true;
  },
});
same<Same<typeof PayGateClient, typeof SameClient>>();
same<Same<Awaited<ReturnType<typeof client.callTool>>, ToolCallResult>>();
same<Same<Awaited<ReturnType<typeof client.getBalance>>, BalanceInfo>>();
same<Same<typeof client.lastKnownBalance, number | null>>();
void client.callTool('search', { q: 1 }, { signal: AbortSignal.timeout(5) });
same<Same<PayGateError['data'], unknown>>();
// @ts-expect-error a key is needed
new PayGateClient({ url: 'http://localhost:3402' });

const findings = validateConfig({ serverCommand: 'node', servers: [{}], toolPricing: { search: {} }, port: 3402 });
same<Same<typeof findings, ConfigDiagnostic[]>>();
same<Same<ConfigDiagnostic['level'], 'error' | 'warning'>>();
same<Same<ReturnType<typeof formatDiagnostics>, string>>();
formatDiagnostics(validateConfig({ ...DEFAULT_CONFIG, serverCommand: 'node' } satisfies ValidatableConfig & PayGateConfig));
// @ts-expect-error a port is a number
validateConfig({ port: '3402' });

const webhook = new WebhookEmitter('https://example.com/hook', { secret: null, batchSize: 3, maxRetries: 0 });
same<Same<typeof gate.webhook, WebhookEmitter | null>>();
same<Same<typeof webhook.maxRetries, number>>();
same<Same<ReturnType<typeof webhook.getDeadLetters>, DeadLetterEntry[]>>();
same<Same<DeadLetterEntry['events'][number], WebhookEvent>>();
same<Same<WebhookEvent, UsageEvent | WebhookAdminEvent>>();
const eventTypes: WebhookAdminEvent['type'][] = ['key.expired', 'team.created', 'oauth.token_issued'];
void eventTypes;
const parked: AuditEventType = 'billing.payment_parked';
void parked;
same<Same<ReturnType<typeof webhook.getRetryStats>['pendingRetries'], number>>();
webhook.emit({ timestamp: '', apiKey: '', keyName: '', tool: '', creditsCharged: 1, allowed: true });
webhook.emitAdmin('key.created', 'admin', { a: 1 });
// @ts-expect-error there is no such event
webhook.emitAdmin('key.forgotten', 'admin');
same<Same<ReturnType<typeof WebhookEmitter.verify>, boolean>>();

const handled = new StripeWebhookHandler(store, 'whsec', 300).handleWebhook('{}', 't=1,v1=0');
same<Same<typeof handled.creditsAdded, number | undefined>>();
same<Same<typeof handled.parked, boolean | undefined>>();
// @ts-expect-error a secret is needed
new StripeWebhookHandler(store);

const where: RedisClientOptions = { ...parseRedisUrl('rediss://h'), connectTimeout: 100, tls: true };
const redis = new RedisClient(where);
same<Same<ReturnType<typeof redis.hgetall>, Promise<Record<string, string>>>>();
same<Same<ReturnType<typeof redis.scan>, Promise<[string, string[]]>>>();
same<Same<typeof redis.isConnected, boolean>>();
const hearMessage: MessageHandler = (channel, message) => `${channel} ${message}`;
void new RedisSubscriber({ host: 'h', port: 6379 }).subscribe('c', hearMessage);
const sync = new RedisSync(redis, store, 1000);
sync.onPubSubEvent = (event) => same<Same<typeof event, PubSubEvent>>();
same<Same<ReturnType<typeof sync.atomicDeduct>, Promise<boolean>>>();
void sync.publishEvent({ type: 'credits_changed', key: 'k', data: { credits: 1 } });
// @ts-expect-error who says so is added
void sync.publishEvent({ type: 'key_updated', key: 'k', instanceId: 'x' });
// @ts-expect-error there is no such message
void sync.publishEvent({ type: 'key_forgotten', key: 'k' });

export type Others = [JsonRpcError, JsonRpcRequest, JsonRpcResponse, ServerBackendConfig, ToolInfo, ToolPricing, ToolCallParams, BatchToolCall];
