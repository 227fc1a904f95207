/**
 * A client of a gateway: pure JavaScript on Node, without the native addon. All methods return promises. What the
 * gateway refuses rejects with a `PayGateError`, what goes wrong on the way with the system's error (`code`
 * `ECONNREFUSED` and the like).
 */

/** What a client goes by. */
export interface PayGateClientConfig {
  /** Where the gateway is: scheme, host and port. A path in it is not used; see `pathPrefix`. */
  url: string;
  /** The API key, sent with every request. */
  apiKey: string;
  /**
   * Milliseconds that one request may take, from connecting to the last byte of the answer. Default 30000, also for
   * 0. Then the promise rejects with `Request timed out after <timeout>ms`; the gateway may have made the call.
   */
  timeout?: number;
  /** Ask `onCreditsNeeded` when a call is refused with −32402, and call again if it says so. Default false. */
  autoRetry?: boolean;
  /** Called when a call was refused with −32402. What it throws rejects the call. */
  onCreditsNeeded?: (info: CreditsNeededInfo) => Promise<boolean>;
  /** How often a call is repeated after `onCreditsNeeded` said so. Default 1, also for 0; `autoRetry: false` is never. */
  maxRetries?: number;
  /** The path that the gateway is mounted at behind a proxy, such as `/gate`. Default none. */
  pathPrefix?: string;
}

/** What a refused call would have needed. */
export interface CreditsNeededInfo {
  tool: string;
  /** The tool's price. */
  creditsRequired: number;
  /** What the key has. */
  remainingCredits: number;
}

/** A tool as the gateway lists it. */
export interface ToolInfo {
  name: string;
  description?: string;
  inputSchema?: Record<string, unknown>;
}

/** What a tool answered. */
export interface ToolCallResult {
  content: Array<{ type: string; text?: string; [k: string]: unknown }>;
  /** True when the tool itself reports a failure; the call is paid for all the same. */
  isError?: boolean;
}

/** What a key has left. At run time the object is whatever the gateway sent. */
export interface BalanceInfo {
  name: string;
  /** The balance. */
  credits: number;
  /** Credits spent in all. */
  totalSpent: number;
  totalCalls: number;
  /** Most credits that may ever be spent; 0 is no limit. */
  spendingLimit: number;
  /** What is left of the spending limit; null without one. */
  remainingBudget: number | null;
  /** ISO 8601, UTC. */
  lastUsedAt: string | null;
  allowedTools: string[];
  deniedTools: string[];
  /** ISO 8601, UTC. */
  expiresAt: string | null;
}

/** Settings of one request. */
export interface RequestOptions {
  /** Gives the request up: the promise rejects with the signal's reason. The gateway may have made the call. */
  signal?: AbortSignal;
}

/** A client for one key of one gateway. Connections are kept for 4 seconds; unused, they keep no process alive. */
export class PayGateClient {
  /** Throws `TypeError` (`Invalid URL`) for a `url` that is none, `RangeError` for a `timeout` that is none. */
  constructor(config: PayGateClientConfig);
  /**
   * Greets the server and gives its answer to `initialize`. Later requests belong to the session that it opens.
   * Needed only for servers that insist on a handshake.
   */
  initialize(options?: RequestOptions): Promise<unknown>;
  /** Whether the gateway answers without an error. Rejects when it does not answer. */
  ping(options?: RequestOptions): Promise<boolean>;
  /** The tools that the key may call; the first page, if there are several. */
  listTools(options?: RequestOptions): Promise<ToolInfo[]>;
  /** Calls a tool. Rejects with `PayGateError` when the call is refused or the server answers with an error. */
  callTool(name: string, args?: Record<string, unknown>, options?: RequestOptions): Promise<ToolCallResult>;
  /** What the key has left. A key that is unknown gives `{ error }` rather than a rejection. */
  getBalance(options?: RequestOptions): Promise<BalanceInfo>;
  /** The credits that `getBalance` saw last; null before. */
  get lastKnownBalance(): number | null;
  /** Ends the session, if there is one, and closes unused connections. The client can be used again. */
  close(): Promise<void>;
}

/** What a gateway refused, or a server answered with an error. */
export class PayGateError extends Error {
  constructor(code: number, message: string, data?: unknown);
  /** The JSON-RPC code; the HTTP status when the request was refused before it was looked at as JSON-RPC. */
  code: number;
  data?: unknown;
  /** Whether `code` is −32402: no key, an unknown one, no credits, or any other refusal to pay for. */
  get isPaymentRequired(): boolean;
  /** Whether the message says that there were too many calls. */
  get isRateLimited(): boolean;
  /** Whether the message says that the key has expired. */
  get isExpired(): boolean;
}
