'use strict';

// Quotas on any record.

const { example, QuotaTracker } = require('./support/example.js');

example(
  'all eight refusals, and the limits that let through',
  () => {
    const q = new QuotaTracker();
    const R = () => ({ quotaDailyCalls: 2, quotaMonthlyCalls: 4, quotaDailyCredits: 20, quotaMonthlyCredits: 40, quotaLastResetDay: '2026-03-14', quotaLastResetMonth: '2026-03' });
    const Q = (a, b, c, d) => ({ dailyCallLimit: a, monthlyCallLimit: b, dailyCreditLimit: c, monthlyCreditLimit: d });
    const t = (quota, need) => [q.check({ ...R(), quota }, need).reason || 'ok', q.checkBatch({ ...R(), quota }, 3, need).reason || 'ok'];
    return [t(Q(2, 0, 0, 0), 1), t(Q(0, 4, 0, 0), 1), t(Q(0, 0, 20, 0), 1), t(Q(0, 0, 0, 40), 1), t(Q(2, 4, 20, 40), 1), t(Q(5, 7, 25, 45), 5), t(Q(-1, -1, -1, -1), 1e9), t({}, 1e9), t(undefined, 1e9)];
  },
  '[["daily_call_quota_exceeded: 2/2 calls today","daily_call_quota_exceeded: 2+3 would exceed 2 calls/day"],["monthly_call_quota_exceeded: 4/4 calls this month","monthly_call_quota_exceeded: 4+3 would exceed 4 calls/month"],["daily_credit_quota_exceeded: 20+1 would exceed 20 credits/day","daily_credit_quota_exceeded: 20+1 would exceed 20 credits/day"],["monthly_credit_quota_exceeded: 40+1 would exceed 40 credits/month","monthly_credit_quota_exceeded: 40+1 would exceed 40 credits/month"],["daily_call_quota_exceeded: 2/2 calls today","daily_call_quota_exceeded: 2+3 would exceed 2 calls/day"],["ok","ok"],["ok","ok"],["ok","ok"],["ok","ok"]]',
);

example(
  'own quota replaces the global one entirely',
  () => {
    const q = new QuotaTracker();
    const g1 = { dailyCallLimit: 1, monthlyCallLimit: 1, dailyCreditLimit: 1, monthlyCreditLimit: 1 };
    const R = { quotaDailyCalls: 2, quotaMonthlyCalls: 4, quotaDailyCredits: 20, quotaMonthlyCredits: 40, quotaLastResetDay: '2026-03-14', quotaLastResetMonth: '2026-03' };
    return [q.check({ ...R, quota: { dailyCallLimit: 0, monthlyCallLimit: 0, dailyCreditLimit: 0, monthlyCreditLimit: 0 } }, 1, g1), q.check({ ...R }, 1, g1), q.check({ ...R, quota: null }, 1, g1)];
  },
  '[{"allowed":true},{"allowed":false,"reason":"daily_call_quota_exceeded: 2/1 calls today"},{"allowed":false,"reason":"daily_call_quota_exceeded: 2/1 calls today"}]',
);

example(
  'recording and undoing',
  () => {
    const q = new QuotaTracker();
    const r = { quotaDailyCalls: 0, quotaMonthlyCalls: 0, quotaDailyCredits: 0, quotaMonthlyCredits: 0, quotaLastResetDay: '2026-03-13', quotaLastResetMonth: '2026-03' };
    const reset = q.resetIfNeeded(r);
    q.record(r, 5);
    q.recordBatch(r, 3, 9);
    const a = { ...r };
    q.unrecord(r, 100);
    return [reset, q.resetIfNeeded(r), a, r];
  },
  '[true,false,{"quotaDailyCalls":4,"quotaMonthlyCalls":4,"quotaDailyCredits":14,"quotaMonthlyCredits":14,"quotaLastResetDay":"2026-03-14","quotaLastResetMonth":"2026-03"},{"quotaDailyCalls":3,"quotaMonthlyCalls":3,"quotaDailyCredits":0,"quotaMonthlyCredits":0,"quotaLastResetDay":"2026-03-14","quotaLastResetMonth":"2026-03"}]',
);
