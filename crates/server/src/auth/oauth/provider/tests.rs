use std::fs;
use std::path::Path;
use std::time::Duration;

use paygate_core::clock::ManualClock;
use paygate_core::entropy::SeededEntropy;
use serde_json::json;
use tempfile::TempDir;

use super::super::authorize::{Authorization, AuthorizationRequest};
use super::super::state_file::state_path;
use super::*;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const URI: &str = "http://localhost/cb";
const START: Timestamp = Timestamp(1_773_480_413_589);

/// A provider, the clock it goes by, and what it told.
struct Bench {
    provider: OAuthProvider,
    clock: Arc<ManualClock>,
    told: Arc<Mutex<Vec<String>>>,
}

fn bench(config: OAuthConfig, path: Option<&Path>) -> Bench {
    let clock = Arc::new(ManualClock::at(START));
    let told = Arc::<Mutex<Vec<String>>>::default();
    let heard = told.clone();
    let provider = OAuthProvider::new(OAuthOptions {
        config,
        path: path.map(Path::to_owned),
        clock: clock.clone(),
        entropy: Arc::new(SeededEntropy::new(7)),
        tell: Arc::new(move |notice| heard.lock().push(notice.to_string())),
    });
    Bench { provider, clock, told }
}

fn in_memory() -> Bench {
    bench(OAuthConfig::default(), None)
}

fn rotating() -> OAuthConfig {
    OAuthConfig { rotate_refresh_tokens: true, ..OAuthConfig::default() }
}

impl Bench {
    fn register(&self, api_key: Option<&str>, scope: &str) -> String {
        let registration = Registration {
            client_name: "App".into(),
            redirect_uris: vec![URI.into()],
            scope: Some(scope.into()),
            api_key: api_key.map(str::to_owned),
            ..Registration::default()
        };
        let registered = self.provider.register_client(registration).unwrap();
        let client = registered.client.lock();
        client.id().to_owned()
    }

    fn code(&self, client_id: &str) -> String {
        let request =
            CodeRequest { client_id, redirect_uri: URI, code_challenge: CHALLENGE, ..CodeRequest::default() };
        self.provider.create_auth_code(&request).unwrap()
    }

    fn exchange(&self, code: &str, client_id: &str) -> Result<TokenGrant, OAuthError> {
        self.provider.exchange_code(&CodeExchange {
            code,
            client_id,
            redirect_uri: URI,
            code_verifier: Some(VERIFIER),
            credentials: Credentials::Absent,
        })
    }

    fn tokens(&self, client_id: &str) -> TokenGrant {
        self.exchange(&self.code(client_id), client_id).unwrap()
    }

    fn refresh(
        &self,
        refresh_token: &str,
        client_id: &str,
        scope: Option<&str>,
    ) -> Result<TokenGrant, OAuthError> {
        let request = RefreshRequest { refresh_token, client_id, scope, credentials: Credentials::Absent };
        self.provider.refresh_access_token(&request)
    }

    fn key_of(&self, token: &str) -> Option<String> {
        self.provider.validate_token(token).map(|token| token.api_key().to_owned())
    }
}

fn refresh_token(grant: &TokenGrant) -> &str {
    grant.refresh_token.as_deref().unwrap()
}

#[test]
fn a_code_becomes_tokens_once() {
    let bench = in_memory();
    let (client, other) = (bench.register(Some("pg_k"), ""), bench.register(Some("pg_k"), ""));
    let code = bench.code(&client);
    assert_eq!(bench.exchange(&code, &other), Err(OAuthError::ClientMismatch));
    assert_eq!(bench.exchange(&code, &client), Err(OAuthError::UnknownCode));

    let grant = bench.tokens(&client);
    assert_eq!(bench.key_of(&grant.access_token).as_deref(), Some("pg_k"));
    assert_eq!(bench.key_of(refresh_token(&grant)), None);
    assert_eq!((grant.expires_in_seconds, &*grant.scope), (3600.0, "tools:*"));
    assert_eq!(bench.provider.token_count(), 2);
}

#[test]
fn an_approval_is_given_back_whole() {
    let bench = in_memory();
    let client = bench.register(Some("pg_k"), "");
    let (first, second) = (bench.tokens(&client), bench.tokens(&client));
    let next = bench.refresh(refresh_token(&first), &client, None).unwrap();
    assert!(bench.refresh(refresh_token(&first), &client, None).is_ok());
    assert_eq!(bench.provider.token_count(), 6);
    assert!(bench.provider.revoke_token(&next.access_token));
    assert!(!bench.provider.revoke_token(&next.access_token));
    assert_eq!(bench.refresh(refresh_token(&first), &client, None), Err(OAuthError::UnknownRefreshToken));
    assert_eq!(bench.key_of(&second.access_token).as_deref(), Some("pg_k"));
    assert_eq!(bench.provider.token_count(), 2);
}

#[test]
fn a_refresh_narrows_the_scope_and_the_next_one_may_have_it_back() {
    let bench = in_memory();
    let client = bench.register(Some("pg_k"), "tools:read tools:write");
    let grant = bench.tokens(&client);
    let scope = |wanted| bench.refresh(refresh_token(&grant), &client, Some(wanted)).map(|grant| grant.scope);
    assert_eq!(scope("tools:read").as_deref(), Ok("tools:read"));
    assert_eq!(scope("tools:read root").as_deref(), Ok("tools:read"));
    assert_eq!(scope("root"), Err(OAuthError::ScopeExceeded));
    assert_eq!(scope("").as_deref(), Ok("tools:read tools:write"));
}

#[test]
fn a_refresh_token_that_rotates_works_once_and_its_copy_ends_the_family() {
    let bench = bench(rotating(), None);
    let client = bench.register(Some("pg_k"), "a b");
    let first = bench.tokens(&client);
    let second = bench.refresh(refresh_token(&first), &client, Some("a")).unwrap();
    // A narrowed access token does not narrow what may be asked for next.
    let third = bench.refresh(refresh_token(&second), &client, None).unwrap();
    assert_eq!((&*second.scope, &*third.scope), ("a", "a b"));

    assert_eq!(bench.refresh(refresh_token(&first), &client, None), Err(OAuthError::RefreshTokenReused));
    assert_eq!(bench.refresh(refresh_token(&third), &client, None), Err(OAuthError::UnknownRefreshToken));
    assert_eq!(bench.key_of(&third.access_token), None);
    assert_eq!(bench.provider.token_count(), 0);
}

#[test]
fn of_many_threads_that_show_one_rotating_token_one_at_most_gets_the_next() {
    let bench = bench(rotating(), None);
    let client = bench.register(Some("pg_k"), "");
    let grant = bench.tokens(&client);
    let won = std::thread::scope(|threads| {
        let attempts: Vec<_> = (0..8)
            .map(|_| threads.spawn(|| bench.refresh(refresh_token(&grant), &client, None).is_ok()))
            .collect();
        attempts.into_iter().map(|attempt| attempt.join().unwrap()).filter(|won| *won).count()
    });
    assert_eq!(won, 1);
    assert_eq!(bench.provider.token_count(), 0);
}

#[test]
fn what_expires_is_swept_away() {
    let short = OAuthConfig {
        access_token_ttl_seconds: 1.0,
        refresh_token_ttl_seconds: 2.0,
        code_ttl_seconds: 0.0,
        ..OAuthConfig::default()
    };
    let bench = bench(short, None);
    let client = bench.register(Some("pg_k"), "");
    let grant = bench.tokens(&client);
    let late = bench.code(&client);
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(bench.exchange(&late, &client), Err(OAuthError::CodeExpired));
    bench.clock.advance(Duration::from_millis(999));
    assert!(bench.key_of(&grant.access_token).is_some());
    bench.clock.advance(Duration::from_millis(1));
    assert_eq!(bench.key_of(&grant.access_token), None);
    assert_eq!(bench.provider.token_count(), 1);
    bench.clock.advance(Duration::from_secs(1));
    bench.provider.sweep();
    assert_eq!(bench.provider.token_count(), 0);
    assert_eq!(bench.refresh(refresh_token(&grant), &client, None), Err(OAuthError::UnknownRefreshToken));
}

#[test]
fn a_key_that_was_rotated_takes_links_codes_and_tokens_along() {
    let bench = in_memory();
    let client = bench.register(Some("pg_old"), "");
    let grant = bench.tokens(&client);
    let code = bench.code(&client);
    assert!(bench.provider.rename_key("pg_old", "pg_new"));
    assert!(!bench.provider.rename_key("pg_old", "pg_new"));
    assert_eq!(bench.key_of(&grant.access_token).as_deref(), Some("pg_new"));
    let later = bench.exchange(&code, &client).unwrap();
    assert_eq!(bench.key_of(&later.access_token).as_deref(), Some("pg_new"));
    assert_eq!(bench.provider.client(&client).unwrap().lock().api_key(), Some("pg_new"));
}

#[test]
fn a_client_that_registered_a_way_to_authenticate_does_so_and_keeps_its_code_until_then() {
    let bench = in_memory();
    let registered = bench.provider.register_client(Registration {
        client_name: "App".into(),
        redirect_uris: vec![URI.into()],
        api_key: Some("pg_k".into()),
        token_endpoint_auth_method: Some("client_secret_post".into()),
        ..Registration::default()
    });
    let registered = registered.map_err(|error| error.to_string()).unwrap();
    let (client, secret) = (registered.client.lock().id().to_owned(), registered.secret.unwrap());
    let code = bench.code(&client);
    assert_eq!(bench.exchange(&code, &client), Err(OAuthError::ClientUnauthenticated));
    let shown = CodeExchange {
        code: &code,
        client_id: &client,
        redirect_uri: URI,
        code_verifier: Some(VERIFIER),
        credentials: Credentials::InBody(&secret),
    };
    let grant = bench.provider.exchange_code(&shown).unwrap();
    assert_eq!(bench.refresh(refresh_token(&grant), &client, None), Err(OAuthError::ClientUnauthenticated));
}

#[test]
fn nobody_is_sent_to_an_address_that_is_not_the_clients() {
    let bench = in_memory();
    let client = bench.register(Some("pg_k"), "tools:read");
    let asked = AuthorizationRequest {
        response_type: Some("code"),
        client_id: Some(&client),
        redirect_uri: Some(URI),
        code_challenge: Some(CHALLENGE),
        state: Some("S"),
        ..AuthorizationRequest::default()
    };
    let refused = |request: &AuthorizationRequest<'_>| match bench.provider.authorize(request) {
        Authorization::Refused { error, description } => (error, description.unwrap_or_default()),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&AuthorizationRequest::default()).0, "unsupported_response_type");
    assert_eq!(refused(&AuthorizationRequest { code_challenge: Some(""), ..asked }).0, "invalid_request");
    assert_eq!(refused(&AuthorizationRequest { client_id: Some("x"), ..asked }).1, "Unknown client");
    let elsewhere = Some("https://evil.example/p");
    assert_eq!(refused(&AuthorizationRequest { redirect_uri: elsewhere, ..asked }).1, "Invalid redirect_uri");

    let sent = |request: &AuthorizationRequest<'_>| match bench.provider.authorize(request) {
        Authorization::Redirect(address) => address,
        other => panic!("{other:?}"),
    };
    let code = sent(&asked);
    assert!(code.starts_with("http://localhost/cb?code=") && code.ends_with("&state=S"), "{code}");
    assert_eq!(
        sent(&AuthorizationRequest { code_challenge_method: Some("plain"), state: None, ..asked }),
        "http://localhost/cb?error=server_error&error_description=Only+S256+code_challenge_method+is+supported"
    );
    let root = sent(&AuthorizationRequest { scope: Some("root"), ..asked });
    assert!(root.starts_with("http://localhost/cb?error=invalid_scope&"), "{root}");
}

#[test]
fn the_owner_of_a_key_is_asked_where_none_is_linked_or_where_it_is_set_so() {
    for (approve_linked, api_key) in [(true, None), (false, Some("pg_k"))] {
        let bench = bench(OAuthConfig { approve_linked, ..OAuthConfig::default() }, None);
        let client = bench.register(api_key, "");
        let request = AuthorizationRequest {
            response_type: Some("code"),
            client_id: Some(&client),
            redirect_uri: Some(URI),
            code_challenge: Some(CHALLENGE),
            ..AuthorizationRequest::default()
        };
        let Authorization::Ask(consent) = bench.provider.authorize(&request) else { panic!("not asked") };
        assert_eq!((&*consent.client_name, &*consent.scope), ("App", "tools:*"));
        assert_eq!(consent.linked, api_key.is_some());
        let other = bench.provider.approve(&request, "pg_other");
        assert_eq!(matches!(other, Authorization::Ask(_)), api_key.is_some());
        assert!(matches!(bench.provider.approve(&request, "pg_k"), Authorization::Redirect(_)));
        assert_eq!(
            bench.provider.deny(&request),
            Authorization::Redirect("http://localhost/cb?error=access_denied".into())
        );
    }
}

#[test]
fn the_file_has_no_secret_and_no_token_in_it_and_all_of_them_work_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sub/oauth.json");
    let first = bench(OAuthConfig::default(), Some(&path));
    let registered = first.provider.register_client(Registration {
        client_name: "App".into(),
        redirect_uris: vec![URI.into()],
        api_key: Some("pg_k".into()),
        token_endpoint_auth_method: Some("client_secret_basic".into()),
        ..Registration::default()
    });
    let registered = registered.map_err(|error| error.to_string()).unwrap();
    let (client, secret) = (registered.client.lock().id().to_owned(), registered.secret.unwrap());
    let code = first.code(&client);
    let shown = CodeExchange {
        code: &code,
        client_id: &client,
        redirect_uri: URI,
        code_verifier: Some(VERIFIER),
        credentials: Credentials::InHeader(&secret),
    };
    let grant = first.provider.exchange_code(&shown).unwrap();

    let written = fs::read_to_string(&path).unwrap();
    for secret in [&secret, &grant.access_token, refresh_token(&grant), &code] {
        assert!(!written.contains(secret));
        assert!(!written.contains(&secret[14..]));
    }
    assert!(written.starts_with("{\n  \"clients\": [\n    [\n      \"pg_client_"), "{written}");
    #[cfg(unix)]
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions()) & 0o777,
        0o600
    );

    let second = bench(OAuthConfig::default(), Some(&path));
    assert_eq!(*second.told.lock(), ["[paygate:oauth] Loaded 1 client(s), 2 token(s)"]);
    assert_eq!(second.key_of(&grant.access_token).as_deref(), Some("pg_k"));
    let credentials = Credentials::InHeader(&secret);
    let request =
        RefreshRequest { refresh_token: refresh_token(&grant), client_id: &client, scope: None, credentials };
    assert!(second.provider.refresh_access_token(&request).is_ok());
    assert!(second.provider.revoke_token(&grant.access_token));
    assert_eq!(bench(OAuthConfig::default(), Some(&path)).provider.token_count(), 0);
}

#[test]
fn a_file_of_version_2_9_0_is_read_and_its_tokens_stay_valid() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("oauth.json");
    let state = json!({
        "clients": [
            ["pg_client_1", {"clientId": "pg_client_1", "clientSecret": "pg_secret_0123456789", "clientName": "Old",
                "redirectUris": [URI], "grantTypes": ["authorization_code"], "scope": "tools:*",
                "createdAt": "2026-01-01T00:00:00.000Z", "apiKeyRef": "pg_k"}],
            ["", {"clientId": ""}], ["pg_client_2", null], 7, ["pg_client_3", "text"],
        ],
        "tokens": [
            ["pg_at_1", {"token": "pg_at_1", "tokenType": "access", "clientId": "pg_client_1", "scope": "tools:*",
                "apiKeyRef": "pg_k", "expiresAt": 0, "createdAt": "2026-01-01T00:00:00.000Z"}],
            ["pg_rt_1", {"token": "pg_rt_1", "tokenType": "refresh", "clientId": "pg_client_1", "scope": "tools:*",
                "apiKeyRef": "pg_k", "expiresAt": START.0 + 1, "createdAt": "2026-01-01T00:00:00.000Z", "family": "f"}],
            ["pg_at_2", {"tokenType": "access"}],
        ],
    });
    fs::write(&path, state.to_string()).unwrap();
    let bench = bench(OAuthConfig::default(), Some(&path));
    assert_eq!(
        *bench.told.lock(),
        [
            "[paygate:oauth] Skipped 3 unreadable entry(s) of the state file",
            "[paygate:oauth] Loaded 1 client(s), 2 token(s)"
        ]
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), state.to_string(), "reading writes nothing");
    assert_eq!(bench.provider.list_clients(str::to_owned)[0]["clientSecretPrefix"], "pg_secret_...");
    assert_eq!(bench.key_of("pg_at_1").as_deref(), Some("pg_k"));
    assert!(bench.refresh("pg_rt_1", "pg_client_1", None).is_ok());
    assert!(!fs::read_to_string(&path).unwrap().contains("pg_at_1"));
    assert!(bench.provider.revoke_token("pg_at_1"));
    assert_eq!(bench.provider.token_count(), 2);
}

#[test]
fn a_damaged_file_is_moved_aside_and_another_stores_file_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("oauth.json");
    fs::write(&path, "{\"clients\": [").unwrap();
    let bench_of = |content: &str| {
        fs::write(&path, content).unwrap();
        let bench = bench(OAuthConfig::default(), Some(&path));
        bench.register(None, "");
        let told = bench.told.lock().join("\n");
        (told, fs::read_to_string(&path).unwrap())
    };
    let aside = folder.path().join(format!("oauth.json.corrupt-{}", START.0));
    for damaged in ["{\"clients\": [", "null", "\u{0}"] {
        let (told, now) = bench_of(damaged);
        assert!(
            told.starts_with("[paygate:oauth] Failed to load state: ") && told.contains("moved to"),
            "{told}"
        );
        assert_eq!(fs::read_to_string(&aside).unwrap(), damaged);
        assert!(now.contains("pg_client_"));
    }
    for foreign in ["[[\"pg_1\", {\"credits\": 5}]]", "SQLite format 3\0…"] {
        let (told, now) = bench_of(foreign);
        assert!(told.contains("nothing will be saved"), "{told}");
        assert_eq!(now, foreign);
    }
}

#[test]
fn a_file_that_cannot_be_written_is_told_and_the_work_goes_on() {
    let folder = TempDir::new().unwrap();
    let in_the_way = folder.path().join("file");
    fs::write(&in_the_way, "").unwrap();
    let bench = bench(OAuthConfig::default(), Some(&in_the_way.join("oauth.json")));
    let client = bench.register(Some("pg_k"), "");
    bench.tokens(&client);
    let told = bench.told.lock();
    assert_eq!(told.len(), 2);
    assert!(told[0].starts_with("[paygate:oauth] Failed to save state: "), "{told:?}");
}

#[test]
fn the_state_is_never_kept_in_the_file_of_the_keys() {
    for (keys, state) in [
        ("state.json", "state-oauth.json"),
        ("a.b/keys.json", "a.b/keys-oauth.json"),
        ("books.db", "books.db-oauth.json"),
        ("state", "state-oauth.json"),
        (".json", ".json-oauth.json"),
    ] {
        assert_eq!(state_path(Path::new(keys)), Path::new(state));
    }
}

#[test]
fn the_oldest_client_that_nobody_uses_makes_room() {
    let bench = in_memory();
    let linked = bench.register(Some("pg_k"), "");
    let approved = bench.register(None, "");
    let request = CodeRequest {
        client_id: &approved,
        redirect_uri: URI,
        code_challenge: CHALLENGE,
        api_key: Some("pg_o"),
        ..CodeRequest::default()
    };
    bench.provider.create_auth_code(&request).unwrap();
    let idle = bench.register(None, "");
    while bench.provider.client_count() < CLIENTS_MAX {
        bench.register(Some("pg_k"), "");
    }
    bench.register(Some("pg_k"), "");
    assert!(bench.provider.client(&linked).is_some() && bench.provider.client(&approved).is_some());
    assert!(bench.provider.client(&idle).is_none());
    let registration =
        Registration { client_name: "x".into(), redirect_uris: vec![URI.into()], ..Registration::default() };
    assert_eq!(bench.provider.register_client(registration).err(), Some(OAuthError::TooManyClients));
}

#[test]
fn an_address_registers_so_many_clients_a_minute() {
    let bench = in_memory();
    let permitted =
        |address: &str| (0..70).filter(|_| bench.provider.registration_permitted(address)).count();
    assert_eq!(permitted("10.0.0.1"), 60);
    assert_eq!(permitted("10.0.0.2"), 60);
    bench.clock.advance(Duration::from_secs(60));
    assert_eq!(permitted("10.0.0.1"), 60);
}

#[test]
fn the_issuer_is_the_configured_one_or_the_address_that_was_asked() {
    let bench = in_memory();
    assert_eq!(bench.provider.metadata(None).issuer, "http://localhost:3402");
    bench.provider.set_origin("http://localhost:9".into());
    assert_eq!(bench.provider.metadata(None).issuer, "http://localhost:9");
    assert_eq!(bench.provider.metadata(Some("https://a.example")).issuer, "https://a.example");
    let configured = OAuthConfig { issuer: Some("https://i.example".into()), ..OAuthConfig::default() };
    let bench = super::tests::bench(configured, None);
    assert_eq!(bench.provider.metadata(Some("https://a.example")).issuer, "https://i.example");
    assert_eq!(
        bench.provider.protected_resource(Some("https://a.example")).resource,
        "https://a.example/mcp"
    );
}
