//! The books on disk, opened and closed: `--state-file` of the command line, `new KeyStore(path)` of JavaScript.

mod open;
mod options;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use paygate_core::journal::JournalError;
use paygate_core::ledger::{Ledger, OpenCharge};

use crate::history::History;
use crate::image_keeper::ImageKeeper;
use crate::verify::{Report, verify};
use crate::writer::{SqliteJournal, StoreHealth};

pub use options::{
    Notice, OpenError, OpenOptions, Policies, Tell, WhenImageMissing, WhenUnreadable, WhenUnusable,
};

/// A ledger whose changes are in a database before they are acknowledged, with 2.9.0's state file beside it.
///
/// With the path `state.json` the database is `state.json.db`, and `state.json` itself an image of the accounts in
/// 2.9.0's format, written by rename. With a path that ends in `.db` or `.sqlite` the path is the database and there is
/// no image, unless a file is there that is no database. Without a path everything is in memory.
///
/// # Threads
/// Callable from any thread. Two state files on one path in one process share the database and have ledgers of their
/// own, which do not see each other's changes until they are opened again.
///
/// # Examples
/// ```
/// use paygate_core::{credits::Credits, ledger::KeyOptions};
/// use paygate_store::{Change, OpenOptions, StateFile};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("state.json");
/// let file = StateFile::open(OpenOptions::new(&path))?;
/// let opened = file.ledger().open("pg_demo", "demo", Credits::floored(5.0)?, KeyOptions::default());
/// file.ledger().wait(opened.ticket)?;
/// file.changed(Change::ByMutator);
/// file.close()?;
///
/// let again = StateFile::open(OpenOptions::new(&path))?;
/// assert_eq!(again.ledger().totals().balance, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct StateFile {
    ledger: Arc<Ledger>,
    left_open: Vec<OpenCharge>,
    journal: Option<Arc<SqliteJournal>>,
    keeper: Option<ImageKeeper>,
    history: Option<Arc<History>>,
    /// Why there is no database although one is configured.
    unusable: Option<String>,
    tell: Tell,
    closed: AtomicBool,
}

/// What made the image out of date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A key was made or changed: the image shows it on return while writing it takes under 5 ms, else within 250 ms.
    ByMutator,
    /// Credits were taken or given back: the image shows it within a second.
    ByCharge,
}

/// Why the books could not be saved. They are whole in memory, and saving is tried again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// The database could not be written.
    #[error("{0}")]
    Journal(JournalError),
    /// The database did not take note of the image, which is then not written: it would pass for another program's.
    #[error("{0}")]
    Announce(rusqlite::Error),
    /// The image could not be written.
    #[error("{0}")]
    Image(io::Error),
    /// The path cannot be used, and the books are in memory only.
    #[error("{0}")]
    Unusable(String),
}

impl StateFile {
    /// Opens the books at a path, or in memory.
    ///
    /// When the image is the one that was written last, the database is the truth. When it was edited, restored or
    /// comes from 2.9.0, it wins for the keys it names: the difference is entered, and keys that only the database knows
    /// stay. What happens when the image is missing or unreadable, or the path cannot be used, the [`Policies`] say.
    ///
    /// # Errors
    /// See [`OpenError`]; files are left as they were.
    pub fn open(options: OpenOptions) -> Result<Self, OpenError> {
        open::open(options)
    }

    /// The books.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Charges that an earlier run left open, to be settled before anything else. None while another process, or
    /// another state file of this one, has the database open: they may be its.
    pub fn left_open(&self) -> &[OpenCharge] {
        &self.left_open
    }

    /// The journal; `None` when the books are in memory only.
    pub fn journal(&self) -> Option<&Arc<SqliteJournal>> {
        self.journal.as_ref()
    }

    /// What happened, kept for reports; `None` when the books are in memory only.
    pub fn history(&self) -> Option<&Arc<History>> {
        self.history.as_ref()
    }

    /// Sees to it that the image shows a change. Call it after the change is durable. Failures are told, and tried
    /// again.
    pub fn changed(&self, change: Change) {
        match (&self.keeper, &self.unusable) {
            (Some(keeper), _) => keeper.changed(change),
            (None, Some(why)) if change == Change::ByMutator => (self.tell)(&Notice::FailedToSave(why)),
            _ => {}
        }
    }

    /// Makes everything durable that was changed, edits of live records included, and writes the image.
    ///
    /// # Errors
    /// See [`SaveError`]; also told.
    pub fn save(&self) -> Result<(), SaveError> {
        if let Some(keeper) = &self.keeper {
            return keeper.save();
        }
        self.flush_or_tell()
    }

    /// As [`Self::save`], writing an image only if it would show something new, and ends the threads. What changes
    /// later is written by whoever changes it. Further calls do nothing.
    ///
    /// # Errors
    /// See [`SaveError`]; also told.
    pub fn close(&self) -> Result<(), SaveError> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let saved = match &self.keeper {
            Some(keeper) => keeper.close(),
            None => self.flush(),
        };
        if let Some(history) = &self.history {
            history.close();
        }
        if let Some(journal) = &self.journal {
            journal.leave();
        }
        saved
    }

    /// How the database is doing; all well when there is none.
    pub fn health(&self) -> StoreHealth {
        self.journal.as_ref().map_or_else(StoreHealth::default, |journal| journal.health())
    }

    /// Recomputes every account in the database from its entries; `None` when there is no database.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn verify(&self) -> rusqlite::Result<Option<Report>> {
        self.journal.as_ref().map(|journal| journal.with_connection(verify)).transpose()
    }

    fn flush_or_tell(&self) -> Result<(), SaveError> {
        let flushed = self.flush();
        if let Err(SaveError::Unusable(why)) = &flushed {
            (self.tell)(&Notice::FailedToSave(why));
        }
        flushed
    }

    fn flush(&self) -> Result<(), SaveError> {
        self.ledger.save_edits();
        match (&self.journal, &self.unusable) {
            (Some(journal), _) => journal.flush().map_err(SaveError::Journal),
            (None, Some(why)) => Err(SaveError::Unusable(why.clone())),
            (None, None) => Ok(()),
        }
    }
}

impl Drop for StateFile {
    fn drop(&mut self) {
        // What fails is told; there is nobody left to return it to.
        let _ = self.close();
    }
}
