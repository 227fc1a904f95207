//! Calls and credits in the UTC day and month.
//!
//! Limits and counters are numbers as JavaScript has them, because they also arrive on plain objects of a script:
//! a limit that is 0, negative or not a number is off, by the ordinary comparison rules.

use std::fmt;

use crate::clock::Timestamp;
use crate::text::date::{Day, Month};
use crate::text::number::js_number;

/// What a key may use in a day and a month; 0 or below switches one limit off.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Quota {
    /// Calls in the UTC day.
    pub daily_calls: f64,
    /// Calls in the UTC month.
    pub monthly_calls: f64,
    /// Credits in the UTC day.
    pub daily_credits: f64,
    /// Credits in the UTC month.
    pub monthly_credits: f64,
}

/// What was used in the day and month that the counters stand for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuotaCounters {
    /// Calls in `day`.
    pub daily_calls: f64,
    /// Calls in `month`.
    pub monthly_calls: f64,
    /// Credits in `day`.
    pub daily_credits: f64,
    /// Credits in `month`.
    pub monthly_credits: f64,
    /// The day of the daily counters.
    pub day: Day,
    /// The month of the monthly counters.
    pub month: Month,
}

/// What asks for room in a quota: one call, or a batch judged as one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum QuotaDemand {
    /// A single call.
    Call,
    /// A batch of so many calls.
    Batch(f64),
}

/// Which limit refused, and by what numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuotaExceeded {
    /// Which of the four limits.
    pub limit: QuotaLimit,
    /// What was used before.
    pub used: f64,
    /// What the demand would add; `None` for a single call against a limit of calls.
    pub added: Option<f64>,
    /// The limit.
    pub allowed: f64,
}

/// One of the four limits, in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaLimit {
    /// Calls in the day.
    DailyCalls,
    /// Calls in the month.
    MonthlyCalls,
    /// Credits in the day.
    DailyCredits,
    /// Credits in the month.
    MonthlyCredits,
}

impl QuotaCounters {
    /// Counters of a key that has used nothing yet.
    pub fn new(now: Timestamp) -> Self {
        Self {
            daily_calls: 0.0,
            monthly_calls: 0.0,
            daily_credits: 0.0,
            monthly_credits: 0.0,
            day: Day::of(now.0),
            month: Month::of(now.0),
        }
    }

    /// Starts over what belongs to another day or month than the present one. Tells whether anything did.
    pub fn roll(&mut self, now: Timestamp) -> bool {
        let (day, month) = (Day::of(now.0), Month::of(now.0));
        let (new_day, new_month) = (self.day != day, self.month != month);
        if new_day {
            (self.daily_calls, self.daily_credits, self.day) = (0.0, 0.0, day);
        }
        if new_month {
            (self.monthly_calls, self.monthly_credits, self.month) = (0.0, 0.0, month);
        }
        new_day || new_month
    }

    /// Asks whether the demand fits. The counters must have been rolled to the present day.
    ///
    /// # Errors
    /// The first limit that would be passed.
    pub fn check(&self, quota: &Quota, demand: QuotaDemand, credits: f64) -> Result<(), QuotaExceeded> {
        let calls = |limit, used: f64, allowed: f64| {
            let (passed, added) = match demand {
                QuotaDemand::Call => (used >= allowed, None),
                QuotaDemand::Batch(calls) => (used + calls > allowed, Some(calls)),
            };
            if allowed > 0.0 && passed { Err(QuotaExceeded { limit, used, added, allowed }) } else { Ok(()) }
        };
        let spend = |limit, used: f64, allowed: f64| {
            if allowed > 0.0 && used + credits > allowed {
                Err(QuotaExceeded { limit, used, added: Some(credits), allowed })
            } else {
                Ok(())
            }
        };
        calls(QuotaLimit::DailyCalls, self.daily_calls, quota.daily_calls)?;
        calls(QuotaLimit::MonthlyCalls, self.monthly_calls, quota.monthly_calls)?;
        spend(QuotaLimit::DailyCredits, self.daily_credits, quota.daily_credits)?;
        spend(QuotaLimit::MonthlyCredits, self.monthly_credits, quota.monthly_credits)
    }

    /// Counts calls and credits, after rolling to the present day.
    pub fn record(&mut self, now: Timestamp, calls: f64, credits: f64) {
        self.roll(now);
        self.daily_calls += calls;
        self.monthly_calls += calls;
        self.daily_credits += credits;
        self.monthly_credits += credits;
    }

    /// Takes one call and its credits back from the counters as they stand, none going below 0.
    pub fn unrecord(&mut self, credits: f64) {
        self.unrecord_daily(credits);
        self.unrecord_monthly(credits);
    }

    /// Takes one call and its credits back, but only from counters that still stand for the day and month given.
    pub fn unrecord_of(&mut self, day: Day, month: Month, credits: f64) {
        if self.day == day {
            self.unrecord_daily(credits);
        }
        if self.month == month {
            self.unrecord_monthly(credits);
        }
    }

    fn unrecord_daily(&mut self, credits: f64) {
        self.daily_calls = js_max_zero(self.daily_calls - 1.0);
        self.daily_credits = js_max_zero(self.daily_credits - credits);
    }

    fn unrecord_monthly(&mut self, credits: f64) {
        self.monthly_calls = js_max_zero(self.monthly_calls - 1.0);
        self.monthly_credits = js_max_zero(self.monthly_credits - credits);
    }
}

/// The larger of the number and 0; what is not a number stays so.
fn js_max_zero(number: f64) -> f64 {
    if number.is_nan() { number } else { number.max(0.0) }
}

impl fmt::Display for QuotaExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit, period, now) = match self.limit {
            QuotaLimit::DailyCalls => ("daily_call_quota_exceeded", "calls", "day", "today"),
            QuotaLimit::MonthlyCalls => ("monthly_call_quota_exceeded", "calls", "month", "this month"),
            QuotaLimit::DailyCredits => ("daily_credit_quota_exceeded", "credits", "day", "today"),
            QuotaLimit::MonthlyCredits => ("monthly_credit_quota_exceeded", "credits", "month", "this month"),
        };
        let (used, allowed) = (js_number(self.used), js_number(self.allowed));
        match self.added {
            None => write!(f, "{name}: {used}/{allowed} {unit} {now}"),
            Some(added) => {
                write!(f, "{name}: {used}+{} would exceed {allowed} {unit}/{period}", js_number(added))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used() -> QuotaCounters {
        let mut counters = QuotaCounters::new(Timestamp(1_773_480_413_589)); // 2026-03-14
        counters.daily_calls = 2.0;
        counters.monthly_calls = 4.0;
        counters.daily_credits = 20.0;
        counters.monthly_credits = 40.0;
        counters
    }

    fn quota(daily_calls: f64, monthly_calls: f64, daily_credits: f64, monthly_credits: f64) -> Quota {
        Quota { daily_calls, monthly_calls, daily_credits, monthly_credits }
    }

    #[test]
    fn each_limit_refuses_in_its_own_words() {
        let said = |quota, credits| {
            let words = |demand| {
                used().check(&quota, demand, credits).map_or_else(|e| e.to_string(), |()| "ok".into())
            };
            (words(QuotaDemand::Call), words(QuotaDemand::Batch(3.0)))
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            said(quota(2.0, 0.0, 0.0, 0.0), 1.0),
            pair(
                "daily_call_quota_exceeded: 2/2 calls today",
                "daily_call_quota_exceeded: 2+3 would exceed 2 calls/day"
            )
        );
        assert_eq!(
            said(quota(0.0, 4.0, 0.0, 0.0), 1.0),
            pair(
                "monthly_call_quota_exceeded: 4/4 calls this month",
                "monthly_call_quota_exceeded: 4+3 would exceed 4 calls/month"
            )
        );
        let daily = "daily_credit_quota_exceeded: 20+1 would exceed 20 credits/day";
        assert_eq!(said(quota(0.0, 0.0, 20.0, 0.0), 1.0), pair(daily, daily));
        assert_eq!(said(quota(5.0, 7.0, 25.0, 45.0), 5.0), pair("ok", "ok"));
        assert_eq!(said(quota(-1.0, f64::NAN, 0.0, -1.0), 1e9), pair("ok", "ok"));
    }

    #[test]
    fn a_new_day_and_a_new_month_start_over() {
        let mut counters = used();
        assert!(counters.roll(Timestamp(1_773_480_413_589 + 24 * 3_600_000)));
        assert_eq!((counters.daily_calls, counters.monthly_calls), (0.0, 4.0));
        assert!(counters.roll(Timestamp(1_773_480_413_589 + 20 * 24 * 3_600_000)));
        assert_eq!((counters.daily_credits, counters.monthly_credits), (0.0, 0.0));
        assert!(!counters.roll(Timestamp(1_773_480_413_589 + 20 * 24 * 3_600_000)));
    }

    #[test]
    fn what_is_taken_back_belongs_to_its_own_day() {
        let mut counters = used();
        let (day, month) = (counters.day, counters.month);
        counters.roll(Timestamp(1_773_480_413_589 + 24 * 3_600_000));
        counters.unrecord_of(day, month, 5.0);
        assert_eq!(
            (counters.daily_calls, counters.monthly_calls, counters.monthly_credits),
            (0.0, 3.0, 35.0)
        );
    }
}
