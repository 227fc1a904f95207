'use strict';

const { native, shared, call, FIRST, SECOND, LINES } = require('./native.js');

const LIMITS = LINES + 4;
const CALLS = LINES + 8;
const CREDITS = LINES + 9;

class QuotaTracker {
  resetIfNeeded(record) {
    give(record);
    const today = call(native.quotaRoll, day(record), month(record));
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
    return judge(this, record, NaN, creditsRequired, globalQuota);
  }

  checkBatch(record, callCount, totalCreditsRequired, globalQuota) {
    return judge(this, record, callCount, totalCreditsRequired, globalQuota);
  }

  record(record, creditsCharged) {
    this.recordBatch(record, 1, creditsCharged);
  }

  recordBatch(record, callCount, totalCreditsCharged) {
    this.resetIfNeeded(record);
    count(record, native.quotaRecord, callCount, totalCreditsCharged);
  }

  unrecord(record, creditsCharged) {
    count(record, native.quotaUnrecord, 1, creditsCharged);
  }
}

const day = (record) => String(record.quotaLastResetDay);
const month = (record) => String(record.quotaLastResetMonth);

/** Puts a record's counters where native code reads them. */
function give(record) {
  const { quotaDailyCalls, quotaMonthlyCalls, quotaDailyCredits, quotaMonthlyCredits } = record;
  shared[LINES] = quotaDailyCalls;
  shared[LINES + 1] = quotaMonthlyCalls;
  shared[LINES + 2] = quotaDailyCredits;
  shared[LINES + 3] = quotaMonthlyCredits;
}

function judge(tracker, record, calls, credits, globalQuota) {
  tracker.resetIfNeeded(record);
  // The record's own quota stands in for the general one as a whole.
  const quota = record.quota || globalQuota;
  if (!quota) return { allowed: true };
  const { dailyCallLimit, monthlyCallLimit, dailyCreditLimit, monthlyCreditLimit } = quota;
  const [lastDay, lastMonth] = [day(record), month(record)];
  give(record);
  shared[LIMITS] = dailyCallLimit;
  shared[LIMITS + 1] = monthlyCallLimit;
  shared[LIMITS + 2] = dailyCreditLimit;
  shared[LIMITS + 3] = monthlyCreditLimit;
  shared[CALLS] = calls;
  shared[CREDITS] = credits;
  const reason = call(native.quotaCheck, lastDay, lastMonth);
  return reason === undefined ? { allowed: true } : { allowed: false, reason };
}

function count(record, run, calls, credits) {
  const [lastDay, lastMonth] = [day(record), month(record)];
  give(record);
  shared[CALLS] = calls;
  shared[CREDITS] = credits;
  call(run, lastDay, lastMonth);
  const [dailyCalls, monthlyCalls, dailyCredits, monthlyCredits] = shared.subarray(LINES, LIMITS).slice();
  record.quotaDailyCalls = dailyCalls;
  record.quotaMonthlyCalls = monthlyCalls;
  record.quotaDailyCredits = dailyCredits;
  record.quotaMonthlyCredits = monthlyCredits;
}

module.exports = { QuotaTracker };
