//! One key's account, and the table of all accounts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use indexmap::IndexMap;
use parking_lot::{Mutex, MutexGuard, RwLock};
use serde::Serialize;

use crate::clock::Timestamp;
use crate::credits::Credits;
use crate::journal::AccountId;
use crate::key::address::CompiledAllowlist;
use crate::key::permitted_tools::ToolList;
use crate::key::record::{Expiry, Record, Tags};
use crate::limit::quota::Quota;
use crate::limit::rate_limiter::SharedWindows;

/// An account: a record under a lock of its own, and the windows of its key.
#[derive(Debug)]
pub struct Account {
    /// Its name in the journal.
    pub id: AccountId,
    /// Its place among all accounts, known from its first day on.
    place: AtomicUsize,
    record: Mutex<Record>,
    pub(crate) windows: SharedWindows,
}

impl Account {
    pub(crate) fn new(id: AccountId, record: Record, windows: SharedWindows) -> Self {
        Self { id, place: AtomicUsize::new(0), record: Mutex::new(record), windows }
    }

    /// Its place among all accounts.
    pub fn place(&self) -> usize {
        self.place.load(Ordering::Relaxed)
    }

    /// The record, locked. Hold it briefly: every decision on the key waits.
    pub fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock()
    }
}

/// What may be set when a key is made. Values are clean already.
#[derive(Debug, Clone, Default)]
pub struct KeyOptions {
    /// If not empty, only these tools.
    pub allowed_tools: ToolList,
    /// Never these tools.
    pub denied_tools: ToolList,
    /// When the key ends.
    pub expiry: Expiry,
    /// The key's own quota.
    pub quota: Option<Quota>,
    /// Labels.
    pub tags: Tags,
    /// Addresses the key may be used from.
    pub ip_allowlist: CompiledAllowlist,
    /// The tenant; `None` is `default`.
    pub namespace: Option<Box<str>>,
}

/// Sums over the keys of one tenant. As they are shown over HTTP and by the JavaScript API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceTotals {
    /// The tenant.
    pub namespace: Box<str>,
    /// All its keys.
    pub key_count: u64,
    /// Those not revoked.
    pub active_keys: u64,
    /// Balances of all its keys.
    pub total_credits: u64,
    /// What all its keys spent.
    pub total_spent: u64,
}

/// All accounts, in the order in which their keys came. No account ever leaves; a key that is imported again keeps
/// its place.
#[derive(Debug, Default)]
pub struct Accounts {
    table: RwLock<IndexMap<Arc<str>, Arc<Account>, foldhash::fast::RandomState>>,
}

impl Accounts {
    /// The account of a key.
    pub fn find(&self, key: &str) -> Option<Arc<Account>> {
        self.table.read().get(key).cloned()
    }

    /// The account of a key and its place.
    pub fn find_full(&self, key: &str) -> Option<(usize, Arc<Account>)> {
        self.table.read().get_full(key).map(|(place, _, account)| (place, account.clone()))
    }

    /// The account at a place.
    pub fn at(&self, place: usize) -> Option<Arc<Account>> {
        self.table.read().get_index(place).map(|(_, account)| account.clone())
    }

    /// The number of accounts.
    pub fn len(&self) -> usize {
        self.table.read().len()
    }

    /// Whether there is no account.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All accounts as they stand now, in order.
    pub fn all(&self) -> Vec<Arc<Account>> {
        self.table.read().values().cloned().collect()
    }

    /// All keys and accounts as they stand now, in order.
    pub fn entries(&self) -> Vec<(Arc<str>, Arc<Account>)> {
        self.table.read().iter().map(|(key, account)| (key.clone(), account.clone())).collect()
    }

    /// Puts an account under a key and returns its place.
    pub(crate) fn insert(&self, key: Arc<str>, account: Arc<Account>) -> usize {
        let mut table = self.table.write();
        let place = table.insert_full(key, account).0;
        table[place].place.store(place, Ordering::Relaxed);
        place
    }

    /// Follows rotations from a key to the account that has its credits at this moment, for reading. What changes
    /// credits looks again under the lock.
    pub fn current(&self, key: &str) -> Option<Arc<Account>> {
        let mut account = self.find(key)?;
        // A rotated key has one successor and each rotation makes a new key, so the walk ends.
        while let Some(successor) = { account.lock().successor.clone() } {
            account = self.find(&successor)?;
        }
        Some(account)
    }

    /// Keys that are not revoked, expired ones included.
    pub fn active_count(&self) -> usize {
        self.all().iter().filter(|account| account.lock().active).count()
    }

    /// Sums by tenant, in order of first appearance.
    pub fn namespaces(&self) -> Vec<NamespaceTotals> {
        let mut totals: IndexMap<Box<str>, NamespaceTotals> = IndexMap::new();
        for account in self.all() {
            let record = account.lock();
            let namespace = &record.identity.namespace;
            let sums = totals.entry(namespace.clone()).or_insert_with(|| NamespaceTotals {
                namespace: namespace.clone(),
                key_count: 0,
                active_keys: 0,
                total_credits: 0,
                total_spent: 0,
            });
            sums.key_count += 1;
            sums.active_keys += u64::from(record.active);
            sums.total_credits += record.credits.get();
            sums.total_spent += record.spent.get();
        }
        totals.into_values().collect()
    }

    /// The balance of a key that may be used now.
    pub fn usable_balance(&self, key: &str, now: Timestamp) -> Option<Credits> {
        let account = self.find(key)?;
        let record = account.lock();
        record.usable(now).then_some(record.credits)
    }
}
