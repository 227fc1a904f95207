//! The messages on their way to a child, and the requests that wait for its answers.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::{CallError, Exit, Inbound, StdioConfig};
use crate::wire::{Outgoing, Reply};

/// About what a pipe takes at once. What was handed to the pipe counts as having reached the
/// child, so handing over more would only make that less true.
const BATCH_BYTES: usize = 64 * 1024;

const STDERR_TAIL_BYTES: usize = 4 * 1024;

pub(super) type Answer = Result<Reply, CallError>;

/// Shared by the callers, the supervisor and the tasks at the pipes.
pub(super) struct Calls {
    pub(super) config: StdioConfig,
    pub(super) inbound: Arc<dyn Inbound>,
    /// Rung when there is something to write.
    pub(super) work: Notify,
    state: Mutex<State>,
}

/// The first id of ours. Ids of clients are seldom as high, so that a message about one of theirs that we do not know
/// can be told from a message about one of ours.
pub const FIRST_ID: u64 = 1 << 40;

struct State {
    phase: Phase,
    /// Counts the children.
    generation: u64,
    /// Ids are given in the order of the queue and never twice, not even to two children.
    id_next: u64,
    /// What goes before the queue: our greeting, and answers that the child waits for.
    urgent: VecDeque<Message>,
    queue: VecDeque<Queued>,
    queue_bytes: usize,
    pending: HashMap<u64, oneshot::Sender<Answer>>,
    pid: Option<u32>,
    restarts: u64,
    last_exit: Option<Exit>,
    stderr_tail: Vec<u8>,
    lines_dropped: u64,
}

enum Phase {
    Starting,
    Running,
    Down { until: Instant },
    Stopped,
}

struct Queued {
    id: u64,
    message: Message,
}

/// One line for the child.
pub(super) enum Message {
    Request { id: u64, request: Outgoing },
    Line(Bytes),
}

impl Message {
    fn byte_count(&self) -> usize {
        match self {
            Self::Request { request, .. } => request.byte_count(),
            Self::Line(line) => line.len(),
        }
    }

    pub(super) fn write_line(&self, out: &mut Vec<u8>) {
        match self {
            Self::Request { id, request } => request.write_line(itoa(*id, &mut [0; 20]), out),
            Self::Line(line) => {
                out.extend_from_slice(line);
                out.push(b'\n');
            }
        }
    }
}

/// What a backend is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendState {
    /// A child was started and has not yet answered our greeting; requests wait for that.
    Starting,
    /// A child serves requests.
    Running,
    /// The child ended and is started again after a pause; requests fail until then.
    Restarting,
    /// The backend was stopped.
    Stopped,
}

/// A backend's condition at one moment.
#[derive(Debug, Clone)]
pub struct BackendStatus {
    /// What it is doing.
    pub state: BackendState,
    /// The child's process id, while there is one.
    pub pid: Option<u32>,
    /// How often a child has been started again.
    pub restarts: u64,
    /// How the last child that ended has ended.
    pub last_exit: Option<Exit>,
    /// The last about 4 KB that children wrote to stderr.
    pub stderr_tail: String,
    /// How many requests have no answer yet, our own greeting included.
    pub pending: usize,
    /// How many messages the child has not read yet.
    pub queued: usize,
    /// How many lines of the child were no message, or answered nobody.
    pub lines_dropped: u64,
}

impl Calls {
    pub(super) fn new(config: StdioConfig, inbound: Arc<dyn Inbound>) -> Self {
        let state = State {
            phase: Phase::Starting,
            generation: 0,
            id_next: config.id_first,
            urgent: VecDeque::new(),
            queue: VecDeque::new(),
            queue_bytes: 0,
            pending: HashMap::new(),
            pid: None,
            restarts: 0,
            last_exit: None,
            stderr_tail: Vec::new(),
            lines_dropped: 0,
        };
        Self { config, inbound, work: Notify::new(), state: Mutex::new(state) }
    }

    /// Queues a request; its answer, or why there is none, comes through the receiver.
    pub(super) fn push_request(
        &self,
        request: Outgoing,
    ) -> Result<(u64, oneshot::Receiver<Answer>), CallError> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        state.admit(request.byte_count(), &self.config)?;
        let id = state.new_id();
        state.pending.insert(id, sender);
        state.push(id, Message::Request { id, request });
        drop(state);
        self.work.notify_one();
        Ok((id, receiver))
    }

    /// Queues a line that expects no answer.
    pub(super) fn push_line(&self, line: Bytes) -> Result<(), CallError> {
        let mut state = self.state.lock();
        state.admit(line.len(), &self.config)?;
        let id = state.new_id();
        state.push(id, Message::Line(line));
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// Sends a line before everything queued, if the child it is meant for is still the present one.
    ///
    /// A child that asks and asks but does not read the answers is not allowed to fill our memory.
    pub(super) fn push_urgent(&self, line: Bytes, generation: u64) {
        let mut state = self.state.lock();
        if state.generation == generation && state.urgent.len() < self.config.queue_messages_max {
            state.urgent.push_back(Message::Line(line));
            drop(state);
            self.work.notify_one();
        }
    }

    /// Sends a request of our own before everything queued.
    pub(super) fn push_greeting(&self, request: Outgoing) -> oneshot::Receiver<Answer> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        let id = state.new_id();
        state.pending.insert(id, sender);
        state.urgent.push_back(Message::Request { id, request });
        drop(state);
        self.work.notify_one();
        receiver
    }

    /// Moves what is to be written next into `batch`; what is queued only once the child is
    /// `ready` for it.
    pub(super) fn take_batch(&self, ready: bool, batch: &mut Vec<Message>) {
        let mut bytes = 0;
        let mut state = self.state.lock();
        while bytes < BATCH_BYTES {
            let next = state.urgent.pop_front().or_else(|| if ready { state.pop() } else { None });
            let Some(message) = next else { break };
            bytes += message.byte_count();
            batch.push(message);
        }
    }

    /// Hands over the answer to a request. False when nobody waits for it any more.
    pub(super) fn settle(&self, id: u64, answer: Answer) -> bool {
        let sender = self.state.lock().pending.remove(&id);
        sender.is_some_and(|sender| sender.send(answer).is_ok())
    }

    /// Gives a request up. True when the child may have read it; else it never will.
    pub(super) fn withdraw(&self, id: u64) -> bool {
        let mut state = self.state.lock();
        state.pending.remove(&id);
        match state.queue.binary_search_by_key(&id, |queued| queued.id) {
            Ok(at) => {
                let queued = state.queue.remove(at).expect("the search found it there");
                state.queue_bytes -= queued.message.byte_count();
                false
            }
            Err(_) => true,
        }
    }

    /// Notes a new child and returns its number.
    pub(super) fn child_started(&self, pid: Option<u32>) -> u64 {
        let mut state = self.state.lock();
        state.generation += 1;
        state.restarts = state.generation - 1;
        state.pid = pid;
        state.generation
    }

    /// Notes that the child serves requests now.
    pub(super) fn child_ready(&self) {
        let mut state = self.state.lock();
        if let Phase::Starting = state.phase {
            state.phase = Phase::Running;
        }
    }

    /// Fails all requests of a child that has ended.
    pub(super) fn child_ended(&self, exit: Exit) {
        let mut state = self.state.lock();
        state.pid = None;
        state.last_exit = Some(exit);
        if let Phase::Stopped = state.phase {
            state.fail_all(|reached| CallError::Stopped { reached });
        } else {
            state.phase = Phase::Starting;
            state.fail_all(|reached| CallError::Exited { exit, reached });
        }
    }

    /// Fails requests from now on, until the next attempt to start a child.
    pub(super) fn down_for(&self, pause: Duration) {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Stopped) {
            state.phase = Phase::Down { until: Instant::now() + pause };
            state.fail_all(|_| CallError::Down { next_attempt_in: pause });
        }
    }

    /// Lets requests wait again: a child is about to be started.
    pub(super) fn starting(&self) {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Stopped) {
            state.phase = Phase::Starting;
        }
    }

    /// Refuses requests from now on. Those under way may still be answered until the child ends.
    pub(super) fn close(&self) {
        self.state.lock().phase = Phase::Stopped;
    }

    /// Fails whatever still waits, after the last child.
    pub(super) fn finish(&self) {
        let mut state = self.state.lock();
        state.phase = Phase::Stopped;
        state.fail_all(|reached| CallError::Stopped { reached });
    }

    /// Notes a line of the child that was of no use.
    pub(super) fn line_dropped(&self) {
        self.state.lock().lines_dropped += 1;
    }

    pub(super) fn keep_stderr(&self, text: &[u8]) {
        let mut state = self.state.lock();
        let tail = &mut state.stderr_tail;
        tail.extend_from_slice(text);
        let surplus = tail.len().saturating_sub(STDERR_TAIL_BYTES);
        tail.drain(..surplus);
    }

    pub(super) fn status(&self) -> BackendStatus {
        let state = self.state.lock();
        BackendStatus {
            state: match state.phase {
                Phase::Starting => BackendState::Starting,
                Phase::Running => BackendState::Running,
                Phase::Down { .. } => BackendState::Restarting,
                Phase::Stopped => BackendState::Stopped,
            },
            pid: state.pid,
            restarts: state.restarts,
            last_exit: state.last_exit,
            stderr_tail: String::from_utf8_lossy(&state.stderr_tail).into_owned(),
            pending: state.pending.len(),
            queued: state.queue.len(),
            lines_dropped: state.lines_dropped,
        }
    }
}

impl State {
    fn admit(&self, bytes: usize, config: &StdioConfig) -> Result<(), CallError> {
        match self.phase {
            Phase::Stopped => Err(CallError::Stopped { reached: false }),
            Phase::Down { until } => {
                Err(CallError::Down { next_attempt_in: until.saturating_duration_since(Instant::now()) })
            }
            Phase::Starting | Phase::Running => {
                let room = self.queue.len() < config.queue_messages_max
                    && self.queue_bytes + bytes <= config.queue_bytes_max;
                if room { Ok(()) } else { Err(CallError::QueueFull) }
            }
        }
    }

    fn new_id(&mut self) -> u64 {
        let id = self.id_next;
        self.id_next += 1;
        id
    }

    fn push(&mut self, id: u64, message: Message) {
        self.queue_bytes += message.byte_count();
        self.queue.push_back(Queued { id, message });
    }

    fn pop(&mut self) -> Option<Message> {
        let queued = self.queue.pop_front()?;
        self.queue_bytes -= queued.message.byte_count();
        Some(queued.message)
    }

    /// Ends every request with an error that is told whether the child may have read it.
    fn fail_all(&mut self, error: impl Fn(bool) -> CallError) {
        let unwritten_from = self.queue.front().map_or(u64::MAX, |first| first.id);
        for (id, sender) in self.pending.drain() {
            // Whoever has stopped waiting does not need to know.
            let _ = sender.send(Err(error(id < unwritten_from)));
        }
        self.urgent.clear();
        self.queue.clear();
        self.queue_bytes = 0;
    }
}

/// Writes a number without the detour over `fmt`, once for every request.
fn itoa(mut number: u64, digits: &mut [u8; 20]) -> &str {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return std::str::from_utf8(&digits[at..]).expect("digits are ASCII");
        }
    }
}
