// Gates and keys for the benches.
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

/** Where the package is. */
export const root = fileURLToPath(new URL('../..', import.meta.url));

export const paygate = createRequire(import.meta.url)(root);

const { Gate, DEFAULT_CONFIG } = paygate;

/** Credits that no bench can spend. */
export const RICH = 9e15;

/** Prices of a gate without limits. */
export const CONFIG = { ...DEFAULT_CONFIG, globalRateLimitPerMin: 0, toolPricing: { search: { creditsPerCall: 1 } } };

export const SEARCH = { name: 'search' };

/** A batch of calls of as many tools. */
export const batch = (count) => Array.from({ length: count }, (_, i) => ({ name: `tool-${i}` }));

/** A gate, and a key that never runs out. */
export function richGate(config = {}, options = {}, statePath = undefined) {
  const gate = new Gate({ ...CONFIG, ...config }, statePath);
  const record = gate.store.createKey('bench', RICH, options);
  return { gate, record, key: record.key };
}

export const charged = ({ creditsCharged }) => creditsCharged;
export const total = ({ totalCredits }) => totalCredits;
