'use strict';

// Counters and gauges, and the page that Prometheus reads.

const assert = require('node:assert/strict');
const test = require('node:test');
const { metricsCollectorOf } = require('../lib/metrics-collector.js');
const { native, call } = require('../lib/native.js');
const { example, MetricsCollector } = require('./support/example.js');

/** The samples of a collector, without the uptime. */
const samples = (metrics) =>
  metrics.serialize().split('\n').filter((line) => line !== '' && !line.startsWith('#') && !line.startsWith('paygate_uptime'));

example(
  'a new collector shows its uptime',
  ({ tick }) => {
    const metrics = new MetricsCollector();
    const first = metrics.serialize();
    tick(2999);
    return [first, metrics.serialize()];
  },
  String.raw`["# HELP paygate_uptime_seconds Server uptime in seconds\n# TYPE paygate_uptime_seconds gauge\npaygate_uptime_seconds 0\n","# HELP paygate_uptime_seconds Server uptime in seconds\n# TYPE paygate_uptime_seconds gauge\npaygate_uptime_seconds 2\n"]`,
);

example(
  'calls, requests, rate limits and refunds',
  () => {
    const metrics = new MetricsCollector();
    metrics.recordToolCall('search', true, 5);
    metrics.recordToolCall('search', true, 0);
    metrics.recordToolCall('x', false, 3, 'insufficient_credits');
    metrics.recordToolCall('x', false, 3, 'tool_not_allowed: x not in allowedTools');
    metrics.recordToolCall('x', false, 3);
    metrics.recordHttpRequest('GET', '/Keys/Revoke?x=1', 200);
    metrics.recordHttpRequest('GET', '?a', 404);
    metrics.recordRateLimitHit('a"b\\c\nd');
    metrics.recordRefund('search', 4);
    metrics.recordRefund('search');
    return samples(metrics);
  },
  String.raw`["paygate_tool_calls_total{status=\"allowed\",tool=\"search\"} 2","paygate_tool_calls_total{status=\"denied\",tool=\"x\"} 3","paygate_credits_charged_total{tool=\"search\"} 5","paygate_denials_total{reason=\"insufficient_credits\"} 1","paygate_denials_total{reason=\"tool_not_allowed\"} 1","paygate_http_requests_total{method=\"GET\",path=\"/keys/*\",status=\"200\"} 1","paygate_http_requests_total{method=\"GET\",path=\"/\",status=\"404\"} 1","paygate_rate_limit_hits_total{tool=\"a\\\"b\\\\c\\nd\"} 1","paygate_refunds_total{tool=\"search\"} 5"]`,
);

example(
  'labels are in the order of their names, whatever order they came in',
  () => {
    const metrics = new MetricsCollector();
    metrics.registerCounter('c2', 'h');
    metrics.increment('c2', { Zed: '1', apple: '2', _u: '3', Apple: '4', éa: '5', a1: '6', a_b: '7' });
    metrics.increment('c2');
    metrics.increment('c2', {}, 2);
    metrics.increment('c2', { b: '2', a: '1' });
    metrics.increment('c2', { a: '1', b: '2' });
    return [samples(metrics), metrics.getCounter('c2', { b: '2', a: '1' }), metrics.getCounter('c2', {}), metrics.getCounter('c2', { a: '1' })];
  },
  String.raw`[["c2{_u=\"3\",a_b=\"7\",a1=\"6\",apple=\"2\",Apple=\"4\",éa=\"5\",Zed=\"1\"} 1","c2 3","c2{a=\"1\",b=\"2\"} 2"],2,3,0]`,
);

example(
  'gauges that are set and gauges that are asked',
  () => {
    const metrics = new MetricsCollector();
    let asked = 0;
    metrics.registerGauge('g3', 'h');
    metrics.registerGauge('never', 'h');
    metrics.registerGauge('live', 'h', () => (asked += 1));
    metrics.registerGauge('live', 'h', () => 1e21);
    metrics.setGauge('g3', -2, { x: '' });
    metrics.setGauge('live', 7, { x: 'y' });
    metrics.setGauge('paygate_uptime_seconds', 9);
    return [asked, samples(metrics), samples(metrics), metrics.getGauge('live'), metrics.getGauge('live', { x: 'y' }), metrics.getGauge('live', {}), metrics.getGauge('g3', { x: '' }), metrics.getGauge('g3'), metrics.getGauge('paygate_uptime_seconds'), metrics.getGauge('none'), metrics.getGauge('paygate_refunds_total')];
  },
  String.raw`[0,["g3{x=\"\"} -2","live 1"],["g3{x=\"\"} -2","live 2"],3,7,0,-2,0,9,0,0]`,
);

test('a name belongs to its first metric', () => {
  const metrics = new MetricsCollector();
  metrics.registerCounter('m', 'first');
  metrics.registerGauge('m', 'second', () => 5);
  metrics.registerCounter('paygate_uptime_seconds', 'mine');
  metrics.setGauge('m', 3);
  metrics.increment('paygate_uptime_seconds');
  metrics.increment('unknown');
  assert.deepEqual([metrics.getCounter('m'), metrics.getGauge('m'), samples(metrics)], [0, 0, []]);
  metrics.increment('m', undefined, 0.1);
  assert.match(metrics.serialize(), /# HELP m first\n# TYPE m counter\nm 0\.1\n$/);
});

test('numbers are printed as Prometheus reads them', () => {
  const metrics = new MetricsCollector();
  metrics.registerGauge('g', 'h');
  const printed = [5, 2.5, -2, 1e21, 123456789012345680000, NaN, Infinity, -Infinity, '7', -0].map((value) => {
    metrics.setGauge('g', value);
    return samples(metrics)[0];
  });
  assert.deepEqual(printed, ['g 5', 'g 2.5', 'g -2', 'g 1e+21', 'g 123456789012345680000', 'g NaN', 'g +Inf', 'g -Inf', 'g 7', 'g 0']);
});

test('what a supplier throws surfaces, and what it returns is a number', () => {
  const metrics = new MetricsCollector();
  let supply = () => {
    throw new Error('mine');
  };
  metrics.registerGauge('g', 'h', () => supply());
  assert.throws(() => metrics.serialize(), /mine/);
  assert.throws(() => metrics.getGauge('g'), /mine/);
  supply = () => undefined;
  assert.deepEqual(samples(metrics), ['g NaN']);
  supply = () => {
    metrics.registerGauge('later', 'h', () => 1);
    return metrics.getCounter('paygate_refunds_total');
  };
  assert.deepEqual(samples(metrics), ['g 0']);
  assert.deepEqual(samples(metrics), ['g 0', 'later 1']);
});

test('label values are texts, of which a label has a thousand', () => {
  const metrics = new MetricsCollector();
  metrics.registerCounter('c', 'h');
  assert.throws(() => metrics.increment('c', { code: 5 }), { name: 'TypeError', message: 'labels.code must be a string, but is number' });
  assert.throws(() => metrics.recordToolCall(undefined, true, 1), { name: 'TypeError', message: 'tool must be a string, but is undefined' });
  assert.throws(() => metrics.recordToolCall('x', false, 1, 5), { name: 'TypeError', message: 'denyReason must be a string, but is number' });
  assert.throws(() => metrics.recordHttpRequest('GET', null, 200), { name: 'TypeError', message: 'path must be a string, but is null' });
  assert.throws(() => metrics.registerGauge('g', 'h', 5), { name: 'TypeError', message: 'supplier must be a function, but is number' });
  assert.throws(() => metrics.increment('c', new Proxy({}, { ownKeys() { throw new Error('trap'); } })), /trap/);
  assert.throws(() => MetricsCollector.prototype.serialize.call({}), TypeError);
  assert.deepEqual(samples(metrics), []);
  for (let n = 0; n < 1200; n += 1) metrics.recordRateLimitHit(`t${n}`);
  assert.equal(samples(metrics).length, 1001);
  assert.equal(metrics.getCounter('paygate_rate_limit_hits_total', { tool: 'other' }), 200);
  metrics.increment('c', { half: '\ud800' });
  assert.equal(metrics.getCounter('c', { half: '\ud800' }), 1);
});

test('others who show the same metrics show what suppliers said last', () => {
  const handle = call(native.metricsNew);
  const [script, other] = [metricsCollectorOf(handle), metricsCollectorOf(handle)];
  let value = 1;
  script.registerGauge('g', 'h', () => value);
  other.registerGauge('other', 'h', () => 5);
  script.recordRefund('x', 2);
  const refunds = 'paygate_refunds_total{tool="x"} 2';
  assert.deepEqual(samples(other), [refunds, 'other 5']);
  assert.deepEqual(samples(script), [refunds, 'g 1', 'other 5']);
  value = 2;
  assert.deepEqual(samples(other), [refunds, 'g 1', 'other 5']);
  assert.equal(other.getGauge('g'), 1);
  assert.equal(script.getGauge('g'), 2);
});
