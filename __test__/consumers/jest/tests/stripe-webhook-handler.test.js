'use strict';

const { createHmac } = require('node:crypto');
const { KeyStore, StripeWebhookHandler } = require('paygate-mcp');
const { expectPlain } = require('./realm.js');

const START = new Date('2026-03-14T09:26:53.000Z');

beforeEach(() => {
  jest.useFakeTimers();
  jest.setSystemTime(START);
});

afterEach(() => jest.useRealTimers());

function signed(body) {
  const t = START.getTime() / 1000;
  return `t=${t},v1=${createHmac('sha256', 'whsec').update(`${t}.${body}`).digest('hex')}`;
}

test('a payment is granted once, and a signature ages with the fake clock', () => {
  const store = new KeyStore();
  const { key } = store.createKey('alice', 0);
  const handler = new StripeWebhookHandler(store, 'whsec');
  const body = JSON.stringify({
    id: 'evt_1',
    type: 'checkout.session.completed',
    data: { object: { id: 'cs_1', payment_status: 'paid', metadata: { paygate_api_key: key, paygate_credits: '500' } } },
  });
  const granted = handler.handleWebhook(body, signed(body));
  expect(granted).toMatchObject({ success: true, event: 'checkout.session.completed', creditsAdded: 500 });
  expectPlain(granted);
  expect(store.getKey(key).credits).toBe(500);
  handler.handleWebhook(body, signed(body));
  expect(store.getKey(key).credits).toBe(500);
  expect(handler.verifySignature(body, signed(body))).toBe(true);
  jest.setSystemTime(START.getTime() + 301_000);
  expect(handler.handleWebhook(body, signed(body))).toStrictEqual({ success: false, error: 'Invalid signature' });
});
