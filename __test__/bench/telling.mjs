// What does it cost to tell what happened, and to ask for it: usage, audit, metrics, analytics, alerts, tokens?
import { createHash } from 'node:crypto';
import { SEARCH, paygate, richGate } from './gates.mjs';

const { AlertEngine, AnalyticsEngine, AuditLogger, MetricsCollector, OAuthProvider, UsageMeter } = paygate;

export const title = 'Usage, audit, metrics, analytics, alerts, tokens';
export const leftOut = 'the time that an event takes that is told with a decision (it is in that decision); files of OAuth and webhooks on their way.';

const EVENTS = 100_000;

export async function prepare(quick) {
  const events = quick ? 100 : EVENTS;
  const provider = new OAuthProvider({});
  return {
    rows: [...usage(events), ...audit(quick), ...metrics(), ...analytics(events), ...alerts(), tokens(provider)],
    end: () => provider.destroy(),
  };
}

function usage(count) {
  const { gate, key } = richGate();
  for (let i = 0; i < count; i += 1) gate.evaluate(key, SEARCH);
  const { meter } = gate;
  // The first reading makes the objects; the ones after it copy the list.
  const again = richGate();
  const first = () => {
    again.gate.meter.clear();
    for (let i = 0; i < count / 10; i += 1) again.gate.evaluate(again.key, SEARCH);
    const start = process.hrtime.bigint();
    const { length } = again.gate.meter.getEvents();
    const nanoseconds = Number(process.hrtime.bigint() - start) / length;
    return length === count / 10 ? nanoseconds : NaN;
  };
  const own = new UsageMeter(count);
  const event = { timestamp: new Date().toISOString(), apiKey: key, keyName: 'bench', tool: 'search', creditsCharged: 1, allowed: true };
  return [
    { what: `meter.getEvents(), ${count} events, an event`, calls: 20, per: count, act: () => meter.getEvents(), of: ({ length }) => length, each: count, was: 4 },
    { what: 'meter.getEvents() of new events, an event', calls: 3, timed: first },
    { what: `meter.getSummary(), ${count} events, an event`, calls: 3, per: count, act: () => meter.getSummary(), of: ({ totalCreditsSpent }) => totalCreditsSpent, each: count },
    { what: 'meter.eventCount', calls: 50_000, act: () => meter.eventCount, each: count },
    { what: 'meter.record(), an event of one\'s own', calls: 5000, act: () => own.record(event), of: () => 1 },
  ];
}

function audit(quick) {
  const log = new AuditLogger({ cleanupIntervalMs: 0 });
  const kept = quick ? 20 : 10_000;
  for (let i = 0; i < kept; i += 1) log.log('key.created', 'admin', 'made a key', { i });
  const made = ({ type }) => (type === 'key.topup' ? 1 : 0);
  return [
    { what: 'audit.log()', calls: 5000, act: (i) => log.log('key.topup', 'admin', 'added credits', { i }), of: made },
    { what: 'audit.query(), the latest 50', calls: 50, act: () => log.query({ limit: 50 }), of: ({ events }) => Math.min(events.length, 1) },
    { what: 'audit.stats()', calls: 50, act: () => log.stats(), of: ({ totalEvents }) => Math.min(totalEvents, 1) },
  ];
}

function metrics() {
  const collector = new MetricsCollector();
  const recorded = (i) => collector.recordToolCall(`tool-${i & 15}`, true, 1);
  return [
    { what: 'metrics.recordToolCall(), 16 tools', calls: 50_000, act: recorded, of: () => 1 },
    { what: 'metrics.serialize(), 16 tools', calls: 500, act: () => collector.serialize(), of: (page) => (page.includes('tool="tool-0"') ? 1 : 0) },
  ];
}

function analytics(count) {
  const start = Date.parse('2026-01-01T00:00:00.000Z');
  const events = Array.from({ length: count }, (_, i) => ({
    timestamp: new Date(start + i * 600).toISOString(),
    apiKey: `pg_${i % 100}`,
    keyName: `key ${i % 100}`,
    tool: `tool-${i % 10}`,
    creditsCharged: 1,
    allowed: true,
  }));
  const engine = new AnalyticsEngine();
  const range = { from: '2026-01-01T00:00:00.000Z', to: '2026-01-02T00:00:00.000Z' };
  const act = () => engine.report(events, range);
  return [{ what: `analytics.report(), ${count} events, an event`, calls: 3, per: count, act, of: ({ summary }) => summary.totalCalls, each: count }];
}

function alerts() {
  const rules = [
    { type: 'spending_threshold', threshold: 80 },
    { type: 'credits_low', threshold: 10 },
    { type: 'quota_warning', threshold: 80 },
    { type: 'rate_limit_spike', threshold: 10 },
  ];
  const engine = new AlertEngine({ rules });
  const { key, record } = richGate();
  const plain = { ...record };
  const none = (fired) => 1 - fired.length;
  return [
    { what: 'alerts.check(), four rules, a live record', calls: 10_000, act: () => engine.check(key, record), of: none },
    { what: 'alerts.check(), four rules, a plain record', calls: 10_000, act: () => engine.check(key, plain), of: none },
  ];
}

/** A token that was got in the way that clients get theirs. */
function tokens(provider) {
  const redirectUri = 'http://localhost/callback';
  const { clientId } = provider.registerClient({ clientName: 'bench', redirectUris: [redirectUri], apiKeyRef: 'pg_bench' });
  const codeVerifier = 'v'.repeat(64);
  const codeChallenge = createHash('sha256').update(codeVerifier).digest('base64url');
  const code = provider.createAuthCode({ clientId, redirectUri, codeChallenge, codeChallengeMethod: 'S256', apiKeyRef: 'pg_bench' });
  const { accessToken, access_token } = provider.exchangeCode({ code, clientId, redirectUri, codeVerifier });
  const token = accessToken ?? access_token;
  return { what: 'oauth.validateToken()', calls: 20_000, act: () => provider.validateToken(token), of: (found) => (found === null ? 0 : 1) };
}
