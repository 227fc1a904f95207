'use strict';

// The admin page: what stands in it, and what its script does with the routes of a gateway.

const assert = require('node:assert/strict');
const test = require('node:test');

const { getDashboardHtml } = require('../lib/dashboard.js');
const { open } = require('./support/page.js');

const html = getDashboardHtml('Tools & <b>More</b> "Inc"');

test('the name is text in the page', () => {
  assert.match(html, /^<!DOCTYPE html>\n/);
  assert.ok(html.includes('<title>Tools &amp; &lt;b&gt;More&lt;/b&gt; &quot;Inc&quot; — Dashboard</title>'));
  assert.ok(!html.includes('<b>More'));
  assert.ok(getDashboardHtml('Plain').includes('<title>Plain — Dashboard</title>'));
  assert.ok(getDashboardHtml('').includes('<title> — Dashboard</title>'));
  assert.ok(getDashboardHtml('$1 ü 🦀 \ud800').includes('<title>$1 ü 🦀 \ufffd — Dashboard</title>'));
  assert.ok(getDashboardHtml(5).includes('<title>5 — Dashboard</title>'));
  assert.throws(() => getDashboardHtml(Object.create(null)), TypeError);
});

test('the page asks nothing of other places', () => {
  assert.doesNotMatch(html, /https?:|\bsrc=|@import|url\(|innerHTML|insertAdjacent|\bon\w+=|\bstyle=/);
  assert.equal([...html.matchAll(/<(script|style)\b/g)].length, 2);
});

test('every field of the page has a label', () => {
  const labelled = [...html.matchAll(/<label for="([\w-]+)"/g)].map(([, id]) => id);
  const fields = [...html.matchAll(/<(?:input|select) id="([\w-]+)"/g)].map(([, id]) => id);
  assert.deepEqual(labelled.sort(), fields.sort());
});

const KEY = `pg_${'a'.repeat(48)}`;
const PREFIX = `${KEY.slice(0, 10)}...`;

/** A gateway with one key, that keeps what it was asked. */
function gateway() {
  const record = { name: '<img src=x>', credits: 1234, totalSpent: 5, totalCalls: 2, namespace: 'acme', keyPrefix: PREFIX };
  Object.assign(record, { createdAt: '2026-03-14T09:26:53.589Z', active: true, expired: false });
  const events = Array.from({ length: 60 }, (_, i) => ({
    timestamp: new Date(Date.UTC(2026, 2, 14, 9, 0, i)).toISOString(),
    apiKey: PREFIX,
    keyName: 'alice',
    tool: `tool ${i}`,
    creditsCharged: i % 2,
    allowed: i % 2 === 1,
    ...(i % 2 === 0 && { denyReason: 'insufficient_credits: need 1, have 0' }),
  }));
  const status = {
    activeKeys: 3,
    shadowMode: false,
    keys: [record],
    usage: { totalCalls: 30, totalCreditsSpent: 40, totalDenied: 7, perTool: { a: { calls: 1, credits: 2 }, b: { calls: 4, credits: 3 } } },
    eventCount: 60,
    namespaces: [{ namespace: 'default' }, { namespace: 'acme' }],
  };
  const answers = {
    '/status': status,
    '/usage': { count: 60, since: 'all', events },
    '/keys': { key: KEY, name: 'carol', credits: 100 },
    '/topup': { credits: 1244, message: 'Added 10 credits' },
    '/keys/revoke': { message: 'Key revoked' },
    '/keys/rotate': { message: 'Key rotated', newKey: `pg_${'b'.repeat(48)}`, name: 'carol', credits: 1 },
  };
  const asked = [];
  const state = { adminKey: 'adm', down: false, asked, record, status, answers };
  state.fetch = async (url, { method = 'GET', headers, body }) => {
    asked.push([method, url, body === undefined ? undefined : JSON.parse(body)]);
    if (state.down) throw new TypeError('fetch failed');
    const [path] = url.replace('/gate', '').split('?');
    const known = headers.get('x-admin-key') === state.adminKey;
    const answer = known ? answers[path] : { error: 'Invalid admin key' };
    return { ok: known, status: known ? 200 : 401, json: async () => structuredClone(answer) };
  };
  return state;
}

/** Lets all that was begun come to its end. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

async function signedIn(options) {
  const state = gateway();
  const page = open(html, { path: '/dashboard', fetch: state.fetch, ...options });
  page.byId('admin-key').value = 'adm';
  page.byId('signin-form').fire('submit');
  await settled();
  return { ...page, state };
}

test('only the right key opens the board', async () => {
  const state = gateway();
  const { byId, storage } = open(html, { path: '/dashboard', fetch: state.fetch });
  const submit = async (key) => {
    byId('admin-key').value = key;
    byId('signin-form').fire('submit');
    await settled();
    return [byId('signin-error').textContent, byId('board').hidden, storage.size];
  };
  assert.deepEqual([byId('signin').hidden, byId('board').hidden, state.asked.length], [false, true, 0]);
  assert.deepEqual(await submit('wrong'), ['Invalid admin key.', true, 0]);
  assert.deepEqual(await submit('€'), ['Invalid admin key.', true, 0]);
  state.down = true;
  assert.deepEqual(await submit('adm'), ['Connection failed.', true, 0]);
  state.down = false;
  assert.deepEqual(await submit('adm'), ['', false, 1]);
  assert.deepEqual([byId('signin').hidden, byId('admin-key').value], [true, '']);
  byId('signout').fire('click');
  assert.deepEqual([byId('signin').hidden, byId('board').hidden, storage.size, byId('keys').children.length], [false, true, 0, 0]);
});

test('the board shows figures, tools, keys and the last fifty events', async () => {
  const { byId, state } = await signedIn();
  const figures = ['active-keys', 'total-calls', 'credits-spent', 'denied'].map((id) => byId(id).textContent);
  assert.deepEqual(figures, ['3', '30', '40', '7']);
  assert.deepEqual(byId('tools').children.map((row) => row.children[0].textContent), ['b', 'a']);
  assert.equal(byId('tools').children[1].children[1].children[0].style.width, '25%');
  const [row] = byId('keys').children;
  const texts = row.children.slice(0, 7).map((cell) => cell.textContent);
  assert.deepEqual(texts, [PREFIX, '<img src=x>', 'acme', (1234).toLocaleString(), '5', '2', 'Active']);
  const events = byId('activity').children;
  assert.equal(events.length, 50);
  assert.deepEqual(events[0].children.slice(1).map((cell) => cell.textContent), ['Allowed', 'tool 59', `${PREFIX} alice`, '1']);
  assert.equal(events[1].children[1].textContent, 'Denied insufficient_credits: need 1, have 0');
  assert.deepEqual(state.asked.map(([method, url]) => `${method} ${url}`).slice(-2), ['GET /status', 'GET /usage']);
});

test('a tab remembers its key, and forgets one that is wrong by now', async () => {
  const { storage, state } = await signedIn();
  const again = open(html, { path: '/dashboard', fetch: state.fetch, storage });
  await settled();
  assert.equal(again.byId('board').hidden, false);
  state.adminKey = 'changed';
  again.byId('refresh').fire('click');
  await settled();
  assert.deepEqual([again.byId('signin-error').textContent, again.byId('board').hidden, storage.size], ['Invalid admin key.', true, 0]);
});

test('everything is asked for anew now and then, but not by a page that nobody sees', async () => {
  const { state, tick, page, byId } = await signedIn();
  state.asked.length = 0;
  tick();
  await settled();
  assert.equal(state.asked.length, 2);
  page.hidden = true;
  tick();
  assert.equal(state.asked.length, 2);
  const [row] = byId('keys').children;
  state.status.keys.push({ ...state.record, keyPrefix: 'pg_other...' });
  state.record.credits = 7;
  state.down = true;
  byId('refresh').fire('click');
  await settled();
  assert.equal(byId('problem').textContent, 'Connection failed.');
  state.down = false;
  byId('refresh').fire('click');
  await settled();
  assert.deepEqual([byId('problem').hidden, byId('keys').children.length], [true, 2]);
  // The row of a key stays the same element, and the newest key comes first.
  assert.equal(byId('keys').children[1], row);
  assert.equal(row.children[3].textContent, '7');
});

test('a namespace is a filter of both lists', async () => {
  const { state, byId } = await signedIn();
  assert.deepEqual(byId('namespace').children.map(({ value }) => value), ['', 'default', 'acme']);
  byId('namespace').value = 'acme';
  state.status.filteredNamespace = 'acme';
  byId('namespace').fire('change');
  await settled();
  const urls = state.asked.slice(-2).map(([, url]) => url);
  assert.deepEqual(urls, ['/status?namespace=acme', '/usage?namespace=acme']);
  assert.equal(byId('active-keys').textContent, '1');
});

test('of many events only the last are asked for', async () => {
  const { state, byId } = await signedIn();
  state.status.eventCount = 5000;
  byId('refresh').fire('click');
  await settled();
  assert.match(state.asked.at(-1)[1], /^\/usage\?since=\d{4}-\d\d-\d\dT/);
});

test('a new key is shown until it is dismissed', async () => {
  const { state, byId, page } = await signedIn();
  for (const credits of ['', '0', '-1', '1.5', 'abc', '1e3', '99999999999999999999']) {
    byId('new-credits').value = credits;
    byId('create-form').fire('submit');
    assert.equal(byId('create-error').textContent, 'Credits must be a whole number of at least 1.');
  }
  assert.ok(state.asked.every(([method]) => method === 'GET'));
  byId('new-credits').value = '100';
  byId('create-form').fire('submit');
  byId('create-form').fire('submit');
  await settled();
  const posts = state.asked.filter(([method]) => method === 'POST');
  assert.deepEqual(posts, [['POST', '/keys', { name: 'unnamed', credits: 100 }]]);
  assert.deepEqual([byId('secret').hidden, byId('secret-key').value, page.activeElement], [false, KEY, byId('secret-title')]);
  byId('refresh').fire('click');
  await settled();
  assert.equal(byId('secret').hidden, false);
  byId('secret-dismiss').fire('click');
  assert.deepEqual([byId('secret').hidden, byId('secret-key').value], [true, '']);
});

test('a change of a key needs the whole of it', async () => {
  const { state, byId } = await signedIn();
  const [topUp, rotate, revoke] = byId('keys').children[0].children[7].children;
  const send = async (key, credits = '') => {
    byId('dialog-key').value = key;
    byId('dialog-credits').value = credits;
    byId('dialog-form').fire('submit');
    await settled();
    return [byId('dialog').open, byId('dialog-error').textContent];
  };
  const posts = () => state.asked.filter(([method]) => method === 'POST').map(([, ...sent]) => sent);
  topUp.fire('click');
  const wrong = `This is not the key that begins with ${PREFIX}`;
  assert.deepEqual(await send('', '10'), [true, wrong]);
  assert.deepEqual(await send('pg_bbbbbbbbbb', '10'), [true, wrong]);
  assert.deepEqual(await send(KEY, 'x'), [true, 'Credits must be a whole number of at least 1.']);
  assert.deepEqual(posts(), []);
  assert.deepEqual(await send(KEY, '10'), [false, '']);
  rotate.fire('click');
  assert.deepEqual(await send(KEY), [false, '']);
  assert.match(byId('secret-key').value, /^pg_b+$/);
  revoke.fire('click');
  assert.deepEqual(await send(KEY), [false, '']);
  assert.deepEqual(posts(), [
    ['/topup', { key: KEY, credits: 10 }],
    ['/keys/rotate', { key: KEY }],
    ['/keys/revoke', { key: KEY }],
  ]);
  state.record.active = false;
  byId('refresh').fire('click');
  await settled();
  assert.deepEqual([topUp.disabled, byId('keys').children[0].children[6].textContent], [true, 'Revoked']);
});

test('keys are found by name or prefix', async () => {
  const { state, byId } = await signedIn();
  state.status.keys.push(...Array.from({ length: 300 }, (_, i) => ({ ...state.record, name: `key ${i}` })));
  byId('refresh').fire('click');
  await settled();
  assert.deepEqual([byId('keys').children.length, byId('more-keys').hidden], [200, false]);
  byId('more-keys').fire('click');
  assert.deepEqual([byId('keys').children.length, byId('more-keys').hidden], [301, true]);
  const find = (text) => {
    byId('search').value = text;
    byId('search').fire('input');
    return byId('keys').children.map((row) => row.children[1].textContent);
  };
  assert.deepEqual(find('KEY 299'), ['key 299']);
  assert.equal(find(PREFIX.slice(0, 8)).length, 301);
  assert.deepEqual(find('nobody'), []);
});

test('the page works under a path, and at a place of the user’s own', async () => {
  const { state } = await signedIn({ path: '/gate/dashboard' });
  assert.deepEqual(state.asked.map(([, url]) => url), ['/gate/status', '/gate/usage']);
  const own = await signedIn({ path: '/internal/admin' });
  assert.deepEqual(own.state.asked.map(([, url]) => url), ['/status', '/usage']);
});
