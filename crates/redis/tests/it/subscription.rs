use paygate_redis::{Error, Heard, Reply, Subscription};
use paygate_testkit::Redis;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::{connection, options};

#[tokio::test]
async fn messages_of_a_channel_are_heard_in_order() {
    let redis = Redis::start();
    let (tell, mut heard) = mpsc::unbounded_channel();
    let subscription = Subscription::new(options(&redis), Handle::current(), move |message| {
        tell.send(message).unwrap();
    });
    assert_eq!(subscription.subscribe("news"), Err(Error::NotConnected));
    subscription.connect().await.unwrap();
    assert!(subscription.is_connected() && !subscription.is_subscribed());
    subscription.subscribe("news").unwrap();
    assert!(subscription.is_subscribed());

    let publisher = connection(&redis);
    while publisher.command(&["PUBLISH", "news", "first"]).await.unwrap() == Reply::Integer(0) {}
    publisher.command(&["PUBLISH", "news", "è"]).await.unwrap();
    for message in ["first", "è"] {
        let expected = Heard::Message { channel: "news".into(), message: message.into() };
        assert_eq!(heard.recv().await, Some(expected));
    }
}

#[tokio::test]
async fn a_lost_connection_is_noticed_and_can_be_opened_again() {
    let mut redis = Redis::start();
    let (tell, mut heard) = mpsc::unbounded_channel();
    let subscription = Subscription::new(options(&redis), Handle::current(), move |event| {
        tell.send(event).unwrap();
    });
    subscription.connect().await.unwrap();
    subscription.subscribe("news").unwrap();
    redis.stop();
    assert_eq!(heard.recv().await, Some(Heard::Ended));
    assert!(!subscription.is_connected() && !subscription.is_subscribed());
    redis.restart();
    subscription.connect().await.unwrap();
    assert!(subscription.is_connected() && !subscription.is_subscribed());
    subscription.disconnect();
    assert!(!subscription.is_connected());
}
