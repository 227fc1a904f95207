//! Connections that read while others write.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use rusqlite::Connection;

use super::History;
use crate::schema;

/// Connections that are kept for the next reader.
const IDLE_MAX: usize = 4;

/// Gives readers their connections. A reader sees everything that was told before it was made.
pub(super) struct Readers {
    history: Arc<History>,
}

/// Connections that nobody uses, and the number of those in use.
#[derive(Default)]
pub(super) struct Pool {
    idle: Mutex<Vec<Connection>>,
    in_use: AtomicUsize,
}

impl Pool {
    /// Whether somebody reads: what is being read is not forgotten meanwhile.
    pub(super) fn in_use(&self) -> bool {
        self.in_use.load(Ordering::Acquire) > 0
    }
}

/// A connection that goes back to the others when it is dropped.
pub(super) struct Reader {
    history: Arc<History>,
    connection: Option<Connection>,
}

impl Readers {
    pub(super) fn new(history: Arc<History>) -> Self {
        Self { history }
    }

    pub(super) fn reader(&self) -> io::Result<Reader> {
        let pool = self.history.pool();
        pool.in_use.fetch_add(1, Ordering::AcqRel);
        let mut reader = Reader { history: self.history.clone(), connection: pool.idle.lock().pop() };
        // What cannot be written is told elsewhere; what was written before can be read.
        let _ = self.history.flush();
        if reader.connection.is_none() {
            reader.connection = Some(schema::connect(self.history.path()).map_err(io::Error::other)?);
        }
        Ok(reader)
    }

    /// Answers a question for one moment.
    pub(super) fn read<T>(&self, ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> io::Result<T> {
        self.reader()?.at_once(ask)
    }
}

impl Reader {
    pub(super) fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("given back only when dropped")
    }

    /// Asks several things that belong to one moment.
    pub(super) fn at_once<T>(&self, ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> io::Result<T> {
        let snapshot = self.connection().unchecked_transaction().map_err(io::Error::other)?;
        ask(&snapshot).map_err(io::Error::other)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let pool = self.history.pool();
        pool.in_use.fetch_sub(1, Ordering::AcqRel);
        let mut idle = pool.idle.lock();
        if idle.len() < IDLE_MAX {
            idle.extend(self.connection.take());
        }
    }
}
