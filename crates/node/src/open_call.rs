//! A message of a script on its way to wrapped servers, from before it is decided until it is settled.
//!
//! The decision is made by the gate on the script's thread, with the script's hooks. What it takes is kept here until
//! the message is sent; a message that is never sent settles its charges as lost when the script lets go of it.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use paygate_core::credits::Credits;
use paygate_core::gate::Charged;
use paygate_core::journal::JournalError;
use paygate_core::ledger::Ending;
use paygate_core::text::number::json_to_text;
use paygate_mcp_wire::stdio::CallError;
use paygate_mcp_wire::wire::{self, BatchCalls, Envelope, Id, Kind, Reply, ToolCall, WireError};
use paygate_server::{Backend, BackendError, BatchAnswer, BatchCallEvent, Till, ToolCallEvent};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::backend::{BackendHandle, code_text};
use crate::call::{Call, UNDEFINED, Value};
use crate::channel::Rejection;
use crate::gate::GateHandle;

const INVALID_PARAMS: i64 = -32602;
const INTERNAL_ERROR: i64 = -32603;

/// A message is read when it is opened, and does not change.
const READ: &str = "read before";

/// What a message without an id is answered with.
const NOTHING: &str = r#"{"jsonrpc":"2.0","result":{}}"#;
const NO_TOOLS: &str = r#"{"jsonrpc":"2.0","result":{"tools":[]}}"#;

/// A message that has not been sent.
pub(crate) struct OpenCall {
    backend: Arc<Backend>,
    /// The message as JSON; of a batch, its params.
    body: Bytes,
    /// Of a batch, its id as JSON.
    batch_id: Option<String>,
    /// What was taken for it, and by which gate.
    taken: Mutex<(Arc<GateHandle>, Vec<Charged>)>,
}

impl OpenCall {
    /// Keeps what a gate took.
    pub(crate) fn keep(&self, gate: Arc<GateHandle>, charges: Vec<Charged>) {
        *self.taken.lock() = (gate, charges);
    }

    /// What was taken, to be settled by the caller.
    fn take(&self) -> (Arc<GateHandle>, Vec<Charged>) {
        let mut taken = self.taken.lock();
        (taken.0.clone(), std::mem::take(&mut taken.1))
    }
}

fn till(gate: &GateHandle) -> Till<'_> {
    Till::new(&gate.gate, &gate.store.books.file, Some(&*gate.hooks))
}

/// What was decided of a call or a batch, as the shell passes it.
#[derive(Deserialize)]
struct Decided {
    key: Option<String>,
    /// Credits that were taken.
    charged: u64,
    /// The balance then.
    remaining: u64,
}

impl Decided {
    fn amounts(&self) -> (Credits, Credits) {
        let credits = |number| Credits::new(number).unwrap_or(Credits::MAX);
        (credits(self.charged), credits(self.remaining))
    }
}

/// What became of a message, for the shell.
#[derive(Serialize, Default)]
struct Ended<'a> {
    answer: Option<Box<RawValue>>,
    /// Why there is no answer.
    failure: Option<String>,
    /// What listeners are told, where something was decided.
    event: Option<Box<RawValue>>,
    /// The tools of the calls that were given back.
    refunds: Vec<&'a str>,
}

impl<'a> Ended<'a> {
    fn new(answered: Result<String, String>) -> Self {
        let (answer, failure) = match answered {
            Ok(answer) => (Some(raw(answer)), None),
            Err(failure) => (None, Some(failure)),
        };
        Self { answer, failure, ..Self::default() }
    }

    fn told(self, event: &impl Serialize, refunds: impl Iterator<Item = &'a str>) -> Self {
        let event = serde_json::to_string(event).expect(PLAIN);
        Self { event: Some(raw(event)), refunds: refunds.collect(), ..self }
    }

    fn text(&self) -> Result<Option<String>, Rejection> {
        Ok(Some(serde_json::to_string(self).expect(PLAIN)))
    }
}

const PLAIN: &str = "answers and events are plain JSON";

fn raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).expect(PLAIN)
}

fn error_text(id: Id<'_>, code: i64, message: &str) -> String {
    String::from_utf8(wire::error(id, code, message)).expect("JSON is UTF-8")
}

/// A message for the servers that are the first argument, while they run.
fn open(call: &Call<'_>, body: Bytes) -> Option<OpenCall> {
    let handle = call.the::<Arc<BackendHandle>>();
    let backend = handle.running()?;
    Some(OpenCall { backend, body, batch_id: None, taken: Mutex::new((handle.gate.clone(), Vec::new())) })
}

/// `callNew(backend, message, isCall)`: opens a message that may be sent, else answers it: with the text of an error,
/// or with nothing when the servers do not run.
pub(crate) fn new(call: &Call<'_>) -> Value {
    let Some(open) = open(call, call.given(1).into()) else { return UNDEFINED };
    match open.refusal(call.index(2) == 1) {
        Some(answer) => call.string(&answer),
        None => call.hold_any(Arc::new(open)),
    }
}

/// `batchNew(backend, params, id?)`: as [`new`], for the params of a batch. The id is JSON.
pub(crate) fn new_batch(call: &Call<'_>) -> Value {
    let Some(open) = open(call, call.given(1).into()) else { return UNDEFINED };
    let open = OpenCall { batch_id: call.text(2), ..open };
    match open.batch_refusal() {
        Some(message) => call.string(&message),
        None => call.hold_any(Arc::new(open)),
    }
}

/// `callSend(call, decided?)`: sends a message, pays for it with what the gate took, and tells what became of it.
pub(crate) fn send(call: &Call<'_>) -> Value {
    let open = call.the::<Arc<OpenCall>>().clone();
    let decided: Option<Decided> = call.json(1);
    call.promise(async move { open.send(decided).await })
}

/// `callCancel(call)`: settles what was taken for a message that is not sent after all.
pub(crate) fn cancel(call: &Call<'_>) -> Value {
    let (_, charges) = call.the::<Arc<OpenCall>>().take();
    for charged in charges {
        charged.settle(Ending::NeverReached);
    }
    UNDEFINED
}

/// `batchSend(call, decided)`: as [`send`], for a batch.
pub(crate) fn send_batch(call: &Call<'_>) -> Value {
    let open = call.the::<Arc<OpenCall>>().clone();
    let decided: Decided = call.json(1).expect("always given");
    call.promise(async move { open.send_batch(decided).await })
}

/// What came back for a request, and whether a server had accepted it.
struct Asked {
    answer: Result<Reply, BackendError>,
    accepted: bool,
}

impl OpenCall {
    /// The answer to a message that is not to be sent.
    fn refusal(&self, is_call: bool) -> Option<String> {
        let envelope = match Envelope::parse(&self.body) {
            Ok(envelope) => envelope,
            Err(error) => return Some(error_text(Id::Absent, error.code(), &error.message())),
        };
        if !is_call {
            return None;
        }
        let (code, message) = match ToolCall::from_params(envelope.params) {
            Err(error) => (error.code(), error.message()),
            Ok(tool) => (INVALID_PARAMS, self.backend.check_tool(&tool.name, None).err()?.to_string()),
        };
        Some(error_text(envelope.id, code, &message))
    }

    fn id(&self) -> Id<'_> {
        self.batch_id.as_deref().map_or(Id::Absent, Id::Raw)
    }

    /// The answer to a batch that is not to be sent.
    fn batch_refusal(&self) -> Option<String> {
        let calls = match self.batch_calls() {
            Ok(calls) => calls,
            Err(error) => return Some(error_text(self.id(), error.code(), &error.message())),
        };
        let checked =
            calls.iter().enumerate().map(|(at, call)| self.backend.check_tool(&call.name, Some(at)));
        let error = checked.filter_map(Result::err).next()?;
        Some(error_text(self.id(), INVALID_PARAMS, &error.to_string()))
    }

    fn batch_calls(&self) -> Result<Vec<ToolCall<'_>>, WireError> {
        let params: &RawValue = serde_json::from_slice(&self.body).map_err(|_| WireError::NotJson)?;
        Ok(BatchCalls::from_params(Some(params), usize::MAX)?.calls)
    }

    async fn send(&self, decided: Option<Decided>) -> Result<Option<String>, Rejection> {
        let envelope = Envelope::parse(&self.body).expect(READ);
        let Some(decided) = decided else { return self.send_unpaid(&envelope).await };
        let tool = ToolCall::from_params(envelope.params).expect(READ);
        let mut accepted = false;
        let work = async {
            let pending = self.backend.begin_call(&self.body, &envelope, &tool)?;
            accepted = true;
            pending.answer().await
        };
        let (gate, charges) = self.take();
        let done = match till(&gate).carry_out(charges.into_iter().next(), work).await {
            Ok(done) => done,
            Err(error) => return Ended::new(Ok(unwritten(envelope.id, &error))).text(),
        };
        let (charged, remaining) = decided.amounts();
        let key = decided.key.as_deref();
        let event = ToolCallEvent::new(&self.backend, &tool.name, key, charged, remaining, &done);
        let refunds = done.refunded().map(|_| &*tool.name);
        let answered = match envelope.kind() {
            // Nobody waits for it, but the work was done.
            Kind::Notification => Ok(NOTHING.to_owned()),
            Kind::Request | Kind::Response | Kind::Neither => {
                self.answered(&envelope, Asked { answer: done.answer.clone(), accepted })
            }
        };
        Ended::new(answered).told(&event, refunds.into_iter()).text()
    }

    async fn send_unpaid(&self, envelope: &Envelope<'_>) -> Result<Option<String>, Rejection> {
        let answered = match envelope.kind() {
            Kind::Notification | Kind::Response => {
                self.backend.notify(self.body.clone()).await;
                let lists = envelope.method.as_deref() == Some("tools/list") && self.backend.is_router();
                Ok(if lists { NO_TOOLS } else { NOTHING }.to_owned())
            }
            Kind::Request | Kind::Neither => {
                let asked = match self.backend.begin(&self.body, envelope) {
                    Ok(pending) => Asked { answer: pending.answer().await, accepted: true },
                    Err(error) => Asked { answer: Err(error), accepted: false },
                };
                self.answered(envelope, asked)
            }
        };
        Ended::new(answered).text()
    }

    /// The answer under the script's own id. What a child did not answer fails the promise, as in 2.9.0.
    fn answered(&self, envelope: &Envelope<'_>, asked: Asked) -> Result<String, String> {
        let id = envelope.id;
        let error = match asked.answer {
            Ok(reply) => {
                let answer = reply.answer(id).into_bytes();
                return Ok(String::from_utf8(answer.into()).expect("parsed, so it is UTF-8"));
            }
            Err(error) => error,
        };
        let message = match &error {
            BackendError::Child(CallError::TimedOut { after, .. }) => {
                let id = id.raw().and_then(|raw| serde_json::from_str(raw).ok());
                let id = id.map_or("undefined".to_owned(), |id| json_to_text(&id));
                let seconds = after.as_secs_f64();
                return Err(format!("Request {id} timed out after {seconds}s"));
            }
            BackendError::Child(CallError::Exited { exit, .. }) => return Err(exited(&code_text(*exit))),
            BackendError::Child(CallError::Stopped { .. }) if asked.accepted => {
                let exit = self.backend.status().last_exit;
                return Err(exited(&exit.map_or("null".to_owned(), code_text)));
            }
            BackendError::Child(CallError::Down { .. }) => "Server not started".to_owned(),
            other => other.to_string(),
        };
        Ok(error_text(id, INTERNAL_ERROR, &message))
    }

    async fn send_batch(&self, decided: Decided) -> Result<Option<String>, Rejection> {
        let calls = self.batch_calls().expect(READ);
        let (gate, charges) = self.take();
        let (till, paid) = (till(&gate), !charges.is_empty());
        let work = calls.iter().map(|call| self.backend.call(call));
        let done = match till.carry_out_batch(charges, work).await {
            Ok(done) => done,
            Err(error) => return Ended::new(Ok(unwritten(self.id(), &error))).text(),
        };
        let key = decided.key.as_deref();
        let remaining = if paid { till.balance(key) } else { decided.amounts().1 };
        let event = BatchCallEvent::new(&self.backend, key, &done, remaining);
        let refunds = calls.iter().zip(&done).filter(|(_, done)| done.refunded().is_some());
        let answer = wire::result(self.id(), &BatchAnswer::new(&calls, &done, remaining));
        let answer = String::from_utf8(answer).expect("JSON is UTF-8");
        Ended::new(Ok(answer)).told(&event, refunds.map(|(call, _)| &*call.name)).text()
    }
}

fn exited(code: &str) -> String {
    format!("Server exited with code {code}")
}

fn unwritten(id: Id<'_>, error: &JournalError) -> String {
    error_text(id, INTERNAL_ERROR, &format!("ledger unavailable: {error}"))
}
