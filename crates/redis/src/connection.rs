//! Commands and their replies, over one connection that many callers share.
//!
//! Commands are sent in the order in which they were issued and answered in that order. The connection is opened by
//! the first command and, once lost, by the next one; nobody's command is sent before the login is done.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use redis::{ServerError, Value};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::dial::{Opened, Purpose, dial, packed};
use crate::error::Error;
use crate::options::Options;

/// What Redis answers. Text is UTF-8; bytes that are none are replaced by U+FFFD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing there.
    Nil,
    /// A number.
    Integer(i64),
    /// A text.
    Text(String),
    /// Several replies.
    List(Vec<Reply>),
}

impl Reply {
    /// Takes a reply off the wire. An error anywhere inside makes the whole an error.
    pub(crate) fn of(value: Value) -> Result<Self, Error> {
        let list = |values: Vec<Value>| -> Result<Self, Error> {
            Ok(Self::List(values.into_iter().map(Self::of).collect::<Result<_, _>>()?))
        };
        let pairs = |pairs: Vec<(Value, Value)>| list(pairs.into_iter().flat_map(|(k, v)| [k, v]).collect());
        Ok(match value {
            Value::Nil => Self::Nil,
            Value::Int(number) => Self::Integer(number),
            Value::BulkString(bytes) | Value::BigNumber(bytes) => {
                Self::Text(String::from_utf8_lossy(&bytes).into_owned())
            }
            Value::SimpleString(text) | Value::VerbatimString { text, .. } => Self::Text(text),
            Value::Okay => Self::Text("OK".to_owned()),
            Value::Double(number) => Self::Text(number.to_string()),
            Value::Boolean(truth) => Self::Integer(truth.into()),
            Value::Array(values) | Value::Set(values) => list(values)?,
            Value::Push { data, .. } => list(data)?,
            Value::Map(entries) => pairs(entries)?,
            Value::Attribute { data, .. } => Self::of(*data)?,
            Value::ServerError(error) => return Err(Error::Refused(words(&error))),
            other => return Err(Error::Refused(format!("ERR reply of an unknown kind: {other:?}"))),
        })
    }

    /// The text of a reply that is one.
    pub fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Nil | Self::Integer(_) | Self::List(_) => None,
        }
    }
}

/// An error as the server wrote it.
fn words(error: &ServerError) -> String {
    match error.details() {
        Some(details) => format!("{} {details}", error.code()),
        None => error.code().to_owned(),
    }
}

/// Hears what comes in where nobody asked for it; nothing when a connection that was open has ended.
pub(crate) type Hear = Box<dyn Fn(Option<Reply>) + Send + Sync>;

/// A connection. Clones share it; it is closed with the last of them.
///
/// Callable from any thread. No method waits; what is waited for is a future, which need not be polled for the
/// command to be sent.
#[derive(Clone)]
pub struct Connection {
    owner: Arc<Owner>,
}

/// What all clones share. Its end closes the connection.
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.end(&Error::Disconnected);
    }
}

struct Shared {
    options: Options,
    purpose: Purpose,
    hear: Option<Hear>,
    runtime: Handle,
    link: Mutex<Link>,
}

/// The connection as it is now.
#[derive(Default)]
struct Link {
    /// Counts connections that were begun, so that what a former one still says is told from the present one's.
    number: u64,
    task: Option<AbortHandle>,
    state: State,
}

#[derive(Default)]
enum State {
    #[default]
    Closed,
    /// Commands, and others who wait for it to open.
    Opening { commands: Vec<Request>, waiting: Vec<oneshot::Sender<Result<(), Error>>> },
    /// Where commands go, and those that wait for their reply.
    Open { out: mpsc::UnboundedSender<Vec<u8>>, unanswered: VecDeque<Request> },
}

/// A command on its way.
struct Request {
    packed: Vec<u8>,
    sent: oneshot::Sender<()>,
    reply: oneshot::Sender<Result<Reply, Error>>,
}

impl Request {
    fn end(self, ended: Result<Reply, Error>) {
        // Who does not wait any more has said so already.
        let _ = self.reply.send(ended);
    }
}

impl Connection {
    /// A connection that is not open yet, whose work is done by a runtime.
    pub fn new(options: Options, runtime: Handle) -> Self {
        Self::for_purpose(options, runtime, Purpose::Commands, None)
    }

    pub(crate) fn for_purpose(
        options: Options,
        runtime: Handle,
        purpose: Purpose,
        hear: Option<Hear>,
    ) -> Self {
        let shared = Shared { options, purpose, hear, runtime, link: Mutex::default() };
        Self { owner: Arc::new(Owner(Arc::new(shared))) }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.owner.0
    }

    /// Whether commands are sent at once: connected, logged in, and not known to be lost.
    pub fn is_connected(&self) -> bool {
        matches!(self.shared().link.lock().state, State::Open { .. })
    }

    /// Opens the connection, unless it is open. Who asks while it opens waits for the same end.
    ///
    /// # Errors
    /// It could not be opened.
    pub fn connect(&self) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let (told, waiting) = oneshot::channel();
        {
            let mut link = self.shared().link.lock();
            self.shared().open(&mut link);
            match &mut link.state {
                State::Opening { waiting, .. } => waiting.push(told),
                State::Open { .. } | State::Closed => drop(told.send(Ok(()))),
            }
        }
        let connection = self.clone();
        async move {
            let opened = waiting.await.unwrap_or(Err(Error::Disconnected));
            drop(connection);
            opened
        }
    }

    /// Sends a command, and opens the connection first if it must.
    ///
    /// # Errors
    /// There is no reply, or it is an error: see [`Error`].
    pub fn command(&self, arguments: &[&str]) -> impl Future<Output = Result<Reply, Error>> + Send + use<> {
        let name = arguments.first().copied().unwrap_or_default().to_owned();
        let (sent_tell, sent) = oneshot::channel();
        let (reply_tell, reply) = oneshot::channel();
        let request = Request { packed: packed(arguments), sent: sent_tell, reply: reply_tell };
        {
            let mut link = self.shared().link.lock();
            self.shared().open(&mut link);
            link.state.take_on(request);
        }
        let connection = self.clone();
        async move {
            // Opening has its own time limit; what becomes of the command is told by the reply.
            let _ = sent.await;
            let answered = timeout(connection.shared().options.command_timeout, reply).await;
            let Ok(reply) = answered else {
                return Err(Error::CommandTimeout { command: name });
            };
            reply.unwrap_or(Err(Error::Disconnected))
        }
    }

    /// Sends a command that has no reply of its own, if the connection is open. Gives the number of that connection.
    pub(crate) fn send(&self, arguments: &[&str]) -> Result<u64, Error> {
        let link = self.shared().link.lock();
        let State::Open { out, .. } = &link.state else { return Err(Error::NotConnected) };
        // When its task has just ended, the end is told soon.
        let _ = out.send(packed(arguments));
        Ok(link.number)
    }

    /// The number of the connection that is open.
    pub(crate) fn open_number(&self) -> Option<u64> {
        let link = self.shared().link.lock();
        matches!(link.state, State::Open { .. }).then_some(link.number)
    }

    /// Closes the connection. Who waits for a reply hears [`Error::Disconnected`]; the next command opens it anew.
    pub fn disconnect(&self) {
        self.shared().end(&Error::Disconnected);
    }
}

impl State {
    fn take_on(&mut self, request: Request) {
        match self {
            Self::Closed => request.end(Err(Error::NotConnected)),
            Self::Opening { commands, .. } => commands.push(request),
            Self::Open { out, unanswered } => send(out, unanswered, request),
        }
    }
}

/// Hands a command to the task that writes, and has it wait for its reply. Both in one step, so that the order in
/// which commands are sent is that in which they wait.
fn send(out: &mpsc::UnboundedSender<Vec<u8>>, unanswered: &mut VecDeque<Request>, mut request: Request) {
    // When the task has just ended, the end is told to all who wait.
    let _ = out.send(std::mem::take(&mut request.packed));
    let (told, _) = oneshot::channel();
    let _ = std::mem::replace(&mut request.sent, told).send(());
    unanswered.push_back(request);
}

impl Shared {
    /// Begins to open the connection, if it is closed.
    fn open(self: &Arc<Self>, link: &mut Link) {
        if !matches!(link.state, State::Closed) {
            return;
        }
        link.number += 1;
        link.state = State::Opening { commands: Vec::new(), waiting: Vec::new() };
        let task =
            self.runtime.spawn(run(Arc::downgrade(self), self.options.clone(), self.purpose, link.number));
        link.task = Some(task.abort_handle());
    }

    /// The connection of a number is open now: sends what has gathered.
    fn opened(&self, number: u64, out: mpsc::UnboundedSender<Vec<u8>>) {
        let mut link = self.link.lock();
        if link.number != number {
            return;
        }
        let State::Opening { commands, waiting } = std::mem::take(&mut link.state) else { return };
        let mut unanswered = VecDeque::new();
        for request in commands {
            send(&out, &mut unanswered, request);
        }
        link.state = State::Open { out, unanswered };
        drop(link);
        waiting.into_iter().for_each(|waiting| drop(waiting.send(Ok(()))));
    }

    /// Gives a reply to the command that has waited longest.
    fn answer(&self, number: u64, value: Value) {
        let reply = Reply::of(value);
        if let Some(hear) = &self.hear {
            // An error that comes here concerns a subscription; the others go on.
            return reply.into_iter().for_each(|reply| hear(Some(reply)));
        }
        let first = {
            let mut link = self.link.lock();
            let is_current = link.number == number;
            match &mut link.state {
                State::Open { unanswered, .. } if is_current => unanswered.pop_front(),
                State::Open { .. } | State::Opening { .. } | State::Closed => None,
            }
        };
        if let Some(request) = first {
            request.end(reply);
        }
    }

    /// Closes the connection, whatever it is doing.
    fn end(&self, error: &Error) {
        let mut link = self.link.lock();
        if let Some(task) = link.task.take() {
            task.abort();
        }
        let state = std::mem::take(&mut link.state);
        drop(link);
        self.tell_end(state, error);
    }

    /// The connection of a number has ended by itself.
    fn ended(&self, number: u64, error: &Error) {
        let mut link = self.link.lock();
        if link.number != number {
            return;
        }
        let state = std::mem::take(&mut link.state);
        drop(link);
        self.tell_end(state, error);
    }

    /// Tells all who wait, and who hears, that a connection is no longer.
    fn tell_end(&self, state: State, error: &Error) {
        match state {
            State::Closed => {}
            State::Opening { commands, waiting } => {
                waiting.into_iter().for_each(|waiting| drop(waiting.send(Err(error.clone()))));
                commands.into_iter().for_each(|request| request.end(Err(error.clone())));
            }
            State::Open { unanswered, .. } => {
                unanswered.into_iter().for_each(|request| request.end(Err(error.clone())));
                self.hear.iter().for_each(|hear| hear(None));
            }
        }
    }
}

/// One connection from its opening to its end.
async fn run(shared: Weak<Shared>, options: Options, purpose: Purpose, number: u64) {
    let error = match dial(&options, purpose).await {
        Err(error) => error,
        Ok(Opened { mut replies, to }) => {
            let (out, commands) = mpsc::unbounded_channel();
            let Some(held) = shared.upgrade() else { return };
            held.opened(number, out);
            drop(held);
            let read = async {
                loop {
                    let value = match replies.next().await {
                        Ok(value) => value,
                        Err(error) => return error,
                    };
                    let Some(shared) = shared.upgrade() else { return Error::Disconnected };
                    shared.answer(number, value);
                }
            };
            // While much is written, replies are read all the same: a server that waits for us to read is stuck.
            tokio::select! {
                error = read => error,
                error = write(commands, to) => error,
            }
        }
    };
    if let Some(shared) = shared.upgrade() {
        shared.ended(number, &error);
    }
}

/// Writes commands as they come, those that wait together in one go.
async fn write(mut commands: mpsc::UnboundedReceiver<Vec<u8>>, mut to: impl AsyncWrite + Unpin) -> Error {
    while let Some(mut bytes) = commands.recv().await {
        while let Ok(next) = commands.try_recv() {
            bytes.extend(next);
        }
        let written = async {
            to.write_all(&bytes).await?;
            to.flush().await
        };
        if let Err(error) = written.await {
            return Error::writing(&error);
        }
    }
    Error::Disconnected
}
