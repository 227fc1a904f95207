'use strict';

// A gate keeps its caller's configuration object and goes by what stands in it now. This is what stood in it when
// it was last handed to the books, and whether that is still so.

const { json, members, number, shown } = require('./arguments.js');

const BATCH_CALLS_MAX = 1000;

/** Characters of a text that is no price that a message shows. */
const SHOWN_MAX = 40;
const NO_PRICES = {};
const LIMITS = ['dailyCallLimit', 'monthlyCallLimit', 'dailyCreditLimit', 'monthlyCreditLimit'].map(
  (limit) => `config.globalQuota.${limit}`,
);

class SeenConfig {
  /** Reads a configuration. Throws a RangeError that names a price that cannot be one. */
  constructor(config) {
    this.shadowMode = members(config, 'config').shadowMode;
    this.defaultCreditsPerCall = price(config.defaultCreditsPerCall, 'defaultCreditsPerCall');
    this.refundOnFailure = config.refundOnFailure;
    this.globalQuota = config.globalQuota;
    const quota = config.globalQuota || NO_PRICES;
    this.dailyCallLimit = quota.dailyCallLimit;
    this.monthlyCallLimit = quota.monthlyCallLimit;
    this.dailyCreditLimit = quota.dailyCreditLimit;
    this.monthlyCreditLimit = quota.monthlyCreditLimit;
    this.toolPricing = config.toolPricing;
    /** The entries of the price list, by tool. */
    this.tools = new Map();
    /** Whether there is a tool whose arguments' size counts. */
    this.measuring = false;
    for (const [name, entry] of Object.entries(config.toolPricing || NO_PRICES)) {
      if (!entry) continue;
      const seen = new SeenPrice(name, entry);
      this.tools.set(name, seen);
      this.measuring ||= seen.creditsPerKbInput > 0;
    }
  }

  /** Whether the configuration still says the same, prices of single tools aside. */
  holds(config) {
    if (
      config.shadowMode !== this.shadowMode ||
      config.defaultCreditsPerCall !== this.defaultCreditsPerCall ||
      config.refundOnFailure !== this.refundOnFailure ||
      config.toolPricing !== this.toolPricing ||
      config.globalQuota !== this.globalQuota
    ) {
      return false;
    }
    const quota = this.globalQuota;
    return (
      !quota ||
      (Object.is(quota.dailyCallLimit, this.dailyCallLimit) &&
        Object.is(quota.monthlyCallLimit, this.monthlyCallLimit) &&
        Object.is(quota.dailyCreditLimit, this.dailyCreditLimit) &&
        Object.is(quota.monthlyCreditLimit, this.monthlyCreditLimit))
    );
  }

  /** Whether the price list still says the same of a tool. */
  holdsPrice(tool) {
    const pricing = this.toolPricing;
    const entry = pricing ? pricing[tool] : undefined;
    if (entry === undefined && this.tools.size === 0) return true;
    const seen = this.tools.get(tool);
    // A tool may be called like something that every object inherits.
    if (!entry || !Object.hasOwn(pricing, tool)) return seen === undefined;
    return seen !== undefined && seen.holds(entry);
  }

  /** Whether the whole price list still says the same. */
  holdsAllPrices() {
    const tools = Object.keys(this.toolPricing || NO_PRICES);
    return tools.every((tool) => this.holdsPrice(tool)) && [...this.tools.keys()].every((tool) => this.holdsPrice(tool));
  }

  /** Whether the size of a tool's arguments counts. */
  measures(tool) {
    return this.measuring && this.tools.get(tool)?.creditsPerKbInput > 0;
  }

  /** The configuration as native code takes it. */
  given(config) {
    const limits = [this.dailyCallLimit, this.monthlyCallLimit, this.dailyCreditLimit, this.monthlyCreditLimit];
    const given = {
      defaultCreditsPerCall: this.defaultCreditsPerCall,
      tools: [...this.tools.values()].map((seen) => seen.given(this.defaultCreditsPerCall)),
      globalRateLimit: finite(number(config.globalRateLimitPerMin, 'config.globalRateLimitPerMin')),
      globalQuota: this.globalQuota ? limits.map((limit, i) => finite(number(limit, LIMITS[i]))) : null,
      shadowMode: Boolean(this.shadowMode),
      refundOnFailure: Boolean(this.refundOnFailure),
      refundOnToolError: Boolean(config.refundOnToolError),
      batchCallsMax: callsMax(config),
      batchRatePerCall: config.batchRateLimit === 'per-call',
    };
    return json(given, 'config');
  }
}

/** One entry of the price list. */
class SeenPrice {
  constructor(name, entry) {
    const field = fieldOf(name);
    this.name = name;
    this.creditsPerCall = entry.creditsPerCall;
    if (entry.creditsPerCall !== undefined) price(entry.creditsPerCall, `${field}.creditsPerCall`);
    this.rateLimitPerMin = entry.rateLimitPerMin;
    this.creditsPerKbInput = entry.creditsPerKbInput;
    const rate = entry.creditsPerKbInput;
    if (rate !== undefined && rate !== null && !(Number.isFinite(rate) && rate >= 0)) {
      throw new RangeError(`${field}.creditsPerKbInput must be a finite number of at least 0, but is ${quoted(rate)}`);
    }
  }

  holds(entry) {
    return (
      entry.creditsPerCall === this.creditsPerCall &&
      Object.is(entry.rateLimitPerMin, this.rateLimitPerMin) &&
      entry.creditsPerKbInput === this.creditsPerKbInput
    );
  }

  given(defaultCredits) {
    return {
      name: this.name,
      creditsPerCall: this.creditsPerCall ?? defaultCredits,
      callsPerMinute: finite(number(this.rateLimitPerMin, `${fieldOf(this.name)}.rateLimitPerMin`)) ?? 0,
      creditsPerKb: this.creditsPerKbInput ?? 0,
    };
  }
}

/** A price as it is, or a RangeError. */
function price(value, field) {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new RangeError(`${field} must be a whole number of credits from 0 to 9007199254740991, but is ${quoted(value)}`);
}

function quoted(value) {
  return typeof value === 'string' ? JSON.stringify(value.slice(0, SHOWN_MAX)) : shown(value);
}

/** The entry of a tool, as messages name it. */
function fieldOf(tool) {
  return `toolPricing[${JSON.stringify(tool)}]`;
}

/** A limit as JSON can hold it: the infinite ones are the largest numbers there are, one that is no number is null. */
function finite(limit) {
  if (Number.isNaN(limit)) return null;
  return Math.max(-Number.MAX_VALUE, Math.min(limit, Number.MAX_VALUE));
}

/** How many calls a batch may have. */
function callsMax(config) {
  const most = config.maxBatchCalls ?? BATCH_CALLS_MAX;
  if (Number.isSafeInteger(most) && most >= 1) return most;
  throw new RangeError(`config.maxBatchCalls must be a whole number of at least 1, but is ${shown(most)}`);
}

module.exports = { SeenConfig, callsMax };
