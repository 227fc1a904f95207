/**
 * A gate in front of an MCP server: who calls, what a call costs, whether they can pay.
 *
 * A credit is a whole number from 0 to 2^53 − 1. Numbers that cannot be one (NaN, the infinities, numbers past the
 * bound) throw a `RangeError` that names the argument, and nothing is changed. All methods are synchronous.
 */

// ── JSON-RPC and MCP ─────────────────────────────────────────────────────────

export interface JsonRpcRequest {
  jsonrpc: '2.0';
  id?: string | number;
  method: string;
  params?: Record<string, unknown>;
}

export interface JsonRpcError {
  code: number;
  message: string;
  data?: unknown;
}

export interface JsonRpcResponse {
  jsonrpc: '2.0';
  id?: string | number;
  result?: unknown;
  error?: JsonRpcError;
}

/** One call of a tool. */
export interface ToolCallParams {
  /** The tool's exact name, at most 256 bytes. */
  name: string;
  arguments?: Record<string, unknown>;
}

/** One call of a batch. */
export interface BatchToolCall {
  /** The tool's exact name, at most 256 bytes and not empty. */
  name: string;
  arguments?: Record<string, unknown>;
}

/** A tool as a server lists it. */
export interface ToolInfo {
  name: string;
  description?: string;
  inputSchema?: Record<string, unknown>;
}

// ── Configuration ────────────────────────────────────────────────────────────

/** What one tool costs and how often it may be called. */
export interface ToolPricing {
  /** Credits for one call. */
  creditsPerCall: number;
  /** Calls in any 60 seconds, for each key, beside the global limit. Absent, 0 or below is no limit of its own. */
  rateLimitPerMin?: number;
  /** Credits for each KiB of arguments as compact JSON, rounded up for the call. Absent or 0 is no surcharge. */
  creditsPerKbInput?: number;
}

/** What a key or team may use in a UTC day and month. A limit of 0 or below is off. */
export interface QuotaConfig {
  dailyCallLimit: number;
  monthlyCallLimit: number;
  dailyCreditLimit: number;
  monthlyCreditLimit: number;
}

/** One wrapped server of several. */
export interface ServerBackendConfig {
  prefix: string;
  serverCommand?: string;
  serverArgs?: string[];
  remoteUrl?: string;
}

/**
 * What a gate goes by. The object is kept, not copied: `shadowMode`, `toolPricing`, `defaultCreditsPerCall`,
 * `freeMethods`, `globalQuota`, `refundOnFailure`, `maxBatchCalls` and `name` are read at each call.
 */
export interface PayGateConfig {
  /** The name that is shown. Default `'PayGate MCP Server'`. */
  name: string;
  /** The program of the wrapped server. */
  serverCommand: string;
  serverArgs: string[];
  /** The HTTP port. Default 3402. */
  port: number;
  /** Credits for a call of a tool without a price of its own. Default 1. */
  defaultCreditsPerCall: number;
  /** Prices by exact tool name. */
  toolPricing: Record<string, ToolPricing>;
  /** Calls in any 60 seconds, for each key. 0 or below is no limit. Default 60. Read when the gate is made. */
  globalRateLimitPerMin: number;
  /** JSON-RPC methods that need no key. */
  freeMethods: string[];
  /** Note refusals, but let calls through unpaid. Default false. */
  shadowMode: boolean;
  /** Where events are sent; null for nowhere. */
  webhookUrl: string | null;
  webhookSecret: string | null;
  /** Default 5. */
  webhookMaxRetries?: number;
  /** Give credits back for calls that failed. Default false. */
  refundOnFailure: boolean;
  /** Give credits back for results with `isError: true`. Default false. */
  refundOnToolError?: boolean;
  /** The quota of keys that have none of their own. */
  globalQuota?: QuotaConfig;
  /** Most calls of a batch. Default 1000. */
  maxBatchCalls?: number;
  /** Whether a batch counts once in the key's rate window (the default) or each of its calls. */
  batchRateLimit?: 'per-batch' | 'per-call';
  oauth?: { issuer?: string; accessTokenTtl?: number; refreshTokenTtl?: number; scopes?: string[] };
  alertRules?: Array<{
    type: 'spending_threshold' | 'credits_low' | 'quota_warning' | 'key_expiry_soon' | 'rate_limit_spike';
    threshold: number;
    cooldownSeconds?: number;
  }>;
}

/** The defaults of all fields that have one. An ordinary object: spread it under your own. */
export const DEFAULT_CONFIG: PayGateConfig;

// ── Keys ─────────────────────────────────────────────────────────────────────

/**
 * Everything about one key. What a store hands out is live: it shows every later change, and what is assigned to it
 * counts at once. Numbers of credits are floored when they are assigned; what cannot be one throws a `RangeError`.
 */
export interface ApiKeyRecord {
  /** The secret itself. */
  key: string;
  name: string;
  /** The balance. */
  credits: number;
  /** Credits spent in all. */
  totalSpent: number;
  /** Successful deductions; a batch counts once. */
  totalCalls: number;
  /** ISO 8601, UTC. */
  createdAt: string;
  lastUsedAt: string | null;
  /** False once revoked or rotated away. */
  active: boolean;
  /** Most credits that may ever be spent; 0 or below is no limit. */
  spendingLimit: number;
  /** If not empty, only these tools. */
  allowedTools: string[];
  /** Never these tools. */
  deniedTools: string[];
  /** When the key ends; null for never. */
  expiresAt: string | null;
  /** The key's own quota, in place of the global one. The object that was given, not a copy. */
  quota?: QuotaConfig;
  tags: Record<string, string>;
  /** Addresses and CIDR ranges the key may be used from; empty is any. */
  ipAllowlist: string[];
  /** The tenant. */
  namespace: string;
  quotaDailyCalls: number;
  quotaMonthlyCalls: number;
  quotaDailyCredits: number;
  quotaMonthlyCredits: number;
  /** The UTC day the daily counters stand for, `YYYY-MM-DD`. */
  quotaLastResetDay: string;
  /** The UTC month the monthly counters stand for, `YYYY-MM`. */
  quotaLastResetMonth: string;
}

/** A record as it is listed: without the key. */
type MaskedRecord = Omit<ApiKeyRecord, 'key'> & {
  /** The first ten characters of the key, and `...`. */
  keyPrefix: string;
  expired: boolean;
};

/** What may be set when a key is made. Lists, tags and the namespace are cleaned. */
interface KeyOptions {
  allowedTools?: string[];
  deniedTools?: string[];
  /** Date text as `Date.parse` reads it; what is no date never comes. */
  expiresAt?: string | null;
  quota?: QuotaConfig;
  tags?: Record<string, string>;
  ipAllowlist?: string[];
  namespace?: string;
}

/** Sums over the keys of one tenant. */
interface NamespaceTotals {
  namespace: string;
  keyCount: number;
  activeKeys: number;
  totalCredits: number;
  totalSpent: number;
}

/** The records of a store by key, in the order in which the keys came. */
interface KeyMap extends Iterable<[string, ApiKeyRecord]> {
  readonly size: number;
  has(key: string): boolean;
  get(key: string): ApiKeyRecord | undefined;
  keys(): IterableIterator<string>;
  values(): IterableIterator<ApiKeyRecord>;
  entries(): IterableIterator<[string, ApiKeyRecord]>;
  forEach(visit: (record: ApiKeyRecord, key: string, keys: KeyMap) => void, receiver?: unknown): void;
}

/** Keeps keys and their credits. */
export class KeyStore {
  /**
   * With a path, the books are read from that file and kept in it, and in a database beside it (`<path>.db`): a
   * change is there before the method returns. A file that cannot be read is moved aside, and told on stderr.
   */
  constructor(statePath?: string);

  /** The state file as it was given, or null. */
  readonly statePath: string | null;
  /** All records, live, revoked and expired ones included. */
  readonly keys: KeyMap;

  /** Makes a key: `pg_` and 48 random hexadecimal digits. Throws a `RangeError` for credits that are none. */
  createKey(name: string, initialCredits: number, options?: KeyOptions | null): ApiKeyRecord;
  /** Makes a key of a given text; one that is known starts over. Throws a `RangeError` for credits that are none. */
  importKey(key: string, name: string, credits: number, options?: KeyOptions | null): ApiKeyRecord;
  /** The record of a key that may be used; null when it is unknown, revoked or expired. */
  getKey(key: string): ApiKeyRecord | null;
  /** The record of a known key. */
  getKeyRaw(key: string): ApiKeyRecord | null;
  /** Whether a known key has passed its end, revoked or not. */
  isExpired(key: string): boolean;
  /** Whether a key may be used and has so many credits. */
  hasCredits(key: string, amount: number): boolean;
  /**
   * Takes credits from a key that may be used; false when it may not or has too few. Throws a `RangeError` unless the
   * amount is a whole number of at least 0.
   */
  deductCredits(key: string, amount: number): boolean;
  /** Adds credits, rounded down; false when that is nothing or the key may not be used. Throws a `RangeError` past the bound. */
  addCredits(key: string, amount: number): boolean;
  /** Replaces lists of tools; one that is undefined stays. False when the key may not be used. */
  setAcl(key: string, allowedTools?: string[], deniedTools?: string[]): boolean;
  /** Gives a key a quota, the object itself, or takes it away. False when the key may not be used. */
  setQuota(key: string, quota: QuotaConfig | null): boolean;
  /** Sets or removes the end of a known key; this revives an expired one. */
  setExpiry(key: string, expiresAt: string | null): boolean;
  /** Merges tags into a key's: null deletes. At most 50 are kept. False when the key may not be used. */
  setTags(key: string, tags: Record<string, string | null>): boolean;
  /** Replaces the addresses a key may be used from. False when the key may not be used. */
  setIpAllowlist(key: string, ips: string[]): boolean;
  /** Whether a key may be used from an address. */
  checkIp(key: string, ip: string): boolean;
  /** Revokes a known key. */
  revokeKey(key: string): boolean;
  /**
   * Replaces an active key by a new random one, which takes over balance, rights, rate window and team. The old
   * record stays, inactive. Null when there is no such key.
   */
  rotateKey(oldKey: string): ApiKeyRecord | null;
  /** All records, or those of one tenant: fresh objects, whose lists, tags and quotas are the records' own. */
  listKeys(namespace?: string): MaskedRecord[];
  /** Records that have all these tags, exactly. */
  listKeysByTag(tags: Record<string, string>, namespace?: string): MaskedRecord[];
  /** Sums by tenant, in order of first appearance. */
  listNamespaces(): NamespaceTotals[];
  /** Keys that are not revoked, expired ones included. */
  get activeKeyCount(): number;
  /** Writes the state file, edits of live records included. What fails is told on stderr. */
  save(): void;
}

// ── Limits ───────────────────────────────────────────────────────────────────

interface RateLimitResult {
  allowed: boolean;
  reason?: string;
  /** Calls left after this one; infinite without a limit. */
  remaining: number;
  /** Milliseconds until the window moves on. */
  resetInMs: number;
}

/** Counts calls by name in rolling windows of 60 seconds. A call counts until it is exactly that old. */
export class RateLimiter {
  /** 0 or below is no limit. */
  constructor(maxCallsPerMin: number);
  /** Whether one more call is within the limit. Counts nothing. */
  check(key: string): RateLimitResult;
  /** Counts a call, unless there is no limit. */
  record(key: string): void;
  /** As `check`, with a limit of its own on the same window. */
  checkCustom(key: string, maxCalls: number): RateLimitResult;
  /** Counts a call, whatever the limit. */
  recordCustom(key: string): void;
  /** Calls in the window. */
  getCurrentCount(key: string): number;
  /** Stops the timer that forgets old windows; everything else goes on. */
  destroy(): void;
}

interface QuotaCheckResult {
  allowed: boolean;
  reason?: string;
}

/** Judges and counts quotas on a record, live or plain: any object with the six fields `quota…`. */
export class QuotaTracker {
  /** Starts counters over that stand for another UTC day or month; tells whether any did. */
  resetIfNeeded(record: ApiKeyRecord): boolean;
  /** Whether one more call of so many credits fits. The record's own quota stands in for the global one as a whole. */
  check(record: ApiKeyRecord, creditsRequired: number, globalQuota?: QuotaConfig): QuotaCheckResult;
  /** As `check`, for several calls at once. */
  checkBatch(
    record: ApiKeyRecord,
    callCount: number,
    totalCreditsRequired: number,
    globalQuota?: QuotaConfig,
  ): QuotaCheckResult;
  /** Counts one call. */
  record(record: ApiKeyRecord, creditsCharged: number): void;
  /** Counts several calls. */
  recordBatch(record: ApiKeyRecord, callCount: number, totalCreditsCharged: number): void;
  /** Takes one call and its credits back; no counter goes below 0. */
  unrecord(record: ApiKeyRecord, creditsCharged: number): void;
}

// ── Events ───────────────────────────────────────────────────────────────────

/** One decision or refund. */
export interface UsageEvent {
  /** ISO 8601, UTC. */
  timestamp: string;
  /** At most the first ten characters of the key; `none` without one. */
  apiKey: string;
  keyName: string;
  tool: string;
  /** Credits taken; negative for a refund. */
  creditsCharged: number;
  allowed: boolean;
  /** Why not, or `refund`. */
  denyReason?: string;
  durationMs?: number;
  namespace?: string;
}

/** Sums over events. */
export interface UsageSummary {
  totalCalls: number;
  totalCreditsSpent: number;
  totalDenied: number;
  perTool: Record<string, { calls: number; credits: number; denied: number }>;
  perKey: Record<string, { calls: number; credits: number; denied: number }>;
  denyReasons: Record<string, number>;
}

/** Keeps the latest events. */
export class UsageMeter {
  /** When one more than `maxEvents` (default 100,000) comes, the oldest quarter goes. */
  constructor(maxEvents?: number);
  /** Keeps an event: the object itself. Sums go by what it says now. */
  record(event: UsageEvent): void;
  /** Events from a timestamp on and of a tenant, oldest first: the same objects each time. */
  getEvents(since?: string, namespace?: string): UsageEvent[];
  /** Sums over those events. */
  getSummary(since?: string, namespace?: string): UsageSummary;
  /** Forgets all events. */
  clear(): void;
  get eventCount(): number;
}

// ── Decisions ────────────────────────────────────────────────────────────────

/** The answer to one call. */
export interface GateDecision {
  allowed: boolean;
  /** Why not; with `shadow:` before it when the call was let through all the same. */
  reason?: string;
  creditsCharged: number;
  /** The balance afterwards; 0 when the key is not known. */
  remainingCredits: number;
}

/** The answer to a batch: all calls are allowed and paid for, or none is. */
export interface BatchGateResult {
  allAllowed: boolean;
  totalCredits: number;
  /** In the order of the calls. */
  decisions: GateDecision[];
  remainingCredits: number;
  reason?: string;
  /** The call that was refused, 0 for the batch as a whole, −1 for none. */
  failedIndex: number;
}

type Verdict = { allowed: boolean; reason?: string };

/** Decides who may call what, and takes the price. */
export class Gate {
  /** Throws a `RangeError` that names the field when a price is no whole number of credits. */
  constructor(config: PayGateConfig, statePath?: string);

  readonly config: PayGateConfig;
  readonly store: KeyStore;
  /** The windows of the store's keys. A tool's own window is named `<key>:tool:<name>`. */
  readonly rateLimiter: RateLimiter;
  readonly meter: UsageMeter;
  readonly quotaTracker: QuotaTracker;
  /** Null: events are not sent anywhere. */
  readonly webhook: null;

  /** Asked when everything else allows a call or a batch; what it throws surfaces, and nothing was taken. */
  teamChecker?: (apiKey: string, credits: number) => Verdict;
  /** Told of credits that were taken, for the team's sums. */
  teamRecorder?: (apiKey: string, credits: number) => void;
  /** Told of each event: the object that the meter shows. */
  onUsageEvent?: (event: UsageEvent) => void;
  /** Told of credits that were taken. */
  onCreditsDeducted?: (apiKey: string, amount: number) => void;

  /**
   * Decides one call and takes its price. A refusal is an answer, not an error. Without an address no allowlist is
   * asked. Throws a `TypeError` for a key that is no text, and when the size of the arguments counts and they cannot
   * be printed as JSON; nothing was taken then.
   */
  evaluate(apiKey: string | null, toolCall: ToolCallParams, clientIp?: string): GateDecision;
  /**
   * Decides a batch as one. Throws a `TypeError` that names an entry without a name, and a `RangeError` for more
   * than `maxBatchCalls` entries.
   */
  evaluateBatch(apiKey: string | null, calls: BatchToolCall[], clientIp?: string): BatchGateResult;
  /** The tools of a list that a key may call; null when the list stays as it is. */
  filterToolsForKey<Tool extends { name: string; [member: string]: unknown }>(
    apiKey: string | null,
    tools: Tool[],
  ): Tool[] | null;
  /** Whether a JSON-RPC method needs no key. */
  isFreeMethod(method: string): boolean;
  /** The price of a call, in credits. */
  getToolPrice(toolName: string, args?: Record<string, unknown>): number;
  /** What there is to know; keys and sums of one tenant, if asked for. */
  getStatus(namespace?: string): {
    name: string;
    shadowMode: boolean;
    activeKeys: number;
    keys: MaskedRecord[];
    usage: UsageSummary;
    eventCount: number;
    namespaces: NamespaceTotals[];
    filteredNamespace?: string;
    config: {
      defaultCreditsPerCall: number;
      globalRateLimitPerMin: number;
      toolPricing: Record<string, ToolPricing>;
      refundOnFailure: boolean;
      webhookUrl: string | null;
    };
  };
  /**
   * Gives credits back, also to a key that was revoked or has expired, and to the successor of a rotated one. Throws
   * a `RangeError` unless the credits are a whole number of at least 1.
   */
  refund(apiKey: string, toolName: string, credits: number): void;
  get refundOnFailure(): boolean;
  /** Stops timers; everything else goes on. */
  destroy(): void;
}

// ── Teams ────────────────────────────────────────────────────────────────────

/** Keys that share a budget and a quota. What a manager hands out is live. */
export interface TeamRecord {
  id: string;
  name: string;
  description: string;
  /** Full keys, at most 100. */
  memberKeys: string[];
  /** Credits the members may spend in all; 0 is no limit. */
  budget: number;
  totalSpent: number;
  quota?: QuotaConfig;
  /** A batch counts as one call. */
  quotaDailyCalls: number;
  quotaMonthlyCalls: number;
  quotaDailyCredits: number;
  quotaMonthlyCredits: number;
  quotaLastResetDay: string;
  quotaLastResetMonth: string;
  tags: Record<string, string>;
  createdAt: string;
  /** False once deleted. */
  active: boolean;
}

/** What a team has spent, and its members. */
export interface TeamUsageSummary {
  teamId: string;
  teamName: string;
  memberCount: number;
  totalBudget: number;
  totalSpent: number;
  /** 0 also when there is no budget. */
  remainingBudget: number;
  members: Array<{ keyMasked: string; name: string; credits: number; totalSpent: number; totalCalls: number }>;
}

/** Keeps teams in memory; `toJSON` and `fromJSON` are for whoever keeps them longer. */
export class TeamManager {
  /** Makes a team with a random id. */
  createTeam(params: {
    name: string;
    description?: string;
    budget?: number;
    quota?: QuotaConfig;
    tags?: Record<string, string>;
  }): TeamRecord;
  /** A team, deleted ones included. */
  getTeam(teamId: string): TeamRecord | null;
  /** The teams that are not deleted, in the order in which they were made. */
  listTeams(): TeamRecord[];
  /** Changes what is given; a quota of null is taken away, a tag of null deleted. False for an unknown or deleted team. */
  updateTeam(
    teamId: string,
    updates: {
      name?: string;
      description?: string;
      budget?: number;
      quota?: QuotaConfig | null;
      tags?: Record<string, string | null>;
    },
  ): boolean;
  /** Deletes a team and releases its members. */
  deleteTeam(teamId: string): boolean;
  /** Puts a key into a team. Errors: `team_not_found`, `key_already_in_team`, `team_full`. */
  assignKey(teamId: string, apiKey: string): { success: boolean; error?: string };
  /** Takes a key out of a team; false when it is not in it. */
  removeKey(teamId: string, apiKey: string): boolean;
  /** The id of the team a key is in. */
  getTeamForKey(apiKey: string): string | null;
  /** Whether so many more credits are within the budget of the key's team. */
  checkBudget(apiKey: string, creditsNeeded: number): Verdict;
  /** Whether one more call of so many credits is within the quota of the key's team. */
  checkQuota(apiKey: string, credits: number): Verdict;
  /** Counts one call, or one batch, for the key's team. */
  recordUsage(apiKey: string, credits: number): void;
  /** What a team has spent; members are those that `getKey` knows. */
  getUsageSummary(teamId: string, getKey: (key: string) => ApiKeyRecord | null): TeamUsageSummary | null;
  /** All teams, deleted ones included, live. */
  toJSON(): Array<[string, TeamRecord]>;
  /** Adds teams to those that are here, completing what older ones lack. */
  fromJSON(data: Array<[string, TeamRecord]>): void;
}

export {};
