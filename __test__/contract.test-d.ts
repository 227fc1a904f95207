// A user's view of the types. Compiled, never run: each line that must not compile says so.

import {
  DEFAULT_CONFIG,
  Gate,
  KeyStore,
  QuotaTracker,
  RateLimiter,
  TeamManager,
  UsageMeter,
  type ApiKeyRecord,
  type BatchGateResult,
  type BatchToolCall,
  type GateDecision,
  type JsonRpcError,
  type JsonRpcRequest,
  type JsonRpcResponse,
  type PayGateConfig,
  type QuotaConfig,
  type ServerBackendConfig,
  type TeamRecord,
  type TeamUsageSummary,
  type ToolCallParams,
  type ToolInfo,
  type ToolPricing,
  type UsageEvent,
  type UsageSummary,
} from 'paygate-mcp';

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

export type Others = [JsonRpcError, JsonRpcRequest, JsonRpcResponse, ServerBackendConfig, ToolInfo, ToolPricing, ToolCallParams, BatchToolCall];
