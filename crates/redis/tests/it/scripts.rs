use paygate_redis::{Connection, Reply, keyspace, script};
use paygate_testkit::Redis;

use crate::{connection, text};

const HASH: &str = "pg:key:pg_demo";
const NOW: &str = "2026-03-14T09:26:53.589Z";

async fn run(connection: &Connection, script: &str, key: &str, arguments: &[&str]) -> Reply {
    let mut command = vec!["EVAL", script, "1", key];
    command.extend(arguments);
    connection.command(&command).await.unwrap()
}

async fn fields(connection: &Connection, names: &[&str]) -> Vec<Option<String>> {
    let mut command = vec!["HMGET", HASH];
    command.extend(names);
    let Reply::List(values) = connection.command(&command).await.unwrap() else { panic!("a list") };
    values.into_iter().map(Reply::into_text).collect()
}

async fn numbers(connection: &Connection) -> Vec<String> {
    let values = fields(connection, &keyspace::SHARED_NUMBERS).await;
    values.into_iter().map(|value| value.unwrap_or("none".into())).collect()
}

async fn put(connection: &Connection, fields: &[&str]) {
    let mut command = vec!["HSET", HASH];
    command.extend(fields);
    connection.command(&command).await.unwrap();
}

#[test]
fn names_are_those_of_2_9_0() {
    assert_eq!((keyspace::record_key("pg_demo"), keyspace::rate_key("x")), (HASH.into(), "pg:rate:x".into()));
}

#[tokio::test]
async fn a_deduction_moves_credits_or_refuses() {
    let redis = Redis::start();
    let connection = connection(&redis);
    let deduct = async |amount: &str| run(&connection, script::DEDUCT, HASH, &[amount, NOW]).await;
    assert_eq!(deduct("0").await, Reply::Integer(0));
    assert_eq!(connection.command(&["EXISTS", HASH]).await, Ok(Reply::Integer(0)));
    put(&connection, &["credits", "5", "totalSpent", "1", "totalCalls", "1"]).await;
    assert_eq!(deduct("6").await, Reply::Integer(0));
    assert_eq!(deduct("2").await, Reply::Integer(1));
    assert_eq!(numbers(&connection).await, ["3", "3", "2"]);
    assert_eq!(fields(&connection, &["lastUsedAt"]).await, [Some(NOW.into())]);
    assert_eq!(deduct("0").await, Reply::Integer(1));
    put(&connection, &["active", "0"]).await;
    assert_eq!(deduct("1").await, Reply::Integer(-1));
}

#[tokio::test]
async fn fractions_and_large_numbers_of_old_records_stay_whole() {
    let redis = Redis::start();
    let connection = connection(&redis);
    put(&connection, &["credits", "9007199254740990.5", "totalSpent", "0.5", "totalCalls", "x"]).await;
    assert_eq!(run(&connection, script::DEDUCT, HASH, &["1", NOW]).await, Reply::Integer(1));
    assert_eq!(numbers(&connection).await, ["9007199254740989", "1", "1"]);
    let most = "9007199254740991";
    assert_eq!(run(&connection, script::TOP_UP, HASH, &["3", most]).await, Reply::Integer(-2));
    assert_eq!(run(&connection, script::TOP_UP, HASH, &["2", most]).await, Reply::Integer(1));
    assert_eq!(numbers(&connection).await[0], most);
}

#[tokio::test]
async fn a_top_up_makes_no_key() {
    let redis = Redis::start();
    let connection = connection(&redis);
    let top_up = async || run(&connection, script::TOP_UP, HASH, &["5", "9007199254740991"]).await;
    assert_eq!(top_up().await, Reply::Integer(-1));
    assert_eq!(connection.command(&["EXISTS", HASH]).await, Ok(Reply::Integer(0)));
    put(&connection, &["credits", "2"]).await;
    assert_eq!(top_up().await, Reply::Integer(1));
    assert_eq!(numbers(&connection).await[0], "7");
    put(&connection, &["active", "0"]).await;
    assert_eq!(top_up().await, Reply::Integer(0));
}

#[tokio::test]
async fn a_full_window_tells_its_oldest_call() {
    let redis = Redis::start();
    let connection = connection(&redis);
    let check =
        async |now: &str| run(&connection, script::RATE_CHECK, "pg:rate:x", &[now, "60000", "2"]).await;
    let reply = |numbers: [i64; 3]| Reply::List(numbers.map(Reply::Integer).to_vec());
    assert_eq!(check("1773480413589").await, reply([1, 1, 0]));
    assert_eq!(check("1773480413589").await, reply([1, 2, 0]));
    assert_eq!(check("1773480473588").await, reply([0, 2, 1_773_480_413_589]));
    assert_eq!(check("1773480473589").await, reply([1, 1, 0]));
    let Reply::Integer(left) = connection.command(&["PTTL", "pg:rate:x"]).await.unwrap() else { panic!() };
    assert!((1..=60_000).contains(&left));
}

#[tokio::test]
async fn saving_adds_only_what_changed_here() {
    let redis = Redis::start();
    let connection = connection(&redis);
    let save = async |given: &[&str]| run(&connection, script::SAVE, HASH, given).await;
    assert_eq!(save(&["1", "0", "0", "name", "new"]).await, Reply::Integer(0));
    assert_eq!(connection.command(&["EXISTS", HASH]).await, Ok(Reply::Integer(0)));
    put(&connection, &["name", "old", "credits", "5", "totalSpent", "1"]).await;
    assert_eq!(save(&["10", "-2", "0", "name", "new"]).await, Reply::Integer(1));
    assert_eq!(numbers(&connection).await, ["15", "0", "none"]);
    assert_eq!(connection.command(&["HGET", HASH, "name"]).await, Ok(text("new")));
}
