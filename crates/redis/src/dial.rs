//! Opens a connection: reaches the server, makes it private if asked for, logs in, picks the database.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::connection::Reply;
use crate::error::Error;
use crate::options::Options;

/// What a connection is for; failures to open it are told in different words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Commands,
    Messages,
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}
pub(crate) type AnyStream = Pin<Box<dyn Stream>>;

/// Reads replies from one half of a stream.
pub(crate) struct Replies {
    decoder: combine::stream::Decoder<
        combine::parser::combinator::AnySendSyncPartialState,
        combine::stream::PointerOffset<[u8]>,
    >,
    from: ReadHalf<AnyStream>,
}

impl Replies {
    /// The next reply.
    ///
    /// # Errors
    /// The connection has ended, or what came is no reply.
    pub(crate) async fn next(&mut self) -> Result<Value, Error> {
        let read = redis::parse_redis_value_async(&mut self.decoder, &mut self.from).await;
        read.map_err(|error| match error.is_connection_dropped() || error.is_io_error() {
            true => Error::Lost { text: "Redis closed the connection".to_owned() },
            false => Error::Lost { text: format!("Redis sent what is no reply: {error}") },
        })
    }
}

/// A connection that is open: where replies come from, and where commands go.
pub(crate) struct Opened {
    pub(crate) replies: Replies,
    pub(crate) to: WriteHalf<AnyStream>,
}

/// Opens a connection.
///
/// # Errors
/// The server cannot be reached in time, or refuses us. Then nothing stays open.
pub(crate) async fn dial(options: &Options, purpose: Purpose) -> Result<Opened, Error> {
    let reached = timeout(options.connect_timeout, reach(options)).await;
    let stream = reached.unwrap_or_else(|_| Err(connect_timeout(options.connect_timeout, purpose)))?;
    let (from, to) = tokio::io::split(stream);
    let mut opened = Opened { replies: Replies { decoder: combine::stream::Decoder::new(), from }, to };
    if let Some(password) = &options.password {
        log_in(&mut opened, options, purpose, password).await?;
    }
    if options.db > 0 {
        ask(&mut opened, options, purpose, &["SELECT", &options.db.to_string()]).await?;
    }
    Ok(opened)
}

fn connect_timeout(after: Duration, purpose: Purpose) -> Error {
    let milliseconds = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
    match purpose {
        Purpose::Commands => Error::ConnectTimeout { milliseconds },
        Purpose::Messages => Error::SubscriberConnectTimeout { milliseconds },
    }
}

async fn reach(options: &Options) -> Result<AnyStream, Error> {
    let host =
        options.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(&options.host);
    let tcp = reach_any(host, options.port).await?;
    match &options.tls {
        None => Ok(Box::pin(tcp)),
        Some(trusted) => secure(host, tcp, trusted.clone()).await,
    }
}

async fn reach_any(host: &str, port: u16) -> Result<TcpStream, Error> {
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(|_| Error::unknown_host(host))?;
    let mut failed = Error::unknown_host(host);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Without it commands only wait a little longer.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => failed = Error::connecting(&error, address),
        }
    }
    Err(failed)
}

async fn secure(host: &str, tcp: TcpStream, trusted: Arc<ClientConfig>) -> Result<AnyStream, Error> {
    let name = ServerName::try_from(host.to_owned()).map_err(Error::securing)?;
    let stream = TlsConnector::from(trusted).connect(name, tcp).await.map_err(Error::securing)?;
    Ok(Box::pin(stream))
}

/// Logs in under the name, and without it where the server knows no names or not this one: 2.9.0 never sent a name,
/// so an address may have one that means nothing.
async fn log_in(
    opened: &mut Opened,
    options: &Options,
    purpose: Purpose,
    password: &str,
) -> Result<(), Error> {
    let Some(username) = &options.username else {
        return ask(opened, options, purpose, &["AUTH", password]).await;
    };
    match ask(opened, options, purpose, &["AUTH", username, password]).await {
        Err(refused @ Error::Refused(_)) => {
            ask(opened, options, purpose, &["AUTH", password]).await.map_err(|_| refused)
        }
        answered => answered,
    }
}

async fn ask(
    opened: &mut Opened,
    options: &Options,
    purpose: Purpose,
    arguments: &[&str],
) -> Result<(), Error> {
    let exchange = async {
        opened.to.write_all(&packed(arguments)).await.map_err(|error| Error::writing(&error))?;
        opened.to.flush().await.map_err(|error| Error::writing(&error))?;
        opened.replies.next().await
    };
    let value = timeout(options.command_timeout, exchange).await.unwrap_or_else(|_| {
        Err(match purpose {
            Purpose::Commands => Error::CommandTimeout { command: arguments[0].to_owned() },
            Purpose::Messages => Error::SubscriberCommandTimeout,
        })
    })?;
    Reply::of(value).map(drop)
}

/// A command as it is sent.
pub(crate) fn packed<A: AsRef<[u8]>>(arguments: &[A]) -> Vec<u8> {
    let mut command = redis::Cmd::new();
    for argument in arguments {
        command.arg(argument.as_ref());
    }
    command.get_packed_command()
}
