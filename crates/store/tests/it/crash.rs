//! The test binary runs itself as the process that is killed: a test that does nothing unless it is told a folder.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use paygate_core::config::GateConfig;
use paygate_core::journal::Durability;
use paygate_core::ledger::Ending;
use paygate_store::{OpenOptions, StateFile};

use crate::books::{Books, Uses, charge, gate};

/// Names the state file for the child; without it, [`child`] is no test.
const STATE_FILE: &str = "PAYGATE_TEST_STATE_FILE";

/// Charges from several threads until it is killed, and says which charges are acknowledged.
#[test]
#[expect(clippy::disallowed_methods, reason = "how a test binary tells its own child what to do")]
fn child() {
    let Some(path) = std::env::var_os(STATE_FILE) else { return };
    let options = OpenOptions { durability: Durability::Process, ..OpenOptions::new(path) };
    let file = StateFile::open(options).unwrap();
    if file.balance("k").is_none() {
        file.open_key("k", 1_000_000_000);
    }
    let gate = gate(file.ledger(), GateConfig::default());
    gate.settle_left_open(file.left_open());
    let out = Mutex::new(std::io::stdout());
    let say = |line: &str| {
        let mut out = out.lock().unwrap();
        writeln!(out, "{line}").unwrap();
        out.flush().unwrap();
    };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (gate, file, say) = (&gate, &file, &say);
            scope.spawn(move || {
                for call in 0.. {
                    let charged = charge(gate, "k").unwrap();
                    let ticket = charged.ticket();
                    if file.ledger().wait(ticket).is_err() {
                        charged.undo();
                        say("refused");
                        return;
                    }
                    say(&format!("charged {}", ticket.first));
                    if (thread + call) % 5 == 0 {
                        file.changed(paygate_store::Change::ByMutator);
                    }
                    charged.settle(Ending::Result);
                }
            });
        }
    });
    say(&format!("balance {}", file.balance("k").unwrap()));
}

/// A child that charges.
fn start(path: &Path, command: &mut Command) -> (Child, BufReader<ChildStdout>) {
    let mut child = command
        .args(["crash::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(STATE_FILE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (child, out)
}

fn acknowledged(line: &str) -> Option<i64> {
    // The test runner's own words may stand before the first line.
    line.split_once("charged ")?.1.trim().parse().ok()
}

#[test]
fn a_killed_process_loses_no_charge_that_it_acknowledged() {
    let books = Books::command_line();
    let mut spent = 0;
    for round in 1..=5 {
        let (mut child, out) = start(&books.path(), &mut Command::new(std::env::current_exe().unwrap()));
        let mut sequences = Vec::new();
        for line in out.lines() {
            sequences.extend(acknowledged(&line.unwrap()));
            if sequences.len() == 200 * round {
                child.kill().unwrap(); // what it said before it died is still read
            }
        }
        child.wait().unwrap();
        assert!(sequences.len() >= 200 * round, "the child ended by itself after {}", sequences.len());

        let database = rusqlite::Connection::open(books.database()).unwrap();
        let mut found = database.prepare("SELECT count(*) FROM entries WHERE seq = ?1 AND kind = 4").unwrap();
        for sequence in &sequences {
            let count: i64 = found.query_row([sequence], |row| row.get(0)).unwrap();
            assert_eq!(count, 1, "charge {sequence} was acknowledged and is gone");
        }
        spent += sequences.len() as u64;
        let file = books.open();
        file.assert_books_agree();
        let left = 1_000_000_000 - file.balance("k").unwrap();
        assert!(left >= spent, "{left} credits were taken for {spent} acknowledged charges");
        assert!(left <= spent + 4 * round as u64 + 4 * round as u64, "{left} against {spent}");
        assert!(file.left_open().len() <= 8, "{} charges are open", file.left_open().len());
    }
}

#[test]
fn a_process_on_a_full_disk_refuses_charges_and_its_books_agree() {
    let books = Books::command_line();
    // The shell limits the size of files, in blocks of 512 bytes; writing beyond is an error, not a signal.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 1000; exec \"$0\" \"$@\""]);
    let (mut child, out) = start(&books.path(), shell.arg(std::env::current_exe().unwrap()));
    let lines: Vec<String> = out.lines().map(Result::unwrap).collect();
    child.wait().unwrap();
    let charged = lines.iter().filter_map(|line| acknowledged(line)).count() as u64;
    assert_eq!(lines.iter().filter(|line| line.contains("refused")).count(), 4, "{lines:?}");
    assert!(lines.contains(&format!("balance {}", 1_000_000_000 - charged)), "{:?}", lines.last());

    let file = books.open();
    file.assert_books_agree();
    assert_eq!(file.balance("k"), Some(1_000_000_000 - charged));
}

#[test]
fn a_process_that_has_the_database_open_is_named_and_both_books_agree() {
    let books = Books::command_line();
    let (mut child, out) = start(&books.path(), &mut Command::new(std::env::current_exe().unwrap()));
    let mut lines = out.lines().map(Result::unwrap);
    lines.by_ref().find(|line| acknowledged(line).is_some()).unwrap();
    let file = books.open();
    let told = books.told();
    assert!(told[0].ends_with(&format!("is open in another process too (pid {})", child.id())), "{told:?}");
    assert_eq!(file.left_open().len(), 0, "they are the other's");
    let before = file.balance("k").unwrap();
    for _ in 0..20 {
        file.spend("k", 1_000);
        lines.by_ref().find(|line| acknowledged(line).is_some()).unwrap();
    }
    assert_eq!(file.balance("k"), Some(before - 20_000));
    child.kill().unwrap();
    let charged = 20 + 1 + lines.filter(|line| acknowledged(line).is_some()).count() as u64;
    child.wait().unwrap();
    file.assert_books_agree();
    drop(file);

    let file = books.open();
    file.assert_books_agree();
    assert!(file.balance("k").unwrap() <= 1_000_000_000 - 20_000 - charged);
    assert!(!books.told().iter().any(|line| line.contains("pid")), "a process that was killed holds nothing");
}
