use std::os::unix::fs::PermissionsExt;

use paygate_store::{Change, OpenError, SaveError};

use crate::books::{Books, Uses};

#[test]
fn a_constructor_works_in_memory_below_a_plain_file_and_tells_of_each_save() {
    for name in ["plain/state.json", "plain/state.db"] {
        let books = Books::in_process().at(name);
        std::fs::write(books.folder.path().join("plain"), "x").unwrap();
        let file = books.open();
        assert_eq!(books.told(), Vec::<String>::new());
        file.open_key("a", 3);
        file.spend("a", 1);
        file.changed(Change::ByMutator);
        assert_eq!(file.balance("a"), Some(2));
        let told = books.told();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.iter().all(|line| line.starts_with("[paygate] Failed to save state: ")), "{told:?}");
        let error = file.save().unwrap_err();
        assert!(matches!(error, SaveError::Image(_) | SaveError::Unusable(_)), "{error}");
        assert_eq!(books.told().len(), 1);
    }
}

#[test]
fn the_command_line_refuses_to_start_below_a_plain_file() {
    let books = Books::command_line().at("plain/state.json");
    std::fs::write(books.folder.path().join("plain"), "x").unwrap();
    let error = books.try_open().map(drop).unwrap_err();
    assert!(matches!(error, OpenError::File { .. }), "{error}");
    assert!(error.to_string().contains("plain/state.json"), "{error}");
}

#[test]
fn a_path_that_becomes_usable_is_written() {
    let books = Books::in_process().at("plain/state.json");
    let plain = books.folder.path().join("plain");
    std::fs::write(&plain, "x").unwrap();
    let file = books.open();
    file.open_key("a", 3);
    std::fs::remove_file(plain).unwrap();
    file.grant("a", 1);
    assert!(books.text().contains("\"credits\": 4"));
    drop(file);
    assert_eq!(books.open().balance("a"), Some(4));
}

#[test]
fn an_image_without_room_for_a_database_is_read_all_the_same() {
    let books = Books::in_process();
    books.write(r#"[["a",{"key":"a","credits":5,"active":true}]]"#);
    std::fs::create_dir(books.database()).unwrap();
    let file = books.open();
    assert_eq!(file.balance("a"), Some(5));
    assert!(file.journal().is_none());
    file.grant("a", 1);
    drop(file);
    std::fs::remove_dir(books.database()).unwrap();
    assert_eq!(books.open().balance("a"), Some(6));
}

#[test]
fn an_image_that_cannot_be_written_is_told_and_the_database_goes_on() {
    let books = Books::in_process();
    let file = books.open();
    file.open_key("a", 5);
    books.told();
    // A folder in the way of the file that is renamed; permissions would not stop root.
    let beside = books.folder.path().join("state.json.tmp");
    std::fs::create_dir(&beside).unwrap();
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o500)).unwrap();
    file.grant("a", 1);
    file.grant("a", 1);
    assert_eq!(books.told().len(), 2);
    std::fs::remove_dir(beside).unwrap();
    // The thread tries again by itself.
    while !books.text().contains("\"credits\": 7") {
        std::thread::yield_now();
    }
    file.assert_books_agree();
    file.close().unwrap();
    assert_eq!(books.told(), ["[paygate] State is saved again."]);
}
