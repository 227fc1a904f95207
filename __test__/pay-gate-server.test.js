'use strict';

// A server in the script's own process: the same gate, store and teams on both sides, and hooks that take part in
// decisions made on the server's threads.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const { once } = require('node:events');
const { createServer } = require('node:net');
const { join } = require('node:path');
const test = require('node:test');
const { Worker } = require('node:worker_threads');
const { PayGateServer, SessionManager, TeamManager, Gate } = require('..');
const { TOOLS, serve } = require('./support/server.js');

const denial = (answer) => answer.error?.message;

test('a call over HTTP is paid from the key of the store, whose record shows it', async (t) => {
  const { server, callTool } = await serve(t, { toolPricing: { echo: { creditsPerCall: 5 } } });
  const record = server.gate.store.createKey('k', 30);
  const answer = await callTool(record.key, 'echo', { a: 1 });
  assert.deepEqual(answer, { jsonrpc: '2.0', id: 1, result: { content: [{ type: 'text', text: '{"a":1}' }] } });
  assert.equal(record.credits, 25);
  assert.equal(record.totalCalls, 1);
  assert.equal(server.gate.meter.getSummary().totalCreditsSpent, 5);
});

test('what is written to a record counts at the next call', async (t) => {
  const { server, callTool } = await serve(t);
  const record = server.gate.store.createKey('k', 30);
  record.credits = 0;
  assert.equal(denial(await callTool(record.key, 'echo')), 'Payment required: insufficient_credits: need 1, have 0');
  record.credits = 5;
  record.deniedTools.push('echo');
  assert.equal(denial(await callTool(record.key, 'echo')), 'Payment required: tool_denied: echo is in deniedTools');
  record.deniedTools.length = 0;
  assert.ok((await callTool(record.key, 'echo')).result);
});

test('a price that is changed while the server runs counts soon', async (t) => {
  const { server, callTool } = await serve(t, { toolPricing: {} });
  const { key } = server.gate.store.createKey('k', 1000);
  server.gate.config.toolPricing.echo = { creditsPerCall: 7 };
  for (let spent = 0; spent !== 7; ) {
    const before = server.gate.store.getKey(key).credits;
    assert.ok((await callTool(key, 'echo')).result);
    spent = before - server.gate.store.getKey(key).credits;
    assert.ok(spent === 1 || spent === 7);
  }
});

test('teams take part in decisions', async (t) => {
  const { server, callTool } = await serve(t);
  assert.ok(server.teams instanceof TeamManager);
  const { key } = server.gate.store.createKey('k', 30);
  const team = server.teams.createTeam({ name: 'crew', budget: 1 });
  assert.deepEqual(server.teams.assignKey(team.id, key), { success: true });
  assert.ok((await callTool(key, 'echo')).result);
  assert.equal(team.totalSpent, 1);
  assert.equal(denial(await callTool(key, 'echo')), 'Payment required: team_budget_exceeded');
  assert.equal(server.gate.evaluate(key, { name: 'echo' }).reason, 'team_budget_exceeded');
});

test('hooks take part in calls over HTTP', async (t) => {
  const { server, callTool, rpc } = await serve(t, { refundOnFailure: true });
  const { gate } = server;
  const { key } = gate.store.createKey('k', 30);
  const heard = [];
  gate.teamChecker = (apiKey, credits) => {
    heard.push(['asked', apiKey === key, credits]);
    return credits > 2 ? { allowed: false, reason: 'too much at once' } : { allowed: true };
  };
  gate.teamRecorder = (apiKey, credits) => heard.push(['recorded', apiKey === key, credits]);
  gate.onCreditsDeducted = (apiKey, credits) => heard.push(['deducted', apiKey === key, credits]);
  gate.onUsageEvent = ({ tool, creditsCharged, allowed, denyReason }) =>
    heard.push(['event', tool, creditsCharged, allowed, denyReason]);

  assert.ok((await callTool(key, 'echo')).result);
  assert.deepEqual(heard.splice(0), [
    ['asked', true, 1],
    ['deducted', true, 1],
    ['recorded', true, 1],
    ['event', 'echo', 1, true, undefined],
  ]);

  assert.ok((await callTool(key, 'fail')).error);
  assert.deepEqual(heard.splice(0).slice(3), [
    ['event', 'fail', 1, true, undefined],
    ['event', 'fail', -1, true, 'refund'],
  ]);

  const calls = [{ name: 'echo' }, { name: 'echo' }, { name: 'echo' }];
  const refused = await rpc(key, 'tools/call_batch', { calls });
  assert.equal(denial(refused), 'Payment required: too much at once');
  assert.deepEqual(heard.splice(0), [['asked', true, 3]]);

  const paid = await rpc(key, 'tools/call_batch', { calls: calls.slice(1) });
  assert.equal(paid.result.totalCreditsCharged, 2);
  assert.deepEqual(heard.splice(0), [
    ['asked', true, 2],
    ['deducted', true, 2],
    ['recorded', true, 2],
    ['event', 'echo', 1, true, undefined],
    ['event', 'echo', 1, true, undefined],
  ]);

  gate.teamChecker = undefined;
  assert.equal(denial(await callTool('pg_nobody', 'echo')), 'Payment required: invalid_api_key');
  assert.deepEqual(heard.splice(0), [['event', 'echo', 0, false, 'invalid_api_key']]);
});

test('a hook may use the gate, and a hook that throws refuses', async (t) => {
  const { server, callTool } = await serve(t);
  const { gate } = server;
  const { key } = gate.store.createKey('k', 30);
  gate.teamChecker = () => ({ allowed: gate.evaluate(key, { name: 'free' }).allowed && gate.store.getKey(key).credits > 0 });
  // The gate asks this very hook when the hook calls it.
  const ask = gate.teamChecker;
  let depth = 0;
  gate.teamChecker = () => {
    depth += 1;
    try {
      return depth > 1 ? { allowed: true } : ask();
    } finally {
      depth -= 1;
    }
  };
  assert.ok((await callTool(key, 'echo')).result);
  assert.equal(gate.store.getKey(key).credits, 28);

  const printed = t.mock.method(console, 'error', () => {});
  gate.teamChecker = () => {
    throw new Error('no database');
  };
  assert.equal(denial(await callTool(key, 'echo')), 'Payment required: team_check_failed');
  assert.match(printed.mock.calls[0].arguments[0], /teamChecker threw/);
  gate.teamChecker = undefined;
  gate.onCreditsDeducted = () => {
    throw new Error('no database');
  };
  assert.ok((await callTool(key, 'echo')).result);
  assert.match(printed.mock.calls[1].arguments[0], /onCreditsDeducted threw/);
  assert.equal(gate.store.getKey(key).credits, 27);
});

test('sessions are those of the running server', async (t) => {
  const { server, url, rpc } = await serve(t);
  const { sessions } = server;
  assert.ok(sessions instanceof SessionManager);
  assert.equal(sessions.sessionCount, 0);
  await rpc('some-key', 'ping');
  assert.equal(sessions.sessionCount, 1);
  const id = sessions.createSession('pg_1');
  const session = sessions.getSession(id);
  assert.equal(session, sessions.getSession(id));
  assert.deepEqual(Object.keys(session), ['id', 'createdAt', 'lastActivityAt', 'sseConnections', 'apiKey']);
  assert.equal(session.apiKey, 'pg_1');
  const ended = await fetch(`${url}/mcp`, { method: 'DELETE', headers: { 'Mcp-Session-Id': id } });
  assert.equal(ended.status, 200);
  assert.equal(sessions.getSession(id), null);
  assert.equal(sessions.destroySession(id), false);
});

test('a start that fails says why, and may be tried again', async (t) => {
  const taken = createServer().listen(0);
  await once(taken, 'listening');
  const { port } = taken.address();
  const server = new PayGateServer({ ...TOOLS, port }, 'a');
  await assert.rejects(server.start(), (error) => error instanceof Error && error.code === 'EADDRINUSE');
  taken.close();
  await once(taken, 'close');
  assert.equal((await server.start()).port, port);
  t.after(() => server.stop());
  await assert.rejects(server.start(), /started already/);

  const missing = new PayGateServer({ serverCommand: '/no/such/program', port: 0 });
  await assert.rejects(missing.start(), /no\/such\/program/);
  const beyond = new PayGateServer({ ...TOOLS, port: 70_000 });
  await assert.rejects(beyond.start(), RangeError);
});

test('the admin key is made when none is given, and prices are checked', () => {
  assert.throws(() => new PayGateServer({ ...TOOLS, defaultCreditsPerCall: 0.5 }), RangeError);
  assert.throws(() => new PayGateServer(), TypeError);
  const server = new PayGateServer(TOOLS);
  assert.ok(server.gate instanceof Gate);
  server.gate.destroy();
});

test('a made admin key is told by start', async (t) => {
  const server = new PayGateServer({ ...TOOLS, port: 0 });
  t.after(() => server.stop());
  assert.match((await server.start()).adminKey, /^admin_[0-9a-f]{32}$/);
});

test('a graceful stop waits for calls under way, and a second one returns at once', async (t) => {
  const printed = t.mock.method(console, 'log', () => {});
  const { server, callTool } = await serve(t);
  const { key } = server.gate.store.createKey('k', 30);
  assert.ok((await callTool(key, 'echo')).result);
  await Promise.all([server.gracefulStop(5000), server.gracefulStop()]);
  assert.equal(printed.mock.callCount(), 2);
  await assert.rejects(callTool(key, 'echo'));
  assert.equal(server.gate.store.getKey(key).credits, 29);
});

test('a call that is given up at the stop is settled', async (t) => {
  const { server, callTool } = await serve(t, { refundOnFailure: true });
  const record = server.gate.store.createKey('k', 30);
  const taken = new Promise((resolve) => {
    server.gate.onCreditsDeducted = resolve;
  });
  const waiting = callTool(record.key, 'wait').catch((error) => ({ error }));
  await taken;
  assert.equal(record.credits, 29);
  await server.stop();
  assert.ok((await waiting).error);
  assert.equal(record.credits, 30);
});

/** Runs a script of its own; the process must end by itself. */
function run(script) {
  const ran = spawnSync(process.execPath, ['-e', script], {
    cwd: join(__dirname, '..'),
    encoding: 'utf8',
    timeout: 30_000,
    env: { ...process.env, TOOLS: JSON.stringify({ ...TOOLS, port: 0 }) },
  });
  assert.equal(ran.signal, null, `${ran.stdout}${ran.stderr}`);
  return ran;
}

test('a started server keeps the process, a stopped one lets it end', () => {
  const started = run(`
    const { PayGateServer } = require('.');
    const server = new PayGateServer(JSON.parse(process.env.TOOLS));
    server.start().then(() => setTimeout(() => { console.log('still here'); server.stop(); }, 200).unref?.());
    setTimeout(() => {}, 300);
  `);
  assert.equal(started.status, 0);
  assert.match(started.stdout, /still here/);
  const exits = run(`
    const { PayGateServer } = require('.');
    const server = new PayGateServer(JSON.parse(process.env.TOOLS));
    server.start().then(() => process.exit(3));
  `);
  assert.equal(exits.status, 3);
});

test('a server in a worker ends with the worker', async () => {
  const worker = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads');
     const { PayGateServer } = require(workerData.package);
     new PayGateServer(workerData.config).start().then(({ port }) => parentPort.postMessage(port));`,
    { eval: true, workerData: { package: join(__dirname, '..'), config: { ...TOOLS, port: 0 } } },
  );
  const [port] = await once(worker, 'message');
  assert.equal((await fetch(`http://127.0.0.1:${port}/health`)).status, 200);
  await worker.terminate();
  for (;;) {
    try {
      await fetch(`http://127.0.0.1:${port}/health`);
    } catch {
      return;
    }
  }
});

test('several servers live in one process', async (t) => {
  const [one, other] = await Promise.all([serve(t), serve(t)]);
  const { key } = one.server.gate.store.createKey('k', 3);
  assert.ok((await one.callTool(key, 'echo')).result);
  assert.equal(denial(await other.callTool(key, 'echo')), 'Payment required: invalid_api_key');
});
