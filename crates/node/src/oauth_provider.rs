//! `OAuthProvider`: clients and tokens. The shell names a client by its slot, which stays the same as long as the
//! client's object does.

use std::sync::Arc;

use parking_lot::Mutex;
use paygate_core::entropy::SystemEntropy;
use paygate_server::oauth::{
    CLIENT_FIELDS, CodeExchange, CodeRequest, Credentials, OAuthConfig, OAuthError, OAuthOptions,
    OAuthProvider, RefreshRequest, Registration, SharedClient, TokenGrant,
};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::call::{Call, Failure, UNDEFINED, Value, slot};
use crate::host::HostClock;
use crate::live_record;

/// Lines to print, and whether each is good news.
pub(crate) type Lines = Arc<Mutex<Vec<(bool, String)>>>;

/// A provider as JavaScript holds it: its own, or the one of a server.
pub(crate) struct OAuthHandle {
    pub(crate) provider: Arc<OAuthProvider>,
    slots: Mutex<Vec<SharedClient>>,
    lines: Lines,
}

impl OAuthHandle {
    fn slot_of(&self, client: SharedClient) -> usize {
        let mut slots = self.slots.lock();
        slots.iter().position(|known| Arc::ptr_eq(known, &client)).unwrap_or_else(|| {
            slots.push(client);
            slots.len() - 1
        })
    }

    fn at(&self, slot: usize) -> Option<SharedClient> {
        self.slots.lock().get(slot).cloned()
    }

    /// Tells the shell whether there is anything to print.
    fn announce(&self, call: &Call<'_>) {
        call.set_flag(slot::NOTICES, !self.lines.lock().is_empty());
    }
}

fn handle<'a>(call: &'a Call<'_>) -> &'a OAuthHandle {
    call.the::<OAuthHandle>()
}

/// Has JavaScript hold a provider: its own, or the one of a server. Whoever made it puts into `lines` what the script is
/// to print.
pub(crate) fn hold(call: &Call<'_>, provider: Arc<OAuthProvider>, lines: Lines) -> Value {
    let handle = OAuthHandle { provider, slots: Mutex::default(), lines };
    handle.announce(call);
    call.hold_any(handle)
}

/// What a provider is set up with, but for its times, which are numbers of their own.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenConfig {
    issuer: Option<String>,
    scopes: Option<Vec<String>>,
    approve_linked: bool,
    rotate_refresh_tokens: bool,
}

/// `oauthNew(config, path?, accessTokenTtl, refreshTokenTtl, codeTtl)`: a provider; a time that is no number is the
/// usual one.
pub(crate) fn new(call: &Call<'_>) -> Value {
    let GivenConfig { issuer, scopes, approve_linked, rotate_refresh_tokens } =
        call.json(0).expect("always given");
    let usual = OAuthConfig::default();
    let seconds = |at, usual: f64| if call.number(at).is_nan() { usual } else { call.number(at) };
    let config = OAuthConfig {
        issuer,
        access_token_ttl_seconds: seconds(2, usual.access_token_ttl_seconds),
        refresh_token_ttl_seconds: seconds(3, usual.refresh_token_ttl_seconds),
        code_ttl_seconds: seconds(4, usual.code_ttl_seconds),
        scopes: scopes.unwrap_or(usual.scopes),
        approve_linked,
        rotate_refresh_tokens,
    };
    let lines = Lines::default();
    let told = lines.clone();
    let provider = OAuthProvider::new(OAuthOptions {
        config,
        path: call.text(1).map(Into::into),
        clock: Arc::new(HostClock),
        entropy: Arc::new(SystemEntropy),
        tell: Arc::new(move |notice| told.lock().push((notice.good_news(), notice.to_string()))),
    });
    hold(call, Arc::new(provider), lines)
}

/// `oauthNotices(oauth)`: pairs of whether it is good news, and a line to print.
pub(crate) fn notices(call: &Call<'_>) -> Value {
    call.json_text(&std::mem::take(&mut *handle(call).lines.lock()))
}

/// What a client says of itself, as the shell passes it: texts, absent where the caller gave nothing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenClient {
    client_name: String,
    redirect_uris: Vec<String>,
    grant_types: Option<Json>,
    scope: Option<String>,
    api_key_ref: Option<String>,
    token_endpoint_auth_method: Option<String>,
}

/// `oauthRegister(oauth, client)`: the secret of a new client, if it has one; `FIRST` is the client's slot.
pub(crate) fn register(call: &Call<'_>) -> Value {
    let GivenClient {
        client_name,
        redirect_uris,
        grant_types,
        scope,
        api_key_ref,
        token_endpoint_auth_method,
    } = call.json(1).expect("always given");
    let oauth = handle(call);
    let registration = Registration {
        client_name,
        redirect_uris,
        grant_types,
        scope,
        api_key: api_key_ref,
        token_endpoint_auth_method,
    };
    match oauth.provider.register_client(registration) {
        Ok(registered) => {
            oauth.announce(call);
            #[expect(clippy::cast_precision_loss, reason = "slots are far below 2^53")]
            call.set(slot::FIRST, oauth.slot_of(registered.client) as f64);
            call.optional(registered.secret)
        }
        Err(error) => fail(call, &error),
    }
}

/// `oauthFind(oauth, id)`: the slot of a client, or −1.
pub(crate) fn find(call: &Call<'_>) -> Value {
    let oauth = handle(call);
    let found = call.text(1).and_then(|id| oauth.provider.client(&id));
    call.place(found.map(|client| oauth.slot_of(client)))
}

/// `oauthClients(oauth)`: triples of slot, id and how the secret begins, in the order of registration.
pub(crate) fn clients(call: &Call<'_>) -> Value {
    let oauth = handle(call);
    let rows = oauth.provider.clients().into_iter().map(|client| {
        let (id, prefix) = {
            let client = client.lock();
            (client.id().to_owned(), client.secret_prefix())
        };
        (oauth.slot_of(client), id, prefix)
    });
    call.json_text(&rows.collect::<Vec<_>>())
}

/// `oauthLink(oauth, id, key?)`: whether there is such a client.
pub(crate) fn link(call: &Call<'_>) -> Value {
    let oauth = handle(call);
    let linked = oauth.provider.link_client(&call.given(1), call.text(2).as_deref());
    oauth.announce(call);
    call.boolean(linked)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenCodeRequest {
    client_id: String,
    redirect_uri: String,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
    scope: Option<String>,
    api_key_ref: Option<String>,
}

/// `oauthCode(oauth, request)`: an authorization code.
pub(crate) fn create_code(call: &Call<'_>) -> Value {
    let request: GivenCodeRequest = call.json(1).expect("always given");
    let created = handle(call).provider.create_auth_code(&CodeRequest {
        client_id: &request.client_id,
        redirect_uri: &request.redirect_uri,
        code_challenge: request.code_challenge.as_deref().unwrap_or_default(),
        code_challenge_method: request.code_challenge_method.as_deref(),
        scope: request.scope.as_deref(),
        api_key: request.api_key_ref.as_deref(),
    });
    match created {
        Ok(code) => call.string(&code),
        Err(error) => fail(call, &error),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenExchange {
    code: String,
    client_id: String,
    redirect_uri: String,
    code_verifier: Option<String>,
    client_secret: Option<String>,
}

/// `oauthExchange(oauth, code)`: the tokens for a code; `FIRST` is how long they live.
pub(crate) fn exchange(call: &Call<'_>) -> Value {
    let shown: GivenExchange = call.json(1).expect("always given");
    let granted = handle(call).provider.exchange_code(&CodeExchange {
        code: &shown.code,
        client_id: &shown.client_id,
        redirect_uri: &shown.redirect_uri,
        code_verifier: shown.code_verifier.as_deref(),
        credentials: credentials(shown.client_secret.as_deref()),
    });
    grant(call, granted)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenRefresh {
    refresh_token: String,
    client_id: String,
    scope: Option<String>,
    client_secret: Option<String>,
}

/// `oauthRefresh(oauth, token)`: the tokens for a refresh token; `FIRST` is how long they live.
pub(crate) fn refresh(call: &Call<'_>) -> Value {
    let shown: GivenRefresh = call.json(1).expect("always given");
    let granted = handle(call).provider.refresh_access_token(&RefreshRequest {
        refresh_token: &shown.refresh_token,
        client_id: &shown.client_id,
        scope: shown.scope.as_deref(),
        credentials: credentials(shown.client_secret.as_deref()),
    });
    grant(call, granted)
}

fn credentials(secret: Option<&str>) -> Credentials<'_> {
    secret.map_or(Credentials::Absent, Credentials::Anywhere)
}

fn grant(call: &Call<'_>, granted: Result<TokenGrant, OAuthError>) -> Value {
    handle(call).announce(call);
    match granted {
        Ok(TokenGrant { access_token, refresh_token, expires_in_seconds, scope }) => {
            call.set(slot::FIRST, expires_in_seconds);
            call.json_text(&(access_token, refresh_token, scope))
        }
        Err(error) => fail(call, &error),
    }
}

fn fail(call: &Call<'_>, error: &OAuthError) -> Value {
    let failure = match error {
        OAuthError::VerifierMissing => Failure::Type,
        _ => Failure::Other,
    };
    call.fail(failure, error)
}

/// `oauthValidate(oauth, token)`: what an access token stands for, or nothing.
pub(crate) fn validate(call: &Call<'_>) -> Value {
    let found = call.text(1).and_then(|token| handle(call).provider.validate_token(&token));
    let Some(token) = found else { return UNDEFINED };
    call.json_text(&json!({"apiKey": token.api_key(), "scope": token.scope(), "clientId": token.client_id()}))
}

/// `oauthRevoke(oauth, token)`: whether there was such a token.
pub(crate) fn revoke(call: &Call<'_>) -> Value {
    let oauth = handle(call);
    let revoked = oauth.provider.revoke_token(&call.given(1));
    oauth.announce(call);
    call.boolean(revoked)
}

/// `oauthMetadata(oauth)`.
pub(crate) fn metadata(call: &Call<'_>) -> Value {
    call.json_text(&handle(call).provider.metadata(None))
}

/// `oauthTokenCount(oauth)`.
pub(crate) fn token_count(call: &Call<'_>) -> Value {
    call.place(Some(handle(call).provider.token_count()))
}

/// `oauthClientCount(oauth)`.
pub(crate) fn client_count(call: &Call<'_>) -> Value {
    call.place(Some(handle(call).provider.client_count()))
}

/// `oauthSweep(oauth)`: removes what has expired.
pub(crate) fn sweep(call: &Call<'_>) -> Value {
    let oauth = handle(call);
    oauth.provider.sweep();
    oauth.announce(call);
    UNDEFINED
}

/// `clientRecord(oauth, slot)`: as `storeRecord`, of a client.
pub(crate) fn record(call: &Call<'_>) -> Value {
    let Some(client) = handle(call).at(call.index(1)) else { return UNDEFINED };
    let client = client.lock();
    live_record::shape(call, &client.field_names(), &CLIENT_FIELDS, |name| client.value(name).cloned())
}

/// `clientRead(oauth, slot, field)`: the value of one of the known fields, by its number.
pub(crate) fn read(call: &Call<'_>) -> Value {
    let Some(client) = handle(call).at(call.index(1)) else { return UNDEFINED };
    let Some(name) = CLIENT_FIELDS.get(call.index(2)) else { return UNDEFINED };
    let value = client.lock().value(name).cloned();
    live_record::value(call, value)
}

/// `clientWrite(oauth, slot, name, value?)`: assigns a field of a client, or removes it.
pub(crate) fn write(call: &Call<'_>) -> Value {
    if let Some(client) = handle(call).at(call.index(1)) {
        client.lock().set(&call.given(2), call.json(3));
    }
    UNDEFINED
}
