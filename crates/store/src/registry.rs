//! The databases that this process has open, by file: two state files on one path share one.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Weak};

use parking_lot::{Mutex, MutexGuard};
use paygate_core::clock::Clock;
use paygate_core::journal::Durability;

use crate::image::{ensure_private, with_suffix};
use crate::schema::SchemaError;
use crate::state_file::Tell;
use crate::writer::SqliteJournal;

static OPEN: LazyLock<Mutex<HashMap<PathBuf, Open>>> = LazyLock::new(Mutex::default);

struct Open {
    journal: Weak<SqliteJournal>,
    /// Whether nothing of the journal is left: its last entries are written and its connections closed.
    ended: Box<dyn Fn() -> bool + Send>,
    file: FileId,
    /// The files that SQLite keeps beside it, with the ends of their names.
    beside: Vec<(&'static str, FileId)>,
}

/// How the names of the files end that SQLite keeps beside a database.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// What a file is, whatever its name: two files that have the same name one after the other differ.
type FileId = (u64, u64);

/// The registry, locked, so that no database is opened or set aside twice at a time.
pub(crate) struct Registry(MutexGuard<'static, HashMap<PathBuf, Open>>);

/// Why a database could not be opened.
pub(crate) enum RegistryError {
    Io(io::Error),
    Schema(SchemaError),
}

impl Registry {
    pub(crate) fn lock() -> Self {
        Self(OPEN.lock())
    }

    /// The journal of a database: the one that is open, or a new one.
    pub(crate) fn journal(
        &mut self,
        path: &Path,
        durability: Durability,
        clock: &Arc<dyn Clock>,
        tell: &Tell,
    ) -> Result<Arc<SqliteJournal>, RegistryError> {
        ensure_private(path).map_err(RegistryError::Io)?;
        let path = fs::canonicalize(path).map_err(RegistryError::Io)?;
        let file = file_id(&path).map_err(RegistryError::Io)?;
        if let Some(open) = self.0.get(&path) {
            match open.journal.upgrade() {
                Some(journal) if open.file == file => return Ok(journal),
                Some(_) => {}
                None => open.wait_for_end(),
            }
            // The file was removed or replaced behind its back; it goes on without a name. SQLite sees that too, and
            // leaves alone what has the name now.
            if open.file != file {
                open.remove_beside(&path).map_err(RegistryError::Io)?;
            }
        }
        let journal = SqliteJournal::open(&path, durability, clock.clone(), tell.clone());
        let journal = Arc::new(journal.map_err(RegistryError::Schema)?);
        self.0.retain(|_, open| !(open.ended)());
        let beside =
            BESIDE.into_iter().filter_map(|end| Some((end, file_id(&with_suffix(&path, end)).ok()?)));
        let ended = Box::new(journal.ended());
        let open = Open { journal: Arc::downgrade(&journal), ended, file, beside: beside.collect() };
        self.0.insert(path, open);
        Ok(journal)
    }

    /// Renames a database's files out of the way. Those who have it open go on with the renamed files.
    pub(crate) fn set_aside(&mut self, path: &Path, aside: &Path) -> io::Result<()> {
        self.0.remove(&fs::canonicalize(path)?);
        fs::rename(path, aside)?;
        for end in BESIDE {
            match fs::rename(with_suffix(path, end), with_suffix(aside, end)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Open {
    /// Waits for a journal that another thread is dropping: its last commit gives the numbers that come next.
    fn wait_for_end(&self) {
        while !(self.ended)() {
            std::thread::yield_now();
        }
    }

    /// Removes what is left beside a database that lost its name: another of that name must not take it for its own.
    fn remove_beside(&self, path: &Path) -> io::Result<()> {
        for (end, id) in &self.beside {
            let path = with_suffix(path, end);
            if file_id(&path).is_ok_and(|now| now == *id) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

#[cfg(unix)]
fn file_id(path: &Path) -> io::Result<FileId> {
    use std::os::unix::fs::MetadataExt;
    let file = fs::metadata(path)?;
    Ok((file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn file_id(path: &Path) -> io::Result<FileId> {
    fs::metadata(path).map(|_| (0, 0))
}
