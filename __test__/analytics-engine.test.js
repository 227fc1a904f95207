'use strict';

// Reports over events.

const assert = require('node:assert/strict');
const test = require('node:test');
const { example, attempt, gate, put, AnalyticsEngine } = require('./support/example.js');

const event = (timestamp, apiKey, keyName, tool, creditsCharged, allowed = true) => ({ timestamp, apiKey, keyName, tool, creditsCharged, allowed });

const EVENTS = [
  event('2026-01-01T22:00:00.000Z', 'pg_aaaaaaa', 'alice', 'search', 9),
  event('2026-01-01T23:30:00.000Z', 'pg_aaaaaaa', 'alice', 'search', 2, false),
  event('2026-01-02T00:00:00.000Z', 'pg_aaaaaaa', 'alice', 'search', 5),
  event('2026-01-02T00:59:59.999Z', 'pg_bbbbbbb', '', 'write', 3),
  event('2026-01-02T01:00:00.000Z', 'pg_bbbbbbb', 'bob', 'search', 4),
  event('2026-01-02T01:10:00.000Z', 'pg_bbbbbbb', 'bob', 'write', 0, false),
  event('2026-01-02T01:20:00.000Z', 'pg_aaaaaaa', 'alice2', 'search', -5),
  event('2026-01-02T02:30:00.000Z', 'pg_ccccccc', 'carol', 'calc', 5),
];

const report = (events, options) => new AnalyticsEngine().report(events, options);

example(
  'a report in full, in field order',
  () => report(EVENTS, { from: '2026-01-02T00:00:00.000Z', to: '2026-01-02T02:30:00.000Z' }),
  '{"from":"2026-01-02T00:00:00.000Z","to":"2026-01-02T02:30:00.000Z","granularity":"hourly","timeSeries":[{"start":"2026-01-02T00:00:00.000Z","end":"2026-01-02T01:00:00.000Z","calls":2,"allowed":2,"denied":0,"credits":8},{"start":"2026-01-02T01:00:00.000Z","end":"2026-01-02T02:00:00.000Z","calls":3,"allowed":2,"denied":1,"credits":-1},{"start":"2026-01-02T02:00:00.000Z","end":"2026-01-02T02:30:00.000Z","calls":1,"allowed":1,"denied":0,"credits":5}],"tools":[{"tool":"search","calls":3,"allowed":3,"denied":0,"credits":4,"successRate":1,"avgCreditsPerCall":1.3333333333333333},{"tool":"write","calls":2,"allowed":1,"denied":1,"credits":3,"successRate":0.5,"avgCreditsPerCall":3},{"tool":"calc","calls":1,"allowed":1,"denied":0,"credits":5,"successRate":1,"avgCreditsPerCall":5}],"topConsumers":[{"keyName":"pg_bbbbbbb...","calls":3,"credits":7,"denied":1,"topTool":"write"},{"keyName":"carol","calls":1,"credits":5,"denied":0,"topTool":"calc"},{"keyName":"alice","calls":2,"credits":0,"denied":0,"topTool":"search"}],"trend":{"current":{"calls":6,"credits":12,"denied":1},"previous":{"calls":2,"credits":9,"denied":1},"change":{"calls":200,"credits":33.3,"denied":0}},"summary":{"totalCalls":6,"totalCredits":12,"totalDenied":1,"uniqueKeys":3,"uniqueTools":3,"successRate":0.8333333333333334}}',
);

example(
  'without events: a day by the script’s clock',
  () => {
    const { from, to, granularity, timeSeries, trend, summary } = report([]);
    return [from, to, granularity, timeSeries.length, trend.change, summary, report([], { granularity: 'weekly', from: '2026-01-01', to: '2026-01-03' }).timeSeries.length];
  },
  '["2026-03-13T09:26:53.589Z","2026-03-14T09:26:53.589Z","hourly",24,{"calls":null,"credits":null,"denied":null},{"totalCalls":0,"totalCredits":0,"totalDenied":0,"uniqueKeys":0,"uniqueTools":0,"successRate":1},2]',
);

example(
  'how many consumers',
  () => {
    const range = { from: '2026-01-02', to: '2026-01-03' };
    const listed = (topN) => report(EVENTS, { ...range, topN }).topConsumers.length;
    return [report(EVENTS, { ...range, granularity: 'weekly' }).granularity, ...[1, 0, -1, NaN, 1.9, undefined, Infinity, '2'].map(listed)];
  },
  '["weekly",1,3,2,3,1,3,3,2]',
);

example(
  'what cannot be reported',
  () => [
    attempt(() => report([], { from: 'garbage' })),
    attempt(() => report([], { to: 'garbage' })),
    attempt(() => report([], { from: '2020-01-01', to: '2026-01-01' })),
    attempt(() => report([], { from: new Date(0) })),
    attempt(() => report('events')),
    attempt(() => report([EVENTS[0], null])),
    attempt(() => report([{ get tool() { throw new Error('mine'); } }])),
  ],
  '["throws RangeError: Invalid time value","throws RangeError: Invalid time value","throws RangeError: the range has 52608 buckets, but a report has at most 10000","throws TypeError: from must be a string, but is object","throws TypeError: events must be an array, but is string","throws TypeError: events[1] must be an object, but is null","throws Error: mine"]',
);

example(
  'the events of a gate',
  ({ tick }) => {
    const g = gate();
    const key = put(g, 7);
    for (const name of ['search', 'search', 'translate']) g.evaluate(key, { name });
    tick(3_600_000);
    g.evaluate(null, { name: 'search' });
    const { summary, tools, topConsumers } = report(g.meter.getEvents(), { from: '2026-03-14' });
    return [summary, tools.map(({ tool, calls, credits }) => [tool, calls, credits]), topConsumers];
  },
  '[{"totalCalls":4,"totalCredits":5,"totalDenied":3,"uniqueKeys":2,"uniqueTools":2,"successRate":0.25},[["search",3,5],["translate",1,0]],[{"keyName":"demo","calls":3,"credits":5,"denied":2,"topTool":"search"},{"keyName":"none...","calls":1,"credits":0,"denied":1,"topTool":"search"}]]',
);

test('events may be odd', () => {
  const range = { from: '2026-01-02', to: '2026-01-03' };
  const at = '2026-01-02T01:00:00.000Z';
  const odd = [
    event(at, 'k', undefined, '__proto__', '2'),
    event(at, 'k\ud800', 'half \udc00', 'toString', true),
    event('2026-01-02T01', 5, 'n', 7, 1),
    event(Symbol('never'), 'k', 'n', 't', 1),
    event(new Date(at), 'k', 'n', 't', 1),
    {},
    [],
  ];
  const { tools, topConsumers, summary } = report(odd, range);
  assert.deepEqual(tools.map(({ tool, credits }) => [tool, credits]), [['__proto__', 2], ['toString', 1], ['7', 1]]);
  assert.deepEqual(topConsumers.map(({ keyName }) => keyName), ['k...', 'half \ufffd', 'n']);
  assert.equal(summary.totalCalls, 3);
});

test('credits that are no number show as such', () => {
  const at = (time, credits) => event(`2026-01-02T${time}:00.000Z`, 'k', 'n', 't', credits);
  const { timeSeries, trend, summary } = report([at('00:30', 1), at('01:30', NaN), at('01:40', 1)], {
    from: '2026-01-02T01:00:00.000Z',
    to: '2026-01-02T03:00:00.000Z',
  });
  assert.deepEqual(timeSeries.map(({ credits }) => credits), [NaN, 0]);
  assert.deepEqual(trend.change, { calls: 100, credits: NaN, denied: null });
  assert.equal(summary.totalCredits, NaN);
  const alone = report([at('01:30', NaN)], { from: '2026-01-02T01:00:00.000Z', to: '2026-01-02T03:00:00.000Z' });
  assert.deepEqual(alone.trend.change, { calls: null, credits: null, denied: null });
});

test('a report of as many events as a meter keeps is made at once', () => {
  const START = Date.parse('2026-01-01T00:00:00.000Z');
  const many = Array.from({ length: 100_000 }, (_, i) =>
    event(new Date(START + i * 800).toISOString(), `pg_${i % 1000}`, `name ${i % 1000}`, `tool ${i % 50}`, i % 7, i % 5 !== 0),
  );
  const { summary, timeSeries } = report(many, { from: '2026-01-01T00:00:00.000Z', to: '2026-01-02T00:00:00.000Z' });
  assert.deepEqual([summary.totalCalls, summary.totalDenied, summary.uniqueKeys, summary.uniqueTools], [100_000, 20_000, 1000, 50]);
  assert.equal(timeSeries.reduce((sum, bucket) => sum + bucket.calls, 0), 100_000);
});

test('the class is one that can be extended', () => {
  class Mine extends AnalyticsEngine {}
  assert.equal(new Mine().report([]).timeSeries.length, 24);
  assert.throws(() => AnalyticsEngine(), TypeError);
});
