//! The whole surface of the authorization server, over the books of clients, codes and tokens.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use paygate_core::clock::{Clock, Timestamp};
use paygate_core::entropy::{Entropy, random_name};
use paygate_core::limit::rate_limiter::RateLimiter;
use serde_json::{Map, Value};

use super::client::{Client, Credentials, Registration, SharedClient, given};
use super::config::{DEFAULT_ISSUER, OAuthConfig};
use super::error::OAuthError;
use super::grant::{AuthCode, CodeExchange, CodeRequest, Codes};
use super::metadata::{ProtectedResource, ServerMetadata};
use super::scope;
use super::state_file::{ClientImage, Clients, Image, Loaded, StateFile, Tell, TokenImage};
use super::token::{RefreshRequest, Token, TokenGrant, TokenKind, Tokens, end_of_life, end_of_token};

/// Most clients that are registered at a time.
const CLIENTS_MAX: usize = 10_000;
/// Registrations a minute that one address may ask for.
const REGISTRATIONS_PER_ADDRESS_MAX: u64 = 60;
/// Registrations a minute that all addresses together may ask for.
const REGISTRATIONS_MAX: u64 = 600;
/// What registrations of all addresses are counted under.
const ALL_ADDRESSES: &str = "";

/// What a provider is made of.
pub struct OAuthOptions {
    /// How it is set up.
    pub config: OAuthConfig,
    /// Where clients and tokens are kept; in memory alone when absent.
    pub path: Option<PathBuf>,
    /// Tells when things expire.
    pub clock: Arc<dyn Clock>,
    /// Makes ids, secrets, codes and tokens.
    pub entropy: Arc<dyn Entropy>,
    /// Hears what happens to the file.
    pub tell: Tell,
}

/// A client that was just registered, and its secret, which is told once.
pub struct Registered {
    /// The client.
    pub client: SharedClient,
    /// Its secret; none for a client that wants to authenticate by `none`.
    pub secret: Option<String>,
}

/// Registers clients, and issues tokens that stand for API keys.
///
/// A change is in the state file when the method that made it returns; one that cannot be written stands all the same,
/// and is told. [`Self::validate_token`] touches no file.
///
/// # Concurrency
/// Callable from any thread. Methods that change something wait for the disk: an async caller gives them a thread that
/// may block.
pub struct OAuthProvider {
    config: OAuthConfig,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    // Where two locks are held, they were taken in this order: clients, one client, codes, tokens.
    clients: RwLock<Clients>,
    codes: Mutex<Codes>,
    tokens: RwLock<Tokens>,
    registrations: RateLimiter,
    origin: RwLock<Option<String>>,
    file: Option<StateFile>,
    changes: AtomicU64,
}

/// What tokens are issued for.
struct Approval<'a> {
    client_id: &'a str,
    scope: &'a str,
    api_key: &'a str,
    family: Option<&'a str>,
}

impl CodeRequest<'_> {
    /// Whether there is a challenge, of the only kind.
    pub(super) fn check_challenge(&self) -> Result<(), OAuthError> {
        if self.code_challenge.is_empty() {
            return Err(OAuthError::ChallengeMissing);
        }
        match given(self.code_challenge_method) {
            None | Some("S256") => Ok(()),
            Some(_) => Err(OAuthError::ChallengeMethodUnsupported),
        }
    }
}

impl OAuthProvider {
    /// A provider with what its state file has.
    ///
    /// A damaged file is moved aside to `<file>.corrupt-<time>`. One that is another store's, or that may not be read, is
    /// left as it is, and nothing is written then.
    pub fn new(options: OAuthOptions) -> Self {
        let OAuthOptions { config, path, clock, entropy, tell } = options;
        let (file, Loaded { clients, tokens }) = match path {
            Some(path) => StateFile::open(&path, clock.wall(), tell),
            None => (None, Loaded::default()),
        };
        Self {
            config,
            clock,
            entropy,
            clients: RwLock::new(clients),
            codes: Mutex::default(),
            tokens: RwLock::new(tokens),
            registrations: RateLimiter::default(),
            origin: RwLock::default(),
            file,
            changes: AtomicU64::new(0),
        }
    }

    /// How it is set up.
    pub fn config(&self) -> &OAuthConfig {
        &self.config
    }

    fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    // ── Clients ──────────────────────────────────────────────────────────────

    /// Whether an address may register one more client this minute. Counts it.
    pub fn registration_permitted(&self, address: &str) -> bool {
        let now = self.now();
        let of_address = self.registrations.record(address, now);
        of_address <= REGISTRATIONS_PER_ADDRESS_MAX
            && self.registrations.record(ALL_ADDRESSES, now) <= REGISTRATIONS_MAX
    }

    /// Registers a client under a random id.
    ///
    /// When there are 10,000, the oldest that nobody has linked to a key and that has neither code nor token makes room.
    ///
    /// # Errors
    /// [`OAuthError::ClientMetadataMissing`], [`OAuthError::RedirectUriInvalid`],
    /// [`OAuthError::AuthMethodUnsupported`], [`OAuthError::TooManyClients`].
    pub fn register_client(&self, registration: Registration) -> Result<Registered, OAuthError> {
        registration.check()?;
        let id = random_name(&*self.entropy, "pg_client_", 16);
        let secret = registration.wants_secret().then(|| random_name(&*self.entropy, "pg_secret_", 32));
        let client = Client::new(registration, &id, secret.as_deref(), self.now());
        let client = Arc::new(Mutex::new(client));
        {
            let mut clients = self.clients.write();
            if clients.len() >= CLIENTS_MAX {
                self.make_room(&mut clients)?;
            }
            clients.insert(id.into(), client.clone());
        }
        self.save();
        Ok(Registered { client, secret })
    }

    fn make_room(&self, clients: &mut Clients) -> Result<(), OAuthError> {
        let (codes, tokens) = (self.codes.lock(), self.tokens.read());
        // A client's lock is only tried: whoever has it is about to use the client.
        let in_use = |id: &str, client: &SharedClient| {
            client.try_lock().is_none_or(|client| client.api_key().is_some())
                || codes.concern(id)
                || tokens.concern(id)
        };
        let idle = clients.iter().position(|(id, client)| !in_use(id, client));
        clients.shift_remove_index(idle.ok_or(OAuthError::TooManyClients)?);
        Ok(())
    }

    /// A client. What is written to it counts from then on, and is in the file with the next change.
    pub fn client(&self, client_id: &str) -> Option<SharedClient> {
        self.clients.read().get(client_id).cloned()
    }

    /// All clients, in the order in which they were registered.
    pub fn clients(&self) -> Vec<SharedClient> {
        self.clients.read().values().cloned().collect()
    }

    /// All clients as they are listed: without secrets but with how these begin. API keys are shown as `mask` shows them.
    pub fn list_clients(&self, mask: impl Fn(&str) -> String) -> Vec<Map<String, Value>> {
        let listed = |client: SharedClient| {
            let client = client.lock();
            let fields = client.field_names().into_iter();
            let mut row: Map<_, _> =
                fields.filter_map(|name| Some((name.to_owned(), client.value(name)?.clone()))).collect();
            if let Some(key) = client.api_key() {
                row.insert("apiKeyRef".into(), mask(key).into());
            }
            row.insert("clientSecretPrefix".into(), client.secret_prefix().into());
            row
        };
        self.clients().into_iter().map(listed).collect()
    }

    /// The number of clients.
    pub fn client_count(&self) -> usize {
        self.clients.read().len()
    }

    /// Links a client to an API key, or to none. False when there is no such client.
    pub fn link_client(&self, client_id: &str, api_key: Option<&str>) -> bool {
        let Some(client) = self.client(client_id) else { return false };
        client.lock().link(api_key);
        self.save();
        true
    }

    /// Has everything that stands for a key stand for its successor: links, codes and tokens. True when there was
    /// anything.
    pub fn rename_key(&self, old: &str, new: &str) -> bool {
        let mut any = false;
        for client in self.clients() {
            let mut client = client.lock();
            if client.api_key() == Some(old) {
                client.link(Some(new));
                any = true;
            }
        }
        {
            let mut codes = self.codes.lock();
            codes.rename_key(old, new);
            any |= self.tokens.write().rename_key(old, new);
        }
        if any {
            self.save();
        }
        any
    }

    /// Whether a client has shown who it is, by the way it registered; one that registered none need not, and of unknown
    /// clients the answer to their request tells.
    ///
    /// # Errors
    /// [`OAuthError::ClientUnauthenticated`].
    pub fn authenticate_client(&self, client_id: &str, shown: Credentials<'_>) -> Result<(), OAuthError> {
        match self.client(client_id) {
            Some(client) if !client.lock().authenticated(shown) => Err(OAuthError::ClientUnauthenticated),
            _ => Ok(()),
        }
    }

    // ── Codes ────────────────────────────────────────────────────────────────

    /// Issues an authorization code for a client: 64 hexadecimal digits.
    ///
    /// # Errors
    /// In this order: [`OAuthError::UnknownClient`], [`OAuthError::RedirectUriUnregistered`],
    /// [`OAuthError::ChallengeMissing`], [`OAuthError::ChallengeMethodUnsupported`], [`OAuthError::NoKeyLinked`],
    /// [`OAuthError::ScopeExceeded`].
    pub fn create_auth_code(&self, request: &CodeRequest<'_>) -> Result<String, OAuthError> {
        let client = self.client(request.client_id).ok_or(OAuthError::UnknownClient)?;
        // Until the code is there, the key may not be renamed.
        let client = client.lock();
        if !client.returns_to(request.redirect_uri) {
            return Err(OAuthError::RedirectUriUnregistered);
        }
        request.check_challenge()?;
        let api_key = given(request.api_key).or(client.api_key()).ok_or(OAuthError::NoKeyLinked)?;
        let scope = scope::of_code(given(request.scope), client.scope()).ok_or(OAuthError::ScopeExceeded)?;
        let code = AuthCode {
            client_id: request.client_id.into(),
            redirect_uri: request.redirect_uri.into(),
            challenge: request.code_challenge.into(),
            scope: scope.into(),
            api_key: api_key.into(),
            expires_at: end_of_life(self.now(), self.config.code_ttl_seconds),
        };
        let text = random_name(&*self.entropy, "", 32);
        self.codes.lock().add(&text, code);
        Ok(text)
    }

    /// Exchanges a code for tokens. A code that is shown is used up, whatever the answer.
    ///
    /// # Errors
    /// [`OAuthError::ClientUnauthenticated`], which alone leaves the code; then, in this order,
    /// [`OAuthError::UnknownCode`], [`OAuthError::CodeExpired`], [`OAuthError::ClientMismatch`],
    /// [`OAuthError::RedirectUriMismatch`], [`OAuthError::VerifierMissing`], [`OAuthError::VerificationFailed`].
    pub fn exchange_code(&self, shown: &CodeExchange<'_>) -> Result<TokenGrant, OAuthError> {
        self.authenticate_client(shown.client_id, shown.credentials)?;
        let granted = {
            // Until the tokens are there, the key may not be renamed.
            let mut codes = self.codes.lock();
            let code = codes.take(shown.code).ok_or(OAuthError::UnknownCode)?;
            code.check(shown, self.now())?;
            let family = random_name(&*self.entropy, "", 16);
            let AuthCode { client_id, scope, api_key, .. } = &code;
            let approval = Approval { client_id, scope, api_key, family: Some(&family) };
            let mut tokens = self.tokens.write();
            let access_token = self.issue(&mut tokens, TokenKind::Access, &approval);
            let refresh_token = self.issue(&mut tokens, TokenKind::Refresh, &approval);
            self.grant(access_token, Some(refresh_token), code.scope.into())
        };
        self.save();
        Ok(granted)
    }

    // ── Tokens ───────────────────────────────────────────────────────────────

    fn issue(&self, tokens: &mut Tokens, kind: TokenKind, approval: &Approval<'_>) -> String {
        let text = random_name(&*self.entropy, kind.prefix(), 32);
        let now = self.now();
        let ttl_seconds = match kind {
            TokenKind::Access => self.config.access_token_ttl_seconds,
            TokenKind::Refresh => self.config.refresh_token_ttl_seconds,
        };
        let token = Token {
            kind,
            client_id: approval.client_id.into(),
            scope: approval.scope.into(),
            api_key: approval.api_key.into(),
            expires_at: end_of_token(now, ttl_seconds),
            created_at: now.to_string().into(),
            family: approval.family.map(Into::into),
            used: false,
        };
        tokens.add(&text, token);
        text
    }

    fn grant(&self, access_token: String, refresh_token: Option<String>, scope: String) -> TokenGrant {
        TokenGrant {
            access_token,
            refresh_token,
            expires_in_seconds: self.config.access_token_ttl_seconds,
            scope,
        }
    }

    /// Issues the next access token for a refresh token, and the next refresh token where they rotate.
    ///
    /// # Errors
    /// In this order: [`OAuthError::ClientUnauthenticated`], [`OAuthError::UnknownRefreshToken`],
    /// [`OAuthError::NotARefreshToken`], [`OAuthError::ClientMismatch`], [`OAuthError::RefreshTokenExpired`], after
    /// which the token is gone, [`OAuthError::RefreshTokenReused`], after which its family is,
    /// [`OAuthError::ScopeExceeded`].
    pub fn refresh_access_token(&self, shown: &RefreshRequest<'_>) -> Result<TokenGrant, OAuthError> {
        self.authenticate_client(shown.client_id, shown.credentials)?;
        // From the look at the token to its successors nobody may revoke the family.
        let answered = self.refreshed(&mut self.tokens.write(), shown);
        if matches!(answered, Ok(_) | Err(OAuthError::RefreshTokenExpired | OAuthError::RefreshTokenReused)) {
            self.save();
        }
        answered
    }

    fn refreshed(&self, tokens: &mut Tokens, shown: &RefreshRequest<'_>) -> Result<TokenGrant, OAuthError> {
        let (name, token) = tokens.find(shown.refresh_token).ok_or(OAuthError::UnknownRefreshToken)?;
        if token.kind != TokenKind::Refresh {
            return Err(OAuthError::NotARefreshToken);
        }
        if *token.client_id != *shown.client_id {
            return Err(OAuthError::ClientMismatch);
        }
        if token.expired(self.now()) {
            tokens.remove(&name);
            return Err(OAuthError::RefreshTokenExpired);
        }
        if token.used {
            // Somebody has a copy, and it is not known who is the right one.
            tokens.revoke(&name);
            return Err(OAuthError::RefreshTokenReused);
        }
        let scope = scope::narrowed(given(shown.scope), &token.scope).ok_or(OAuthError::ScopeExceeded)?;
        let Token { client_id, api_key, family, .. } = &*token;
        let approval = |scope| Approval { client_id, scope, api_key, family: family.as_deref() };
        let refresh_token = self.config.rotate_refresh_tokens.then(|| {
            tokens.mark_used(&name);
            self.issue(tokens, TokenKind::Refresh, &approval(&token.scope))
        });
        let access_token = self.issue(tokens, TokenKind::Access, &approval(&scope));
        Ok(self.grant(access_token, refresh_token, scope))
    }

    /// The access token that a bearer shows, while it lives. Its API key is not looked up.
    pub fn validate_token(&self, bearer: &str) -> Option<Arc<Token>> {
        let (name, token) = self.tokens.read().find(bearer)?;
        if token.kind != TokenKind::Access {
            return None;
        }
        if token.expired(self.now()) {
            self.tokens.write().remove(&name);
            return None;
        }
        Some(token)
    }

    /// A token of either kind, expired or not.
    pub fn token(&self, text: &str) -> Option<Arc<Token>> {
        self.tokens.read().find(text).map(|(_, token)| token)
    }

    /// Revokes a token of either kind, and all that came of the same approval. False when it is unknown.
    pub fn revoke_token(&self, token: &str) -> bool {
        let revoked = {
            let mut tokens = self.tokens.write();
            tokens.find(token).is_some_and(|(name, _)| tokens.revoke(&name))
        };
        if revoked {
            self.save();
        }
        revoked
    }

    /// The number of tokens of both kinds, expired ones that were not yet swept away included.
    pub fn token_count(&self) -> usize {
        self.tokens.read().len()
    }

    /// Removes codes and tokens that have expired.
    pub fn sweep(&self) {
        let now = self.now();
        self.registrations.sweep(now);
        self.codes.lock().sweep(now);
        let swept = self.tokens.write().sweep(now);
        if swept {
            self.save();
        }
    }

    // ── Metadata ─────────────────────────────────────────────────────────────

    /// Sets the address that the server is asked at, for requests that do not tell.
    pub fn set_origin(&self, origin: String) {
        *self.origin.write() = Some(origin);
    }

    /// The issuer: as configured, else the address that the server is asked at.
    pub fn issuer(&self, origin: Option<&str>) -> String {
        self.config.issuer.clone().unwrap_or_else(|| self.origin_or(origin))
    }

    /// The address of a request if it is known, else the one that was set, else the default issuer.
    pub(crate) fn origin_or(&self, origin: Option<&str>) -> String {
        let known = origin.map(str::to_owned).or_else(|| self.origin.read().clone());
        known.unwrap_or_else(|| DEFAULT_ISSUER.to_owned())
    }

    /// What the server offers. `origin` is the address of the request, `https://pay.example`, if it is known.
    pub fn metadata(&self, origin: Option<&str>) -> ServerMetadata {
        ServerMetadata::new(&self.issuer(origin), &self.config.scopes)
    }

    /// What the MCP endpoint at an address says of itself.
    pub fn protected_resource(&self, origin: Option<&str>) -> ProtectedResource {
        ProtectedResource::new(&self.origin_or(origin), &self.issuer(origin), &self.config.scopes)
    }

    // ── The file ─────────────────────────────────────────────────────────────

    /// Returns once what was changed until now is in the file.
    fn save(&self) {
        let Some(file) = &self.file else { return };
        let change = self.changes.fetch_add(1, Ordering::AcqRel) + 1;
        file.write(change, || {
            let latest = self.changes.load(Ordering::Acquire);
            let clients = self.clients.read();
            let clients =
                clients.iter().map(|(id, client)| (id.clone(), ClientImage(client.clone()))).collect();
            let tokens = self.tokens.read().all().map(|(name, token)| TokenImage(name, token)).collect();
            (latest, Image { clients, tokens })
        });
    }
}

#[cfg(test)]
mod tests;
