//! The test binary runs itself as the process that is killed, as in `crash`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use paygate_core::clock::Timestamp;
use paygate_core::key::record::Identity;
use paygate_core::usage::audit::{AuditFilter, AuditLimits, AuditLog, Paging};
use paygate_core::usage::{Kept, UsageEvent, UsageFilter, Who};
use paygate_store::{History, OpenOptions, Retention, StateFile};

use crate::books::{Books, Uses};

/// Names the state file for the child; without it, [`child`] is no test.
const STATE_FILE: &str = "PAYGATE_TEST_HISTORY";

fn event(number: i64) -> UsageEvent {
    UsageEvent {
        at: Timestamp(1_773_480_413_589 + number),
        who: Who::Known(Arc::new(Identity::new("pg_1234567", "k", "default"))),
        tool: format!("tool{}", number % 7).into(),
        credits: number,
        allowed: true,
        reason: None,
    }
}

fn history(file: &StateFile) -> &Arc<History> {
    file.history().unwrap()
}

fn events(file: &StateFile) -> Vec<Kept> {
    let selection = history(file).usage().select(&UsageFilter::default()).unwrap();
    selection.entries.map(Result::unwrap).collect()
}

/// Tells events until it is killed, and says how many are written.
#[test]
#[expect(clippy::disallowed_methods, reason = "how a test binary tells its own child what to do")]
fn child() {
    let Some(path) = std::env::var_os(STATE_FILE) else { return };
    let file = StateFile::open(OpenOptions::new(path)).unwrap();
    let (sink, usage) = (history(&file).usage_sink(), history(&file).usage());
    let log = AuditLog::new(AuditLimits::default(), Arc::new(paygate_core::clock::SystemClock));
    history(&file).resume_log(&log).unwrap();
    let start = i64::try_from(usage.count().unwrap()).unwrap();
    for number in start.. {
        // Logged first, so that wherever it is killed there are as many of these at least.
        log.log("gate.allow", "***", "", &());
        sink.publish(&event(number));
        if number % 500 == 0 {
            let count = usage.count().unwrap();
            writeln!(std::io::stdout(), "written {count}").unwrap();
        }
    }
}

fn start(path: &std::path::Path) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["history::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(STATE_FILE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (child, out)
}

#[test]
fn after_a_kill_the_events_are_whole_up_to_some_moment_and_their_sums_agree() {
    let books = Books::command_line();
    let mut before = 0;
    for _ in 0..3 {
        let (mut child, out) = start(&books.path());
        let mut written = before;
        for line in out.lines() {
            let line = line.unwrap();
            let Some(count) = line.split_once("written ").and_then(|(_, count)| count.parse().ok()) else {
                continue;
            };
            written = count;
            if written > before + 6000 {
                child.kill().unwrap(); // what it said before it died is still read
            }
        }
        child.wait().unwrap();
        assert!(written > before + 6000, "the child ended by itself at {written}");
        let file = books.open();
        let events = events(&file);
        assert!(events.len() >= written, "{} of {written} are there", events.len());
        let numbers = events.iter().map(Kept::credits);
        assert!(
            numbers.zip(0_u32..).all(|(credits, number)| credits == f64::from(number)),
            "some are missing"
        );
        let audit = history(&file).audit();
        let page = audit.query(&AuditFilter::default(), Paging::default()).unwrap();
        assert!(page.total >= written);
        assert_eq!(page.events[0].id, page.total as u64, "ids go on");
        file.assert_books_agree();
        before = events.len();
    }
}

#[test]
fn two_state_files_on_one_path_keep_one_history() {
    let books = Books::command_line();
    let mut options = books.options.clone();
    options.retention = Retention { rows_max: 5000, ..Retention::default() };
    let files = [books.open(), StateFile::open(options).unwrap()];
    for round in 0..6 {
        for file in &files {
            let sink = history(file).usage_sink();
            // Each names tools of its own, which go with their events.
            let tool = |number| UsageEvent { tool: format!("tool{round}").into(), ..event(number) };
            (0..2000).for_each(|number| sink.publish(&tool(number)));
            history(file).usage().count().unwrap();
        }
    }
    let count = history(&files[0]).usage().count().unwrap();
    assert_eq!(history(&files[1]).usage().count().unwrap(), count);
    assert_eq!(events(&files[0]).len() as u64, count);
    files[0].assert_books_agree();
}
