'use strict';

// Teams.

const { example, attempt, KeyStore, TeamManager } = require('./support/example.js');

example(
  'creation',
  () => {
    const t = new TeamManager();
    const a = t.createTeam({ name: '  Team  ', description: ' d ', budget: 2.9, tags: { ' k ': ' v ', '': 'e', n: null } });
    const b = o => { const r = t.createTeam(o); return [r.name.length, r.description.length, String(r.budget), Object.keys(r.tags).length]; };
    return [/^team_[0-9a-f]{16}$/.test(a.id), { ...a, id: 'team_…' }, b({}), b({ name: 'x'.repeat(300), description: 'y'.repeat(1200), budget: -5, tags: Object.fromEntries(Array.from({ length: 60 }, (_, i) => ['k' + i, 'v'])) }),
 b({ name: 'a', budget: NaN }), b({ name: 'a', budget: '100' }), b({ name: 'a', budget: 'abc' }), b({ name: 'a', budget: Infinity })];
  },
  '[true,{"id":"team_…","name":"Team","description":"d","memberKeys":[],"budget":2,"totalSpent":0,"quotaDailyCalls":0,"quotaMonthlyCalls":0,"quotaDailyCredits":0,"quotaMonthlyCredits":0,"quotaLastResetDay":"2026-03-14","quotaLastResetMonth":"2026-03","tags":{" k ":" v ","":"e","n":"null"},"createdAt":"2026-03-14T09:26:53.589Z","active":true},[9,0,"0",0],[200,1000,"0",50],[1,0,"0",0],[1,0,"100",0],[1,0,"NaN",0],[1,0,"Infinity",0]]',
);

example(
  'updating',
  () => {
    const t = new TeamManager();
    const r = t.createTeam({ name: 'T', tags: { x: '1', y: '2' } });
    const u = x => [t.updateTeam(r.id, x), r.name, r.description, String(r.budget), r.quota === undefined ? 'none' : r.quota, { ...r.tags }];
    return [u({ name: ' N ', budget: 7.9 }), u({ budget: -1, description: null }), u({ budget: NaN }), u({ quota: { dailyCallLimit: 1 } }), u({ quota: null }), u({ tags: { x: null, ' c ': ' 3 ' } }), u({}), t.updateTeam('team_x', {})];
  },
  '[[true,"N","","7","none",{"x":"1","y":"2"}],[true,"N","null","0","none",{"x":"1","y":"2"}],[true,"N","null","NaN","none",{"x":"1","y":"2"}],[true,"N","null","NaN",{"dailyCallLimit":1},{"x":"1","y":"2"}],[true,"N","null","NaN","none",{"x":"1","y":"2"}],[true,"N","null","NaN","none",{"y":"2"," c ":" 3 "}],[true,"N","null","NaN","none",{"y":"2"," c ":" 3 "}],false]',
);

example(
  'membership',
  () => {
    const t = new TeamManager();
    const A = t.createTeam({ name: 'A' }), B = t.createTeam({ name: 'B' });
    const out = [t.assignKey(A.id, 'k'), t.assignKey(A.id, 'k'), t.assignKey(B.id, 'k'), t.assignKey('team_x', 'k'), t.getTeamForKey('k') === A.id, t.removeKey(B.id, 'k'), t.removeKey(A.id, 'k'), t.getTeamForKey('k')];
    for (let i = 0; i < 100; i++) t.assignKey(A.id, 'm' + i);
    out.push(t.assignKey(A.id, 'm100'), t.assignKey(A.id, 'm5'), t.deleteTeam(A.id), t.deleteTeam(A.id), t.getTeam(A.id).memberKeys, t.listTeams().length, t.assignKey(B.id, 'm5'));
    return out;
  },
  '[{"success":true},{"success":true},{"success":false,"error":"key_already_in_team"},{"success":false,"error":"team_not_found"},true,false,true,null,{"success":false,"error":"team_full"},{"success":true},true,false,[],1,{"success":true}]',
);

example(
  'budget and quota refusals',
  () => {
    const t = new TeamManager();
    const T1 = t.createTeam({ name: 'T', budget: 10 });
    t.assignKey(T1.id, 'k');
    const out = [t.checkBudget('stranger', 1e9), t.checkBudget('k', 10), t.checkBudget('k', 11)];
    t.recordUsage('k', 4);
    out.push(t.checkBudget('k', 7), [T1.totalSpent, T1.quotaDailyCalls, T1.quotaDailyCredits]);
    for (const [a, b, c, d] of [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 4, 0], [0, 0, 0, 4], [2, 2, 5, 5]]) { T1.quota = { dailyCallLimit: a, monthlyCallLimit: b, dailyCreditLimit: c, monthlyCreditLimit: d }; out.push(t.checkQuota('k', 1)); }
    return out;
  },
  '[{"allowed":true},{"allowed":true},{"allowed":false,"reason":"team_budget_exceeded"},{"allowed":false,"reason":"team_budget_exceeded"},[4,1,4],{"allowed":false,"reason":"team_daily_call_limit"},{"allowed":false,"reason":"team_monthly_call_limit"},{"allowed":false,"reason":"team_daily_credit_limit"},{"allowed":false,"reason":"team_monthly_credit_limit"},{"allowed":true}]',
);

example(
  'usage summary with a short and a revoked member key',
  () => {
    const s = new KeyStore();
    s.importKey('pg_0123456789abcdef', 'mem', 50);
    s.importKey('short', 'sh', 5);
    s.importKey('pg_gone_0000001', 'g', 5);
    s.revokeKey('pg_gone_0000001');
    const t = new TeamManager();
    const T1 = t.createTeam({ name: 'S', budget: 100 });
    ['pg_0123456789abcdef', 'short', 'pg_gone_0000001'].forEach(k => t.assignKey(T1.id, k));
    t.recordUsage('short', 30);
    const sum = t.getUsageSummary(T1.id, k => s.getKey(k));
    return [{ ...sum, teamId: 'team_…' }, t.getUsageSummary('team_x', () => null)];
  },
  '[{"teamId":"team_…","teamName":"S","memberCount":3,"totalBudget":100,"totalSpent":30,"remainingBudget":70,"members":[{"keyMasked":"pg_0123...cdef","name":"mem","credits":50,"totalSpent":0,"totalCalls":0},{"keyMasked":"short...hort","name":"sh","credits":5,"totalSpent":0,"totalCalls":0}]},null]',
);

example(
  'restoring',
  () => {
    const t = new TeamManager();
    t.fromJSON([['a', { id: 'a' }], ['b', { id: 'b', memberKeys: ['q'], active: false, budget: 5 }], ['c', {}], ['d', null]]);
    return [JSON.stringify(t), t.getTeamForKey('q'), t.checkBudget('q', 100), t.listTeams().length, attempt(() => t.fromJSON([null]))];
  },
  '["[[\\"a\\",{\\"id\\":\\"a\\",\\"tags\\":{},\\"quotaDailyCalls\\":0,\\"quotaMonthlyCalls\\":0,\\"quotaDailyCredits\\":0,\\"quotaMonthlyCredits\\":0,\\"quotaLastResetDay\\":\\"2026-03-14\\",\\"quotaLastResetMonth\\":\\"2026-03\\",\\"active\\":true}],[\\"b\\",{\\"id\\":\\"b\\",\\"memberKeys\\":[\\"q\\"],\\"active\\":false,\\"budget\\":5,\\"tags\\":{},\\"quotaDailyCalls\\":0,\\"quotaMonthlyCalls\\":0,\\"quotaDailyCredits\\":0,\\"quotaMonthlyCredits\\":0,\\"quotaLastResetDay\\":\\"2026-03-14\\",\\"quotaLastResetMonth\\":\\"2026-03\\"}]]","b",{"allowed":true},1,"throws TypeError: .for is not iterable"]',
);
