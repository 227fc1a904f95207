//! What reports and rules for alerts go on with when a server is started again over the same state file.

use std::sync::Arc;

use paygate_core::usage::audit::AuditLog;
use paygate_core::usage::{AlertRule, EventSink};
use paygate_store::{History, StateFile};
use serde_json::Value;

/// Who hears of usage events, so that they are there after a restart; nobody without a state file.
pub fn usage_sink(books: &StateFile) -> Option<Arc<dyn EventSink>> {
    books.history().map(History::usage_sink)
}

/// Makes a new log go on where the one of an earlier run ended.
pub fn resume_log(books: &StateFile, log: &AuditLog) {
    let resumed = books.history().map_or(Ok(()), |history| history.resume_log(log));
    if let Err(error) = resumed {
        tracing::error!(%error, "the audit log of earlier runs cannot be read; this run's is not kept");
    }
}

/// The rules that an operator gave while an earlier run was up, unless the configuration has changed its own since.
pub fn alert_rules(books: &StateFile, configured: Vec<AlertRule>) -> Vec<AlertRule> {
    let Some(history) = books.history() else { return configured };
    let kept = match history.alert_rules(&written(&configured)) {
        Ok(kept) => kept,
        Err(error) => {
            tracing::error!(%error, "the rules for alerts of earlier runs cannot be read");
            return configured;
        }
    };
    let given = kept.and_then(|kept| serde_json::from_str::<Vec<Value>>(&kept).ok());
    let rules = given.map(|given| given.into_iter().map(AlertRule::checked).collect::<Result<_, _>>());
    rules.and_then(Result::ok).unwrap_or(configured)
}

/// Rules as they are kept.
pub(crate) fn written(rules: &[AlertRule]) -> String {
    let given: Vec<&Value> = rules.iter().map(AlertRule::given).collect();
    serde_json::to_string(&given).expect("rules were read as JSON")
}
