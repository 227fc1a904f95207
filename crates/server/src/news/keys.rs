//! What operators do with keys.

use paygate_core::credits::Credits;
use paygate_core::key::record::{Field, Record, truthy};
use paygate_core::text::number::json_to_text;
use paygate_core::usage::audit::{AuditEventType, mask_key};
use serde_json::{Map, Value};

use super::News;

/// Who makes, changes and revokes keys.
const ADMIN: &str = "admin";

/// The particulars of an event, in the order given.
fn particulars<const N: usize>(told: [(&str, Value); N]) -> Map<String, Value> {
    told.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

impl News {
    /// A key was made, under a name that is told as it was given. The log alone is told of its rights.
    pub(crate) fn key_created(&self, record: &Record, name: &str) {
        let field = |field: Field| (field.name(), record.value(field.name()).unwrap_or(Value::Null));
        let masked = ("keyMasked", mask_key(&record.key).into());
        let (name_told, credits) = (("name", name.into()), field(Field::Credits));
        let told = particulars([masked.clone(), name_told.clone(), credits.clone()]);
        let rights = [field(Field::AllowedTools), field(Field::DeniedTools), field(Field::ExpiresAt)];
        let mut logged = told.clone();
        logged.extend(particulars(rights));
        self.audit.log(AuditEventType::KeyCreated, ADMIN, format!("Key created: {name}"), &logged);
        if let Some(webhook) = &self.webhook {
            webhook.emit_admin(AuditEventType::KeyCreated.name(), ADMIN, &told);
        }
    }

    /// Credits were added to a key.
    pub(crate) fn key_topped_up(&self, key: &str, added: Credits, balance: Credits) {
        let told = particulars([
            ("keyMasked", mask_key(key).into()),
            ("creditsAdded", added.get().into()),
            ("newBalance", balance.get().into()),
        ]);
        self.log_and_tell(AuditEventType::KeyToppedUp, ADMIN, format!("Added {added} credits"), &told);
    }

    /// A key was revoked.
    pub(crate) fn key_revoked(&self, key: &str) {
        let told = particulars([("keyMasked", mask_key(key).into())]);
        self.log_and_tell(AuditEventType::KeyRevoked, ADMIN, "Key revoked".to_owned(), &told);
    }

    /// A key was replaced by another.
    pub(crate) fn key_rotated(&self, old: &str, new: &str) {
        let told =
            particulars([("oldKeyMasked", mask_key(old).into()), ("newKeyMasked", mask_key(new).into())]);
        self.log_and_tell(AuditEventType::KeyRotated, ADMIN, "Key rotated".to_owned(), &told);
    }

    /// A key may call other tools.
    pub(crate) fn key_acl_updated(&self, key: &str, allowed: Value, denied: Value) {
        let lists = [("allowedTools", allowed), ("deniedTools", denied)];
        self.log_change(AuditEventType::KeyAclUpdated, "ACL updated", key, lists);
    }

    /// A key ends at another time, or never.
    pub(crate) fn key_expiry_updated(&self, key: &str, expiry: Value) {
        let message = if truthy(&expiry) {
            format!("Key expiry set to {}", json_to_text(&expiry))
        } else {
            "Key expiry removed".to_owned()
        };
        self.log_change(AuditEventType::KeyExpiryUpdated, message, key, [("expiresAt", expiry)]);
    }

    /// A key has another quota.
    pub(crate) fn key_quota_updated(&self, key: &str, quota: Value) {
        self.log_change(AuditEventType::KeyQuotaUpdated, "Quota set", key, [("quota", quota)]);
    }

    /// A key has other labels.
    pub(crate) fn key_tags_updated(&self, key: &str, tags: Value) {
        self.log_change(AuditEventType::KeyTagsUpdated, "Tags updated", key, [("tags", tags)]);
    }

    /// A key may be used from other addresses.
    pub(crate) fn key_ip_updated(&self, key: &str, allowlist: Value) {
        let list = [("ipAllowlist", allowlist)];
        self.log_change(AuditEventType::KeyIpUpdated, "IP allowlist updated", key, list);
    }

    /// A key may spend more or less in its life; 0 is no limit.
    pub(crate) fn key_limit_updated(&self, key: &str, limit: Value) {
        let message = if truthy(&limit) {
            format!("Spending limit set to {}", json_to_text(&limit))
        } else {
            "Spending limit removed".to_owned()
        };
        self.log_change(AuditEventType::KeyLimitUpdated, message, key, [("spendingLimit", limit)]);
    }

    /// Logs a change of a key that no receiver is told of.
    fn log_change<const N: usize>(
        &self,
        kind: AuditEventType,
        message: impl Into<Box<str>>,
        key: &str,
        changed: [(&str, Value); N],
    ) {
        let mut told = particulars([("keyMasked", mask_key(key).into())]);
        told.extend(particulars(changed));
        self.audit.log(kind, ADMIN, message, &told);
    }
}
