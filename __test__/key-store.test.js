'use strict';

// Keys: cleaning, live records, looking up, changing, listing, the state file.

const { example, gate, put, counters, attempt, readFile, writeFile, KeyStore } = require('./support/example.js');

example(
  'credits are floored, and what can be no balance is refused',
  () => {
    const s = new KeyStore();
    const cleaned = [5, 2.9, -1, -0.5, null, '50', '', ' 12 ', '1e3', '0x10', true, [7]].map(v => s.importKey('k', 'n', v).credits).join(' ');
    const refused = ['abc', undefined, NaN, Infinity, -Infinity, {}, 2 ** 53].map(v => attempt(() => s.importKey('k', 'n', v)));
    return [cleaned, new Set(refused).size, refused[0], s.getKey('k').credits];
  },
  '["5 2 0 0 0 50 0 12 1000 16 1 7",4,"throws RangeError: credits must be a whole number from 0 to 9007199254740991, but is NaN",7]',
);

example(
  'name cleaning',
  () => {
    const s = new KeyStore();
    const nm = v => s.importKey('k', v, 1).name;
    return [nm('  hi  '), nm(undefined), nm(null), nm(5), nm({}), nm(['a', 'b']), nm(''), nm('a'.repeat(199) + ' bc').length,
 nm('a'.repeat(199) + ' bc').endsWith(' '), nm('\u{1F600}'.repeat(150)).length, nm('\uFEFF\u00A0x\u200B').length, nm('\u0085x').length];
  },
  '["hi","undefined","null","5","[object Object]","a,b","",200,true,200,2,2]',
);

example(
  'tool list cleaning',
  () => {
    const s = new KeyStore();
    const tl = v => s.importKey('k', 'n', 1, { allowedTools: v }).allowedTools;
    return [tl(['a', ' b ', '', '  ', 1, null, {}, 'a']), tl('abc'), tl(null), tl({ length: 1, 0: 'a' }),
 tl(Array.from({ length: 150 }, (_, i) => 't' + i)).length];
  },
  '[["a","b","a"],[],[],[],100]',
);

example(
  'tag cleaning at creation',
  () => {
    const s = new KeyStore();
    const tg = v => s.importKey('k', 'n', 1, { tags: v }).tags;
    return [tg({ ' a ': ' v ', n: 5, b: true, z: null, o: {}, l: [1, 2] }), tg({ ' a ': '1', a: '2' }), tg({ '': 'x', ' ': 'y' }),
 tg(['x', 'y']), tg('abc'), tg({ b: '1', 2: 'x', 1: 'y' }), tg(JSON.parse('{"__proto__":"p","b":"c"}'))];
  },
  '[{"a":"v","n":"5","b":"true","z":"null","o":"[object Object]","l":"1,2"},{"a":"2"},{},{"0":"x","1":"y"},{},{"1":"y","2":"x","b":"1"},{"b":"c"}]',
);

example(
  'namespaces keep lower-case letters, digits and hyphens',
  () => {
    const s = new KeyStore();
    return ['Team A_1!', '   ', '---', '-x-', 'ACME', '\u00C0B', '\u0130stanbul', '\u212Aelvin', '\u65E5\u672C', 'acme_corp', 5, null, ['abc'], 'a'.repeat(80)]
  .map(v => s.importKey('k', 'n', 1, { namespace: v }).namespace);
  },
  '["teama1","default","---","-x-","acme","b","istanbul","kelvin","default","acmecorp","default","default","default","aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]',
);

example(
  'expiry given at creation: stored value, and whether the key counts as expired',
  () => {
    const s = new KeyStore();
    return [undefined, '', 0, false, '2020-01-01', 'garbage', 1, true].map(v => { const r = s.importKey('k', 'n', 1, { expiresAt: v }); return [r.expiresAt, s.isExpired('k')]; });
  },
  '[[null,false],[null,false],[null,false],[null,false],["2020-01-01",true],["garbage",false],[1,true],[true,true]]',
);

example(
  'live records, shallow list copies',
  () => {
    const g = gate();
    const k = put(g, 100, { tags: { env: 'prod' } });
    const r = g.store.getKey(k);
    r.spendingLimit = 5;
    const first = g.evaluate(k, { name: 'search' }), second = g.evaluate(k, { name: 'search' });
    const copy = g.store.listKeys()[0];
    copy.credits = 9999;
    copy.tags.leak = 'yes';
    return [r === g.store.getKeyRaw(k), first, second, r.credits, r.totalSpent, r.tags];
  },
  '[true,{"allowed":true,"creditsCharged":5,"remainingCredits":95},{"allowed":false,"reason":"spending_limit_exceeded: limit 5, spent 5, need 5","creditsCharged":0,"remainingCredits":95},95,5,{"env":"prod","leak":"yes"}]',
);

example(
  'shape of a created key (field order, key format)',
  () => {
    const s = new KeyStore();
    const r = s.createKey('My key', 25.9, { namespace: 'Acme', allowedTools: ['search'] });
    return [Object.keys(r).join(','), /^pg_[0-9a-f]{48}$/.test(r.key), { ...r, key: 'pg_…' }];
  },
  '["key,name,credits,totalSpent,totalCalls,createdAt,lastUsedAt,active,spendingLimit,allowedTools,deniedTools,expiresAt,quota,tags,ipAllowlist,namespace,quotaDailyCalls,quotaMonthlyCalls,quotaDailyCredits,quotaMonthlyCredits,quotaLastResetDay,quotaLastResetMonth",true,{"key":"pg_…","name":"My key","credits":25,"totalSpent":0,"totalCalls":0,"createdAt":"2026-03-14T09:26:53.589Z","lastUsedAt":null,"active":true,"spendingLimit":0,"allowedTools":["search"],"deniedTools":[],"expiresAt":null,"tags":{},"ipAllowlist":[],"namespace":"acme","quotaDailyCalls":0,"quotaMonthlyCalls":0,"quotaDailyCredits":0,"quotaMonthlyCredits":0,"quotaLastResetDay":"2026-03-14","quotaLastResetMonth":"2026-03"}]',
);

example(
  'importing over an existing key starts it over',
  () => {
    const s = new KeyStore();
    s.importKey('pg_x', 'a', 10);
    s.deductCredits('pg_x', 9);
    s.revokeKey('pg_x');
    const before = counters(s.getKeyRaw('pg_x'));
    s.importKey('pg_x', 'a', 10);
    return [before, counters(s.getKeyRaw('pg_x')), s.getKey('pg_x').active];
  },
  '[{"credits":1,"totalSpent":9,"totalCalls":1,"dayCalls":0,"dayCredits":0},{"credits":10,"totalSpent":0,"totalCalls":0,"dayCalls":0,"dayCredits":0},true]',
);

example(
  'expiry boundary and precedence over revocation',
  ({ tick }) => {
    const s = new KeyStore();
    s.importKey('a', 'n', 1, { expiresAt: '2026-03-14T09:26:54.000Z' });
    const before = [s.isExpired('a'), s.getKey('a') !== null];
    tick(411);
    const at = [s.isExpired('a'), s.getKey('a') !== null, s.getKeyRaw('a') !== null];
    s.revokeKey('a');
    return [before, at, s.isExpired('a'), s.isExpired('unknown'), s.activeKeyCount];
  },
  '[[false,true],[true,false,true],true,false,0]',
);

example(
  'which date texts are already past (true) at the example clock; unparsable ones never expire',
  () => {
    const s = new KeyStore();
    return ['2020', '2026-03-14', '2026-03-14T11:26:53+02:00', '2026-03-14T09:26:54Z', '2026-03-14T09:26', 'Mon, 01 Jun 2020 00:00:00 GMT', '2020-13-01', '20200601', '1591000000', 'tomorrow']
  .map(t => { s.importKey('k', 'n', 1, { expiresAt: t }); return [t, s.isExpired('k')]; });
  },
  '[["2020",true],["2026-03-14",true],["2026-03-14T11:26:53+02:00",true],["2026-03-14T09:26:54Z",false],["2026-03-14T09:26",true],["Mon, 01 Jun 2020 00:00:00 GMT",true],["2020-13-01",false],["20200601",false],["1591000000",false],["tomorrow",false]]',
);

example(
  'whole amounts are deducted, cleaned ones added',
  () => {
    const s = new KeyStore();
    s.importKey('k', 'n', 5);
    const d = [2, 10, 0, 0.5, -4, NaN].map(a => [String(a), attempt(() => s.deductCredits('k', a)), s.getKeyRaw('k').credits]);
    const a = [1.9, 0.9, 0, -3, '5', null].map(v => [v, s.addCredits('k', v), s.getKeyRaw('k').credits]);
    return [d, a, counters(s.getKeyRaw('k')), s.getKeyRaw('k').lastUsedAt];
  },
  '[[["2",true,3],["10",false,3],["0",true,3],["0.5","throws RangeError: amount must be a whole number of credits, but is 0.5",3],["-4","throws RangeError: amount must be a whole number from 0 to 9007199254740991, but is -4",3],["NaN","throws RangeError: amount must be a whole number from 0 to 9007199254740991, but is NaN",3]],[[1.9,true,4],[0.9,false,4],[0,false,4],[-3,false,4],["5",true,9],[null,false,9]],{"credits":9,"totalSpent":2,"totalCalls":2,"dayCalls":0,"dayCredits":0},"2026-03-14T09:26:53.589Z"]',
);

example(
  'no number that is none reaches a balance',
  () => {
    const s = new KeyStore();
    s.importKey('k', 'n', 5);
    const r = s.getKeyRaw('k');
    const nan = [attempt(() => s.addCredits('k', NaN)), r.credits, s.hasCredits('k', 0), s.hasCredits('k', NaN)];
    r.credits = 7.9;
    const floored = r.credits;
    const written = [attempt(() => { r.credits = NaN; }), attempt(() => { r.spendingLimit = Infinity; }), r.credits, r.spendingLimit];
    const sum = [s.addCredits('k', 9007199254740984), attempt(() => s.addCredits('k', 1)), r.credits];
    return [nan, floored, written, sum];
  },
  '[["throws RangeError: amount must be a whole number from 0 to 9007199254740991, but is NaN",5,true,false],7,["throws RangeError: credits must be a whole number from 0 to 9007199254740991, but is NaN","throws RangeError: spendingLimit must be a whole number from 0 to 9007199254740991, but is Infinity",7,0],[true,"throws RangeError: amount is too large: the sum would be more than 9007199254740991 credits",9007199254740991]]',
);

example(
  'aCL, quota and IP setters',
  () => {
    const s = new KeyStore();
    s.importKey('k', 'n', 5, { allowedTools: ['a'], deniedTools: ['b'] });
    const r = s.getKeyRaw('k');
    s.setAcl('k');
    const s1 = [r.allowedTools, r.deniedTools];
    s.setAcl('k', null, [' q ', '']);
    const s2 = [r.allowedTools, r.deniedTools];
    const q = { dailyCallLimit: 1 };
    s.setQuota('k', q);
    const same = r.quota === q;
    s.setQuota('k', null);
    return [s1, s2, same, r.quota === undefined, s.setIpAllowlist('k', 'x'), r.ipAllowlist, s.setAcl('unknown', ['a'])];
  },
  '[[["a"],["b"]],[[],["q"]],true,true,true,[],false]',
);

example(
  'what still works on a revoked key, and reviving an expired one',
  () => {
    const s = new KeyStore();
    s.importKey('k', 'n', 5);
    s.revokeKey('k');
    const revoked = [s.revokeKey('k'), s.getKey('k'), s.addCredits('k', 5), s.setAcl('k', []), s.setTags('k', {}), s.setIpAllowlist('k', []), s.setQuota('k', null), s.setExpiry('k', null), s.rotateKey('k')];
    s.importKey('e', 'n', 5, { expiresAt: '2020-01-01' });
    return [revoked, s.addCredits('e', 5), s.setExpiry('e', '2030-01-01'), s.getKey('e').credits];
  },
  '[[true,null,false,false,false,false,false,true,null],false,true,5]',
);

example(
  'tag merging',
  () => {
    const s = new KeyStore();
    s.importKey('k', 'n', 1, { tags: { a: '1', b: '2' } });
    const st = t => { const ok = attempt(() => s.setTags('k', t)); return [ok, { ...s.getKeyRaw('k').tags }]; };
    return [st({ c: ' 3 ' }), st({ a: null }), st({ ' b ': null, '': 'x' }), st({ n: 5, u: undefined }), st({ gone: null }), st(null)];
  },
  '[[true,{"a":"1","b":"2","c":"3"}],[true,{"b":"2","c":"3"}],[true,{"c":"3"}],[true,{"c":"3","n":"5","u":"undefined"}],[true,{"c":"3","n":"5","u":"undefined"}],["throws TypeError: Cannot convert undefined or null to object",{"c":"3","n":"5","u":"undefined"}]]',
);

example(
  'the limit of 50',
  () => {
    const s = new KeyStore();
    s.importKey('k', 'n', 1);
    const r = s.getKeyRaw('k');
    for (let i = 0; i < 60; i++) s.setTags('k', { ['t' + i]: 'v' });
    const full = Object.keys(r.tags).length;
    s.setTags('k', { late: '1', t0: 'changed' });
    const a = ['late' in r.tags, r.tags.t0];
    s.setTags('k', { t1: null, room: '1' });
    const b = 'room' in r.tags;
    s.setTags('k', { room2: '1', t2: null });
    return [full, a, b, 'room2' in r.tags, Object.keys(r.tags).length];
  },
  '[50,[false,"changed"],true,false,49]',
);

example(
  'rotation',
  () => {
    const s = new KeyStore();
    s.importKey('old', 'n', 50, { tags: { a: '1' }, expiresAt: '2020-01-01' });
    const o = s.getKeyRaw('old'), n = s.rotateKey('old');
    return [/^pg_[0-9a-f]{48}$/.test(n.key), n.credits, n.active, n.expiresAt, o.credits, o.active, n.tags === o.tags, s.rotateKey('old'), s.rotateKey('none'), s.listNamespaces()];
  },
  '[true,50,true,"2020-01-01",50,false,true,null,null,[{"namespace":"default","keyCount":2,"activeKeys":1,"totalCredits":100,"totalSpent":0}]]',
);

example(
  'allowlist entry, client address, result',
  () => {
    const s = new KeyStore();
    return [['10.0.0.0/8', '10.255.1.2'], ['10.0.0.0/8', '11.0.0.1'], ['0.0.0.0/0', '8.8.8.8'], ['0.0.0.0/0', '::1'], ['foo/0', '8.8.8.8'],
 ['192.168.1.77/24', '192.168.1.1'], ['10.0.0.0/31', '10.0.0.1'], ['10.0.0.0/31', '10.0.0.2'], ['1.2.3.4/32', '1.2.3.4'],
 ['255.255.255.255/1', '128.0.0.0'], ['255.255.255.255/1', '127.0.0.0'], ['10.0.0.0/33', '10.0.0.0'], ['10.0.0.0/-1', '10.0.0.0'],
 ['10.0.0.0/', '10.0.0.0'], ['10.0.0.0/abc', '10.0.0.0'], ['10.0.0/8', '10.0.0.1'], ['256.0.0.0/8', '10.0.0.1']]
  .map(([e, ip]) => { s.importKey('k', 'n', 1, { ipAllowlist: [e] }); return e + '  ' + ip + '  ' + s.checkIp('k', ip); });
  },
  '["10.0.0.0/8  10.255.1.2  true","10.0.0.0/8  11.0.0.1  false","0.0.0.0/0  8.8.8.8  true","0.0.0.0/0  ::1  false","foo/0  8.8.8.8  false","192.168.1.77/24  192.168.1.1  true","10.0.0.0/31  10.0.0.1  true","10.0.0.0/31  10.0.0.2  false","1.2.3.4/32  1.2.3.4  true","255.255.255.255/1  128.0.0.0  true","255.255.255.255/1  127.0.0.0  false","10.0.0.0/33  10.0.0.0  false","10.0.0.0/-1  10.0.0.0  false","10.0.0.0/  10.0.0.0  false","10.0.0.0/abc  10.0.0.0  false","10.0.0/8  10.0.0.1  false","256.0.0.0/8  10.0.0.1  false"]',
);

example(
  'lenient number reading and malformed addresses',
  () => {
    const s = new KeyStore();
    return [['10.0.0.0/24abc', '10.0.0.9'], ['10.0.0.0/ 24', '10.0.0.9'], ['10.0.0.0/24.9', '10.0.0.9'], ['10.0.0.0/+24', '10.0.0.9'], ['10.0.0.0/24/32', '10.0.0.9'],
 ['10.0.0.0/0x18', '8.8.8.8'], ['192.0.0.0/1e1', '255.0.0.1'], ['10.0.0.0/24', '010.0.0.5'], ['10.0.0.0/24', '10.0.0.5x'],
 ['10.0.0.0/24', '10.0.0.5:443'], ['10.0.0.0/24', '10.0.0.5, 1.1.1.1'], ['10.0.0.0/24', '10.0.0.-0'], ['10.0.0.0/24', '10.0.0.-1'], ['10.0.0.0/24', '10.0.0.'],
 ['10.0.0.0/24', '10.0.0.256'], ['10.0.0.0/24', ' 10.0.0.5 ']]
  .map(([e, ip]) => { s.importKey('k', 'n', 1, { ipAllowlist: [e] }); return JSON.stringify([e, ip]) + ' ' + s.checkIp('k', ip); });
  },
  '["[\\"10.0.0.0/24abc\\",\\"10.0.0.9\\"] true","[\\"10.0.0.0/ 24\\",\\"10.0.0.9\\"] true","[\\"10.0.0.0/24.9\\",\\"10.0.0.9\\"] true","[\\"10.0.0.0/+24\\",\\"10.0.0.9\\"] true","[\\"10.0.0.0/24/32\\",\\"10.0.0.9\\"] true","[\\"10.0.0.0/0x18\\",\\"8.8.8.8\\"] true","[\\"192.0.0.0/1e1\\",\\"255.0.0.1\\"] true","[\\"10.0.0.0/24\\",\\"010.0.0.5\\"] true","[\\"10.0.0.0/24\\",\\"10.0.0.5x\\"] true","[\\"10.0.0.0/24\\",\\"10.0.0.5:443\\"] true","[\\"10.0.0.0/24\\",\\"10.0.0.5, 1.1.1.1\\"] false","[\\"10.0.0.0/24\\",\\"10.0.0.-0\\"] true","[\\"10.0.0.0/24\\",\\"10.0.0.-1\\"] false","[\\"10.0.0.0/24\\",\\"10.0.0.\\"] false","[\\"10.0.0.0/24\\",\\"10.0.0.256\\"] false","[\\"10.0.0.0/24\\",\\" 10.0.0.5 \\"] true"]',
);

example(
  'exact entries and IPv6',
  () => {
    const s = new KeyStore();
    return [['10.0.0.1', '10.0.0.1'], ['10.0.0.1', '::ffff:10.0.0.1'], ['10.0.0.0/8', '::ffff:10.0.0.1'], ['::1', '::1'], ['2001:DB8::1', '2001:db8::1'],
 ['2001:db8::/32', '2001:db8::1'], ['*', '1.2.3.4'], ['a.b.c.d', 'a.b.c.d'], ['10.0.0.1', '']]
  .map(([e, ip]) => { s.importKey('k', 'n', 1, { ipAllowlist: [e] }); return [e, ip, s.checkIp('k', ip)]; });
  },
  '[["10.0.0.1","10.0.0.1",true],["10.0.0.1","::ffff:10.0.0.1",true],["10.0.0.0/8","::ffff:10.0.0.1",true],["::1","::1",true],["2001:DB8::1","2001:db8::1",true],["2001:db8::/32","2001:db8::1",true],["*","1.2.3.4",false],["a.b.c.d","a.b.c.d",true],["10.0.0.1","",false]]',
);

example(
  'masked records',
  () => {
    const s = new KeyStore();
    s.importKey('pg_a_000000001', 'A', 5, { tags: { env: 'prod' }, namespace: 'acme', quota: { dailyCallLimit: 9, monthlyCallLimit: 0, dailyCreditLimit: 0, monthlyCreditLimit: 0 } });
    s.importKey('abc', 'B', 7, { expiresAt: '2020-01-01' });
    return s.listKeys();
  },
  '[{"name":"A","credits":5,"totalSpent":0,"totalCalls":0,"createdAt":"2026-03-14T09:26:53.589Z","lastUsedAt":null,"active":true,"spendingLimit":0,"allowedTools":[],"deniedTools":[],"expiresAt":null,"quota":{"dailyCallLimit":9,"monthlyCallLimit":0,"dailyCreditLimit":0,"monthlyCreditLimit":0},"tags":{"env":"prod"},"ipAllowlist":[],"namespace":"acme","quotaDailyCalls":0,"quotaMonthlyCalls":0,"quotaDailyCredits":0,"quotaMonthlyCredits":0,"quotaLastResetDay":"2026-03-14","quotaLastResetMonth":"2026-03","keyPrefix":"pg_a_00000...","expired":false},{"name":"B","credits":7,"totalSpent":0,"totalCalls":0,"createdAt":"2026-03-14T09:26:53.589Z","lastUsedAt":null,"active":true,"spendingLimit":0,"allowedTools":[],"deniedTools":[],"expiresAt":"2020-01-01","tags":{},"ipAllowlist":[],"namespace":"default","quotaDailyCalls":0,"quotaMonthlyCalls":0,"quotaDailyCredits":0,"quotaMonthlyCredits":0,"quotaLastResetDay":"2026-03-14","quotaLastResetMonth":"2026-03","keyPrefix":"abc...","expired":true}]',
);

example(
  'filters and namespace totals',
  () => {
    const s = new KeyStore();
    s.importKey('pg_a', 'A', 5, { tags: { env: 'prod', n: '5' }, namespace: 'acme' });
    s.importKey('pg_b', 'B', 7, { tags: { env: 'prod' }, namespace: 'ACME' });
    s.importKey('pg_c', 'C', 9, { expiresAt: '2020-01-01' });
    s.revokeKey('pg_b');
    const names = l => l.map(k => k.name).join('');
    return [names(s.listKeys('acme')), names(s.listKeys('ACME')), names(s.listKeys('')), names(s.listKeysByTag({ env: 'prod' })), names(s.listKeysByTag({})),
 names(s.listKeysByTag({ n: 5 })), names(s.listKeysByTag({ n: undefined })), names(s.listKeysByTag({ env: 'prod' }, 'default')), s.activeKeyCount, s.listNamespaces()];
  },
  '["AB","","ABC","AB","ABC","","BC","",2,[{"namespace":"acme","keyCount":2,"activeKeys":1,"totalCredits":12,"totalSpent":0},{"namespace":"default","keyCount":1,"activeKeys":1,"totalCredits":9,"totalSpent":0}]]',
);

example(
  'the file after one import',
  () => {
    const s = new KeyStore('state.json');
    s.importKey('pg_demo_0001', 'demo "\u00E9"', 10, { tags: { z: '1', 2: 'b' }, allowedTools: ['a'], quota: { dailyCallLimit: 1, monthlyCallLimit: 0, dailyCreditLimit: 0, monthlyCreditLimit: 0 } });
    return readFile('state.json');
  },
  '"[\\n  [\\n    \\"pg_demo_0001\\",\\n    {\\n      \\"key\\": \\"pg_demo_0001\\",\\n      \\"name\\": \\"demo \\\\\\"é\\\\\\"\\",\\n      \\"credits\\": 10,\\n      \\"totalSpent\\": 0,\\n      \\"totalCalls\\": 0,\\n      \\"createdAt\\": \\"2026-03-14T09:26:53.589Z\\",\\n      \\"lastUsedAt\\": null,\\n      \\"active\\": true,\\n      \\"spendingLimit\\": 0,\\n      \\"allowedTools\\": [\\n        \\"a\\"\\n      ],\\n      \\"deniedTools\\": [],\\n      \\"expiresAt\\": null,\\n      \\"quota\\": {\\n        \\"dailyCallLimit\\": 1,\\n        \\"monthlyCallLimit\\": 0,\\n        \\"dailyCreditLimit\\": 0,\\n        \\"monthlyCreditLimit\\": 0\\n      },\\n      \\"tags\\": {\\n        \\"2\\": \\"b\\",\\n        \\"z\\": \\"1\\"\\n      },\\n      \\"ipAllowlist\\": [],\\n      \\"namespace\\": \\"default\\",\\n      \\"quotaDailyCalls\\": 0,\\n      \\"quotaMonthlyCalls\\": 0,\\n      \\"quotaDailyCredits\\": 0,\\n      \\"quotaMonthlyCredits\\": 0,\\n      \\"quotaLastResetDay\\": \\"2026-03-14\\",\\n      \\"quotaLastResetMonth\\": \\"2026-03\\"\\n    }\\n  ]\\n]"',
);

example(
  'a store that was never filled, in folders that are made',
  () => {
    const s = new KeyStore('a/b/state.json');
    s.save();
    return [readFile('a/b/state.json'), require('node:fs').readdirSync('a/b').filter(name => !name.startsWith('state.json.db'))];
  },
  '["[]",["state.json"]]',
);

example(
  'completing an old file',
  ({ printed }) => {
    writeFile('state.json', '[["pg_old",{"key":"pg_old","name":"old","credits":10,"totalSpent":1,"totalCalls":1,"createdAt":"2025-01-01T00:00:00.000Z","lastUsedAt":null,"active":true,"custom":{"x":1}}]]');
    const s = new KeyStore('state.json');
    return [s.getKey('pg_old'), printed];
  },
  '[{"key":"pg_old","name":"old","credits":10,"totalSpent":1,"totalCalls":1,"createdAt":"2025-01-01T00:00:00.000Z","lastUsedAt":null,"active":true,"custom":{"x":1},"spendingLimit":0,"allowedTools":[],"deniedTools":[],"expiresAt":null,"quotaDailyCalls":0,"quotaMonthlyCalls":0,"quotaDailyCredits":0,"quotaMonthlyCredits":0,"quotaLastResetDay":"2026-03-14","quotaLastResetMonth":"2026-03","tags":{},"ipAllowlist":[],"namespace":"default"},["stdout: [paygate] Loaded 1 key(s) from state.json"]]',
);

example(
  'missing, empty, non-array and empty-array files',
  ({ printed }) => {
    new KeyStore('missing.json');
    writeFile('e.json', '');
    writeFile('o.json', '{}');
    writeFile('n.json', 'null');
    writeFile('a.json', '[]');
    return [['e.json', 'o.json', 'n.json', 'a.json'].map(f => new KeyStore(f).listKeys().length), printed];
  },
  '[[0,0,0,0],["stderr: [paygate] Failed to load state: EOF while parsing a value at line 1 column 0","stderr: [paygate] Invalid state file format, starting fresh.","stderr: [paygate] Invalid state file format, starting fresh.","stdout: [paygate] Loaded 0 key(s) from a.json"]]',
);

example(
  'bad entries are skipped and told, and never drop good ones',
  ({ printed }) => {
    writeFile('s1.json', '[["a",{"key":"a","credits":3,"active":true}],5,["b",{"key":"b","credits":4,"active":true}]]');
    writeFile('s2.json', '[["",{"key":""}],["a",{}],[],"xy",["b",null],["c",{"key":"c","credits":1,"active":true}]]');
    const one = new KeyStore('s1.json'), two = new KeyStore('s2.json');
    return [[one.listKeys().map(k => k.keyPrefix), two.listKeys().map(k => k.keyPrefix)], printed];
  },
  '[[["a...","b..."],["c..."]],["stderr: [paygate] Failed to load state: entry 1 is no pair of key and record; it is left out","stdout: [paygate] Loaded 2 key(s) from s1.json","stdout: [paygate] Loaded 1 key(s) from s2.json"]]',
);

example(
  'through a gate: balance, totals and quota counters survive, windows and events do not; a plain assignment waits for the next save',
  ({ printed }) => {
    const g = gate({ globalRateLimitPerMin: 1 }, 'state.json');
    const k = put(g, 100);
    g.evaluate(k, { name: 'search' });
    g.store.getKey(k).spendingLimit = 42;
    const h = gate({ globalRateLimitPerMin: 1 }, 'state.json'), r = h.store.getKey(k), lim = r.spendingLimit;
    g.store.save();
    return [[counters(r), r.lastUsedAt, lim, new KeyStore('state.json').getKey(k).spendingLimit, h.evaluate(k, { name: 'search' }).allowed, h.meter.eventCount], printed];
  },
  '[[{"credits":95,"totalSpent":5,"totalCalls":1,"dayCalls":1,"dayCredits":5},"2026-03-14T09:26:53.589Z",0,42,true,1],["stdout: [paygate] Loaded 1 key(s) from state.json","stdout: [paygate] Loaded 1 key(s) from state.json"]]',
);

example(
  'a failing save is reported and ignored',
  ({ printed }) => {
    writeFile('plain', 'x');
    const s = new KeyStore('plain/state.json');
    s.importKey('pg_demo_0001', 'n', 3);
    s.deductCredits('pg_demo_0001', 1);
    return [s.getKey('pg_demo_0001').credits, printed];
  },
  '[2,["stderr: [paygate] Failed to save state: File exists (os error 17)","stderr: [paygate] Failed to save state: File exists (os error 17)"]]',
);
