//! What the books are opened with, and what can be told while they are open.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use paygate_core::clock::{Clock, SystemClock};
use paygate_core::entropy::{Entropy, SystemEntropy};
use paygate_core::journal::Durability;

use crate::history::Retention;
use crate::schema::SchemaError;

/// What [`StateFile::open`](crate::StateFile::open) is given.
#[derive(Clone)]
pub struct OpenOptions {
    /// The state file; none, or an empty one, for books in memory.
    pub path: Option<PathBuf>,
    /// What an acknowledged change survives. [`Durability::Memory`] for books in memory, whatever the path.
    pub durability: Durability,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes keys.
    pub entropy: Arc<dyn Entropy>,
    /// What happens when files are not as they should be.
    pub policies: Policies,
    /// How much is kept for reports.
    pub retention: Retention,
    /// Hears what happens to the files.
    pub tell: Tell,
}

impl OpenOptions {
    /// A path with the machine's clock and chance, [`Durability::Process`], the command line's policies; notices go to
    /// the log.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: Some(path.as_ref().to_owned()),
            durability: Durability::Process,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            policies: Policies::COMMAND_LINE,
            retention: Retention::default(),
            tell: Arc::new(log),
        }
    }
}

/// Hears what happens to the files, from any thread. Must not open or close a state file.
pub type Tell = Arc<dyn Fn(&Notice<'_>) + Send + Sync>;

fn log(notice: &Notice<'_>) {
    if notice.good_news() {
        tracing::info!("{notice}");
    } else {
        tracing::warn!("{notice}");
    }
}

/// What there is to tell; shown as the line that 2.9.0 prints, where it prints one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice<'a> {
    /// A state file was read.
    Loaded {
        /// The number of keys in the store.
        keys: usize,
        /// The path as it was given.
        path: &'a Path,
    },
    /// A state file, or some of its entries, could not be read.
    FailedToLoad(&'a str),
    /// A state file is no list.
    InvalidFormat,
    /// The books could not be saved: told once in a streak of the journal's, and at each change of a key that the image
    /// cannot show.
    FailedToSave(&'a str),
    /// What could not be saved is saved.
    SavesAgain,
    /// Something an operator should know.
    Warning(&'a str),
}

impl Notice<'_> {
    /// Whether it belongs to standard output rather than standard error.
    pub fn good_news(&self) -> bool {
        matches!(self, Self::Loaded { .. } | Self::SavesAgain)
    }
}

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[paygate] ")?;
        match self {
            Self::Loaded { keys, path } => write!(f, "Loaded {keys} key(s) from {}", path.display()),
            Self::FailedToLoad(message) => write!(f, "Failed to load state: {message}"),
            Self::InvalidFormat => f.write_str("Invalid state file format, starting fresh."),
            Self::FailedToSave(message) => write!(f, "Failed to save state: {message}"),
            Self::SavesAgain => f.write_str("State is saved again."),
            Self::Warning(message) => f.write_str(message),
        }
    }
}

/// What happens when files are not as they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policies {
    /// The image is gone, but its database is there.
    pub image_missing: WhenImageMissing,
    /// The image or the database cannot be read.
    pub unreadable: WhenUnreadable,
    /// No file can be had at the path.
    pub unusable: WhenUnusable,
}

impl Policies {
    /// A gateway does not start on doubtful books.
    pub const COMMAND_LINE: Self = Self {
        image_missing: WhenImageMissing::UseDatabase,
        unreadable: WhenUnreadable::Refuse,
        unusable: WhenUnusable::Refuse,
    };
    /// A constructor always gives a store, as in 2.9.0.
    pub const IN_PROCESS: Self = Self {
        image_missing: WhenImageMissing::StartEmpty,
        unreadable: WhenUnreadable::MoveAside,
        unusable: WhenUnusable::KeepInMemory,
    };
}

/// What happens when an image was written once and is gone, and its database is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenImageMissing {
    /// Start from the database, with a warning.
    UseDatabase,
    /// Start empty, as 2.9.0 does without its file. The database is renamed to `….removed-<time>`, with a warning.
    StartEmpty,
}

/// What happens when the image or the database cannot be read.
///
/// A database that knows keys is used whatever became of the image: a damaged image is an accident, and balances are
/// not lost over it. Only without such a database does a store start from what the image still gives, or empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenUnreadable {
    /// Do not open; name the file and the byte.
    Refuse,
    /// Rename the file to `….corrupt-<time>` and go on without it. A folder in its place stays where it is.
    MoveAside,
    /// Take from a damaged image whatever entries are whole, for keys that the database does not know; keep a copy of it
    /// as `….corrupt-<time>`. A damaged database is renamed.
    Salvage,
}

/// What happens when no file can be had at the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenUnusable {
    /// Do not open.
    Refuse,
    /// Work in memory, and tell at each change of a key that it could not be saved.
    KeepInMemory,
}

/// Why the books could not be opened. The files are left as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The state file cannot be read.
    #[error("cannot read the state file {}: {reason} (byte {offset}){hint}", path.display())]
    Image {
        /// The state file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// The byte where reading ended, counted from 0.
        offset: usize,
        /// What can be done, where the database is intact; else empty.
        hint: String,
    },
    /// The file cannot serve as the database.
    #[error("cannot use the database {}: {reason}", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        reason: SchemaError,
    },
    /// A file or folder cannot be made, renamed or read.
    #[error("cannot use {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// The database cannot be written.
    #[error("cannot write the database {}: {reason}", path.display())]
    Write {
        /// The database.
        path: PathBuf,
        /// What the journal says.
        reason: String,
    },
}

impl OpenError {
    /// Whether no usable file can be had, as opposed to one that is there and must not be touched.
    pub(super) fn unusable(&self) -> bool {
        match self {
            Self::File { .. } | Self::Write { .. } => true,
            Self::Database { reason, .. } => matches!(reason, SchemaError::Sqlite(_)),
            Self::Image { .. } => false,
        }
    }
}
