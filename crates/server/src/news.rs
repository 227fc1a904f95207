//! Tell it: what happened, to the log, the counters, the rules for alerts and the receivers of webhooks.

mod alerts;
mod payments;
mod store;
mod teams;

mod keys;
mod oauth;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::RwLock;
use paygate_core::clock::Clock;
use paygate_core::gate::{DenyReason, Gate};
use paygate_core::key::record::{Field, Record, prefix, shown_prefix};
use paygate_core::text::trim::cut;
use paygate_core::usage::audit::{AuditEventType, AuditLimits, AuditLog, mask_key};
use paygate_core::usage::metrics::{MetricsCollector, OTHER, ToolCallOutcome};
use paygate_core::usage::{Alert, AlertEngine, AlertFacts, AlertRule};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::decided::Done;
use crate::session::{SessionId, Sessions};
use crate::webhook::WebhookEmitter;

/// Longest name of a tool in the log, in UTF-16 units; longer ones are refused anyway.
const TOOL_UNITS_MAX: usize = 256;
/// Longest text of a caller or a backend in the log, in UTF-16 units.
const TEXT_UNITS_MAX: usize = 1000;
/// Characters of a session's id in the log.
const SESSION_SHOWN: usize = 16;

/// What counts as the reason when a call that was let through failed behind the gate.
const BACKEND_ERROR: &str = "backend_error";
/// What counts as the reason for each call of a batch that was refused.
const BATCH_DENIED: &str = "batch_denied";

/// Who is told what happens. Callable from any thread.
#[derive(Clone)]
pub struct News {
    /// Who did what.
    pub audit: Arc<AuditLog>,
    /// How often.
    pub metrics: Arc<MetricsCollector>,
    /// What an operator wants to know at once. Other rules are another engine.
    pub alerts: Arc<RwLock<Arc<AlertEngine>>>,
    /// The receiver of events, if there is one.
    pub webhook: Option<Arc<WebhookEmitter>>,
    /// The names of all tools of the backend, as far as they are known.
    pub tools: Arc<RwLock<Vec<String>>>,
    /// The names of the tools that the backend listed last for a client.
    pub tools_listed: Arc<RwLock<Vec<String>>>,
    clock: Arc<dyn Clock>,
}

/// A call of a tool, or a batch, that has been answered with an error.
pub(crate) struct Failure<'a> {
    pub(crate) code: Option<i64>,
    /// What the caller was told.
    pub(crate) message: Cow<'a, str>,
    /// Why the gate refused, if it was the gate.
    pub(crate) reason: Option<&'a DenyReason>,
}

impl News {
    /// Tells a log and counters of its own. The counters show the gate's keys and teams, and sessions.
    pub fn new(
        gate: &Gate,
        sessions: &Arc<Sessions>,
        clock: &Arc<dyn Clock>,
        rules: Vec<AlertRule>,
        webhook: Option<Arc<WebhookEmitter>>,
    ) -> Self {
        let alerts = Arc::new(AlertEngine::new(rules, false, clock.clone()));
        let news = Self {
            audit: Arc::new(AuditLog::new(AuditLimits::default(), clock.clone())),
            metrics: Arc::new(MetricsCollector::new(clock.clone())),
            alerts: Arc::new(RwLock::new(alerts)),
            webhook,
            tools: Arc::default(),
            tools_listed: Arc::default(),
            clock: clock.clone(),
        };
        news.register_gauges(gate, sessions);
        news
    }

    fn register_gauges(&self, gate: &Gate, sessions: &Arc<Sessions>) {
        let gauge = |name, help, value: Box<dyn Fn() -> f64 + Send + Sync>| {
            self.metrics.register_supplied_gauge(name, help, move || Some(value()));
        };
        let (keys, balances, teams) = (gate.ledger().clone(), gate.ledger().clone(), gate.ledger().clone());
        let (sessions, alerts) = (sessions.clone(), self.alerts.clone());
        gauge(
            "paygate_active_keys_total",
            "Number of active (non-revoked) API keys",
            Box::new(move || count(keys.accounts.active_count())),
        );
        gauge(
            "paygate_active_sessions_total",
            "Number of active MCP sessions",
            Box::new(move || count(sessions.count())),
        );
        gauge(
            "paygate_total_credits_available",
            "Total credits across all active keys",
            Box::new(move || {
                let records = balances.accounts.all();
                let active = records.iter().map(|account| account.lock()).filter(|record| record.active);
                active.map(|record| record.credits.as_f64()).sum()
            }),
        );
        gauge(
            "paygate_pending_alerts_total",
            "Number of pending alerts",
            Box::new(move || count(alerts.read().pending_count())),
        );
        gauge(
            "paygate_active_teams_total",
            "Number of active teams",
            Box::new(move || count(teams.teams.all().iter().filter(|team| team.lock().active).count())),
        );
    }

    /// The backend listed these tools.
    pub(crate) fn tools_listed(&self, names: Vec<String>) {
        if *self.tools_listed.read() != names {
            *self.tools_listed.write() = names;
        }
    }

    /// The names of the tools that the backend has told so far.
    pub(crate) fn known_tools(&self) -> Vec<String> {
        let mut names = self.tools.read().clone();
        let known: HashSet<&str> = names.iter().map(String::as_str).collect();
        let listed = self.tools_listed.read().clone();
        let new: Vec<String> = listed.into_iter().filter(|name| !known.contains(name.as_str())).collect();
        names.extend(new);
        names
    }

    /// A session was made for the holder of a key.
    pub(crate) fn session_created(&self, key: Option<&str>, id: SessionId) {
        let metadata = json!({"sessionId": shown_session(id)});
        self.audit.log(AuditEventType::SessionCreated, &masked(key), "Session created", &metadata);
    }

    /// A client ended its session.
    pub(crate) fn session_destroyed(&self, id: SessionId) {
        let metadata = json!({"sessionId": shown_session(id)});
        self.audit.log(AuditEventType::SessionDestroyed, "client", "Session terminated", &metadata);
    }

    /// Somebody showed a wrong admin key.
    pub(crate) fn admin_auth_failed(&self, target: &str, method: &str) {
        let target = cut(target, TEXT_UNITS_MAX);
        let metadata = json!({"url": target, "method": method});
        let message = format!("Admin auth failed on {target}");
        self.audit.log(AuditEventType::AdminAuthFailed, "unknown", message, &metadata);
    }

    /// An admin threw away deliveries that were given up.
    pub(crate) fn dead_letters_cleared(&self, count: usize) {
        let message = format!("Cleared {count} dead letter entries");
        self.audit.log(
            AuditEventType::WebhookDeadLetterCleared,
            "admin",
            message,
            &json!({"cleared": count}),
        );
    }

    /// A key has passed its end.
    pub(crate) fn key_expired(&self, record: &Record) {
        let Some(webhook) = &self.webhook else { return };
        let metadata = [
            ("keyMasked", mask_key(&record.key).into()),
            ("name", record.value(Field::Name.name()).unwrap_or_default()),
            ("expiresAt", record.value(Field::ExpiresAt.name()).unwrap_or_default()),
        ];
        let metadata = metadata.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        webhook.emit_admin("key.expired", "system", &metadata);
    }

    /// Logs what somebody did and tells it to the receiver of webhooks under the same name.
    fn log_and_tell(
        &self,
        kind: AuditEventType,
        actor: &str,
        message: String,
        metadata: &Map<String, Value>,
    ) {
        self.audit.log(kind, actor, message, metadata);
        if let Some(webhook) = &self.webhook {
            webhook.emit_admin(kind.name(), actor, metadata);
        }
    }

    /// A call of a tool was answered with a result.
    pub(crate) fn tool_called(&self, gate: &Gate, key: Option<&str>, tool: &str, done: &Done) {
        #[derive(Serialize)]
        struct Particulars<'a> {
            tool: &'a str,
        }
        let label = self.label(gate, tool);
        self.count_settled(label, done, true);
        let tool = cut(tool, TOOL_UNITS_MAX);
        let message = format!("Allowed: {tool}");
        self.audit.log(AuditEventType::GateAllow, &masked(key), message, &Particulars { tool });
        self.check_alerts(gate, key, false);
    }

    /// A call of a tool was answered with an error; `done` when it had been let through.
    pub(crate) fn tool_call_failed(
        &self,
        gate: &Gate,
        key: Option<&str>,
        tool: &str,
        failure: &Failure<'_>,
        done: Option<&Done>,
    ) {
        let label = self.label(gate, tool);
        let limited = failure.reason.is_some_and(is_rate_limit);
        match done {
            Some(done) => self.count_settled(label, done, false),
            None => {
                let reason = failure.reason.map(DenyReason::event_text);
                self.metrics.record_tool_call(label, ToolCallOutcome::Denied { reason: reason.as_deref() });
            }
        }
        if limited {
            self.metrics.record_rate_limit_hit(label);
        }
        let tool = if tool.is_empty() { "unknown" } else { cut(tool, TOOL_UNITS_MAX) };
        let reason = cut(&failure.message, TEXT_UNITS_MAX);
        let metadata = json!({"tool": tool, "errorCode": failure.code, "reason": reason});
        self.audit.log(AuditEventType::GateDeny, &masked(key), format!("Denied: {tool}"), &metadata);
        self.check_alerts(gate, key, limited);
    }

    /// A batch was answered with a result.
    pub(crate) fn batch_called<'a>(
        &self,
        gate: &Gate,
        key: Option<&str>,
        calls: impl ExactSizeIterator<Item = (&'a str, &'a Done)>,
    ) {
        let (count, mut total) = (calls.len(), 0);
        for (tool, done) in calls {
            total += done.credits();
            self.count_settled(self.label(gate, tool), done, done.succeeded());
        }
        let message = format!("Batch allowed ({count} calls)");
        let metadata = json!({"callCount": count, "totalCredits": total});
        self.audit.log(AuditEventType::GateAllow, &masked(key), message, &metadata);
    }

    /// A batch was answered with an error.
    pub(crate) fn batch_failed<'a>(
        &self,
        gate: &Gate,
        key: Option<&str>,
        calls: impl ExactSizeIterator<Item = &'a str>,
        failure: &Failure<'_>,
    ) {
        let count = calls.len();
        let denied = ToolCallOutcome::Denied { reason: Some(BATCH_DENIED) };
        for tool in calls {
            self.metrics.record_tool_call(self.label(gate, tool), denied);
        }
        let message = format!("Batch denied ({count} calls)");
        let reason = cut(&failure.message, TEXT_UNITS_MAX);
        let metadata = json!({"callCount": count, "errorCode": failure.code, "reason": reason});
        self.audit.log(AuditEventType::GateDeny, &masked(key), message, &metadata);
    }

    /// Counts a call that was let through, and what it gave back.
    fn count_settled(&self, label: &str, done: &Done, succeeded: bool) {
        #[expect(clippy::cast_precision_loss, reason = "credits are below 2^53")]
        let credits = done.credits() as f64;
        self.metrics.record_tool_call(
            label,
            if succeeded {
                ToolCallOutcome::Allowed { credits }
            } else {
                ToolCallOutcome::Denied { reason: Some(BACKEND_ERROR) }
            },
        );
        if let Some(refunded) = done.refunded() {
            self.metrics.record_refund(label, refunded.as_f64());
        }
    }

    /// The name under which a tool is counted: names that callers make up share one.
    fn label<'a>(&self, gate: &Gate, tool: &'a str) -> &'a str {
        if gate.config().prices.terms(tool).is_some() {
            return tool;
        }
        let tools = self.tools.read();
        // Until the backend has told its tools, none is known to be made up; the counters have a bound of their own.
        let known = tools.is_empty() || tools.iter().any(|known| known == tool);
        if known { tool } else { OTHER }
    }

    /// Looks at the key of a call that has been answered.
    fn check_alerts(&self, gate: &Gate, key: Option<&str>, rate_limited: bool) {
        let engine = self.alerts.read().clone();
        if engine.rules().is_empty() {
            return;
        }
        let Some(account) = key.and_then(|key| gate.ledger().accounts.find(key)) else { return };
        let (alerts, shown_key) = {
            let record = account.lock();
            let now = self.clock.wall();
            if !record.usable(now) {
                return;
            }
            let key_prefix = alert_prefix(&record);
            if rate_limited {
                engine.record_rate_limit_denial(key_prefix);
            }
            let alerts = engine.check(&AlertFacts::of(&record, key_prefix, rate_limited, now));
            (alerts, shown_prefix(&record.key))
        };
        alerts.iter().for_each(|alert| self.send_alert(alert, &shown_key));
    }

    fn send_alert(&self, alert: &Alert, shown_key: &str) {
        let Some(webhook) = &self.webhook else { return };
        let Value::Object(mut told) = json!({
            "alertType": alert.kind.name(),
            "keyPrefix": shown_key,
            "keyName": alert.key_name,
            "message": alert.message(),
            "threshold": alert.threshold,
            "currentValue": alert.current_value,
        }) else {
            unreachable!("an object was written")
        };
        told.extend(alert.metadata());
        webhook.emit_admin("alert.fired", "system", &told);
    }
}

fn alert_prefix(record: &Record) -> &str {
    prefix(&record.key)
}

fn is_rate_limit(reason: &DenyReason) -> bool {
    matches!(reason, DenyReason::RateLimited(_) | DenyReason::ToolRateLimited(..))
}

fn masked(key: Option<&str>) -> String {
    mask_key(key.unwrap_or_default())
}

fn shown_session(id: SessionId) -> String {
    format!("{}...", &id.to_string()[..SESSION_SHOWN])
}

#[expect(clippy::cast_precision_loss, reason = "what is counted is far below 2^53")]
fn count(number: usize) -> f64 {
    number as f64
}
