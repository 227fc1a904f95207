'use strict';

// Payments that Stripe tells of, signed as Stripe signs them.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const { mkdtempSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const test = require('node:test');
const Stripe = require('stripe');
const { Gate, DEFAULT_CONFIG, KeyStore, StripeWebhookHandler } = require('..');

const SECRET = 'whsec_test_secret';
const KEY = 'pg_demo_key_0001';
const stripe = new Stripe('sk_test_none');

/** The header that Stripe sends with a body. */
const signed = (payload, more) => stripe.webhooks.generateTestHeaderString({ payload, secret: SECRET, ...more });

const now = () => Math.floor(Date.now() / 1000);

function fixture(tolerance) {
  const store = new KeyStore();
  store.importKey(KEY, 'demo', 10);
  const handler = new StripeWebhookHandler(store, SECRET, tolerance);
  const tell = (event) => {
    const body = typeof event === 'string' ? event : JSON.stringify(event);
    return handler.handleWebhook(body, signed(body));
  };
  return { store, handler, tell };
}

const checkout = (id, metadata, more) => ({
  id,
  object: 'event',
  type: 'checkout.session.completed',
  data: { object: { payment_status: 'paid', metadata: { paygate_api_key: KEY, paygate_credits: '5', ...metadata }, ...more } },
});

test('a payment is granted once, whatever Stripe tells how often', () => {
  const { store, handler, tell } = fixture(1e12);
  const body =
    '{"id":"evt_1","type":"checkout.session.completed","data":{"object":{"payment_status":"paid","metadata":{"paygate_api_key":"pg_demo_key_0001","paygate_credits":"500"}}}}';
  const header = 't=1700000000,v1=500f1aedd476565fefbaefaeae2b41613bb5c9ea652e8c89f9c63fe706074699';
  assert.equal(
    JSON.stringify(handler.handleWebhook(body, header)),
    '{"success":true,"event":"checkout.session.completed","apiKey":"pg_demo_ke...","creditsAdded":500}',
  );
  assert.deepStrictEqual(handler.handleWebhook(body, header), { success: true, event: 'checkout.session.completed' });
  assert.equal(store.getKey(KEY).credits, 510);
  assert.equal(tell(checkout('evt_2', {}, { id: 'cs_1' })).creditsAdded, 5);
  const later = { ...checkout('evt_3', {}, { id: 'cs_1' }), type: 'checkout.session.async_payment_succeeded' };
  assert.deepStrictEqual(tell(later), { success: true, event: later.type });
  assert.equal(new StripeWebhookHandler(store, SECRET).handleWebhook(body, signed(body)).creditsAdded, undefined);
  assert.equal(store.getKey(KEY).credits, 515);
});

test('what Stripe signs verifies, and nothing else', () => {
  const { handler } = fixture();
  const body = JSON.stringify(checkout('evt_1', { note: 'Çelik 漢字 🎉' }));
  assert.ok(stripe.webhooks.constructEvent(body, signed(body), SECRET));
  assert.equal(handler.verifySignature(body, signed(body)), true);
  assert.equal(handler.verifySignature(Buffer.from(body), signed(body)), true);
  assert.equal(handler.verifySignature(`${body} `, signed(body)), false);
  assert.equal(handler.verifySignature(body, signed(body, { secret: 'whsec_other' })), false);
  assert.equal(handler.verifySignature(body, signed(body, { timestamp: now() - 299 })), true);
  assert.equal(handler.verifySignature(body, signed(body, { timestamp: now() - 302 })), false);
  assert.equal(handler.verifySignature(body, signed(body, { timestamp: now() + 299 })), true);
  assert.equal(handler.verifySignature(body, signed(body, { scheme: 'v0' })), false);
  assert.equal(handler.verifySignature(body, signed(body).replace(',', ', ')), false);
  const wrong = `v1=${'0'.repeat(64)}`;
  assert.equal(handler.verifySignature(body, `${wrong},${signed(body)},${wrong}`), true);
  assert.equal(fixture(NaN).handler.verifySignature(body, signed(body, { timestamp: 1 })), true);
  assert.deepStrictEqual(handler.handleWebhook(body, 't=1'), { success: false, error: 'Invalid signature' });
});

test('the time is the script\'s', (t) => {
  const { handler } = fixture();
  const header = signed('{}', { timestamp: 1_000_000_000 });
  assert.equal(handler.verifySignature('{}', header), false);
  const { now: real } = Date;
  t.after(() => (Date.now = real));
  Date.now = () => 1_000_000_100_000;
  assert.equal(handler.verifySignature('{}', header), true);
});

test('a rotated key\'s payment goes to its successor, an expired key\'s is granted', () => {
  const { store, tell } = fixture();
  store.setExpiry(KEY, '2001-01-01T00:00:00.000Z');
  assert.equal(tell(checkout('evt_1')).creditsAdded, 5);
  const heir = store.rotateKey(KEY);
  store.setExpiry(heir.key, null);
  assert.equal(heir.credits, 15);
  assert.equal(tell(checkout('evt_2')).apiKey, 'pg_demo_ke...');
  assert.equal(heir.credits, 20);
});

test('a payment without its key is parked, and granted when it is told of again', () => {
  const { store, tell } = fixture();
  const event = checkout('evt_1', { paygate_api_key: 'pg_unknownkey123456' });
  const parked = '{"success":false,"error":"API key not found or inactive: pg_unknown...","parked":true}';
  assert.equal(JSON.stringify(tell(event)), parked);
  assert.equal(JSON.stringify(tell(event)), parked);
  assert.equal(tell(checkout('evt_2', { paygate_api_key: 'ab' })).error, 'API key not found or inactive: ab...');
  store.importKey('pg_unknownkey123456', 'late', 0);
  assert.equal(tell(event).creditsAdded, 5);
  assert.deepStrictEqual(tell(event), { success: true, event: event.type });
  store.revokeKey(KEY);
  assert.equal(tell(checkout('evt_3')).parked, true);
});

test('events that are refused, and events that are not ours', () => {
  const { store, tell } = fixture();
  const refused = (error) => ({ success: false, error });
  assert.deepStrictEqual(tell(checkout('e', {}, { payment_status: 'unpaid' })), refused('Payment not completed: unpaid'));
  assert.deepStrictEqual(tell(checkout('e', { paygate_credits: 'abc' })), refused('Invalid credits value in metadata'));
  assert.deepStrictEqual(tell('not json'), refused('Invalid JSON body'));
  for (const body of ['[]', 'null', '{"type":"a","data":{}}']) {
    assert.deepStrictEqual(tell(body), refused('Malformed Stripe event'));
  }
  const created = { type: 'customer.created', data: { object: {} } };
  assert.deepStrictEqual(tell(created), { success: true, event: 'customer.created' });
  assert.deepStrictEqual(tell({ ...created, type: 7 }), { success: true, event: 7 });
  assert.deepStrictEqual(tell(checkout('e', { paygate_credits: '' })), { success: true, event: 'checkout.session.completed' });
  assert.equal(store.getKey(KEY).credits, 10);
});

test('arguments that are none', () => {
  const { store, handler } = fixture();
  assert.throws(() => StripeWebhookHandler(store, SECRET), TypeError);
  for (const odd of [undefined, null, {}, new Map()]) {
    assert.throws(() => new StripeWebhookHandler(odd, SECRET), { name: 'TypeError', message: /^store must be a KeyStore, but is / });
  }
  for (const missing of [undefined, null, '']) {
    assert.equal(handler.verifySignature(missing, signed('{}')), false);
    assert.equal(handler.verifySignature('{}', missing), false);
  }
  assert.throws(() => handler.verifySignature('{}', 5), { name: 'TypeError', message: /^signatureHeader / });
  assert.throws(() => handler.handleWebhook('{}', ['t=1']), { name: 'TypeError', message: /^signatureHeader / });
  const secretless = new StripeWebhookHandler(store);
  assert.throws(() => secretless.verifySignature('{}', 't=1'), { name: 'TypeError', message: /^webhookSecret / });
  const thrower = { toString() { throw new RangeError('mine'); } };
  assert.throws(() => handler.verifySignature(thrower, 't=1'), RangeError);
  assert.equal(handler.verifySignature('\ud800', 't=1,v1=\ud800'), false);
  class Mine extends StripeWebhookHandler {}
  assert.ok(new Mine(new (class extends KeyStore {})(), SECRET) instanceof StripeWebhookHandler);
});

test('payments are remembered in the state file, and the record shows them', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'paygate-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const program = `
    const { Gate, DEFAULT_CONFIG, StripeWebhookHandler } = require(${JSON.stringify(join(__dirname, '..'))});
    console.log = () => {};
    const gate = new Gate(DEFAULT_CONFIG, process.argv[1]);
    const record = gate.store.getKey('${KEY}') ?? gate.store.importKey('${KEY}', 'demo', 10);
    const handler = new StripeWebhookHandler(gate.store, '${SECRET}');
    const answer = handler.handleWebhook(process.argv[2], process.argv[3]);
    const image = JSON.parse(require('node:fs').readFileSync(process.argv[1], 'utf8'))[0][1].credits;
    process.stdout.write(JSON.stringify([answer.creditsAdded ?? 0, record.credits, image]));
    process.kill(process.pid, 'SIGKILL');`;
  const body = JSON.stringify(checkout('evt_1'));
  const tell = () => {
    const given = ['-e', program, join(folder, 'state.json'), body, signed(body)];
    return JSON.parse(spawnSync(process.execPath, given, { encoding: 'utf8' }).stdout);
  };
  assert.deepEqual([tell(), tell(), tell()], [[5, 15, 15], [0, 15, 15], [0, 15, 15]]);
});

test('a gate sees the credits at once', () => {
  const gate = new Gate(DEFAULT_CONFIG);
  gate.store.importKey(KEY, 'demo', 0);
  const body = JSON.stringify(checkout('evt_1'));
  assert.equal(gate.evaluate(KEY, { name: 'a' }).allowed, false);
  new StripeWebhookHandler(gate.store, SECRET).handleWebhook(body, signed(body));
  assert.deepStrictEqual(gate.evaluate(KEY, { name: 'a' }), { allowed: true, creditsCharged: 1, remainingCredits: 4 });
});
