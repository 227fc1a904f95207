// kill -9 of the running gate under load, at random moments, and a look at the books after each restart.
//
// Laws: granted = balance + spent on every key; no charge whose answer was seen is missing; nothing more is spent than
// was asked for; no charge is open once the gate is up again; the books agree with their entries.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { root, startGateway } from '../support/gateway.mjs';

const KEYS = 4;
const WORKERS = 16;
const GRANTED = 1_000_000_000;
const PRICE = 3;
const release = path.join(process.env.CARGO_TARGET_DIR ?? path.join(root, 'target'), 'release');

/** Runs so many rounds on one state file in `folder`; resolves to what was seen. */
export async function killRounds(folder, rounds, { refunds = false, report = () => {} } = {}) {
  const stateFile = path.join(folder, 'state.json');
  const flags = ['--state-file', stateFile, '--price', String(PRICE), '--log-level', 'error', ...(refunds ? ['--refund-on-failure'] : [])];
  const start = () => startGateway(null, path.join(release, 'instant-backend'), flags);
  let gateway = await start();
  const keys = [];
  for (let n = 0; n < KEYS; n++) keys.push({ key: await gateway.createKey(GRANTED), seen: 0, unknown: 0 });
  const totals = { rounds: 0, acknowledged: 0, inDoubt: 0 };

  for (let round = 1; round <= rounds; round++) {
    let running = true;
    const workers = Array.from({ length: WORKERS }, async (_, worker) => {
      const own = keys[worker % KEYS];
      while (running) {
        try {
          const answer = await fetch(`${gateway.url}/mcp`, {
            method: 'POST',
            headers: { 'X-API-Key': own.key },
            body: JSON.stringify({ jsonrpc: '2.0', id: worker, method: 'tools/call', params: { name: 'echo', arguments: {} } }),
          });
          const { result } = await answer.json();
          assert.ok(result, 'a call with credits gets a result');
          own.seen++;
          totals.acknowledged++;
        } catch (error) {
          if (error instanceof assert.AssertionError) throw error;
          own.unknown++;
          totals.inDoubt++;
          return;
        }
      }
    });
    await new Promise(resolve => setTimeout(resolve, 20 + Math.random() * 400));
    process.kill(gateway.pid, 'SIGKILL');
    await gateway.exited;
    running = false;
    await Promise.all(workers);

    gateway = await start();
    const books = verify(stateFile);
    assert.deepEqual(books.faults, [], `round ${round}: the books disagree with their entries`);
    assert.equal(books.open, 0, `round ${round}: charges are still open`);
    for (const own of keys) {
      const { credits, totalSpent } = await gateway.balance(own.key);
      assert.equal(credits + totalSpent, GRANTED, `round ${round}: granted = balance + spent`);
      const calls = totalSpent / PRICE;
      assert.ok(calls >= own.seen, `round ${round}: ${own.seen} answers were seen, ${calls} calls are paid for`);
      assert.ok(calls <= own.seen + own.unknown, `round ${round}: ${calls} calls are paid for, ${own.seen + own.unknown} were made`);
      if (refunds) assert.ok(calls <= own.seen + WORKERS * round, `round ${round}: refunds are missing`);
    }
    totals.rounds = round;
    report(round, totals);
  }
  await gateway.stop();
  const books = verify(stateFile);
  assert.deepEqual({ faults: books.faults, open: books.open }, { faults: [], open: 0 });
  return { ...totals, entries: books.entries };
}

/** What the books say when they are compared with their entries. */
function verify(stateFile) {
  return JSON.parse(execFileSync(path.join(release, 'verify-books'), [`${stateFile}.db`], { encoding: 'utf8' }));
}
