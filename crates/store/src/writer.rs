//! The journal: entries gather in a queue, and whoever waits for one commits all of them.

mod batch;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use indexmap::IndexMap;
use parking_lot::{Condvar, Mutex, MutexGuard};
use paygate_core::clock::Clock;
use paygate_core::journal::{
    AccountId, Durability, Entry, EntryKind, Journal, JournalError, OnDurable, Payment, PaymentStanding,
    Sequence, TeamChange, Ticket,
};
use rusqlite::Connection;

use self::batch::Batch;
use crate::holders;
use crate::losses::{Gap, Losses};
use crate::payments;
use crate::schema::{self, SchemaError};
use crate::state_file::{Notice, Tell};

/// How long entries that nobody waits for may stay in the queue.
const TRAIL: Duration = Duration::from_millis(5);
/// How often a failed commit is tried again when nobody asks for one.
const RETRY: Duration = Duration::from_secs(1);
/// Up to so many kept entries, everyone who waits tries a failed commit again; with more only the timer does, so that
/// a full disk does not make every call copy a long queue.
const EAGER_RETRY_MAX: usize = 1000;
/// Pages in the write-ahead log from which it is copied into the database, beside the commits.
const CHECKPOINT_PAGES: u32 = 2000;
/// Pages from which commits wait for that copy, so that the log cannot grow for ever under a constant load.
const CHECKPOINT_PAGES_MAX: u32 = 8 * CHECKPOINT_PAGES;
/// How far the numbers of two processes that write one database are kept apart.
const SHARED_STRIDE: u64 = 1 << 32;

/// How the database is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreHealth {
    /// Why the latest commit failed; `None` when it did not.
    pub last_error: Option<String>,
    /// Commits that failed since the journal was opened.
    pub failed_commits: u64,
    /// Entries that are not in the database yet.
    pub queued: usize,
}

/// A journal in a SQLite database.
///
/// Entries are committed in groups, in the thread of the first who waits for one of them; a thread of its own serves
/// those who are called back, and what nobody waits for. A commit that fails drops the charges in it, except those that
/// are settled already, and tells their owners, who undo them; everything else stays first in the queue and is tried
/// again with the next commit, at the latest after a second. The numbers of dropped charges are the only gaps in the
/// sequence, besides those kept free for another process that has the database open too.
pub struct SqliteJournal {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Counts how often rows of the history went, so that nobody who uses this connection relies on one that is gone.
    pub(crate) history_pruned: AtomicU64,
}

struct Shared {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    tell: Tell,
    /// Whether another live process had the database open when this one opened it.
    held_elsewhere: bool,
    power: AtomicBool,
    accounts: AtomicU64,
    queue: Mutex<Queue>,
    wake: Condvar,
    writer: Mutex<batch::Writer>,
    checkpointer: Mutex<Checkpointer>,
    /// Every number up to this one is in the database, or a gap.
    durable: AtomicU64,
    any_losses: AtomicBool,
    log_pages: Arc<AtomicU32>,
    /// Held while an image is written.
    image: Mutex<()>,
}

struct Queue {
    next: Sequence,
    entries: Vec<(Sequence, Entry)>,
    teams: IndexMap<Box<str>, Box<str>>,
    /// Payments, with the entries that grant them.
    payments: Vec<(Option<Sequence>, Payment)>,
    callbacks: Vec<(Ticket, OnDurable)>,
    /// Whether the thread has been told that there are entries.
    armed: bool,
    losses: Losses,
    failure: Option<Failure>,
    failed_commits: u64,
    /// Open state files; without any, whoever waits does all the work.
    users: usize,
    used: bool,
    running: bool,
    /// Whether the thread is to end.
    stop: bool,
}

/// A streak of failed commits.
struct Failure {
    message: Arc<str>,
    /// Everything up to this number was in a commit that failed.
    through: Sequence,
    /// Whether the team changes and payments that are queued were in one, too.
    with_unnumbered: bool,
    /// So many entries, from the first in the queue on, are kept for the next commit.
    kept: usize,
    /// When a long queue is tried again, by the monotonic clock.
    due: Duration,
}

/// A connection that copies the write-ahead log without holding up commits.
struct Checkpointer {
    connection: Connection,
    /// How long the log was when it was last copied.
    copied: u32,
}

/// What came of a commit, to be told once the locks are free.
enum News {
    Failing(Arc<str>),
    Recovered,
}

impl Queue {
    /// What became of a ticket; `None` while that is open. The caller holds the writer, so that nothing is under way.
    fn outcome(&self, ticket: Ticket, durable: Sequence) -> Option<Result<(), JournalError>> {
        let failed = |message: &Arc<str>| Some(Err(JournalError(message.clone())));
        if ticket.first > ticket.last {
            // Team changes and parked payments have no numbers; they are durable when none is queued.
            return match &self.failure {
                _ if self.teams.is_empty() && self.payments.is_empty() => Some(Ok(())),
                Some(failure) if failure.with_unnumbered => failed(&failure.message),
                _ => None,
            };
        }
        if self.losses.concern(ticket) {
            return failed(&self.last_error());
        }
        if ticket.last <= durable {
            return Some(Ok(()));
        }
        let failure = self.failure.as_ref().filter(|failure| ticket.last <= failure.through)?;
        failed(&failure.message)
    }

    fn last_error(&self) -> Arc<str> {
        self.failure.as_ref().map_or_else(|| "an earlier commit failed".into(), |f| f.message.clone())
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.teams.is_empty() && self.payments.is_empty()
    }

    /// Takes everything that waits to be written.
    fn take(&mut self, mut spare: Vec<(Sequence, Entry)>) -> Batch {
        std::mem::swap(&mut self.entries, &mut spare);
        let mut entries = spare;
        if !self.losses.is_empty() {
            for (_, entry) in &mut entries {
                self.losses.mend(entry);
            }
        }
        Batch {
            entries,
            teams: std::mem::take(&mut self.teams),
            payments: std::mem::take(&mut self.payments),
            through: self.next - 1,
        }
    }

    /// Puts back what could not be written, before what came since.
    fn put_back(&mut self, mut batch: Batch) {
        batch.entries.append(&mut self.entries);
        self.entries = batch.entries;
        batch.teams.extend(self.teams.drain(..));
        self.teams = batch.teams;
        batch.payments.append(&mut self.payments);
        self.payments = batch.payments;
    }

    /// Drops queued charges, from a place in the queue on, whose owners can still undo them: those whose ending is not
    /// queued too.
    fn drop_charges(&mut self, from: usize) {
        let tried = self.entries.split_off(from);
        let ended: HashSet<Sequence> = tried.iter().filter_map(|(_, entry)| entry.charge).collect();
        for (sequence, entry) in tried {
            if entry.kind == EntryKind::Charge && !ended.contains(&sequence) {
                self.losses.add_charge(sequence, entry);
            } else {
                self.entries.push((sequence, entry));
            }
        }
    }
}

impl Shared {
    /// Commits everything queued. The caller holds the writer.
    fn commit(&self, writer: &mut batch::Writer) -> Option<News> {
        let (batch, gaps) = {
            let mut queue = self.queue.lock();
            if queue.is_empty() {
                return None;
            }
            if let Some(failure) = &queue.failure
                && queue.entries.len() > EAGER_RETRY_MAX
                && self.clock.monotonic() < failure.due
            {
                let (message, due, kept) = (failure.message.clone(), failure.due, failure.kept);
                self.fail(&mut queue, message, due, kept);
                return None;
            }
            let batch = queue.take(std::mem::take(&mut writer.spare));
            (batch, queue.losses.unwritten().to_vec())
        };
        let written = writer.write(&batch, &gaps);
        let mut queue = self.queue.lock();
        match written {
            Ok(()) => {
                queue.losses.note_written();
                self.durable.store(batch.through, Ordering::Release);
                writer.recycle(batch);
                queue.failure.take().map(|_| News::Recovered)
            }
            Err(error) => {
                queue.put_back(batch);
                queue.failed_commits += 1;
                let message: Arc<str> = error.to_string().into();
                let first = queue.failure.is_none();
                self.fail(&mut queue, message.clone(), self.clock.monotonic() + RETRY, 0);
                first.then_some(News::Failing(message))
            }
        }
    }

    /// Notes that what is queued after the first `kept` entries could not be written: now, or by a commit just before.
    fn fail(&self, queue: &mut Queue, message: Arc<str>, due: Duration, kept: usize) {
        queue.drop_charges(kept);
        self.any_losses.store(!queue.losses.is_empty(), Ordering::Release);
        let (through, kept) = (queue.next - 1, queue.entries.len());
        queue.failure = Some(Failure { message, through, with_unnumbered: true, kept, due });
    }

    fn tell(&self, news: Option<News>) {
        match news {
            Some(News::Failing(message)) => (self.tell)(&Notice::FailedToSave(&message)),
            Some(News::Recovered) => (self.tell)(&Notice::SavesAgain),
            None => {}
        }
    }

    fn commit_queued(&self) {
        let news = self.commit(&mut self.writer.lock());
        self.tell(news);
    }

    /// The writer's thread: commits for those who are called back, and what nobody waits for.
    fn run(&self) {
        let mut queue = self.queue.lock();
        while !queue.stop || queue.armed || !queue.callbacks.is_empty() {
            if queue.callbacks.is_empty() && !queue.stop {
                let wait = match (&queue.failure, queue.armed) {
                    (Some(_), _) if !queue.is_empty() => RETRY,
                    (_, true) => TRAIL,
                    _ => {
                        self.wake.wait(&mut queue);
                        continue;
                    }
                };
                if !self.wake.wait_for(&mut queue, wait).timed_out() {
                    continue;
                }
                queue.armed = false;
                if let Some(failure) = &mut queue.failure {
                    failure.due = Duration::ZERO;
                }
            }
            let callbacks = std::mem::take(&mut queue.callbacks);
            queue.armed = false;
            MutexGuard::unlocked(&mut queue, || {
                self.commit_queued();
                for (ticket, done) in callbacks {
                    let outcome = self.settled(ticket);
                    // One caller's panic must not keep the others waiting for ever.
                    let _ = catch_unwind(AssertUnwindSafe(|| done(outcome)));
                }
                self.checkpoint();
            });
        }
        (queue.running, queue.stop) = (false, false);
    }

    /// What became of a ticket that was in the queue when the caller last committed.
    fn settled(&self, ticket: Ticket) -> Result<(), JournalError> {
        let durable = self.durable.load(Ordering::Acquire);
        if self.plainly_durable(ticket, durable) {
            return Ok(());
        }
        self.queue.lock().outcome(ticket, durable).unwrap_or(Ok(()))
    }

    fn plainly_durable(&self, ticket: Ticket, durable: Sequence) -> bool {
        ticket.first <= ticket.last && ticket.last <= durable && !self.any_losses.load(Ordering::Acquire)
    }

    /// Copies the write-ahead log into the database when it has grown.
    fn checkpoint(&self) {
        let pages = self.log_pages.load(Ordering::Relaxed);
        let mut checkpointer = self.checkpointer.lock();
        if pages < checkpointer.copied {
            checkpointer.copied = 0; // the log began anew
        }
        if pages < checkpointer.copied + CHECKPOINT_PAGES {
            return;
        }
        // What fails here is tried again when the log has grown further; commits tell what is wrong with a disk.
        let _ = checkpoint(&checkpointer.connection, "PASSIVE");
        checkpointer.copied = pages;
        if pages > CHECKPOINT_PAGES_MAX {
            let _ = checkpoint(&self.writer.lock().connection, "RESTART");
        }
    }
}

fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<()> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
}

impl SqliteJournal {
    /// Opens the database, making it and its tables where they are missing. Others than the owner may not read a new
    /// file: it holds keys.
    ///
    /// # Errors
    /// The file cannot be used; it is left as it is.
    pub(crate) fn open(
        path: &Path,
        durability: Durability,
        clock: Arc<dyn Clock>,
        tell: Tell,
    ) -> Result<Self, SchemaError> {
        let mut connection = schema::open(path, durability)?;
        let checkpointer = Checkpointer { connection: schema::connect(path)?, copied: 0 };
        let log_pages = Arc::new(AtomicU32::new(0));
        let pages = log_pages.clone();
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, length: i32| {
            pages.store(length.unsigned_abs(), Ordering::Relaxed);
            Ok(())
        }))?;

        let others = holders::enter(&mut connection)?;
        let (mut last, mut accounts) = batch::last_numbers(&connection)?;
        if let Some(pid) = others.first() {
            let warning = format!("{} is open in another process too (pid {pid})", path.display());
            tell(&Notice::Warning(&warning));
            let gap = Gap { first: last + 1, last: last + SHARED_STRIDE };
            batch::write_gap(&connection, gap)?;
            last = gap.last;
            accounts += SHARED_STRIDE;
        }
        let queue = Queue {
            next: last + 1,
            entries: Vec::new(),
            teams: IndexMap::new(),
            payments: Vec::new(),
            callbacks: Vec::new(),
            armed: false,
            losses: Losses::default(),
            failure: None,
            failed_commits: 0,
            users: 0,
            used: false,
            running: false,
            stop: false,
        };
        let shared = Shared {
            path: path.to_owned(),
            clock,
            tell,
            held_elsewhere: !others.is_empty(),
            power: AtomicBool::new(durability == Durability::Power),
            accounts: AtomicU64::new(accounts),
            queue: Mutex::new(queue),
            wake: Condvar::new(),
            writer: Mutex::new(batch::Writer::new(connection)),
            checkpointer: Mutex::new(checkpointer),
            durable: AtomicU64::new(last),
            any_losses: AtomicBool::new(false),
            log_pages,
            image: Mutex::new(()),
        };
        let history_pruned = AtomicU64::new(0);
        Ok(Self { shared: Arc::new(shared), thread: Mutex::new(None), history_pruned })
    }

    /// The database's file.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// How the database is doing.
    pub fn health(&self) -> StoreHealth {
        let queue = self.shared.queue.lock();
        StoreHealth {
            last_error: queue.failure.as_ref().map(|failure| failure.message.to_string()),
            failed_commits: queue.failed_commits,
            queued: queue.entries.len() + queue.teams.len() + queue.payments.len(),
        }
    }

    /// Commits everything queued.
    ///
    /// # Errors
    /// It could not be written; what is no charge stays queued.
    pub fn flush(&self) -> Result<(), JournalError> {
        if let Some(failure) = &mut self.shared.queue.lock().failure {
            failure.due = Duration::ZERO;
        }
        self.shared.commit_queued();
        let queue = self.shared.queue.lock();
        match &queue.failure {
            Some(failure) if !queue.is_empty() => Err(JournalError(failure.message.clone())),
            _ => Ok(()),
        }
    }

    /// Commits everything queued and gives the connection to read, or to write what is no entry.
    pub(crate) fn with_connection<T>(&self, work: impl FnOnce(&Connection) -> T) -> T {
        let (news, value) = {
            let mut writer = self.shared.writer.lock();
            (self.shared.commit(&mut writer), work(&writer.connection))
        };
        self.shared.tell(news);
        value
    }

    /// Copies the write-ahead log into the database when it has grown, beside the commits.
    pub(crate) fn checkpoint(&self) {
        self.shared.checkpoint();
    }

    /// Tells, also when the journal is dropped, whether nothing of it is left.
    pub(crate) fn ended(&self) -> impl Fn() -> bool + Send + use<> {
        let shared = Arc::downgrade(&self.shared);
        move || shared.strong_count() == 0
    }

    /// Waits until no other image of the database is being written.
    pub(crate) fn lock_image(&self) -> MutexGuard<'_, ()> {
        self.shared.image.lock()
    }

    /// Whether a state file has used the journal already: its ledger may have charges open, even after its end.
    pub(crate) fn used(&self) -> bool {
        self.shared.queue.lock().used
    }

    /// Whether another live process had the database open when this one opened it.
    pub(crate) fn held_elsewhere(&self) -> bool {
        self.shared.held_elsewhere
    }

    /// Counts one more state file that uses the journal.
    pub(crate) fn enter(&self, durability: Durability) -> rusqlite::Result<()> {
        if durability == Durability::Power && !self.shared.power.swap(true, Ordering::AcqRel) {
            schema::set_durability(&self.shared.writer.lock().connection, durability)?;
        }
        let mut queue = self.shared.queue.lock();
        queue.users += 1;
        queue.used = true;
        Ok(())
    }

    /// Ends one use of the journal. With the last one the thread ends and the write-ahead log is copied into the
    /// database; what is appended later is committed by whoever waits for it.
    pub(crate) fn leave(&self) {
        let last = {
            let mut queue = self.shared.queue.lock();
            queue.users -= 1;
            queue.users == 0
        };
        if last {
            self.stop();
            self.shared.commit_queued();
            let _ = checkpoint(&self.shared.writer.lock().connection, "TRUNCATE");
        }
    }

    fn enqueue(&self, entries: Vec<Entry>, teams: Vec<TeamChange>, payment: Option<Payment>) -> Ticket {
        let mut queue = self.shared.queue.lock();
        let first = queue.next;
        queue.next += entries.len() as u64;
        let last = queue.next - 1;
        if let Some(failure) = &mut queue.failure {
            failure.with_unnumbered &= teams.is_empty() && payment.is_none();
        }
        let granted = (!entries.is_empty()).then_some(first);
        queue.entries.extend((first..).zip(entries));
        queue.teams.extend(teams.into_iter().map(|team| (team.id, team.json)));
        queue.payments.extend(payment.map(|payment| (granted, payment)));
        if !queue.armed && self.ensure_thread(&mut queue) {
            queue.armed = true;
            self.shared.wake.notify_one();
        }
        Ticket { first, last }
    }

    fn stop(&self) {
        {
            let mut queue = self.shared.queue.lock();
            queue.stop = queue.running;
            self.shared.wake.notify_one();
        }
        let thread = self.thread.lock().take();
        // The last user may leave from a callback, on that very thread, which then ends by itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            thread.join().expect("the writer's thread catches what callbacks throw");
        }
    }

    /// Sees to it that the thread runs. Without state files, or where no thread can be had, `false`.
    fn ensure_thread(&self, queue: &mut Queue) -> bool {
        if queue.users == 0 || queue.running {
            return queue.running;
        }
        let shared = self.shared.clone();
        let spawned = std::thread::Builder::new().name("paygate-writer".into()).spawn(move || shared.run());
        queue.running = spawned.is_ok();
        *self.thread.lock() = spawned.ok();
        queue.running
    }
}

fn unreadable(error: rusqlite::Error) -> JournalError {
    JournalError(error.to_string().into())
}

impl Drop for SqliteJournal {
    fn drop(&mut self) {
        self.shared.queue.lock().users = 0;
        self.stop();
        self.shared.commit_queued();
        let _ = holders::leave(&self.shared.writer.lock().connection);
    }
}

impl Journal for SqliteJournal {
    fn durability(&self) -> Durability {
        if self.shared.power.load(Ordering::Acquire) { Durability::Power } else { Durability::Process }
    }

    fn open_account(&self) -> AccountId {
        AccountId(self.shared.accounts.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn append(&self, entries: Vec<Entry>, teams: Vec<TeamChange>) -> Ticket {
        self.enqueue(entries, teams, None)
    }

    fn append_payment(&self, grant: Option<Entry>, payment: Payment) -> Ticket {
        self.enqueue(grant.into_iter().collect(), Vec::new(), Some(payment))
    }

    fn find_payment(&self, ids: &[Box<str>]) -> Result<Option<PaymentStanding>, JournalError> {
        // Asked of the database alone, after everything queued was committed: another process may have written it.
        self.with_connection(|connection| {
            let queue = self.shared.queue.lock();
            if !queue.payments.is_empty() {
                return Err(JournalError(queue.last_error()));
            }
            drop(queue);
            payments::standing(connection, ids).map_err(unreadable)
        })
    }

    fn parked_payments(&self) -> Result<Vec<Payment>, JournalError> {
        self.with_connection(payments::parked).map_err(unreadable)
    }

    fn wait(&self, ticket: Ticket) -> Result<(), JournalError> {
        let shared = &self.shared;
        if shared.plainly_durable(ticket, shared.durable.load(Ordering::Acquire)) {
            return Ok(());
        }
        let (news, outcome) = {
            let mut writer = shared.writer.lock();
            let known = shared.queue.lock().outcome(ticket, shared.durable.load(Ordering::Acquire));
            if let Some(outcome) = known {
                return outcome;
            }
            (shared.commit(&mut writer), shared.settled(ticket))
        };
        shared.tell(news);
        outcome
    }

    fn when_durable(&self, ticket: Ticket, done: OnDurable) {
        {
            let mut queue = self.shared.queue.lock();
            if self.ensure_thread(&mut queue) {
                queue.callbacks.push((ticket, done));
                self.shared.wake.notify_one();
                return;
            }
        }
        done(self.wait(ticket));
    }
}
