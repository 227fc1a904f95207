/**
 * A gate in front of an MCP server: who calls, what a call costs, whether they can pay.
 *
 * A credit is a whole number from 0 to 2^53 − 1. Numbers that cannot be one (NaN, the infinities, numbers past the
 * bound) throw a `RangeError` that names the argument, and nothing is changed. Methods are synchronous unless they return
 * a promise.
 */

import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';

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

/** What a configuration file holds. Other fields are left alone. */
export interface ValidatableConfig {
  serverCommand?: string;
  serverArgs?: string[];
  remoteUrl?: string;
  servers?: Array<Partial<ServerBackendConfig>>;
  /** A whole number from 0 to 65535. */
  port?: number;
  host?: string;
  /** A whole number of credits, at least 0. */
  defaultCreditsPerCall?: number;
  /** At least 0; 0 is no limit. */
  globalRateLimitPerMin?: number;
  shadowMode?: boolean;
  adminKey?: string;
  toolPricing?: Record<string, Partial<ToolPricing>>;
  /** Credits by key. */
  importKeys?: Record<string, number>;
  stateFile?: string;
  stripeWebhookSecret?: string;
  webhookUrl?: string | null;
  webhookSecret?: string | null;
  /** A whole number, at least 0. */
  webhookMaxRetries?: number;
  refundOnFailure?: boolean;
  refundOnToolError?: boolean;
  redisUrl?: string;
  globalQuota?: Partial<QuotaConfig>;
  /** Times in seconds, above 0. */
  oauth?: { issuer?: string; accessTokenTtl?: number; refreshTokenTtl?: number; scopes?: string[] };
  freeMethods?: string[];
  allowedOrigins?: string[];
  trustedProxies?: string[];
  /** A whole number above 0. */
  maxBodyBytes?: number;
  /** A whole number above 0. */
  maxBatchCalls?: number;
  batchRateLimit?: 'per-batch' | 'per-call';
}

/** One finding about a configuration. */
export interface ConfigDiagnostic {
  /** With an error nothing should start; with a warning it will not be as it is meant. */
  level: 'error' | 'warning';
  /** The field by its path, such as `toolPricing.search.creditsPerCall`. */
  field: string;
  message: string;
}

/**
 * Every problem of a configuration, in the order of its rules; an empty list means that it is valid. Numbers as text
 * are not numbers. Throws a `TypeError` for null and undefined only.
 */
export function validateConfig(config: ValidatableConfig): ConfigDiagnostic[];

/** Findings as text: errors first, then warnings, each in the order given; no line break at the end. */
export function formatDiagnostics(diags: ConfigDiagnostic[]): string;

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
  /**
   * Tells a receiver of every decision and refund, those on other threads included; null without `webhookUrl`. Events
   * of the gate do not pass through its `emit`.
   */
  readonly webhook: WebhookEmitter | null;

  // What is set and is no function throws a `TypeError` where it would be called, as if it had thrown itself.

  /** Asked when everything else allows a call or a batch; what it throws surfaces, and nothing was taken. */
  teamChecker?: (apiKey: string, credits: number) => Verdict;
  /** Told of credits that were taken, for the team's sums. What it and the others throw surfaces; the charge stands. */
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
  /** Stops timers, and posts the webhook's events that are waiting; everything else goes on. */
  destroy(): void;
}

// ── Wrapped servers ──────────────────────────────────────────────────────────

/**
 * A child process behind a gate, spoken to by lines of JSON.
 *
 * A child that ends is started again, at once and then after growing pauses. It does not get variables of the
 * environment that begin with `PAYGATE_`. While it runs it keeps the process alive.
 *
 * Every call that was let through ends in one of these ways, and its charge is settled by it: a result keeps the
 * credits; with `refundOnFailure` everything else gives them back; a call that never reached the child costs nothing.
 *
 * Events:
 * - `tool-call` `{tool, apiKey?, creditsCharged, remainingCredits, refunded}`: a call has ended that was let through;
 *   `apiKey` is the first ten characters
 * - `batch-call` `{apiKey?, callCount, totalCreditsCharged, remainingCredits, refunded}`: the same of a batch;
 *   `refunded` is the number of credits given back
 * - `server-notification` (message), `server-stderr` (text), `parse-error` (line): what the child says unasked
 * - `server-exit` (code, null after a signal), `server-error` (error): the child has ended, or could not be started
 */
export class McpProxy extends EventEmitter {
  /** The command is started without a shell. Throws a `TypeError` unless `gate` is a {@link Gate}. */
  constructor(gate: Gate, serverCommand: string, serverArgs: string[]);
  /** Whether a child runs. */
  get isRunning(): boolean;
  /** Starts the child; no effect while it runs. Rejects when the command cannot be started. */
  start(): Promise<void>;
  /** Stops the child: SIGTERM, after 5 seconds SIGKILL. Requests under way are rejected. */
  stop(): Promise<void>;
  /**
   * Answers a message. `tools/call` goes through the gate, methods outside `freeMethods` need a live key, a list of
   * tools is reduced to those that the key may use. Refusals and errors are answers: −32402 with
   * `{creditsRequired, remainingCredits}`, −32602, −32603. Rejects when the child does not answer: it ended, or took
   * more than 30 seconds.
   */
  handleRequest(request: JsonRpcRequest, apiKey: string | null, clientIp?: string): Promise<JsonRpcResponse>;
  /**
   * Answers a batch: all calls are let through and paid for, or none is. The result is
   * `{results: [{tool, result?, error?, creditsCharged}], totalCreditsCharged, remainingCredits}`. Rejects with a
   * `TypeError` that names the entry without a name, with a `RangeError` for too many calls.
   */
  handleBatchRequest(
    calls: BatchToolCall[],
    batchId: string | number | undefined,
    apiKey: string | null,
    clientIp?: string,
  ): Promise<JsonRpcResponse>;
  /** Answers a message without asking the gate. */
  forwardUngated(request: JsonRpcRequest): Promise<JsonRpcResponse>;
}

/**
 * A remote server behind a gate, spoken to by streamable HTTP. Nothing of the caller but the message is passed on; the
 * session that the server begins is carried along. Everything that goes wrong there is an answer: −32603,
 * `Remote server error: …`. It keeps no process alive but for requests under way.
 *
 * Events: `tool-call` and `batch-call` as of {@link McpProxy}, without `refunded`.
 */
export class HttpMcpProxy extends EventEmitter {
  /** Throws a `TypeError` when `remoteUrl` is no URL, or `gate` no {@link Gate}. */
  constructor(gate: Gate, remoteUrl: string);
  get isRunning(): boolean;
  /** Lets messages through. The server is not contacted. */
  start(): Promise<void>;
  /** Lets no more messages through and ends the session, for which the server has 5 seconds. */
  stop(): Promise<void>;
  /** As of {@link McpProxy}; a single call is refused with −32000. */
  handleRequest(request: JsonRpcRequest, apiKey: string | null, clientIp?: string): Promise<JsonRpcResponse>;
  handleBatchRequest(
    calls: BatchToolCall[],
    batchId: string | number | undefined,
    apiKey: string | null,
    clientIp?: string,
  ): Promise<JsonRpcResponse>;
  forwardUngated(request: JsonRpcRequest): Promise<JsonRpcResponse>;
}

/**
 * Several servers behind one gate. The names of tools begin with their server's prefix and a colon, in prices and
 * rights too. `tools/list` asks all servers at once and leaves out those that do not answer; everything but
 * calls of tools goes to the first.
 *
 * Events: `tool-call` as of {@link McpProxy}, with `server` (the prefix) and with the balance before a refund;
 * `batch-call` as of {@link McpProxy}.
 */
export class MultiServerRouter extends EventEmitter {
  /** Stands between a prefix and the name of a tool: `':'`. */
  static get SEPARATOR(): ':';
  /** Throws an `Error` that names the first fault of the list. */
  constructor(gate: Gate, configs: ServerBackendConfig[]);
  /** Whether the router runs, whatever its servers do. */
  get isRunning(): boolean;
  /** The prefixes, in the order of the configuration. */
  get prefixes(): string[];
  get backendCount(): number;
  /** Starts all servers. When one cannot be started, none is. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** As of {@link McpProxy}; a name without a known prefix is −32602, before the gate is asked. */
  handleRequest(request: JsonRpcRequest, apiKey: string | null, clientIp?: string): Promise<JsonRpcResponse>;
  handleBatchRequest(
    calls: BatchToolCall[],
    batchId: string | number | undefined,
    apiKey: string | null,
    clientIp?: string,
  ): Promise<JsonRpcResponse>;
}

// ── Analytics ────────────────────────────────────────────────────────────────

/** `daily` counts in 24 hours from the start of the range. */
export type BucketGranularity = 'hourly' | 'daily';

/** One step of a report's range. The first begins with the range, the last ends with it. */
export interface TimeBucket {
  /** ISO 8601, UTC. */
  start: string;
  end: string;
  calls: number;
  allowed: number;
  denied: number;
  /** Credits of calls that were let through, refunds subtracted. */
  credits: number;
}

/** One tool of a report. */
export interface ToolBreakdown {
  tool: string;
  calls: number;
  allowed: number;
  denied: number;
  credits: number;
  /** Share of calls that were let through, 0 to 1. */
  successRate: number;
  /** Credits for each call that was let through; 0 without any. */
  avgCreditsPerCall: number;
}

/** One key of a report. */
export interface TopConsumer {
  /** The name in its first event, or else the first ten characters of the key and `...`. */
  keyName: string;
  calls: number;
  credits: number;
  denied: number;
  /** The tool of most calls. */
  topTool: string;
}

/** A range beside the period of the same length before it. */
export interface TrendComparison {
  current: { calls: number; credits: number; denied: number };
  previous: { calls: number; credits: number; denied: number };
  /** In percent, with one decimal; null where the period before has 0. */
  change: { calls: number | null; credits: number | null; denied: number | null };
}

/** Sums over the events of a range. */
export interface AnalyticsReport {
  /** The range as it was asked for. */
  from: string;
  to: string;
  granularity: BucketGranularity;
  timeSeries: TimeBucket[];
  /** Most calls first. */
  tools: ToolBreakdown[];
  /** Most credits first. */
  topConsumers: TopConsumer[];
  trend: TrendComparison;
  summary: {
    totalCalls: number;
    totalCredits: number;
    totalDenied: number;
    uniqueKeys: number;
    uniqueTools: number;
    /** Share of calls that were let through; 1 without any. */
    successRate: number;
  };
}

/** Makes reports. Keeps nothing. */
export class AnalyticsEngine {
  /**
   * Reports on events. The range has both its ends and is compared with timestamps as text: by default the last 24
   * hours. `topN` (default 10) is how many consumers are listed. Throws a `RangeError` for an end that is no date and
   * for a range of more than 10,000 buckets, and a `TypeError` that names an event that is no object.
   */
  report(
    events: UsageEvent[],
    options?: { from?: string; to?: string; granularity?: BucketGranularity; topN?: number },
  ): AnalyticsReport;
}

// ── Alerts ───────────────────────────────────────────────────────────────────

export type AlertType =
  | 'spending_threshold'
  | 'credits_low'
  | 'quota_warning'
  | 'key_expiry_soon'
  | 'rate_limit_spike';

/** When to raise an alert. */
export interface AlertRule {
  /** One that is not known never fires. */
  type: AlertType;
  /**
   * `spending_threshold`: percent of all credits of the key that are spent, at least. `credits_low`: credits left, at
   * most. `quota_warning`: percent of the key's own daily or monthly calls, at least. `key_expiry_soon`: seconds left,
   * at most. `rate_limit_spike`: refusals in five minutes, at least.
   */
  threshold: number;
  /** The pause after it fired for a key. Absent or 0 is 3600; negative is none. */
  cooldownSeconds?: number;
}

export interface AlertEngineConfig {
  /** Read when the engine is made. */
  rules: AlertRule[];
  /** Give alerts out, but keep none to be fetched. Default false. */
  dryRun?: boolean;
}

/** Something an operator wants to know. */
export interface Alert {
  type: AlertType;
  /** ISO 8601, UTC. */
  timestamp: string;
  /** The first ten characters of the key and `...`. */
  keyPrefix: string;
  keyName: string;
  threshold: number;
  /** What met the threshold, in its unit. */
  currentValue: number;
  message: string;
  metadata: Record<string, unknown>;
}

/** Checks keys against rules. Cooldowns and refusals are counted by the first ten characters of a key. */
export class AlertEngine {
  /** Throws a `TypeError` that names a rule that is no object. */
  constructor(config?: AlertEngineConfig);
  /** Checks a key against each rule in order; gives what fires now. */
  check(key: string, record: ApiKeyRecord, context?: { rateLimitDenied?: boolean }): Alert[];
  /** Counts a refusal by a rate limit. Those that are five minutes old are forgotten with the next one. */
  recordRateLimitDenial(key: string): void;
  /** Fetches the alerts that wait, oldest first: the objects that `check` gave. At most the latest 10,000 wait. */
  consumeAlerts(): Alert[];
  /** How many alerts wait. */
  get pendingCount(): number;
  /** The rules, in a new array. */
  get configuredRules(): AlertRule[];
  /** Forgets cooldowns, refusals, and alerts that wait. */
  clearCooldowns(): void;
}

// ── Audit log ────────────────────────────────────────────────────────────────

/** What the gate itself writes in the audit log. Scripts may log any other text as a type. */
export type AuditEventType =
  | 'key.created'
  | 'key.revoked'
  | 'key.rotated'
  | 'key.topup'
  | 'key.acl_updated'
  | 'key.expiry_updated'
  | 'key.quota_updated'
  | 'key.tags_updated'
  | 'key.ip_updated'
  | 'key.limit_updated'
  | 'gate.allow'
  | 'gate.deny'
  | 'session.created'
  | 'session.destroyed'
  | 'oauth.client_registered'
  | 'oauth.token_issued'
  | 'oauth.token_revoked'
  | 'team.created'
  | 'team.updated'
  | 'team.deleted'
  | 'team.key_assigned'
  | 'team.key_removed'
  | 'admin.auth_failed'
  | 'admin.alerts_configured'
  | 'webhook.dead_letter_cleared'
  | 'billing.refund'
  | 'billing.payment_parked';

/** Who did what. What a log hands out is live: what is changed in it counts in later queries, exports and sums. */
export interface AuditEvent {
  /** Counted from 1. */
  id: number;
  /** ISO 8601, UTC. */
  timestamp: string;
  type: AuditEventType;
  /** `admin`, a masked key, or what the script says. */
  actor: string;
  message: string;
  /** The object that was logged. */
  metadata: Record<string, unknown>;
}

/** How much a log keeps. A property that is given counts even when it is undefined, which is no limit. */
export interface AuditLogConfig {
  /** Events kept, the newest. 0 is no limit. Default 10,000. */
  maxEvents: number;
  /** Hours that an event is kept. 0 or below is no limit. Default 720. */
  maxAgeHours: number;
  /** Milliseconds between two looks for events that are too old. 0 or below is never. Default 60,000. */
  cleanupIntervalMs: number;
}

/** What events are to be like, all of it. What is absent or empty asks for nothing. */
export interface AuditQuery {
  types?: AuditEventType[];
  /** A part of the actor, whatever its case. */
  actor?: string;
  /** No earlier than this date. One that cannot be read is met by no event. */
  since?: string;
  /** No later than this date. */
  until?: string;
  /** Events at most: 1 to 1000, by default 100. A table has all unless told otherwise. */
  limit?: number;
  /** Events to pass over. */
  offset?: number;
}

/** A page of events, newest first. */
export interface AuditQueryResult {
  /** Events that were asked for, on all pages. */
  total: number;
  offset: number;
  limit: number;
  events: AuditEvent[];
}

/** Keeps in memory who did what. */
export class AuditLogger {
  constructor(config?: Partial<AuditLogConfig>);
  /** Keeps an event and returns it. The metadata is kept as it is, not copied. */
  log(type: AuditEventType, actor: string, message: string, metadata?: Record<string, unknown>): AuditEvent;
  /** A page of the events that are asked for. Throws a `TypeError` for types that are no array. */
  query(q?: AuditQuery): AuditQueryResult;
  /** What the log holds, in sums. */
  stats(): {
    totalEvents: number;
    oldestEvent: string | null;
    newestEvent: string | null;
    eventsByType: Record<string, number>;
    eventsLastHour: number;
    eventsLast24h: number;
  };
  /** All events, oldest first: the same objects each time. */
  exportAll(): AuditEvent[];
  /** The events that are asked for as CSV, newest first and without metadata. */
  exportCsv(q?: AuditQuery): string;
  get size(): number;
  /** Drops events that are too old, and tells how many those were. */
  enforceRetention(): number;
  /** Forgets all events; ids start at 1 again. */
  clear(): void;
  /** Stops the timer; everything else goes on. */
  destroy(): void;
}

/**
 * A key's first seven characters, `...` and its last four; `***` for none or one of fewer than ten, but all of one with
 * ten or eleven. Throws a `TypeError` for what is no text.
 */
export function maskKeyForAudit(key: string | null | undefined): string;

// ── Metrics ──────────────────────────────────────────────────────────────────

/** Labels of a sample by their names. */
export type MetricLabels = Record<string, string>;

/**
 * Counts what happens, and shows it to Prometheus. A label has at most 1,000 different values and a metric at most
 * 10,000 samples; what comes beyond is counted as `other`. Values of labels that are no texts throw a `TypeError`.
 */
export class MetricsCollector {
  constructor();
  /** Adds a counter, unless there is a metric of that name. */
  registerCounter(name: string, help: string): void;
  /** Adds a gauge, unless there is a metric of that name. With a supplier, that is asked whenever the gauge is shown. */
  registerGauge(name: string, help: string, supplier?: () => number): void;
  /** Adds to a counter, by default 1; does nothing for what is none. */
  increment(name: string, labels?: MetricLabels, amount?: number): void;
  /** Sets a gauge; does nothing for what is none. */
  setGauge(name: string, value: number, labels?: MetricLabels): void;
  /** Counts a call of a tool, the credits it was charged, or the code before the `:` of why it was denied. */
  recordToolCall(tool: string, allowed: boolean, creditsCharged: number, denyReason?: string): void;
  /** Counts an HTTP request; paths below `/keys`, `/audit` and `/oauth` are counted together. */
  recordHttpRequest(method: string, path: string, statusCode: number): void;
  /** Counts a call that was over a rate limit. */
  recordRateLimitHit(tool: string): void;
  /** Counts credits that were given back. */
  recordRefund(tool: string, credits: number): void;
  /** All metrics in Prometheus' text format 0.0.4. What a supplier throws surfaces. */
  serialize(): string;
  /** What a counter has counted; 0 for what is none. */
  getCounter(name: string, labels?: MetricLabels): number;
  /** What a gauge was set to or, without labels, what its supplier says; 0 for what is none. */
  getGauge(name: string, labels?: MetricLabels): number;
}

// ── Prices ───────────────────────────────────────────────────────────────────

/** What a tool costs and how often it may be called, as clients are told. */
export interface ToolPricingInfo {
  name: string;
  creditsPerCall: number;
  /** Credits for each KiB of arguments; 0 is no surcharge. */
  creditsPerKbInput: number;
  /** 0 when only the global limit counts. */
  rateLimitPerMin: number;
  /** `dynamic` when the size of the arguments counts. */
  pricingModel: 'flat' | 'dynamic';
}

/** What clients need to know of paying at a server. */
export interface ServerPaymentMetadata {
  specVersion: string;
  serverName: string;
  billingModel: 'credits';
  defaultCreditsPerCall: number;
  globalRateLimitPerMin: number;
  shadowMode: boolean;
  authMethods: string[];
  oauthSupported: boolean;
  paymentErrorCode: number;
  pricingEndpoint: string;
  globalQuota: QuotaConfig | null;
  /** How many tools are known. */
  toolCount: number;
}

export interface PricingResponse {
  server: ServerPaymentMetadata;
  tools: ToolPricingInfo[];
}

/** Tells prices. The configuration is kept, not copied: later changes show. */
export class ToolRegistry {
  constructor(config: PayGateConfig, hasOAuth: boolean);
  /** Replaces the names of the known tools: the array itself is kept. */
  setDiscoveredTools(toolNames: string[]): void;
  getServerMetadata(): ServerPaymentMetadata;
  /** The price of a tool, known or not. */
  getToolPricing(toolName: string): ToolPricingInfo;
  /** All known tools, in the order in which they were set. */
  getFullPricing(): PricingResponse;
  /** Copies tools with their prices as `_pricing`, and makes them the known ones. */
  injectPricingIntoToolsList<Tool extends { name: string; [member: string]: unknown }>(
    tools: Tool[],
  ): Array<Tool & { _pricing: ToolPricingInfo }>;
  /** What a client that cannot pay is told. */
  buildPaymentRequired(
    toolName: string,
    creditsNeeded: number,
    creditsAvailable: number,
  ): {
    tool: string;
    creditsNeeded: number;
    creditsAvailable: number;
    pricing: ToolPricingInfo;
    topUpEndpoint: string;
    balanceEndpoint: string;
    pricingEndpoint: string;
  };
}

// ── Webhooks ─────────────────────────────────────────────────────────────────

/** What an operator or the system did. */
export interface WebhookAdminEvent {
  type:
    | 'key.created'
    | 'key.revoked'
    | 'key.rotated'
    | 'key.topup'
    | 'key.expired'
    | 'alert.fired'
    | 'team.created'
    | 'team.updated'
    | 'team.deleted'
    | 'team.key_assigned'
    | 'team.key_removed'
    | 'oauth.client_registered'
    | 'oauth.token_issued'
    | 'oauth.token_revoked';
  /** ISO 8601, when it was queued. */
  timestamp: string;
  actor: string;
  metadata: Record<string, unknown>;
}

/** Something to tell. What has a `type` that is text is an admin event. */
export type WebhookEvent = UsageEvent | WebhookAdminEvent;

/** A delivery that was given up. */
export interface DeadLetterEntry {
  /** In the order in which they came, both kinds. */
  events: WebhookEvent[];
  /** The number of the last attempt, the first being 0. */
  attempts: number;
  /** Why the last attempt failed: `HTTP 500`, `connect ECONNREFUSED 127.0.0.1:80`, `Timeout (10s)`. */
  lastError: string;
  /** ISO 8601. */
  firstAttempt: string;
  /** ISO 8601. */
  lastAttempt: string;
  url: string;
}

/**
 * Posts events to a receiver in batches: `{ sentAt, deliveryId, events?, adminEvents? }`, signed with
 * `X-PayGate-Signature: t=<seconds>,v1=<hex>` over `<seconds>.<body>`. A receiver that answers anything but 2xx, or
 * nothing within 10 seconds, is tried again (`X-PayGate-Retry`) under the same id (`deliveryId`, `X-PayGate-Delivery`),
 * so that it can tell a delivery it has seen.
 *
 * Everything is in memory. Timers keep no process alive, a post under way does; `destroy()` before the end posts what is
 * left, `process.exit()` loses it.
 */
export class WebhookEmitter {
  constructor(
    url: string,
    options?: {
      /** Signs every post; null or empty for unsigned. */
      secret?: string | null;
      /** Events that are posted at once when so many have gathered, at most 10,000. Default 10. */
      batchSize?: number;
      /** How often the others are posted, in milliseconds. Default 5000. */
      flushIntervalMs?: number;
      /** Attempts after the first; 0 for none. Default 5. */
      maxRetries?: number;
      /** The pause after the first attempt, in milliseconds, up to a tenth shorter; each is twice the last. Default 1000. */
      baseDelayMs?: number;
      /** Deliveries that were given up and are kept, at most 10,000. Default 1000. */
      maxDeadLetters?: number;
    },
  );
  readonly maxRetries: number;
  /** Queues an event. Throws a `TypeError` for what is no object or has no form in JSON. */
  emit(event: UsageEvent): void;
  /** Queues an admin event, with the present time. */
  emitAdmin(type: WebhookAdminEvent['type'], actor: string, metadata?: Record<string, unknown>): void;
  /** Posts the oldest events, up to a batch. Does not wait for the receiver. */
  flush(): void;
  /** The deliveries that were given up and are kept, oldest first. */
  getDeadLetters(): DeadLetterEntry[];
  /** Forgets them, and says how many they were. */
  clearDeadLetters(): number;
  /** What has become of deliveries so far. */
  getRetryStats(): {
    pendingRetries: number;
    deadLetterCount: number;
    totalDelivered: number;
    totalFailed: number;
    totalRetries: number;
  };
  /** Stops the timers and flushes once. What waits to be tried again stays. */
  destroy(): void;
  /** The HMAC-SHA256 of a payload, in lower-case hexadecimal. */
  static sign(payload: string, secret: string): string;
  /** Whether a signature is that of a payload, compared in constant time. Upper-case digits are not. */
  static verify(payload: string, signature: string, secret: string): boolean;
}

// ── Stripe ───────────────────────────────────────────────────────────────────

/**
 * Turns what Stripe posts into credits. A payment is granted once, by the id of its event and of its checkout session or
 * invoice; with a state file that holds for ever, without one as long as the process lives.
 */
export class StripeWebhookHandler {
  /** The tolerance is in seconds, either way; default 300. */
  constructor(store: KeyStore, webhookSecret: string, toleranceSec?: number);
  /**
   * Handles a post: its body as it came, and its `Stripe-Signature` header. A payment whose key is unknown or was revoked
   * is `parked`, and granted when Stripe tells of it again and the key is there: answer 200 to it. Throws when the state
   * file cannot be read or written: answer 500, so that Stripe tells it again.
   */
  handleWebhook(
    rawBody: string,
    signatureHeader: string,
  ): { success: boolean; event?: string; apiKey?: string; creditsAdded?: number; error?: string; parked?: boolean };
  /** Whether a header holds a signature of a body. */
  verifySignature(rawBody: string, signatureHeader: string): boolean;
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

// ── OAuth ────────────────────────────────────────────────────────────────────

/** How an authorization server is set up. */
export interface OAuthConfig {
  /** What the server calls itself, as it is written. Default: where it is asked at, in process `http://localhost:3402`. */
  issuer: string;
  /** Seconds; 0 or less is for ever. Default: 3600. */
  accessTokenTtl: number;
  /** Seconds; 0 or less is for ever. Default: 2592000, 30 days. */
  refreshTokenTtl: number;
  /** Seconds; 0 or less is no time at all. Default: 300. */
  codeTtl: number;
  /** Advertised. Default: `tools:*`, `tools:read`, `tools:write`. */
  scopes: string[];
  /** Whether clients that are linked to a key get codes over HTTP without its owner being asked. Default: true. */
  approveLinked?: boolean;
  /**
   * Whether a refresh token works once and is answered with the next. One that is used again revokes all tokens of its
   * approval. Default: false.
   */
  rotateRefreshTokens?: boolean;
}

/** How a client shows who it is when it asks for tokens. */
export type OAuthClientAuthMethod = 'client_secret_post' | 'client_secret_basic' | 'none';

/** A registered client. What a provider hands out is live: edits count, and are in the file with the next change. */
export interface OAuthClientRecord {
  /** `pg_client_` and 32 hexadecimal digits. */
  clientId: string;
  /**
   * `pg_secret_` and 64 hexadecimal digits; only `registerClient` tells it. Null for a client that wants to
   * authenticate by `none`.
   */
  clientSecret?: string | null;
  /** At most 200 characters. */
  clientName: string;
  /** At most 10 at registration. */
  redirectUris: string[];
  grantTypes: string[];
  /** What codes may be asked for; `tools:*` is no bound. */
  scope: string;
  createdAt: string;
  /** The full API key that tokens stand for. */
  apiKeyRef: string | null;
  /** Present when the client registered one: it must authenticate so. */
  tokenEndpointAuthMethod?: OAuthClientAuthMethod;
}

/** A token as a state file has it. */
export interface OAuthTokenRecord {
  /** `sha256:` and 64 hexadecimal digits; the token itself where 2.9.0 wrote the file. */
  token: string;
  tokenType: 'access' | 'refresh';
  clientId: string;
  scope: string;
  /** The full API key that it stands for. */
  apiKeyRef: string;
  /** Milliseconds since 1970; 0 is never. */
  expiresAt: number;
  createdAt: string;
  /** Shared by all tokens of one approval. */
  family?: string;
  /** A refresh token that was answered with the next one. */
  used?: boolean;
}

/** What an authorization server offers (RFC 8414). */
export interface OAuthServerMetadata {
  issuer: string;
  authorization_endpoint: string;
  token_endpoint: string;
  registration_endpoint: string;
  revocation_endpoint: string;
  scopes_supported: string[];
  response_types_supported: string[];
  grant_types_supported: string[];
  code_challenge_methods_supported: string[];
  token_endpoint_auth_methods_supported: string[];
}

/**
 * Registers clients, and issues tokens that stand for API keys. Keeps the process alive until `destroy`.
 *
 * With a state file every change is in it when the method returns; of secrets and tokens it has hashes. What cannot be
 * written is told by `console.error`. A damaged file is moved aside to `<file>.corrupt-<time>`; a key store's file is
 * left as it is, and nothing is saved.
 */
export class OAuthProvider {
  /** Throws a `TypeError` for a time that is no number and for scopes that are no list. */
  constructor(config?: Partial<OAuthConfig>, statePath?: string);
  /**
   * Registers a client under a random id; its secret is told here alone. Throws an `Error` without a name or an address
   * to return to, and for an address that is no URL or that runs as a script. When there are 10,000 clients, the oldest
   * that has neither key nor tokens makes room.
   */
  registerClient(params: {
    clientName: string;
    redirectUris: string[];
    grantTypes?: string[];
    scope?: string;
    apiKeyRef?: string;
    tokenEndpointAuthMethod?: OAuthClientAuthMethod;
  }): OAuthClientRecord & { clientSecret: string | null };
  /** A client, without its secret. */
  getClient(clientId: string): OAuthClientRecord | null;
  /** Links a client to a key, or to none. False for an unknown client. The key is not looked up. */
  linkClientToApiKey(clientId: string, apiKey: string | null): boolean;
  /** All clients in order, with the first twelve characters of their secrets, or `none`. */
  listClients(): Array<Omit<OAuthClientRecord, 'clientSecret'> & { clientSecretPrefix: string }>;
  /**
   * An authorization code that works once and soon. Of the scope that is asked for counts what the client may have.
   * Throws an `Error` that says what is wrong: client, address, challenge, key or scope.
   */
  createAuthCode(params: {
    clientId: string;
    redirectUri: string;
    codeChallenge: string;
    codeChallengeMethod?: string;
    scope?: string;
    apiKeyRef?: string;
  }): string;
  /**
   * The tokens for a code, which is used up whatever the answer. `expiresIn` is in seconds. Throws an `Error` that
   * begins with `invalid_grant: `, or with `invalid_client: ` when the client has to authenticate and does not.
   */
  exchangeCode(params: {
    code: string;
    clientId: string;
    redirectUri: string;
    codeVerifier: string;
    clientSecret?: string;
  }): { accessToken: string; refreshToken: string; expiresIn: number; tokenType: string; scope: string };
  /**
   * The next access token, and the next refresh token where they rotate. Of the scope that is asked for counts what
   * the refresh token has. Throws as `exchangeCode`, and `invalid_scope: ` when nothing of the scope is left.
   */
  refreshAccessToken(params: {
    refreshToken: string;
    clientId: string;
    scope?: string;
    clientSecret?: string;
  }): { accessToken: string; refreshToken?: string; expiresIn: number; tokenType: string; scope: string };
  /** What a live access token stands for. The key is not looked up. */
  validateToken(bearerToken: string): { apiKey: string; scope: string; clientId: string } | null;
  /** Revokes a token of either kind and all of its approval. False when it is unknown. */
  revokeToken(token: string): boolean;
  getMetadata(): OAuthServerMetadata;
  /** Tokens of both kinds, those included that have expired and were not yet swept away. */
  get tokenCount(): number;
  get clientCount(): number;
  /** Stops the timer that removes what has expired; everything else goes on. */
  destroy(): void;
}

// ── Sessions and event streams ───────────────────────────────────────────────

/** One MCP session. Live: what is assigned to it counts. */
export interface McpSession {
  /** `mcp_sess_` and 32 hex digits. */
  id: string;
  /** Milliseconds since 1970. */
  createdAt: number;
  /** Milliseconds since 1970. */
  lastActivityAt: number;
  /** The open event streams. */
  sseConnections: Set<ServerResponse>;
  /** The key that the session was made with. */
  apiKey: string | null;
}

export interface SessionManagerConfig {
  /** How long a session lives without being used. Default 1,800,000 (half an hour). */
  sessionTimeoutMs: number;
  /** Most sessions. One more ends the one that was used longest ago. Default 1000. */
  maxSessions: number;
  /** Most event streams of one session. Default 3. */
  maxSsePerSession: number;
}

/** Sessions of MCP clients. Idle ones are swept once a minute, which keeps the process alive until `destroy()`. */
export class SessionManager {
  constructor(config?: Partial<SessionManagerConfig>);
  /** Makes a session and gives its id. */
  createSession(apiKey: string | null): string;
  /** A session that lives. Counts as use. */
  getSession(sessionId: string): McpSession | null;
  /** Gives a session one more stream, until that closes. False without such a session, or when it has enough. Counts as use. */
  addSseConnection(sessionId: string, res: ServerResponse): boolean;
  /** Sends a JSON-RPC message on all streams of a session; a stream that fails is dropped. Throws `TypeError` for what is no JSON. */
  sendNotification(sessionId: string, message: unknown): void;
  /** Ends a session and its streams. False when there is none. */
  destroySession(sessionId: string): boolean;
  /** How many sessions there are, with idle ones that were not swept yet. */
  get sessionCount(): number;
  /** Ends all sessions, and the sweep. */
  destroy(): void;
}

/** Starts an event stream: status 200 and its headers. Headers of the same name are replaced by yours. */
export function writeSseHeaders(res: ServerResponse, extraHeaders?: Record<string, string>): void;
/** Writes one event with JSON data. Throws `TypeError`, and writes nothing, for data that is no JSON. */
export function writeSseEvent(res: ServerResponse, data: unknown, eventType?: string): void;
/** Writes a comment, so that nobody on the way takes the stream for dead. */
export function writeSseKeepAlive(res: ServerResponse): void;

/** The admin page as one HTML document, with the server's name in its title. It needs the routes of a gateway beside it. */
export function getDashboardHtml(serverName: string): string;

// ── Redis ────────────────────────────────────────────────────────────────────

/** Where Redis is, and who we are there. Falsy optional values mean their defaults. */
export interface RedisClientOptions {
  /** Name or address; an IPv6 address may stand in brackets. */
  host: string;
  port: number;
  /** Absent or empty: nobody logs in. */
  password?: string;
  /** The number of the database; default 0. */
  db?: number;
  /** How long opening a connection may take, in milliseconds; default 5,000. */
  connectTimeout?: number;
  /** How long a reply may take, in milliseconds; default 10,000. */
  commandTimeout?: number;
  /** The name to log in under; it counts with a password. A server that refuses it is asked again without. */
  username?: string;
  /** Whether the connection is TLS; certificates are checked, those of `NODE_EXTRA_CA_CERTS` count too. */
  tls?: boolean;
}

/**
 * Reads a `redis://` or `rediss://` URL. What is missing has its default; the scheme is not checked. User name and TLS
 * come along unseen: the result and its copies (`{ ...options }`) connect as the URL says.
 *
 * @throws TypeError `Invalid URL`
 */
export function parseRedisUrl(url: string): RedisClientOptions;

/**
 * A connection to Redis. The first command opens it, and so does the first one after it was lost. Commands are sent in
 * the order of the calls and answered in that order.
 *
 * Every method rejects with the server's text when it refuses, with the system's when it cannot be reached
 * (`connect ECONNREFUSED 127.0.0.1:6379`), with `Redis connect timeout (…ms)`, `Redis command timeout: …` or
 * `Disconnected`. Errors have a `code`; `ERR_REDIS_UNANSWERED` means that the command may have been carried out. A
 * command that waits keeps the process alive, an idle connection does not.
 */
export class RedisClient {
  /** @throws RangeError when the port cannot be one */
  constructor(opts: RedisClientOptions);
  /** Whether the connection is open, logged in, and not known to be lost. */
  get isConnected(): boolean;
  connect(): Promise<void>;
  /** Closes the connection. The next command opens it again. */
  disconnect(): Promise<void>;
  /** Any command. The reply is text, a number, null, or a list of these. */
  command(...args: string[]): Promise<any>;
  ping(): Promise<string>;
  /** @param exSeconds when above 0, the time to live */
  set(key: string, value: string, exSeconds?: number): Promise<string>;
  get(key: string): Promise<string | null>;
  del(...keys: string[]): Promise<number>;
  exists(key: string): Promise<number>;
  incr(key: string): Promise<number>;
  incrby(key: string, n: number): Promise<number>;
  decrby(key: string, n: number): Promise<number>;
  expire(key: string, seconds: number): Promise<number>;
  pexpire(key: string, ms: number): Promise<number>;
  hset(key: string, ...fieldValues: string[]): Promise<number>;
  hdel(key: string, ...fields: string[]): Promise<number>;
  hget(key: string, field: string): Promise<string | null>;
  /** `{}` when there is no such hash. */
  hgetall(key: string): Promise<Record<string, string>>;
  zadd(key: string, score: number, member: string): Promise<number>;
  zcard(key: string): Promise<number>;
  zrangebyscore(key: string, min: number | string, max: number | string): Promise<string[]>;
  zremrangebyscore(key: string, min: number | string, max: number | string): Promise<number>;
  /** How many heard it. */
  publish(channel: string, message: string): Promise<number>;
  rpush(key: string, ...values: string[]): Promise<number>;
  llen(key: string): Promise<number>;
  lrange(key: string, start: number, stop: number): Promise<string[]>;
  ltrim(key: string, start: number, stop: number): Promise<string>;
  evalLua(script: string, numkeys: number, ...keysAndArgs: Array<string | number>): Promise<any>;
  /** One step: the next cursor, and keys. */
  scan(cursor: string, pattern: string, count?: number): Promise<[string, string[]]>;
  /** All keys that fit a pattern, some perhaps twice. */
  scanAll(pattern: string, count?: number): Promise<string[]>;
}

/** Hears a message. What it throws is swallowed. */
export type MessageHandler = (channel: string, message: string) => void;

/** A connection that hears messages. It does not come back by itself. While it is subscribed, the process stays alive. */
export class RedisSubscriber {
  /** @throws RangeError when the port cannot be one */
  constructor(opts: RedisClientOptions);
  get isConnected(): boolean;
  get isSubscribed(): boolean;
  connect(): Promise<void>;
  /**
   * Asks for the messages of a channel. One handler hears all channels: the one given last.
   *
   * @throws Error `Not connected`
   */
  subscribe(channel: string, handler: MessageHandler): Promise<void>;
  disconnect(): Promise<void>;
}

/** What gates tell each other on the channel `pg:events`. */
export interface PubSubEvent {
  type: 'key_updated' | 'key_revoked' | 'credits_changed' | 'key_created';
  key: string;
  /** The numbers that changed, as the sender sees them; only with `credits_changed`. */
  data?: { credits?: number; totalSpent?: number; totalCalls?: number; active?: boolean };
  /** Who says so. */
  instanceId: string;
}

/**
 * Keeps a store in step with other gates through Redis, where all keys are. Failures of Redis are printed by
 * `console.error` and do not reject, but for those of `init`.
 */
export class RedisSync {
  /**
   * @param syncIntervalMs how often all keys are read again, in milliseconds; default 5,000
   * @throws TypeError when `store` is no KeyStore
   */
  constructor(redis: RedisClient, store: KeyStore, syncIntervalMs?: number);
  /** 16 hexadecimal digits, new for each. */
  readonly instanceId: string;
  /** Hears what other gates tell, before it is followed; when it throws, it is not. */
  onPubSubEvent?: (event: PubSubEvent) => void;
  get isConnected(): boolean;
  /** Whether messages of others are heard. */
  get isPubSubActive(): boolean;
  /**
   * Connects and reads all keys, or writes those of the store into an empty Redis. Then keeps doing so, and the process
   * alive, until `destroy`.
   *
   * @param subscriberOpts where to hear messages of others; without, they are seen at the next interval
   */
  init(subscriberOpts?: RedisClientOptions): Promise<void>;
  destroy(): Promise<void>;
  /** Writes a key. Balance and totals change by what changed in the store since both agreed. */
  saveKey(record: ApiKeyRecord): Promise<void>;
  saveAll(): Promise<void>;
  /**
   * Takes credits in Redis and in the store. What a gate on the store has charged already is not taken there again.
   * While Redis is away the store decides, and Redis hears of it later.
   *
   * @returns false when the key is unknown or revoked or has too few credits
   * @throws RangeError when the amount is no whole number of credits
   */
  atomicDeduct(apiKey: string, amount: number): Promise<boolean>;
  /**
   * Adds credits, rounded down, in Redis and in the store.
   *
   * @returns false when there is nothing to add, or the key is unknown or revoked
   * @throws RangeError when the amount or the sum is no number of credits
   */
  atomicTopup(apiKey: string, amount: number): Promise<boolean>;
  /** Whether the store has the key. */
  revokeKey(apiKey: string): Promise<boolean>;
  publishEvent(event: Omit<PubSubEvent, 'instanceId'>): Promise<void>;
  recordUsage(event: UsageEvent): Promise<void>;
  /** The latest 100,000 events of all gates, oldest first, or those from an ISO time on; empty on failure. */
  getUsageEvents(since?: string): Promise<UsageEvent[]>;
  getUsageCount(): Promise<number>;
  /**
   * Counts a call in a sliding window that all gates share.
   *
   * @param maxCalls 0 or below is no limit
   * @param windowMs default 60,000
   * @returns allowed when Redis is away
   */
  checkRateLimit(
    key: string,
    maxCalls: number,
    windowMs?: number,
  ): Promise<{ allowed: boolean; remaining: number; resetInMs: number }>;
}

// ── The server ───────────────────────────────────────────────────────────────

/**
 * The gateway in this process: the wrapped server, the gate in front of it, and the HTTP API.
 *
 * Requests are answered on threads of their own. What the properties show is the server's own state, live before,
 * while and after it runs; what is assigned to the gate's hooks or written to records counts for requests that come
 * later, and changes of `gate.config` within a fifth of a second. A hook is asked on this thread and has five seconds;
 * one that throws or takes longer refuses the call (`team_check_failed`, `team_check_timed_out`).
 */
export class PayGateServer {
  /**
   * @param config laid over the defaults, member by member
   * @param adminKey what admin routes ask for; one is made when it is absent or empty
   * @param statePath the state file of the keys; without one they are in memory
   * @param remoteUrl a remote server to wrap instead of `serverCommand`
   * @param stripeWebhookSecret turns `POST /stripe/webhook` on
   * @param servers several servers to wrap under prefixes, instead of one
   * @param redisUrl keeps keys in step with other instances
   * @throws RangeError naming the field, when a price or an alert rule cannot be one
   */
  constructor(
    config: Partial<PayGateConfig> & { serverCommand: string },
    adminKey?: string,
    statePath?: string,
    remoteUrl?: string,
    stripeWebhookSecret?: string,
    servers?: ServerBackendConfig[],
    redisUrl?: string,
  );
  readonly gate: Gate;
  /** The wrapped server; null when there are several. */
  readonly proxy: McpProxy | HttpMcpProxy | null;
  /** The wrapped servers, when there are several. */
  readonly router: MultiServerRouter | null;
  /** Null without `config.oauth`. */
  readonly oauth: OAuthProvider | null;
  readonly sessions: SessionManager;
  readonly audit: AuditLogger;
  readonly registry: ToolRegistry;
  readonly metrics: MetricsCollector;
  readonly analytics: AnalyticsEngine;
  /** Other rules, given by `POST /alerts`, are another engine. */
  readonly alerts: AlertEngine;
  readonly teams: TeamManager;
  /** Null without `redisUrl`. */
  readonly redisSync: RedisSync | null;
  /**
   * Starts the wrapped server and listens. The process stays alive until the server is stopped.
   *
   * @returns the port in use and the admin key
   * @throws Error when Redis, the wrapped server or the port fails; system errors have a `code`. Nothing runs then.
   */
  start(): Promise<{ port: number; adminKey: string }>;
  /** Stops everything at once. Calls under way are given up and settled. */
  stop(): Promise<void>;
  /**
   * Takes no new calls, waits for those under way, then stops everything. A second call returns at once.
   *
   * @param timeoutMs how long to wait, in milliseconds; default 30,000
   */
  gracefulStop(timeoutMs?: number): Promise<void>;
}

// ── Client ───────────────────────────────────────────────────────────────────

export { PayGateClient, PayGateError } from './client.js';
export type { PayGateClientConfig, CreditsNeededInfo, BalanceInfo } from './client.js';

export {};
