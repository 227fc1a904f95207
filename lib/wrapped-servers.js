'use strict';

// What the three front ends share: messages go to wrapped servers through a gate, which decides on the script's
// thread with the script's hooks. The rest of a call's life, its settlement included, is native.

const { array, json, members, object, text, wellFormed, written, wrong } = require('./arguments.js');
const { native, call, hold, release, listen, unlisten, promised } = require('./native.js');
const { GATE, decideFor, hookOf, nameOf, reconfigureIfChanged } = require('./gate.js');
const { print } = require('./key-store.js');
const { lastEvents } = require('./usage-meter.js');

const INTERNAL_ERROR = -32603;
const INVALID_PARAMS = -32602;
const PAYMENT_REQUIRED = -32402;

// What is told; crates/node/src/backend.rs has the same list.
const STARTED = 0;
const EXITED = 1;
const STDERR = 2;
const NOTIFICATION = 3;
const UNPARSABLE = 4;
const TOOL_CALL = 5;
const BATCH_CALL = 6;

/** How many of the latest events are looked through for refunds. */
const EVENTS_SEARCHED = 1000;

/** Own to the package: what a front end is made of. */
const SERVERS = Symbol('servers');

/**
 * Makes a front end of an emitter. `wrapped` says what it wraps, `manner` what tells it from the others:
 * `stopped` is the error while nothing runs, `refusal` the code with which a single call is refused, `routes` whether
 * names of tools have prefixes, `holds` whether the process lives as long as it runs.
 */
function wrap(emitter, gate, wrapped, manner) {
  if (typeof gate !== 'object' || gate === null || gate[GATE] === undefined) throw wrong('gate', 'a Gate', gate);
  const { NODE_EXTRA_CA_CERTS: extraCertificates } = process.env;
  const handle = call(native.backendNew, gate[GATE].handle, json({ ...wrapped, extraCertificates }, 'config'));
  const state = { running: false, child: false, target: 0, turn: Promise.resolve() };
  Object.defineProperty(emitter, SERVERS, { value: { gate, handle, refusal: PAYMENT_REQUIRED, ...manner, ...state } });
}

/** Starts what is wrapped, unless it runs. Starts and stops take turns. */
function start(emitter) {
  return inTurn(emitter, async (servers) => {
    if (servers.running) return;
    const target = hear(emitter);
    try {
      await promised(native.backendStart, servers.handle, target);
    } catch (error) {
      unlisten(target);
      throw error;
    }
    started(emitter);
  });
}

/** Stops what is wrapped, if it runs. */
function stop(emitter) {
  const servers = emitter[SERVERS];
  const ran = servers.running;
  // Nothing more is taken from this moment on, whoever's turn it is.
  servers.running = false;
  return inTurn(emitter, async () => {
    if (!ran && !servers.running) return;
    servers.running = false;
    await promised(native.backendStop, servers.handle);
    stopped(emitter);
  });
}

function inTurn(emitter, act) {
  const servers = emitter[SERVERS];
  const done = servers.turn.then(() => act(servers));
  servers.turn = done.catch(() => {});
  return done;
}

/** Has the emitter hear what threads tell it. Gives the target that they tell it to. */
function hear(emitter) {
  const servers = emitter[SERVERS];
  servers.target = listen((kind, told) => emit(emitter, kind, told));
  return servers.target;
}

/** Notes that what is wrapped runs. */
function started(emitter) {
  const servers = emitter[SERVERS];
  servers.running = true;
  if (servers.holds) hold();
}

/** Notes that what is wrapped has ended. */
function stopped(emitter) {
  const servers = emitter[SERVERS];
  servers.running = false;
  unlisten(servers.target);
  childEnded(servers);
  if (servers.holds) release();
}

/** A child keeps the process alive, as one that Node starts does. */
function childStarted(servers) {
  if (servers.child) return;
  servers.child = true;
  hold();
}

function childEnded(servers) {
  if (!servers.child) return;
  servers.child = false;
  release();
}

function emit(emitter, kind, told) {
  switch (kind) {
    case STARTED:
      return childStarted(emitter[SERVERS]);
    case EXITED:
      childEnded(emitter[SERVERS]);
      return emitter.emit('server-exit', JSON.parse(told));
    case STDERR:
      return emitter.emit('server-stderr', told);
    case NOTIFICATION:
      return emitter.emit('server-notification', JSON.parse(told));
    case UNPARSABLE:
      return emitLine(emitter, told);
    case TOOL_CALL:
      return emitter.emit('tool-call', JSON.parse(told));
    case BATCH_CALL:
      return emitter.emit('batch-call', JSON.parse(told));
  }
}

/** A line that is no message: JSON of any other kind without an id counts as a notification, as in 2.9.0. */
function emitLine(emitter, line) {
  let value = null;
  try {
    value = JSON.parse(line);
  } catch {
    // Not JSON at all.
  }
  if (value === null) emitter.emit('parse-error', line);
  else if ((value.id ?? null) === null) emitter.emit('server-notification', value);
}

/** A message as it is sent, and as it then reads: whatever getters it has are asked once. */
function taken(request) {
  const line = typeof request === 'object' && request !== null ? written(request, 'request') : undefined;
  if (line === undefined) throw wrong('request', 'an object', request);
  const sent = wellFormed(line);
  // What a `toJSON` makes of it may be anything.
  return { sent, message: object(JSON.parse(sent), 'request') };
}

function failed(id, code, message, data) {
  const error = data === undefined ? { code, message } : { code, message, data };
  return id === undefined ? { jsonrpc: '2.0', error } : { jsonrpc: '2.0', id, error };
}

function notStarted(servers, id) {
  return failed(id, INTERNAL_ERROR, servers.stopped);
}

function denied(id, code, reason, data) {
  return failed(id, code, `Payment required: ${reason}`, data);
}

/** Answers a message, as far as the gate lets it through. */
async function handleRequest(emitter, request, apiKey, clientIp) {
  const servers = emitter[SERVERS];
  const { sent, message } = taken(request);
  if (!emitter.isRunning) return notStarted(servers, message.id);
  const { gate, routes } = servers;
  const { method } = message;
  const free = gate.isFreeMethod(method);
  if (method === 'tools/call' && (routes || !free)) return callTool(emitter, sent, message, apiKey, clientIp);
  if (!free) {
    const reason = refusal(gate, apiKey, clientIp);
    const nothing = { creditsRequired: 0, remainingCredits: 0 };
    if (reason !== undefined) return denied(message.id, PAYMENT_REQUIRED, reason, nothing);
  }
  const answer = await forward(servers, sent, message.id);
  if (method === 'tools/list' && apiKey && (routes || free)) hideTools(gate, apiKey, answer);
  return answer;
}

/** Answers a message without asking the gate. */
async function forwardUngated(emitter, request) {
  const servers = emitter[SERVERS];
  const { sent, message } = taken(request);
  if (!emitter.isRunning) return notStarted(servers, message.id);
  return forward(servers, sent, message.id);
}

/** Why a caller may not send messages that cost nothing. */
function refusal(gate, apiKey, clientIp) {
  reconfigureIfChanged(gate);
  const key = typeof apiKey === 'string' ? apiKey : '';
  const address = clientIp ? [text(clientIp, 'clientIp')] : [];
  return call(native.gateAdmits, gate[GATE].handle, key, ...address);
}

/** Takes the tools out of a list that a key may not use. */
function hideTools(gate, apiKey, answer) {
  const tools = answer.result?.tools;
  const visible = Array.isArray(tools) ? gate.filterToolsForKey(apiKey, tools) : null;
  if (visible) answer.result.tools = visible;
}

async function forward(servers, sent, id) {
  const open = call(native.callNew, servers.handle, sent, 0);
  if (open === undefined) return notStarted(servers, id);
  if (typeof open === 'string') return JSON.parse(open);
  return ended(servers, await promised(native.callSend, open)).answer;
}

async function callTool(emitter, sent, { id, params }, apiKey, clientIp) {
  const servers = emitter[SERVERS];
  const { gate } = servers;
  const open = call(native.callNew, servers.handle, sent, 1);
  if (open === undefined) return notStarted(servers, id);
  if (typeof open === 'string') return JSON.parse(open);
  const decision = decide(open, () => gate.evaluate(apiKey, params, clientIp));
  if (!decision.allowed) {
    call(native.callCancel, open);
    const { reason, remainingCredits } = decision;
    return denied(id, servers.refusal, reason, { creditsRequired: gate.getToolPrice(params.name), remainingCredits });
  }
  const decided = given(apiKey, decision.creditsCharged, decision.remainingCredits);
  const { answer, event } = ended(servers, await promised(native.callSend, open, decided));
  if (event !== null) emitter.emit('tool-call', event);
  return answer;
}

/** Answers a batch: all calls are let through, or none is. */
async function handleBatchRequest(emitter, calls, batchId, apiKey, clientIp) {
  const servers = emitter[SERVERS];
  const { gate } = servers;
  const id = batchId === undefined ? undefined : JSON.parse(json(batchId, 'batchId') ?? 'null');
  if (!emitter.isRunning) return notStarted(servers, id);
  if (!calls || calls.length === 0) return failed(id, INVALID_PARAMS, 'Invalid batch: empty calls array');
  const params = wellFormed(written({ calls: array(calls, 'calls') }, 'calls'));
  const batch = JSON.parse(params).calls;
  batch.forEach(nameOf);
  const open = call(native.batchNew, servers.handle, params, ...(id === undefined ? [] : [json(id, 'batchId')]));
  if (open === undefined) return notStarted(servers, id);
  if (typeof open === 'string') return JSON.parse(open);
  const decision = decide(open, () => gate.evaluateBatch(apiKey, batch, clientIp));
  if (!decision.allAllowed) {
    call(native.callCancel, open);
    const totalCreditsRequired = batch.reduce((sum, one) => sum + gate.getToolPrice(one.name, one.arguments), 0);
    const { failedIndex, reason, remainingCredits } = decision;
    return denied(id, PAYMENT_REQUIRED, reason, { failedIndex, totalCreditsRequired, remainingCredits });
  }
  const decided = given(apiKey, decision.totalCredits, decision.remainingCredits);
  const { answer, event } = ended(servers, await promised(native.batchSend, open, decided));
  if (event !== null) emitter.emit('batch-call', event);
  return answer;
}

/** Has the gate decide. A call that is not sent after all costs nothing. */
function decide(open, ask) {
  try {
    return members(decideFor(open, ask), 'the decision of gate');
  } catch (error) {
    call(native.callCancel, open);
    throw error;
  }
}

/** A decision as native code takes it. */
function given(apiKey, charged, remaining) {
  const whole = (number) => (Number.isSafeInteger(number) && number > 0 ? number : 0);
  const key = apiKey ? text(apiKey, 'apiKey') : null;
  return json({ key, charged: whole(charged), remaining: whole(remaining) }, 'apiKey');
}

/** What became of a message: its answer, or the error that stands for none. */
function ended({ gate }, told) {
  const { answer, event, refunds, failure } = JSON.parse(told);
  print(gate[GATE].store);
  if (refunds.length > 0) tellRefunds(gate, refunds);
  if (failure !== null) throw new Error(failure);
  return { answer, event };
}

/** Tells the gate's hook of refunds that were made on other threads. A server in this process tells it itself. */
function tellRefunds(gate, tools) {
  if (!gate.onUsageEvent || gate[GATE].served) return;
  const latest = lastEvents(gate.meter, EVENTS_SEARCHED).reverse();
  for (const tool of tools) {
    const at = latest.findIndex((event) => event.denyReason === 'refund' && event.tool === tool);
    if (at !== -1 && gate.onUsageEvent) hookOf(gate, 'onUsageEvent').call(gate, latest.splice(at, 1)[0]);
  }
}

module.exports = { SERVERS, wrap, start, stop, hear, started, stopped, handleRequest, handleBatchRequest, forwardUngated };
