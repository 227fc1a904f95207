//! `RedisClient`, `RedisSubscriber` and `parseRedisUrl`: commands, their replies, messages.

use std::time::Duration;

use paygate_mcp_wire::http::tls_config;
use paygate_redis::{Address, Connection, Error, Heard, Options, Reply, Subscription};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::call::{Call, Failure, UNDEFINED, Value};
use crate::channel::Rejection;
use crate::runtime;

/// Kinds of what a subscription tells. The shell has the same list.
mod kind {
    pub(super) const MESSAGE: u8 = 0;
    pub(super) const ENDED: u8 = 1;
}

/// The options of a connection, as the shell passes them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenOptions {
    host: String,
    port: u16,
    username: Option<String>,
    password: Option<String>,
    db: f64,
    tls: bool,
    connect_timeout: u64,
    command_timeout: u64,
    extra_certificates: Option<String>,
}

impl From<GivenOptions> for Options {
    fn from(given: GivenOptions) -> Self {
        let GivenOptions {
            host, port, username, password, db, tls, connect_timeout, command_timeout, ..
        } = given;
        let trusted = || tls_config(given.extra_certificates.as_deref().map(AsRef::as_ref)).into();
        Self {
            connect_timeout: Duration::from_millis(connect_timeout),
            command_timeout: Duration::from_millis(command_timeout),
            ..Self::new(Address { host, port, username, password, db, tls }, trusted)
        }
    }
}

impl From<Error> for Rejection {
    fn from(error: Error) -> Self {
        Self::new(&error).with_code(error.code())
    }
}

/// `redisAddress(url)`: what a URL says, or nothing when it is none.
pub(crate) fn address(call: &Call<'_>) -> Value {
    match Address::from_url(&call.given(0)) {
        Ok(Address { host, port, username, password, db, tls }) => call.json_text(&json!({
            "host": host, "port": port, "username": username, "password": password, "db": db, "tls": tls,
        })),
        Err(_) => UNDEFINED,
    }
}

/// `redisNew(options)`: a connection that is not open yet.
pub(crate) fn new(call: &Call<'_>) -> Value {
    let options: GivenOptions = call.json(0).expect("always given");
    call.hold_any(Connection::new(options.into(), runtime::handle().clone()))
}

/// `redisConnected(connection)`.
pub(crate) fn connected(call: &Call<'_>) -> Value {
    call.boolean(call.the::<Connection>().is_connected())
}

/// `redisConnect(connection)`: a promise of nothing.
pub(crate) fn connect(call: &Call<'_>) -> Value {
    let opened = call.the::<Connection>().connect();
    call.promise(async { Ok(opened.await.map(|()| None)?) })
}

/// `redisCommand(connection, arguments)`: a promise of the reply as JSON.
pub(crate) fn command(call: &Call<'_>) -> Value {
    let arguments: Vec<String> = call.json(1).expect("always given");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    // Sent in the order of the calls; only the waiting is left to the runtime.
    let reply = call.the::<Connection>().command(&arguments);
    call.promise(async { Ok(Some(json_of(reply.await?).to_string())) })
}

fn json_of(reply: Reply) -> Json {
    match reply {
        Reply::Nil => Json::Null,
        Reply::Integer(number) => number.into(),
        Reply::Text(text) => text.into(),
        Reply::List(replies) => replies.into_iter().map(json_of).collect(),
    }
}

/// `redisDisconnect(connection)`.
pub(crate) fn disconnect(call: &Call<'_>) -> Value {
    call.the::<Connection>().disconnect();
    UNDEFINED
}

/// `subscriberNew(options, target)`: a subscription that is not open yet. The target hears pairs of channel and
/// message, and when the connection has ended.
pub(crate) fn new_subscriber(call: &Call<'_>) -> Value {
    let options: GivenOptions = call.json(0).expect("always given");
    let teller = call.teller(call.index(1));
    let hear = move |heard| {
        // Nobody is left to hear it when the environment has ended.
        let _ = match heard {
            Heard::Message { channel, message } => {
                teller.tell(kind::MESSAGE, &json!([channel, message]).to_string())
            }
            Heard::Ended => teller.tell(kind::ENDED, ""),
        };
    };
    call.hold_any(Subscription::new(options.into(), runtime::handle().clone(), hear))
}

/// `subscriberConnect(subscription)`: a promise of nothing.
pub(crate) fn connect_subscriber(call: &Call<'_>) -> Value {
    let opened = call.the::<Subscription>().connect();
    call.promise(async { Ok(opened.await.map(|()| None)?) })
}

/// `subscriberSubscribe(subscription, channel)`.
pub(crate) fn subscribe(call: &Call<'_>) -> Value {
    match call.the::<Subscription>().subscribe(&call.given(1)) {
        Ok(()) => UNDEFINED,
        Err(error) => call.fail(Failure::Other, error),
    }
}

/// `subscriberConnected(subscription)`.
pub(crate) fn subscriber_connected(call: &Call<'_>) -> Value {
    call.boolean(call.the::<Subscription>().is_connected())
}

/// `subscriberSubscribed(subscription)`.
pub(crate) fn subscribed(call: &Call<'_>) -> Value {
    call.boolean(call.the::<Subscription>().is_subscribed())
}

/// `subscriberDisconnect(subscription)`.
pub(crate) fn disconnect_subscriber(call: &Call<'_>) -> Value {
    call.the::<Subscription>().disconnect();
    UNDEFINED
}
