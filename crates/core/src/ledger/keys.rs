//! What an operator asks of keys: rights, limits, labels, ends, lists. Values come in as they were given and are
//! cleaned here, once, for every face of the program.

use serde_json::{Map, Value};

use super::ledger::{Ledger, Written};
use crate::clock::Timestamp;
use crate::key::address::CompiledAllowlist;
use crate::key::permitted_tools::ToolList;
use crate::key::record::{Field, Record, Tags};
use crate::text::clean::{names, sort_properties, tag_text};

/// Most labels a key may have.
const TAGS_MAX: usize = 50;

/// Which tools a key may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolRights {
    /// If not empty, only these tools.
    pub allowed: ToolList,
    /// Never these tools.
    pub denied: ToolList,
}

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

    /// Replaces the lists of tools of a key that may be used; a list that is `None` stays. Gives both as they are then.
    pub fn set_tools<'a>(
        &self,
        key: &str,
        allowed: Option<impl IntoIterator<Item = &'a str>>,
        denied: Option<impl IntoIterator<Item = &'a str>>,
    ) -> Option<Written<ToolRights>> {
        self.describe_usable(key, |record| {
            if let Some(allowed) = allowed {
                record.allowed_tools = names(allowed).into_iter().collect();
                record.forget_odd(Field::AllowedTools);
            }
            if let Some(denied) = denied {
                record.denied_tools = names(denied).into_iter().collect();
                record.forget_odd(Field::DeniedTools);
            }
            ToolRights { allowed: record.allowed_tools.clone(), denied: record.denied_tools.clone() }
        })
    }

    /// Gives a key that may be used a quota as an object, or takes it away.
    pub fn set_quota(&self, key: &str, quota: Option<Value>) -> Option<Written<()>> {
        self.describe_usable(key, |record| match quota {
            Some(quota) => record.set_quota(quota),
            None => record.clear_quota(),
        })
    }

    /// Sets what a key that may be used can spend in its life, in whole credits; 0 is no limit.
    pub fn set_spending_limit(&self, key: &str, credits: f64) -> Option<Written<()>> {
        self.describe_usable(key, |record| {
            record.spending_limit = credits;
            record.forget_odd(Field::SpendingLimit);
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
    /// texts are cleaned. Beyond fifty a new label is skipped. Gives the labels as they are then.
    pub fn set_tags<'a>(
        &self,
        key: &str,
        tags: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Option<Written<Tags>> {
        self.describe_usable(key, |record| {
            for (name, text) in tags {
                merge_tag(&mut record.tags, tag_text(name), text.map(tag_text));
            }
            sort_properties(&mut record.tags);
            record.forget_odd(Field::Tags);
            record.tags.clone()
        })
    }

    /// Replaces the addresses that a key that may be used may be used from. Gives them as they are then.
    pub fn set_ip_allowlist<'a>(
        &self,
        key: &str,
        entries: impl IntoIterator<Item = &'a str>,
    ) -> Option<Written<CompiledAllowlist>> {
        self.describe_usable(key, |record| {
            record.ip_allowlist = CompiledAllowlist::new(names(entries));
            record.forget_odd(Field::IpAllowlist);
            record.ip_allowlist.clone()
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

    fn describe_usable<T>(&self, key: &str, change: impl FnOnce(&mut Record) -> T) -> Option<Written<T>> {
        self.describe(key, |record, now| record.usable(now).then(|| change(record)))
    }
}

fn merge_tag(tags: &mut Tags, name: &str, text: Option<&str>) {
    // JavaScript objects cannot be given a `__proto__` this way.
    if name.is_empty() || name == "__proto__" {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::credits::Credits;
    use crate::entropy::SeededEntropy;
    use crate::journal::MemoryJournal;
    use crate::key::record::Expiry;
    use crate::ledger::{KeyOptions, LedgerParts};

    fn ledger() -> Ledger {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
        let journal = Arc::new(MemoryJournal::default());
        Ledger::new(LedgerParts { clock, entropy: Arc::new(SeededEntropy::new(7)), journal })
    }

    fn opened(ledger: &Ledger, key: &str, expiry: Expiry) {
        let _ = ledger.open(key, "n", Credits::ZERO, KeyOptions { expiry, ..KeyOptions::default() });
    }

    #[test]
    fn a_change_gives_what_the_key_has_then() {
        let ledger = ledger();
        opened(&ledger, "k", Expiry::default());
        let rights = ledger.set_tools("k", Some([" a ", ""]), None::<[&str; 0]>).unwrap().value;
        assert_eq!((rights.allowed.names().join(","), rights.denied.is_empty()), ("a".to_owned(), true));
        let rights = ledger.set_tools("k", None::<[&str; 0]>, Some(["b"])).unwrap().value;
        assert_eq!((rights.allowed.names().len(), rights.denied.names().join(",")), (1, "b".to_owned()));
        let allowlist = ledger.set_ip_allowlist("k", ["::1", " "]).unwrap().value;
        assert_eq!(allowlist.entries().join(","), "::1");
        let tags = ledger.set_tags("k", [("b", Some("1")), ("2", Some("x")), ("__proto__", Some("p"))]);
        assert!(
            tags.unwrap().value.iter().map(|(name, text)| (&**name, &**text)).eq([("2", "x"), ("b", "1")])
        );
        assert!(ledger.set_spending_limit("k", 5.0).is_some());
        assert_eq!(ledger.read("k", |record| record.spending_limit), Some(5.0));
    }

    #[test]
    fn a_limit_replaces_what_a_script_wrote_in_its_place() {
        let ledger = ledger();
        opened(&ledger, "k", Expiry::default());
        ledger.edit(0, "spendingLimit", Some("7".into())).unwrap();
        assert!(ledger.set_spending_limit("k", 0.0).is_some());
        assert_eq!(ledger.read("k", |record| record.value("spendingLimit")), Some(Some(0.into())));
    }

    #[test]
    fn only_a_key_that_may_be_used_is_changed() {
        let ledger = ledger();
        opened(&ledger, "expired", Expiry::new("1969-01-01T00:00:00Z"));
        opened(&ledger, "revoked", Expiry::default());
        let _ = ledger.revoke("revoked").unwrap();
        for key in ["expired", "revoked", "nobody"] {
            assert!(ledger.set_spending_limit(key, 5.0).is_none(), "{key}");
            assert!(ledger.set_tags(key, [("a", Some("b"))]).is_none(), "{key}");
            assert!(ledger.set_ip_allowlist(key, ["::1"]).is_none(), "{key}");
        }
        assert!(ledger.set_expiry("expired", Value::Null).is_some());
        assert!(ledger.set_spending_limit("expired", 5.0).is_some());
    }
}
