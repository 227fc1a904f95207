use std::time::Duration;

use paygate_redis::{Connection, Error, Options, Reply};
use paygate_testkit::Redis;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

use crate::{connection, options, text};

#[tokio::test]
async fn the_first_command_connects_and_replies_have_their_shapes() {
    let redis = Redis::start();
    let connection = connection(&redis);
    assert!(!connection.is_connected());
    assert_eq!(connection.command(&["SET", "a", "é\r\nx"]).await, Ok(text("OK")));
    assert!(connection.is_connected());
    assert_eq!(connection.command(&["GET", "a"]).await, Ok(text("é\r\nx")));
    assert_eq!(connection.command(&["GET", "none"]).await, Ok(Reply::Nil));
    let nested = Reply::List(vec![Reply::Integer(2), text("x")]);
    let whole = Reply::List(vec![Reply::Integer(1), nested, Reply::Nil]);
    assert_eq!(connection.command(&["EVAL", "return {1,{2,'x'},false}", "0"]).await, Ok(whole));
}

#[tokio::test]
async fn commands_are_answered_in_the_order_in_which_they_were_issued() {
    let redis = Redis::start();
    let connection = connection(&redis);
    let pushed: Vec<_> = (0..2000).map(|n| connection.command(&["RPUSH", "list", &n.to_string()])).collect();
    for (n, pushed) in pushed.into_iter().enumerate() {
        assert_eq!(pushed.await, Ok(Reply::Integer(i64::try_from(n).unwrap() + 1)));
    }
    let last = connection.command(&["LRANGE", "list", "1998", "-1"]).await;
    assert_eq!(last, Ok(Reply::List(vec![text("1998"), text("1999")])));
}

#[tokio::test]
async fn an_error_in_a_list_fails_its_command_and_no_other() {
    let redis = Redis::start();
    let connection = connection(&redis);
    connection.command(&["SET", "text", "x"]).await.unwrap();
    for command in [["MULTI"].as_slice(), &["INCR", "text"], &["SET", "other", "1"]] {
        connection.command(command).await.unwrap();
    }
    let executed = connection.command(&["EXEC"]).await;
    assert_eq!(executed, Err(Error::Refused("ERR value is not an integer or out of range".into())));
    assert_eq!(connection.command(&["GET", "other"]).await, Ok(text("1")));
    let wrong = connection.command(&["LPUSH", "text", "x"]).await.unwrap_err();
    assert_eq!(wrong.to_string(), "WRONGTYPE Operation against a key holding the wrong kind of value");
    assert!(!wrong.may_have_happened());
}

#[tokio::test]
async fn a_late_reply_is_dropped_and_the_next_one_is_its_own() {
    let redis = Redis::start();
    let options = Options { command_timeout: Duration::from_millis(50), ..options(&redis) };
    let connection = Connection::new(options, Handle::current());
    let late = connection.command(&["BLPOP", "empty", "0.2"]).await.unwrap_err();
    assert_eq!(late.to_string(), "Redis command timeout: BLPOP");
    assert!(late.may_have_happened());
    loop {
        // Redis does nothing else for us until BLPOP has ended.
        match connection.command(&["ECHO", "next"]).await {
            Err(Error::CommandTimeout { .. }) => {}
            answered => return assert_eq!(answered, Ok(text("next"))),
        }
    }
}

#[tokio::test]
async fn nothing_is_sent_before_the_login() {
    let redis = Redis::start_with(&["--requirepass", "se cret"]);
    let options = Options { password: Some("se cret".into()), db: 3, ..options(&redis) };
    let connection = Connection::new(options, Handle::current());
    let early: Vec<_> = (0..10).map(|n| connection.command(&["SET", &n.to_string(), "x"])).collect();
    for early in early {
        assert_eq!(early.await, Ok(text("OK")));
    }
    let listed = connection.command(&["CLIENT", "INFO"]).await.unwrap().into_text().unwrap();
    assert!(listed.contains("db=3"), "{listed}");
}

#[tokio::test]
async fn a_refused_login_leaves_nothing_open() {
    let redis = Redis::start_with(&["--requirepass", "secret"]);
    let wrong = Options { password: Some("wrong".into()), ..options(&redis) };
    let connection = Connection::new(wrong, Handle::current());
    let refused = connection.command(&["PING"]).await.unwrap_err();
    assert_eq!(refused.to_string(), "WRONGPASS invalid username-password pair or user is disabled.");
    assert!(!connection.is_connected());
}

#[tokio::test]
async fn a_name_is_used_where_redis_knows_it() {
    let redis =
        Redis::start_with(&["--requirepass", "secret", "--user", "alice", "on", ">pw", "~*", "&*", "+@all"]);
    for (name, password, whoami) in [("alice", "pw", "alice"), ("stranger", "secret", "default")] {
        let options =
            Options { username: Some(name.into()), password: Some(password.into()), ..options(&redis) };
        let connection = Connection::new(options, Handle::current());
        assert_eq!(connection.command(&["ACL", "WHOAMI"]).await, Ok(text(whoami)));
    }
}

#[tokio::test]
async fn the_next_command_reconnects() {
    let mut redis = Redis::start();
    let connection = connection(&redis);
    connection.command(&["SET", "a", "1"]).await.unwrap();
    let waiting = connection.command(&["BLPOP", "empty", "0"]);
    redis.stop();
    assert_eq!(waiting.await, Err(Error::Lost { text: "Redis closed the connection".into() }));
    assert!(!connection.is_connected());
    let away = connection.command(&["PING"]).await.unwrap_err();
    assert_eq!(away.to_string(), format!("connect ECONNREFUSED 127.0.0.1:{}", redis.port()));
    assert_eq!((away.code(), away.may_have_happened()), ("ECONNREFUSED", false));
    redis.restart();
    assert_eq!(connection.command(&["GET", "a"]).await, Ok(Reply::Nil));
}

#[tokio::test]
async fn all_who_wait_for_a_connection_hear_why_there_is_none() {
    let mut redis = Redis::start();
    redis.stop();
    let connection = connection(&redis);
    let (first, second, command) =
        (connection.connect(), connection.connect(), connection.command(&["PING"]));
    for ended in [first.await.err(), second.await.err(), command.await.err()] {
        assert_eq!(ended.map(|error| error.code()), Some("ECONNREFUSED"));
    }
}

#[tokio::test]
async fn disconnecting_ends_what_waits_and_a_command_connects_again() {
    let redis = Redis::start();
    let connection = connection(&redis);
    connection.connect().await.unwrap();
    let waiting = connection.command(&["BLPOP", "empty", "0"]);
    connection.disconnect();
    assert_eq!(waiting.await, Err(Error::Disconnected));
    assert!(!connection.is_connected());
    assert_eq!(connection.command(&["PING"]).await, Ok(text("PONG")));
    let opening = Connection::new(options(&redis), Handle::current());
    let waiting = opening.connect();
    opening.disconnect();
    assert_eq!(waiting.await, Err(Error::Disconnected));
}

#[tokio::test]
async fn a_host_that_does_not_exist_is_named() {
    let nowhere = Options { host: "nowhere.invalid".into(), ..Options::default() };
    let failed = Connection::new(nowhere, Handle::current()).connect().await.unwrap_err();
    assert_eq!(failed.to_string(), "getaddrinfo ENOTFOUND nowhere.invalid");
}

/// Accepts one client of what is no Redis.
async fn impostor() -> (TcpListener, Options) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, Options { port, command_timeout: Duration::from_millis(50), ..Options::default() })
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let (_listener, options) = impostor().await;
    let silent = Options { password: Some("pw".into()), ..options.clone() };
    let failed = Connection::new(silent, Handle::current()).connect().await.unwrap_err();
    assert_eq!(failed.to_string(), "Redis command timeout: AUTH");
    let failed = Connection::new(options, Handle::current()).command(&["PING"]).await.unwrap_err();
    assert_eq!(failed.to_string(), "Redis command timeout: PING");
}

#[tokio::test]
async fn what_is_no_reply_ends_the_connection() {
    let (listener, options) = impostor().await;
    let connection = Connection::new(options, Handle::current());
    let waiting = connection.command(&["PING"]);
    let mut client: TcpStream = listener.accept().await.unwrap().0;
    let mut command = [0; 14];
    client.read_exact(&mut command).await.unwrap();
    assert_eq!(&command, b"*1\r\n$4\r\nPING\r\n");
    client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    let failed = waiting.await.unwrap_err();
    assert!(failed.to_string().starts_with("Redis sent what is no reply: "), "{failed}");
    assert!(!connection.is_connected());
}
