use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use paygate_core::clock::{Clock, Timestamp};
use paygate_core::credits::Credits;
use paygate_core::key::permitted_tools::ToolList;
use paygate_core::ledger::KeyOptions;
use paygate_core::limit::quota::Quota;
use paygate_store::Change;
use serde_json::Value;

use crate::books::{Books, NOW, Uses, evaluate, gate};

/// The file as 2.9.0 writes it after one import.
const IMPORTED: &str = r#"[
  [
    "pg_demo_0001",
    {
      "key": "pg_demo_0001",
      "name": "demo \"é\"",
      "credits": 10,
      "totalSpent": 0,
      "totalCalls": 0,
      "createdAt": "2026-03-14T09:26:53.589Z",
      "lastUsedAt": null,
      "active": true,
      "spendingLimit": 0,
      "allowedTools": [
        "a"
      ],
      "deniedTools": [],
      "expiresAt": null,
      "quota": {
        "dailyCallLimit": 1,
        "monthlyCallLimit": 0,
        "dailyCreditLimit": 0,
        "monthlyCreditLimit": 0
      },
      "tags": {
        "2": "b",
        "z": "1"
      },
      "ipAllowlist": [],
      "namespace": "default",
      "quotaDailyCalls": 0,
      "quotaMonthlyCalls": 0,
      "quotaDailyCredits": 0,
      "quotaMonthlyCredits": 0,
      "quotaLastResetDay": "2026-03-14",
      "quotaLastResetMonth": "2026-03"
    }
  ]
]"#;

fn import_demo(books: &Books) {
    let options = KeyOptions {
        allowed_tools: ToolList::from_iter(["a"]),
        quota: Some(Quota { daily_calls: 1.0, ..Quota::default() }),
        tags: [("2".into(), "b".into()), ("z".into(), "1".into())].into_iter().collect(),
        ..KeyOptions::default()
    };
    let file = books.open();
    file.mutated(file.ledger().open("pg_demo_0001", "demo \"é\"", Credits::new(10).unwrap(), options));
}

#[test]
fn the_file_is_written_byte_for_byte_as_by_2_9_0() {
    let books = Books::in_process();
    import_demo(&books);
    assert_eq!(books.text(), IMPORTED);
}

#[test]
fn a_file_of_2_9_0_comes_back_byte_for_byte() {
    let books = Books::in_process();
    books.write(IMPORTED);
    books.open().save().unwrap();
    assert_eq!(books.text(), IMPORTED);
    assert_eq!(books.told(), ["[paygate] Loaded 1 key(s) from state.json"]);
}

#[test]
fn an_empty_store_saves_a_list_into_folders_that_it_makes() {
    let books = Books::in_process().at("a/b/state.json");
    let file = books.open();
    file.save().unwrap();
    file.close().unwrap();
    drop(file);
    assert_eq!(books.text(), "[]");
    let names: Vec<_> = std::fs::read_dir(books.folder.path().join("a/b")).unwrap().collect();
    let mut names: Vec<_> = names.into_iter().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["state.json", "state.json.db"]);
}

#[test]
fn no_file_appears_before_something_is_saved() {
    let books = Books::in_process();
    books.open().close().unwrap();
    assert_eq!(books.files(), ["state.json.db"]);
    assert_eq!(books.told(), Vec::<String>::new());
}

#[test]
fn an_old_file_is_completed() {
    let books = Books::in_process();
    books.write(
        r#"[["pg_old",{"key":"pg_old","name":"old","credits":10,"totalSpent":1,"totalCalls":1,"createdAt":"2025-01-01T00:00:00.000Z","lastUsedAt":null,"active":true,"custom":{"x":1}}]]"#,
    );
    let completed = r#"{"key":"pg_old","name":"old","credits":10,"totalSpent":1,"totalCalls":1,"createdAt":"2025-01-01T00:00:00.000Z","lastUsedAt":null,"active":true,"custom":{"x":1},"spendingLimit":0,"allowedTools":[],"deniedTools":[],"expiresAt":null,"quotaDailyCalls":0,"quotaMonthlyCalls":0,"quotaDailyCredits":0,"quotaMonthlyCredits":0,"quotaLastResetDay":"2026-03-14","quotaLastResetMonth":"2026-03","tags":{},"ipAllowlist":[],"namespace":"default"}"#;
    for _ in 0..2 {
        let file = books.open();
        let account = file.ledger().accounts.find("pg_old").unwrap();
        assert_eq!(serde_json::to_string(&account.lock().to_object()).unwrap(), completed);
        assert_eq!(books.told(), ["[paygate] Loaded 1 key(s) from state.json"]);
    }
}

#[test]
fn bad_entries_never_drop_good_ones() {
    let books = Books::in_process();
    books.write(
        r#"[["a",{"key":"a","credits":null,"active":true}],5,["b",{"key":"b","credits":4,"active":true}]]"#,
    );
    let file = books.open();
    assert_eq!((file.balance("a"), file.balance("b")), (Some(0), Some(4)));
    let told = books.told();
    assert!(told[0].starts_with("[paygate] Failed to load state: entry 1 "), "{told:?}");
    assert_eq!(told[1..], ["[paygate] Loaded 2 key(s) from state.json"]);

    let books = Books::command_line();
    books.write(
        r#"[["",{"key":""}],["a",{}],[],"xy",["b",null],["c",{"key":"c","credits":1,"active":true}]]"#,
    );
    assert_eq!(books.open().keys(), ["c"]);
    assert_eq!(books.told(), ["[paygate] Loaded 1 key(s) from state.json"]);
}

#[test]
fn balance_totals_and_counters_survive_and_an_assignment_waits_for_the_next_save() {
    let books = Books::in_process();
    let first = books.open();
    first.open_key("k", 100);
    let engine = gate(first.ledger(), Default::default());
    assert!(evaluate(&engine, "k").allowed());
    first.changed(Change::ByCharge);
    first.ledger().edit(0, "spendingLimit", Some(42.into())).unwrap();

    let second = books.open();
    let shown = |file: &paygate_store::StateFile, field| {
        file.ledger().accounts.find("k").unwrap().lock().value(field)
    };
    assert_eq!(shown(&second, "credits"), Some(99.into()));
    assert_eq!(shown(&second, "totalSpent"), Some(1.into()));
    assert_eq!(shown(&second, "quotaDailyCalls"), Some(1.into()));
    assert_eq!(shown(&second, "lastUsedAt"), Some("2026-03-14T09:26:53.589Z".into()));
    assert_eq!(shown(&second, "spendingLimit"), Some(0.into()));
    first.save().unwrap();
    assert_eq!(shown(&books.open(), "spendingLimit"), Some(42.into()));
}

#[test]
fn a_key_that_changes_is_in_the_file_on_return() {
    let books = Books::in_process();
    let file = books.open();
    file.open_key("k", 5);
    file.grant("k", 2);
    let value: Value = serde_json::from_str(&books.text()).unwrap();
    assert_eq!(value[0][1]["credits"], 7);
    assert_eq!(books.open().balance("k"), Some(7));
}

#[test]
fn a_charge_is_in_the_file_a_little_later() {
    let books = Books::in_process();
    let file = books.open();
    file.open_key("k", 5);
    file.spend("k", 1);
    file.changed(Change::ByCharge);
    let credits = || serde_json::from_str::<Value>(&books.text()).unwrap()[0][1]["credits"].as_u64();
    while credits() != Some(4) {
        std::thread::yield_now();
    }
}

/// A clock by which everything takes long.
#[derive(Default)]
struct SlowClock(AtomicU64);

impl Clock for SlowClock {
    fn wall(&self) -> Timestamp {
        NOW
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.fetch_add(10, Ordering::SeqCst))
    }
}

#[test]
fn a_file_that_takes_long_to_write_is_written_beside_the_caller_and_at_the_end() {
    let mut books = Books::in_process();
    books.options.clock = Arc::new(SlowClock::default());
    let file = books.open();
    file.open_key("a", 1); // the first one shows how long it takes
    let first = books.text();
    file.open_key("b", 1);
    assert_eq!(books.text(), first);
    while books.text() == first {
        std::thread::yield_now();
    }
    file.open_key("c", 1);
    file.close().unwrap();
    assert!(books.text().contains("\"c\""));
    file.open_key("d", 1); // after the end nothing is left to a thread
    assert!(books.text().contains("\"d\""));
}

#[test]
fn a_file_that_would_not_change_is_not_written_at_the_end() {
    let books = Books::in_process();
    let file = books.open();
    file.open_key("k", 1);
    std::fs::remove_file(books.path()).unwrap();
    file.close().unwrap();
    assert!(!books.path().exists());
}

#[test]
fn new_files_are_for_their_owner_and_old_ones_keep_their_mode() {
    let books = Books::in_process();
    let mode =
        |name: &str| std::fs::metadata(books.folder.path().join(name)).unwrap().permissions().mode() & 0o777;
    let file = books.open();
    file.open_key("k", 1);
    assert_eq!((mode("state.json"), mode("state.json.db"), mode("state.json.db-wal")), (0o600, 0o600, 0o600));
    std::fs::set_permissions(books.path(), std::fs::Permissions::from_mode(0o640)).unwrap();
    file.grant("k", 1);
    assert_eq!(mode("state.json"), 0o640);
}

#[test]
fn a_link_is_replaced_and_what_it_led_to_left_alone() {
    let books = Books::in_process();
    let target = books.folder.path().join("target.json");
    std::fs::write(&target, "[]").unwrap();
    symlink(&target, books.path()).unwrap();
    let file = books.open();
    file.open_key("k", 1);
    assert!(std::fs::symlink_metadata(books.path()).unwrap().is_file());
    assert_eq!(std::fs::read_to_string(target).unwrap(), "[]");
}

#[test]
fn a_path_that_names_a_database_has_no_image() {
    for name in ["books.db", "books.sqlite"] {
        let books = Books::command_line().at(name);
        let file = books.open();
        file.open_key("k", 5);
        file.save().unwrap();
        file.close().unwrap();
        drop(file);
        assert_eq!(books.files(), [name]);
        assert_eq!(books.open().balance("k"), Some(5));
        assert_eq!(books.told(), Vec::<String>::new());
    }
}

#[test]
fn a_state_file_of_2_9_0_that_is_named_like_a_database_stays_one() {
    let books = Books::command_line().at("keys.db");
    books.write(IMPORTED);
    assert_eq!(books.open().balance("pg_demo_0001"), Some(10));
    assert_eq!(books.files(), ["keys.db", "keys.db.db"]);
}

#[test]
fn without_a_path_nothing_is_written() {
    for path in [None, Some("".into())] {
        let mut books = Books::command_line();
        books.options.path = path;
        let file = books.open();
        file.open_key("k", 5);
        file.save().unwrap();
        assert!(file.journal().is_none());
        assert_eq!(books.files(), Vec::<String>::new());
    }
}
