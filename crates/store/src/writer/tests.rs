use std::sync::mpsc;

use paygate_core::clock::{ManualClock, Timestamp};
use paygate_core::config::GateConfig;
use paygate_core::credits::Credits;
use paygate_core::entropy::SeededEntropy;
use paygate_core::gate::{Arguments, CallRequest, Charged, Gate, GateParts};
use paygate_core::ledger::{Ending, KeyOptions, Ledger, LedgerParts, RefundPolicy};
use paygate_core::usage::UsageMeter;
use tempfile::TempDir;

use super::*;
use crate::read::{self, AccountRow};
use crate::verify::verify;

/// A gate over a journal whose database can be kept from growing.
struct Fixture {
    gate: Arc<Gate>,
    journal: Arc<SqliteJournal>,
    clock: Arc<ManualClock>,
    told: Mutex<mpsc::Receiver<String>>,
    _folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("books.db");
        std::fs::File::create(&path).unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp(1_773_480_413_589)));
        let (teller, told) = mpsc::channel();
        let tell: Tell = Arc::new(move |notice: &Notice<'_>| teller.send(notice.to_string()).unwrap());
        let journal = SqliteJournal::open(&path, Durability::Process, clock.clone(), tell).unwrap();
        let journal = Arc::new(journal);
        let ledger = Arc::new(Ledger::new(LedgerParts {
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(7)),
            journal: journal.clone(),
        }));
        let refunds = RefundPolicy { on_failure: true, on_tool_error: false };
        let config = GateConfig { global_rate_limit: 0.0, refunds, ..GateConfig::default() };
        let gate = Gate::new(
            config,
            GateParts { ledger, meter: Arc::new(UsageMeter::new(100.0)), sinks: Vec::new() },
        );
        Self { gate: Arc::new(gate), journal, clock, told: Mutex::new(told), _folder: folder }
    }

    fn with_key(credits: u64) -> Self {
        let fixture = Self::new();
        fixture.open("k", credits);
        fixture
    }

    fn open(&self, key: &str, credits: u64) {
        let credits = Credits::new(credits).unwrap();
        let opened = self.gate.ledger().open(key, "", credits, KeyOptions::default());
        self.gate.ledger().wait(opened.ticket).unwrap();
    }

    fn charge(&self) -> Charged {
        let call = CallRequest { key: Some("k"), tool: "t", arguments: Arguments::None, address: None };
        self.gate.charge(&call).unwrap().charge.unwrap()
    }

    fn balance(&self) -> u64 {
        self.gate.ledger().accounts.current("k").unwrap().lock().credits.get()
    }

    /// Lets the database grow no further, or again.
    fn disk_is_full(&self, full: bool) {
        let writer = self.journal.shared.writer.lock();
        let pages = "SELECT max(page_count, ?1) FROM pragma_page_count";
        let limit: i64 =
            writer.connection.query_row(pages, [if full { 0 } else { 1 << 30 }], |row| row.get(0)).unwrap();
        writer.connection.pragma_update_and_check(None, "max_page_count", limit, |_| Ok(())).unwrap();
    }

    /// Charges until one cannot be written.
    fn charge_until_full(&self) -> Charged {
        loop {
            let charged = self.charge();
            if self.journal.wait(charged.ticket()).is_err() {
                return charged;
            }
            charged.settle(Ending::Result);
        }
    }

    fn number(&self, sql: &str) -> i64 {
        self.journal.with_connection(|connection| connection.query_row(sql, [], |row| row.get(0)).unwrap())
    }

    fn assert_books_agree(&self) {
        self.journal.flush().unwrap();
        let report = self.journal.with_connection(verify).unwrap();
        assert_eq!(report.faults, Vec::<String>::new());
        let total = self.number("SELECT sum(credits) FROM keys");
        assert_eq!(total.unsigned_abs(), self.gate.ledger().totals().balance);
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().try_iter().collect()
    }
}

fn accounts(connection: &Connection) -> Vec<AccountRow> {
    let mut rows = Vec::new();
    read::each_account(connection, |row| rows.push(row)).unwrap();
    rows
}

#[test]
fn a_charge_that_cannot_be_written_is_dropped_and_everything_else_kept() {
    let fixture = Fixture::with_key(1_000_000);
    let before = fixture.charge();
    fixture.journal.wait(before.ticket()).unwrap();
    fixture.disk_is_full(true);
    let failed = fixture.charge_until_full();
    let balance = fixture.balance();
    failed.undo();
    assert_eq!(fixture.balance(), balance + 1);

    let granted = fixture.gate.ledger().grant("k", Credits::new(5).unwrap()).unwrap().unwrap();
    let message = fixture.journal.wait(granted.ticket).unwrap_err().to_string();
    assert!(message.contains("full"), "{message}");
    before.settle(Ending::RpcError);
    let health = fixture.journal.health();
    assert!(health.queued >= 2 && health.failed_commits >= 2 && health.last_error.is_some(), "{health:?}");
    assert_eq!(fixture.told().len(), 1, "a streak is told once");

    fixture.disk_is_full(false);
    fixture.journal.wait(granted.ticket).unwrap_err(); // its waiter is told the failure once more, not lied to
    fixture.journal.flush().unwrap();
    fixture.journal.wait(granted.ticket).unwrap();
    fixture.assert_books_agree();
    assert_eq!(fixture.told(), ["[paygate] State is saved again."]);
    assert_eq!(fixture.journal.health().last_error, None);
    assert_eq!(fixture.number("SELECT count(*) FROM gaps"), 1);
}

#[test]
fn a_dropped_charge_stays_failed_after_recovery() {
    let fixture = Fixture::with_key(1_000_000);
    fixture.disk_is_full(true);
    let failed = fixture.charge_until_full();
    let ticket = failed.ticket();
    failed.undo();
    fixture.disk_is_full(false);
    fixture.journal.wait(fixture.charge().ticket()).unwrap();
    fixture.journal.wait(ticket).unwrap_err();
    let (tell, heard) = mpsc::channel();
    fixture.journal.when_durable(ticket, Box::new(move |outcome| tell.send(outcome).unwrap()));
    heard.recv().unwrap().unwrap_err();
}

#[test]
fn a_charge_that_was_settled_before_its_loss_was_heard_of_comes_out_right() {
    for (ending, spent) in [(Ending::Result, 1), (Ending::RpcError, 0)] {
        let fixture = Fixture::with_key(1_000_000);
        fixture.disk_is_full(true);
        fixture.charge_until_full().undo();
        // One whose ending is queued with it, one whose ending comes after it was dropped.
        let balance = fixture.balance();
        let together = fixture.charge();
        let ticket = together.ticket();
        together.settle(ending);
        fixture.journal.wait(ticket).unwrap_err();
        let dropped = fixture.charge();
        fixture.journal.wait(dropped.ticket()).unwrap_err();
        dropped.settle(ending);
        assert_eq!(fixture.balance(), balance - 2 * spent);
        fixture.disk_is_full(false);
        fixture.assert_books_agree();
        assert_eq!(fixture.number("SELECT count(*) FROM entries WHERE open = 1"), 0);
    }
}

#[test]
fn a_rotation_amid_a_failure_loses_nothing() {
    let fixture = Fixture::with_key(1_000_000);
    fixture.disk_is_full(true);
    let failed = fixture.charge_until_full();
    let _ = fixture.gate.ledger().rotate("k").unwrap();
    failed.undo();
    fixture.disk_is_full(false);
    fixture.assert_books_agree(); // in sum; what is on the wrong account is moved when the books are next opened
    let mut rows = fixture.journal.with_connection(accounts);
    assert_eq!(rows[0].credits, 1);
    let corrections = crate::recovery::corrections(&mut rows, Timestamp(0));
    fixture.journal.append(corrections, Vec::new());
    fixture.assert_books_agree();
    let rows = fixture.journal.with_connection(accounts);
    assert_eq!((rows[0].credits, rows[1].credits.unsigned_abs()), (0, fixture.balance()));
}

#[test]
fn a_long_queue_is_not_tried_again_by_everyone_but_by_the_clock() {
    let fixture = Fixture::with_key(1_000_000);
    fixture.disk_is_full(true);
    fixture.charge_until_full().undo();
    for _ in 0..=EAGER_RETRY_MAX {
        let _ = fixture.gate.ledger().deduct("k", Credits::new(1).unwrap()).unwrap();
    }
    fixture.journal.flush().unwrap_err();
    let failed_commits = fixture.journal.health().failed_commits;
    let refused = fixture.charge();
    fixture.journal.wait(refused.ticket()).unwrap_err();
    refused.undo();
    assert_eq!(fixture.journal.health().failed_commits, failed_commits);

    fixture.disk_is_full(false);
    fixture.clock.advance(RETRY);
    let charged = fixture.charge();
    fixture.journal.wait(charged.ticket()).unwrap();
    fixture.assert_books_agree();
}

#[test]
fn what_failed_is_tried_again_by_the_thread() {
    let fixture = Fixture::with_key(1_000_000);
    fixture.journal.enter(Durability::Process).unwrap();
    fixture.disk_is_full(true);
    fixture.charge_until_full().undo();
    let _ = fixture.gate.ledger().deduct("k", Credits::new(1).unwrap()).unwrap();
    fixture.disk_is_full(false);
    assert!(fixture.told.lock().recv().unwrap().contains("Failed to save state"));
    assert_eq!(fixture.told.lock().recv().unwrap(), "[paygate] State is saved again.");
    fixture.assert_books_agree();
    fixture.journal.leave();
}

#[test]
fn a_team_change_of_its_own_is_waited_for_and_survives_a_failure() {
    let fixture = Fixture::with_key(1_000_000);
    let team = |json: &str| {
        let change = TeamChange { id: "team_1".into(), json: json.into() };
        fixture.gate.ledger().save_team(change)
    };
    fixture.journal.wait(team(r#"{"id":"team_1","n":1}"#)).unwrap();
    fixture.disk_is_full(true);
    fixture.charge_until_full().undo();
    let long = format!(r#"{{"id":"team_1","n":"{}"}}"#, "x".repeat(100_000));
    fixture.journal.wait(team(&long)).unwrap_err();
    fixture.disk_is_full(false);
    fixture.journal.wait(team(r#"{"id":"team_1","n":3}"#)).unwrap();
    assert_eq!(fixture.number("SELECT record ->> 'n' FROM teams"), 3);
}

#[test]
fn callbacks_come_for_all_of_many_tickets_and_one_that_panics_stops_none() {
    let fixture = Fixture::with_key(1_000_000);
    fixture.journal.enter(Durability::Process).unwrap();
    let (tell, heard) = mpsc::channel();
    fixture.journal.when_durable(Ticket { first: 1, last: 1 }, Box::new(|_| panic!("a caller's own fault")));
    for _ in 0..1000 {
        let charged = fixture.charge();
        let tell = tell.clone();
        fixture.journal.when_durable(
            charged.ticket(),
            Box::new(move |outcome| tell.send((outcome.is_ok(), charged)).unwrap()),
        );
    }
    for (durable, charged) in heard.iter().take(1000) {
        assert!(durable);
        charged.settle(Ending::Result);
    }
    fixture.journal.leave();
    fixture.assert_books_agree();
    assert_eq!(fixture.number("SELECT count(*) FROM entries WHERE open = 1"), 0);
}

#[test]
fn what_nobody_waits_for_is_written_all_the_same() {
    let fixture = Fixture::with_key(10);
    fixture.journal.enter(Durability::Process).unwrap();
    let _ = fixture.gate.ledger().deduct("k", Credits::new(1).unwrap()).unwrap();
    let reader = schema::connect(fixture.journal.path()).unwrap();
    let credits = || reader.query_row("SELECT credits FROM keys", [], |row| row.get::<_, i64>(0)).unwrap();
    while credits() != 9 {
        std::thread::yield_now();
    }
    fixture.journal.leave();
}

#[test]
fn a_charge_writes_two_rows_whatever_the_number_of_keys() {
    let fixture = Fixture::with_key(1_000_000);
    let rows_of_a_charge = || {
        let changes = || fixture.journal.with_connection(Connection::total_changes);
        let before = changes();
        fixture.journal.wait(fixture.charge().ticket()).unwrap();
        fixture.journal.flush().unwrap();
        changes() - before
    };
    // The charge, its account; then, the charge being dropped at once, its ending and the account again.
    let with_one = rows_of_a_charge();
    for key in 0..10_000 {
        let _ = fixture.gate.ledger().open(&format!("k{key}"), "", Credits::ZERO, KeyOptions::default());
    }
    fixture.journal.flush().unwrap();
    assert_eq!((with_one, rows_of_a_charge()), (5, 5));
}

#[test]
fn no_statement_of_a_commit_reads_a_whole_table() {
    let fixture = Fixture::new();
    fixture.journal.with_connection(|connection| {
        for sql in batch::STATEMENTS.iter().chain(&crate::payments::STATEMENTS) {
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let blanks = vec![rusqlite::types::Null; plan.parameter_count()];
            let steps =
                plan.query_map(rusqlite::params_from_iter(blanks), |row| row.get::<_, String>(3)).unwrap();
            for step in steps.map(Result::unwrap) {
                assert!(!step.contains("SCAN"), "{sql}: {step}");
            }
        }
    });
}

#[test]
fn a_hot_key_is_changed_once_in_a_batch() {
    let fixture = Fixture::with_key(1_000_000);
    let before = fixture.journal.with_connection(Connection::total_changes);
    for _ in 0..100 {
        let _ = fixture.gate.ledger().deduct("k", Credits::new(1).unwrap()).unwrap();
    }
    fixture.journal.flush().unwrap();
    assert_eq!(fixture.journal.with_connection(Connection::total_changes) - before, 101);
    fixture.assert_books_agree();
}

#[test]
fn a_key_that_is_opened_again_keeps_its_place_under_a_new_account() {
    let fixture = Fixture::new();
    for key in ["a", "b", "k"] {
        fixture.open(key, 10);
    }
    let left = {
        fixture.open("k", 10);
        fixture.charge()
    };
    fixture.open("a", 3);
    // Twice in one commit.
    let _ = fixture.gate.ledger().open("b", "", Credits::new(4).unwrap(), KeyOptions::default());
    let _ = fixture.gate.ledger().open("b", "", Credits::new(5).unwrap(), KeyOptions::default());
    fixture.assert_books_agree();
    let rows = fixture.journal.with_connection(accounts);
    let found: Vec<_> = rows.iter().map(|row| (&*row.key, row.id.0, row.credits)).collect();
    assert_eq!(found, [("a", 5, 3), ("b", 7, 5), ("k", 4, 9)]);
    drop(left);
}

#[test]
fn the_log_is_copied_and_begun_anew_under_load() {
    let fixture = Fixture::with_key(u64::from(u32::MAX));
    fixture.journal.enter(Durability::Process).unwrap();
    let mut longest = 0;
    loop {
        let ticket = fixture.gate.ledger().deduct("k", Credits::new(1).unwrap()).unwrap().ticket;
        fixture.journal.wait(ticket).unwrap();
        let pages = fixture.journal.shared.log_pages.load(Ordering::Relaxed);
        if pages < longest {
            break;
        }
        longest = pages;
    }
    assert!((CHECKPOINT_PAGES..2 * CHECKPOINT_PAGES_MAX).contains(&longest), "{longest}");
    fixture.journal.leave();
    fixture.assert_books_agree();
}

#[test]
fn threads_that_wait_share_commits_and_the_law_holds() {
    let fixture = Fixture::with_key(1_000_000);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for call in 0..200 {
                    let charged = fixture.charge();
                    fixture.journal.wait(charged.ticket()).unwrap();
                    charged.settle(if call % 3 == 0 { Ending::TimedOut } else { Ending::Result });
                }
            });
        }
    });
    fixture.assert_books_agree();
    assert_eq!(fixture.balance(), 1_000_000 - 8 * 133);
}
