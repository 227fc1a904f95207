//! What was paid for is granted once, whatever happens to the process.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use paygate_core::credits::Credits;
use paygate_core::journal::Payment;
use paygate_core::ledger::Paid;
use paygate_store::{OpenOptions, StateFile};
use proptest::prelude::*;

use crate::books::{Books, NOW, Uses};

/// Names the state file for the child; without it, [`child`] is no test.
const STATE_FILE: &str = "PAYGATE_TEST_PAYMENTS_STATE_FILE";

fn payment(ids: &[&str], key: &str, amount: u64) -> Payment {
    Payment {
        at: NOW,
        ids: ids.iter().map(|id| (*id).into()).collect(),
        event: "checkout.session.completed".into(),
        key: key.into(),
        credits: Credits::new(amount).unwrap(),
    }
}

fn tell(file: &StateFile, ids: &[&str], key: &str, amount: u64) -> Paid {
    let written = file.ledger().grant_once(payment(ids, key, amount)).unwrap();
    file.ledger().wait(written.ticket).unwrap();
    written.value
}

fn granted(balance: u64) -> Paid {
    Paid::Granted { balance: Credits::new(balance).unwrap() }
}

#[test]
fn a_payment_is_remembered_when_the_books_are_opened_again() {
    let books = Books::command_line();
    let file = books.open();
    file.open_key("k", 1);
    assert_eq!(tell(&file, &["event:1", "session:1"], "k", 5), granted(6));
    assert_eq!(tell(&file, &["event:1"], "k", 5), Paid::Repeated);
    drop(file);
    let file = books.open();
    assert_eq!(tell(&file, &["event:2", "session:1"], "k", 5), Paid::Repeated);
    assert_eq!(file.balance("k"), Some(6));
    file.assert_books_agree();
}

#[test]
fn a_parked_payment_waits_on_disk_for_its_key() {
    let books = Books::command_line();
    let file = books.open();
    assert_eq!(tell(&file, &["event:1", "session:1"], "k", 5), Paid::Parked);
    drop(file);
    let file = books.open();
    assert_eq!(tell(&file, &["event:1"], "k", 5), Paid::Parked);
    assert_eq!(file.ledger().unmatched_payments().unwrap(), [payment(&["event:1", "session:1"], "k", 5)]);
    file.open_key("k", 0);
    assert_eq!(tell(&file, &["event:2", "session:1"], "k", 5), granted(5));
    assert_eq!(file.ledger().unmatched_payments().unwrap(), []);
    drop(file);
    let file = books.open();
    assert_eq!(tell(&file, &["event:1"], "k", 5), Paid::Repeated, "the parked payment's other id");
    file.assert_books_agree();
}

#[test]
fn two_state_files_on_one_database_grant_a_payment_once() {
    let books = Books::command_line();
    let (one, other) = (books.open(), books.open());
    one.open_key("k", 0);
    other.open_key("j", 0);
    assert_eq!(tell(&one, &["event:1"], "k", 5), granted(5));
    assert_eq!(tell(&other, &["event:1"], "j", 5), Paid::Repeated);
}

#[test]
fn while_the_database_cannot_be_written_no_payment_is_acknowledged_and_none_is_granted_twice() {
    let books = Books::command_line();
    let file = books.open();
    file.open_key("k", 0);
    let blocker = rusqlite::Connection::open(books.database()).unwrap();
    blocker
        .execute_batch("CREATE TRIGGER full BEFORE INSERT ON payments BEGIN SELECT raise(FAIL, 'full'); END")
        .unwrap();
    let told = |ids: &[&str]| {
        let written = file.ledger().grant_once(payment(ids, "k", 5)).map_err(|error| error.to_string())?;
        file.ledger().wait(written.ticket).map_err(|error| error.to_string())
    };
    for _ in 0..3 {
        assert!(told(&["event:1"]).unwrap_err().contains("full"));
    }
    assert!(
        told(&["event:2"]).unwrap_err().contains("full"),
        "nothing is granted whose past cannot be asked"
    );
    blocker.execute_batch("DROP TRIGGER full").unwrap();
    assert_eq!(tell(&file, &["event:1"], "k", 5), Paid::Repeated, "its grant was kept and written");
    assert_eq!(tell(&file, &["event:2"], "k", 5), granted(10));
    file.assert_books_agree();
}

#[test]
fn a_database_from_before_payments_were_on_record_is_taken_over() {
    let books = Books::command_line();
    let file = books.open();
    file.open_key("k", 1);
    drop(file);
    let database = rusqlite::Connection::open(books.database()).unwrap();
    let earlier = "DROP TABLE payments; DROP TABLE payment_ids;
        DROP TABLE usage; DROP TABLE usage_lines; DROP TABLE usage_reasons; DROP TABLE usage_blocks;
        DROP TABLE usage_tenants; DROP TABLE audit; DROP TABLE audit_types; PRAGMA user_version = 1;";
    database.execute_batch(earlier).unwrap();
    assert!(paygate_store::verify_file(&books.database()).unwrap().clean(), "it can be verified as it is");
    drop(database);
    let file = books.open();
    assert_eq!(tell(&file, &["event:1"], "k", 5), granted(6));
    file.assert_books_agree();
}

#[test]
fn verifying_finds_a_grant_whose_payment_is_not_on_record() {
    let books = Books::command_line();
    let file = books.open();
    file.open_key("k", 0);
    tell(&file, &["event:1"], "k", 5);
    tell(&file, &["event:2"], "k", 7);
    let database = rusqlite::Connection::open(books.database()).unwrap();
    database
        .execute_batch("UPDATE payments SET entry = (SELECT max(entry) FROM payments), credits = 7")
        .unwrap();
    let faults = file.verify().unwrap().unwrap().faults;
    assert_eq!(faults, ["entry 2 grants 0 payments", "entry 3 grants 2 payments"]);
}

/// What is told: an event, the session it is about, and whether the books are opened anew before.
fn tellings() -> impl Strategy<Value = Vec<(u8, u8, bool)>> {
    prop::collection::vec((0..20_u8, 0..10_u8, prop::bool::weighted(0.1)), 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn books_that_are_opened_again_and_again_grant_each_payment_once(tellings in tellings()) {
        let books = Books::command_line();
        let mut file = books.open();
        file.open_key("k", 0);
        let (mut events, mut sessions, mut sum) = (HashSet::new(), HashSet::new(), 0);
        for (event, session, reopen) in tellings {
            if reopen {
                file = books.open();
            }
            let ids = [format!("event:{event}"), format!("session:{session}")];
            let new = !events.contains(&event) && !sessions.contains(&session);
            let paid = tell(&file, &[&ids[0], &ids[1]], "k", u64::from(event) + 1);
            prop_assert_eq!(paid != Paid::Repeated, new);
            if new {
                events.insert(event);
                sessions.insert(session);
                sum += u64::from(event) + 1;
            }
        }
        drop(file);
        let file = books.open();
        prop_assert_eq!(file.balance("k"), Some(sum));
        file.assert_books_agree();
    }
}

/// Tells of payments from several threads until it is killed, each payment twice, and says which are acknowledged.
#[test]
#[expect(clippy::disallowed_methods, reason = "how a test binary tells its own child what to do")]
fn child() {
    let Some(path) = std::env::var_os(STATE_FILE) else { return };
    let file = StateFile::open(OpenOptions::new(path)).unwrap();
    let out = std::sync::Mutex::new(std::io::stdout());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (file, out) = (&file, &out);
            scope.spawn(move || {
                for event in 0..200_000 {
                    tell(file, &[&format!("event:{event}"), &format!("session:{}", event / 2)], "k", 1);
                    let mut out = out.lock().unwrap();
                    writeln!(out, "told {event}").unwrap();
                    out.flush().unwrap();
                }
            });
        }
    });
}

#[test]
fn a_killed_process_grants_each_payment_once_and_loses_none_that_it_acknowledged() {
    let books = Books::command_line();
    let file = books.open();
    file.open_key("k", 0);
    drop(file);
    let mut acknowledged = HashSet::new();
    for round in 1..=4 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["payments::child", "--exact", "--nocapture", "--test-threads=1"])
            .env(STATE_FILE, books.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut told = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some((_, event)) = line.split_once("told ") else { continue };
            acknowledged.insert(event.trim().parse::<u64>().unwrap());
            told += 1;
            // Each round tells of all payments of the rounds before, and of some more.
            if told == 1500 * round {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(told >= 1500 * round, "the child ended by itself after {told}");

        let file = books.open();
        file.assert_books_agree();
        let sessions: HashSet<u64> = acknowledged.iter().map(|event| event / 2).collect();
        let balance = file.balance("k").unwrap();
        let database = rusqlite::Connection::open(books.database()).unwrap();
        let count = |sql: &str| database.query_row(sql, [], |row| row.get::<_, u64>(0)).unwrap();
        assert_eq!(balance, count("SELECT count(*) FROM payments WHERE entry IS NOT NULL"));
        assert_eq!(balance, count("SELECT count(*) FROM payment_ids WHERE id LIKE 'session:%'"));
        assert!(balance >= sessions.len() as u64, "{balance} grants for {} acknowledged", sessions.len());
        assert!(balance <= sessions.len() as u64 + 4, "{balance} grants for {} acknowledged", sessions.len());
    }
}
