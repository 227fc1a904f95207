//! Keeps 2.9.0's state file in step with the books: at once while that is quick, else a little later.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use paygate_core::clock::Clock;
use paygate_core::journal::{Durability, Journal};
use paygate_core::ledger::Ledger;

use crate::image;
use crate::state_file::{Change, Notice, SaveError, Tell};
use crate::writer::SqliteJournal;

/// A write that takes longer is left to the thread.
const QUICK: Duration = Duration::from_millis(5);
/// How long the file may be behind a change of a key that was left to the thread.
const AFTER_MUTATOR: Duration = Duration::from_millis(250);
/// How long the file may be behind a charge.
const AFTER_CHARGE: Duration = Duration::from_secs(1);
/// How long after a write that failed the next one is tried.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

pub(crate) struct ImageKeeper {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

pub(crate) struct ImageParts {
    pub(crate) path: PathBuf,
    pub(crate) ledger: Arc<Ledger>,
    /// None when the books are in memory only.
    pub(crate) journal: Option<Arc<SqliteJournal>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tell: Tell,
    /// The digest of the file that the ledger stands for now.
    pub(crate) digest: Option<String>,
}

struct Shared {
    parts: ImageParts,
    /// Whether the latest write was quick enough to be made by whoever changes a key.
    quick: AtomicBool,
    /// Whether a write is to come that will show what changes now.
    scheduled: AtomicBool,
    schedule: Mutex<Schedule>,
    wake: Condvar,
    written: Mutex<Written>,
}

#[derive(Default)]
struct Schedule {
    /// How long from when it was asked for, a write is due.
    due: Option<Duration>,
    running: bool,
    closed: bool,
}

struct Written {
    /// The digest of the latest text.
    digest: Option<String>,
    failing: bool,
}

/// When a text that has not changed is written all the same.
#[derive(Clone, Copy, PartialEq)]
enum Unchanged {
    Write,
    Skip,
}

impl ImageKeeper {
    pub(crate) fn new(parts: ImageParts) -> Self {
        let written = Written { digest: parts.digest.clone(), failing: false };
        let shared = Shared {
            parts,
            quick: AtomicBool::new(true),
            scheduled: AtomicBool::new(false),
            schedule: Mutex::default(),
            wake: Condvar::new(),
            written: Mutex::new(written),
        };
        Self { shared: Arc::new(shared), thread: Mutex::new(None) }
    }

    /// Sees to it that the file shows what has changed.
    pub(crate) fn changed(&self, change: Change) {
        match change {
            Change::ByMutator if self.shared.quick.load(Ordering::Relaxed) => self.write_now(),
            Change::ByMutator => self.schedule(AFTER_MUTATOR),
            Change::ByCharge if self.shared.scheduled.load(Ordering::SeqCst) => {}
            Change::ByCharge => self.schedule(AFTER_CHARGE),
        }
    }

    /// Writes the file, changed or not.
    pub(crate) fn save(&self) -> Result<(), SaveError> {
        let saved = self.shared.write(Unchanged::Write);
        self.shared.tell(&saved, true);
        saved
    }

    fn write_now(&self) {
        let saved = self.shared.write(Unchanged::Write);
        self.shared.tell(&saved, true);
        if saved.is_err() {
            self.schedule(AFTER_FAILURE);
        }
    }

    fn schedule(&self, delay: Duration) {
        self.shared.scheduled.store(true, Ordering::SeqCst);
        let mut schedule = self.shared.schedule.lock();
        if !schedule.closed && !schedule.running {
            let shared = self.shared.clone();
            let spawned =
                std::thread::Builder::new().name("paygate-image".into()).spawn(move || shared.run());
            schedule.running = spawned.is_ok();
            *self.thread.lock() = spawned.ok();
        }
        if !schedule.running {
            drop(schedule);
            // Closed, or no thread to be had: then it is written by its caller.
            let saved = self.shared.write(Unchanged::Skip);
            return self.shared.tell(&saved, false);
        }
        if schedule.due.is_none_or(|due| delay < due) {
            schedule.due = Some(delay);
            self.shared.wake.notify_one();
        }
    }

    /// Ends the thread and writes what is not written.
    pub(crate) fn close(&self) -> Result<(), SaveError> {
        self.shared.schedule.lock().closed = true;
        self.shared.wake.notify_one();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            // A panic in that thread was shown where it happened; the file is written here all the same.
            let _ = thread.join();
        }
        self.shared.schedule.lock().running = false;
        let saved = self.shared.write(Unchanged::Skip);
        self.shared.tell(&saved, true);
        saved
    }
}

impl Shared {
    fn run(&self) {
        let mut schedule = self.schedule.lock();
        while !schedule.closed {
            let Some(delay) = schedule.due else {
                self.wake.wait(&mut schedule);
                continue;
            };
            if !self.wake.wait_for(&mut schedule, delay).timed_out() {
                continue;
            }
            schedule.due = None;
            let saved = MutexGuard::unlocked(&mut schedule, || {
                let saved = self.write(Unchanged::Skip);
                self.tell(&saved, false);
                saved
            });
            if saved.is_err() && schedule.due.is_none() {
                schedule.due = Some(AFTER_FAILURE);
            }
        }
    }

    fn write(&self, unchanged: Unchanged) -> Result<(), SaveError> {
        let ImageParts { path, ledger, journal, clock, .. } = &self.parts;
        let mut written = self.written.lock();
        // What changes from here on asks for a write of its own.
        self.scheduled.store(false, Ordering::SeqCst);
        ledger.save_edits();
        if let Some(journal) = journal {
            journal.flush().map_err(SaveError::Journal)?;
        }
        let begun = clock.monotonic();
        let mut text = Vec::new();
        ledger.write_image(&mut text).map_err(SaveError::Image)?;
        let digest = image::digest(&text);
        let never = written.digest.is_none() && ledger.accounts.is_empty();
        if unchanged == Unchanged::Write || !(never || written.digest.as_ref() == Some(&digest)) {
            match journal {
                Some(journal) => {
                    let sync = journal.durability() == Durability::Power;
                    journal.write_image(&digest, || image::write(path, &text, sync))?;
                }
                None => image::write(path, &text, false).map_err(SaveError::Image)?,
            }
            written.digest = Some(digest);
        }
        self.quick.store(clock.monotonic().saturating_sub(begun) < QUICK, Ordering::Relaxed);
        Ok(())
    }

    /// Tells of a failure, and of the end of a streak: of every failure to whoever changed a key or asked to save, of
    /// the first in a streak otherwise.
    fn tell(&self, saved: &Result<(), SaveError>, asked: bool) {
        let failed = std::mem::replace(&mut self.written.lock().failing, saved.is_err());
        match saved {
            // The journal tells of its own failures.
            Err(SaveError::Journal(_)) => {}
            Err(error) if asked || !failed => (self.parts.tell)(&Notice::FailedToSave(&error.to_string())),
            Ok(()) if failed => (self.parts.tell)(&Notice::SavesAgain),
            _ => {}
        }
    }
}
