'use strict';

const { native, call, json, text } = require('./native.js');

/** Own to the package: what a collector is made of. */
const METRICS = Symbol('metrics');

class MetricsCollector {
  constructor() {
    start(this, call(native.metricsNew));
  }

  registerCounter(name, help) {
    call(native.metricsCounter, this[METRICS].handle, text(name), text(help));
  }

  registerGauge(name, help, supplier) {
    const { handle, suppliers } = this[METRICS];
    if (!supplier) {
      call(native.metricsGauge, handle, text(name), text(help));
      return;
    }
    if (typeof supplier !== 'function') throw new TypeError(`supplier must be a function, but is ${typeof supplier}`);
    const given = text(name);
    const cell = call(native.metricsSuppliedGauge, handle, given, text(help));
    if (cell >= 0) suppliers.set(given, { cell, supplier });
  }

  increment(name, labels, amount = 1) {
    call(native.metricsIncrement, this[METRICS].handle, text(name), Number(amount), ...pairs(labels));
  }

  setGauge(name, value, labels) {
    call(native.metricsSet, this[METRICS].handle, text(name), Number(value), ...pairs(labels));
  }

  recordToolCall(tool, allowed, creditsCharged, denyReason) {
    const { handle } = this[METRICS];
    const name = label('tool', tool);
    if (allowed) call(native.metricsAllowed, handle, name, Number(creditsCharged));
    else if (denyReason) call(native.metricsDenied, handle, name, label('denyReason', denyReason));
    else call(native.metricsDenied, handle, name);
  }

  recordHttpRequest(method, path, statusCode) {
    const texts = [label('method', method), label('path', path), text(statusCode)];
    call(native.metricsHttpRequest, this[METRICS].handle, ...texts);
  }

  recordRateLimitHit(tool) {
    call(native.metricsRateLimitHit, this[METRICS].handle, label('tool', tool));
  }

  recordRefund(tool, credits = 1) {
    call(native.metricsRefund, this[METRICS].handle, label('tool', tool), Number(credits));
  }

  serialize() {
    refreshGauges(this);
    return call(native.metricsPage, this[METRICS].handle);
  }

  getCounter(name, labels) {
    return call(native.metricsCount, this[METRICS].handle, text(name), ...pairs(labels));
  }

  getGauge(name, labels) {
    const { handle, suppliers } = this[METRICS];
    const given = text(name);
    if (labels) return call(native.metricsShown, handle, given, pairs(labels)[0] ?? '[]');
    const supplied = suppliers.get(given);
    if (supplied === undefined) return call(native.metricsShown, handle, given);
    const { supplier } = supplied;
    return Number(supplier());
  }
}

/** A label's value, which must be a text. */
function label(name, value) {
  if (typeof value === 'string') return value;
  throw new TypeError(`${name} must be a string, but is ${value === null ? 'null' : typeof value}`);
}

/** Labels as the last argument of a native function, in the order in which they are written; none are no argument. */
function pairs(labels) {
  if (!labels) return [];
  const sorted = Object.keys(labels).sort((a, b) => a.localeCompare(b));
  return sorted.length === 0 ? [] : [json(sorted.map((name) => [name, label(`labels.${name}`, labels[name])]))];
}

function start(collector, handle) {
  Object.defineProperty(collector, METRICS, { value: { handle, suppliers: new Map() } });
  return collector;
}

/**
 * Asks the script's suppliers, for whoever makes the page next: on other threads a gauge shows what its supplier said
 * last. What one of them throws surfaces.
 */
function refreshGauges(collector) {
  const { handle, suppliers } = collector[METRICS];
  for (const { cell, supplier } of [...suppliers.values()]) {
    call(native.metricsSupply, handle, cell, Number(supplier()));
  }
}

/** The collector of a server. */
function metricsCollectorOf(handle) {
  return start(Object.create(MetricsCollector.prototype), handle);
}

module.exports = { MetricsCollector, metricsCollectorOf, refreshGauges };
