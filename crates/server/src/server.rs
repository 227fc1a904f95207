//! A server from its start to its end.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use paygate_mcp_wire::stdio;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::app::App;
use crate::backend::Backend;
use crate::config::ServerConfig;
use crate::http::accept;
use crate::parts::ServerParts;
use crate::task::{expiry, sweep};
use crate::tool_list;

/// How long calls that have lost their backend may take to be settled and answered, and events to be posted, even when
/// nothing is left of the limit.
const GIVING_UP_TIME_MAX: Duration = Duration::from_secs(1);

/// Why a server does not start. Nothing runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("listen {}", listen_failure(*host, *port, source))]
    Listen {
        /// The host that was asked for; `None` is all addresses.
        host: Option<IpAddr>,
        /// The port that was asked for.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The wrapped server cannot be started.
    #[error(transparent)]
    Backend(#[from] stdio::StartError),
}

impl StartError {
    /// The name of the system's error, as Node has it, where there is one.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::Listen { source, .. } => errno_name(source.kind()),
            Self::Backend(_) => None,
        }
    }
}

fn errno_name(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::AddrInUse => Some("EADDRINUSE"),
        io::ErrorKind::PermissionDenied => Some("EACCES"),
        io::ErrorKind::AddrNotAvailable => Some("EADDRNOTAVAIL"),
        _ => None,
    }
}

/// A failure in the words that scripts look for.
fn listen_failure(host: Option<IpAddr>, port: u16, source: &io::Error) -> String {
    let host = host.unwrap_or(Ipv6Addr::UNSPECIFIED.into());
    let said = match source.kind() {
        io::ErrorKind::AddrInUse => "address already in use",
        io::ErrorKind::PermissionDenied => "permission denied",
        io::ErrorKind::AddrNotAvailable => "address not available",
        _ => return format!("{source} {host}:{port}"),
    };
    format!("{}: {said} {host}:{port}", errno_name(source.kind()).expect("named above"))
}

/// A gate in front of a wrapped server.
///
/// It listens from [`bind`](Self::bind) on, answers while [`serve`](Self::serve) runs, and comes to its end by
/// [`graceful_stop`](Self::graceful_stop).
pub struct Server {
    app: Arc<App>,
    local_addr: SocketAddr,
    listener: Mutex<Option<TcpListener>>,
    /// Told that no new work is taken.
    drain: watch::Sender<bool>,
    /// Told that what is still under way is not waited for any more.
    finish: watch::Sender<bool>,
    /// What the clock starts, which ends with the server: a process may start and stop many.
    _tasks: JoinSet<()>,
}

impl Server {
    /// Listens, starts the wrapped server and settles what an earlier run left open. No request is answered yet.
    ///
    /// # Errors
    /// [`StartError`]; then nothing was started.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    pub async fn bind(config: ServerConfig) -> Result<Self, StartError> {
        let parts = ServerParts::new(&config);
        Self::bind_with(config, parts).await
    }

    /// As [`Self::bind`], over parts that others use too. The gate of the configuration is not looked at.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub async fn bind_with(config: ServerConfig, parts: ServerParts) -> Result<Self, StartError> {
        let (host, port) = (config.host, config.port);
        let failed = |source| StartError::Listen { host, port, source };
        let listener = accept::listen(host, port).map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        let backend = Backend::start(config.backend.clone()).await?;
        if let Some(oauth) = &parts.oauth {
            oauth.set_origin(format!("http://localhost:{}", local_addr.port()));
        }
        let app = Arc::new(App::new(config, parts, backend));
        tokio::spawn(tool_list::discover(app.clone()));
        let mut tasks = JoinSet::new();
        tasks.spawn(sweep::what_is_old(Arc::downgrade(&app)));
        if app.news.webhook.is_some() {
            tasks.spawn(expiry::watch(Arc::downgrade(&app)));
        }
        let listener = Mutex::new(Some(listener));
        let (drain, finish) = (watch::Sender::new(false), watch::Sender::new(false));
        Ok(Self { app, local_addr, listener, drain, finish, _tasks: tasks })
    }

    /// The address that is listened on, with the port that was picked.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Answers requests until the server is stopped. Called again, it returns at once.
    pub async fn serve(&self) {
        let Some(listener) = self.listener.lock().take() else { return };
        let mut finish = self.finish.subscribe();
        let finished = async move {
            // An error would say that the server is gone, which means the same.
            let _ = finish.wait_for(|finish| *finish).await;
        };
        accept::serve(self.app.clone(), listener, self.drain.subscribe(), finished).await;
    }

    /// The wrapped server.
    pub fn backend(&self) -> &Arc<Backend> {
        &self.app.backend
    }

    /// Calls that are under way.
    pub fn in_flight(&self) -> usize {
        self.app.in_flight.count()
    }

    /// Takes no new calls, waits until those under way are answered and until events are posted, at most for `limit`,
    /// stops the wrapped server and saves the books. Called again, it returns at once.
    ///
    /// Meanwhile connections that are open get 503 for calls, and new ones are refused.
    pub async fn graceful_stop(&self, limit: Duration) {
        if !self.app.start_draining() {
            return;
        }
        let begun = self.app.uptime();
        tracing::info!("draining, {} call(s) under way", self.app.in_flight.count());
        self.drain.send_replace(true);
        if timeout(limit, self.app.in_flight.none_left()).await.is_err() {
            let left = self.app.in_flight.count();
            tracing::warn!("{left} call(s) were still under way after {limit:?} and are given up");
        }
        self.app.backend.stop().await;
        self.app.backend.give_up();
        // Calls that were given up end now, and their charges with them.
        let _ = timeout(GIVING_UP_TIME_MAX, self.app.in_flight.none_left()).await;
        self.app.sessions.end_streams();
        self.finish.send_replace(true);
        let books = self.app.books.clone();
        // What fails is told by the books themselves. The wait is for the disk, and so not for this thread.
        let saving = tokio::task::spawn_blocking(move || books.save());
        let left = limit.saturating_sub(self.app.uptime().saturating_sub(begun));
        let _ = tokio::join!(saving, self.post_events(left.max(GIVING_UP_TIME_MAX)));
        tracing::info!("drained");
    }

    /// Posts the events that the receiver of webhooks has not been told.
    async fn post_events(&self, limit: Duration) {
        let Some(webhook) = &self.app.news.webhook else { return };
        if !webhook.drain(limit).await {
            tracing::warn!("webhooks were still under way after {limit:?} and are given up");
        }
    }
}
