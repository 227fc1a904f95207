//! The rules for alerts.

use std::sync::Arc;

use paygate_core::usage::audit::AuditEventType;
use paygate_core::usage::{AlertEngine, AlertRule};
use serde_json::{Value, json};

use super::News;

impl News {
    /// Goes by other rules from now on. Alerts that wait, cooldowns and counts of refusals are those of the old ones.
    pub(crate) fn configure_alerts(&self, rules: Vec<AlertRule>) {
        *self.alerts.write() = Arc::new(AlertEngine::new(rules, false, self.clock.clone()));
    }

    /// An admin gave other rules.
    pub(crate) fn alerts_configured(&self, given: &[Value]) {
        let metadata = json!({"ruleCount": given.len(), "rules": given});
        let message = format!("Alert rules updated ({} rules)", given.len());
        self.audit.log(AuditEventType::AdminAlertsConfigured, "admin", message, &metadata);
    }
}
