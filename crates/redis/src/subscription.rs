//! Messages that others publish, over a connection of their own.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::runtime::Handle;

use crate::connection::{Connection, Reply};
use crate::dial::Purpose;
use crate::error::Error;
use crate::options::Options;

/// What is heard of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A message of a channel that was subscribed to.
    Message {
        /// The channel.
        channel: String,
        /// What was published.
        message: String,
    },
    /// The connection that was open is no longer; no message comes until it is opened and subscribed on again.
    Ended,
}

/// A connection that hears messages. It is opened by [`Self::connect`] alone and does not come back by itself.
///
/// Callable from any thread. Messages are heard on a thread of the runtime, one after the other.
#[derive(Clone)]
pub struct Subscription {
    connection: Connection,
    /// The number of the connection that was subscribed on; 0 for none.
    subscribed_on: Arc<AtomicU64>,
}

impl Subscription {
    /// A connection that is not open yet, and who hears.
    pub fn new(options: Options, runtime: Handle, hear: impl Fn(Heard) + Send + Sync + 'static) -> Self {
        let hear = Box::new(move |reply| heard(reply).into_iter().for_each(&hear));
        let connection = Connection::for_purpose(options, runtime, Purpose::Messages, Some(hear));
        Self { connection, subscribed_on: Arc::default() }
    }

    /// Opens the connection, unless it is open.
    ///
    /// # Errors
    /// It could not be opened.
    pub fn connect(&self) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        self.connection.connect()
    }

    /// Asks for the messages of a channel. Whether the server agrees is not waited for.
    ///
    /// # Errors
    /// The connection is not open.
    pub fn subscribe(&self, channel: &str) -> Result<(), Error> {
        let number = self.connection.send(&["SUBSCRIBE", channel])?;
        self.subscribed_on.store(number, Ordering::Release);
        Ok(())
    }

    /// Whether the connection is open.
    pub fn is_connected(&self) -> bool {
        self.connection.is_connected()
    }

    /// Whether the connection is open and was subscribed on.
    pub fn is_subscribed(&self) -> bool {
        self.connection.open_number().is_some_and(|open| open == self.subscribed_on.load(Ordering::Acquire))
    }

    /// Closes the connection.
    pub fn disconnect(&self) {
        self.connection.disconnect();
    }
}

fn heard(reply: Option<Reply>) -> Option<Heard> {
    let Some(reply) = reply else { return Some(Heard::Ended) };
    let Reply::List(parts) = reply else { return None };
    let mut texts = parts.into_iter().map(Reply::into_text);
    let (kind, channel, message) = (texts.next()??, texts.next()??, texts.next()??);
    (kind == "message").then_some(Heard::Message { channel, message })
}
