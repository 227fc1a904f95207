//! `RedisSync`: what a store's keys are in Redis, and what comes back into the store. The shell talks to Redis, through
//! the client it was given.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use paygate_core::credits::Credits;
use paygate_core::entropy::{SystemEntropy, random_name};
use paygate_redis::replica::{Copied, Deduction, Known, Pulled, Replica};
use paygate_redis::{keyspace, script};
use serde_json::{Map, Value as Json, json};

use crate::call::{Call, Failure, UNDEFINED, Value};
use crate::key_store::{StoreHandle, no_credits};

/// A store's copy of keys in Redis, as JavaScript holds it.
struct SyncHandle {
    store: Arc<StoreHandle>,
    replica: Replica,
    on_their_way: Mutex<OnTheirWay>,
}

/// Deductions that Redis has been asked for, by the number that the shell has.
#[derive(Default)]
struct OnTheirWay {
    begun: u32,
    by_number: HashMap<u32, Deduction>,
}

/// What became of a change in the copy. The shell has the same list.
mod copied {
    pub(super) const MADE: usize = 0;
    pub(super) const UNKNOWN_KEY: usize = 1;
    pub(super) const STALE: usize = 2;
}

/// `syncNames()`: where everything lies in Redis, and the scripts.
pub(crate) fn names(call: &Call<'_>) -> Value {
    call.json_text(&json!({
        "keys": keyspace::KEYS,
        "usage": keyspace::USAGE,
        "usageMax": keyspace::USAGE_MAX,
        "events": keyspace::EVENTS,
        "record": keyspace::record_key(""),
        "rate": keyspace::rate_key(""),
        "sharedNumbers": keyspace::SHARED_NUMBERS,
        "deduct": script::DEDUCT,
        "topUp": script::TOP_UP,
        "rateCheck": script::RATE_CHECK,
        "save": script::SAVE,
    }))
}

/// `syncNew(store)`.
pub(crate) fn new(call: &Call<'_>) -> Value {
    let store = call.store().clone();
    let replica = Replica::new(store.books.ledger.clone());
    call.hold_any(SyncHandle { store, replica, on_their_way: Mutex::default() })
}

/// `syncInstance()`: a new name for a gate.
pub(crate) fn instance(call: &Call<'_>) -> Value {
    call.string(&random_name(&SystemEntropy, "", 8))
}

/// `syncEncode(record)`: fields and their texts, one after the other.
pub(crate) fn encode(call: &Call<'_>) -> Value {
    let record: Map<String, Json> = call.json(0).expect("always given");
    let texts = keyspace::encode(&record).into_iter().flat_map(|(name, text)| [name.to_owned(), text]);
    call.json_text(&texts.collect::<Vec<_>>())
}

/// `syncPull(sync, hash)`: the place of the record that is new or was replaced; −1 when the store has it already, −2
/// when it is no record; an error when it cannot be read.
pub(crate) fn pull(call: &Call<'_>) -> Value {
    let sync = call.the::<SyncHandle>();
    let hash: HashMap<String, String> = call.json(1).expect("always given");
    match sync.replica.pull(&hash) {
        Ok(Pulled::Replaced(written)) => {
            // A failure is told by the journal, which keeps the entry and tries again. The state file is not written
            // for what can be pulled again.
            let _ = sync.store.books.ledger.wait(written.ticket);
            call.place(Some(written.value))
        }
        Ok(Pulled::Same) => call.double(-1.0),
        Ok(Pulled::NoRecord) => call.double(-2.0),
        Err(error) => call.fail(Failure::Other, error),
    }
}

/// `syncNumbers(sync, key, hash, numbers)`: takes over the balance and the totals of a key, or those of a message.
pub(crate) fn pull_numbers(call: &Call<'_>) -> Value {
    let sync = call.the::<SyncHandle>();
    let hash: HashMap<String, String> = call.json(2).expect("always given");
    let message: [Option<f64>; 3] = call.json(3).expect("always given");
    let known = sync.replica.pull_numbers(&call.given(1), &hash, message);
    sync.store.books.finish_edits();
    call.boolean(known)
}

/// `syncAmount(number)`: checks an amount to deduct.
pub(crate) fn check_amount(call: &Call<'_>) -> Value {
    match Credits::exact(call.number(0)) {
        Ok(_) => UNDEFINED,
        Err(error) => no_credits(call, "amount", call.number(0), error),
    }
}

/// `syncFloor(number)`: an amount to add, as it counts.
pub(crate) fn floor_amount(call: &Call<'_>) -> Value {
    match Credits::floored(call.number(0)) {
        Ok(amount) => call.double(amount.as_f64()),
        Err(error) => no_credits(call, "amount", call.number(0), error),
    }
}

/// `syncBegin(sync, key, amount)`: the number of a deduction that is on its way to Redis.
pub(crate) fn begin(call: &Call<'_>) -> Value {
    let sync = call.the::<SyncHandle>();
    let deduction = sync.replica.begin(&call.given(1), amount(call, 2));
    let mut on_their_way = sync.on_their_way.lock();
    on_their_way.begun = on_their_way.begun.wrapping_add(1);
    let number = on_their_way.begun;
    on_their_way.by_number.insert(number, deduction);
    call.double(number.into())
}

/// `syncSettle(sync, number, alone)`: makes the deduction in the store; what became of it. `alone` is 1 when Redis has
/// not made it.
pub(crate) fn settle(call: &Call<'_>) -> Value {
    let sync = call.the::<SyncHandle>();
    let Some(deduction) = take(call, sync) else { return UNDEFINED };
    let settled = sync.replica.settle(deduction, known(call, 2));
    if let Copied::Made(Some(written)) = &settled {
        // A failure is told by the journal, which keeps the entry and tries again.
        let _ = sync.store.books.ledger.wait(written.ticket);
        sync.store.books.charged();
    }
    told(call, sync, &settled)
}

/// `syncAbandon(sync, number)`: forgets a deduction.
pub(crate) fn abandon(call: &Call<'_>) -> Value {
    let sync = call.the::<SyncHandle>();
    if let Some(deduction) = take(call, sync) {
        sync.replica.abandon(deduction);
    }
    UNDEFINED
}

fn take(call: &Call<'_>, sync: &SyncHandle) -> Option<Deduction> {
    let number = u32::try_from(call.index(1)).ok()?;
    sync.on_their_way.lock().by_number.remove(&number)
}

/// `syncTopUp(sync, key, amount, alone)`: adds credits in the store; what became of it. `alone` as above.
pub(crate) fn top_up(call: &Call<'_>) -> Value {
    let sync = call.the::<SyncHandle>();
    let added = match sync.replica.top_up(&call.given(1), amount(call, 2), known(call, 3)) {
        Copied::Made(Some(written)) => {
            sync.store.books.finish(written);
            Copied::Made(None)
        }
        other => other,
    };
    told(call, sync, &added)
}

fn known(call: &Call<'_>, at: usize) -> Known {
    if call.index(at) == 1 { Known::HereAlone } else { Known::ToRedis }
}

fn told(call: &Call<'_>, sync: &SyncHandle, copied: &Copied) -> Value {
    sync.store.books.announce(call);
    call.place(Some(match copied {
        Copied::Made(_) => copied::MADE,
        Copied::UnknownKey => copied::UNKNOWN_KEY,
        Copied::Stale => copied::STALE,
    }))
}

fn amount(call: &Call<'_>, at: usize) -> Credits {
    Credits::exact(call.number(at)).expect("the shell has had it checked")
}

/// `syncUnsaved(sync, key, record)`: what a save has to add to each shared number; nothing when the record is to be
/// written whole.
pub(crate) fn unsaved(call: &Call<'_>) -> Value {
    let record: Map<String, Json> = call.json(2).expect("always given");
    match call.the::<SyncHandle>().replica.unsaved(&call.given(1), &record) {
        Some(differences) => call.json_text(&differences.map(|difference| difference.to_string())),
        None => UNDEFINED,
    }
}

/// `syncNotSaved(sync, key, differences?)`: a save was not made.
pub(crate) fn not_saved(call: &Call<'_>) -> Value {
    let (sync, key) = (call.the::<SyncHandle>(), call.given(1));
    let differences: Option<[String; 3]> = call.json(2);
    match differences {
        Some(texts) => {
            let differences = texts.map(|text| text.parse().expect("as `syncUnsaved` gave it"));
            sync.replica.not_saved(&key, differences);
        }
        None => sync.replica.forget(&key),
    }
    UNDEFINED
}
