'use strict';

const { array, json, members, number, object, string, text, time } = require('./arguments.js');
const { native, shared, call, LINES } = require('./native.js');

/** Most alerts whose objects are kept until they are fetched; crates/core/src/usage/alert.rs keeps as many. */
const PENDING_MAX = 10_000;

/** Own to the package: what an alert engine is made of. */
const ENGINE = Symbol('engine');

class AlertEngine {
  constructor(config) {
    const rules = given(config?.rules);
    const dryRun = Boolean(config?.dryRun);
    const numbers = new Float64Array(rules.length * 2);
    const types = rules.map((rule, i) => {
      const { type, threshold, cooldownSeconds } = rule;
      numbers[i * 2] = number(threshold, `rules[${i}].threshold`);
      numbers[i * 2 + 1] = number(cooldownSeconds || 0, `rules[${i}].cooldownSeconds`);
      return typeof type === 'string' ? type : '';
    });
    start(this, call(native.alertsNew, json(types, 'rules'), numbers, dryRun ? 1 : 0), rules, dryRun);
  }

  get configuredRules() {
    return [...this[ENGINE].rules];
  }

  get pendingCount() {
    return call(native.alertsPending, this[ENGINE].handle);
  }

  check(key, record, context) {
    const { handle, rules, dryRun, waiting } = this[ENGINE];
    const prefix = keyOf(key);
    const { name, credits, totalSpent, quota, quotaDailyCalls, quotaMonthlyCalls, expiresAt } = members(record, 'record');
    const { dailyCallLimit, monthlyCallLimit } = quota || {};
    const facts = [
      number(credits, 'record.credits'),
      number(totalSpent, 'record.totalSpent'),
      number(quotaDailyCalls, 'record.quotaDailyCalls'),
      number(dailyCallLimit, 'record.quota.dailyCallLimit'),
      number(quotaMonthlyCalls, 'record.quotaMonthlyCalls'),
      number(monthlyCallLimit, 'record.quota.monthlyCallLimit'),
      expiresAt ? time(expiresAt, 'record.expiresAt') : NaN,
      context?.rateLimitDenied ? 1 : 0,
    ];
    const texts = [text(name, 'record.name'), expiresAt ? text(expiresAt, 'record.expiresAt') : ''];
    // What the record's fields ran may have used the shared numbers, so they are set last.
    shared.set(facts, LINES);
    const rows = call(native.alertsCheck, handle, prefix, ...texts);
    if (rows === undefined) return [];
    return JSON.parse(rows).map(([number, place, alert]) => {
      // As the rule has it: JSON has no infinite ones.
      alert.threshold = rules[place].threshold;
      if (!dryRun) wait(waiting, number, alert);
      return alert;
    });
  }

  recordRateLimitDenial(key) {
    call(native.alertsDenied, this[ENGINE].handle, keyOf(key));
  }

  consumeAlerts() {
    const { handle, waiting } = this[ENGINE];
    const rows = call(native.alertsConsume, handle);
    const alerts = rows === undefined ? [] : JSON.parse(rows).map(([number, , alert]) => waiting.get(number) ?? alert);
    waiting.clear();
    return alerts;
  }

  clearCooldowns() {
    const { handle, waiting } = this[ENGINE];
    call(native.alertsClear, handle);
    waiting.clear();
  }
}

function start(engine, handle, rules, dryRun) {
  // `waiting` are the alerts that were handed out and wait to be fetched, by number: the same objects both times.
  Object.defineProperty(engine, ENGINE, { value: { handle, rules, dryRun, waiting: new Map() } });
  return engine;
}

function given(rules) {
  if (rules === undefined || rules === null) return [];
  return Array.from(array(rules, 'rules'), (rule, i) => object(rule, `rules[${i}]`));
}

/** As much of a key as alerts go by. */
function keyOf(key) {
  return string(key, 'key').slice(0, 10);
}

function wait(waiting, number, alert) {
  waiting.set(number, alert);
  if (waiting.size > PENDING_MAX) waiting.delete(waiting.keys().next().value);
}

/** The alert engine of a server. */
function alertEngineOf(handle) {
  return start(Object.create(AlertEngine.prototype), handle, JSON.parse(call(native.alertsRules, handle)), false);
}

module.exports = { AlertEngine, alertEngineOf };
