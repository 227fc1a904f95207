//! How the books are found: database or image, whichever is the truth.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use paygate_core::journal::{Durability, Journal, MemoryJournal};
use paygate_core::key::record::Record;
use paygate_core::ledger::{Ledger, LedgerParts, OpenCharge, StoredAccount};
use rusqlite::Connection;
use serde_json::{Map, Value};

use super::StateFile;
use super::options::{Notice, OpenError, OpenOptions, WhenImageMissing, WhenUnreadable, WhenUnusable};
use crate::digests::Digests;
use crate::history::History;
use crate::image::{self, Image, Reason, Unreadable};
use crate::image_keeper::{ImageKeeper, ImageParts};
use crate::registry::{Registry, RegistryError};
use crate::schema::SchemaError;
use crate::writer::SqliteJournal;
use crate::{read, recovery};

pub(super) fn open(options: OpenOptions) -> Result<StateFile, OpenError> {
    let path = options.path.clone().filter(|path| !path.as_os_str().is_empty());
    let Some(path) = path.filter(|_| options.durability != Durability::Memory) else {
        let ledger = ledger(&options, Arc::new(MemoryJournal::default()));
        return Ok(state_file(&options, ledger, None, None));
    };
    let opening = Opening { files: Files::of(&path), options: &options };
    match opening.with_database() {
        Err(error) if error.unusable() && options.policies.unusable == WhenUnusable::KeepInMemory => {
            opening.in_memory(&error)
        }
        opened => opened,
    }
}

/// Which files a path stands for.
struct Files {
    database: PathBuf,
    image: Option<PathBuf>,
}

impl Files {
    fn of(path: &Path) -> Self {
        let named = path.extension().is_some_and(|end| end == "db" || end == "sqlite");
        if named && !holds_something_else(path) {
            return Self { database: path.to_owned(), image: None };
        }
        Self { database: image::with_suffix(path, ".db"), image: Some(path.to_owned()) }
    }
}

/// Whether a file is there that is no database: 2.9.0 gave state files whatever name it was told.
fn holds_something_else(path: &Path) -> bool {
    const MAGIC: &[u8; 16] = b"SQLite format 3\0";
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(16).read_to_end(&mut start));
    read.is_ok() && !start.is_empty() && start != MAGIC
}

/// What was found where the image should be.
enum Found {
    /// There is to be no image, or there never was one.
    Nothing,
    /// There was one, and it is gone.
    Gone,
    /// The one that was written last.
    Ours { digest: String },
    /// Another one, which wins for the keys it names.
    Theirs { digest: String, image: Image },
    /// What is left of a damaged one, for keys that the database does not know.
    Salvaged { digest: String, image: Image },
}

struct Opening<'a> {
    files: Files,
    options: &'a OpenOptions,
}

impl Opening<'_> {
    fn with_database(&self) -> Result<StateFile, OpenError> {
        // Held to the end, so that two state files on one path open one after the other.
        let mut registry = Registry::lock();
        let database = &self.files.database;
        let mut journal = if database.exists() { self.journal(&mut registry)? } else { None };
        let open = journal.clone();
        // Another state file of this process must not write an image between the look and the conclusion.
        let image = open.as_deref().map(SqliteJournal::lock_image);
        let found = self.find(journal.as_deref())?;
        if matches!(found, Found::Gone) {
            drop(image);
            drop(open);
            journal = self.without_image(&mut registry, journal)?;
        }
        let journal = match journal {
            Some(journal) => journal,
            None => {
                let made = image::make_folder(database).map_err(|reason| file_error(database, reason));
                made.and_then(|()| self.journal(&mut registry))?
                    .expect("a database that could not be read has been moved aside, and this one is new")
            }
        };

        let ledger = ledger(self.options, journal.clone());
        let left_open = self.restore(&journal, &ledger)?;
        let digest = self.apply(found, &journal, &ledger)?;
        journal.enter(self.options.durability).map_err(|error| self.database_error(error.into()))?;
        let keeper = self.keeper(&ledger, Some(journal.clone()), digest);
        let mut file = state_file(self.options, ledger, Some(journal), keeper);
        file.left_open = left_open;
        Ok(file)
    }

    /// The books in memory, for want of a database; the image is read, and written if it can be.
    fn in_memory(&self, error: &OpenError) -> Result<StateFile, OpenError> {
        if self.files.database.exists() {
            self.warn(&format!("{error}; changes are in memory and in the state file only"));
        }
        let ledger = ledger(self.options, Arc::new(MemoryJournal::default()));
        let found = self.find(None)?;
        let digest = match found {
            Found::Theirs { digest, image } | Found::Salvaged { digest, image } => {
                self.import(&image, &ledger);
                self.tell_loaded(&ledger);
                Some(digest)
            }
            Found::Nothing | Found::Gone | Found::Ours { .. } => None,
        };
        let keeper = self.keeper(&ledger, None, digest);
        let mut file = state_file(self.options, ledger, None, keeper);
        file.unusable = Some(error.to_string());
        Ok(file)
    }

    // ── The database ─────────────────────────────────────────────────────────

    /// The journal of the database, which is made if it is not there. `None` after one that cannot be read was moved
    /// aside.
    fn journal(&self, registry: &mut Registry) -> Result<Option<Arc<SqliteJournal>>, OpenError> {
        let OpenOptions { durability, clock, tell, .. } = self.options;
        let path = &self.files.database;
        match registry.journal(path, *durability, clock, tell) {
            Ok(journal) => Ok(Some(journal)),
            Err(RegistryError::Io(reason)) => Err(file_error(path, reason)),
            Err(RegistryError::Schema(reason)) => {
                if !reason.corrupt() || self.options.policies.unreadable == WhenUnreadable::Refuse {
                    return Err(self.database_error(reason));
                }
                let aside = self.aside(path, "corrupt");
                registry.set_aside(path, &aside).map_err(|reason| file_error(path, reason))?;
                self.warn(&format!("{}; it is kept as {}", self.database_error(reason), aside.display()));
                Ok(None)
            }
        }
    }

    /// Goes on without the image that there was: with the database as it is, or with none.
    fn without_image(
        &self,
        registry: &mut Registry,
        journal: Option<Arc<SqliteJournal>>,
    ) -> Result<Option<Arc<SqliteJournal>>, OpenError> {
        let path = &self.files.database;
        match self.options.policies.image_missing {
            WhenImageMissing::UseDatabase => {
                self.warn(&format!("the state file is missing; starting from {}", path.display()));
                Ok(journal)
            }
            WhenImageMissing::StartEmpty => {
                drop(journal);
                let aside = self.aside(path, "removed");
                registry.set_aside(path, &aside).map_err(|reason| file_error(path, reason))?;
                self.warn(&format!(
                    "the state file is missing; starting empty, and keeping its database as {}",
                    aside.display()
                ));
                Ok(None)
            }
        }
    }

    /// Puts accounts and teams into the ledger and gives the charges that were left open.
    fn restore(&self, journal: &SqliteJournal, ledger: &Ledger) -> Result<Vec<OpenCharge>, OpenError> {
        let alone = !journal.used() && !journal.held_elsewhere();
        self.put_right(journal, ledger)?;
        let unreadable = &mut Vec::new();
        let read = journal.with_connection(|connection| {
            // One at a time: all rows at once would take several times the memory of the accounts.
            read::each_account(connection, |row| {
                let id = row.id.0;
                if ledger.restore(row.stored()).is_none() {
                    unreadable.push(id);
                }
            })?;
            if !alone {
                return Ok((read::teams(connection)?, Vec::new()));
            }
            read::end_orphans(connection)?;
            Ok((read::teams(connection)?, read::open_charges(connection)?))
        });
        let (teams, left_open) = read.map_err(|error: rusqlite::Error| self.database_error(error.into()))?;
        for id in unreadable {
            self.warn(&format!(
                "the record of account {id} cannot be read; its key is unknown until it is mended"
            ));
        }
        for (id, team) in teams {
            if !ledger.teams.restore(&id, &team, ledger.now()) {
                self.warn(&format!("{id} cannot be read; the team is unknown until it is mended"));
            }
        }
        Ok(left_open)
    }

    /// Enters what puts the accounts right, where an earlier failure left some that memory cannot hold.
    fn put_right(&self, journal: &SqliteJournal, ledger: &Ledger) -> Result<(), OpenError> {
        let failed = |error: rusqlite::Error| self.database_error(error.into());
        if !journal.with_connection(read::any_wrong).map_err(failed)? {
            return Ok(());
        }
        let mut accounts = Vec::new();
        let read = |connection: &Connection| read::each_account(connection, |row| accounts.push(row));
        journal.with_connection(read).map_err(failed)?;
        let corrections = recovery::corrections(&mut accounts, ledger.now());
        if corrections.is_empty() {
            return Ok(());
        }
        self.warn(&format!("{} entries put the books right after an earlier failure", corrections.len()));
        let ticket = journal.append(corrections, Vec::new());
        journal.wait(ticket).map_err(|error| self.write_error(&error.to_string()))
    }

    // ── The image ────────────────────────────────────────────────────────────

    /// Looks at the image and, where it cannot be read, does what the policy says.
    fn find(&self, journal: Option<&SqliteJournal>) -> Result<Found, OpenError> {
        let Some(path) = &self.files.image else { return Ok(Found::Nothing) };
        let mut seen = None;
        loop {
            let read = image::digest_of(path);
            let known = journal.map_or(Ok(Digests::default()), SqliteJournal::digests);
            let known = known.map_err(|error| self.database_error(error.into()))?;
            let digest = match read {
                Ok(Some(digest)) => digest,
                Ok(None) if known.current.is_some() => return Ok(Found::Gone),
                Ok(None) => return Ok(Found::Nothing),
                Err(unreadable) => return self.cannot_read(path, None, &unreadable, journal),
            };
            if [&known.current, &known.pending].contains(&&Some(digest.clone())) {
                return Ok(Found::Ours { digest });
            }
            // Another process may be writing images: one is a stranger only if it was there before and after the
            // database was asked for those it knows.
            if journal.is_some() && seen.as_ref() != Some(&digest) {
                seen = Some(digest);
                continue;
            }
            let bytes = match image::read(path) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => continue,
                Err(unreadable) => return self.cannot_read(path, None, &unreadable, journal),
            };
            if image::digest(&bytes) != digest {
                continue; // replaced since; look again
            }
            return match image::parse(&bytes) {
                Ok(image) => Ok(Found::Theirs { digest, image }),
                Err(unreadable) => self.cannot_read(path, Some(&bytes), &unreadable, journal),
            };
        }
    }

    fn cannot_read(
        &self,
        path: &Path,
        bytes: Option<&[u8]>,
        unreadable: &Unreadable,
        journal: Option<&SqliteJournal>,
    ) -> Result<Found, OpenError> {
        let keys = match journal {
            Some(journal) => journal.with_connection(read::count_accounts),
            None => Ok(0),
        };
        let keys = keys.map_err(|error| self.database_error(error.into()))?;
        let database = self.files.database.display();
        let policy = self.options.policies.unreadable;
        if policy == WhenUnreadable::Refuse {
            let reason = match &unreadable.reason {
                Reason::Text(text) => text.clone(),
                Reason::NotAList => "it is not a list".into(),
            };
            let hint = match keys {
                0 => String::new(),
                _ => format!(
                    "; its database {database} is intact and has {keys} key(s): without the state file it is used"
                ),
            };
            return Err(OpenError::Image { path: path.to_owned(), reason, offset: unreadable.offset, hint });
        }
        (self.options.tell)(&match &unreadable.reason {
            Reason::Text(text) => Notice::FailedToLoad(text),
            Reason::NotAList => Notice::InvalidFormat,
        });
        if keys > 0 {
            self.warn(&format!("the database {database} is intact; its {keys} key(s) are used"));
        }
        let Some(bytes) = bytes else { return Ok(Found::Nothing) };
        let aside = self.aside(path, "corrupt");
        if policy == WhenUnreadable::Salvage {
            fs::copy(path, &aside).map_err(|reason| file_error(path, reason))?;
            return Ok(Found::Salvaged { digest: image::digest(bytes), image: image::salvage(bytes) });
        }
        if let Some(journal) = journal {
            // Before the file goes: an image that was written and is missing would mean something else.
            journal.set_digest(None).map_err(|error| self.database_error(error.into()))?;
        }
        fs::rename(path, &aside).map_err(|reason| file_error(path, reason))?;
        Ok(Found::Nothing)
    }

    /// Enters what an image has and the database has not, and gives the digest of the image that is in its place.
    fn apply(
        &self,
        found: Found,
        journal: &SqliteJournal,
        ledger: &Ledger,
    ) -> Result<Option<String>, OpenError> {
        let digest = match found {
            Found::Nothing | Found::Gone => return Ok(None),
            Found::Ours { digest } => digest,
            Found::Theirs { digest, image } => {
                let before = ledger.accounts.entries();
                self.import(&image, ledger);
                let kept = before.iter().filter(|(key, _)| !image.records.contains_key(&**key)).count();
                if kept > 0 {
                    self.warn(&format!("kept {kept} key(s) that the state file does not name"));
                }
                digest
            }
            Found::Salvaged { digest, mut image } => {
                image.records.retain(|key, _| ledger.accounts.find(key).is_none());
                self.import(&image, ledger);
                digest
            }
        };
        journal.flush().map_err(|error| self.write_error(&error.to_string()))?;
        journal.set_digest(Some(&digest)).map_err(|error| self.database_error(error.into()))?;
        self.tell_loaded(ledger);
        Ok(Some(digest))
    }

    fn import(&self, image: &Image, ledger: &Ledger) {
        for place in &image.misfits {
            let message = format!("entry {place} is no pair of key and record; it is left out");
            (self.options.tell)(&Notice::FailedToLoad(&message));
        }
        let mut revived = 0;
        for (key, object) in &image.records {
            revived += usize::from(import(ledger, key, object) == Imported::Revived);
        }
        if revived > 0 {
            self.warn(&format!(
                "{revived} key(s) that had been replaced are back as the state file has them"
            ));
        }
    }

    fn keeper(
        &self,
        ledger: &Arc<Ledger>,
        journal: Option<Arc<SqliteJournal>>,
        digest: Option<String>,
    ) -> Option<ImageKeeper> {
        let OpenOptions { clock, tell, .. } = self.options.clone();
        let path = self.files.image.clone()?;
        Some(ImageKeeper::new(ImageParts { path, ledger: ledger.clone(), journal, clock, tell, digest }))
    }

    // ── What is told ─────────────────────────────────────────────────────────

    fn aside(&self, path: &Path, why: &str) -> PathBuf {
        image::with_suffix(path, &format!(".{why}-{}", self.options.clock.wall().0))
    }

    fn tell_loaded(&self, ledger: &Ledger) {
        if let Some(path) = &self.files.image {
            (self.options.tell)(&Notice::Loaded { keys: ledger.accounts.len(), path });
        }
    }

    fn warn(&self, message: &str) {
        (self.options.tell)(&Notice::Warning(message));
    }

    fn database_error(&self, reason: SchemaError) -> OpenError {
        OpenError::Database { path: self.files.database.clone(), reason }
    }

    fn write_error(&self, reason: &str) -> OpenError {
        OpenError::Write { path: self.files.database.clone(), reason: reason.to_owned() }
    }
}

/// What became of a record of an image.
#[derive(PartialEq)]
enum Imported {
    Entered,
    /// The key had been replaced by another.
    Revived,
    Unchanged,
}

fn import(ledger: &Ledger, key: &str, object: &Map<String, Value>) -> Imported {
    let now = ledger.now();
    let mut imported = Imported::Entered;
    if let Some(account) = ledger.accounts.find(key) {
        let known = account.lock();
        let record = Record::from_object(key.into(), object, now);
        if record.is_some_and(|record| record.to_object() == known.to_object()) {
            return Imported::Unchanged;
        }
        if known.successor.is_some() {
            // Its money moved on with the rotation: in the books it begins from nothing, whatever its record shows.
            imported = Imported::Revived;
            let blank = StoredAccount {
                id: account.id,
                key: known.key.clone(),
                record: known.to_object(),
                credits: paygate_core::credits::Credits::ZERO,
                granted: 0,
                calls: 0,
                counters: known.counters,
                last_used_at: known.last_used_at,
                successor: None,
            };
            drop(known);
            ledger.restore(blank).expect("a record reads back what it writes");
        }
    }
    // Waited for when all are entered.
    let _ = ledger.import(key, object).map(|written| written.ticket);
    imported
}

fn ledger(options: &OpenOptions, journal: Arc<dyn Journal>) -> Arc<Ledger> {
    let OpenOptions { clock, entropy, .. } = options.clone();
    Arc::new(Ledger::new(LedgerParts { clock, entropy, journal }))
}

fn state_file(
    options: &OpenOptions,
    ledger: Arc<Ledger>,
    journal: Option<Arc<SqliteJournal>>,
    keeper: Option<ImageKeeper>,
) -> StateFile {
    let OpenOptions { clock, tell, retention, .. } = options.clone();
    let (left_open, unusable, closed) = (Vec::new(), None, AtomicBool::new(false));
    let history = journal.clone().map(|journal| History::new(journal, clock, tell.clone(), retention));
    StateFile { ledger, left_open, journal, keeper, history, unusable, tell, closed }
}

fn file_error(path: &Path, reason: std::io::Error) -> OpenError {
    OpenError::File { path: path.to_owned(), reason }
}
