use std::time::Duration;

use super::*;
use crate::clock::ManualClock;
use crate::credits::Credits;
use crate::key::record::{Expiry, Identity};
use crate::limit::quota::Quota;

const START: Timestamp = Timestamp(1_773_480_413_589); // 2026-03-14T09:26:53.589Z

/// A key that has spent 80 of 100 credits.
fn alice() -> AlertFacts<'static> {
    AlertFacts {
        key_prefix: "pg_1234567",
        key_name: "alice",
        credits: 20.0,
        total_spent: 80.0,
        daily_calls: (0.0, 0.0),
        monthly_calls: (0.0, 0.0),
        expiry: ("", f64::NAN),
        rate_limited: false,
    }
}

fn rule(kind: &str, threshold: f64) -> AlertRule {
    AlertRule::new(kind, threshold, 0.0)
}

fn engine(rules: Vec<AlertRule>) -> (AlertEngine, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(START));
    (AlertEngine::new(rules, false, clock.clone()), clock)
}

/// What a single rule makes of the facts: the number and the message.
fn fires(kind: &str, threshold: f64, facts: AlertFacts<'_>) -> Option<(f64, String)> {
    let alert = engine(vec![rule(kind, threshold)]).0.check(&facts).pop()?;
    Some((alert.current_value, alert.message()))
}

fn told(current_value: f64, message: &str) -> Option<(f64, String)> {
    Some((current_value, message.to_owned()))
}

#[test]
fn an_alert_is_shown_with_its_fields_in_order() {
    let alert = engine(vec![rule("spending_threshold", 80.0)]).0.check(&alice()).pop().unwrap();
    assert_eq!(
        serde_json::to_string(&alert).unwrap(),
        r#"{"type":"spending_threshold","timestamp":"2026-03-14T09:26:53.589Z","keyPrefix":"pg_1234567...","keyName":"alice","threshold":80,"currentValue":80,"message":"Key \"alice\" has spent 80% of total budget (80/100 credits)","metadata":{"credits":20,"totalSpent":80,"totalBudget":100}}"#
    );
}

#[test]
fn spending_is_a_share_of_everything_granted() {
    let spent = |threshold, credits, total_spent| {
        fires("spending_threshold", threshold, AlertFacts { credits, total_spent, ..alice() })
    };
    assert_eq!(spent(80.1, 20.0, 80.0), None);
    assert_eq!(spent(0.0, 0.0, 0.0), None);
    let thirds = "Key \"alice\" has spent 67% of total budget (2/3 credits)";
    assert_eq!(spent(50.0, 1.0, 2.0), told(66.7, thirds));
    let below = "Key \"alice\" has spent 67% of total budget (6665/10000 credits)";
    assert_eq!(spent(50.0, 3335.0, 6665.0), told(66.6, below));
}

#[test]
fn few_credits_are_at_most_the_threshold() {
    let message = "Key \"alice\" has only 20 credits remaining (threshold: 20)";
    assert_eq!(fires("credits_low", 20.0, alice()), told(20.0, message));
    assert_eq!(fires("credits_low", 19.0, alice()), None);
}

#[test]
fn the_day_is_looked_at_before_the_month() {
    let used = |threshold, daily, monthly| {
        let facts = AlertFacts { daily_calls: (daily, 7.0), monthly_calls: (monthly, 3.0), ..alice() };
        fires("quota_warning", threshold, facts)
    };
    assert_eq!(used(50.0, 5.0, 3.0), told(71.4, "Key \"alice\" daily call quota at 71% (5/7)"));
    assert_eq!(used(60.0, 1.0, 2.0), told(66.7, "Key \"alice\" monthly call quota at 67% (2/3)"));
    assert_eq!(used(90.0, 1.0, 2.0), None);
    assert_eq!(fires("quota_warning", 0.0, alice()), None);
}

#[test]
fn a_key_expires_soon_while_it_lives() {
    #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
    let left = |threshold, ms: i64| {
        fires("key_expiry_soon", threshold, AlertFacts { expiry: ("then", (START.0 + ms) as f64), ..alice() })
    };
    assert_eq!(left(7200.0, 5_400_000), told(5400.0, "Key \"alice\" expires in 1.5 hours (then)"));
    assert_eq!(left(7200.0, 100_000), told(100.0, "Key \"alice\" expires in 0 hours (then)"));
    assert_eq!(left(7200.0, 7_200_000).map(|(seconds, _)| seconds), Some(7200.0));
    for (threshold, ms) in [(60.0, 5_400_000), (7200.0, 0), (7200.0, -1), (7200.0, 7_200_001)] {
        assert_eq!(left(threshold, ms), None);
    }
    assert_eq!(fires("key_expiry_soon", f64::INFINITY, alice()), None);
}

#[test]
fn refusals_count_only_after_a_refusal() {
    let (engine, _) = engine(vec![rule("rate_limit_spike", 2.0)]);
    let refused = AlertFacts { rate_limited: true, ..alice() };
    engine.record_rate_limit_denial("pg_1234567");
    assert!(engine.check(&refused).is_empty());
    engine.record_rate_limit_denial("pg_1234567");
    assert!(engine.check(&alice()).is_empty());
    let alert = engine.check(&refused).pop().unwrap();
    assert_eq!(alert.message(), "Key \"alice\" hit 2 rate limit denials in 5 min (threshold: 2)");
    assert_eq!(Value::from(alert.metadata()), json!({"denialCount": 2, "windowMinutes": 5}));
    assert_eq!(fires("rate_limit_spike", 0.0, refused).map(|(count, _)| count), Some(0.0));
}

#[test]
fn a_refusal_is_forgotten_with_the_first_one_five_minutes_later() {
    let (engine, clock) = engine(vec![AlertRule::new("rate_limit_spike", 0.0, -1.0)]);
    let seen = || engine.check(&AlertFacts { rate_limited: true, ..alice() })[0].current_value;
    engine.record_rate_limit_denial("pg_1234567");
    clock.advance(Duration::from_millis(299_999));
    engine.record_rate_limit_denial("pg_1234567");
    assert_eq!(seen(), 2.0);
    clock.advance(Duration::from_millis(1));
    assert_eq!(seen(), 2.0);
    engine.record_rate_limit_denial("pg_1234567");
    assert_eq!(seen(), 2.0);
}

#[test]
fn refusals_of_five_minutes_take_little_room() {
    let mut denials = Denials::default();
    for ms in 0..400_000 {
        denials.add(Timestamp(ms));
        assert!(denials.runs.len() <= DENIAL_RUNS_EXACT + 301);
    }
    // Those that share a second leave together.
    assert!(denials.count.abs_diff(300_000) <= 1000, "{}", denials.count);
    assert_eq!(denials.count, denials.runs.iter().map(|(_, run)| run).sum::<u64>());
}

#[test]
fn each_rule_has_its_own_cooldown_for_each_key() {
    let rules = vec![
        AlertRule::new("credits_low", 5.0, 60.0),
        rule("credits_low", 30.0),
        AlertRule::new("spending_threshold", 50.0, 0.5),
        rule("nobody_knows", 0.0),
    ];
    let (engine, clock) = engine(rules);
    let fired = |facts| engine.check(&facts).into_iter().map(|alert| alert.rule).collect::<Vec<_>>();
    let poor = AlertFacts { credits: 1.0, ..alice() };
    assert_eq!(fired(alice()), [1, 2]);
    assert_eq!(fired(poor), [0]);
    clock.advance(Duration::from_millis(499));
    assert_eq!(fired(poor), [] as [usize; 0]);
    clock.advance(Duration::from_millis(1));
    assert_eq!(fired(poor), [2]);
    clock.advance(Duration::from_secs(60));
    assert_eq!(fired(poor), [0, 2]);
    clock.advance(Duration::from_secs(3540));
    assert_eq!(fired(poor), [0, 1, 2]);
    assert_eq!(fired(AlertFacts { key_prefix: "pg_other", ..poor }), [0, 1, 2]);
    let numbers: Vec<_> = engine.consume().into_iter().map(|alert| alert.number).collect();
    assert_eq!(numbers, (0..12).collect::<Vec<_>>());
}

#[test]
fn a_negative_cooldown_is_none() {
    let (engine, _) = engine(vec![AlertRule::new("credits_low", 30.0, -1.0)]);
    assert_eq!([1, 2, 3].map(|_| engine.check(&alice()).len()), [1, 1, 1]);
}

#[test]
fn what_fired_waits_to_be_fetched_but_not_for_ever() {
    let (engine, _) = engine(vec![AlertRule::new("credits_low", 30.0, -1.0)]);
    for _ in 0..PENDING_MAX + 5 {
        engine.check(&alice());
    }
    assert_eq!(engine.pending_count(), PENDING_MAX);
    assert_eq!(engine.consume()[0].number, 5);
    assert_eq!((engine.pending_count(), engine.consume().len()), (0, 0));
    engine.check(&alice());
    engine.clear();
    assert_eq!(engine.pending_count(), 0);
    let dry = AlertEngine::new(vec![rule("credits_low", 30.0)], true, Arc::new(ManualClock::at(START)));
    assert_eq!((dry.check(&alice()).len(), dry.pending_count()), (1, 0));
}

#[test]
fn keys_of_which_nothing_counts_any_more_are_forgotten() {
    let (engine, clock) = engine(vec![AlertRule::new("credits_low", 30.0, 60.0)]);
    for key in 0..20_000 {
        clock.advance(Duration::from_secs(1));
        let prefix = format!("k{key}");
        let facts = AlertFacts { key_prefix: &prefix, ..alice() };
        assert_eq!((engine.check(&facts).len(), engine.check(&facts).len()), (1, 0));
        engine.record_rate_limit_denial(&prefix);
    }
    assert!(engine.state.lock().keys.len() <= KEYS_UNSWEPT);
}

#[test]
fn a_rule_fires_once_whatever_the_number_of_threads() {
    let (engine, _) = engine(vec![rule("credits_low", 30.0)]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    engine.check(&alice());
                }
            });
        }
    });
    assert_eq!(engine.pending_count(), 1);
}

#[test]
fn rules_of_operators_are_checked_and_kept_as_written() {
    let given = json!({"type": "credits_low", "threshold": 5, "cooldownSeconds": "60", "note": "x"});
    let rule = AlertRule::checked(given.clone()).unwrap();
    assert_eq!((rule.kind, rule.threshold, rule.cooldown_ms), (Some(AlertType::CreditsLow), 5.0, 60_000.0));
    assert_eq!(rule.given(), &given);
    let hourly = AlertRule::checked(json!({"type": "credits_low", "threshold": 0, "cooldownSeconds": 0}));
    assert_eq!(hourly.unwrap().cooldown_ms, 3_600_000.0);
    let refused = |given| AlertRule::checked(given).unwrap_err().to_string();
    let valid = "Valid: spending_threshold, credits_low, quota_warning, key_expiry_soon, rate_limit_spike";
    assert_eq!(refused(json!({"type": "nope"})), format!("Invalid alert type: nope. {valid}"));
    assert_eq!(refused(json!({})), format!("Invalid alert type: undefined. {valid}"));
    for threshold in [json!("5"), json!(-1), json!(null)] {
        let given = json!({"type": "credits_low", "threshold": threshold});
        assert_eq!(refused(given), "Invalid threshold for credits_low: must be a non-negative number");
    }
    for none in [json!(null), json!("credits_low"), json!([])] {
        assert_eq!(refused(none), "Invalid alert rule: must be an object");
    }
}

#[test]
fn a_record_is_looked_at_with_the_counters_of_today() {
    let identity = Identity::new("pg_1234567890", "alice", "default");
    let mut record = Record::new("pg_1234567890".into(), identity, Credits::new(20).unwrap(), START);
    record.spent = Credits::new(80).unwrap();
    record.quota = Some(Box::new(Quota { daily_calls: 7.0, ..Quota::default() }));
    record.counters.daily_calls = 5.0;
    record.expiry = Expiry::new("2026-03-14T10:00:00Z");
    let facts = AlertFacts::of(&record, "pg_1234567", false, START);
    let (text, at) = ("2026-03-14T10:00:00Z", 1_773_482_400_000.0);
    assert_eq!(facts, AlertFacts { daily_calls: (5.0, 7.0), expiry: (text, at), ..alice() });
    let tomorrow = Timestamp(START.0 + 86_400_000);
    assert_eq!(AlertFacts::of(&record, "pg_1234567", false, tomorrow).daily_calls, (0.0, 7.0));
}
