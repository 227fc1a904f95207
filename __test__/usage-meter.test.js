'use strict';

// Events and their sums.

const { example, gate, UsageMeter } = require('./support/example.js');

example(
  'dropping a quarter (event count after each of 12 records)',
  () => {
    return [10, 4, 3].map(max => { const m = new UsageMeter(max); const c = [];
  for (let i = 0; i < 12; i++) { m.record({ timestamp: 't' + i, apiKey: 'k', keyName: 'n', tool: 'x' + i, creditsCharged: 1, allowed: true }); c.push(m.eventCount); }
  return [max, c.join(' '), m.getEvents()[0].tool]; });
  },
  '[[10,"1 2 3 4 5 6 7 8 9 10 9 10","x2"],[4,"1 2 3 4 4 4 4 4 4 4 4 4","x8"],[3,"1 2 3 4 5 6 7 8 9 10 11 12","x0"]]',
);

example(
  'summary of mixed events',
  () => {
    const m = new UsageMeter();
    const ev = o => m.record({ timestamp: '2026-01-01T00:00:00.000Z', apiKey: 'pg_abcdefghij', keyName: 'n', tool: 't', creditsCharged: 1, allowed: true, ...o });
    ev({});
    ev({ tool: '10', creditsCharged: 2 });
    ev({ tool: '9' });
    ev({ allowed: false, denyReason: 'r1', creditsCharged: 7 });
    ev({ allowed: false });
    ev({ keyName: '' });
    ev({ denyReason: 'refund', creditsCharged: -1 });
    ev({ namespace: 'b', keyName: 'n2' });
    return [m.getSummary(), m.getSummary(undefined, 'b').totalCalls, m.getEvents('2025').length, m.getEvents('2026-01-01T00:00:00.001Z').length, m.getEvents('').length, m.getEvents(undefined, 'default').length];
  },
  '[{"totalCalls":8,"totalCreditsSpent":5,"totalDenied":2,"perTool":{"9":{"calls":1,"credits":1,"denied":0},"10":{"calls":1,"credits":2,"denied":0},"t":{"calls":6,"credits":2,"denied":2}},"perKey":{"n":{"calls":6,"credits":3,"denied":2},"pg_abcdefg":{"calls":1,"credits":1,"denied":0},"n2":{"calls":1,"credits":1,"denied":0}},"denyReasons":{"r1":1}},1,8,0,8,0]',
);

example(
  'nothing recorded',
  () => {
    return new UsageMeter().getSummary();
  },
  '{"totalCalls":0,"totalCreditsSpent":0,"totalDenied":0,"perTool":{},"perKey":{},"denyReasons":{}}',
);

example(
  'summary rows of such tools are missing, the totals are right',
  () => {
    const g = gate();
    ['__proto__', 'constructor', 'plain'].forEach(n => g.evaluate(null, { name: n }));
    const s = g.meter.getSummary();
    return [s.totalCalls, s.totalDenied, s.perTool, s.perKey];
  },
  '[3,3,{"plain":{"calls":1,"credits":0,"denied":1}},{"none":{"calls":3,"credits":0,"denied":3}}]',
);
