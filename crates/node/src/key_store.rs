//! `KeyStore`: looking keys up, making and changing them, listing them.

use paygate_core::credits::{Credits, CreditsError};
use paygate_core::key::address::CompiledAllowlist;
use paygate_core::key::record::{Expiry, Field, Record};
use paygate_core::ledger::{KeyOptions, Written};
use paygate_core::text::clean::{key_name, name_list, namespace, tag_entries};
use paygate_core::text::number::js_number;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::books::Books;
use crate::call::{Call, Failure, Held, UNDEFINED, Value, slot};
use crate::live_record;

/// A key store as JavaScript holds it.
pub(crate) struct StoreHandle {
    pub(crate) books: Books,
}

/// The options of `createKey` and `importKey`, as the shell passes them: tags as pairs of texts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenOptions {
    #[serde(default)]
    allowed_tools: Json,
    #[serde(default)]
    denied_tools: Json,
    #[serde(default)]
    ip_allowlist: Json,
    tags: Vec<(String, String)>,
    /// Absent for never.
    expires_at: Option<Json>,
    namespace: Option<String>,
    /// Present when the caller gave one, be it null.
    #[serde(default, deserialize_with = "present")]
    quota: Option<Json>,
}

/// Tells a member that is null from one that is absent.
pub(crate) fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(from).map(Some)
}

impl GivenOptions {
    /// What can be set at once, and what is then written to the record as it was given.
    fn cleaned(self) -> (KeyOptions, Vec<(Field, Json)>) {
        let mut verbatim = Vec::new();
        let expiry = match self.expires_at {
            Some(Json::String(text)) => Expiry::new(&text),
            Some(other) => {
                verbatim.push((Field::ExpiresAt, other));
                Expiry::default()
            }
            None => Expiry::default(),
        };
        verbatim.extend(self.quota.map(|quota| (Field::Quota, quota)));
        let options = KeyOptions {
            allowed_tools: name_list(&self.allowed_tools).into_iter().collect(),
            denied_tools: name_list(&self.denied_tools).into_iter().collect(),
            expiry,
            quota: None,
            tags: tag_entries(self.tags),
            ip_allowlist: CompiledAllowlist::new(name_list(&self.ip_allowlist)),
            namespace: self.namespace.map(|name| namespace(&name).into()),
        };
        (options, verbatim)
    }
}

impl StoreHandle {
    fn opened(&self, call: &Call<'_>, written: Written<usize>, verbatim: Vec<(Field, Json)>) -> Value {
        let place = self.books.finish(written);
        for (field, value) in verbatim {
            let ledger = &self.books.ledger;
            ledger.edit(place, field.name(), Some(value)).expect("an end or a quota is no number of credits");
        }
        self.books.finish_edits();
        self.books.announce(call);
        call.place(Some(place))
    }
}

/// `storeNew(path?)`: a store in memory, or with a state file.
pub(crate) fn new(call: &Call<'_>) -> Value {
    match Books::open(call.text(0).map(Into::into)) {
        Ok(books) => {
            books.announce(call);
            call.hold(Held::Store(StoreHandle { books }.into()))
        }
        Err(error) => call.fail(Failure::Other, error),
    }
}

/// `storeNotices(store)`: pairs of whether it is good news, and a line to print.
pub(crate) fn notices(call: &Call<'_>) -> Value {
    call.json_text(&call.store().books.notices())
}

/// `storeClose(store)`: writes what is not yet written, at the end of the process.
pub(crate) fn close(call: &Call<'_>) -> Value {
    let books = &call.store().books;
    books.close();
    books.announce(call);
    UNDEFINED
}

/// `storeCreate(store, name, credits, options)`: the place of a new key.
pub(crate) fn create(call: &Call<'_>) -> Value {
    let store = call.store();
    let credits = match credits(call, 2) {
        Ok(credits) => credits,
        Err(error) => return no_credits(call, "initialCredits", call.number(2), error),
    };
    let (options, verbatim) = call.json::<GivenOptions>(3).expect("always given").cleaned();
    let written = store.books.ledger.create(key_name(&call.given(1)), credits, options);
    store.opened(call, written, verbatim)
}

/// `storeImport(store, key, name, credits, options)`: the place of the key.
pub(crate) fn import(call: &Call<'_>) -> Value {
    let store = call.store();
    let credits = match credits(call, 3) {
        Ok(credits) => credits,
        Err(error) => return no_credits(call, "credits", call.number(3), error),
    };
    let (options, verbatim) = call.json::<GivenOptions>(4).expect("always given").cleaned();
    let written = store.books.ledger.open(&call.given(1), key_name(&call.given(2)), credits, options);
    store.opened(call, written, verbatim)
}

fn credits(call: &Call<'_>, at: usize) -> Result<Credits, CreditsError> {
    Credits::floored(call.number(at))
}

/// `storeFind(store, key)`: the key's place or −1. `FIRST` is 1 when it may be used.
pub(crate) fn find(call: &Call<'_>) -> Value {
    let ledger = &call.store().books.ledger;
    let found = call.text(1).and_then(|key| ledger.accounts.find_full(&key));
    let usable = found.as_ref().is_some_and(|(_, account)| account.lock().usable(ledger.now()));
    call.set_flag(slot::FIRST, usable);
    call.place(found.map(|(place, _)| place))
}

/// `storeSize(store)`: how many keys there are.
pub(crate) fn size(call: &Call<'_>) -> Value {
    call.place(Some(call.store().books.ledger.accounts.len()))
}

/// `storeKeyAt(store, place)`: the key the record at a place is found by.
pub(crate) fn key_at(call: &Call<'_>) -> Value {
    let entries = call.store().books.ledger.accounts.at(call.index(1));
    call.optional(entries.map(|account| account.lock().key.clone()))
}

/// `storeExpired(store, key)`.
pub(crate) fn expired(call: &Call<'_>) -> Value {
    call.boolean(call.store().books.ledger.expired(&call.given(1)))
}

/// `storeHas(store, key, amount)`.
pub(crate) fn has_credits(call: &Call<'_>) -> Value {
    call.boolean(call.store().books.ledger.has_credits(&call.given(1), call.number(2)))
}

/// `storeDeduct(store, key, amount)`.
pub(crate) fn deduct(call: &Call<'_>) -> Value {
    let books = &call.store().books;
    match Credits::exact(call.number(2)) {
        Ok(amount) => done(call, books.ledger.deduct(&call.given(1), amount)),
        Err(error) => no_credits(call, "amount", call.number(2), error),
    }
}

/// `storeGrant(store, key, amount)`.
pub(crate) fn grant(call: &Call<'_>) -> Value {
    let books = &call.store().books;
    let granted = Credits::floored(call.number(2)).and_then(|amount| {
        if amount == Credits::ZERO { Ok(None) } else { books.ledger.grant(&call.given(1), amount) }
    });
    match granted {
        Ok(written) => done(call, written),
        Err(error) => no_credits(call, "amount", call.number(2), error),
    }
}

/// `storeTools(store, key, allowed?, denied?)`: lists as given, absent ones stay.
pub(crate) fn set_tools(call: &Call<'_>) -> Value {
    let [allowed, denied] = [2, 3].map(|at| call.json::<Json>(at).map(|list| name_list(&list)));
    let written = call.store().books.ledger.set_tools(
        &call.given(1),
        allowed.as_ref().map(|list| list.iter().map(|name| &**name)),
        denied.as_ref().map(|list| list.iter().map(|name| &**name)),
    );
    done(call, written)
}

/// `storeQuota(store, key, quota?)`: an object, or nothing to take it away.
pub(crate) fn set_quota(call: &Call<'_>) -> Value {
    done(call, call.store().books.ledger.set_quota(&call.given(1), call.json(2)))
}

/// `storeExpiry(store, key, value)`.
pub(crate) fn set_expiry(call: &Call<'_>) -> Value {
    let expiry = call.json(2).unwrap_or(Json::Null);
    done(call, call.store().books.ledger.set_expiry(&call.given(1), expiry))
}

/// `storeTags(store, key, pairs)`: texts to set, or null to delete.
pub(crate) fn set_tags(call: &Call<'_>) -> Value {
    let tags: Vec<(String, Option<String>)> = call.json(2).expect("always given");
    let tags = tags.iter().map(|(name, text)| (name.as_str(), text.as_deref()));
    done(call, call.store().books.ledger.set_tags(&call.given(1), tags))
}

/// `storeAddresses(store, key, list)`.
pub(crate) fn set_ip_allowlist(call: &Call<'_>) -> Value {
    let entries = call.json::<Json>(2).map(|list| name_list(&list)).unwrap_or_default();
    let entries = entries.iter().map(|entry| &**entry);
    done(call, call.store().books.ledger.set_ip_allowlist(&call.given(1), entries))
}

/// `storePermits(store, key, address)`.
pub(crate) fn check_ip(call: &Call<'_>) -> Value {
    call.boolean(call.store().books.ledger.address_permitted(&call.given(1), &call.given(2)))
}

/// `storeRevoke(store, key)`.
pub(crate) fn revoke(call: &Call<'_>) -> Value {
    done(call, call.store().books.ledger.revoke(&call.given(1)))
}

/// `storeRotate(store, key)`: the place of the new record, or −1.
pub(crate) fn rotate(call: &Call<'_>) -> Value {
    let books = &call.store().books;
    let place = books.ledger.rotate(&call.given(1)).map(|written| books.finish(written));
    books.announce(call);
    call.place(place)
}

/// What `storeList` picks: a tenant, and tags that must be equal, or absent.
#[derive(Default, Deserialize)]
struct Filter {
    namespace: Option<String>,
    #[serde(default)]
    tags: Vec<(String, Option<Json>)>,
}

impl Filter {
    fn picks(&self, record: &Record) -> bool {
        if self.namespace.as_ref().is_some_and(|wanted| **wanted != *record.identity.namespace) {
            return false;
        }
        if self.tags.is_empty() {
            return true;
        }
        let tags = record.value(Field::Tags.name()).unwrap_or(Json::Null);
        self.tags.iter().all(|(name, wanted)| tags.get(name) == wanted.as_ref())
    }
}

/// `storeList(store, filter)`: pairs of a place and a record as it is listed.
pub(crate) fn list(call: &Call<'_>) -> Value {
    let ledger = &call.store().books.ledger;
    let filter: Filter = call.json(1).expect("always given");
    let now = ledger.now();
    let accounts = ledger.accounts.all();
    let rows = accounts.iter().enumerate().filter_map(|(place, account)| {
        let record = account.lock();
        filter.picks(&record).then(|| (place, record.masked(now)))
    });
    call.json_text(&rows.collect::<Vec<(usize, Map<String, Json>)>>())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NamespaceRow {
    namespace: Box<str>,
    key_count: u64,
    active_keys: u64,
    total_credits: u64,
    total_spent: u64,
}

/// `storeNamespaces(store)`: totals by tenant.
pub(crate) fn namespaces(call: &Call<'_>) -> Value {
    let totals = call.store().books.ledger.accounts.namespaces();
    let rows = totals.into_iter().map(|totals| NamespaceRow {
        namespace: totals.namespace,
        key_count: totals.key_count,
        active_keys: totals.active_keys,
        total_credits: totals.total_credits,
        total_spent: totals.total_spent,
    });
    call.json_text(&rows.collect::<Vec<_>>())
}

/// `storeActive(store)`: how many keys are not revoked.
pub(crate) fn active_count(call: &Call<'_>) -> Value {
    call.place(Some(call.store().books.ledger.accounts.active_count()))
}

/// `storeSave(store)`: hands edits of live records over and writes what is not yet written.
pub(crate) fn save(call: &Call<'_>) -> Value {
    let books = &call.store().books;
    books.save();
    books.announce(call);
    UNDEFINED
}

/// `storeRecord(store, place)`: the names of a record's fields in order, and the values of those of a caller's own;
/// nothing when the record shows the known fields and no others.
pub(crate) fn record(call: &Call<'_>) -> Value {
    let Some(account) = call.store().books.ledger.accounts.at(call.index(1)) else { return UNDEFINED };
    let record = account.lock();
    let known = Field::ALL.map(|(_, name)| name);
    live_record::shape(call, &record.field_names(), &known, |name| record.value(name))
}

/// `storeRead(store, place, field)`: the value of one of the known fields, by its number.
pub(crate) fn read(call: &Call<'_>) -> Value {
    let Some(account) = call.store().books.ledger.accounts.at(call.index(1)) else { return UNDEFINED };
    let Some((field, name)) = Field::ALL.get(call.index(2)) else { return UNDEFINED };
    let record = account.lock();
    #[expect(clippy::cast_precision_loss, reason = "counts of calls are below 2^53")]
    let number = match field {
        Field::Credits => record.credits.as_f64(),
        Field::TotalSpent => record.spent.as_f64(),
        Field::TotalCalls => record.calls as f64,
        Field::SpendingLimit => record.spending_limit,
        Field::QuotaDailyCalls => record.counters.daily_calls,
        Field::QuotaMonthlyCalls => record.counters.monthly_calls,
        Field::QuotaDailyCredits => record.counters.daily_credits,
        Field::QuotaMonthlyCredits => record.counters.monthly_credits,
        _ => return live_record::value(call, record.value(name)),
    };
    call.double(number)
}

/// `storeWrite(store, place, name, value?)`: assigns a field of a record, or removes it.
pub(crate) fn write(call: &Call<'_>) -> Value {
    edit(call, call.json(3))
}

/// `storeWriteNumber(store, place, name, number)`: assigns a number.
pub(crate) fn write_number(call: &Call<'_>) -> Value {
    let number = call.number(3);
    if !number.is_finite() {
        return no_credits(call, &call.given(2), number, CreditsError::OutOfRange);
    }
    edit(call, Some(paygate_core::key::record::number_value(number)))
}

fn edit(call: &Call<'_>, value: Option<Json>) -> Value {
    let name = call.given(2);
    match call.store().books.ledger.edit(call.index(1), &name, value) {
        Ok(()) => UNDEFINED,
        Err(error) => no_credits(call, &name, call.number(3), error),
    }
}

/// The error for a number that is no number of credits: what it is called, what it must be, and what it is.
pub(crate) fn no_credits(call: &Call<'_>, name: &str, number: f64, error: CreditsError) -> Value {
    match error {
        CreditsError::OutOfRange | CreditsError::Fraction => {
            call.fail(Failure::Range, format_args!("{name} {error}, but is {}", js_number(number)))
        }
        CreditsError::SumTooLarge => call.fail(Failure::Range, format_args!("{name} is too large: {error}")),
    }
}

/// Finishes a change, and tells whether there was one.
fn done<T>(call: &Call<'_>, written: Option<Written<T>>) -> Value {
    let books = &call.store().books;
    let changed = written.map(|written| drop(books.finish(written))).is_some();
    books.announce(call);
    call.boolean(changed)
}
