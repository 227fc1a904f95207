'use strict';

// Decisions.

const { example, gate, put, counters, attempt, TeamManager } = require('./support/example.js');

example(
  'free methods',
  () => {
    const g = gate();
    return ['initialize', 'initialized', 'ping', 'notifications/initialized', 'tools/list', 'resources/list', 'prompts/list', 'tools/call', 'resources/read', 'PING'].filter(m => !g.isFreeMethod(m));
  },
  '["tools/call","resources/read","PING"]',
);

example(
  'around the 512-byte steps of a rate of 2 per KiB (bytes, price; base 1)',
  () => {
    const g = gate();
    return [500, 503, 504, 505, 1016, 1017, 2040, 2041].map(n => { const a = { t: 'a'.repeat(n) }; return [Buffer.byteLength(JSON.stringify(a)), g.getToolPrice('kb', a)]; });
  },
  '[[508,2],[511,2],[512,2],[513,3],[1024,3],[1025,4],[2048,5],[2049,6]]',
);

example(
  'with and without arguments',
  () => {
    const g = gate();
    return [g.getToolPrice('kb'), g.getToolPrice('kb', null), g.getToolPrice('kb', {}), g.getToolPrice('kb', []), g.getToolPrice('search', { big: 'x'.repeat(9999) }), g.getToolPrice('other'), g.getToolPrice('other', { big: 'x'.repeat(9999) })];
  },
  '[1,1,2,2,5,1,1]',
);

example(
  'bytes of parsed arguments (rate 1024 per KiB and base 0 make the price equal the byte count)',
  () => {
    const g = gate({ toolPricing: { b: { creditsPerCall: 0, creditsPerKbInput: 1024 } } });
    return ['{"a":1.0}', '{"a":1e21}', '{"a":1e20}', '{"a":-0}', '{"a":1e400}', '{"a":0.000001}', '{"a":1e-7}', '{"a":123456789012345678901234567890}', '{"b":1,"a":2,"10":3,"9":4}', '{"a":1,"a":22}',
 '{"a":"\\u00e9"}', '{"a":"\\ud83d\\ude00"}', '{"a":"\\ud83d"}', '{"a":"\\u0007"}', '{"a":"\\n\\t"}', '{"a":"\\/"}', '{"a":"\\u2028"}', '{"a":"\\u007f"}', '{"__proto__":{"x":1},"y":2}', '{ "a" : [ 1 , 2 ] }']
  .map(t => [t, g.getToolPrice('b', JSON.parse(t))]);
  },
  '[["{\\"a\\":1.0}",7],["{\\"a\\":1e21}",11],["{\\"a\\":1e20}",27],["{\\"a\\":-0}",7],["{\\"a\\":1e400}",10],["{\\"a\\":0.000001}",14],["{\\"a\\":1e-7}",10],["{\\"a\\":123456789012345678901234567890}",28],["{\\"b\\":1,\\"a\\":2,\\"10\\":3,\\"9\\":4}",26],["{\\"a\\":1,\\"a\\":22}",8],["{\\"a\\":\\"\\\\u00e9\\"}",10],["{\\"a\\":\\"\\\\ud83d\\\\ude00\\"}",12],["{\\"a\\":\\"\\\\ud83d\\"}",14],["{\\"a\\":\\"\\\\u0007\\"}",14],["{\\"a\\":\\"\\\\n\\\\t\\"}",12],["{\\"a\\":\\"\\\\/\\"}",9],["{\\"a\\":\\"\\\\u2028\\"}",11],["{\\"a\\":\\"\\\\u007f\\"}",9],["{\\"__proto__\\":{\\"x\\":1},\\"y\\":2}",27],["{ \\"a\\" : [ 1 , 2 ] }",11]]',
);

example(
  'double arithmetic decides the rounding: 100 KiB exactly, rate 0.07',
  () => {
    const g = gate({ toolPricing: { d: { creditsPerCall: 0, creditsPerKbInput: 0.07 } } });
    const a = { t: 'a'.repeat(100 * 1024 - 8) };
    return [Buffer.byteLength(JSON.stringify(a)), g.getToolPrice('d', a)];
  },
  '[102400,8]',
);

example(
  'prices must be whole credits, and are looked up as own entries',
  () => {
    const bad = pricing => attempt(() => gate({ toolPricing: { t: pricing } }));
    const refused = [bad({ creditsPerCall: 0.1 }), bad({ creditsPerCall: -5 }), bad({ creditsPerCall: '5' }), bad({ creditsPerCall: 1, creditsPerKbInput: -1 }), attempt(() => gate({ defaultCreditsPerCall: NaN }))];
    const g = gate({ defaultCreditsPerCall: 2, toolPricing: { zero: { creditsPerCall: 0 }, none: { rateLimitPerMin: 5 }, noneKb: { creditsPerKbInput: 2 } } });
    const k = put(g, 20);
    const e = (n, a) => { const d = g.evaluate(k, { name: n, arguments: a }); return d.reason || d.remainingCredits; };
    const charged = [e('zero'), e('none'), e('noneKb', {}), e('toString'), e('__proto__')];
    g.config.toolPricing.zero.creditsPerCall = 1.5;
    return [refused, charged, attempt(() => e('zero')), g.store.getKey(k).credits];
  },
  '[["throws RangeError: toolPricing[\\"t\\"].creditsPerCall must be a whole number of credits from 0 to 9007199254740991, but is 0.1","throws RangeError: toolPricing[\\"t\\"].creditsPerCall must be a whole number of credits from 0 to 9007199254740991, but is -5","throws RangeError: toolPricing[\\"t\\"].creditsPerCall must be a whole number of credits from 0 to 9007199254740991, but is \\"5\\"","throws RangeError: toolPricing[\\"t\\"].creditsPerKbInput must be a finite number of at least 0, but is -1","throws RangeError: defaultCreditsPerCall must be a whole number of credits from 0 to 9007199254740991, but is NaN"],[20,18,15,13,11],"throws RangeError: toolPricing[\\"zero\\"].creditsPerCall must be a whole number of credits from 0 to 9007199254740991, but is 1.5",11]',
);

example(
  'allowed',
  () => {
    const g = gate();
    const k = put(g, 100);
    return [g.evaluate(k, { name: 'search', arguments: { q: 'x' } }), g.evaluate(k, { name: 'other' }), counters(g.store.getKey(k)), g.store.getKey(k).lastUsedAt];
  },
  '[{"allowed":true,"creditsCharged":5,"remainingCredits":95},{"allowed":true,"creditsCharged":1,"remainingCredits":94},{"credits":94,"totalSpent":6,"totalCalls":2,"dayCalls":2,"dayCredits":6},"2026-03-14T09:26:53.589Z"]',
);

example(
  'no key, unknown key, expired, revoked, revoked and expired',
  () => {
    const g = gate();
    const s = g.store;
    s.importKey('e', 'n', 9, { expiresAt: '2020-01-01' });
    s.importKey('r', 'n', 9);
    s.revokeKey('r');
    s.importKey('re', 'n', 9, { expiresAt: '2020-01-01' });
    s.revokeKey('re');
    return [null, '', 'nope', 'e', 'r', 're'].map(k => g.evaluate(k, { name: 'search' }));
  },
  '[{"allowed":false,"reason":"missing_api_key","creditsCharged":0,"remainingCredits":0},{"allowed":false,"reason":"missing_api_key","creditsCharged":0,"remainingCredits":0},{"allowed":false,"reason":"invalid_api_key","creditsCharged":0,"remainingCredits":0},{"allowed":false,"reason":"api_key_expired","creditsCharged":0,"remainingCredits":0},{"allowed":false,"reason":"invalid_api_key","creditsCharged":0,"remainingCredits":0},{"allowed":false,"reason":"api_key_expired","creditsCharged":0,"remainingCredits":0}]',
);

example(
  'address and ACL',
  () => {
    const g = gate();
    const out = [];
    const k = put(g, 100, { ipAllowlist: ['10.0.0.0/8'], allowedTools: ['search', 'both'], deniedTools: ['both'] });
    out.push(g.evaluate(k, { name: 'search' }, '1.2.3.4'), g.evaluate(k, { name: 'search' }, '10.1.1.1').allowed, g.evaluate(k, { name: 'search' }, '').allowed, g.evaluate(k, { name: 'search' }).allowed);
    out.push(g.evaluate(k, { name: 'Search' }).reason, g.evaluate(k, { name: 'both' }).reason);
    return out;
  },
  '[{"allowed":false,"reason":"ip_not_allowed: 1.2.3.4 not in allowlist","creditsCharged":0,"remainingCredits":100},true,true,true,"tool_not_allowed: Search not in allowedTools","tool_denied: both is in deniedTools"]',
);

example(
  'global and per-tool rate limits; refused calls do not count',
  ({ tick }) => {
    const g = gate({ globalRateLimitPerMin: 4 });
    const k = put(g, 100);
    const e = n => { const d = g.evaluate(k, { name: n }); return d.reason || 'ok'; };
    const out = [e('lim'), e('lim'), e('lim'), e('lim'), e('x'), e('x'), e('x'), e('lim')];
    tick(60000);
    out.push(e('lim'));
    return out;
  },
  '["ok","ok","tool_rate_limited: lim limited to 2 calls/min","tool_rate_limited: lim limited to 2 calls/min","ok","ok","rate_limited: 4 calls/min exceeded","rate_limited: 4 calls/min exceeded","ok"]',
);

example(
  'credits, spending limit (reaching it exactly is allowed), quota',
  () => {
    const g = gate();
    const out = [];
    put(g, 3);
    out.push(g.evaluate('pg_demo_0001', { name: 'search' }));
    put(g, 100);
    g.store.getKey('pg_demo_0001').spendingLimit = 10;
    const e = () => g.evaluate('pg_demo_0001', { name: 'search' });
    out.push(e().allowed, e().allowed, e());
    put(g, 100, { quota: { dailyCallLimit: 1, monthlyCallLimit: 0, dailyCreditLimit: 0, monthlyCreditLimit: 0 } });
    out.push(e().allowed, e());
    put(g, 100, { quota: { dailyCallLimit: 0, monthlyCallLimit: 0, dailyCreditLimit: 7, monthlyCreditLimit: 0 } });
    out.push(e().allowed, e());
    return out;
  },
  '[{"allowed":false,"reason":"insufficient_credits: need 5, have 3","creditsCharged":0,"remainingCredits":3},true,true,{"allowed":false,"reason":"spending_limit_exceeded: limit 10, spent 10, need 5","creditsCharged":0,"remainingCredits":90},true,{"allowed":false,"reason":"daily_call_quota_exceeded: 1/1 calls today","creditsCharged":0,"remainingCredits":95},true,{"allowed":false,"reason":"daily_credit_quota_exceeded: 5+5 would exceed 7 credits/day","creditsCharged":0,"remainingCredits":95}]',
);

example(
  'when several limits fail, the earlier step speaks',
  () => {
    const g = gate();
    const k = put(g, 4, { quota: { dailyCallLimit: 1, monthlyCallLimit: 0, dailyCreditLimit: 1, monthlyCreditLimit: 0 } });
    const r = g.store.getKey(k);
    r.spendingLimit = 1;
    const e = () => g.evaluate(k, { name: 'search' }).reason;
    const a = e();
    r.credits = 100;
    const b = e();
    r.spendingLimit = 0;
    const c = e();
    r.allowedTools.push('other');
    return [a, b, c, e()];
  },
  '["insufficient_credits: need 5, have 4","spending_limit_exceeded: limit 1, spent 0, need 5","daily_credit_quota_exceeded: 0+5 would exceed 1 credits/day","tool_not_allowed: search not in allowedTools"]',
);

example(
  'shadow mode: every check',
  () => {
    const g = gate({ shadowMode: true, globalRateLimitPerMin: 1 });
    const out = [];
    const k = 'pg_demo_0001';
    const e = (n, ip) => { const d = g.evaluate(k, { name: n }, ip); out.push([d.reason, d.allowed, d.creditsCharged, d.remainingCredits]); };
    { const d = g.evaluate(null, { name: 'x' }); out.push([d.reason, d.allowed, d.creditsCharged, d.remainingCredits]); }
    e('x');
    put(g, 9, { expiresAt: '2020-01-01' });
    e('x');
    put(g, 9, { ipAllowlist: ['10.0.0.0/8'] });
    e('x', '1.2.3.4');
    put(g, 9, { allowedTools: ['y'] });
    e('x');
    put(g, 3);
    e('search');
    put(g, 9);
    g.store.getKey(k).spendingLimit = 3;
    e('search');
    put(g, 9, { quota: { dailyCreditLimit: 3 } });
    e('search');
    put(g, 9);
    g.teamChecker = () => ({ allowed: false, reason: 'team_budget_exceeded' });
    e('search');
    g.teamChecker = () => ({ allowed: false });
    e('search');
    g.teamChecker = undefined;
    e('search');
    e('search');
    return [out, counters(g.store.getKey(k)), g.meter.getSummary().totalDenied];
  },
  '[[["shadow:missing_api_key",true,0,0],["shadow:invalid_api_key",true,0,0],["shadow:api_key_expired",true,0,0],["shadow:ip_not_allowed: 1.2.3.4 not in allowlist",true,0,9],["shadow:tool_not_allowed: x not in allowedTools",true,0,9],["shadow:insufficient_credits",true,0,3],["shadow:spending_limit_exceeded",true,0,9],["shadow:daily_credit_quota_exceeded: 0+5 would exceed 3 credits/day",true,0,9],["shadow:team_budget_exceeded",true,0,9],["shadow:undefined",true,0,9],[null,true,5,4],["shadow:rate_limited: 1 calls/min exceeded",true,0,4]],{"credits":4,"totalSpent":5,"totalCalls":1,"dayCalls":1,"dayCredits":5},11]',
);

example(
  'accepted batch: result, counters, hooks in order, rate windows, events',
  () => {
    const g = gate();
    const k = put(g, 100);
    const log = [];
    g.onCreditsDeducted = (key, n) => log.push('deducted ' + n);
    g.teamRecorder = (key, n) => log.push('team ' + n);
    g.teamChecker = (key, n) => { log.push('check ' + n); return { allowed: true }; };
    g.onUsageEvent = e => log.push('event ' + e.tool + ' ' + e.creditsCharged);
    const b = g.evaluateBatch(k, [{ name: 'search' }, { name: 'translate' }, { name: 'other' }]);
    return [b, counters(g.store.getKey(k)), log, g.rateLimiter.getCurrentCount(k), g.meter.eventCount];
  },
  '[{"allAllowed":true,"totalCredits":9,"decisions":[{"allowed":true,"creditsCharged":5,"remainingCredits":91},{"allowed":true,"creditsCharged":3,"remainingCredits":91},{"allowed":true,"creditsCharged":1,"remainingCredits":91}],"remainingCredits":91,"failedIndex":-1},{"credits":91,"totalSpent":9,"totalCalls":1,"dayCalls":3,"dayCredits":9},["check 9","deducted 9","team 9","event search 5","event translate 3","event other 1"],1,3]',
);

example(
  'empty batch, with and without a usable key',
  () => {
    const g = gate();
    return [g.evaluateBatch(null, []), g.evaluateBatch('nope', [])];
  },
  '[{"allAllowed":true,"totalCredits":0,"decisions":[],"remainingCredits":0,"failedIndex":-1},{"allAllowed":true,"totalCredits":0,"decisions":[],"remainingCredits":0,"failedIndex":-1}]',
);

example(
  'no key; unknown key',
  () => {
    const g = gate();
    return [g.evaluateBatch(null, [{ name: 'a' }, { name: 'b' }]), g.evaluateBatch('nope', [{ name: 'a' }]), g.meter.eventCount];
  },
  '[{"allAllowed":false,"totalCredits":0,"decisions":[{"allowed":false,"reason":"missing_api_key","creditsCharged":0,"remainingCredits":0},{"allowed":false,"reason":"missing_api_key","creditsCharged":0,"remainingCredits":0}],"remainingCredits":0,"reason":"missing_api_key","failedIndex":0},{"allAllowed":false,"totalCredits":0,"decisions":[{"allowed":false,"reason":"invalid_api_key","creditsCharged":0,"remainingCredits":0}],"remainingCredits":0,"reason":"invalid_api_key","failedIndex":0},0]',
);

example(
  'address',
  () => {
    const g = gate();
    const k = put(g, 50, { ipAllowlist: ['10.0.0.0/8'] });
    return [g.evaluateBatch(k, [{ name: 'a' }, { name: 'b' }], '1.2.3.4'), g.evaluateBatch(k, [{ name: 'a' }], '').allAllowed];
  },
  '[{"allAllowed":false,"totalCredits":0,"decisions":[{"allowed":false,"reason":"ip_not_allowed: 1.2.3.4 not in allowlist","creditsCharged":0,"remainingCredits":50},{"allowed":false,"reason":"ip_not_allowed: 1.2.3.4 not in allowlist","creditsCharged":0,"remainingCredits":50}],"remainingCredits":50,"reason":"ip_not_allowed: 1.2.3.4 not in allowlist","failedIndex":0},true]',
);

example(
  'aCL refusal of the second of three',
  () => {
    const g = gate();
    const k = put(g, 50, { allowedTools: ['a', 'c'] });
    return [g.evaluateBatch(k, [{ name: 'a' }, { name: 'b' }, { name: 'c' }]), counters(g.store.getKey(k)), g.meter.eventCount];
  },
  '[{"allAllowed":false,"totalCredits":0,"decisions":[{"allowed":false,"reason":"batch_rejected","creditsCharged":0,"remainingCredits":50},{"allowed":false,"reason":"tool_not_allowed: b not in allowedTools","creditsCharged":0,"remainingCredits":50},{"allowed":false,"reason":"batch_rejected","creditsCharged":0,"remainingCredits":50}],"remainingCredits":50,"reason":"tool_not_allowed: b not in allowedTools","failedIndex":1},{"credits":50,"totalSpent":0,"totalCalls":0,"dayCalls":0,"dayCredits":0},0]',
);

example(
  'tool limit inside one batch, and together with earlier calls',
  () => {
    const g = gate();
    const k = put(g, 50);
    const a = g.evaluateBatch(k, [{ name: 'lim' }, { name: 'x' }, { name: 'lim' }, { name: 'lim' }]);
    g.evaluate(k, { name: 'lim' });
    const b = g.evaluateBatch(k, [{ name: 'lim' }, { name: 'lim' }]);
    return [a, b.reason, b.failedIndex, g.evaluateBatch(k, [{ name: 'lim' }]).allAllowed, g.evaluateBatch(k, [{ name: 'lim' }]).failedIndex];
  },
  '[{"allAllowed":false,"totalCredits":0,"decisions":[{"allowed":false,"reason":"batch_rejected","creditsCharged":0,"remainingCredits":50},{"allowed":false,"reason":"batch_rejected","creditsCharged":0,"remainingCredits":50},{"allowed":false,"reason":"batch_rejected","creditsCharged":0,"remainingCredits":50},{"allowed":false,"reason":"tool_rate_limited: lim limited to 2 calls/min","creditsCharged":0,"remainingCredits":50}],"remainingCredits":50,"reason":"tool_rate_limited: lim limited to 2 calls/min","failedIndex":3},"tool_rate_limited: lim limited to 2 calls/min",1,true,0]',
);

example(
  'the global limit counts a batch once',
  () => {
    const g = gate({ globalRateLimitPerMin: 2 });
    const k = put(g, 500);
    const fifty = Array(50).fill({ name: 'x' });
    const r = [1, 2, 3].map(() => g.evaluateBatch(k, fifty));
    return [r.map(b => [b.allAllowed, b.reason, b.failedIndex, b.remainingCredits, b.decisions.length]), counters(g.store.getKey(k))];
  },
  '[[[true,null,-1,450,50],[true,null,-1,400,50],[false,"rate_limited: 2 calls/min exceeded",0,400,50]],{"credits":400,"totalSpent":100,"totalCalls":2,"dayCalls":100,"dayCredits":100}]',
);

example(
  'credits, spending limit, quota, team (top-level reason and one decision)',
  () => {
    const g = gate();
    const two = [{ name: 'search' }, { name: 'translate' }];
    const out = [];
    const k = 'pg_demo_0001';
    const t = () => { const b = g.evaluateBatch(k, two); out.push([b.reason, b.failedIndex, b.remainingCredits, b.decisions[1]]); };
    put(g, 7);
    t();
    put(g, 100);
    g.store.getKey(k).spendingLimit = 7;
    t();
    const Q = (a, b, c, d) => ({ quota: { dailyCallLimit: a, monthlyCallLimit: b, dailyCreditLimit: c, monthlyCreditLimit: d } });
    put(g, 100, Q(1, 0, 0, 0));
    t();
    put(g, 100, Q(0, 1, 0, 0));
    t();
    put(g, 100, Q(0, 0, 7, 0));
    t();
    put(g, 100, Q(0, 0, 0, 7));
    t();
    put(g, 100);
    g.teamChecker = (key, n) => n > 5 ? { allowed: false, reason: 'team_budget_exceeded' } : { allowed: true };
    t();
    return out;
  },
  '[["insufficient_credits: need 8, have 7",0,7,{"allowed":false,"reason":"insufficient_credits: need 8, have 7","creditsCharged":0,"remainingCredits":7}],["spending_limit_exceeded: limit 7, spent 0, need 8",0,100,{"allowed":false,"reason":"spending_limit_exceeded: limit 7, spent 0, need 8","creditsCharged":0,"remainingCredits":100}],["daily_call_quota_exceeded: 0+2 would exceed 1 calls/day",0,100,{"allowed":false,"reason":"daily_call_quota_exceeded: 0+2 would exceed 1 calls/day","creditsCharged":0,"remainingCredits":100}],["monthly_call_quota_exceeded: 0+2 would exceed 1 calls/month",0,100,{"allowed":false,"reason":"monthly_call_quota_exceeded: 0+2 would exceed 1 calls/month","creditsCharged":0,"remainingCredits":100}],["daily_credit_quota_exceeded: 0+8 would exceed 7 credits/day",0,100,{"allowed":false,"reason":"daily_credit_quota_exceeded: 0+8 would exceed 7 credits/day","creditsCharged":0,"remainingCredits":100}],["monthly_credit_quota_exceeded: 0+8 would exceed 7 credits/month",0,100,{"allowed":false,"reason":"monthly_credit_quota_exceeded: 0+8 would exceed 7 credits/month","creditsCharged":0,"remainingCredits":100}],["team_budget_exceeded",0,100,{"allowed":false,"reason":"team_budget_exceeded","creditsCharged":0,"remainingCredits":100}]]',
);

example(
  'the same situation refused for different reasons by evaluate and evaluateBatch',
  () => {
    const g = gate({ globalRateLimitPerMin: 2 });
    const k = put(g, 50);
    g.evaluateBatch(k, [{ name: 'lim' }]);
    g.evaluateBatch(k, [{ name: 'lim' }]);
    return [g.evaluate(k, { name: 'lim' }).reason, g.evaluateBatch(k, [{ name: 'lim' }]).reason];
  },
  '["rate_limited: 2 calls/min exceeded","tool_rate_limited: lim limited to 2 calls/min"]',
);

example(
  'surcharges count in batches',
  () => {
    const g = gate();
    const k = put(g, 50);
    return g.evaluateBatch(k, [{ name: 'kb' }, { name: 'kb', arguments: {} }, { name: 'kb', arguments: { t: 'a'.repeat(600) } }]);
  },
  '{"allAllowed":true,"totalCredits":6,"decisions":[{"allowed":true,"creditsCharged":1,"remainingCredits":44},{"allowed":true,"creditsCharged":2,"remainingCredits":44},{"allowed":true,"creditsCharged":3,"remainingCredits":44}],"remainingCredits":44,"failedIndex":-1}',
);

example(
  'entries of a batch must have a name; a call may be without',
  () => {
    const g = gate();
    const k = put(g, 50);
    return [attempt(() => g.evaluateBatch(k, [{ name: 'a' }, {}])), attempt(() => g.evaluateBatch(k, [null])), attempt(() => g.evaluateBatch(k, [{ name: ['a'] }])), attempt(() => g.evaluateBatch(k, null)), g.store.getKey(k).credits, g.evaluate(k, {})];
  },
  '["throws TypeError: calls[1] must be an object with a non-empty string \\"name\\", but its name is undefined","throws TypeError: calls[0] must be an object with a non-empty string \\"name\\", but is null","throws TypeError: calls[0] must be an object with a non-empty string \\"name\\", but its name is object","throws TypeError: calls must be an array, but is null",50,{"allowed":true,"creditsCharged":1,"remainingCredits":49}]',
);

example(
  'shadow mode: a batch of a caller who would be refused goes on unpaid',
  () => {
    const g = gate({ shadowMode: true });
    const k = put(g, 50, { ipAllowlist: ['10.0.0.0/8'] });
    return [g.evaluateBatch(null, [{ name: 'a' }, { name: 'b' }]), g.evaluateBatch('nope', [{ name: 'a' }]), g.evaluateBatch(k, [{ name: 'a' }], '1.2.3.4'), g.meter.eventCount];
  },
  '[{"allAllowed":true,"totalCredits":0,"decisions":[{"allowed":true,"reason":"shadow:missing_api_key","creditsCharged":0,"remainingCredits":0},{"allowed":true,"reason":"shadow:missing_api_key","creditsCharged":0,"remainingCredits":0}],"remainingCredits":0,"failedIndex":-1},{"allAllowed":true,"totalCredits":0,"decisions":[{"allowed":true,"reason":"shadow:invalid_api_key","creditsCharged":0,"remainingCredits":0}],"remainingCredits":0,"failedIndex":-1},{"allAllowed":true,"totalCredits":0,"decisions":[{"allowed":true,"reason":"shadow:ip_not_allowed: 1.2.3.4 not in allowlist","creditsCharged":0,"remainingCredits":0}],"remainingCredits":0,"failedIndex":-1},0]',
);

example(
  'shadow mode: calls of a batch that the lists of tools forbid go on unpaid',
  () => {
    const g = gate({ shadowMode: true });
    const k = put(g, 100, { allowedTools: ['search'] });
    return [g.evaluateBatch(k, [{ name: 'search' }, { name: 'translate' }, { name: 'x' }]), counters(g.store.getKey(k)), g.meter.getSummary().totalCreditsSpent];
  },
  '[{"allAllowed":true,"totalCredits":5,"decisions":[{"allowed":true,"creditsCharged":5,"remainingCredits":95},{"allowed":true,"reason":"shadow:tool_not_allowed: translate not in allowedTools","creditsCharged":0,"remainingCredits":95},{"allowed":true,"reason":"shadow:tool_not_allowed: x not in allowedTools","creditsCharged":0,"remainingCredits":95}],"remainingCredits":95,"failedIndex":-1},{"credits":95,"totalSpent":5,"totalCalls":1,"dayCalls":3,"dayCredits":5},5]',
);

example(
  'shadow mode: so do calls over a tool\'s limit, and all count in its window',
  () => {
    const g = gate({ shadowMode: true });
    const k = put(g, 100);
    const b = g.evaluateBatch(k, [{ name: 'lim' }, { name: 'lim' }, { name: 'lim' }]);
    return [b.totalCredits, b.remainingCredits, b.decisions, g.rateLimiter.getCurrentCount(k + ':tool:lim')];
  },
  '[2,98,[{"allowed":true,"creditsCharged":1,"remainingCredits":98},{"allowed":true,"creditsCharged":1,"remainingCredits":98},{"allowed":true,"reason":"shadow:tool_rate_limited: lim limited to 2 calls/min","creditsCharged":0,"remainingCredits":98}],3]',
);

example(
  'shadow mode: what the balance does not hold is not said to be charged',
  () => {
    const g = gate({ shadowMode: true });
    const k = put(g, 7);
    const log = [];
    g.onCreditsDeducted = (key, n) => log.push(n);
    g.teamRecorder = (key, n) => log.push(n);
    const b = g.evaluateBatch(k, [{ name: 'search' }, { name: 'translate' }]);
    const r = g.store.getKey(k);
    return [b, r.credits, r.totalSpent, r.quotaDailyCalls, r.quotaDailyCredits, log];
  },
  '[{"allAllowed":true,"totalCredits":0,"decisions":[{"allowed":true,"reason":"shadow:insufficient_credits","creditsCharged":0,"remainingCredits":7},{"allowed":true,"reason":"shadow:insufficient_credits","creditsCharged":0,"remainingCredits":7}],"remainingCredits":7,"failedIndex":-1},7,0,2,0,[0,0]]',
);

example(
  'shadow mode: limits of the batch as a whole are passed, and charged in full',
  () => {
    const g = gate({ shadowMode: true, globalRateLimitPerMin: 1 });
    const k = put(g, 100, { quota: { dailyCallLimit: 1, monthlyCallLimit: 0, dailyCreditLimit: 0, monthlyCreditLimit: 0 } });
    g.store.getKey(k).spendingLimit = 3;
    g.teamChecker = () => ({ allowed: false, reason: 'team_budget_exceeded' });
    g.evaluate(k, { name: 'zzz' });
    const b1 = g.evaluateBatch(k, [{ name: 'search' }, { name: 'search' }]), b2 = g.evaluateBatch(k, [{ name: 'search' }]);
    return [b1, b2, counters(g.store.getKey(k)), g.rateLimiter.getCurrentCount(k)];
  },
  '[{"allAllowed":true,"totalCredits":10,"decisions":[{"allowed":true,"creditsCharged":5,"remainingCredits":90},{"allowed":true,"creditsCharged":5,"remainingCredits":90}],"remainingCredits":90,"failedIndex":-1},{"allAllowed":true,"totalCredits":5,"decisions":[{"allowed":true,"creditsCharged":5,"remainingCredits":85}],"remainingCredits":85,"failedIndex":-1},{"credits":85,"totalSpent":15,"totalCalls":2,"dayCalls":3,"dayCredits":15},2]',
);

example(
  'a tool named like an inherited member has the default price',
  () => {
    const g = gate(), sh = gate({ shadowMode: true });
    const calls = [{ name: 'toString' }, { name: 'x' }];
    const k = put(g, 100);
    put(sh, 100);
    return [g.evaluateBatch(k, calls), counters(g.store.getKey(k)), sh.evaluateBatch(k, calls), counters(sh.store.getKey(k))];
  },
  '[{"allAllowed":true,"totalCredits":2,"decisions":[{"allowed":true,"creditsCharged":1,"remainingCredits":98},{"allowed":true,"creditsCharged":1,"remainingCredits":98}],"remainingCredits":98,"failedIndex":-1},{"credits":98,"totalSpent":2,"totalCalls":1,"dayCalls":2,"dayCredits":2},{"allAllowed":true,"totalCredits":2,"decisions":[{"allowed":true,"creditsCharged":1,"remainingCredits":98},{"allowed":true,"creditsCharged":1,"remainingCredits":98}],"remainingCredits":98,"failedIndex":-1},{"credits":98,"totalSpent":2,"totalCalls":1,"dayCalls":2,"dayCredits":2}]',
);

example(
  'a call and its refund',
  () => {
    const g = gate();
    const k = put(g, 100);
    g.evaluate(k, { name: 'search' });
    const before = counters(g.store.getKey(k));
    const ret = g.refund(k, 'search', 5);
    return [before, counters(g.store.getKey(k)), ret === undefined, g.meter.getEvents()[1], g.meter.getSummary(), g.rateLimiter.getCurrentCount(k)];
  },
  '[{"credits":95,"totalSpent":5,"totalCalls":1,"dayCalls":1,"dayCredits":5},{"credits":100,"totalSpent":0,"totalCalls":0,"dayCalls":0,"dayCredits":0},true,{"timestamp":"2026-03-14T09:26:53.589Z","apiKey":"pg_demo_00","keyName":"demo","tool":"search","creditsCharged":-5,"allowed":true,"denyReason":"refund","namespace":"default"},{"totalCalls":2,"totalCreditsSpent":0,"totalDenied":0,"perTool":{"search":{"calls":2,"credits":0,"denied":0}},"perKey":{"demo":{"calls":2,"credits":0,"denied":0}},"denyReasons":{}},1]',
);

example(
  'a batch of three with two refunds (the batch had counted as one call); a refund without a charge',
  () => {
    const g = gate();
    const k = put(g, 100);
    g.evaluateBatch(k, [{ name: 'search' }, { name: 'search' }, { name: 'search' }]);
    const out = [counters(g.store.getKey(k))];
    g.refund(k, 'search', 5);
    g.refund(k, 'search', 5);
    out.push(counters(g.store.getKey(k)));
    put(g, 100);
    g.refund(k, 'search', 50);
    out.push(counters(g.store.getKey(k)));
    return out;
  },
  '[{"credits":85,"totalSpent":15,"totalCalls":1,"dayCalls":3,"dayCredits":15},{"credits":95,"totalSpent":5,"totalCalls":0,"dayCalls":1,"dayCredits":5},{"credits":150,"totalSpent":0,"totalCalls":0,"dayCalls":0,"dayCredits":0}]',
);

example(
  'refunds are whole, reach keys that are gone and their heirs, and are told in any case',
  () => {
    const g = gate();
    const k = put(g, 100);
    g.evaluate(k, { name: 'search' });
    const refused = [0.5, 0, -1, NaN, '5'].map(n => attempt(() => g.refund(k, 'search', n)));
    g.store.revokeKey(k);
    g.refund(k, 'search', 3);
    const revoked = g.store.getKeyRaw(k).credits;
    g.store.importKey('old', 'n', 10);
    const heir = g.store.rotateKey('old');
    g.refund('old', 'search', 2);
    g.refund('pg_none', 'search', 5);
    return [refused, revoked, heir.credits, g.meter.getEvents().slice(1).map(e => [e.keyName, e.creditsCharged, e.denyReason])];
  },
  '[["throws RangeError: credits must be a whole number of at least 1, but is 0.5","throws RangeError: credits must be a whole number of at least 1, but is 0","throws RangeError: credits must be a whole number of at least 1, but is -1","throws RangeError: credits must be a whole number of at least 1, but is NaN","throws RangeError: credits must be a whole number of at least 1, but is string"],98,12,[["demo",-3,"refund"],["n",-2,"refund"],["unknown",-5,"refund"]]]',
);

example(
  'across midnight: the counters of the day of the refund are reduced',
  ({ tick }) => {
    const g = gate();
    const k = put(g, 100);
    g.evaluate(k, { name: 'search' });
    g.evaluate(k, { name: 'search' });
    tick(24 * 3600e3);
    g.evaluate(k, { name: 'search' });
    const a = counters(g.store.getKey(k));
    g.refund(k, 'search', 5);
    g.refund(k, 'search', 5);
    return [a, counters(g.store.getKey(k))];
  },
  '[{"credits":85,"totalSpent":15,"totalCalls":3,"dayCalls":1,"dayCredits":5},{"credits":95,"totalSpent":5,"totalCalls":1,"dayCalls":0,"dayCredits":0}]',
);

example(
  'tool list filtering',
  () => {
    const g = gate();
    const list = [{ name: 'a', description: 'A' }, { name: 'b' }, { name: 'c' }];
    const k = 'pg_demo_0001';
    const out = [];
    put(g, 5, { allowedTools: ['a', 'b'], deniedTools: ['b'] });
    out.push(g.filterToolsForKey(k, list));
    put(g, 5, { deniedTools: ['c'] });
    out.push(g.filterToolsForKey(k, list));
    put(g, 5);
    out.push(g.filterToolsForKey(k, list), g.filterToolsForKey(null, list), g.filterToolsForKey('nope', list));
    put(g, 5, { deniedTools: ['c'], expiresAt: '2020-01-01' });
    out.push(g.filterToolsForKey(k, list));
    return out;
  },
  '[[{"name":"a","description":"A"}],[{"name":"a","description":"A"},{"name":"b"}],null,null,null,null]',
);

example(
  'four events',
  () => {
    const g = gate();
    const k = put(g, 7, { namespace: 'acme' });
    g.evaluate(null, { name: 'a' });
    g.evaluate('some-unknown-key', { name: 'a' });
    g.evaluate(k, { name: 'search' });
    g.evaluate(k, { name: 'search' });
    return g.meter.getEvents();
  },
  '[{"timestamp":"2026-03-14T09:26:53.589Z","apiKey":"none","keyName":"","tool":"a","creditsCharged":0,"allowed":false,"denyReason":"missing_api_key"},{"timestamp":"2026-03-14T09:26:53.589Z","apiKey":"some-unkno","keyName":"unknown","tool":"a","creditsCharged":0,"allowed":false,"denyReason":"invalid_api_key"},{"timestamp":"2026-03-14T09:26:53.589Z","apiKey":"pg_demo_00","keyName":"demo","tool":"search","creditsCharged":5,"allowed":true,"namespace":"acme"},{"timestamp":"2026-03-14T09:26:53.589Z","apiKey":"pg_demo_00","keyName":"demo","tool":"search","creditsCharged":0,"allowed":false,"denyReason":"insufficient_credits","namespace":"acme"}]',
);

example(
  'order of hooks on an allowed call, and which hooks run on a refusal',
  () => {
    const g = gate();
    const k = put(g, 8);
    const log = [];
    g.teamChecker = (key, n) => { log.push('teamChecker ' + n); return { allowed: true }; };
    g.teamRecorder = (key, n) => log.push('teamRecorder ' + n);
    g.onCreditsDeducted = (key, n) => log.push('onCreditsDeducted ' + key + ' ' + n);
    g.onUsageEvent = e => log.push('onUsageEvent ' + e.apiKey + ' ' + e.allowed + ' ' + e.denyReason);
    g.evaluate(k, { name: 'search' });
    g.evaluate(k, { name: 'search' });
    return log;
  },
  '["teamChecker 5","onCreditsDeducted pg_demo_0001 5","teamRecorder 5","onUsageEvent pg_demo_00 true undefined","onUsageEvent pg_demo_00 false insufficient_credits"]',
);

example(
  'a throwing hook',
  () => {
    const g = gate();
    const k = put(g, 100);
    g.onUsageEvent = () => { throw new Error('hook failed'); };
    return [attempt(() => g.evaluate(k, { name: 'search' })), counters(g.store.getKey(k)), g.meter.eventCount];
  },
  '["throws Error: hook failed",{"credits":95,"totalSpent":5,"totalCalls":1,"dayCalls":1,"dayCredits":5},1]',
);

example(
  'status, unfiltered',
  () => {
    const g = gate({ name: 'S' });
    g.store.importKey('pg_aaaaaaaaaa', 'A', 6, { namespace: 'acme' });
    g.evaluate('pg_aaaaaaaaaa', { name: 'search' });
    g.evaluate('pg_aaaaaaaaaa', { name: 'search' });
    return g.getStatus();
  },
  '{"name":"S","shadowMode":false,"activeKeys":1,"keys":[{"name":"A","credits":1,"totalSpent":5,"totalCalls":1,"createdAt":"2026-03-14T09:26:53.589Z","lastUsedAt":"2026-03-14T09:26:53.589Z","active":true,"spendingLimit":0,"allowedTools":[],"deniedTools":[],"expiresAt":null,"tags":{},"ipAllowlist":[],"namespace":"acme","quotaDailyCalls":1,"quotaMonthlyCalls":1,"quotaDailyCredits":5,"quotaMonthlyCredits":5,"quotaLastResetDay":"2026-03-14","quotaLastResetMonth":"2026-03","keyPrefix":"pg_aaaaaaa...","expired":false}],"usage":{"totalCalls":2,"totalCreditsSpent":5,"totalDenied":1,"perTool":{"search":{"calls":2,"credits":5,"denied":1}},"perKey":{"A":{"calls":2,"credits":5,"denied":1}},"denyReasons":{"insufficient_credits":1}},"eventCount":2,"namespaces":[{"namespace":"acme","keyCount":1,"activeKeys":1,"totalCredits":1,"totalSpent":5}],"config":{"defaultCreditsPerCall":1,"globalRateLimitPerMin":60,"toolPricing":{"search":{"creditsPerCall":5},"translate":{"creditsPerCall":3},"lim":{"creditsPerCall":1,"rateLimitPerMin":2},"kb":{"creditsPerCall":1,"creditsPerKbInput":2}},"refundOnFailure":false,"webhookUrl":null}}',
);

example(
  'the status of one namespace, without the key list',
  () => {
    const g = gate({ name: 'S' });
    g.store.importKey('pg_a', 'A', 6, { namespace: 'acme' });
    g.store.importKey('pg_b', 'B', 6);
    const s = g.getStatus('acme');
    const n = s.keys.length;
    delete s.keys;
    return [n, s];
  },
  '[1,{"name":"S","shadowMode":false,"activeKeys":2,"usage":{"totalCalls":0,"totalCreditsSpent":0,"totalDenied":0,"perTool":{},"perKey":{},"denyReasons":{}},"eventCount":0,"namespaces":[{"namespace":"acme","keyCount":1,"activeKeys":1,"totalCredits":6,"totalSpent":0},{"namespace":"default","keyCount":1,"activeKeys":1,"totalCredits":6,"totalSpent":0}],"filteredNamespace":"acme","config":{"defaultCreditsPerCall":1,"globalRateLimitPerMin":60,"toolPricing":{"search":{"creditsPerCall":5},"translate":{"creditsPerCall":3},"lim":{"creditsPerCall":1,"rateLimitPerMin":2},"kb":{"creditsPerCall":1,"creditsPerKbInput":2}},"refundOnFailure":false,"webhookUrl":null}}]',
);

example(
  'midnight and month end (counters after each step)',
  ({ tick }) => {
    const g = gate({ globalQuota: { dailyCallLimit: 2, monthlyCallLimit: 3, dailyCreditLimit: 0, monthlyCreditLimit: 0 } });
    const k = put(g, 100);
    const r = g.store.getKey(k);
    const snap = d => [d.reason || 'ok', r.quotaDailyCalls, r.quotaMonthlyCalls, r.quotaLastResetDay, r.quotaLastResetMonth];
    const call = () => snap(g.evaluate(k, { name: 'x' }));
    const out = [call(), call(), call()];
    tick(24 * 3600e3);
    out.push(call(), call());
    tick(20 * 24 * 3600e3);
    out.push(call());
    return out;
  },
  '[["ok",1,1,"2026-03-14","2026-03"],["ok",2,2,"2026-03-14","2026-03"],["daily_call_quota_exceeded: 2/2 calls today",2,2,"2026-03-14","2026-03"],["ok",1,3,"2026-03-15","2026-03"],["monthly_call_quota_exceeded: 3/3 calls this month",1,3,"2026-03-15","2026-03"],["ok",1,1,"2026-04-04","2026-04"]]',
);

example(
  'gate and teams wired together: a batch is one call for the team, refunds do not come back to it',
  () => {
    const g = gate();
    const t = new TeamManager();
    const T1 = t.createTeam({ name: 'T', budget: 20 });
    const k = put(g, 100);
    t.assignKey(T1.id, k);
    g.teamChecker = (key, n) => { const b = t.checkBudget(key, n); return b.allowed ? t.checkQuota(key, n) : b; };
    g.teamRecorder = (key, n) => t.recordUsage(key, n);
    g.evaluateBatch(k, [{ name: 'search' }, { name: 'search' }, { name: 'search' }]);
    g.refund(k, 'search', 5);
    return [T1.totalSpent, T1.quotaDailyCalls, g.evaluate(k, { name: 'search' }).allowed, g.evaluate(k, { name: 'search' }), g.evaluateBatch(k, [{ name: 'search' }]).reason];
  },
  '[15,1,true,{"allowed":false,"reason":"team_budget_exceeded","creditsCharged":0,"remainingCredits":85},"team_budget_exceeded"]',
);

example(
  'a name that is no text is judged by its text, a key that is none throws',
  () => {
    const g = gate();
    const k = put(g, 100, { deniedTools: ['search'] });
    return [g.evaluate(k, { name: 'search' }).allowed, g.evaluate(k, { name: ['search'] }), attempt(() => g.evaluate(5, { name: 'x' }))];
  },
  '[false,{"allowed":false,"reason":"tool_denied: search is in deniedTools","creditsCharged":0,"remainingCredits":100},"throws TypeError: apiKey must be a string or null, but is number"]',
);
