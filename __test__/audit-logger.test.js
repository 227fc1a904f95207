'use strict';

// The audit log: events in a script's hands, queries, sums, exports.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { join } = require('node:path');
const test = require('node:test');
const { auditLoggerOf } = require('../lib/audit-logger.js');
const { native, call } = require('../lib/native.js');
const { example, attempt, AuditLogger, maskKeyForAudit } = require('./support/example.js');

/** A log of so many events. */
const logged = (count, config) => {
  const log = new AuditLogger(config);
  for (let n = 0; n < count; n += 1) log.log('gate.allow', 'a', `n${n}`);
  return log;
};

example(
  'events are numbered and returned',
  () => {
    const log = new AuditLogger();
    const first = log.log('key.created', 'admin', 'Key created: x', { a: 1, list: [1, null] });
    log.log('custom.type', '', '');
    const all = log.exportAll();
    log.clear();
    return [all, all[0] === first, log.size, log.log('key.revoked', 'admin', 'm').id, log.destroy(), log.size];
  },
  '[[{"id":1,"timestamp":"2026-03-14T09:26:53.589Z","type":"key.created","actor":"admin","message":"Key created: x","metadata":{"a":1,"list":[1,null]}},{"id":2,"timestamp":"2026-03-14T09:26:53.589Z","type":"custom.type","actor":"","message":"","metadata":{}}],true,0,1,null,1]',
);

example(
  'only the newest are kept, and pages take any numbers',
  () => {
    const log = logged(7, { maxEvents: 5 });
    const page = (q) => {
      const { events, ...rest } = log.query(q);
      return [rest, events.map((event) => event.id).join(' ')];
    };
    return [log.size, page(), page({ limit: 2, offset: 1 }), page({ limit: 0 }), page({ limit: -5 }), page({ limit: 5000 }), page({ limit: 1.5 }), page({ offset: 99 }), page({ offset: NaN, limit: '2' }), page({ since: 'nope' })];
  },
  '[5,[{"total":5,"offset":0,"limit":100},"7 6 5 4 3"],[{"total":5,"offset":1,"limit":2},"6 5"],[{"total":5,"offset":0,"limit":100},"7 6 5 4 3"],[{"total":5,"offset":0,"limit":1},"7"],[{"total":5,"offset":0,"limit":1000},"7 6 5 4 3"],[{"total":5,"offset":0,"limit":1.5},"7"],[{"total":5,"offset":99,"limit":100},""],[{"total":5,"offset":0,"limit":2},"7 6"],[{"total":0,"offset":0,"limit":100},""]]',
);

example(
  'what maxEvents can be',
  () => [undefined, 0, NaN, Infinity, 2.5, '3', null, -1].map((maxEvents) => logged(4, { maxEvents }).size),
  '[4,4,4,4,2,3,4,0]',
);

example(
  'filters are combined',
  ({ tick }) => {
    const log = new AuditLogger();
    log.log('key.created', 'admin', 'one');
    tick(10);
    log.log('gate.allow', 'Admin Two', 'two');
    log.log('gate.deny', 'pg_AAAA...1111', 'three');
    const ids = (q) => log.query(q).events.map((event) => event.id).join(' ');
    return [ids({ types: [] }), ids({ types: ['gate.allow', 'gate.deny'] }), ids({ actor: 'ADMIN', types: ['gate.allow'] }), ids({ since: '2026-03-14T09:26:53.599Z' }), ids({ until: new Date(Date.now() - 10) }), ids({ until: 'nope' }), ids(null)];
  },
  '["3 2 1","3 2","2","3 2","1","","3 2 1"]',
);

example(
  'sums',
  ({ tick }) => {
    const log = new AuditLogger();
    const empty = log.stats();
    log.log('b', 'x', 'm');
    tick(3_600_000);
    log.log('2', 'x', 'm');
    const hour = log.stats();
    tick(1);
    log.log('constructor', 'x', 'm');
    return [empty, hour, log.stats()];
  },
  '[{"totalEvents":0,"oldestEvent":null,"newestEvent":null,"eventsByType":{},"eventsLastHour":0,"eventsLast24h":0},{"totalEvents":2,"oldestEvent":"2026-03-14T09:26:53.589Z","newestEvent":"2026-03-14T10:26:53.589Z","eventsByType":{"2":1,"b":1},"eventsLastHour":2,"eventsLast24h":2},{"totalEvents":3,"oldestEvent":"2026-03-14T09:26:53.589Z","newestEvent":"2026-03-14T10:26:53.590Z","eventsByType":{"2":1,"b":1,"constructor":1},"eventsLastHour":2,"eventsLast24h":3}]',
);

example(
  'a table has all rows, and no formulas',
  () => {
    const log = new AuditLogger();
    const empty = log.exportCsv();
    log.log('key.created', 'a"b', '=cmd|"x"\nline2,comma');
    log.log('a,b', '+x', '');
    const many = logged(3000, {});
    return [empty, log.exportCsv(), log.exportCsv({ limit: 1 }), log.exportCsv({ actor: 'B', offset: 0 }), many.exportCsv().split('\n').length, many.exportCsv({ limit: 2000 }).split('\n').length];
  },
  String.raw`["id,timestamp,type,actor,message","id,timestamp,type,actor,message\n2,2026-03-14T09:26:53.589Z,\"a,b\",\"'+x\",\"\"\n1,2026-03-14T09:26:53.589Z,key.created,\"a\"\"b\",\"'=cmd|\"\"x\"\"\nline2,comma\"","id,timestamp,type,actor,message\n2,2026-03-14T09:26:53.589Z,\"a,b\",\"'+x\",\"\"","id,timestamp,type,actor,message\n1,2026-03-14T09:26:53.589Z,key.created,\"a\"\"b\",\"'=cmd|\"\"x\"\"\nline2,comma\"",3001,2001]`,
);

example(
  'events that are too old go',
  ({ tick }) => {
    const log = new AuditLogger({ maxAgeHours: 1 });
    log.log('a', 'x', 'old');
    tick(3_600_000);
    const kept = log.enforceRetention();
    log.log('a', 'x', 'new');
    tick(1);
    const forEver = [0, -1, NaN].map((maxAgeHours) => {
      const other = logged(2, { maxAgeHours });
      tick(1);
      return other.enforceRetention();
    });
    return [kept, log.enforceRetention(), log.size, forEver];
  },
  '[0,1,1,[0,0,0]]',
);

test('an event in hand is live', () => {
  const log = new AuditLogger();
  const metadata = { n: 1 };
  const event = log.log('a', 'x', 'm', metadata);
  log.log('b', 'y', 'n');
  assert.equal(event.metadata, metadata);
  metadata.n = 2;
  event.timestamp = '2001-01-01T00:00:00.000Z';
  event.actor = 'Zoe';
  event.extra = true;
  assert.equal(log.query({ until: '2002-01-01' }).events[0], event);
  assert.equal(log.query({ actor: 'zoe' }).total, 1);
  assert.equal(log.stats().oldestEvent, '2001-01-01T00:00:00.000Z');
  assert.match(log.exportCsv({ types: ['a'] }), /\n1,2001-01-01T00:00:00\.000Z,a,"Zoe","m"$/);
  const expected = { id: 1, timestamp: '2001-01-01T00:00:00.000Z', type: 'a', actor: 'Zoe', message: 'm', metadata: { n: 2 }, extra: true };
  assert.deepStrictEqual(log.exportAll()[0], expected);
  assert.equal(log.enforceRetention(), 1);
  assert.equal(log.size, 1);
  event.timestamp = new Date().toISOString();
  assert.deepEqual(log.exportAll().map(({ id }) => id), [2]);
});

test('what is handed out can be changed without changing the log', () => {
  const log = logged(3);
  log.exportAll().length = 0;
  log.query().events.reverse();
  assert.deepEqual(log.exportAll().map(({ id }) => id), [1, 2, 3]);
});

test('odd events and queries are errors or taken as text', () => {
  const log = new AuditLogger();
  const cycle = {};
  cycle.self = cycle;
  assert.equal(log.log('t', 'x', 'm', cycle).metadata, cycle);
  assert.equal(log.log('t', 'x', 'm', 10n).metadata, 10n);
  assert.equal(log.log('t', 'x', 'm', null).metadata, null);
  const odd = log.log(5, null, undefined);
  assert.deepStrictEqual([odd.type, odd.actor, odd.message], [5, null, undefined]);
  assert.equal(log.query({ types: [5] }).events[0], odd);
  log.log('half \ud800', 'x', 'm');
  assert.equal(log.query({ types: ['half \ud800'] }).total, 1);
  assert.equal(log.query({ types: new Array(2) }).total, 0);
  const before = log.size;
  assert.throws(() => log.log('t', { toString() { throw new Error('mine'); } }, 'm'), /mine/);
  assert.throws(() => log.log('t', Object.create(null), 'm'), TypeError);
  assert.throws(() => log.query({ types: 'gate.allow' }), { name: 'TypeError', message: 'types must be an array, but is string' });
  assert.throws(() => log.query({ limit: Symbol('s') }), TypeError);
  assert.throws(() => log.query(new Proxy({}, { get() { throw new Error('trap'); } })), /trap/);
  assert.throws(() => AuditLogger.prototype.log.call({}, 't', 'x', 'm'), TypeError);
  assert.equal(log.size, before);
});

test('a log in use for long holds on to what it keeps alone', () => {
  const log = logged(100_000, { maxEvents: 10 });
  assert.equal(log.size, 10);
  assert.deepEqual(log.exportAll().map(({ id }) => id), [99_991, 99_992, 99_993, 99_994, 99_995, 99_996, 99_997, 99_998, 99_999, 100_000]);
});

test('others who read the same log see what a script logs, and what it changes', async () => {
  const handle = call(native.auditNew, 3, 0);
  const script = auditLoggerOf(handle);
  const read = () => auditLoggerOf(handle).exportAll();
  const cycle = {};
  cycle.self = cycle;
  const event = script.log('key.created', 'admin', 'half \ud800', { list: [1], long: 1e21 });
  script.log('t', 'x', 'm', cycle);
  const [first, second] = read();
  assert.deepStrictEqual({ ...first, message: 'half \ud800' }, event);
  assert.deepStrictEqual([first.message, second.metadata], ['half \ufffd', {}]);
  event.metadata.list.push(2);
  event.timestamp = new Date(0);
  event.actor = { toString: () => 'someone' };
  await null;
  const [changed] = read();
  assert.deepStrictEqual([changed.metadata, changed.actor], [{ list: [1, 2], long: 1e21 }, 'someone']);
  // What cannot be read is an error where the log is asked, and nowhere else.
  event.actor = Object.create(null);
  assert.equal(script.log('t', 'x', 'm').id, 3);
  await null;
  assert.throws(() => script.stats(), TypeError);
  event.actor = 'x';
  assert.equal(script.stats().totalEvents, 3);
  // The script hears of others' events, in order, and each has one object.
  const other = auditLoggerOf(handle).log('u', 'y', 'n', { by: 'another' });
  assert.deepStrictEqual(script.query({ limit: 1 }).events[0], other);
  assert.equal(script.exportAll()[2], script.query().events[0]);
  assert.deepEqual(script.exportAll().map(({ id }) => id), [2, 3, 4]);
  assert.equal(script.exportAll()[0].metadata, cycle);
  script.destroy();
});

test('old events go by themselves until the log is destroyed, and the process may end', () => {
  const script = `
    const { AuditLogger } = require('paygate-mcp');
    class Mine extends AuditLogger {
      enforceRetention() { const dropped = super.enforceRetention(); if (dropped) { console.log(dropped, this.size); this.destroy(); } return dropped; }
    }
    new AuditLogger({ cleanupIntervalMs: 1e12 });
    const log = new Mine({ cleanupIntervalMs: 1, maxAgeHours: 1e-7 });
    log.log('a', 'x', 'm');
    const wait = setInterval(() => { if (log.size === 0) clearInterval(wait); }, 1);
    wait.ref();`;
  assert.equal(execFileSync(process.execPath, ['-e', script], { encoding: 'utf8', cwd: join(__dirname, '..') }), '1 0\n');
});

example(
  'masked keys',
  () => ['pg_1234567890abcdef', 'pg_ffffffffffffffffffffffffffffffffffffffffffffffff', '1234567890', 'pg_demo_0001', '123456789', 'anonymous', '', null, undefined, 0].map(maskKeyForAudit),
  '["pg_1234...cdef","pg_ffff...ffff","1234567...7890","pg_demo...0001","***","***","***","***","***","***"]',
);

test('only texts can be masked', () => {
  assert.equal(attempt(() => maskKeyForAudit(1234567890)), 'throws TypeError: key must be a string, but is number');
  assert.equal(attempt(() => maskKeyForAudit(['pg_1234567890abcdef'])), 'throws TypeError: key must be a string, but is object');
});
