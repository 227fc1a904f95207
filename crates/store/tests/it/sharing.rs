use std::sync::Arc;

use paygate_core::config::GateConfig;
use paygate_core::journal::{Durability, Journal};
use paygate_core::ledger::Ending;

use crate::books::{Books, Uses, charge, evaluate, gate};

#[test]
fn two_state_files_on_one_path_share_the_database_and_its_sums_are_right() {
    let books = Books::in_process();
    let first = books.open();
    first.open_key("a", 100);
    let second = books.open();
    assert!(Arc::ptr_eq(first.journal().unwrap(), second.journal().unwrap()));
    second.open_key("b", 10);
    std::thread::scope(|scope| {
        for file in [&first, &second] {
            scope.spawn(|| {
                let gate = gate(file.ledger(), GateConfig::default());
                for _ in 0..20 {
                    assert!(evaluate(&gate, "a").allowed());
                }
            });
        }
    });
    assert_eq!((first.balance("a"), second.balance("a")), (Some(80), Some(80)));
    first.close().unwrap();
    second.spend("a", 1); // the first one's end is not the second's
    second.assert_books_agree();
    drop((first, second));
    let file = books.open();
    assert_eq!((file.balance("a"), file.balance("b")), (Some(59), Some(10)));
}

#[test]
fn credits_that_two_state_files_spent_twice_are_written_off() {
    let books = Books::in_process();
    let first = books.open();
    first.open_key("a", 10);
    let second = books.open();
    first.spend("a", 8);
    second.spend("a", 8);
    drop((first, second));
    let file = books.open();
    assert_eq!(file.balance("a"), Some(0));
    assert_eq!(file.ledger().totals().spent, 16);
    file.grant("a", 5);
    file.assert_books_agree();
    drop(file);
    assert_eq!(books.open().balance("a"), Some(5));
}

#[test]
fn a_state_file_whose_files_were_removed_does_not_disturb_its_successor() {
    let remove_all: fn(&Books) = |books| {
        for name in books.files() {
            std::fs::remove_file(books.folder.path().join(name)).unwrap();
        }
    };
    let remove_image: fn(&Books) = |books| std::fs::remove_file(books.path()).unwrap();
    let remove_both: fn(&Books) = |books| {
        std::fs::remove_file(books.path()).unwrap();
        std::fs::remove_file(books.database()).unwrap();
    };
    for remove in [remove_all, remove_image, remove_both] {
        let books = Books::in_process();
        let old = books.open();
        old.open_key("a", 100);
        remove(&books);
        let new = books.open();
        assert_eq!(new.keys(), Vec::<String>::new());
        new.open_key("b", 10);
        old.spend("a", 1);
        drop(old);
        new.spend("b", 1);
        // Killed here, the new one would lose nothing: a third reads all of it.
        let copy = Books::in_process();
        for end in [".db", ".db-wal"] {
            let name = format!("state.json{end}");
            std::fs::copy(books.folder.path().join(&name), copy.folder.path().join(&name)).unwrap();
        }
        let database = rusqlite::Connection::open(copy.database()).unwrap();
        let found: (String, i64) = database
            .query_row("SELECT key, credits FROM keys", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert_eq!(found, ("b".into(), 9));
        new.assert_books_agree();
    }
}

#[test]
fn open_charges_of_a_live_state_file_are_not_taken_for_left_ones() {
    let books = Books::in_process();
    let first = books.open();
    first.open_key("a", 100);
    let charged = charge(&gate(first.ledger(), GateConfig::default()), "a").unwrap();
    let second = books.open();
    assert_eq!(second.left_open().len(), 0);
    charged.settle(Ending::Result);
    first.assert_books_agree();
}

#[test]
fn after_the_end_changes_are_still_durable() {
    let books = Books::command_line();
    let file = books.open();
    file.open_key("a", 100);
    file.close().unwrap();
    file.close().unwrap();
    file.spend("a", 30);
    let (tell, heard) = std::sync::mpsc::channel();
    let granted = file.ledger().grant("a", Default::default()).unwrap().unwrap();
    let done = Box::new(move |outcome| tell.send(outcome).unwrap());
    file.journal().unwrap().when_durable(granted.ticket, done);
    heard.recv().unwrap().unwrap();
    drop(file);
    assert_eq!(books.open().balance("a"), Some(70));
}

#[test]
fn who_asks_for_power_durability_gets_it_for_all() {
    let mut books = Books::in_process();
    let first = books.open();
    let durability = || first.journal().unwrap().durability();
    assert_eq!(durability(), Durability::Process);
    books.options.durability = Durability::Power;
    let second = books.open();
    assert_eq!(durability(), Durability::Power);
    second.open_key("a", 5);
    second.assert_books_agree();
}

#[test]
fn a_database_that_another_thread_is_closing_is_opened_after_it() {
    let books = Books::command_line();
    books.open().open_key("a", 1_000);
    for _ in 0..50 {
        let file = books.open();
        let ledger = file.ledger().clone();
        drop(file);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // Nobody waits for these: the journal writes them when it is dropped.
                let _ = ledger.deduct("a", Default::default());
                drop(ledger);
            });
            let next = books.open();
            next.spend("a", 1);
        });
    }
    let file = books.open();
    assert_eq!(file.balance("a"), Some(950));
    file.assert_books_agree();
}
