'use strict';

const { array, json, kindOf, members, shown, text, unwritable, wrong } = require('./arguments.js');
const { native, shared, call, KIND, FIRST, SECOND, NOW, BYTES, THIRD, NOTICES, LINES } = require('./native.js');
const { KeyStore, PARTS, print } = require('./key-store.js');
const { QuotaTracker } = require('./quota-tracker.js');
const { SeenConfig, callsMax } = require('./gate-config.js');
const { eventOf, lastEvents, meterOf } = require('./usage-meter.js');
const { limiterOf } = require('./rate-limiter.js');
const { gateWebhook, emitterOf } = require('./webhook-emitter.js');

/** Calls of a batch that pass as arguments; longer batches are handed over as text. */
const SPREAD_MAX = 128;

/** What stands for the size of arguments where it does not count. */
const NO_ARGUMENTS = -1;

// Kinds of answers to a batch; crates/node/src/gate.rs has the same list.
const ALLOWED = 0;
const DENIED = 1;
const PARTLY = 2;
const SHADOWED = 3;

/** Own to the package: what a gate is made of. */
const GATE = Symbol('gate');

/** The open call that the next decision is for: what it takes is kept there until the call has ended. */
let opening;

/** Makes a gate that decides on other threads too. */
const SERVED = Symbol('served');

class Gate {
  constructor(config, statePath, served) {
    const seen = new SeenConfig(config);
    const [given, webhookGiven] = [seen.given(config), gateWebhook(config)];
    this.config = config;
    this.store = new KeyStore(statePath);
    const { handle: store, owner } = this.store[PARTS];
    this.rateLimiter = limiterOf(store, config.globalRateLimitPerMin);
    const handle = call(native.gateNew, store, given, served === SERVED ? 1 : 0, webhookGiven);
    this.meter = meterOf(call(native.gateMeter, handle));
    const webhook = call(native.gateWebhook, handle);
    this.webhook = webhook === undefined ? null : emitterOf(webhook, config);
    this.quotaTracker = new QuotaTracker();
    Object.defineProperty(this, GATE, {
      value: {
        handle,
        evaluate: call(native.gateEvaluator, handle),
        evaluateBatch: call(native.gateBatchEvaluator, handle),
        charge: call(native.gateCharger, handle),
        chargeBatch: call(native.gateBatchCharger, handle),
        quotas: owner.quotas,
        owner,
        store,
        seen,
        served: served === SERVED,
      },
    });
  }

  get refundOnFailure() {
    return this.config.refundOnFailure;
  }

  evaluate(apiKey, toolCall, clientIp) {
    const open = opening;
    if (open !== undefined) opening = undefined;
    const parts = this[GATE];
    const named = toolCall?.name;
    const name = typeof named === 'string' ? named : text(members(toolCall, 'toolCall').name, 'toolCall.name');
    const key = typeof apiKey === 'string' ? apiKey : noKey(apiKey);
    if (!parts.seen.holds(this.config) || !parts.seen.holdsPrice(name)) reconfigure(this);
    const bytes = parts.seen.measures(name) ? sizeOf(toolCall.arguments, 'toolCall.arguments') : NO_ARGUMENTS;
    const address = clientIp ? text(clientIp, 'clientIp') : '';
    if (parts.quotas.size !== 0) parts.owner.pushQuota(key);
    shared[BYTES] = bytes;
    shared[NOW] = Date.now();
    if (this.teamChecker || this.onCreditsDeducted || this.teamRecorder || this.onUsageEvent) {
      return evaluateHooked(this, key, name, address, bytes, open);
    }
    if (open !== undefined) return decideOne(parts, key, name, address, open);
    const reason = address === '' ? parts.evaluate(key, name) : parts.evaluate(key, name, address);
    if (shared[NOTICES] !== 0) print(parts.store);
    return decision(reason);
  }

  evaluateBatch(apiKey, calls, clientIp) {
    const open = opening;
    if (open !== undefined) opening = undefined;
    const count = array(calls, 'calls').length;
    const limit = callsMax(this.config);
    if (count > limit) throw new RangeError(`calls must be at most ${limit}, but are ${count}`);
    const key = typeof apiKey === 'string' ? apiKey : noKey(apiKey);
    const names = new Array(count);
    for (let i = 0; i < count; i += 1) names[i] = nameOf(calls[i], i);
    if (count === 0) {
      return { allAllowed: true, totalCredits: 0, decisions: [], remainingCredits: 0, failedIndex: -1 };
    }
    const parts = this[GATE];
    const address = clientIp ? text(clientIp, 'clientIp') : '';
    if (!parts.seen.holds(this.config)) reconfigure(this);
    for (let i = 0; i < count; i += 1) {
      if (!parts.seen.holdsPrice(names[i])) reconfigure(this);
    }
    if (parts.quotas.size !== 0) parts.owner.pushQuota(key);
    if (this.teamChecker || this.onCreditsDeducted || this.teamRecorder || this.onUsageEvent) {
      return evaluateBatchHooked(this, key, calls, names, address, open);
    }
    return decideBatch(parts, key, calls, names, address, open);
  }

  filterToolsForKey(apiKey, tools) {
    const { handle } = this[GATE];
    const key = typeof apiKey === 'string' ? apiKey : noKey(apiKey);
    if (!call(native.gateFilters, handle, key)) return null;
    return array(tools, 'tools').filter((tool, i) => call(native.gateVisible, handle, key, toolName(tool, i)));
  }

  isFreeMethod(method) {
    const { freeMethods } = this.config;
    if (typeof freeMethods?.includes !== 'function') throw wrong('config.freeMethods', 'an array', freeMethods);
    return freeMethods.includes(method);
  }

  getToolPrice(toolName, args) {
    const parts = this[GATE];
    const name = text(toolName, 'toolName');
    if (!parts.seen.holds(this.config) || !parts.seen.holdsPrice(name)) reconfigure(this);
    shared[BYTES] = parts.seen.measures(name) ? sizeOf(args, 'args') : NO_ARGUMENTS;
    return call(native.gatePrice, parts.handle, name);
  }

  getStatus(namespace) {
    const { config, store, meter } = this;
    const status = {
      name: config.name,
      shadowMode: config.shadowMode,
      activeKeys: store.activeKeyCount,
      keys: store.listKeys(namespace),
      usage: meter.getSummary(undefined, namespace),
      eventCount: meter.eventCount,
      namespaces: store.listNamespaces(),
    };
    if (namespace) status.filteredNamespace = namespace;
    status.config = {
      defaultCreditsPerCall: config.defaultCreditsPerCall,
      globalRateLimitPerMin: config.globalRateLimitPerMin,
      toolPricing: config.toolPricing,
      refundOnFailure: config.refundOnFailure,
      webhookUrl: config.webhookUrl ? '***' : null,
    };
    return status;
  }

  refund(apiKey, toolName, credits) {
    if (!Number.isSafeInteger(credits) || credits <= 0) {
      throw new RangeError(`credits must be a whole number of at least 1, but is ${shown(credits)}`);
    }
    const { handle, owner, store } = this[GATE];
    const [key, tool] = [text(apiKey, 'apiKey'), text(toolName, 'toolName')];
    owner.pushQuota(key);
    call(native.gateRefund, handle, key, tool, credits);
    print(store);
    if (this.onUsageEvent) hookOf(this, 'onUsageEvent').call(this, ownEvents(this, 1)[0]);
  }

  destroy() {
    this.rateLimiter.destroy();
    this.webhook?.destroy();
  }
}

/** The events of what the script has just decided. Other threads may have decided something meanwhile. */
function ownEvents(gate, count) {
  const { served, handle } = gate[GATE];
  return served ? JSON.parse(call(native.hooksTake, handle)).map(eventOf).slice(-count) : lastEvents(gate.meter, count);
}

/** What stands for no key; anything else that is no text is an error. */
function noKey(apiKey) {
  if (apiKey) throw wrong('apiKey', 'a string or null', apiKey);
  return '';
}

function toolName(tool, index) {
  return text(members(tool, `tools[${index}]`).name, `tools[${index}].name`);
}

/** A hook that is set. One that is no function is an error where it is to run, as one that throws. */
function hookOf(gate, name) {
  const hook = gate[name];
  if (typeof hook !== 'function') throw wrong(`gate.${name}`, 'a function', hook);
  return hook;
}

/** What `teamChecker` says of credits that are to be taken: whether they may be, and the reason of a refusal. */
function askTeam(gate, key, credits) {
  const { allowed, reason } = members(hookOf(gate, 'teamChecker').call(gate, key, credits), 'gate.teamChecker()');
  if (allowed) return { allowed: true };
  return { allowed: false, reason: reason === undefined ? [] : [text(reason, 'gate.teamChecker().reason')] };
}

function nameOf(entry, index) {
  const name = typeof entry === 'object' && entry !== null ? entry.name : undefined;
  if (typeof name === 'string' && name !== '') return name;
  const isObject = typeof entry === 'object' && entry !== null;
  const fault = isObject ? `its name is ${name === '' ? 'empty' : kindOf(name)}` : `is ${kindOf(entry)}`;
  throw new TypeError(`calls[${index}] must be an object with a non-empty string "name", but ${fault}`);
}

/** Bytes of arguments as compact JSON; what JavaScript takes for false counts as none. */
function sizeOf(args, place) {
  if (!args) return NO_ARGUMENTS;
  let line;
  try {
    line = JSON.stringify(args);
  } catch (error) {
    throw unwritable(error, args, nameOfArguments(place));
  }
  if (line === undefined) throw wrong(nameOfArguments(place), 'a value with a form in JSON', args);
  return Buffer.byteLength(line);
}

/** Arguments of a batch are told by their place in it. */
function nameOfArguments(place) {
  return typeof place === 'number' ? `calls[${place}].arguments` : place;
}

/** Goes by what stands in the configuration now. */
function reconfigure(gate) {
  const { config } = gate;
  const parts = gate[GATE];
  const seen = new SeenConfig(config);
  call(native.gateConfigure, parts.handle, seen.given(config));
  parts.seen = seen;
}

/** The answer to a call, from the reason and the shared numbers. */
function decision(reason) {
  if (reason === undefined && shared[KIND] === 1) {
    return { allowed: true, creditsCharged: shared[FIRST], remainingCredits: shared[SECOND] };
  }
  return { allowed: shared[KIND] === 1, reason, creditsCharged: 0, remainingCredits: shared[SECOND] };
}

/** Decides a call without hooks; what is taken is kept in the open call, if there is one. */
function decideOne(parts, key, name, address, open) {
  const { evaluate, charge, store } = parts;
  const reason = open === undefined ? call(evaluate, key, name, address) : call(charge, open, key, name, address);
  print(store);
  return decision(reason);
}

/** A call with hooks. Native code runs none of them, and holds no lock while they run. */
function evaluateHooked(gate, key, name, address, bytes, open) {
  const { handle } = gate[GATE];
  let decided;
  if (gate.teamChecker && call(native.gateJudge, handle, key, name, address)) {
    const { allowed, reason } = askTeam(gate, key, shared[FIRST]);
    if (!allowed) decided = decision(call(native.gateRefuse, handle, key, name, ...reason));
  }
  let charged = false;
  if (decided === undefined) {
    // A hook may have made decisions of its own.
    shared[BYTES] = bytes;
    decided = decideOne(gate[GATE], key, name, address, open);
    charged = decided.reason === undefined && decided.allowed;
  }
  const [event] = gate.onUsageEvent ? ownEvents(gate, 1) : [];
  if (charged) {
    tellCharge(gate, key, decided.creditsCharged);
  }
  if (event !== undefined) hookOf(gate, 'onUsageEvent').call(gate, event);
  return decided;
}

/** Tells the hooks of credits that were taken. They stay taken whatever a hook does. */
function tellCharge(gate, key, credits) {
  if (gate.onCreditsDeducted) hookOf(gate, 'onCreditsDeducted').call(gate, key, credits);
  if (gate.teamRecorder) hookOf(gate, 'teamRecorder').call(gate, key, credits);
}

/** Decides a batch without hooks; what is taken is kept in the open call, if there is one. */
function decideBatch(parts, key, calls, names, address, open) {
  const { seen } = parts;
  const count = names.length;
  if (count > SPREAD_MAX || open !== undefined) {
    const lines = sizesOf(seen, calls, names);
    const [decide, first] = open === undefined ? [native.gateBatch, parts.handle] : [parts.chargeBatch, open];
    const answer = call(decide, first, key, address, json(names, 'calls'), lines);
    print(parts.store);
    return batchDecision(answer, count, lines, 0);
  }
  if (seen.measuring) {
    // A `toJSON` of the arguments may call a gate, so all sizes are taken before any is put down.
    const sizes = sizesOf(seen, calls, names);
    for (let i = 0; i < count; i += 1) shared[LINES + i] = sizes[i];
  }
  shared[BYTES] = seen.measuring ? 0 : NO_ARGUMENTS;
  shared[NOW] = Date.now();
  const answer = parts.evaluateBatch(key, address, ...names);
  print(parts.store);
  return batchDecision(answer, count, shared, LINES);
}

function sizesOf(seen, calls, names) {
  const sizes = new Float64Array(names.length).fill(NO_ARGUMENTS);
  for (let i = 0; i < names.length; i += 1) {
    if (seen.measures(names[i])) sizes[i] = sizeOf(calls[i].arguments, i);
  }
  return sizes;
}

/** The answer to a batch. What was taken for each call stands in `lines` from `start` on. */
function batchDecision(answer, count, lines, start) {
  const kind = shared[KIND];
  const decisions = new Array(count);
  if (kind === ALLOWED) {
    const remainingCredits = shared[SECOND];
    for (let i = 0; i < count; i += 1) {
      decisions[i] = { allowed: true, creditsCharged: lines[start + i], remainingCredits };
    }
    return { allAllowed: true, totalCredits: shared[FIRST], decisions, remainingCredits, failedIndex: -1 };
  }
  if (kind === DENIED) {
    const remainingCredits = shared[SECOND];
    const failedIndex = shared[FIRST];
    const whole = shared[THIRD] === 1;
    for (let i = 0; i < count; i += 1) {
      const reason = whole || i === failedIndex ? answer : 'batch_rejected';
      decisions[i] = { allowed: false, reason, creditsCharged: 0, remainingCredits };
    }
    return { allAllowed: false, totalCredits: 0, decisions, remainingCredits, reason: answer, failedIndex };
  }
  return shadowedBatch(answer, kind, decisions, lines, start);
}

/** The answer to a batch that shadow mode let through, in part or as a whole, without charge. */
function shadowedBatch(answer, kind, decisions, lines, start) {
  const [totalCredits, remainingCredits] = [shared[FIRST], shared[SECOND]];
  const reasons = kind === PARTLY ? JSON.parse(answer) : undefined;
  for (let i = 0; i < decisions.length; i += 1) {
    const reason = reasons === undefined ? answer : reasons[i];
    decisions[i] =
      reason === null
        ? { allowed: true, creditsCharged: lines[start + i], remainingCredits }
        : { allowed: true, reason, creditsCharged: 0, remainingCredits };
  }
  return { allAllowed: true, totalCredits, decisions, remainingCredits, failedIndex: -1 };
}

/** A batch with hooks, as `evaluateHooked`. */
function evaluateBatchHooked(gate, key, calls, names, address, open) {
  const parts = gate[GATE];
  if (gate.teamChecker) {
    const sizes = sizesOf(parts.seen, calls, names);
    const total = call(native.gateJudgeBatch, parts.handle, key, address, json(names, 'calls'), sizes);
    if (total >= 0) {
      const { allowed, reason } = askTeam(gate, key, total);
      // Shadow mode asks, and goes on whatever the answer.
      if (!allowed && !gate.config.shadowMode) {
        const answer = call(native.gateRefuseBatch, parts.handle, key, ...reason);
        return batchDecision(answer, names.length, shared, LINES);
      }
    }
  }
  const decided = decideBatch(parts, key, calls, names, address, open);
  // A batch that is let through unpaid as a whole takes nothing and is told to nobody.
  if (!decided.allAllowed || shared[KIND] === SHADOWED) return decided;
  const events = gate.onUsageEvent ? ownEvents(gate, names.length) : [];
  tellCharge(gate, key, decided.totalCredits);
  for (const event of events) {
    if (gate.onUsageEvent) hookOf(gate, 'onUsageEvent').call(gate, event);
  }
  return decided;
}

/** Runs a decision of a gate, a subclass's own included, that is for an open call. */
function decideFor(open, decide) {
  opening = open;
  try {
    return decide();
  } finally {
    opening = undefined;
  }
}

/** The gate of a server that runs in this process. */
function servedGate(config, statePath) {
  return new Gate(config, statePath, SERVED);
}

/** Goes by what stands in the configuration now, if anything of it has changed. */
function reconfigureIfChanged(gate) {
  const { seen } = gate[GATE];
  if (!seen.holds(gate.config) || !seen.holdsAllPrices()) reconfigure(gate);
}

module.exports = { Gate, GATE, askTeam, decideFor, hookOf, nameOf, servedGate, reconfigureIfChanged };
