'use strict';

// A user's program: everything once, in whatever Node runs it.

const assert = require('node:assert');
const { existsSync, mkdtempSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const paygate = require('paygate-mcp');

const { Gate, KeyStore, RateLimiter, DEFAULT_CONFIG, validateConfig } = paygate;

async function main() {
  assert.strictEqual(require('paygate-mcp/client').PayGateClient, paygate.PayGateClient);
  assert.strictEqual(require('paygate-mcp/proxy').McpProxy, paygate.McpProxy);
  const esm = await import('paygate-mcp');
  for (const name of Object.keys(paygate)) assert.strictEqual(esm[name], paygate[name], name);

  const folder = mkdtempSync(join(tmpdir(), 'paygate-smoke-'));
  try {
    decide(join(folder, 'state.json'));
    await serve();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  console.log(`ok ${process.versions.node}`);
}

/** Decisions, live records, a state file that a second store reads. */
function decide(statePath) {
  const gate = new Gate({ ...DEFAULT_CONFIG, toolPricing: { search: { creditsPerCall: 5 } } }, statePath);
  const record = gate.store.createKey('alice', 12);
  const { key } = record;
  assert.deepStrictEqual(gate.evaluate(key, { name: 'search' }), { allowed: true, creditsCharged: 5, remainingCredits: 7 });
  assert.strictEqual(gate.evaluateBatch(key, [{ name: 'search' }, { name: 'other' }]).allAllowed, true);
  assert.strictEqual(record.credits, 1);
  record.allowedTools.push('other');
  assert.strictEqual(gate.evaluate(key, { name: 'search' }).allowed, false);
  assert.throws(() => gate.store.createKey('bob', NaN), RangeError);
  gate.store.save();
  gate.destroy();
  assert.ok(existsSync(statePath));
  assert.strictEqual(new KeyStore(statePath).getKey(key).credits, 1);
  const limiter = new RateLimiter(1);
  limiter.record('k');
  assert.strictEqual(limiter.check('k').allowed, false);
  limiter.destroy();
  assert.strictEqual(validateConfig({ serverCommand: 'x', port: NaN }).length, 1);
}

/** A server in front of a child process, started, called and stopped. */
async function serve() {
  if (paygate.PayGateServer === undefined) return;
  const backend = `
    require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
      const { id, method } = JSON.parse(line);
      if (id === undefined) return;
      const result = method === 'tools/list' ? { tools: [] } : method === 'initialize'
        ? { protocolVersion: '2024-11-05', capabilities: {}, serverInfo: { name: 's', version: '1' } } : { content: [] };
      console.log(JSON.stringify({ jsonrpc: '2.0', id, result }));
    });`;
  const server = new paygate.PayGateServer({ serverCommand: process.execPath, serverArgs: ['-e', backend], port: 0 });
  const { port } = await server.start();
  try {
    const { key } = server.gate.store.createKey('carol', 3);
    const client = new paygate.PayGateClient({ url: `http://127.0.0.1:${port}`, apiKey: key });
    await client.callTool('search', {});
    assert.strictEqual(server.gate.store.getKey(key).credits, 2);
  } finally {
    await server.stop();
  }
}

main();
