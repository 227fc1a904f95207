//! What an operator asks of keys: rights, limits, labels, ends, lists. Values come in as they were given and are
//! cleaned here, once, for every face of the program.

use serde_json::{Map, Value};

use super::ledger::{Ledger, Written};
use crate::clock::Timestamp;
use crate::key::address::CompiledAllowlist;
use crate::key::record::{Field, Record, Tags};
use crate::text::clean::{names, sort_properties, tag_text};

/// Most labels a key may have.
const TAGS_MAX: usize = 50;

impl Ledger {
    /// Whether a key is known and has passed its end, revoked or not.
    pub fn expired(&self, key: &str) -> bool {
        self.accounts.find(key).is_some_and(|account| account.lock().expired(self.now()))
    }

    /// Whether a key may be used and its balance is at least so much. NaN is never covered.
    pub fn has_credits(&self, key: &str, amount: f64) -> bool {
        self.accounts.usable_balance(key, self.now()).is_some_and(|credits| credits.as_f64() >= amount)
    }

    /// Whether a key may be used from an address. An empty allowlist permits all.
    pub fn address_permitted(&self, key: &str, address: &str) -> bool {
        self.accounts.find(key).is_some_and(|account| {
            let record = account.lock();
            record.usable(self.now())
                && (record.ip_allowlist.is_empty() || record.ip_allowlist.permits(address))
        })
    }

    /// Replaces the lists of tools of a key that may be used; a list that is `None` stays.
    pub fn set_tools<'a>(
        &self,
        key: &str,
        allowed: Option<impl IntoIterator<Item = &'a str>>,
        denied: Option<impl IntoIterator<Item = &'a str>>,
    ) -> Option<Written<()>> {
        self.describe_usable(key, |record| {
            if let Some(allowed) = allowed {
                record.allowed_tools = names(allowed).into_iter().collect();
                record.forget_odd(Field::AllowedTools);
            }
            if let Some(denied) = denied {
                record.denied_tools = names(denied).into_iter().collect();
                record.forget_odd(Field::DeniedTools);
            }
        })
    }

    /// Gives a key that may be used a quota as an object, or takes it away.
    pub fn set_quota(&self, key: &str, quota: Option<Value>) -> Option<Written<()>> {
        self.describe_usable(key, |record| match quota {
            Some(quota) => record.set_quota(quota),
            None => record.clear_quota(),
        })
    }

    /// Sets the end of a known key, revoked and expired ones included. The value is kept as it is given.
    pub fn set_expiry(&self, key: &str, expiry: Value) -> Option<Written<()>> {
        self.describe(key, |record, _| {
            record.set(Field::ExpiresAt.name(), Some(expiry)).expect("an end is no number of credits");
            Some(())
        })
    }

    /// Merges labels into those of a key that may be used: text sets, `None` deletes, in the order given. Names and
    /// texts are cleaned. Beyond fifty a new label is skipped.
    pub fn set_tags<'a>(
        &self,
        key: &str,
        tags: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Option<Written<()>> {
        self.describe_usable(key, |record| {
            for (name, text) in tags {
                merge_tag(&mut record.tags, tag_text(name), text.map(tag_text));
            }
            sort_properties(&mut record.tags);
            record.forget_odd(Field::Tags);
        })
    }

    /// Replaces the addresses that a key that may be used may be used from.
    pub fn set_ip_allowlist<'a>(
        &self,
        key: &str,
        entries: impl IntoIterator<Item = &'a str>,
    ) -> Option<Written<()>> {
        self.describe_usable(key, |record| {
            record.ip_allowlist = CompiledAllowlist::new(names(entries));
            record.forget_odd(Field::IpAllowlist);
        })
    }

    /// Revokes a known key; again is fine.
    pub fn revoke(&self, key: &str) -> Option<Written<()>> {
        self.describe(key, |record, _| {
            record.active = false;
            record.forget_odd(Field::Active);
            Some(())
        })
    }

    /// Records as they are listed, without their keys: all, or those that a condition picks.
    pub fn list(&self, picked: impl Fn(&Record) -> bool) -> Vec<Map<String, Value>> {
        let now = self.now();
        let accounts = self.accounts.all();
        let records = accounts.iter().map(|account| account.lock());
        records.filter(|record| picked(record)).map(|record| record.masked(now)).collect()
    }

    /// Reads something of a known key's record.
    pub fn read<T>(&self, key: &str, read: impl FnOnce(&Record) -> T) -> Option<T> {
        let account = self.accounts.find(key)?;
        let record = account.lock();
        Some(read(&record))
    }

    fn describe_usable(&self, key: &str, change: impl FnOnce(&mut Record)) -> Option<Written<()>> {
        self.describe(key, |record, now| record.usable(now).then(|| change(record)))
    }
}

fn merge_tag(tags: &mut Tags, name: &str, text: Option<&str>) {
    if name.is_empty() {
        return;
    }
    match text {
        None => drop(tags.shift_remove(name)),
        Some(text) if tags.len() < TAGS_MAX || tags.contains_key(name) => {
            drop(tags.insert(name.into(), text.into()));
        }
        Some(_) => {}
    }
}

impl Record {
    /// The record as it is listed: without the key, with its first ten characters and whether it has expired.
    pub fn masked(&self, now: Timestamp) -> Map<String, Value> {
        let mut object = self.to_object();
        object.shift_remove(Field::Key.name());
        object.insert("keyPrefix".into(), format!("{}...", self.identity.prefix).into());
        object.insert("expired".into(), self.expired(now).into());
        object
    }

    fn set_quota(&mut self, quota: Value) {
        self.set(Field::Quota.name(), Some(quota)).expect("a quota is no number of credits");
    }

    fn clear_quota(&mut self) {
        self.quota = None;
        self.forget_odd(Field::Quota);
    }
}
