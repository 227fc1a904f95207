'use strict';

// `McpProxy`: a child process behind a gate.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { EventEmitter, once } = require('node:events');
const { join } = require('node:path');
const test = require('node:test');
const { McpProxy } = require('..');
const { CHILD, gateWith, callOf, heard, during } = require('./support/wrapped.js');

const root = join(__dirname, '..');
const proxyOf = (gate) => new McpProxy(gate, process.execPath, [CHILD]);

const NOT_STARTED = { code: -32603, message: 'Server not started' };

test('a proxy that does not run says so, before the gate is asked', async () => {
  const { gate, key, record } = gateWith();
  const proxy = proxyOf(gate);
  assert.ok(proxy instanceof EventEmitter && proxy.isRunning === false);
  assert.deepEqual(await proxy.handleRequest(callOf('echo'), key), { jsonrpc: '2.0', id: 1, error: NOT_STARTED });
  assert.deepEqual(await proxy.handleRequest({ jsonrpc: '2.0', method: 'ping' }, null), { jsonrpc: '2.0', error: NOT_STARTED });
  assert.deepEqual(await proxy.handleBatchRequest([{ name: 'echo' }], 'b', key), { jsonrpc: '2.0', id: 'b', error: NOT_STARTED });
  assert.deepEqual(await proxy.forwardUngated(callOf('echo', {}, 'u')), { jsonrpc: '2.0', id: 'u', error: NOT_STARTED });
  await proxy.stop();
  assert.equal(record.credits, 50);
});

test('calls are paid for, told, and answered under the id of the caller', async () => {
  const { gate, key, record } = gateWith({ defaultCreditsPerCall: 5, refundOnFailure: true });
  await during(proxyOf(gate), async (proxy) => {
    assert.equal(proxy.isRunning, true);
    const told = heard(proxy, 'tool-call');
    const shown = { tool: 'echo', apiKey: key.slice(0, 10), creditsCharged: 5, remainingCredits: 45, refunded: false };
    for (const [id, credits] of [['é✓', 45], [0, 40], [-1.5, 35]]) {
      const answer = await proxy.handleRequest(callOf('echo', { n: 1 }, id), key, '10.0.0.1');
      assert.deepEqual(answer, { jsonrpc: '2.0', id, result: { echo: { n: 1 } } });
      assert.equal(record.credits, credits);
    }
    assert.deepEqual(told[0], ['tool-call', shown]);
    const failed = await proxy.handleRequest(callOf('fail'), key);
    assert.deepEqual(failed.error, { code: -32050, message: 'broken' });
    assert.deepEqual(told.at(-1)[1], { ...shown, tool: 'fail', creditsCharged: 0, remainingCredits: 35, refunded: true });
    assert.equal((await proxy.handleRequest(callOf('tool_error'), key)).result.isError, true);
    assert.deepEqual([record.credits, record.totalSpent, record.totalCalls], [30, 20, 4]);
  });
});

test('without refunds a failed call is kept; the price is the one the gate took', async () => {
  const { gate, key, record } = gateWith({ toolPricing: { fail: { creditsPerCall: 2, creditsPerKbInput: 3 } } });
  await during(proxyOf(gate), async (proxy) => {
    const told = heard(proxy, 'tool-call');
    await proxy.handleRequest(callOf('fail', { x: 'y' }), key);
    assert.equal(record.credits, 47);
    assert.equal(told[0][1].creditsCharged, 3);
    const refused = await proxy.handleRequest(callOf('fail', { x: 'y' }), null);
    assert.deepEqual(refused.error, { code: -32402, message: 'Payment required: missing_api_key', data: { creditsRequired: 2, remainingCredits: 0 } });
    assert.equal(told.length, 1);
  });
});

test('a call without a name is refused; one without an id is done and answered with nothing', async () => {
  const { gate, key, record } = gateWith();
  await during(proxyOf(gate), async (proxy) => {
    const missing = { code: -32602, message: 'Invalid tool call: missing tool name' };
    for (const params of [undefined, {}, { name: '' }, { name: null }]) {
      const answer = await proxy.handleRequest({ jsonrpc: '2.0', id: 9, method: 'tools/call', params }, key);
      assert.deepEqual(answer, { jsonrpc: '2.0', id: 9, error: missing });
    }
    assert.equal((await proxy.handleRequest(callOf(['echo']), key)).error.code, -32602);
    assert.equal(record.credits, 50);
    const message = { jsonrpc: '2.0', method: 'tools/call', params: { name: 'echo' } };
    assert.deepEqual(await proxy.handleRequest(message, key), { jsonrpc: '2.0', result: {} });
    assert.equal(record.credits, 49);
  });
});

test('free methods need no key, others a live one from an allowed address, and nothing is charged', async () => {
  const { gate, key, record } = gateWith({}, 5, { ipAllowlist: ['10.0.0.1'] });
  await during(proxyOf(gate), async (proxy) => {
    const ask = (method, ...who) => proxy.handleRequest({ jsonrpc: '2.0', id: 1, method }, ...who);
    assert.deepEqual((await ask('ping', null)).result, {});
    const nothing = { creditsRequired: 0, remainingCredits: 0 };
    const refused = { jsonrpc: '2.0', id: 1, error: { code: -32402, message: 'Payment required: missing_api_key', data: nothing } };
    assert.deepEqual(await ask('resources/read', null), refused);
    assert.match((await ask('resources/read', key, '10.0.0.2')).error.message, /ip_not_allowed: 10\.0\.0\.2/);
    assert.equal((await ask('resources/read', key, '10.0.0.1')).error.code, -32601);
    assert.equal((await ask('resources/read', key)).error.code, -32601);
    gate.config.freeMethods = [...gate.config.freeMethods, 'resources/read', 'tools/call'];
    assert.equal((await ask('resources/read', null)).error.code, -32601);
    assert.deepEqual((await proxy.handleRequest(callOf('echo'), null)).result, { echo: null });
    gate.config.freeMethods = [];
    gate.config.shadowMode = true;
    assert.deepEqual((await ask('ping', null)).result, {});
    assert.equal(record.credits, 5);
  });
});

test('a list of tools shows a key what it may use, as far as the method is free', async () => {
  const { gate, key } = gateWith({}, 5, { allowedTools: ['write'] });
  await during(proxyOf(gate), async (proxy) => {
    const list = (who) => proxy.handleRequest({ jsonrpc: '2.0', id: 1, method: 'tools/list' }, who);
    const names = async (who) => (await list(who)).result.tools.map((tool) => tool.name);
    assert.deepEqual(await list(key), { jsonrpc: '2.0', id: 1, result: { tools: [{ name: 'write', inputSchema: {} }], nextCursor: '2' } });
    assert.deepEqual(await names(null), ['echo', 'write']);
    assert.deepEqual(await names('pg_unknown'), ['echo', 'write']);
    gate.config.freeMethods = [];
    assert.deepEqual(await names(key), ['echo', 'write']);
  });
});

test('a batch is paid for as one, and each call settled by its own ending', async () => {
  const { gate, key, record } = gateWith({ defaultCreditsPerCall: 5, refundOnFailure: true });
  await during(proxyOf(gate), async (proxy) => {
    const told = heard(proxy, 'batch-call', 'tool-call');
    const answer = await proxy.handleBatchRequest([{ name: 'echo', arguments: { b: 1 }, other: 1 }, { name: 'fail' }], 'b2', key);
    const results = [
      { tool: 'echo', result: { echo: { b: 1 } }, creditsCharged: 5 },
      { tool: 'fail', error: { code: -32050, message: 'broken' }, creditsCharged: 0 },
    ];
    assert.deepEqual(answer, { jsonrpc: '2.0', id: 'b2', result: { results, totalCreditsCharged: 5, remainingCredits: 45 } });
    const event = { apiKey: key.slice(0, 10), callCount: 2, totalCreditsCharged: 5, remainingCredits: 45, refunded: 5 };
    assert.deepEqual(told, [['batch-call', event]]);
    const sent = (await proxy.forwardUngated(callOf('seen'))).result.seen;
    assert.deepEqual(sent[0].params, { name: 'echo', arguments: { b: 1 } });
    assert.equal(record.credits, 45);
  });
});

test('a batch that is refused takes nothing and tells what it would have cost', async () => {
  const { gate, key, record } = gateWith({ defaultCreditsPerCall: 30 });
  await during(proxyOf(gate), async (proxy) => {
    const batch = (...given) => proxy.handleBatchRequest(...given);
    const data = { failedIndex: 0, totalCreditsRequired: 60, remainingCredits: 50 };
    assert.deepEqual((await batch([{ name: 'a' }, { name: 'b' }], 1, key)).error, {
      code: -32402,
      message: 'Payment required: insufficient_credits: need 60, have 50',
      data,
    });
    const empty = { jsonrpc: '2.0', error: { code: -32602, message: 'Invalid batch: empty calls array' } };
    assert.deepEqual(await batch([], undefined, key), empty);
    assert.deepEqual(await batch(undefined, undefined, key), empty);
    await assert.rejects(batch([{ name: 'a' }, { name: 7 }], 1, key), { name: 'TypeError', message: /^calls\[1\] must be an object/ });
    await assert.rejects(batch({ length: 1 }, 1, key), { name: 'TypeError', message: 'calls must be an array, but is object' });
    gate.config.maxBatchCalls = 1;
    await assert.rejects(batch([{ name: 'a' }, { name: 'b' }], 1, key), RangeError);
    assert.equal(record.credits, 50);
    gate.config.shadowMode = true;
    gate.config.maxBatchCalls = 2;
    assert.deepEqual((await batch([{ name: 'a' }, { name: 'b' }], undefined, null)).result, {
      results: [{ tool: 'a', result: { ok: 'a' }, creditsCharged: 0 }, { tool: 'b', result: { ok: 'b' }, creditsCharged: 0 }],
      totalCreditsCharged: 0,
      remainingCredits: 0,
    });
  });
});

test('two callers may use one id at the same time', async () => {
  const { gate, key } = gateWith();
  await during(proxyOf(gate), async (proxy) => {
    const asked = [1, 2, 3, 4].map((n) => proxy.handleRequest(callOf('echo', { n }, 'same'), key));
    const answers = await Promise.all(asked);
    assert.deepEqual(answers.map(({ id, result }) => [id, result.echo.n]), [1, 2, 3, 4].map((n) => ['same', n]));
  });
});

test('what the child says of its own accord is told, in order', async () => {
  const { gate } = gateWith();
  await during(proxyOf(gate), async (proxy) => {
    const told = heard(proxy, 'server-notification', 'parse-error', 'server-stderr');
    const progress = { jsonrpc: '2.0', method: 'notifications/progress', params: { progress: 1 } };
    const said = `${JSON.stringify(progress)}\n  not json \nnull\n[1]\n{"id":"unknown","result":1}\n{"method":"x","id":null}\n`;
    await proxy.forwardUngated(callOf('say', { text: said }));
    assert.deepEqual(told, [
      ['server-notification', progress],
      ['parse-error', 'not json'],
      ['parse-error', 'null'],
      ['server-notification', [1]],
      ['server-notification', { method: 'x', id: null }],
    ]);
    const [[text]] = await Promise.all([once(proxy, 'server-stderr'), proxy.forwardUngated(callOf('shout', { text: 'boot ev\n' }))]);
    assert.equal(text, 'boot ev\n');
  });
});

test('a child that exits fails the requests it leaves, gives back what they cost, and is started again', async () => {
  const { gate, key, record } = gateWith({ refundOnFailure: true });
  const events = [];
  gate.onUsageEvent = ({ tool, creditsCharged }) => events.push([tool, creditsCharged]);
  await during(proxyOf(gate), async (proxy) => {
    const told = heard(proxy, 'server-exit', 'tool-call');
    const asked = [callOf('hang'), callOf('exit', { code: 7 })].map((request) => proxy.handleRequest(request, key));
    for (const { reason } of await Promise.allSettled(asked)) assert.equal(`${reason}`, 'Error: Server exited with code 7');
    assert.equal(record.credits, 50);
    assert.deepEqual(events.sort(), [['exit', -1], ['exit', 1], ['hang', -1], ['hang', 1]]);
    while (!proxy.isRunning) await new Promise(setImmediate);
    assert.deepEqual((await proxy.handleRequest(callOf('echo'), key)).result, { echo: null });
    assert.deepEqual(told[0], ['server-exit', 7]);
  });
});

test('a stop ends requests that are under way, and may be undone', async () => {
  const { gate, key, record } = gateWith({ refundOnFailure: true });
  const proxy = proxyOf(gate);
  const told = heard(proxy, 'server-exit');
  await Promise.all([proxy.start(), proxy.start()]);
  const asked = proxy.handleRequest(callOf('hang'), key);
  const stopped = proxy.stop();
  assert.equal(proxy.isRunning, false);
  await assert.rejects(asked, { message: 'Server exited with code null' });
  await stopped;
  assert.deepEqual(told, [['server-exit', null]]);
  assert.equal(record.credits, 50);
  await during(proxy, async () => assert.deepEqual((await proxy.handleRequest(callOf('echo'), key)).result, { echo: null }));
});

test('a command that cannot be started fails the start', async () => {
  const proxy = new McpProxy(gateWith().gate, '/no/such/program', []);
  const told = heard(proxy, 'server-error');
  await assert.rejects(proxy.start(), { name: 'Error', message: /^"\/no\/such\/program" could not be started: /, code: 'ENOENT' });
  assert.equal(told[0][1].code, 'ENOENT');
  assert.equal(proxy.isRunning, false);
  await proxy.stop();
});

test('the child does not get our secrets', async () => {
  process.env.PAYGATE_TEST_SECRET = 'x';
  await during(proxyOf(gateWith().gate), async (proxy) => {
    const { names } = (await proxy.forwardUngated(callOf('env'))).result;
    assert.ok(names.includes('PATH') && !names.includes('PAYGATE_TEST_SECRET'));
  });
  delete process.env.PAYGATE_TEST_SECRET;
});

test('hooks take part, and one that throws costs nothing', async () => {
  const { gate, key, record } = gateWith({ refundOnFailure: true });
  await during(proxyOf(gate), async (proxy) => {
    const log = [];
    gate.teamChecker = (apiKey, credits) => ({ allowed: credits < 5, reason: 'too dear' });
    gate.teamRecorder = (apiKey, credits) => log.push(['recorded', credits]);
    gate.onUsageEvent = ({ tool, creditsCharged, denyReason }) => log.push([tool, creditsCharged, denyReason]);
    await proxy.handleRequest(callOf('fail'), key);
    assert.deepEqual(log, [['recorded', 1], ['fail', 1, undefined], ['fail', -1, 'refund']]);
    gate.config.defaultCreditsPerCall = 5;
    assert.equal((await proxy.handleRequest(callOf('echo'), key)).error.message, 'Payment required: too dear');
    gate.teamChecker = undefined;
    gate.onCreditsDeducted = () => {
      throw new Error('from the hook');
    };
    await assert.rejects(proxy.handleRequest(callOf('echo'), key), { message: 'from the hook' });
    await assert.rejects(proxy.handleBatchRequest([{ name: 'echo' }], 1, key), { message: 'from the hook' });
    assert.equal(record.credits, 50);
  });
});

test('the decisions of a subclass of the gate count', async () => {
  const { Gate } = require('..');
  class Strict extends Gate {
    evaluate(apiKey, toolCall, clientIp) {
      const decision = super.evaluate(apiKey, toolCall, clientIp);
      return toolCall.name === 'forbidden' ? { ...decision, allowed: false, reason: 'mine' } : decision;
    }
  }
  const base = gateWith().gate;
  const gate = new Strict({ ...base.config, refundOnFailure: true });
  const { key } = gate.store.createKey('k', 9);
  await during(proxyOf(gate), async (proxy) => {
    assert.equal((await proxy.handleRequest(callOf('forbidden'), key)).error.message, 'Payment required: mine');
    assert.equal(gate.store.getKey(key).credits, 9);
    await proxy.handleRequest(callOf('fail'), key);
    assert.equal(gate.store.getKey(key).credits, 9);
    await proxy.handleRequest(callOf('echo'), key);
    assert.equal(gate.store.getKey(key).credits, 8);
  });
});

test('odd arguments are errors that name them', async () => {
  const { gate, key, record } = gateWith();
  for (const odd of [undefined, null, 5, {}, { evaluate() {} }]) {
    assert.throws(() => new McpProxy(odd, 'x', []), { name: 'TypeError', message: /^gate must be a Gate, but is / });
  }
  assert.throws(() => McpProxy(gate, 'x', []), TypeError);
  await during(proxyOf(gate), async (proxy) => {
    for (const odd of [undefined, null, 5, 'x', () => {}]) {
      await assert.rejects(proxy.handleRequest(odd, key), { name: 'TypeError', message: /^request must be an object, but is / });
      await assert.rejects(proxy.forwardUngated(odd), { name: 'TypeError', message: /^request must be an object, but is / });
    }
    const cycle = callOf('echo', {});
    cycle.params.arguments.self = cycle;
    await assert.rejects(proxy.handleRequest(cycle, key), TypeError);
    await assert.rejects(proxy.handleRequest(callOf('echo', { n: 1n }), key), TypeError);
    await assert.rejects(proxy.handleRequest(callOf('echo'), 5), { message: 'apiKey must be a string or null, but is number' });
    const thrower = { get method() { throw new Error('mine'); } };
    await assert.rejects(proxy.handleRequest(thrower, key), { message: 'mine' });
    assert.equal((await proxy.handleRequest([], key)).error.code, -32600);
    for (const id of [{}, [], true]) assert.equal((await proxy.handleRequest({ ...callOf('echo'), id }, key)).error.code, -32600);
    assert.equal(record.credits, 50);
    let asked = 0;
    const shifty = { ...callOf('echo'), params: { get name() { return (asked += 1) === 1 ? 'echo' : 'write'; } } };
    assert.deepEqual((await proxy.handleRequest(shifty, key)).result, { echo: null });
    const half = (await proxy.handleRequest(callOf('echo', { half: '\ud83d' }), key)).result.echo;
    assert.deepEqual(half, { half: '\ufffd' });
  });
});

test('a started proxy keeps the process alive, a stopped one does not', () => {
  const script = (end) => `
    const { Gate, McpProxy, DEFAULT_CONFIG } = require('paygate-mcp');
    const proxy = new McpProxy(new Gate(DEFAULT_CONFIG), process.execPath, [${JSON.stringify(CHILD)}]);
    proxy.start().then(async () => { ${end} });`;
  const run = (end, options) => execFileSync(process.execPath, ['-e', script(end)], { cwd: root, encoding: 'utf8', ...options });
  assert.equal(run('await proxy.stop()', { timeout: 30_000 }), '');
  assert.throws(() => run('', { timeout: 1500 }), { code: 'ETIMEDOUT' });
});
