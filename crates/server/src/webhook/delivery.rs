//! One batch of events on its way.

use paygate_core::clock::Timestamp;
use paygate_core::usage::UsageEvent;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Something to tell.
#[derive(Debug, Clone)]
pub enum WebhookEvent {
    /// A decision or a refund.
    Usage(UsageEvent),
    /// A decision or a refund that somebody else made, as JSON.
    UsageJson(Box<RawValue>),
    /// What an operator or the system did, as JSON.
    Admin(Box<RawValue>),
}

impl WebhookEvent {
    /// What an operator or the system did.
    pub(super) fn admin(kind: &str, actor: &str, metadata: &Map<String, Value>, at: Timestamp) -> Self {
        let event = AdminEvent { kind, timestamp: at, actor, metadata };
        Self::Admin(serde_json::value::to_raw_value(&event).expect("texts and JSON are JSON"))
    }

    fn is_admin(&self) -> bool {
        match self {
            Self::Usage(_) | Self::UsageJson(_) => false,
            Self::Admin(_) => true,
        }
    }
}

impl Serialize for WebhookEvent {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Usage(event) => usage_event(event, to),
            Self::UsageJson(json) | Self::Admin(json) => json.serialize(to),
        }
    }
}

fn usage_event<S: Serializer>(event: &UsageEvent, to: S) -> Result<S::Ok, S::Error> {
    let (reason, namespace) = (event.reason.as_deref(), event.namespace());
    let count = 6 + usize::from(reason.is_some()) + usize::from(namespace.is_some());
    let mut members = to.serialize_struct("UsageEvent", count)?;
    members.serialize_field("timestamp", &Text(event.at))?;
    members.serialize_field("apiKey", event.api_key())?;
    members.serialize_field("keyName", event.key_name())?;
    members.serialize_field("tool", &*event.tool)?;
    members.serialize_field("creditsCharged", &event.credits)?;
    members.serialize_field("allowed", &event.allowed)?;
    if let Some(reason) = reason {
        members.serialize_field("denyReason", reason)?;
    }
    if let Some(namespace) = namespace {
        members.serialize_field("namespace", namespace)?;
    }
    members.end()
}

#[derive(Serialize)]
struct AdminEvent<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(serialize_with = "as_text")]
    timestamp: Timestamp,
    actor: &'a str,
    metadata: &'a Map<String, Value>,
}

/// A time as text.
struct Text(Timestamp);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        as_text(&self.0, to)
    }
}

pub(super) fn as_text<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(at)
}

/// Events that are posted together, until a receiver has taken them.
#[derive(Debug)]
pub(super) struct Delivery {
    /// The same in every attempt.
    pub(super) id: Box<str>,
    pub(super) events: Vec<WebhookEvent>,
    /// The number of the next attempt, the first being 0.
    pub(super) attempt: u32,
    pub(super) first_attempt: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(serialize_with = "as_text")]
    sent_at: Timestamp,
    delivery_id: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<&'a WebhookEvent>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    admin_events: Vec<&'a WebhookEvent>,
}

impl Delivery {
    pub(super) fn new(id: Box<str>, events: Vec<WebhookEvent>, now: Timestamp) -> Self {
        Self { id, events, attempt: 0, first_attempt: now }
    }

    /// What an attempt at a time posts.
    pub(super) fn body(&self, sent_at: Timestamp) -> Vec<u8> {
        let (admin_events, events) = self.events.iter().partition(|event| event.is_admin());
        let body = Body { sent_at, delivery_id: &self.id, events, admin_events };
        serde_json::to_vec(&body).expect("events are JSON")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use paygate_core::key::record::Identity;
    use paygate_core::usage::Who;

    use super::*;

    fn usage(who: Who, reason: Option<&'static str>) -> WebhookEvent {
        WebhookEvent::Usage(UsageEvent {
            at: Timestamp(1_773_480_413_589),
            who,
            tool: "t\"".into(),
            credits: 1,
            allowed: reason.is_none(),
            reason: reason.map(Into::into),
        })
    }

    fn body(events: Vec<WebhookEvent>) -> String {
        let delivery = Delivery::new("dlv_1".into(), events, Timestamp(0));
        String::from_utf8(delivery.body(Timestamp(1))).unwrap()
    }

    #[test]
    fn usage_and_admin_events_are_told_apart_and_each_kind_stays_in_order() {
        let identity = Arc::new(Identity::new("pg_abcdefghij", "n1", "default"));
        let metadata = Map::from_iter([("a".to_owned(), 1.into())]);
        let admin = WebhookEvent::admin("key.created", "admin", &metadata, Timestamp(2));
        let own = RawValue::from_string(r#"{"own":1.0}"#.to_owned()).unwrap();
        let events = vec![
            usage(Who::Known(identity), None),
            admin,
            WebhookEvent::UsageJson(own),
            usage(Who::Nobody, Some("missing_api_key")),
        ];
        assert_eq!(
            body(events),
            concat!(
                r#"{"sentAt":"1970-01-01T00:00:00.001Z","deliveryId":"dlv_1","events":["#,
                r#"{"timestamp":"2026-03-14T09:26:53.589Z","apiKey":"pg_abcdefg","keyName":"n1","tool":"t\"","#,
                r#""creditsCharged":1,"allowed":true,"namespace":"default"},{"own":1.0},"#,
                r#"{"timestamp":"2026-03-14T09:26:53.589Z","apiKey":"none","keyName":"","tool":"t\"","#,
                r#""creditsCharged":1,"allowed":false,"denyReason":"missing_api_key"}],"#,
                r#""adminEvents":[{"type":"key.created","timestamp":"1970-01-01T00:00:00.002Z","#,
                r#""actor":"admin","metadata":{"a":1}}]}"#,
            )
        );
    }

    #[test]
    fn a_kind_that_did_not_happen_is_left_out() {
        assert!(!body(vec![usage(Who::Nobody, None)]).contains("adminEvents"));
        let admin = WebhookEvent::admin("key.revoked", "admin", &Map::new(), Timestamp(2));
        assert!(!body(vec![admin]).contains("\"events\""));
    }
}
