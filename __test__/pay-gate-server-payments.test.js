'use strict';

// Payments, teams and webhooks over the HTTP API of a server in the script's own process.

const assert = require('node:assert/strict');
const { createHmac } = require('node:crypto');
const { once } = require('node:events');
const { createServer } = require('node:http');
const test = require('node:test');
const { serve } = require('./support/server.js');

const SECRET = 'whsec_of_the_tests';

/** Tells a server of a payment as Stripe does. */
async function tell(url, id, key, credits) {
  const object = { payment_status: 'paid', metadata: { paygate_api_key: key, paygate_credits: credits } };
  const body = JSON.stringify({ id, type: 'checkout.session.completed', data: { object } });
  const at = Math.floor(Date.now() / 1000);
  const signature = createHmac('sha256', SECRET).update(`${at}.${body}`).digest('hex');
  const headers = { 'Stripe-Signature': `t=${at},v1=${signature}` };
  const response = await fetch(`${url}/stripe/webhook`, { method: 'POST', headers, body });
  return { status: response.status, body: await response.json() };
}

/** Somebody who is told; gives the bodies of posts. */
async function receive(t) {
  const bodies = [];
  const server = createServer(async (request, response) => {
    const chunks = await request.toArray();
    bodies.push(JSON.parse(Buffer.concat(chunks).toString()));
    response.end('ok');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return { bodies, url: `http://127.0.0.1:${server.address().port}/hook` };
}

test('a payment that Stripe tells of shows in the record of its key', async (t) => {
  const { server, url, admin } = await serve(t, {}, undefined, undefined, SECRET);
  const record = server.gate.store.createKey('payer', 10);
  const event = { success: true, event: 'checkout.session.completed' };
  const granted = { ...event, apiKey: `${record.key.slice(0, 10)}...`, creditsAdded: 5 };
  assert.deepStrictEqual(await tell(url, 'evt_1', record.key, '5'), { status: 200, body: granted });
  assert.deepStrictEqual(await tell(url, 'evt_1', record.key, '5'), { status: 200, body: event });
  assert.equal(record.credits, 15);
  assert.equal((await tell(url, 'evt_2', 'pg_nobody_has_this', '7')).body.parked, true);
  const assigned = await admin('POST', '/stripe/unmatched', { eventId: 'evt_2', key: record.key });
  assert.deepStrictEqual(assigned.body, { message: 'Payment granted', creditsAdded: 7, credits: 22 });
  assert.equal(record.credits, 22);
  const logged = server.audit.query({ types: ['key.topup', 'billing.payment_parked'] }).events;
  assert.deepStrictEqual(
    logged.map(({ type, actor, metadata }) => [type, actor, metadata.eventId]),
    [
      ['key.topup', 'admin', 'evt_2'],
      ['billing.payment_parked', 'stripe', 'evt_2'],
      ['key.topup', 'stripe', 'evt_1'],
    ],
  );
});

test('without the secret of Stripe there is nothing to tell it to', async (t) => {
  const { url } = await serve(t);
  const told = await tell(url, 'evt_1', 'pg_x', '5');
  assert.deepStrictEqual(told, { status: 404, body: { error: 'Stripe integration not configured' } });
});

test('teams made over HTTP are those of the team manager', async (t) => {
  const { server, admin, callTool } = await serve(t);
  const { key } = server.gate.store.createKey('k', 30);
  const { team } = (await admin('POST', '/teams', { name: 'crew', budget: 1 })).body;
  const live = server.teams.getTeam(team.id);
  assert.equal(live.name, 'crew');
  await admin('POST', '/teams/assign', { teamId: team.id, key });
  assert.deepStrictEqual([...live.memberKeys], [key]);
  assert.ok((await callTool(key, 'echo')).result);
  assert.equal((await callTool(key, 'echo')).error.message, 'Payment required: team_budget_exceeded');
  await admin('POST', '/teams/update', { teamId: team.id, budget: 2 });
  assert.equal(live.budget, 2);
  assert.ok((await callTool(key, 'echo')).result);
  live.name = 'renamed';
  assert.equal((await admin('GET', '/teams')).body.teams[0].name, 'renamed');
});

test('what the receiver of webhooks has not been told is posted before a server has stopped', async (t) => {
  const receiver = await receive(t);
  const { server, admin, callTool } = await serve(t, { webhookUrl: receiver.url });
  const { key } = server.gate.store.createKey('k', 30);
  await callTool(key, 'echo');
  await admin('POST', '/teams', { name: 'crew' });
  assert.equal((await admin('GET', '/webhooks/stats')).body.configured, true);
  await server.gracefulStop();
  const events = receiver.bodies.flatMap((body) => body.events ?? []);
  assert.deepStrictEqual(events.map(({ tool }) => tool), ['echo']);
  const admins = receiver.bodies.flatMap((body) => body.adminEvents ?? []);
  assert.ok(admins.some(({ type, actor }) => type === 'team.created' && actor === 'admin'));
  assert.equal(server.gate.webhook.getRetryStats().totalDelivered, receiver.bodies.length);
});
