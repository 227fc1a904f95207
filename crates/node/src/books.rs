//! The books a key store works on, in memory alone or kept in a state file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use paygate_core::entropy::SystemEntropy;
use paygate_core::journal::{Durability, Ticket};
use paygate_core::ledger::{Ledger, OpenCharge, Written};
use paygate_store::{Change, Notice, OpenError, OpenOptions, Policies, Retention, StateFile};

use crate::call::{Call, slot};
use crate::host::HostClock;

/// Some books, and where they are kept.
pub(crate) struct Books {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) file: Arc<StateFile>,
    notices: Arc<Notices>,
    /// Whether there is a file at all.
    kept: bool,
}

/// What is to be told, until the script's thread comes by and prints it.
#[derive(Default)]
struct Notices {
    waiting: AtomicBool,
    lines: Mutex<Vec<(bool, String)>>,
}

impl Notices {
    fn add(&self, notice: &Notice<'_>, given: &Path) {
        // The path is shown as it was given.
        let notice = match *notice {
            Notice::Loaded { keys, .. } => Notice::Loaded { keys, path: given },
            other => other,
        };
        self.lines.lock().push((notice.good_news(), notice.to_string()));
        self.waiting.store(true, Ordering::Release);
    }
}

impl Books {
    /// Opens the books at a path, or in memory.
    pub(crate) fn open(given: Option<PathBuf>) -> Result<Self, OpenError> {
        let notices = Arc::<Notices>::default();
        let told = notices.clone();
        let kept = given.is_some();
        // A script may change its folder while the file is open.
        let path = given.as_ref().map(|given| std::path::absolute(given).unwrap_or_else(|_| given.clone()));
        let given = given.unwrap_or_default();
        let file = StateFile::open(OpenOptions {
            path,
            durability: Durability::Process,
            clock: Arc::new(HostClock),
            entropy: Arc::new(SystemEntropy),
            policies: Policies::IN_PROCESS,
            retention: Retention::default(),
            tell: Arc::new(move |notice| told.add(notice, &given)),
        })?;
        Ok(Self { ledger: file.ledger().clone(), file: Arc::new(file), notices, kept })
    }

    /// Charges that an earlier run left open.
    pub(crate) fn left_open(&self) -> &[OpenCharge] {
        self.file.left_open()
    }

    /// Finishes a change that a method of the store made.
    pub(crate) fn finish<T>(&self, written: Written<T>) -> T {
        self.wait(written.ticket);
        self.changed();
        written.value
    }

    /// Notes a change that an operator made, and that is durable.
    pub(crate) fn changed(&self) {
        self.file.changed(Change::ByMutator);
    }

    /// Notes credits that were taken, durably.
    #[inline]
    pub(crate) fn charged(&self) {
        if self.kept {
            self.file.changed(Change::ByCharge);
        }
    }

    /// Hands the edits of live records over and writes everything that is not yet written.
    pub(crate) fn save(&self) {
        // What fails is told.
        let _ = self.file.save();
    }

    /// Hands the edits of live records to the journal.
    pub(crate) fn finish_edits(&self) {
        if let Some(ticket) = self.ledger.save_edits() {
            self.wait(ticket);
            self.changed();
        }
    }

    /// Writes what is not yet written and ends the threads.
    pub(crate) fn close(&self) {
        // What fails is told.
        let _ = self.file.close();
    }

    /// Tells the shell whether there is anything to print.
    #[inline]
    pub(crate) fn announce(&self, call: &Call<'_>) {
        if self.kept {
            call.set_flag(slot::NOTICES, self.notices.waiting.load(Ordering::Acquire));
        }
    }

    /// What there is to print: whether it is good news, and the line.
    pub(crate) fn notices(&self) -> Vec<(bool, String)> {
        self.notices.waiting.store(false, Ordering::Release);
        std::mem::take(&mut *self.notices.lines.lock())
    }

    fn wait(&self, ticket: Ticket) {
        // A failure is told by the journal, which keeps the entry and tries again: the change stands.
        let _ = self.ledger.wait(ticket);
    }
}
