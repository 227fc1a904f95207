//! What becomes of payments. 2.9.0 said nothing of them; receivers of webhooks still hear nothing.

use paygate_core::credits::Credits;
use paygate_core::usage::audit::{AuditEventType, mask_key};
use serde_json::json;

use super::News;

impl News {
    /// Credits that were paid for were granted: by Stripe's word, or by an admin's who named another key.
    pub(crate) fn payment_granted(
        &self,
        actor: &str,
        event_id: Option<&str>,
        key: &str,
        credits: Credits,
        balance: Credits,
    ) {
        let metadata = json!({
            "keyMasked": mask_key(key),
            "creditsAdded": credits.get(),
            "newBalance": balance.get(),
            "eventId": event_id,
        });
        self.audit.log(AuditEventType::KeyToppedUp, actor, format!("Added {credits} credits"), &metadata);
    }

    /// A payment waits for its key.
    pub(crate) fn payment_parked(&self, event_id: Option<&str>, key: &str, credits: Credits) {
        let metadata = json!({"keyMasked": mask_key(key), "credits": credits.get(), "eventId": event_id});
        let message = format!("Payment for {credits} credits waits for its key");
        self.audit.log(AuditEventType::BillingPaymentParked, "stripe", message, &metadata);
    }
}
