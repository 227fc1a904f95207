//! What is written in the audit log, and which ring it is kept in.

use std::borrow::Cow;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::clock::Timestamp;

/// What the gate itself writes. Scripts may write events of any other type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the types' own")]
pub enum AuditEventType {
    KeyCreated,
    KeyRevoked,
    KeyRotated,
    KeyToppedUp,
    KeyAclUpdated,
    KeyExpiryUpdated,
    KeyQuotaUpdated,
    KeyTagsUpdated,
    KeyIpUpdated,
    KeyLimitUpdated,
    GateAllow,
    GateDeny,
    SessionCreated,
    SessionDestroyed,
    OauthClientRegistered,
    OauthTokenIssued,
    OauthTokenRevoked,
    TeamCreated,
    TeamUpdated,
    TeamDeleted,
    TeamKeyAssigned,
    TeamKeyRemoved,
    AdminAuthFailed,
    AdminAlertsConfigured,
    WebhookDeadLetterCleared,
    BillingRefund,
    BillingPaymentParked,
}

impl AuditEventType {
    /// The type as it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeyCreated => "key.created",
            Self::KeyRevoked => "key.revoked",
            Self::KeyRotated => "key.rotated",
            Self::KeyToppedUp => "key.topup",
            Self::KeyAclUpdated => "key.acl_updated",
            Self::KeyExpiryUpdated => "key.expiry_updated",
            Self::KeyQuotaUpdated => "key.quota_updated",
            Self::KeyTagsUpdated => "key.tags_updated",
            Self::KeyIpUpdated => "key.ip_updated",
            Self::KeyLimitUpdated => "key.limit_updated",
            Self::GateAllow => "gate.allow",
            Self::GateDeny => "gate.deny",
            Self::SessionCreated => "session.created",
            Self::SessionDestroyed => "session.destroyed",
            Self::OauthClientRegistered => "oauth.client_registered",
            Self::OauthTokenIssued => "oauth.token_issued",
            Self::OauthTokenRevoked => "oauth.token_revoked",
            Self::TeamCreated => "team.created",
            Self::TeamUpdated => "team.updated",
            Self::TeamDeleted => "team.deleted",
            Self::TeamKeyAssigned => "team.key_assigned",
            Self::TeamKeyRemoved => "team.key_removed",
            Self::AdminAuthFailed => "admin.auth_failed",
            Self::AdminAlertsConfigured => "admin.alerts_configured",
            Self::WebhookDeadLetterCleared => "webhook.dead_letter_cleared",
            Self::BillingRefund => "billing.refund",
            Self::BillingPaymentParked => "billing.payment_parked",
        }
    }
}

impl From<AuditEventType> for Cow<'static, str> {
    fn from(kind: AuditEventType) -> Self {
        Cow::Borrowed(kind.name())
    }
}

/// What sort of thing happened. What anybody can cause in any number must not push out what an admin did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Calls, sessions, and what clients of OAuth do.
    Traffic = 0,
    /// Wrong admin keys.
    AuthFailure = 1,
    /// Everything else.
    AdminAction = 2,
}

impl Sort {
    /// How many there are.
    pub const COUNT: usize = 3;

    /// The sort of a type.
    pub fn of(kind: &str) -> Self {
        if ["gate.", "session.", "oauth."].iter().any(|start| kind.starts_with(start)) {
            Self::Traffic
        } else if kind == AuditEventType::AdminAuthFailed.name() {
            Self::AuthFailure
        } else {
            Self::AdminAction
        }
    }
}

/// When an event happened, as it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When {
    /// The moment; `None` when a script has changed the text into what is no date.
    pub at: Option<Timestamp>,
    /// The text, where it is not that of the moment.
    text: Option<Box<str>>,
}

impl When {
    /// A moment.
    pub fn at(at: Timestamp) -> Self {
        Self { at: Some(at), text: None }
    }

    /// A text of a caller's own, and the moment it stands for.
    pub fn written(text: String, at: Option<Timestamp>) -> Self {
        Self { at, text: Some(text.into()) }
    }

    /// The text.
    pub fn text(&self) -> Cow<'_, str> {
        match &self.text {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned(self.at.unwrap_or_default().to_string()),
        }
    }
}

/// One event.
#[derive(Debug, Clone)]
pub struct AuditEvent {
    /// Its place, counted from 0 since the log was made and never used twice.
    pub number: u64,
    /// Its place as it is shown, counted from 1 since the log was cleared.
    pub id: u64,
    /// When.
    pub when: When,
    /// What happened.
    pub kind: Cow<'static, str>,
    /// Who did it: `admin`, a masked key, or what a script says.
    pub actor: Box<str>,
    /// What happened, for people.
    pub message: Box<str>,
    /// The particulars.
    pub metadata: Box<RawValue>,
}

/// As it is shown over HTTP and by the JavaScript API.
impl Serialize for AuditEvent {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { number: _, id, when, kind, actor, message, metadata } = self;
        let mut event = to.serialize_struct("AuditEvent", 6)?;
        event.serialize_field("id", id)?;
        event.serialize_field("timestamp", &when.text())?;
        event.serialize_field("type", kind)?;
        event.serialize_field("actor", actor)?;
        event.serialize_field("message", message)?;
        event.serialize_field("metadata", metadata)?;
        event.end()
    }
}

/// What a script has made of an event that it holds.
#[derive(Debug, Clone)]
pub struct AuditEdit {
    /// When it says it was.
    pub when: When,
    /// What it says happened.
    pub kind: String,
    /// Who it says did it.
    pub actor: String,
    /// What it says to people.
    pub message: String,
    /// The particulars; `None` leaves them.
    pub metadata: Option<Box<RawValue>>,
}
