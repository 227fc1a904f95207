//! Connections: listening for them, serving them, letting them end.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::client_address::Peer;
use super::request::Request;
use super::route;
use crate::app::App;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// The pause after a connection could not be accepted, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long connections may take to hand over their last answer.
const FLUSH_TIME_MAX: Duration = Duration::from_millis(500);

/// Opens the listening socket; without a host on all addresses, IPv6 and IPv4 alike.
pub(crate) fn listen(host: Option<IpAddr>, port: u16) -> io::Result<TcpListener> {
    match host {
        Some(host) => open(SocketAddr::new(host, port)),
        // A machine without IPv6 has no such socket.
        None => match open(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)) {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                open(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)).map_err(|_| error)
            }
            opened => opened,
        },
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Serves whoever connects until told to drain; then lets busy connections finish and returns once `finish` says
/// that nothing is worth waiting for.
pub(crate) async fn serve(
    app: Arc<App>,
    listener: TcpListener,
    mut drain: watch::Receiver<bool>,
    finish: impl Future<Output = ()>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    connections.spawn(serve_connection(app.clone(), stream, address, drain.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = told_to(&mut drain) => break,
        }
    }
    drop(listener);
    finish.await;
    let flushed = async { while connections.join_next().await.is_some() {} };
    // Those left have not sent a request.
    let _ = timeout(FLUSH_TIME_MAX, flushed).await;
}

async fn serve_connection(
    app: Arc<App>,
    stream: TcpStream,
    address: SocketAddr,
    mut drain: watch::Receiver<bool>,
) {
    // Answers are written whole; waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let peer = Peer::new(address, &app.trusted_proxies);
    let head_timeout = app.limits.head_timeout;
    let asked = AtomicBool::new(false);
    let service = service_fn(|request: hyper::Request<_>| {
        asked.store(true, Ordering::Relaxed);
        let (head, body) = request.into_parts();
        let answer = route::answer(app.clone(), Request { head, body, peer: peer.clone() });
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let served = tokio::select! {
        served = &mut connection => served,
        () = told_to(&mut drain) => {
            // A connection on which nothing was asked yet would be closed by this, and its first request, which may be
            // on its way, go without an answer; it is closed by that answer instead.
            if asked.load(Ordering::Relaxed) {
                connection.as_mut().graceful_shutdown();
            }
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn told_to(drain: &mut watch::Receiver<bool>) {
    // An error says that the server is gone, which means the same.
    let _ = drain.wait_for(|drain| *drain).await;
}
