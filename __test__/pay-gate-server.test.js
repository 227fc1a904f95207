'use strict';

// A server in the script's own process: the same gate, store and teams on both sides, and hooks that take part in
// decisions made on the server's threads.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const { once } = require('node:events');
const { createHash } = require('node:crypto');
const { mkdtempSync, rmSync } = require('node:fs');
const { createServer } = require('node:net');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const test = require('node:test');
const { Worker } = require('node:worker_threads');
const {
  Gate,
  HttpMcpProxy,
  McpProxy,
  MultiServerRouter,
  PayGateServer,
  RedisClient,
  SessionManager,
  TeamManager,
} = require('..');
const { startRedis } = require('./support/redis.js');
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

test('what happens over HTTP is in the log, the counters, the registry and the analytics', async (t) => {
  const { server, callTool, rpc, url } = await serve(t, { refundOnFailure: true });
  const { key } = server.gate.store.createKey('k', 30);
  assert.ok((await callTool(key, 'echo')).result);
  assert.ok((await callTool(key, 'fail')).error);
  assert.ok((await callTool('pg_unknown_key', 'echo')).error);
  await rpc(key, 'tools/call_batch', { calls: [{ name: 'echo' }, { name: 'fail' }] });
  await fetch(`${url}/keys`, { headers: { 'X-Admin-Key': 'wrong' } });

  const told = server.audit.query({ types: ['gate.allow', 'gate.deny', 'admin.auth_failed'] }).events;
  assert.deepEqual(
    told.map(({ type, message }) => [type, message]).reverse(),
    [
      ['gate.allow', 'Allowed: echo'],
      ['gate.deny', 'Denied: fail'],
      ['gate.deny', 'Denied: echo'],
      ['gate.allow', 'Batch allowed (2 calls)'],
      ['admin.auth_failed', 'Admin auth failed on /keys'],
    ],
  );
  assert.deepEqual(told[2].metadata, {
    tool: 'echo',
    errorCode: -32402,
    reason: 'Payment required: invalid_api_key',
  });
  assert.equal(server.audit.query({ types: ['session.created'] }).total, 4);

  const count = (labels) => server.metrics.getCounter('paygate_tool_calls_total', labels);
  assert.equal(count({ tool: 'echo', status: 'allowed' }), 2);
  assert.equal(count({ tool: 'fail', status: 'denied' }), 2);
  assert.equal(server.metrics.getCounter('paygate_denials_total', { reason: 'invalid_api_key' }), 1);
  assert.equal(server.metrics.getCounter('paygate_refunds_total', { tool: 'fail' }), 2);
  assert.equal(server.metrics.getCounter('paygate_credits_charged_total', { tool: 'echo' }), 2);
  assert.equal(server.metrics.getGauge('paygate_active_keys_total'), 1);
  assert.match(server.metrics.serialize(), /paygate_http_requests_total\{method="POST",path="\/mcp",status="200"\} 4\n/);

  assert.equal(server.registry.getServerMetadata().toolCount, 0);
  await rpc(key, 'tools/list');
  assert.deepEqual(server.registry.getFullPricing().tools.map(({ name }) => name), ['echo', 'fail', 'wait']);
  assert.equal(server.analytics.report(server.gate.meter.getEvents()).summary.totalDenied, 1);
});

test('alert rules of the configuration fire, and wrong ones are refused', async (t) => {
  const alertRules = [{ type: 'credits_low', threshold: 10 }];
  const { server, callTool } = await serve(t, { alertRules });
  const engine = server.alerts;
  assert.equal(engine, server.alerts);
  assert.deepEqual(engine.configuredRules, alertRules);
  const { key } = server.gate.store.createKey('poor', 5);
  await callTool(key, 'echo');
  const [alert] = engine.consumeAlerts();
  assert.equal(alert.message, 'Key "poor" has only 4 credits remaining (threshold: 10)');
  assert.throws(() => new PayGateServer({ ...TOOLS, alertRules: [{ type: 'nope', threshold: 1 }] }), /alertRules.*nope/);
});

test('a rate limit that is hit is counted, and fires its rule', async (t) => {
  const { server, callTool } = await serve(t, {
    globalRateLimitPerMin: 1,
    alertRules: [{ type: 'rate_limit_spike', threshold: 2 }],
  });
  const { key } = server.gate.store.createKey('eager', 50);
  for (let i = 0; i < 3; i += 1) await callTool(key, 'echo');
  assert.equal(server.metrics.getCounter('paygate_rate_limit_hits_total', { tool: 'echo' }), 2);
  assert.equal(server.alerts.consumeAlerts()[0].type, 'rate_limit_spike');
});

test('an access token stands for its key, and follows it when it is replaced', async (t) => {
  const { server, url } = await serve(t, { oauth: {} });
  const { key } = server.gate.store.createKey('k', 30);
  const redirectUri = 'https://app.example/cb';
  const { clientId } = server.oauth.registerClient({ clientName: 'app', redirectUris: [redirectUri], apiKeyRef: key });
  const verifier = 'v'.repeat(50);
  const codeChallenge = createHash('sha256').update(verifier).digest('base64url');
  const code = server.oauth.createAuthCode({ clientId, redirectUri, codeChallenge });
  const { accessToken } = server.oauth.exchangeCode({ code, clientId, redirectUri, codeVerifier: verifier });
  const call = async (token) => {
    const response = await fetch(`${url}/mcp`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}` },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'echo' } }),
    });
    return response.json();
  };
  assert.ok((await call(accessToken)).result);
  const { key: successor } = server.gate.store.rotateKey(key);
  assert.ok((await call(accessToken)).result);
  assert.equal(server.gate.store.getKey(successor).credits, 28);
  assert.equal(server.oauth.validateToken(accessToken).apiKey, successor);
  assert.equal(denial(await call(`pg_at_${'0'.repeat(64)}`)), 'Payment required: missing_api_key');
});

test('several servers are behind one router, and the wrapped ones are told of', async (t) => {
  const one = { prefix: 'one', ...TOOLS };
  const { server, callTool, rpc } = await serve(t, {}, undefined, undefined, undefined, [one, { ...one, prefix: 'two' }]);
  assert.equal(server.proxy, null);
  assert.ok(server.router instanceof MultiServerRouter);
  assert.equal(server.router.isRunning, true);
  const { key } = server.gate.store.createKey('k', 30);
  const heard = [];
  server.router.on('tool-call', (event) => heard.push(event));
  assert.ok((await callTool(key, 'two:echo')).result);
  assert.match(denial(await callTool(key, 'echo')), /must be prefixed/);
  const { result } = await rpc(key, 'tools/list');
  assert.ok(result.tools.some(({ name }) => name === 'two:wait'));
  // The same servers, asked by the script.
  const answer = await server.router.handleRequest(
    { jsonrpc: '2.0', id: 7, method: 'tools/call', params: { name: 'one:echo', arguments: { a: 1 } } },
    key,
  );
  assert.equal(answer.result.content[0].text, '{"a":1}');
  while (heard.length < 2) await new Promise(setImmediate);
  assert.deepEqual(heard.map(({ tool, server: prefix }) => [tool, prefix]), [['two:echo', 'two'], ['one:echo', 'one']]);
});

test('the wrapped server is one process, whoever calls', async (t) => {
  const { server, callTool } = await serve(t);
  assert.ok(server.proxy instanceof McpProxy);
  assert.equal(server.router, null);
  while (!server.proxy.isRunning) await new Promise(setImmediate);
  const { key } = server.gate.store.createKey('k', 30);
  const heard = once(server.proxy, 'tool-call');
  assert.ok((await callTool(key, 'echo')).result);
  const [event] = await heard;
  assert.deepEqual(event, {
    tool: 'echo',
    apiKey: key.slice(0, 10),
    creditsCharged: 1,
    remainingCredits: 29,
    refunded: false,
  });
  await server.stop();
  assert.equal(server.proxy.isRunning, false);
  const stopped = await server.proxy.handleRequest({ jsonrpc: '2.0', id: 1, method: 'ping' }, null);
  assert.equal(stopped.error.message, 'Server not started');
});

test('a remote server is wrapped instead of a program', async (t) => {
  const far = await serve(t);
  const farKey = far.server.gate.store.createKey('all of ours', 100).key;
  const near = await serve(t, {}, undefined, `${far.url}/mcp`);
  assert.ok(near.server.proxy instanceof HttpMcpProxy);
  const { key } = near.server.gate.store.createKey('k', 30);
  // The far one asks for a key that the near one does not have.
  assert.match(denial(await near.callTool(key, 'echo')), /missing_api_key/);
  const list = await near.rpc(key, 'tools/list');
  assert.equal(list.result.tools.length, 3);
  assert.equal(far.server.gate.store.getKey(farKey).credits, 100);
});

test('state lasts in the file, with every subsystem on', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'paygate-server-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  t.mock.method(console, 'log', () => {});
  const path = join(folder, 'state.json');
  const one = await serve(t, { oauth: {} }, path);
  const { key } = one.server.gate.store.createKey('k', 30);
  const team = one.server.teams.createTeam({ name: 'crew', budget: 100 });
  one.server.teams.assignKey(team.id, key);
  one.server.oauth.registerClient({ clientName: 'app', redirectUris: ['https://a.example/'], apiKeyRef: key });
  assert.ok((await one.callTool(key, 'echo')).result);
  await one.server.stop();
  const other = await serve(t, { oauth: {} }, path);
  assert.equal(other.server.gate.store.getKey(key).credits, 29);
  assert.equal(other.server.teams.getTeam(team.id).totalSpent, 1);
  assert.equal(other.server.teams.getTeamForKey(key), team.id);
  assert.equal(other.server.oauth.clientCount, 1);
});

test('with Redis, what is spent and used is told to it', async (t) => {
  t.mock.method(console, 'log', () => {});
  const redis = await startRedis(t);
  const { server, callTool } = await serve(t, {}, undefined, undefined, undefined, undefined, redis.url);
  const { redisSync, gate } = server;
  const { key } = gate.store.createKey('k', 30);
  await redisSync.saveKey(gate.store.getKey(key));
  assert.ok((await callTool(key, 'echo')).result);
  gate.evaluate(key, { name: 'echo' });
  assert.equal(gate.store.getKey(key).credits, 28);
  const client = new RedisClient(redis.options);
  t.after(() => client.disconnect());
  while ((await client.hget(`pg:key:${key}`, 'credits')) !== '28') await new Promise(setImmediate);
  while ((await redisSync.getUsageCount()) < 2) await new Promise(setImmediate);
  assert.deepEqual((await redisSync.getUsageEvents()).map(({ tool, creditsCharged }) => [tool, creditsCharged]), [
    ['echo', 1],
    ['echo', 1],
  ]);
  assert.equal(gate.store.getKey(key).credits, 28);
});
