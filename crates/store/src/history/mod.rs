//! What happened, kept for reports: usage events and the audit log.
//!
//! Reports are not money: they are written behind, by a thread of their own, in short transactions between those of the
//! journal, so that no charge waits for them for long. What was not written when a process is killed, at most a second
//! of it, is lost to reports; the books have it. Readers first write what waits, so they always see everything.

mod alert_rules;
mod audit_tables;
mod block;
mod reader;
#[cfg(test)]
mod tests;
mod usage_reader;
mod usage_tables;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use paygate_core::clock::Clock;
use paygate_core::usage::audit::{AuditEvent, AuditLog, AuditSink};
use paygate_core::usage::{AuditHistory, EventSink, UsageEvent, UsageHistory};
use rusqlite::Connection;

use self::audit_tables::{AuditChange, StoredAudit};
use self::reader::{Pool, Readers};
use self::usage_reader::StoredUsage;
use self::usage_tables::Names;
use crate::state_file::{Notice, Tell};
use crate::writer::SqliteJournal;

pub(crate) use audit_tables::faults as audit_faults;
pub(crate) use usage_tables::faults as usage_faults;

/// How long events gather before they are written.
const GATHERING: Duration = Duration::from_millis(250);
/// How long the thread waits after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// Events of a transaction: few, so that a commit of the journal that comes meanwhile waits about a millisecond.
const STEP: usize = 256;
/// Events that wait at most; what comes when a disk has been failing for so long is lost to reports.
const WAITING_MAX: usize = 65_536;
/// How often it is looked whether something is too old, while events come.
const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// Audit events of each sort that a log goes on with.
const RESUMED: usize = 10_000;

/// How much is kept for reports, of usage events and of each sort of audit events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// So many events at most.
    pub rows_max: u64,
    /// None that is older.
    pub age_max: Duration,
}

impl Default for Retention {
    /// Twenty million events, for 400 days.
    fn default() -> Self {
        Self { rows_max: 20_000_000, age_max: Duration::from_secs(400 * 24 * 60 * 60) }
    }
}

/// Keeps usage and audit events in the database of some books.
///
/// # Threads
/// Callable from any thread. Telling it of an event takes about as long as putting it in a list; readers wait for the
/// disk.
pub struct History {
    journal: Arc<SqliteJournal>,
    clock: Arc<dyn Clock>,
    tell: Tell,
    retention: Retention,
    queue: Mutex<Queue>,
    wake: Condvar,
    writing: Mutex<Writing>,
    pool: Pool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What waits to be written.
#[derive(Default)]
struct Queue {
    usage: VecDeque<UsageEvent>,
    audit: VecDeque<AuditChange>,
    /// Whether the latest write failed.
    failing: bool,
    /// Events that could not wait.
    lost: u64,
    running: bool,
    stop: bool,
}

impl Queue {
    fn waiting(&self) -> usize {
        self.usage.len() + self.audit.len()
    }
}

/// What whoever writes needs.
#[derive(Default)]
struct Writing {
    names: Names,
    pruned_at: Duration,
    /// Whether it was told that calls without a key are no longer recorded.
    told_anonymous: bool,
}

/// What comes from one transaction.
struct Step {
    usage: Vec<UsageEvent>,
    audit: Vec<AuditChange>,
}

impl History {
    pub(crate) fn new(
        journal: Arc<SqliteJournal>,
        clock: Arc<dyn Clock>,
        tell: Tell,
        retention: Retention,
    ) -> Arc<Self> {
        Arc::new(Self {
            journal,
            clock,
            tell,
            retention,
            queue: Mutex::default(),
            wake: Condvar::new(),
            writing: Mutex::default(),
            pool: Pool::default(),
            thread: Mutex::default(),
        })
    }

    /// Hears of usage events.
    pub fn usage_sink(self: &Arc<Self>) -> Arc<dyn EventSink> {
        Arc::new(Recorder(self.clone()))
    }

    /// The usage events, for reports.
    pub fn usage(self: &Arc<Self>) -> Arc<dyn UsageHistory> {
        Arc::new(StoredUsage(self.readers()))
    }

    /// The audit events, for reports.
    pub fn audit(self: &Arc<Self>) -> Arc<dyn AuditHistory> {
        Arc::new(StoredAudit { readers: self.readers(), clock: self.clock.clone() })
    }

    /// Makes a log, in which nothing has been logged yet, go on where the one before ended, and keeps what it logs.
    ///
    /// # Errors
    /// The events there are cannot be read; the log is as it was.
    pub fn resume_log(self: &Arc<Self>, log: &AuditLog) -> std::io::Result<()> {
        let kept = self.readers().read(|connection| audit_tables::latest(connection, RESUMED))?;
        log.resume(kept, Arc::new(Recorder(self.clone())));
        Ok(())
    }

    fn readers(self: &Arc<Self>) -> Arc<Readers> {
        Arc::new(Readers::new(self.clone()))
    }

    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn path(&self) -> &Path {
        self.journal.path()
    }

    // ── Telling ──────────────────────────────────────────────────────────────

    /// Puts something in the queue, if there is room.
    fn push(self: &Arc<Self>, put: impl FnOnce(&mut Queue)) {
        let mut queue = self.queue.lock();
        if queue.waiting() >= WAITING_MAX {
            queue.lost += 1;
            return;
        }
        put(&mut queue);
        self.see_to(&mut queue);
    }

    /// Sees to it that what is in the queue is written.
    fn see_to(self: &Arc<Self>, queue: &mut Queue) {
        if !queue.running {
            self.start(queue);
        } else if queue.waiting() == 1 || queue.waiting() == WAITING_MAX / 2 {
            self.wake.notify_one();
        }
    }

    fn start(self: &Arc<Self>, queue: &mut Queue) {
        let history = self.clone();
        let spawned = std::thread::Builder::new().name("paygate-history".into()).spawn(move || history.run());
        queue.running = spawned.is_ok();
        queue.stop = false;
        *self.thread.lock() = spawned.ok();
    }

    // ── Writing ──────────────────────────────────────────────────────────────

    fn run(&self) {
        let mut queue = self.queue.lock();
        while !queue.stop {
            if queue.waiting() == 0 {
                self.wake.wait(&mut queue);
                continue;
            }
            let pause = if queue.failing { RETRY } else { GATHERING };
            let _ = self.wake.wait_for(&mut queue, pause);
            MutexGuard::unlocked(&mut queue, || {
                let _ = self.flush();
                self.prune_if_due();
                self.journal.checkpoint();
            });
        }
        queue.running = false;
    }

    /// Writes everything that waits now.
    ///
    /// # Errors
    /// It cannot be written; it goes on waiting, and the failure is told once.
    pub(crate) fn flush(&self) -> rusqlite::Result<()> {
        let mut writing = self.writing.lock();
        let mut left = self.queue.lock().waiting();
        while left > 0 {
            let step = self.take();
            let count = step.usage.len() + step.audit.len();
            let written = self.write(&mut writing, &step);
            self.note(written.is_ok());
            if let Err(error) = written {
                self.put_back(step);
                self.tell_failure(&error);
                return Err(error);
            }
            left = left.saturating_sub(count.max(1));
        }
        Ok(())
    }

    fn take(&self) -> Step {
        let mut queue = self.queue.lock();
        let usage = queue.usage.len().min(STEP);
        let audit = queue.audit.len().min(STEP);
        Step { usage: queue.usage.drain(..usage).collect(), audit: queue.audit.drain(..audit).collect() }
    }

    fn put_back(&self, step: Step) {
        let mut queue = self.queue.lock();
        step.usage.into_iter().rev().for_each(|event| queue.usage.push_front(event));
        step.audit.into_iter().rev().for_each(|change| queue.audit.push_front(change));
    }

    fn write(&self, writing: &mut Writing, step: &Step) -> rusqlite::Result<()> {
        let Writing { names, told_anonymous, .. } = writing;
        let left_out = self.in_transaction(|connection| {
            names.refresh(connection, self.journal.history_pruned.load(Ordering::Acquire))?;
            let left_out = usage_tables::write(connection, names, &step.usage, self.retention.rows_max)?;
            audit_tables::write(connection, &step.audit)?;
            Ok(left_out)
        });
        if left_out.is_err() {
            // What it learnt was undone.
            names.forget();
        }
        if left_out? > 0 && !std::mem::replace(told_anonymous, true) {
            (self.tell)(&Notice::Warning(
                "calls without a known key fill a quarter of the usage history; more of them are not recorded",
            ));
        }
        Ok(())
    }

    fn in_transaction<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.journal.with_connection(|connection| {
            let transaction =
                rusqlite::Transaction::new_unchecked(connection, rusqlite::TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })
    }

    /// Notes how a write went, and tells of what was lost once writes succeed again.
    fn note(&self, succeeded: bool) {
        let lost = {
            let mut queue = self.queue.lock();
            let lost = if succeeded { std::mem::take(&mut queue.lost) } else { 0 };
            if succeeded {
                queue.failing = false;
            }
            lost
        };
        if lost > 0 {
            let lost =
                format!("{lost} event(s) are missing in the history: they could not be written in time");
            (self.tell)(&Notice::Warning(&lost));
        }
    }

    fn tell_failure(&self, error: &rusqlite::Error) {
        let first = !std::mem::replace(&mut self.queue.lock().failing, true);
        if first {
            (self.tell)(&Notice::Warning(&format!("the history could not be written: {error}")));
        }
    }

    /// Forgets what is too old or too much, step by step, unless somebody reads.
    fn prune_if_due(&self) {
        let now = self.clock.monotonic();
        {
            let mut writing = self.writing.lock();
            if now < writing.pruned_at + PRUNE_EVERY && !writing.pruned_at.is_zero() {
                return;
            }
            writing.pruned_at = now.max(Duration::from_nanos(1));
        }
        // What fails here is tried again in a minute; writes tell what is wrong with a disk.
        while self.prune_step().unwrap_or(false) {}
    }

    fn prune_step(&self) -> rusqlite::Result<bool> {
        let _writing = self.writing.lock();
        if self.pool.in_use() {
            return Ok(false);
        }
        let age_max = i64::try_from(self.retention.age_max.as_millis()).unwrap_or(i64::MAX);
        let oldest_kept = self.clock.wall().0.saturating_sub(age_max);
        let rows_max = self.retention.rows_max;
        self.in_transaction(|connection| {
            // Before anybody can write with what goes now.
            self.journal.history_pruned.fetch_add(1, Ordering::AcqRel);
            let usage = usage_tables::prune(connection, oldest_kept, rows_max)?;
            let audit = audit_tables::prune(connection, oldest_kept, rows_max)?;
            Ok(usage || audit)
        })
    }

    /// Writes what waits and ends the thread; what comes later starts it again.
    pub(crate) fn close(&self) {
        {
            let mut queue = self.queue.lock();
            queue.stop = true;
            self.wake.notify_one();
        }
        let thread = self.thread.lock().take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            thread.join().expect("the thread of the history does not panic");
        }
        // A failure has been told.
        let _ = self.flush();
    }
}

/// Tells a history what happens.
struct Recorder(Arc<History>);

impl EventSink for Recorder {
    fn publish(&self, event: &UsageEvent) {
        let event = event.clone();
        self.0.push(|queue| queue.usage.push_back(event));
    }
}

impl AuditSink for Recorder {
    fn logged(&self, event: &Arc<AuditEvent>) {
        let change = AuditChange::Logged(event.clone());
        self.0.push(|queue| queue.audit.push_back(change));
    }

    fn cleared(&self) {
        // For this there is always room, as it makes some.
        let mut queue = self.0.queue.lock();
        queue.audit.clear();
        queue.audit.push_back(AuditChange::Cleared);
        self.0.see_to(&mut queue);
    }
}
