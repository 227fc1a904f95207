//! What gates tell each other on the [channel](crate::keyspace::EVENTS): that something about a key has changed.
//!
//! A message is a hint to read the key again; the numbers in it are those of its sender's copy.

use serde::{Deserialize, Serialize};

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Rights, limits or labels.
    KeyUpdated,
    /// The key was revoked.
    KeyRevoked,
    /// The balance.
    CreditsChanged,
    /// The key is new.
    KeyCreated,
}

/// The numbers of the sender's copy; those that are absent did not change.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Numbers {
    /// The balance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credits: Option<f64>,
    /// Credits spent in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_spent: Option<f64>,
    /// Deductions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_calls: Option<f64>,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// What has changed.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Of which key.
    pub key: String,
    /// The balance and totals, where these have changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Numbers>,
    /// Who says so: the name of a gate, by which it knows its own messages.
    pub instance_id: String,
}

impl Message {
    /// Reads what came over the channel. `None` for what no gate sends.
    ///
    /// # Examples
    /// ```
    /// # use paygate_redis::message::{Kind, Message};
    /// let text = r#"{"type":"key_revoked","key":"pg_demo","instanceId":"028e18268f400770"}"#;
    /// let message = Message::read(text).unwrap();
    /// assert_eq!((message.kind, &*message.key), (Kind::KeyRevoked, "pg_demo"));
    /// assert_eq!(message.to_string(), text);
    /// ```
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// The message as it is published.
impl std::fmt::Display for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| std::fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_along_where_they_changed() {
        let data = Numbers { credits: Some(13.0), ..Numbers::default() };
        let message = Message {
            kind: Kind::CreditsChanged,
            key: "pg_demo".into(),
            data: Some(data),
            instance_id: "1aec38fb29dfeff7".into(),
        };
        assert_eq!(Message::read(&message.to_string()), Some(message));
    }

    #[test]
    fn what_no_gate_sends_is_no_message() {
        for text in ["", "null", "[]", r#"{"type":"other","key":"k","instanceId":"i"}"#] {
            assert_eq!(Message::read(text), None, "{text}");
        }
    }
}
