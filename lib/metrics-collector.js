'use strict';

const { callable, json, number, string, text } = require('./arguments.js');
const { native, call } = require('./native.js');

/** Own to the package: what a collector is made of. */
const METRICS = Symbol('metrics');

class MetricsCollector {
  constructor() {
    start(this, call(native.metricsNew));
  }

  registerCounter(name, help) {
    call(native.metricsCounter, this[METRICS].handle, text(name, 'name'), text(help, 'help'));
  }

  registerGauge(name, help, supplier) {
    const { handle, suppliers } = this[METRICS];
    if (!supplier) {
      call(native.metricsGauge, handle, text(name, 'name'), text(help, 'help'));
      return;
    }
    callable(supplier, 'supplier');
    const given = text(name, 'name');
    const cell = call(native.metricsSuppliedGauge, handle, given, text(help, 'help'));
    if (cell >= 0) suppliers.set(given, { cell, supplier });
  }

  increment(name, labels, amount = 1) {
    call(native.metricsIncrement, this[METRICS].handle, text(name, 'name'), number(amount, 'amount'), ...pairs(labels));
  }

  setGauge(name, value, labels) {
    call(native.metricsSet, this[METRICS].handle, text(name, 'name'), number(value, 'value'), ...pairs(labels));
  }

  recordToolCall(tool, allowed, creditsCharged, denyReason) {
    const { handle } = this[METRICS];
    const name = string(tool, 'tool');
    if (allowed) call(native.metricsAllowed, handle, name, number(creditsCharged, 'creditsCharged'));
    else if (denyReason) call(native.metricsDenied, handle, name, string(denyReason, 'denyReason'));
    else call(native.metricsDenied, handle, name);
  }

  recordHttpRequest(method, path, statusCode) {
    const texts = [string(method, 'method'), string(path, 'path'), text(statusCode, 'statusCode')];
    call(native.metricsHttpRequest, this[METRICS].handle, ...texts);
  }

  recordRateLimitHit(tool) {
    call(native.metricsRateLimitHit, this[METRICS].handle, string(tool, 'tool'));
  }

  recordRefund(tool, credits = 1) {
    call(native.metricsRefund, this[METRICS].handle, string(tool, 'tool'), number(credits, 'credits'));
  }

  serialize() {
    refreshGauges(this);
    return call(native.metricsPage, this[METRICS].handle);
  }

  getCounter(name, labels) {
    return call(native.metricsCount, this[METRICS].handle, text(name, 'name'), ...pairs(labels));
  }

  getGauge(name, labels) {
    const { handle, suppliers } = this[METRICS];
    const given = text(name, 'name');
    if (labels) return call(native.metricsShown, handle, given, pairs(labels)[0] ?? '[]');
    const supplied = suppliers.get(given);
    if (supplied === undefined) return call(native.metricsShown, handle, given);
    const { supplier } = supplied;
    return number(supplier(), 'supplier()');
  }
}

/** Labels as the last argument of a native function, in the order in which they are written; none are no argument. */
function pairs(labels) {
  if (!labels) return [];
  const sorted = Object.keys(labels).sort((a, b) => a.localeCompare(b));
  const values = sorted.map((name) => [name, string(labels[name], `labels.${name}`)]);
  return values.length === 0 ? [] : [json(values, 'labels')];
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
    call(native.metricsSupply, handle, cell, number(supplier(), 'supplier()'));
  }
}

/** The collector of a server. */
function metricsCollectorOf(handle) {
  return start(Object.create(MetricsCollector.prototype), handle);
}

module.exports = { MetricsCollector, metricsCollectorOf, refreshGauges };
