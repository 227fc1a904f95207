'use strict';

// Alerts: rules over keys.

const assert = require('node:assert/strict');
const test = require('node:test');
const { example, attempt, AlertEngine, KeyStore } = require('./support/example.js');
const { alertEngineOf } = require('../lib/alert-engine.js');
const { native, call } = require('../lib/native.js');

const KEY = 'pg_1234567890';

/** A record that has spent 80 of 100 credits. */
const alice = (fields) => ({ name: 'alice', credits: 20, totalSpent: 80, ...fields });

const engine = (...rules) => new AlertEngine({ rules });

/** What one rule makes of a record: the number and the message. */
const fires = (type, threshold, fields) =>
  engine({ type, threshold }).check(KEY, alice(fields)).map((alert) => [alert.currentValue, alert.message]);

const quota = (dailyCallLimit, monthlyCallLimit) => ({ dailyCallLimit, monthlyCallLimit, dailyCreditLimit: 0, monthlyCreditLimit: 0 });

example(
  'an alert in full, in field order',
  () => engine({ type: 'spending_threshold', threshold: 80 }).check(KEY, alice()),
  '[{"type":"spending_threshold","timestamp":"2026-03-14T09:26:53.589Z","keyPrefix":"pg_1234567...","keyName":"alice","threshold":80,"currentValue":80,"message":"Key \\"alice\\" has spent 80% of total budget (80/100 credits)","metadata":{"credits":20,"totalSpent":80,"totalBudget":100}}]',
);

example(
  'what is spent and what is left',
  () => [
    fires('spending_threshold', 80.1),
    fires('spending_threshold', 0, { credits: 0, totalSpent: 0 }),
    fires('spending_threshold', 50, { credits: 1, totalSpent: 2 }),
    fires('spending_threshold', 50, { credits: 3335, totalSpent: 6665 }),
    fires('credits_low', 20),
    fires('credits_low', 19),
    fires('credits_low', Infinity),
  ],
  '[[],[],[[66.7,"Key \\"alice\\" has spent 67% of total budget (2/3 credits)"]],[[66.6,"Key \\"alice\\" has spent 67% of total budget (6665/10000 credits)"]],[[20,"Key \\"alice\\" has only 20 credits remaining (threshold: 20)"]],[],[[20,"Key \\"alice\\" has only 20 credits remaining (threshold: Infinity)"]]]',
);

example(
  'quotas',
  () => [
    engine({ type: 'quota_warning', threshold: 50 }).check(KEY, alice({ quota: quota(7, 3), quotaDailyCalls: 5, quotaMonthlyCalls: 0 }))[0].metadata,
    fires('quota_warning', 50, { quota: quota(7, 3), quotaDailyCalls: 5, quotaMonthlyCalls: 0 }),
    fires('quota_warning', 60, { quota: quota(7, 3), quotaDailyCalls: 1, quotaMonthlyCalls: 2 }),
    fires('quota_warning', 60, { quota: quota(0, 0), quotaDailyCalls: 1, quotaMonthlyCalls: 2 }),
    fires('quota_warning', 0, { quotaDailyCalls: 1, quotaMonthlyCalls: 2 }),
  ],
  '[{"quotaType":"dailyCalls","used":5,"limit":7},[[71.4,"Key \\"alice\\" daily call quota at 71% (5/7)"]],[[66.7,"Key \\"alice\\" monthly call quota at 67% (2/3)"]],[],[]]',
);

example(
  'expiry',
  () => {
    const left = (threshold, seconds) => fires('key_expiry_soon', threshold, { expiresAt: new Date(Date.now() + seconds * 1000).toISOString() });
    return [
      left(7200, 5400),
      left(7200, 100),
      left(7200, -1),
      left(60, 5400),
      fires('key_expiry_soon', 1e9, { expiresAt: 'garbage' }),
      fires('key_expiry_soon', 1e9, { expiresAt: null }),
      engine({ type: 'key_expiry_soon', threshold: 7200 }).check(KEY, alice({ expiresAt: '2026-03-14T10:00:00Z' }))[0].metadata,
    ];
  },
  '[[[5400,"Key \\"alice\\" expires in 1.5 hours (2026-03-14T10:56:53.589Z)"]],[[100,"Key \\"alice\\" expires in 0 hours (2026-03-14T09:28:33.589Z)"]],[],[],[],[],{"expiresAt":"2026-03-14T10:00:00Z","remainingSeconds":1986}]',
);

example(
  'refusals by a rate limit',
  ({ tick }) => {
    const alerts = engine({ type: 'rate_limit_spike', threshold: 2, cooldownSeconds: -1 });
    const check = (context) => alerts.check(KEY, alice(), context).map((alert) => [alert.message, alert.metadata]);
    const out = [];
    alerts.recordRateLimitDenial(KEY);
    out.push(check({ rateLimitDenied: true }));
    alerts.recordRateLimitDenial(KEY);
    out.push(check(), check({}), check({ rateLimitDenied: true }));
    tick(300_000);
    // Forgotten with the next one only.
    out.push(check({ rateLimitDenied: true }));
    alerts.recordRateLimitDenial(KEY);
    out.push(check({ rateLimitDenied: true }), engine({ type: 'rate_limit_spike', threshold: 0 }).check(KEY, alice(), { rateLimitDenied: true }).length);
    return out;
  },
  '[[],[],[],[["Key \\"alice\\" hit 2 rate limit denials in 5 min (threshold: 2)",{"denialCount":2,"windowMinutes":5}]],[["Key \\"alice\\" hit 2 rate limit denials in 5 min (threshold: 2)",{"denialCount":2,"windowMinutes":5}]],[],1]',
);

example(
  'cooldowns: one for each rule, by the start of the key',
  ({ tick }) => {
    const alerts = engine({ type: 'spending_threshold', threshold: 50 }, { type: 'spending_threshold', threshold: 75, cooldownSeconds: 60 }, { type: 'credits_low', threshold: 30, cooldownSeconds: 0 });
    const check = (key) => alerts.check(key, alice()).map(({ type, threshold }) => `${type} ${threshold}`);
    const out = [check(KEY), check('pg_1234567zzzz'), check('pg_other')];
    tick(59_999);
    out.push(check(KEY));
    tick(1);
    out.push(check(KEY));
    tick(3_540_000);
    out.push(check(KEY));
    alerts.clearCooldowns();
    out.push(alerts.pendingCount, check(KEY).length);
    const always = engine({ type: 'credits_low', threshold: 30, cooldownSeconds: -1 });
    return [...out, [1, 2].map(() => always.check(KEY, alice()).length)];
  },
  '[["spending_threshold 50","spending_threshold 75","credits_low 30"],[],["spending_threshold 50","spending_threshold 75","credits_low 30"],[],["spending_threshold 75"],["spending_threshold 50","spending_threshold 75","credits_low 30"],0,3,[1,1]]',
);

example(
  'odd rules, keys and records',
  () => [
    engine({ type: 'unknown', threshold: 5 }, {}, { type: 'credits_low' }, { type: 'credits_low', threshold: '30' }).check('', alice({ credits: '20', name: '' })),
    attempt(() => engine(null)),
    attempt(() => new AlertEngine({ rules: 'rules' })),
    attempt(() => engine().check(5, alice())),
    attempt(() => engine({ type: 'credits_low', threshold: 5 }).check(KEY, { get credits() { throw new Error('mine'); } })),
    new AlertEngine().check(KEY, alice()),
    new AlertEngine({}).configuredRules,
    engine({ type: 'credits_low', threshold: 5 }).check(KEY, {}),
  ],
  '[[{"type":"credits_low","timestamp":"2026-03-14T09:26:53.589Z","keyPrefix":"...","keyName":"","threshold":"30","currentValue":20,"message":"Key \\"\\" has only 20 credits remaining (threshold: 30)","metadata":{"credits":20}}],"throws TypeError: rules[0] must be an object, but is null","throws TypeError: rules must be an array, but is string","throws TypeError: key must be a string, but is number","throws Error: mine",[],[],[]]',
);

test('alerts wait as the objects that were handed out', () => {
  const alerts = engine({ type: 'credits_low', threshold: 30 });
  const [alert] = alerts.check(KEY, alice());
  alert.seen = true;
  assert.equal(alerts.pendingCount, 1);
  assert.deepEqual(alerts.consumeAlerts(), [alert]);
  assert.deepEqual([alerts.pendingCount, alerts.consumeAlerts()], [0, []]);
  const dry = new AlertEngine({ rules: [{ type: 'credits_low', threshold: 30 }], dryRun: true });
  assert.deepEqual([dry.check(KEY, alice()).length, dry.pendingCount, dry.consumeAlerts()], [1, 0, []]);
});

test('at most the latest ten thousand alerts wait', () => {
  const alerts = engine({ type: 'credits_low', threshold: 30, cooldownSeconds: -1 });
  for (let i = 0; i < 10_002; i += 1) alerts.check(`k${i}`, alice());
  assert.equal(alerts.pendingCount, 10_000);
  const waited = alerts.consumeAlerts();
  assert.deepEqual([waited.length, waited[0].keyPrefix, waited.at(-1).keyPrefix], [10_000, 'k2...', 'k10001...']);
});

test('a live record is checked as it is now', () => {
  const record = new KeyStore().createKey('live', 10);
  const alerts = engine({ type: 'credits_low', threshold: 5 });
  assert.deepEqual(alerts.check(record.key, record), []);
  record.credits = 5;
  assert.equal(alerts.check(record.key, record)[0].keyPrefix, `${record.key.slice(0, 10)}...`);
});

test('rules are read when the engine is made, and given out in a new array', () => {
  const rules = [{ type: 'credits_low', threshold: 30, note: { own: 1 } }];
  const alerts = new AlertEngine({ rules });
  rules.push({ type: 'credits_low', threshold: 40 });
  const configured = alerts.configuredRules;
  assert.equal(configured[0], rules[0]);
  configured.pop();
  assert.deepEqual(alerts.configuredRules, [rules[0]]);
  assert.equal(alerts.check(KEY, alice()).length, 1);
});

test('an engine that others use as well gives out what they fired', () => {
  const handle = call(native.alertsNew, '["credits_low"]', Float64Array.of(30, -1), 0);
  const [mine, theirs] = [alertEngineOf(handle), alertEngineOf(handle)];
  assert.ok(mine instanceof AlertEngine);
  assert.deepEqual(mine.configuredRules, [{ type: 'credits_low', threshold: 30 }]);
  const [own] = mine.check(KEY, alice());
  const [other] = theirs.check(KEY, alice());
  const waited = mine.consumeAlerts();
  assert.deepEqual(waited, [own, other]);
  assert.equal(waited[0], own);
  assert.equal(theirs.pendingCount, 0);
});
