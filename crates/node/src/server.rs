//! `PayGateServer`: the server of the command line, inside the script's process, over the script's own gate and store.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use paygate_core::clock::Clock;
use paygate_core::usage::AlertRule;
use paygate_server::history;
use paygate_server::oauth::state_path;
use paygate_server::webhook::StripeSettings;
use paygate_server::{CallHooks, News, Server, ServerConfig, ServerParts, SessionId, Sessions, StartError};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::alert_engine::AlertsHandle;
use crate::audit_logger::AuditHandle;
use crate::backend::{BackendHandle, Script};
use crate::call::{Call, Failure, UNDEFINED, Value, slot};
use crate::channel::{self, Ending, Rejection, Teller};
use crate::host::HostClock;
use crate::metrics_collector::MetricsHandle;
use crate::oauth_provider::OAuthHandle;
use crate::runtime;

/// The server greets the children itself: they serve many clients.
const GREETED: bool = true;

/// A server as JavaScript holds it, running or not.
pub(crate) struct ServerHandle {
    config: ServerConfig,
    parts: ServerParts,
    backend: Arc<BackendHandle>,
    running: Arc<Mutex<Running>>,
}

/// How far a server has come.
enum Running {
    Not,
    Starting,
    /// And what stops it when the script's environment ends before.
    Now(Arc<Server>, Ending),
}

/// What a server is built from, as the shell has checked it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenServer {
    name: String,
    admin_key: String,
    free_methods: Vec<String>,
    stripe_secret: Option<String>,
    alert_rules: Vec<Json>,
}

/// `serverOAuthPath(path)`: where the state of OAuth is kept beside the keys'.
pub(crate) fn oauth_path(call: &Call<'_>) -> Value {
    call.string(&state_path(Path::new(&call.given(0))).to_string_lossy())
}

/// `serverNew(gate, config, backend, oauth?)`: a server over a gate that was made for one, or why its rules for alerts
/// are none.
pub(crate) fn new(call: &Call<'_>) -> Value {
    let given: GivenServer = call.json(1).expect("always given");
    let handle = call.gate();
    let rules: Result<Vec<_>, _> = given.alert_rules.into_iter().map(AlertRule::checked).collect();
    let rules = match rules {
        Ok(rules) => rules,
        Err(error) => return call.fail(Failure::Range, format!("config.alertRules: {error}")),
    };
    let backend = call.the_other::<Arc<BackendHandle>>(2).expect("always given").clone();
    let nobody = Teller::default();
    let books = handle.store.books.file.clone();
    let mut config = ServerConfig::new(given.admin_key, backend.config(&nobody, GREETED), books);
    config.name = given.name;
    config.stripe = given.stripe_secret.as_deref().map(StripeSettings::new);
    config.free_methods = given.free_methods.into_iter().collect();
    let entropy = handle.gate.ledger().entropy().clone();
    let clock: Arc<dyn Clock> = Arc::new(HostClock);
    let sessions = Arc::new(Sessions::new(clock.clone(), entropy));
    config.alert_rules = rules.clone();
    let rules = history::alert_rules(&config.books, rules);
    let news = News::new(&handle.gate, &sessions, &clock, rules, handle.webhook.clone());
    history::resume_log(&config.books, &news.audit);
    let hooks: Arc<dyn CallHooks> = handle.hooks.clone();
    let parts = ServerParts { gate: handle.gate.clone(), sessions, news, oauth: None, hooks: Some(hooks) };
    let parts = match call.the_other::<OAuthHandle>(3) {
        Some(oauth) => parts.with_oauth(oauth.provider.clone()),
        None => parts,
    };
    call.hold_any(ServerHandle { config, parts, backend, running: Arc::new(Mutex::new(Running::Not)) })
}

/// `serverStart(server, port, target)`: starts the wrapped server, whose events are told to the target, and listens;
/// `{port}`.
pub(crate) fn start(call: &Call<'_>) -> Value {
    let handle = call.the::<ServerHandle>();
    let mut config = handle.config.clone();
    config.port = u16::try_from(call.index(1)).expect("the shell checks the port");
    let teller = call.teller(call.index(2));
    config.backend = handle.backend.config(&teller, GREETED);
    config.listener = Some(Arc::new(Script(teller)));
    let (parts, running, backend) = (handle.parts.clone(), handle.running.clone(), handle.backend.clone());
    let channel = call.channel();
    if !matches!(std::mem::replace(&mut *running.lock(), Running::Starting), Running::Not) {
        return call.promise(async { Err(Rejection::new("the server has been started already")) });
    }
    call.promise(async move {
        match Server::bind_with(config, parts).await {
            Ok(server) => {
                let server = Arc::new(server);
                backend.attach(Some(server.backend().clone()));
                let port = server.local_addr().port();
                let (serving, stopped) = (server.clone(), server.clone());
                runtime::spawn(async move { serving.serve().await });
                let ending = channel::at_end(channel, move || {
                    drop(runtime::spawn(async move { stopped.graceful_stop(Duration::ZERO).await }));
                });
                *running.lock() = Running::Now(server, ending);
                Ok(Some(json!({"port": port}).to_string()))
            }
            Err(error) => {
                *running.lock() = Running::Not;
                Err(failure(&error))
            }
        }
    })
}

/// A failed start as Node tells it.
fn failure(error: &StartError) -> Rejection {
    let rejection = Rejection::new(error);
    match error.code() {
        Some(code) => rejection.with_code(code),
        None => rejection,
    }
}

/// `serverInFlight(server)`: how many calls are under way.
pub(crate) fn in_flight(call: &Call<'_>) -> Value {
    let running = call.the::<ServerHandle>().running.lock();
    let Running::Now(server, _) = &*running else { return call.place(Some(0)) };
    call.place(Some(server.in_flight()))
}

/// `serverStop(server, milliseconds)`: waits so long for calls under way, then stops everything.
pub(crate) fn stop(call: &Call<'_>) -> Value {
    let handle = call.the::<ServerHandle>();
    let limit = Duration::try_from_secs_f64(call.number(1) / 1000.0).unwrap_or(Duration::MAX);
    let (running, backend) = (handle.running.clone(), handle.backend.clone());
    call.promise(async move {
        let Running::Now(server, ending) = std::mem::replace(&mut *running.lock(), Running::Not) else {
            return Ok(None);
        };
        server.graceful_stop(limit).await;
        ending.forget();
        backend.attach(None);
        Ok(None)
    })
}

fn news<'a>(call: &'a Call<'_>) -> &'a News {
    &call.the::<ServerHandle>().parts.news
}

/// `serverAudit(server)`: the server's log.
pub(crate) fn audit(call: &Call<'_>) -> Value {
    call.hold_any(AuditHandle(news(call).audit.clone()))
}

/// `serverMetrics(server)`: the server's counters.
pub(crate) fn metrics(call: &Call<'_>) -> Value {
    call.hold_any(MetricsHandle::new(news(call).metrics.clone()))
}

/// `serverAlerts(server)`: the server's rules for alerts. Other rules are another engine, and another number in `FIRST`.
pub(crate) fn alerts(call: &Call<'_>) -> Value {
    let engine = news(call).alerts.read().clone();
    #[expect(clippy::cast_precision_loss, reason = "addresses of programs are below 2^53")]
    call.set(slot::FIRST, Arc::as_ptr(&engine) as usize as f64);
    call.hold_any(AlertsHandle(engine))
}

/// `serverTools(server)`: the names of the tools that were listed last.
pub(crate) fn tools(call: &Call<'_>) -> Value {
    call.json_text(&*news(call).tools_listed.read())
}

/// `serverSetTools(server, names)`.
pub(crate) fn set_tools(call: &Call<'_>) -> Value {
    *news(call).tools_listed.write() = call.json(1).expect("always given");
    UNDEFINED
}

fn session_id(call: &Call<'_>) -> Option<SessionId> {
    SessionId::parse(&call.text(1)?)
}

/// `sessionsCount(server)`.
pub(crate) fn session_count(call: &Call<'_>) -> Value {
    call.place(Some(call.the::<ServerHandle>().parts.sessions.count()))
}

/// `sessionsCreate(server, key?)`: the id of a new session.
pub(crate) fn create_session(call: &Call<'_>) -> Value {
    let id = call.the::<ServerHandle>().parts.sessions.create(call.text(1).as_deref());
    call.string(&id.to_string())
}

/// `sessionsView(server, id)`: uses a session; `[created, used, key]`, or nothing when there is none.
pub(crate) fn view_session(call: &Call<'_>) -> Value {
    let sessions = &call.the::<ServerHandle>().parts.sessions;
    let Some(view) = session_id(call).and_then(|id| sessions.view(id)) else { return UNDEFINED };
    call.json_text(&(view.created_at.0, view.used_at.0, view.key))
}

/// `sessionsEnd(server, id?)`: ends a session, or all; false when there was none.
pub(crate) fn end_session(call: &Call<'_>) -> Value {
    let sessions = &call.the::<ServerHandle>().parts.sessions;
    if call.count() < 2 {
        sessions.end_all();
        return call.boolean(true);
    }
    call.boolean(session_id(call).is_some_and(|id| sessions.end(id)))
}
