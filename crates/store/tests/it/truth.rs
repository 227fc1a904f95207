use paygate_core::config::GateConfig;
use paygate_core::journal::TeamChange;
use paygate_core::key::team::TeamDraft;
use paygate_core::ledger::{Ending, RefundPolicy};
use paygate_store::{OpenError, Policies, WhenUnreadable};

use crate::books::{Books, Uses, charge, gate};

/// A database that has gone on after its image was written, as a process leaves it that is killed.
fn with_a_later_database(books: &Books) {
    let file = books.open();
    file.open_key("a", 100);
    file.open_key("b", 50);
    let image = books.text();
    file.spend("a", 30);
    file.close().unwrap();
    drop(file);
    books.told();
    books.write(&image);
}

#[test]
fn the_database_is_the_truth_when_the_image_is_ours() {
    let books = Books::command_line();
    let file = books.open();
    file.open_key("a", 100);
    let image = books.text();
    file.spend("a", 30);
    // The image as it was before the charge is still in its place when the books are opened again.
    let again = books.open();
    assert_eq!(books.text(), image);
    assert_eq!(again.balance("a"), Some(70));
    again.assert_books_agree();
}

#[test]
fn an_image_that_was_announced_but_not_confirmed_is_ours() {
    let books = Books::command_line();
    let file = books.open();
    file.open_key("a", 100);
    file.spend("a", 30);
    file.close().unwrap();
    drop(file);
    books.told();
    // As after an end between the renaming and the confirmation.
    let database = rusqlite::Connection::open(books.database()).unwrap();
    database
        .execute_batch(
            "UPDATE meta SET value = (SELECT value FROM meta WHERE name = 'image') WHERE name = 'image_pending';
            UPDATE meta SET value = 'of an earlier one' WHERE name = 'image';
            UPDATE keys SET credits = credits + 5, granted = granted + 5;
            UPDATE entries SET amount = amount + 5, granted = granted + 5 WHERE seq = 1;",
        )
        .unwrap();
    drop(database);
    assert_eq!(books.open().balance("a"), Some(75));
}

#[test]
fn an_image_that_was_restored_or_edited_wins_for_the_keys_it_names() {
    let books = Books::command_line();
    with_a_later_database(&books);
    books.write(&books.text().replace("\"credits\": 50", "\"credits\": 60"));
    let file = books.open();
    assert_eq!((file.balance("a"), file.balance("b")), (Some(100), Some(60)));
    assert_eq!(books.told(), ["[paygate] Loaded 2 key(s) from state.json"]);
    file.assert_books_agree();
    file.spend("a", 1);
    drop(file);

    // What was entered once is not entered again over what came after.
    assert_eq!(books.open().balance("a"), Some(99));
}

#[test]
fn an_edit_that_was_taken_over_does_not_undo_later_charges_even_before_the_next_image() {
    let books = Books::command_line();
    with_a_later_database(&books);
    let first = books.open();
    first.spend("a", 40);
    let again = books.open(); // the image is still the edited one
    assert_eq!(again.balance("a"), Some(60));
}

#[test]
fn keys_that_only_the_database_knows_stay() {
    let books = Books::command_line();
    with_a_later_database(&books);
    books.write(r#"[["c",{"key":"c","credits":7,"active":true}]]"#);
    let file = books.open();
    assert_eq!(file.keys(), ["a", "b", "c"]);
    assert_eq!(
        books.told(),
        [
            "[paygate] kept 2 key(s) that the state file does not name",
            "[paygate] Loaded 3 key(s) from state.json"
        ]
    );
    file.assert_books_agree();
}

#[test]
fn a_key_that_was_rotated_since_a_backup_comes_back_with_numbers_that_agree() {
    let books = Books::command_line();
    let file = books.open();
    file.open_key("a", 100);
    let backup = books.text();
    file.mutated(file.ledger().rotate("a").unwrap());
    drop(file);
    books.write(&backup);
    books.told();
    let file = books.open();
    assert_eq!(file.balance("a"), Some(100));
    assert!(books.told()[0].contains("1 key(s) that had been replaced are back"));
    file.assert_books_agree();
    file.spend("a", 10);
    drop(file);
    let file = books.open();
    assert_eq!(file.balance("a"), Some(90));
    file.assert_books_agree();
}

#[test]
fn a_rotated_key_whose_image_is_ours_stays_rotated() {
    let books = Books::command_line();
    let file = books.open();
    file.open_key("a", 100);
    let place = file.ledger().rotate("a").unwrap();
    let new = file.ledger().accounts.at(place.value).unwrap().lock().key.to_string();
    file.mutated(place);
    file.spend(&new, 5);
    drop(file);
    // Reformatted: not ours, but the same in content.
    books.write(&books.text().replace("\n", ""));
    let file = books.open();
    assert_eq!(file.balance(&new), Some(95));
    assert_eq!(file.ledger().accounts.current("a").unwrap().lock().key.as_ref(), new);
    assert_eq!(file.ledger().totals().balance, 95);
    file.assert_books_agree();
}

#[test]
fn without_its_image_the_command_line_starts_from_the_database() {
    let books = Books::command_line();
    with_a_later_database(&books);
    std::fs::remove_file(books.path()).unwrap();
    let file = books.open();
    assert_eq!((file.balance("a"), file.balance("b")), (Some(70), Some(50)));
    assert_eq!(books.told(), ["[paygate] the state file is missing; starting from state.json.db"]);
}

#[test]
fn without_its_image_a_constructor_starts_empty_and_keeps_the_database() {
    let books = Books::in_process();
    with_a_later_database(&books);
    std::fs::remove_file(books.path()).unwrap();
    let file = books.open();
    assert_eq!(file.keys(), Vec::<String>::new());
    let kept = "state.json.db.removed-1773480413589";
    assert_eq!(
        books.told(),
        [format!("[paygate] the state file is missing; starting empty, and keeping its database as {kept}")]
    );
    drop(file);
    assert_eq!(books.files(), ["state.json.db", kept]);
    let report = paygate_store::verify_file(&books.folder.path().join(kept)).unwrap();
    assert_eq!((report.accounts, report.faults.len()), (2, 0));
}

#[test]
fn a_database_that_never_had_an_image_is_used() {
    let books = Books::in_process();
    let file = books.open();
    let opened = file.ledger().open("a", "", Default::default(), Default::default());
    file.ledger().wait(opened.ticket).unwrap();
    // As after an end before the first image: the file is not closed, only looked at once more.
    let again = books.open();
    assert_eq!(again.keys(), ["a"]);
    assert_eq!(books.told(), Vec::<String>::new());
}

#[test]
fn without_its_database_everything_comes_from_the_image() {
    let books = Books::command_line();
    with_a_later_database(&books);
    std::fs::remove_file(books.database()).unwrap();
    let file = books.open();
    assert_eq!((file.balance("a"), file.balance("b")), (Some(100), Some(50)));
    file.assert_books_agree();
    drop(file);
    assert_eq!(books.open().balance("a"), Some(100));
}

const UNREADABLE: [&str; 4] = ["", "[[\"a\",{\"key\":\"a\"}]", "\u{FEFF}[]", "nonsense"];

#[test]
fn the_command_line_refuses_an_unreadable_image_and_touches_nothing() {
    for text in UNREADABLE.into_iter().chain(["{}", "null"]) {
        let books = Books::command_line();
        books.write(text);
        let error = books.try_open().map(drop).unwrap_err();
        let OpenError::Image { path, offset, .. } = &error else { panic!("{error}") };
        assert_eq!((path, *offset <= text.len()), (&books.path(), true));
        assert!(error.to_string().contains(&*books.path().to_string_lossy()), "{error}");
        assert_eq!((books.files(), books.text().as_str()), (vec!["state.json".to_owned()], text));
    }
}

#[test]
fn the_command_line_names_the_database_that_is_intact() {
    let books = Books::command_line();
    with_a_later_database(&books);
    books.write("[[\"pg_secret\",");
    let error = books.try_open().map(drop).unwrap_err().to_string();
    assert!(error.contains("(byte 14)") || error.contains("(byte 13)"), "{error}");
    assert!(error.contains("state.json.db is intact and has 2 key(s)"), "{error}");
    assert!(!error.contains("pg_secret"), "{error}");
}

#[test]
fn a_constructor_moves_an_unreadable_image_aside_and_starts_empty() {
    for text in UNREADABLE {
        let books = Books::in_process();
        books.write(text);
        let file = books.open();
        assert_eq!(file.keys(), Vec::<String>::new());
        let told = books.told();
        assert!(told.len() == 1 && told[0].starts_with("[paygate] Failed to load state: "), "{told:?}");
        drop(file);
        let kept = "state.json.corrupt-1773480413589";
        assert_eq!(books.files(), [kept, "state.json.db"]);
        assert_eq!(std::fs::read_to_string(books.folder.path().join(kept)).unwrap(), text);
    }
    let books = Books::in_process();
    books.write("{}");
    books.open();
    assert_eq!(books.told(), ["[paygate] Invalid state file format, starting fresh."]);
}

#[test]
fn a_constructor_does_not_lose_balances_over_a_damaged_image() {
    let books = Books::in_process();
    with_a_later_database(&books);
    books.write("[[");
    let file = books.open();
    assert_eq!((file.balance("a"), file.balance("b")), (Some(70), Some(50)));
    assert_eq!(books.told()[1..], ["[paygate] the database state.json.db is intact; its 2 key(s) are used"]);
    drop(file);
    std::fs::remove_file(books.path()).ok();
    // Nor when it ended before it wrote a new one.
    let books = Books::in_process();
    with_a_later_database(&books);
    books.write("[[");
    let file = books.open();
    let again = books.open();
    assert_eq!((file.keys(), again.keys()), (vec!["a".into(), "b".into()], vec!["a".into(), "b".into()]));
}

#[test]
fn what_is_whole_in_a_damaged_image_is_salvaged_and_a_copy_kept() {
    let salvage = Policies { unreadable: WhenUnreadable::Salvage, ..Policies::COMMAND_LINE };
    let books = Books::new(salvage);
    with_a_later_database(&books);
    let text = r#"[["a",{"key":"a","credits":1}],["x",{"key":"x","credits":9,"active":true}],["y",{"#;
    books.write(text);
    let file = books.open();
    // The database knows better of a.
    let balances = ["a", "b", "x", "y"].map(|key| file.balance(key));
    assert_eq!(balances, [Some(70), Some(50), Some(9), None]);
    file.assert_books_agree();
    file.spend("x", 2);
    drop(file);
    assert!(books.files().contains(&"state.json.corrupt-1773480413589".to_owned()));
    assert_eq!(books.open().balance("x"), Some(7));
}

#[test]
fn a_folder_in_the_place_of_the_image_stays() {
    let books = Books::in_process();
    std::fs::create_dir(books.path()).unwrap();
    let file = books.open();
    assert!(books.told()[0].starts_with("[paygate] Failed to load state: "));
    file.open_key("a", 1);
    assert!(books.told()[0].starts_with("[paygate] Failed to save state: "));
    file.save().unwrap_err();
    drop(file);
    assert_eq!(books.open().balance("a"), Some(1));
    assert!(books.path().is_dir());
    assert!(Books::command_line().at("").try_open().is_err());
}

#[test]
fn a_damaged_database_is_refused_or_moved_aside_for_the_image() {
    for (policies, opens) in [(Policies::COMMAND_LINE, false), (Policies::IN_PROCESS, true)] {
        let books = Books::new(policies);
        with_a_later_database(&books);
        std::fs::write(books.database(), "no database at all").unwrap();
        match books.try_open() {
            Ok(file) => {
                assert_eq!((file.balance("a"), opens), (Some(100), true));
                assert!(books.files().contains(&"state.json.db.corrupt-1773480413589".to_owned()));
            }
            Err(error) => {
                assert!(!opens && matches!(error, OpenError::Database { .. }), "{error}");
                assert_eq!(std::fs::read(books.database()).unwrap(), b"no database at all");
            }
        }
    }
}

#[test]
fn a_database_of_a_later_version_is_refused_by_all() {
    for policies in [Policies::COMMAND_LINE, Policies::IN_PROCESS] {
        let books = Books::new(policies);
        with_a_later_database(&books);
        let database = rusqlite::Connection::open(books.database()).unwrap();
        database.pragma_update(None, "user_version", 1000).unwrap();
        drop(database);
        let error = books.try_open().map(drop).unwrap_err().to_string();
        assert!(error.contains("state.json.db: it is of version 1000"), "{error}");
    }
}

#[test]
fn teams_come_back_in_their_order_with_their_members() {
    let books = Books::command_line();
    let file = books.open();
    file.open_key("a", 10);
    let ledger = file.ledger();
    for name in ["first", "second"] {
        let draft = TeamDraft { name: name.into(), budget: 5.0, ..TeamDraft::default() };
        let team = ledger.teams.create(draft, &**ledger.entropy(), ledger.now());
        ledger.wait(ledger.save_team(team.lock().change())).unwrap();
    }
    let second = ledger.teams.all()[1].clone();
    let id = second.lock().id.clone();
    ledger.teams.assign(&id, "a").unwrap();
    let change: TeamChange = second.lock().change();
    ledger.wait(ledger.save_team(change)).unwrap();
    charge(&gate(ledger, GateConfig::default()), "a").unwrap().settle(Ending::Result);
    drop((second, file));

    let file = books.open();
    let teams = &file.ledger().teams;
    let names: Vec<_> = teams.all().iter().map(|team| team.lock().name.clone()).collect();
    assert_eq!(names, ["first".into(), "second".into()]);
    let team = teams.of_member("a").unwrap();
    let team = team.lock();
    assert_eq!((&*team.name, team.total_spent), ("second", 1.0));
}

#[test]
fn charges_that_were_left_open_are_settled_after_a_restart() {
    let books = Books::command_line();
    let file = books.open();
    for key in ["a", "b", "c"] {
        file.open_key(key, 10);
    }
    let engine = gate(file.ledger(), GateConfig::default());
    let open: Vec<_> = ["a", "b", "c"].map(|key| charge(&engine, key).unwrap()).into();
    file.mutated(file.ledger().rotate("b").unwrap());
    file.open_key("c", 3); // the charge's account is gone: nobody is left to get it back
    open.into_iter().for_each(std::mem::forget);
    let journal = std::sync::Arc::downgrade(file.journal().unwrap());
    drop((engine, file));
    // What was forgotten holds the books in memory, as a process that is still up would.
    assert!(journal.upgrade().is_some());
    books.told();
    let copy = Books::command_line();
    for name in ["state.json", "state.json.db"] {
        std::fs::copy(books.folder.path().join(name), copy.folder.path().join(name)).unwrap();
    }
    assert_eq!(books.open().left_open().len(), 0);

    let file = copy.open();
    let policy = RefundPolicy { on_failure: true, on_tool_error: false };
    let left: Vec<_> = file.left_open().to_vec();
    assert_eq!(
        left.iter().map(|open| (&*open.tool, open.credits.get())).collect::<Vec<_>>(),
        [("search", 1); 2]
    );
    for open in &left {
        let settled = file.ledger().settle_left_open(open, policy).unwrap();
        file.ledger().wait(settled.ticket).unwrap();
    }
    assert_eq!(file.ledger().totals().balance, 10 + 10 + 3);
    file.assert_books_agree();
    drop(file);
    let file = copy.open();
    assert_eq!((file.left_open().len(), file.ledger().totals().balance), (0, 23));
}
