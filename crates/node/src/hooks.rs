//! The hooks of a gate whose server runs in the same process: functions of the script that take part in decisions made
//! on other threads.
//!
//! The script's thread is asked over the channel and answers when it comes to it; meanwhile no lock is held and no
//! thread waits. Decisions that the script makes itself run their hooks in the shell and do not come here.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread::{self, ThreadId};
use std::time::Duration;

use parking_lot::Mutex;
use paygate_core::credits::Credits;
use paygate_core::usage::{EventSink, UsageEvent};
use paygate_server::{CallHooks, Running};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::call::{Call, UNDEFINED, Value};
use crate::channel::Teller;
use crate::usage_meter::event_row;

/// How long the script may take to answer. A call is refused after that.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// Refuses a call whose hook threw.
const FAILED: &str = "team_check_failed";
/// Refuses a call whose hook did not answer in time.
const TIMED_OUT: &str = "team_check_timed_out";

/// Which hooks are set; the shell has the same list.
mod set {
    pub(super) const TEAM_CHECKER: u8 = 1;
    pub(super) const ON_USAGE_EVENT: u8 = 8;
}

/// What the shell is told; it has the same list.
mod told {
    pub(super) const ASKED: u8 = 0;
    pub(super) const HAPPENED: u8 = 1;
}

/// The hooks of one gate.
#[derive(Default)]
pub(crate) struct Hooks {
    set: AtomicU8,
    teller: Mutex<Option<Teller>>,
    asked: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
    /// Events of decisions that are just being made, by the thread that makes them.
    happened: Mutex<Vec<(ThreadId, UsageEvent)>>,
}

enum Answer {
    Yes,
    No(Option<String>),
    Failed,
}

impl Hooks {
    fn is_set(&self, hooks: u8) -> bool {
        self.set.load(Ordering::Acquire) & hooks != 0
    }

    /// Tells the script something that it will answer. `None` when nobody is there to hear it.
    fn ask(&self, kind: u8, mut content: serde_json::Value) -> Option<oneshot::Receiver<Answer>> {
        let teller = self.teller.lock().clone()?;
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        content["number"] = number.into();
        let (answers, answer) = oneshot::channel();
        self.waiting.lock().insert(number, answers);
        if teller.tell(kind, &content.to_string()) {
            return Some(answer);
        }
        self.waiting.lock().remove(&number);
        None
    }

    /// Waits for an answer; `None` when there is none in time.
    async fn answer(asked: Option<oneshot::Receiver<Answer>>) -> Option<Answer> {
        timeout(ANSWER_TIME_MAX, asked?).await.ok()?.ok()
    }

    /// The events of decisions that this thread has just made.
    fn take_events(&self) -> Vec<UsageEvent> {
        let here = thread::current().id();
        let mut happened = self.happened.lock();
        if happened.iter().all(|(thread, _)| *thread == here) {
            return happened.drain(..).map(|(_, event)| event).collect();
        }
        let (own, others) = happened.drain(..).partition(|(thread, _)| *thread == here);
        *happened = others;
        own.into_iter().map(|(_, event): (ThreadId, _)| event).collect()
    }
}

impl EventSink for Hooks {
    fn publish(&self, event: &UsageEvent) {
        if self.is_set(set::ON_USAGE_EVENT) {
            self.happened.lock().push((thread::current().id(), event.clone()));
        }
    }
}

impl CallHooks for Hooks {
    fn asks(&self) -> bool {
        self.is_set(set::TEAM_CHECKER)
    }

    fn allows<'a>(&'a self, key: &'a str, credits: Credits) -> Running<'a, Result<(), Option<String>>> {
        let asked = self.ask(told::ASKED, json!({"key": key, "credits": credits.get()}));
        Box::pin(async move {
            match Self::answer(asked).await {
                Some(Answer::Yes) => Ok(()),
                Some(Answer::No(reason)) => Err(reason),
                Some(Answer::Failed) => Err(Some(FAILED.to_owned())),
                None => Err(Some(TIMED_OUT.to_owned())),
            }
        })
    }

    fn hears(&self) -> bool {
        self.is_set(!set::TEAM_CHECKER)
    }

    fn heard(&self, taken: Option<(&str, Credits)>) -> Running<'static, ()> {
        let events = self.take_events();
        if events.is_empty() && taken.is_none() {
            return Box::pin(std::future::ready(()));
        }
        let (key, credits) = taken.map(|(key, credits)| (key, credits.get())).unzip();
        let row = |event| serde_json::to_value(event_row(event)).expect("rows are plain JSON");
        let content =
            json!({"key": key, "credits": credits, "events": events.iter().map(row).collect::<Vec<_>>()});
        let asked = self.ask(told::HAPPENED, content);
        Box::pin(async move {
            // Whoever does not answer has heard all the same, or is gone.
            Self::answer(asked).await;
        })
    }
}

/// `hooksListen(gate, target)`: whom decisions on other threads are told to; no one at target 0.
pub(crate) fn listen(call: &Call<'_>) -> Value {
    let target = call.index(1);
    *call.gate().hooks.teller.lock() = (target != 0).then(|| call.teller(target));
    UNDEFINED
}

/// `hooksSet(gate, hooks)`: which hooks are set.
pub(crate) fn set(call: &Call<'_>) -> Value {
    let hooks = u8::try_from(call.index(1)).expect("the shell has four hooks");
    call.gate().hooks.set.store(hooks, Ordering::Release);
    UNDEFINED
}

/// `hooksTake(gate)`: the events of decisions that the script has just made, as rows.
pub(crate) fn take(call: &Call<'_>) -> Value {
    call.json_text(&call.gate().hooks.take_events().iter().map(event_row).collect::<Vec<_>>())
}

/// `hooksAnswer(gate, number, answer, reason?)`: the answer to what was asked; 0 is no, 1 is yes, 2 that the hook threw.
pub(crate) fn answer(call: &Call<'_>) -> Value {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counted from 0")]
    let number = call.number(1) as u64;
    let answer = match call.index(2) {
        1 => Answer::Yes,
        2 => Answer::Failed,
        _ => Answer::No(call.text(3)),
    };
    if let Some(waits) = call.gate().hooks.waiting.lock().remove(&number) {
        // Whoever has stopped waiting has decided already.
        let _ = waits.send(answer);
    }
    UNDEFINED
}
