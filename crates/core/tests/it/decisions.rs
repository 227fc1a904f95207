//! What a gate says to single calls and batches, in which order, and what it changes.

use std::sync::Arc;
use std::time::Duration;

use paygate_core::clock::{ManualClock, Timestamp};
use paygate_core::config::GateConfig;
use paygate_core::credits::Credits;
use paygate_core::entropy::SeededEntropy;
use paygate_core::gate::{
    Arguments, BatchVerdict, CallRequest, Gate, GateParts, Judgement, PriceList, ToolTerms,
};
use paygate_core::journal::MemoryJournal;
use paygate_core::key::address::CompiledAllowlist;
use paygate_core::key::record::Expiry;
use paygate_core::key::team::TeamDraft;
use paygate_core::ledger::{KeyOptions, Ledger, LedgerParts};
use paygate_core::limit::quota::Quota;
use paygate_core::usage::UsageMeter;

const NOW: Timestamp = Timestamp(1_773_480_413_589); // 2026-03-14T09:26:53.589Z

fn credits(number: u64) -> Credits {
    Credits::new(number).unwrap()
}

struct Desk {
    gate: Gate,
    clock: Arc<ManualClock>,
}

impl Desk {
    fn new(change: impl FnOnce(&mut GateConfig)) -> Self {
        let terms = |name: &str, price, calls_per_minute, credits_per_kb| ToolTerms {
            name: name.into(),
            credits_per_call: credits(price),
            calls_per_minute,
            credits_per_kb,
        };
        let listed = [
            terms("search", 5, 0.0, 0.0),
            terms("translate", 3, 0.0, 0.0),
            terms("lim", 1, 2.0, 0.0),
            terms("kb", 1, 0.0, 2.0),
        ];
        let mut config = GateConfig { prices: PriceList::new(credits(1), listed), ..GateConfig::default() };
        change(&mut config);
        let clock = Arc::new(ManualClock::at(NOW));
        let parts = LedgerParts {
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(1)),
            journal: Arc::new(MemoryJournal::default()),
        };
        let ledger = Arc::new(Ledger::new(parts));
        let meter = Arc::new(UsageMeter::new(UsageMeter::EVENTS_MAX));
        Self { gate: Gate::new(config, GateParts { ledger, meter, sinks: Vec::new() }), clock }
    }

    fn key(&self, balance: u64, options: KeyOptions) {
        let _ = self.gate.ledger().open("pg_demo_0001", "demo", credits(balance), options);
    }

    fn edit(&self, field: &str, value: serde_json::Value) {
        let place = self.gate.ledger().accounts.find_full("pg_demo_0001").unwrap().0;
        self.gate.ledger().edit(place, field, Some(value)).unwrap();
    }

    fn call(&self, key: Option<&str>, tool: &str, address: Option<&str>) -> (String, u64) {
        let call = CallRequest { key, tool, arguments: Arguments::None, address };
        let decision = self.gate.evaluate(&call).unwrap();
        (decision.reason().unwrap_or_else(|| "ok".into()), decision.remaining.get())
    }

    fn says(&self, tool: &str) -> String {
        self.call(Some("pg_demo_0001"), tool, None).0
    }

    /// Reason, refused index and whether the whole batch was refused.
    fn batch(&self, tools: &[&str]) -> (String, usize, bool) {
        let calls: Vec<_> = tools.iter().map(|tool| (*tool, Arguments::None)).collect();
        match self.gate.evaluate_batch(Some("pg_demo_0001"), &calls, None).unwrap().verdict {
            BatchVerdict::Allowed => ("ok".into(), 0, false),
            BatchVerdict::Denied { reason, index, whole } => (reason.to_string(), index, whole),
            BatchVerdict::Shadowed(reason) => (format!("shadow:{}", reason.event_text()), 0, true),
        }
    }

    /// Balance, spent, deductions, calls and credits of the day.
    fn numbers(&self) -> (u64, u64, u64, f64, f64) {
        let account = self.gate.ledger().accounts.find("pg_demo_0001").unwrap();
        let record = account.lock();
        let counters = record.counters;
        (record.credits.get(), record.spent.get(), record.calls, counters.daily_calls, counters.daily_credits)
    }
}

fn daily(calls: f64, spent: f64) -> KeyOptions {
    let quota = Quota { daily_calls: calls, daily_credits: spent, ..Quota::default() };
    KeyOptions { quota: Some(quota), ..KeyOptions::default() }
}

#[test]
fn a_key_is_asked_for_before_anything_else() {
    let desk = Desk::new(|_| {});
    desk.key(9, KeyOptions { expiry: Expiry::new("2020-01-01"), ..KeyOptions::default() });
    assert_eq!(desk.call(None, "search", None).0, "missing_api_key");
    assert_eq!(desk.call(Some(""), "search", None).0, "missing_api_key");
    assert_eq!(desk.call(Some("nope"), "search", None).0, "invalid_api_key");
    assert_eq!(desk.says("search"), "api_key_expired");
    let _ = desk.gate.ledger().revoke("pg_demo_0001");
    assert_eq!(desk.says("search"), "api_key_expired", "an end that has passed wins over revocation");
    desk.edit("expiresAt", serde_json::Value::Null);
    assert_eq!(desk.says("search"), "invalid_api_key");
}

#[test]
fn of_several_reasons_the_earlier_one_speaks() {
    let desk = Desk::new(|config| config.global_rate_limit = 1.0);
    desk.key(
        4,
        KeyOptions {
            ip_allowlist: CompiledAllowlist::new(["10.0.0.0/8"]),
            denied_tools: ["bad"].into_iter().collect(),
            ..daily(1.0, 1.0)
        },
    );
    desk.edit("spendingLimit", 1.into());
    let from = |address| desk.call(Some("pg_demo_0001"), "bad", Some(address)).0;
    assert_eq!(from("1.2.3.4"), "ip_not_allowed: 1.2.3.4 not in allowlist");
    assert_eq!(from("10.1.2.3"), "tool_denied: bad is in deniedTools");
    assert_eq!(desk.says("search"), "insufficient_credits: need 5, have 4");
    desk.edit("credits", 100.into());
    assert_eq!(desk.says("search"), "spending_limit_exceeded: limit 1, spent 0, need 5");
    desk.edit("spendingLimit", 0.into());
    assert_eq!(desk.says("search"), "daily_credit_quota_exceeded: 0+5 would exceed 1 credits/day");
    assert_eq!(desk.says("other"), "ok");
    assert_eq!(desk.says("other"), "rate_limited: 1 calls/min exceeded");
    assert_eq!(desk.says(&"x".repeat(257)), "invalid_tool_name: longer than 256 bytes");
}

#[test]
fn refused_calls_count_in_no_window() {
    let desk = Desk::new(|config| config.global_rate_limit = 4.0);
    desk.key(100, KeyOptions::default());
    let said = ["lim", "lim", "lim", "lim", "x", "x", "x", "lim"].map(|tool| desk.says(tool));
    let full = "tool_rate_limited: lim limited to 2 calls/min";
    let all = "rate_limited: 4 calls/min exceeded";
    assert_eq!(said, ["ok", "ok", full, full, "ok", "ok", all, all]);
    desk.clock.advance(Duration::from_secs(60));
    assert_eq!(desk.says("lim"), "ok");
}

#[test]
fn a_quota_starts_over_with_the_day() {
    let desk = Desk::new(|_| {});
    desk.key(100, daily(1.0, 0.0));
    assert_eq!(desk.says("x"), "ok");
    assert_eq!(desk.says("x"), "daily_call_quota_exceeded: 1/1 calls today");
    desk.clock.advance(Duration::from_secs(24 * 3600));
    assert_eq!(desk.says("x"), "ok");
}

#[test]
fn a_batch_is_one_deduction_and_one_tick_of_the_window() {
    let desk = Desk::new(|config| config.global_rate_limit = 2.0);
    desk.key(500, KeyOptions::default());
    for _ in 0..2 {
        assert_eq!(desk.batch(&["x"; 50]).0, "ok");
    }
    assert_eq!(desk.batch(&["x"; 50]), ("rate_limited: 2 calls/min exceeded".into(), 0, true));
    assert_eq!(desk.numbers(), (400, 100, 2, 100.0, 100.0));
}

#[test]
fn a_setting_makes_every_call_of_a_batch_count() {
    let desk = Desk::new(|config| {
        config.global_rate_limit = 5.0;
        config.batch_rate_per_call = true;
    });
    desk.key(100, KeyOptions::default());
    assert_eq!(desk.batch(&["x"; 3]).0, "ok");
    assert_eq!(desk.batch(&["x"; 3]).0, "rate_limited: 5 calls/min exceeded");
    assert_eq!(desk.batch(&["x"; 2]).0, "ok");
}

#[test]
fn a_batch_names_the_call_that_was_refused_and_charges_nothing() {
    let desk = Desk::new(|_| {});
    desk.key(
        50,
        KeyOptions { allowed_tools: ["a", "c", "lim"].into_iter().collect(), ..KeyOptions::default() },
    );
    assert_eq!(desk.batch(&["a", "b", "c"]), ("tool_not_allowed: b not in allowedTools".into(), 1, false));
    let full = "tool_rate_limited: lim limited to 2 calls/min";
    assert_eq!(desk.batch(&["lim", "a", "lim", "lim"]), (full.into(), 3, false));
    assert_eq!(desk.numbers(), (50, 0, 0, 0.0, 0.0));
    assert_eq!(desk.gate.meter().len(), 0, "a refused batch is not told of");
}

#[test]
fn a_batch_is_judged_by_its_total() {
    let desk = Desk::new(|_| {});
    let two = ["search", "translate"];
    let whole = |reason: &str| (reason.to_owned(), 0, true);
    desk.key(7, KeyOptions::default());
    assert_eq!(desk.batch(&two), whole("insufficient_credits: need 8, have 7"));
    desk.key(100, KeyOptions::default());
    desk.edit("spendingLimit", 7.into());
    assert_eq!(desk.batch(&two), whole("spending_limit_exceeded: limit 7, spent 0, need 8"));
    desk.key(100, daily(1.0, 0.0));
    assert_eq!(desk.batch(&two), whole("daily_call_quota_exceeded: 0+2 would exceed 1 calls/day"));
    desk.key(100, daily(0.0, 7.0));
    assert_eq!(desk.batch(&two), whole("daily_credit_quota_exceeded: 0+8 would exceed 7 credits/day"));
}

#[test]
fn the_same_situation_is_refused_for_other_reasons_alone_and_in_a_batch() {
    let desk = Desk::new(|config| config.global_rate_limit = 2.0);
    desk.key(50, KeyOptions::default());
    assert_eq!((desk.batch(&["lim"]).0, desk.batch(&["lim"]).0), ("ok".into(), "ok".into()));
    assert_eq!(desk.says("lim"), "rate_limited: 2 calls/min exceeded");
    assert_eq!(desk.batch(&["lim"]).0, "tool_rate_limited: lim limited to 2 calls/min");
}

#[test]
fn shadow_mode_notes_a_refusal_and_takes_nothing() {
    let desk = Desk::new(|config| config.shadow_mode = true);
    assert_eq!(desk.says("x"), "shadow:invalid_api_key");
    desk.key(3, KeyOptions::default());
    assert_eq!(desk.says("search"), "shadow:insufficient_credits", "sums are left out");
    assert_eq!(desk.numbers(), (3, 0, 0, 0.0, 0.0));
    assert_eq!(desk.gate.meter().summary(None, None).total_denied, 2);
}

#[test]
fn a_shadow_batch_charges_what_would_have_passed_and_can_be_paid() {
    let desk = Desk::new(|config| config.shadow_mode = true);
    let calls = [("search", Arguments::None), ("translate", Arguments::None)];
    desk.key(100, KeyOptions { allowed_tools: ["search"].into_iter().collect(), ..KeyOptions::default() });
    let decision = desk.gate.evaluate_batch(Some("pg_demo_0001"), &calls, None).unwrap();
    let charged: Vec<_> = decision.lines.iter().map(|line| line.charged.get()).collect();
    assert_eq!((decision.total.get(), charged), (5, vec![5, 0]));
    desk.key(7, KeyOptions::default());
    let decision = desk.gate.evaluate_batch(Some("pg_demo_0001"), &calls, None).unwrap();
    assert_eq!(
        (decision.total.get(), decision.remaining.get()),
        (0, 7),
        "what cannot be paid is not shown as paid"
    );
}

#[test]
fn arguments_are_paid_for_by_the_kilobyte() {
    let desk = Desk::new(|_| {});
    desk.key(50, KeyOptions::default());
    let long = format!(r#"{{"t":"{}"}}"#, "a".repeat(600));
    let calls = [("kb", Arguments::None), ("kb", Arguments::Json("{}")), ("kb", Arguments::Json(&long))];
    let decision = desk.gate.evaluate_batch(Some("pg_demo_0001"), &calls, None).unwrap();
    assert_eq!(decision.lines.iter().map(|line| line.charged.get()).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn a_team_is_asked_last_and_a_refund_comes_back_to_it() {
    let desk = Desk::new(|config| config.refunds.on_failure = true);
    desk.key(100, KeyOptions::default());
    let teams = &desk.gate.ledger().teams;
    let draft = TeamDraft { name: "team".into(), budget: 12.0, ..TeamDraft::default() };
    let team = teams.create(draft, &SeededEntropy::new(2), NOW);
    let id = team.lock().id.clone();
    teams.assign(&id, "pg_demo_0001").unwrap();
    let gate = Arc::new(desk.gate);
    let call =
        CallRequest { key: Some("pg_demo_0001"), tool: "search", arguments: Arguments::None, address: None };
    let charge = gate.charge(&call).unwrap().charge.unwrap();
    assert_eq!(gate.judge(&call), Ok(Judgement::Passes(credits(5))));
    assert!(gate.evaluate(&call).unwrap().allowed());
    assert_eq!(gate.evaluate(&call).unwrap().reason().as_deref(), Some("team_budget_exceeded"));
    charge.settle(paygate_core::ledger::Ending::TimedOut);
    assert_eq!(team.lock().total_spent, 5.0);
    assert!(gate.evaluate(&call).unwrap().allowed());
}
