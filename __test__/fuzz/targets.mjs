// Everything that the package exports, as steps that can be taken: what is called, and the call.
import { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import { Trap, chance, known, one, some, spoiled, value } from './values.mjs';

const paygate = createRequire(import.meta.url)('../..');

/** Methods that start programs, go to the network or end what they are called on. */
const NOT_CALLED = new Set(['constructor', 'start', 'stop', 'gracefulStop', 'connect', 'init', 'destroy']);

const PRICING = { search: { creditsPerCall: 2, rateLimitPerMin: 50 }, echo: { creditsPerCall: 1, creditsPerKbInput: 3 } };
const CONFIG = { ...paygate.DEFAULT_CONFIG, toolPricing: PRICING };
const CONFIG_FIELDS = [
  'name', 'serverCommand', 'serverArgs', 'port', 'defaultCreditsPerCall', 'toolPricing', 'globalRateLimitPerMin',
  'freeMethods', 'shadowMode', 'webhookUrl', 'webhookSecret', 'webhookMaxRetries', 'refundOnFailure', 'oauth',
  'refundOnToolError', 'globalQuota', 'maxBatchCalls', 'batchRateLimit', 'alertRules',
];
const HOOKS = ['teamChecker', 'teamRecorder', 'onUsageEvent', 'onCreditsDeducted'];

/** A configuration with something wrong in it, or under it. */
function oddConfig() {
  if (chance() < 0.5) return spoiled(CONFIG, CONFIG_FIELDS);
  const price = spoiled(PRICING.search, ['creditsPerCall', 'rateLimitPerMin', 'creditsPerKbInput']);
  const quota = spoiled({}, ['dailyCallLimit', 'monthlyCallLimit', 'dailyCreditLimit', 'monthlyCreditLimit']);
  const rule = spoiled({ type: 'credits_low', threshold: 1 }, ['type', 'threshold', 'cooldownSeconds']);
  return { ...CONFIG, ...one([{ toolPricing: { search: price } }, { globalQuota: quota }, { alertRules: [rule] }]) };
}

/** A gate whose state is in a file, one without, and a server's, with what belongs to them. */
export class World {
  constructor(statePath) {
    this.filed = new paygate.Gate({ ...CONFIG, globalRateLimitPerMin: 1000 }, statePath);
    this.plain = new paygate.Gate({ ...CONFIG, globalRateLimitPerMin: 0 });
    const wrapped = { serverCommand: 'true', oauth: {}, alertRules: [{ type: 'credits_low', threshold: 5 }] };
    this.server = new paygate.PayGateServer({ ...CONFIG, ...wrapped }, 'admin-key');
    this.gates = [this.filed, this.plain, this.server.gate];
    this.instances = instancesOf(this);
    this.ledgers = this.gates.map((gate) => new Ledger(gate));
    known.act = () => this.act();
    this.refill();
  }

  /** Decides a call, unless that is what is going on. */
  act() {
    if (this.acting) return;
    this.acting = true;
    try {
      this.plain.evaluate(one(known.keys), { name: 'search' });
    } finally {
      this.acting = false;
    }
  }

  /** Makes keys and teams that can be meant by their names. */
  refill() {
    const keys = this.gates.flatMap(({ store }) => [0, 1, 2].map((i) => store.createKey(`k${i}`, 1000).key));
    const team = this.server.teams.createTeam({ name: 'team', budget: 100 });
    keys.forEach((key) => this.server.teams.assignKey(team.id, key));
    known.keys = [...keys, 'pg_unknown', ''];
    known.teams = ['team_unknown', team.id];
  }

  /** Something wrong with the books; undefined when nothing is. */
  fault() {
    for (const { store } of this.gates) {
      for (const key of known.keys) {
        const credits = store.getKeyRaw(key)?.credits ?? 0;
        if (!(Number.isSafeInteger(credits) && credits >= 0)) return `a balance is ${credits}`;
      }
    }
    return this.ledgers.map((ledger) => ledger.fault()).find((found) => found !== undefined);
  }

  /** Ends everything, with the file written for the last time. */
  end() {
    for (const instance of this.instances.values()) instance.destroy?.();
    this.server.gate.destroy();
    this.filed.store.save();
  }

  /** What is missing in a copy of the file; undefined when nothing is. */
  missingIn(path) {
    const copy = new paygate.KeyStore(path);
    for (const [name, { key, credits, totalSpent, active }] of this.filed.store.keys) {
      // A record without a key, or that says that it is another key's, is not read back, as in 2.9.0.
      if (key === '' || key !== name) continue;
      const found = copy.getKeyRaw(key);
      if (found === null) return `${key} is missing`;
      const same = found.credits === credits && found.totalSpent === totalSpent && Boolean(found.active) === Boolean(active);
      if (!same) return `${key} has ${found.credits} credits, not ${credits}`;
    }
    return undefined;
  }
}

/** Keys of a gate that are only charged, refunded and granted credits to, and what must be true of them. */
class Ledger {
  constructor(gate) {
    this.gate = gate;
    this.accounts = [0, 1, 2].map((i) => ({ key: gate.store.createKey(`account${i}`, 1e6).key, granted: 1e6, charges: [] }));
  }

  steps() {
    return {
      evaluate: (account) => this.note(account, [call()], ([tool]) => [this.gate.evaluate(account.key, tool, one([undefined, value()]))]),
      evaluateBatch: (account) =>
        this.note(account, [call(), call(), call()], (tools) => this.gate.evaluateBatch(account.key, tools).decisions),
      refund: (account) => {
        const charge = account.charges.pop();
        if (charge !== undefined) this.gate.refund(account.key, ...charge);
      },
      deduct: ({ key }) => this.gate.store.deductCredits(key, one([value(), 1])),
      grant: (account) => {
        const credits = value();
        const before = this.gate.store.getKeyRaw(account.key).credits;
        if (this.gate.store.addCredits(account.key, credits)) account.granted += this.credits(account) - before;
      },
    };
  }

  credits({ key }) {
    return this.gate.store.getKeyRaw(key).credits;
  }

  /** Decides, and remembers what may be given back. */
  note(account, tools, decide) {
    decide(tools).forEach(({ creditsCharged }) => {
      if (creditsCharged > 0) account.charges.push(['search', creditsCharged]);
    });
    if (account.charges.length > 100) account.charges.length = 0;
  }

  fault() {
    for (const { key, granted } of this.accounts) {
      const { credits, totalSpent } = this.gate.store.getKeyRaw(key);
      if (credits + totalSpent !== granted) return `of ${granted} credits ${credits} are left and ${totalSpent} are spent`;
    }
    return undefined;
  }
}

const call = () => (chance() < 0.5 ? { name: one(['search', 'echo']), arguments: { q: 'x' } } : value());

/** An instance of every class, by what it is called. */
function instancesOf({ filed, plain, server }) {
  const redis = new paygate.RedisClient({ host: '127.0.0.1', port: 1 });
  return new Map(
    Object.entries({
      Gate: plain,
      KeyStore: plain.store,
      'filed Gate': filed,
      'filed KeyStore': filed.store,
      'server.gate Gate': server.gate,
      'server.gate.store KeyStore': server.gate.store,
      'server.gate.meter UsageMeter': server.gate.meter,
      'server.gate.rateLimiter RateLimiter': server.gate.rateLimiter,
      'server.teams TeamManager': server.teams,
      'server.audit AuditLogger': server.audit,
      'server.metrics MetricsCollector': server.metrics,
      'server.alerts AlertEngine': server.alerts,
      'server.registry ToolRegistry': server.registry,
      'server.sessions SessionManager': server.sessions,
      'server.oauth OAuthProvider': server.oauth,
      'server.proxy McpProxy': server.proxy,
      UsageMeter: new paygate.UsageMeter(100),
      RateLimiter: new paygate.RateLimiter(5),
      QuotaTracker: new paygate.QuotaTracker(),
      TeamManager: new paygate.TeamManager(),
      StripeWebhookHandler: new paygate.StripeWebhookHandler(plain.store, 'whsec'),
      WebhookEmitter: new paygate.WebhookEmitter('nota url', { maxRetries: 0, maxDeadLetters: 50 }),
      OAuthProvider: new paygate.OAuthProvider({}),
      SessionManager: new paygate.SessionManager(),
      AuditLogger: new paygate.AuditLogger({ maxEvents: 100 }),
      ToolRegistry: new paygate.ToolRegistry(CONFIG, false),
      MetricsCollector: new paygate.MetricsCollector(),
      AnalyticsEngine: new paygate.AnalyticsEngine(),
      AlertEngine: new paygate.AlertEngine({ rules: [{ type: 'credits_low', threshold: 5 }] }),
      McpProxy: new paygate.McpProxy(plain, 'true', []),
      HttpMcpProxy: new paygate.HttpMcpProxy(plain, 'http://127.0.0.1:1/'),
      MultiServerRouter: new paygate.MultiServerRouter(plain, [{ prefix: 'a', serverCommand: 'true' }]),
      // Nobody listens on port 1, so that requests end at once.
      PayGateClient: new paygate.PayGateClient({ url: 'http://127.0.0.1:1', apiKey: 'pg_x' }),
      RedisClient: redis,
      RedisSubscriber: new paygate.RedisSubscriber({ host: '127.0.0.1', port: 1 }),
      RedisSync: new paygate.RedisSync(redis, plain.store),
    }),
  );
}

/** Arguments of a constructor: some, or sane ones of which one is not. */
const MADE_OF = {
  Gate: () => [oddConfig()],
  PayGateServer: () => one([[oddConfig(), ...some()], [CONFIG, undefined, undefined, ...some()]]),
  McpProxy: (world) => [world.plain, value(), value()],
  HttpMcpProxy: (world) => [world.plain, value()],
  MultiServerRouter: (world) => [world.plain, one([value(), [spoiled({ prefix: 'a', serverCommand: 'true' }, ['prefix', 'serverCommand', 'serverArgs', 'remoteUrl'])]])],
  StripeWebhookHandler: (world) => [world.plain.store, value(), value()],
  RedisSync: (world) => [value(), world.plain.store, value()],
  RedisClient: () => [spoiled({ host: 'h' }, ['host', 'port', 'username', 'password', 'db', 'connectTimeout', 'commandTimeout'])],
  PayGateClient: () => [spoiled({ url: 'http://127.0.0.1:1' }, ['url', 'apiKey', 'timeout', 'autoRetry', 'maxRetries', 'onCreditsNeeded', 'pathPrefix'])],
  WebhookEmitter: () => ['http://127.0.0.1:1', spoiled({}, ['secret', 'batchSize', 'flushIntervalMs', 'maxRetries', 'baseDelayMs', 'maxDeadLetters'])],
  OAuthProvider: () => [spoiled({}, ['issuer', 'accessTokenTtl', 'refreshTokenTtl', 'codeTtl', 'scopes'])],
  SessionManager: () => [spoiled({}, ['sessionTimeoutMs', 'maxSessions', 'maxSsePerSession'])],
  AuditLogger: () => [spoiled({}, ['maxEvents', 'maxAgeHours', 'cleanupIntervalMs'])],
  AlertEngine: () => [{ rules: [spoiled({ type: 'credits_low', threshold: 1 }, ['type', 'threshold', 'cooldownSeconds'])] }],
};
MADE_OF.RedisSubscriber = MADE_OF.RedisClient;

/** Ends what a constructor has made. */
function end(made) {
  made?.destroy?.();
  for (const part of ['gate', 'oauth', 'audit', 'sessions']) made?.[part]?.destroy?.();
}

/** All steps: what each is called, and what it does. Those of two worlds have the same names in the same order. */
export function stepsOf(world) {
  const steps = [];
  for (const [name, exported] of Object.entries(paygate)) {
    if (typeof exported !== 'function') continue;
    if (!/^[A-Z]/.test(name)) {
      steps.push([name, () => exported(...some())]);
      continue;
    }
    for (const own of Object.getOwnPropertyNames(exported)) {
      if (typeof exported[own] === 'function') steps.push([`${name}.${own}`, () => exported[own](...some())]);
    }
    steps.push([`new ${name}`, () => end(new exported(...(chance() < 0.5 && name in MADE_OF ? MADE_OF[name](world) : some())))]);
  }
  for (const [name, instance] of world.instances) {
    for (const [member, { get }] of membersOf(instance)) {
      const run = get === undefined ? () => instance[member](...some()) : () => instance[member];
      steps.push([`${name}#${member}`, run]);
    }
  }
  for (const ledger of world.ledgers) {
    for (const [name, run] of Object.entries(ledger.steps())) {
      for (let weight = 0; weight < 4; weight += 1) steps.push([`ledger ${name}`, () => run(one(ledger.accounts))]);
    }
  }
  for (const gate of world.gates) steps.push(...recordSteps(gate.store), ...gateSteps(gate));
  return steps;
}

/** The methods and accessors of an instance, inherited ones included. */
function membersOf(instance) {
  const members = new Map();
  for (let at = Object.getPrototypeOf(instance); at !== Object.prototype && at !== EventEmitter.prototype; at = Object.getPrototypeOf(at)) {
    for (const [name, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      if (!NOT_CALLED.has(name) && !members.has(name)) members.set(name, descriptor);
    }
  }
  return members;
}

/** What a script may do to a record in its hands. */
function recordSteps(store) {
  const record = () => store.getKey(one(known.keys)) ?? {};
  return [
    ['record.get', () => scripts(() => JSON.stringify(record()))],
    ['record.set', () => { const found = record(); found[one([...Object.keys(found), 'own'])] = value(); }],
    ['record.delete', () => { delete record()[one(['tags', 'quota', 'name', 'expiresAt', 'lastUsedAt', 'own'])]; }],
    ['record.push', () => record().allowedTools?.push?.(value())],
    ['record.tag', () => { const { tags } = record(); if (Object(tags) === tags) tags[one(['a', 'b'])] = value(); }],
    ['record.define', () => scripts(() => Object.defineProperty(record(), one(['credits', 'own']), one([{ value: 5 }, { get: () => 1 }])))],
  ];
}

/** What a script may do to a gate: hooks that are none, and changes of the configuration, which are taken back. */
function gateSteps(gate) {
  return [
    ['gate.hook', () => { gate[one(HOOKS)] = chance() < 0.7 ? undefined : value(); }],
    ['gate.config', () => {
      const before = { ...gate.config };
      Object.assign(gate.config, oddConfig());
      try {
        return one([
          () => gate.evaluate(one(known.keys), { name: 'search' }),
          () => gate.evaluateBatch(one(known.keys), [{ name: 'search' }]),
          () => gate.isFreeMethod('ping'),
          () => gate.getToolPrice('search'),
          () => gate.getStatus(),
        ])();
      } finally {
        for (const field of Object.keys(gate.config)) delete gate.config[field];
        Object.assign(gate.config, before);
      }
    }],
  ];
}

/** Runs what throws by the script's own doing. */
function scripts(run) {
  try {
    return run();
  } catch (error) {
    throw error instanceof TypeError || error instanceof RangeError ? new Trap(error.message) : error;
  }
}
