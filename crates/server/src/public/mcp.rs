//! `/mcp`: one JSON-RPC message in, its answer out.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, ACCESS_CONTROL_EXPOSE_HEADERS, AUTHORIZATION, HeaderName, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use paygate_core::text::number::json_to_number;
use paygate_mcp_wire::sse;
use paygate_mcp_wire::stdio::FIRST_ID;
use paygate_mcp_wire::wire::{self, Envelope, Id, Kind, Spliced, ToolCall};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::app::App;
use crate::auth::caller::api_key;
use crate::auth::oauth::{self, ChallengeReason};
use crate::call::{self, Caller, Message, PAYMENT_REQUIRED, Shortfall};
use crate::http::body;
use crate::http::client_address::{Peer, client_address};
use crate::http::in_flight::InFlight;
use crate::http::outlive::Outlive;
use crate::http::request::{Request, header_text};
use crate::http::respond::{self, IntoResponse, Response};
use crate::http::route::refuse;
use crate::members::Members;
use crate::public::event_stream::{self, EVENT_STREAM};
use crate::public::oauth::base_url;
use crate::session::SessionId;
use crate::tool_list;

const MCP_SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const MCP_PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const X_CREDITS_REMAINING: HeaderName = HeaderName::from_static("x-credits-remaining");
const X_RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RATELIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

const INVALID_REQUEST: i64 = -32600;

/// Answers a request to `/mcp`, whatever its method.
pub(crate) async fn answer(app: Arc<App>, request: Request) -> Response {
    if app.draining() {
        let refusal = respond::error(StatusCode::SERVICE_UNAVAILABLE, "Server is shutting down");
        return refuse(request, refusal).await;
    }
    let in_flight = app.in_flight.enter();
    match request.head.method {
        Method::POST => post(app, request, in_flight).await,
        Method::DELETE => delete(&app, &request),
        Method::GET => listen(&app, &request),
        _ => refuse(request, respond::method_not_allowed("Method not allowed", ANSWERED)).await,
    }
}

const ANSWERED: [&Method; 3] = [&Method::GET, &Method::POST, &Method::DELETE];

/// Opens a stream of events. Nobody has to wait for it when the server stops, so it is no request under way.
fn listen(app: &App, request: &Request) -> Response {
    let headers = &request.head.headers;
    if !accepts_events(headers) {
        return respond::method_not_allowed("GET /mcp requires Accept: text/event-stream", ANSWERED);
    }
    let session = match named_session(app, headers) {
        Ok(Some(session)) => session,
        Ok(None) if names_revision(headers) => return session_missing(),
        Ok(None) => app.sessions.create(api_key(headers, app.oauth.as_deref()).as_deref()),
        Err(UnknownSession) => return session_not_found(),
    };
    match event_stream::open(app, session, !names_revision(headers)) {
        Ok(mut response) => {
            response.headers_mut().insert(MCP_SESSION_ID, session.header());
            response
        }
        Err(error) => error.into_response(),
    }
}

/// Ends a session.
fn delete(app: &App, request: &Request) -> Response {
    #[derive(Serialize)]
    struct Ended {
        message: &'static str,
    }
    match header_text(&request.head.headers, MCP_SESSION_ID).filter(|id| !id.is_empty()) {
        None => session_missing(),
        Some(id) => match SessionId::parse(&id).filter(|id| app.sessions.end(*id)) {
            Some(id) => {
                app.news.session_destroyed(id);
                respond::json(StatusCode::OK, &Ended { message: "Session terminated" })
            }
            None => session_not_found(),
        },
    }
}

fn session_missing() -> Response {
    respond::error(StatusCode::BAD_REQUEST, "Missing Mcp-Session-Id header")
}

fn session_not_found() -> Response {
    respond::error(StatusCode::NOT_FOUND, "Session not found")
}

async fn post(app: Arc<App>, request: Request, in_flight: InFlight) -> Response {
    let Request { head, body, peer } = request;
    let body = match body::read(&head.headers, body, &app.limits).await {
        Ok(body) => body,
        Err(error) => return error.into_response(),
    };
    Outlive::new(async move {
        let mut response = exchange(&app, &head, &body, &peer).await;
        response.body_mut().hold(in_flight);
        response
    })
    .await
}

/// Answers one message.
async fn exchange(app: &App, head: &Parts, body: &Bytes, peer: &Peer) -> Response {
    let envelope = match Envelope::parse(body) {
        Ok(envelope) => envelope,
        Err(error) => return invalid(Id::Absent, error.code(), &error.message()),
    };
    let message = Message { body, envelope: &envelope };
    let method = envelope.method.as_deref().unwrap_or_default();
    let session = match session_of(app, &head.headers, method) {
        Ok(session) => session,
        Err(UnknownSession) => return session_not_found(),
    };
    let key = api_key(&head.headers, app.oauth.as_deref());
    let address = client_address(peer, &head.headers, &app.trusted_proxies);
    let caller = Caller { key: key.as_deref(), address: &address, named_session: session.named() };
    let told = match envelope.kind() {
        Kind::Request => request_answer(app, &caller, &message, method).await,
        // 2.9.0 answered its own batch method with or without an id; no revision of MCP knows the method.
        Kind::Notification if method == "tools/call_batch" && !names_revision(&head.headers) => {
            request_answer(app, &caller, &message, method).await
        }
        Kind::Notification if charges(method) => {
            return invalid(Id::Absent, INVALID_REQUEST, &format!("Invalid Request: {method} needs an id"));
        }
        Kind::Notification => {
            notify(app, &caller, &message, method).await;
            return accepted(session);
        }
        // No request of the server's own has been passed on that this could answer.
        Kind::Response => return accepted(session),
        Kind::Neither => {
            return invalid(envelope.id, INVALID_REQUEST, "Invalid Request: method is required");
        }
    };
    let mut response = match challenge(app, head, peer, &caller, method) {
        Some(challenge) => challenged(challenge, told),
        None if accepts_events(&head.headers) => event(told),
        None => respond::raw_json(StatusCode::OK, told),
    };
    let headers = response.headers_mut();
    session.tell(headers);
    tell_limits(app, &caller, &message, method, headers);
    response
}

/// What a caller without a key is told to do about it, if there is anything to do: to get a token. A caller with the
/// manners of 2.9.0 whose token is not known goes without, as ever.
fn challenge(app: &App, head: &Parts, peer: &Peer, caller: &Caller<'_>, method: &str) -> Option<HeaderValue> {
    let provider = app.oauth.as_deref()?;
    if caller.key.is_some() || app.gate.config().shadow_mode || !gated(app, method) {
        return None;
    }
    let reason = match head.headers.contains_key(AUTHORIZATION) {
        false => ChallengeReason::NoCredential,
        true if names_revision(&head.headers) => ChallengeReason::InvalidToken,
        true => return None,
    };
    let base = base_url(provider, &head.headers, peer);
    HeaderValue::try_from(oauth::challenge(&base, reason)).ok()
}

/// Whether a method needs a key.
fn gated(app: &App, method: &str) -> bool {
    match method {
        "tools/call" => !app.free_methods.contains(method) || app.backend.is_router(),
        "tools/call_batch" => true,
        _ => !app.free_methods.contains(method),
    }
}

/// The answer to a caller who is to come back with a token. Pages may read where to get one.
fn challenged(challenge: HeaderValue, told: Spliced) -> Response {
    let mut response = respond::raw_json(StatusCode::UNAUTHORIZED, told);
    let headers = response.headers_mut();
    headers.append(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("WWW-Authenticate"));
    headers.insert(WWW_AUTHENTICATE, challenge);
    response
}

/// Whether a request asks for the rules of a revision of MCP rather than for the manners of 2.9.0.
pub(crate) fn names_revision(headers: &HeaderMap) -> bool {
    headers.contains_key(&MCP_PROTOCOL_VERSION)
}

/// Whether a method may cost something, so that its answer must be wanted.
fn charges(method: &str) -> bool {
    matches!(method, "tools/call" | "tools/call_batch")
}

async fn request_answer(app: &App, caller: &Caller<'_>, message: &Message<'_>, method: &str) -> Spliced {
    let free = app.free_methods.contains(method);
    match method {
        "tools/call" if !free || app.backend.is_router() => call::charge_and_call(app, caller, message).await,
        "tools/call_batch" => call::charge_and_call_batch(app, caller, message).await,
        _ => {
            if !free && let Err(reason) = app.gate.admit(caller.key, Some(caller.address)) {
                let reason = format!("Payment required: {reason}");
                let nothing = Shortfall { credits_required: 0, remaining_credits: 0 };
                return wire::error_with_data(message.envelope.id, PAYMENT_REQUIRED, &reason, &nothing)
                    .into();
            }
            let answer = call::forward(app, caller, message).await;
            if method == "tools/list"
                && let Ok(reply) = &answer
                && let Some(list) = reply
                    .result()
                    .and_then(|all| tool_list::for_caller(&app.gate, &app.news, caller.key, all))
            {
                return wire::result(message.envelope.id, &list).into();
            }
            message.answer(answer)
        }
    }
}

/// Passes a notification on, if its sender may say anything to the server.
async fn notify(app: &App, caller: &Caller<'_>, message: &Message<'_>, method: &str) {
    let free = app.free_methods.contains(method);
    if !free && app.gate.admit(caller.key, Some(caller.address)).is_err() {
        tracing::debug!(method, "dropped a notification of a caller without a key");
        return;
    }
    match method {
        "notifications/cancelled" => match cancelled(app, caller, message.envelope.params) {
            Cancelled::UnderWay(our_id, cancellation) => app.backend.notify_about(our_id, cancellation).await,
            Cancelled::Unknown => app.backend.notify(message.body.clone()).await,
            Cancelled::Foreign => {
                tracing::debug!("dropped a cancellation that may be of somebody else's request")
            }
        },
        _ => app.backend.notify(message.body.clone()).await,
    }
}

/// What a cancellation is about.
enum Cancelled {
    /// A request of its sender, by its id of ours; the message names it by that.
    UnderWay(u64, Bytes),
    /// No request that the server knows, so that nobody's is ended.
    Unknown,
    /// An id that may be one of ours, and so somebody else's request.
    Foreign,
}

fn cancelled(app: &App, caller: &Caller<'_>, params: Option<&RawValue>) -> Cancelled {
    let params = params.and_then(|params| serde_json::from_str::<Members<Box<RawValue>>>(params.get()).ok());
    let Some(mut params) = params else { return Cancelled::Foreign };
    let Some(request_id) = params.only_mut("requestId") else { return Cancelled::Foreign };
    let under_way =
        caller.named_session.and_then(|session| app.sessions.request_under_way(session, request_id.get()));
    if let Some(our_id) = under_way {
        *request_id = to_raw_value(&our_id).expect("a number can always be written");
        return Cancelled::UnderWay(our_id, wire::notification("notifications/cancelled", &params));
    }
    // A server may take a text of digits for the number.
    #[expect(clippy::cast_precision_loss, reason = "a power of two")]
    let known_to_server = serde_json::from_str(request_id.get())
        .is_ok_and(|id: serde_json::Value| json_to_number(&id) >= FIRST_ID as f64);
    if known_to_server { Cancelled::Foreign } else { Cancelled::Unknown }
}

/// The session a message belongs to.
#[derive(Debug, Clone, Copy)]
enum Session {
    /// The sender named it.
    Named(SessionId),
    /// It was made for this message, and is told in the answer.
    Made(SessionId),
    /// The message belongs to none.
    None,
}

/// The sender named a session that is not there any more.
struct UnknownSession;

impl Session {
    fn named(self) -> Option<SessionId> {
        match self {
            Self::Named(id) => Some(id),
            Self::Made(_) | Self::None => None,
        }
    }

    fn tell(self, headers: &mut HeaderMap) {
        match self {
            Self::Named(id) | Self::Made(id) => drop(headers.insert(MCP_SESSION_ID, id.header())),
            Self::None => {}
        }
    }
}

/// Finds or makes the session of a message.
///
/// A client that tells which revision of the protocol it speaks gets the rules of all revisions: a session begins
/// with `initialize`, and one that has ended is reported. One that does not gets the manners of 2.9.0: every message
/// without a live session begins one.
fn session_of(app: &App, headers: &HeaderMap, method: &str) -> Result<Session, UnknownSession> {
    if let Some(id) = named_session(app, headers)? {
        return Ok(Session::Named(id));
    }
    if names_revision(headers) && method != "initialize" {
        return Ok(Session::None);
    }
    let key = api_key(headers, app.oauth.as_deref());
    let made = app.sessions.create(key.as_deref());
    app.news.session_created(key.as_deref(), made);
    Ok(Session::Made(made))
}

/// The live session that a request names, if it names one. Only a client that tells its revision hears that the one it
/// names is not there.
fn named_session(app: &App, headers: &HeaderMap) -> Result<Option<SessionId>, UnknownSession> {
    let Some(text) = header_text(headers, MCP_SESSION_ID).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    match SessionId::parse(&text).filter(|id| app.sessions.touch(*id)) {
        None if names_revision(headers) => Err(UnknownSession),
        id => Ok(id),
    }
}

fn accepts_events(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT)
        .into_iter()
        .any(|value| memchr::memmem::find(value.as_bytes(), EVENT_STREAM.as_bytes()).is_some())
}

/// The answer to what expects none.
fn accepted(session: Session) -> Response {
    let mut response = respond::empty(StatusCode::ACCEPTED);
    session.tell(response.headers_mut());
    response
}

/// The answer to what is no message.
fn invalid(id: Id<'_>, code: i64, message: &str) -> Response {
    respond::raw_json(StatusCode::BAD_REQUEST, wire::error(id, code, message))
}

/// An answer as the only event of a stream.
fn event(message: Spliced) -> Response {
    let mut response = respond::with_body(StatusCode::OK, EVENT_STREAM, sse::event(message));
    event_stream::add_headers(response.headers_mut());
    response
}

/// Tells a caller with a live key what it has left: credits, and calls in the window that the method counts in.
fn tell_limits(app: &App, caller: &Caller<'_>, message: &Message<'_>, method: &str, headers: &mut HeaderMap) {
    let Some(key) = caller.key else { return };
    let ledger = app.ledger();
    let now = ledger.now();
    let Some(credits) = ledger.accounts.usable_balance(key, now) else { return };
    headers.insert(X_CREDITS_REMAINING, HeaderValue::from(credits.get()));
    let tool_limit = (method == "tools/call").then(|| tool_limit(app, message)).flatten();
    let (window, limit) = match tool_limit {
        Some((tool, limit)) => (Cow::Owned(format!("{key}:tool:{tool}")), limit),
        None => (Cow::Borrowed(key), app.gate.global_rate_limit()),
    };
    if limit > 0.0 {
        let verdict = ledger.limiter.check(&window, limit, now);
        headers.insert(X_RATELIMIT_LIMIT, whole(limit));
        headers.insert(X_RATELIMIT_REMAINING, whole(verdict.remaining));
        headers.insert(X_RATELIMIT_RESET, whole((verdict.resets_in_ms / 1000.0).ceil()));
    }
}

/// The tool of a call and its own limit, if it has one.
fn tool_limit(app: &App, message: &Message<'_>) -> Option<(String, f64)> {
    let config = app.gate.config();
    let call = ToolCall::from_params(message.envelope.params).ok()?;
    let limit = config.prices.terms(&call.name)?.calls_per_minute;
    (limit > 0.0).then(|| (call.name.into_owned(), limit))
}

/// A number as a header has it.
fn whole(number: f64) -> HeaderValue {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded, and not negative")]
    let number = number as u64;
    HeaderValue::from(number)
}
