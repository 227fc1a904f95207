'use strict';

const { number, object, text } = require('./arguments.js');
const { native, shared, call, FIRST, SECOND, LINES } = require('./native.js');

// Places of the limits, and of the calls and credits that are asked for; the counters stand before them.
const LIMITS = LINES + 4;
const AMOUNTS = LINES + 8;

class QuotaTracker {
  resetIfNeeded(record) {
    const [lastDay, lastMonth] = daysOf(object(record, 'record'));
    shared.set(countersOf(record), LINES);
    const today = call(native.quotaRoll, lastDay, lastMonth);
    if (today === undefined) return false;
    const newDay = shared[FIRST] === 1;
    const newMonth = shared[SECOND] === 1;
    if (newDay) {
      record.quotaDailyCalls = 0;
      record.quotaDailyCredits = 0;
      record.quotaLastResetDay = today;
    }
    if (newMonth) {
      record.quotaMonthlyCalls = 0;
      record.quotaMonthlyCredits = 0;
      record.quotaLastResetMonth = today.slice(0, 7);
    }
    return true;
  }

  check(record, creditsRequired, globalQuota) {
    return judge(this, record, [NaN, number(creditsRequired, 'creditsRequired')], globalQuota);
  }

  checkBatch(record, callCount, totalCreditsRequired, globalQuota) {
    const amounts = [number(callCount, 'callCount'), number(totalCreditsRequired, 'totalCreditsRequired')];
    return judge(this, record, amounts, globalQuota);
  }

  record(record, creditsCharged) {
    const credits = number(creditsCharged, 'creditsCharged');
    this.recordBatch(record, 1, credits);
  }

  recordBatch(record, callCount, totalCreditsCharged) {
    this.resetIfNeeded(record);
    const amounts = [number(callCount, 'callCount'), number(totalCreditsCharged, 'totalCreditsCharged')];
    count(record, native.quotaRecord, amounts);
  }

  unrecord(record, creditsCharged) {
    count(record, native.quotaUnrecord, [1, number(creditsCharged, 'creditsCharged')]);
  }
}

// What is read from a record may run code of its own, which may use the shared numbers: they are set when all is read.

/** The days on which a record's counters were last set to 0. */
function daysOf({ quotaLastResetDay, quotaLastResetMonth }) {
  const day = text(quotaLastResetDay, 'record.quotaLastResetDay');
  return [day, text(quotaLastResetMonth, 'record.quotaLastResetMonth')];
}

function countersOf({ quotaDailyCalls, quotaMonthlyCalls, quotaDailyCredits, quotaMonthlyCredits }) {
  return [
    number(quotaDailyCalls, 'record.quotaDailyCalls'),
    number(quotaMonthlyCalls, 'record.quotaMonthlyCalls'),
    number(quotaDailyCredits, 'record.quotaDailyCredits'),
    number(quotaMonthlyCredits, 'record.quotaMonthlyCredits'),
  ];
}

function limitsOf({ dailyCallLimit, monthlyCallLimit, dailyCreditLimit, monthlyCreditLimit }) {
  return [
    number(dailyCallLimit, 'quota.dailyCallLimit'),
    number(monthlyCallLimit, 'quota.monthlyCallLimit'),
    number(dailyCreditLimit, 'quota.dailyCreditLimit'),
    number(monthlyCreditLimit, 'quota.monthlyCreditLimit'),
  ];
}

/** `amounts` are the calls and credits that are asked for. */
function judge(tracker, record, amounts, globalQuota) {
  tracker.resetIfNeeded(record);
  // The record's own quota stands in for the general one as a whole.
  const quota = record.quota || globalQuota;
  if (!quota) return { allowed: true };
  const limits = limitsOf(quota);
  const [lastDay, lastMonth] = daysOf(record);
  shared.set([...countersOf(record), ...limits, ...amounts], LINES);
  const reason = call(native.quotaCheck, lastDay, lastMonth);
  return reason === undefined ? { allowed: true } : { allowed: false, reason };
}

function count(record, run, amounts) {
  const [lastDay, lastMonth] = daysOf(object(record, 'record'));
  shared.set(countersOf(record), LINES);
  shared.set(amounts, AMOUNTS);
  call(run, lastDay, lastMonth);
  const [dailyCalls, monthlyCalls, dailyCredits, monthlyCredits] = shared.subarray(LINES, LIMITS).slice();
  record.quotaDailyCalls = dailyCalls;
  record.quotaMonthlyCalls = monthlyCalls;
  record.quotaDailyCredits = dailyCredits;
  record.quotaMonthlyCredits = monthlyCredits;
}

module.exports = { QuotaTracker };
