//! One decision or refund, as it is told.

use std::borrow::Cow;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::key::record::{Identity, prefix};

/// Who an event is about.
#[derive(Debug, Clone)]
pub enum Who {
    /// No key was given.
    Nobody,
    /// A key that may not be used: its first ten characters.
    Unknown(Box<str>),
    /// A known key.
    Known(Arc<Identity>),
}

/// One decision or refund.
#[derive(Debug, Clone)]
pub struct UsageEvent {
    /// When it was recorded.
    pub at: Timestamp,
    /// Whose call.
    pub who: Who,
    /// Which tool.
    pub tool: Arc<str>,
    /// Credits taken; negative when given back.
    pub credits: i64,
    /// Whether the call was let through.
    pub allowed: bool,
    /// Why not, or `refund`.
    pub reason: Option<Cow<'static, str>>,
}

/// An event before anybody has heard of it: what it is about is only lent.
#[derive(Debug, Clone)]
pub(crate) struct Telling<'a> {
    pub(crate) at: Timestamp,
    pub(crate) who: Subject<'a>,
    pub(crate) tool: Arc<str>,
    pub(crate) credits: i64,
    pub(crate) allowed: bool,
    pub(crate) reason: Option<Cow<'static, str>>,
}

/// Who an event that is being told is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subject<'a> {
    /// No key was given.
    Nobody,
    /// A key that may not be used.
    Unknown(&'a str),
    /// A known key, with the place of its account.
    Known(usize, &'a Arc<Identity>),
}

impl Telling<'_> {
    /// The event as others keep it.
    pub(crate) fn to_event(&self) -> UsageEvent {
        UsageEvent {
            at: self.at,
            who: match self.who {
                Subject::Nobody => Who::Nobody,
                Subject::Unknown(key) => Who::Unknown(prefix(key).into()),
                Subject::Known(_, identity) => Who::Known(identity.clone()),
            },
            tool: self.tool.clone(),
            credits: self.credits,
            allowed: self.allowed,
            reason: self.reason.clone(),
        }
    }
}

/// An event that somebody else made, told as it was given.
#[derive(Debug, Clone, Default)]
pub struct ForeignEvent {
    /// When, as text.
    pub timestamp: Box<str>,
    /// The key, or a part of it.
    pub api_key: Box<str>,
    /// The key's name.
    pub key_name: Box<str>,
    /// Which tool.
    pub tool: Box<str>,
    /// Credits, as given.
    pub credits: f64,
    /// Whether the call was let through.
    pub allowed: bool,
    /// Why not.
    pub reason: Option<Box<str>>,
    /// The tenant.
    pub namespace: Option<Box<str>>,
}

impl UsageEvent {
    /// What stands for the key: ten characters of it at most, or `none`.
    pub fn api_key(&self) -> &str {
        match &self.who {
            Who::Nobody => "none",
            Who::Unknown(prefix) => prefix,
            Who::Known(identity) => &identity.prefix,
        }
    }

    /// The key's name, `unknown`, or nothing.
    pub fn key_name(&self) -> &str {
        match &self.who {
            Who::Nobody => "",
            Who::Unknown(_) => "unknown",
            Who::Known(identity) => &identity.name,
        }
    }

    /// The key's tenant, if the key is known.
    pub fn namespace(&self) -> Option<&str> {
        match &self.who {
            Who::Known(identity) => Some(&identity.namespace),
            Who::Nobody | Who::Unknown(_) => None,
        }
    }
}

/// Hears of events after they happened. Never answers.
pub trait EventSink: Send + Sync + 'static {
    /// Takes one event. Must be quick: the caller of a decision waits.
    fn publish(&self, event: &UsageEvent);
}
