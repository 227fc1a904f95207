//! Clients, approvals and tokens over HTTP, and who is sent to get one.

use std::sync::Arc;

use paygate_core::clock::SystemClock;
use paygate_core::entropy::SystemEntropy;
use paygate_server::ServerConfig;
use paygate_server::oauth::{OAuthConfig, OAuthOptions, OAuthProvider};
use serde_json::{Value, json};

use crate::gateway::{Answer, Gateway, call, in_memory};

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CALLBACK: &str = "http://127.0.0.1:9/cb";
const REVISION: (&str, &str) = ("MCP-Protocol-Version", "2025-11-25");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

async fn gateway() -> Gateway {
    with(OAuthConfig::default(), |_| {}).await
}

async fn with(config: OAuthConfig, configure: impl FnOnce(&mut ServerConfig)) -> Gateway {
    let provider = Arc::new(OAuthProvider::new(OAuthOptions {
        config,
        path: None,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        tell: Arc::new(|_| {}),
    }));
    Gateway::over(in_memory(), configure, |parts| parts.with_oauth(provider)).await
}

async fn register(gateway: &Gateway, more: Value) -> Value {
    let mut body = json!({"client_name": "App", "redirect_uris": [CALLBACK]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let told = gateway.send("POST", "/oauth/register", &[], &body.to_string()).await;
    assert_eq!((told.status, told.header("cache-control")), (201, Some("no-store")), "{told:?}");
    told.json()
}

fn asked(client: &Value) -> String {
    let id = client["client_id"].as_str().unwrap();
    format!(
        "response_type=code&client_id={id}&redirect_uri=http%3A%2F%2F127.0.0.1%3A9%2Fcb\
         &code_challenge={CHALLENGE}&code_challenge_method=S256&state=s+1"
    )
}

/// The code that a browser is sent back with.
fn code(told: &Answer) -> String {
    assert_eq!((told.status, told.body.as_str()), (302, ""), "{told:?}");
    let location = told.header("location").unwrap();
    let (code, state) = location.strip_prefix("http://127.0.0.1:9/cb?code=").unwrap().split_at(64);
    assert_eq!(state, "&state=s+1");
    code.to_owned()
}

fn exchange(client: &Value, code: &str) -> Value {
    json!({
        "grant_type": "authorization_code",
        "code": code,
        "client_id": client["client_id"],
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    })
}

async fn token(gateway: &Gateway, headers: &[(&str, &str)], body: &Value) -> Answer {
    gateway.send("POST", "/oauth/token", headers, &body.to_string()).await
}

/// Registers a client of a key and gets it tokens.
async fn tokens(gateway: &Gateway, key: &str) -> (Value, Value) {
    let client = register(gateway, json!({"api_key": key})).await;
    let code = code(&gateway.get(&format!("/oauth/authorize?{}", asked(&client)), &[]).await);
    let issued = token(gateway, &[], &exchange(&client, &code)).await;
    assert_eq!(issued.status, 200, "{issued:?}");
    (client, issued.json())
}

fn error(told: &Answer) -> (u16, Value) {
    (told.status, told.json()["error"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_a_key_gets_tokens_that_pay_with_it() {
    let gateway = gateway().await;
    let key = gateway.key(5).await;
    let (client, issued) = tokens(&gateway, &key).await;
    let bearer = format!("Bearer {}", issued["access_token"].as_str().unwrap());
    let body = call(1, "echo", json!({})).to_string();
    let told = gateway.send("POST", "/mcp", &[("Authorization", &bearer)], &body).await;
    assert!(told.json()["result"].is_object(), "{told:?}");
    assert_eq!(gateway.balance(&key).await, (4, 1));
    let balance = gateway.get("/balance", &[("Authorization", &bearer)]).await;
    assert_eq!(balance.json()["credits"], 4);

    let refresh = json!({
        "grant_type": "refresh_token",
        "refresh_token": issued["refresh_token"],
        "client_id": client["client_id"],
    });
    let refreshed = token(&gateway, &[], &refresh).await;
    assert_eq!(
        (refreshed.header("cache-control"), refreshed.header("pragma")),
        (Some("no-store"), Some("no-cache"))
    );
    assert!(refreshed.json()["refresh_token"].is_null());
    let revoked = format!("token={}", issued["refresh_token"].as_str().unwrap());
    let told = gateway.send("POST", "/oauth/revoke", &[FORM], &revoked).await;
    assert_eq!(told.json(), json!({"revoked": true}));
    assert_eq!(gateway.get("/balance", &[("Authorization", &bearer)]).await.status, 401);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_do_is_logged_without_secrets() {
    let gateway = gateway().await;
    let key = gateway.key(5).await;
    let (client, issued) = tokens(&gateway, &key).await;
    let revoked = json!({"token": issued["access_token"]}).to_string();
    gateway.send("POST", "/oauth/revoke", &[], &revoked).await;
    gateway.send("POST", "/oauth/revoke", &[], &revoked).await;
    let log = gateway
        .admin(
            "GET",
            "/audit?types=oauth.client_registered,oauth.token_issued,oauth.token_revoked",
            &json!(null),
        )
        .await;
    let events = log.json()["events"].as_array().unwrap().clone();
    let types: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["oauth.token_revoked", "oauth.token_issued", "oauth.client_registered"]);
    assert!(events.iter().all(|event| event["actor"] == client["client_id"]));
    let clients = gateway.admin("GET", "/oauth/clients", &json!(null)).await;
    assert_eq!(clients.json()[0]["clientId"], client["client_id"]);
    for told in [&log, &clients] {
        for secret in [json!(key), client["client_secret"].clone(), issued["access_token"].clone()] {
            assert!(!told.body.contains(secret.as_str().unwrap()), "{secret}");
        }
    }
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_a_key_approves_a_client_that_nobody_has_linked() {
    let gateway = gateway().await;
    let key = gateway.key(5).await;
    let client = register(&gateway, json!({"client_name": "<i>App</i>"})).await;
    let asked = asked(&client);
    let page = gateway.get(&format!("/oauth/authorize?{asked}"), &[]).await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(
        policy.contains("form-action 'self' http://127.0.0.1:9; ")
            && policy.contains("frame-ancestors 'none'")
    );
    assert!(page.body.contains("&lt;i&gt;App&lt;/i&gt;") && !page.body.contains("<i>"), "{}", page.body);
    assert!(page.body.contains("<input type=\"hidden\" name=\"state\" value=\"s 1\">"));

    let answer = async |more: &str, headers: &[(&str, &str)]| {
        let headers = [&[FORM], headers].concat();
        gateway.send("POST", "/oauth/authorize", &headers, &format!("{asked}&{more}")).await
    };
    let wrong = answer("api_key=pg_wrong&decision=approve", &[]).await;
    assert_eq!(wrong.status, 403);
    assert!(wrong.body.contains("This key is unknown"), "{}", wrong.body);
    assert!(!wrong.body.contains("pg_wrong"));
    let right = format!("api_key=+{key}+&decision=approve");
    for foreign in [("Sec-Fetch-Site", "cross-site"), ("Origin", "http://127.0.0.1:1")] {
        let told = answer(&right, &[foreign]).await;
        assert_eq!(error(&told), (403, json!("access_denied")), "{foreign:?}");
    }
    let denied = answer("decision=deny", &[]).await;
    assert_eq!(denied.header("location"), Some("http://127.0.0.1:9/cb?error=access_denied&state=s+1"));
    let approved = answer(&right, &[("Sec-Fetch-Site", "same-origin")]).await;
    let issued = token(&gateway, &[], &exchange(&client, &code(&approved))).await.json();
    let bearer = format!("Bearer {}", issued["access_token"].as_str().unwrap());
    assert_eq!(gateway.get("/balance", &[("Authorization", &bearer)]).await.json()["credits"], 5);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_is_asked_each_time_where_that_is_wanted() {
    let gateway = with(OAuthConfig { approve_linked: false, ..OAuthConfig::default() }, |_| {}).await;
    let (key, other) = (gateway.key(5).await, gateway.key(5).await);
    let client = register(&gateway, json!({"api_key": key})).await;
    let asked = asked(&client);
    assert_eq!(gateway.get(&format!("/oauth/authorize?{asked}"), &[]).await.status, 200);
    let answer = async |key: &str| {
        let body = format!("{asked}&api_key={key}");
        gateway.send("POST", "/oauth/authorize", &[FORM], &body).await
    };
    let refused = answer(&other).await;
    assert!(refused.status == 403 && refused.body.contains("linked to another key"), "{refused:?}");
    code(&answer(&key).await);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_sent_nowhere_that_is_not_registered() {
    let gateway = gateway().await;
    let client = register(&gateway, json!({"api_key": "k"})).await;
    let good = asked(&client);
    for (asked, description) in [
        (good.replace("127.0.0.1", "evil.example"), "Invalid redirect_uri"),
        (good.replace("pg_client_", "pg_klient_"), "Unknown client"),
    ] {
        let told = gateway.get(&format!("/oauth/authorize?{asked}"), &[]).await;
        assert_eq!(told.status, 400);
        assert_eq!(told.json(), json!({"error": "invalid_request", "error_description": description}));
        assert_eq!(told.header("location"), None);
    }
    // Of several values the last counts, and what follows a second question mark does not.
    let twice = format!("/oauth/authorize?client_id=no&{good}?client_id=no");
    code(&gateway.get(&twice, &[]).await);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_authenticates_in_the_way_it_registered() {
    let gateway = gateway().await;
    let key = gateway.key(5).await;
    let method = "client_secret_basic";
    let client = register(&gateway, json!({"api_key": key, "token_endpoint_auth_method": method})).await;
    assert_eq!(client["token_endpoint_auth_method"], method);
    assert_eq!(client["client_secret_expires_at"], 0);
    let code = code(&gateway.get(&format!("/oauth/authorize?{}", asked(&client)), &[]).await);
    let mut body = exchange(&client, &code);
    body["client_secret"] = client["client_secret"].clone();
    let refused = token(&gateway, &[], &body).await;
    assert_eq!(error(&refused), (401, json!("invalid_client")));
    assert_eq!(refused.header("www-authenticate"), None);
    let shown = |secret: &Value| {
        use base64::Engine as _;
        let pair = format!("{}:{}", client["client_id"].as_str().unwrap(), secret.as_str().unwrap());
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    };
    let wrong = token(&gateway, &[("Authorization", &shown(&json!("wrong")))], &body).await;
    assert_eq!(error(&wrong), (401, json!("invalid_client")));
    assert!(wrong.header("www-authenticate").unwrap().starts_with("Basic "));
    let right = shown(&client["client_secret"]);
    let mut other = body.clone();
    other["client_id"] = "pg_client_other".into();
    assert_eq!(
        error(&token(&gateway, &[("Authorization", &right)], &other).await),
        (401, json!("invalid_client"))
    );
    body.as_object_mut().unwrap().remove("client_id");
    let issued = token(&gateway, &[("Authorization", &right)], &body).await;
    assert_eq!(issued.status, 200, "refusals before left the code: {issued:?}");
    let revoke = json!({"token": issued.json()["access_token"]}).to_string();
    let refused = gateway.send("POST", "/oauth/revoke", &[], &revoke).await;
    assert_eq!(error(&refused), (401, json!("invalid_client")));
    let revoked = gateway.send("POST", "/oauth/revoke", &[("Authorization", &right)], &revoke).await;
    assert_eq!(revoked.status, 200);
    let mut anywhere: Value = serde_json::from_str(&revoke).unwrap();
    anywhere["client_secret"] = client["client_secret"].clone();
    let told = gateway.send("POST", "/oauth/revoke", &[], &anywhere.to_string()).await;
    assert_eq!(told.json(), json!({"revoked": true}));

    let public = register(&gateway, json!({"token_endpoint_auth_method": "none"})).await;
    assert!(public.get("client_secret").is_none() && public.get("client_secret_expires_at").is_none());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_without_a_credential_is_told_where_to_get_one() {
    let gateway = gateway().await;
    let host = ("Host", "pay.example");
    let body = call(1, "echo", json!({})).to_string();
    let send = async |headers: &[(&str, &str)], body: &str| {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let request = format!(
            "POST /mcp HTTP/1.1\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        gateway.raw(request.as_bytes()).await
    };
    let told = send(&[host, ("Accept", "application/json, text/event-stream")], &body).await;
    assert_eq!((told.status, told.header("content-type")), (401, Some("application/json")));
    assert_eq!(told.error_code(), -32402);
    let metadata = "Bearer resource_metadata=\"http://pay.example/.well-known/oauth-protected-resource\"";
    assert_eq!(told.header("www-authenticate"), Some(metadata));
    let invalid = ("Authorization", "Bearer pg_at_unknown");
    assert_eq!(send(&[host, invalid], &body).await.status, 200, "2.9.0 answered so");
    let told = send(&[host, invalid, REVISION], &body).await;
    assert_eq!(told.status, 401);
    assert!(told.header("www-authenticate").unwrap().contains("error=\"invalid_token\""));
    let free = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    assert_eq!(send(&[host, REVISION], &free).await.status, 200);
    assert_eq!(send(&[host, ("X-API-Key", "pg_unknown")], &body).await.status, 200);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_speak_of_the_server_that_was_asked() {
    let gateway = gateway().await;
    let own = format!("http://localhost:{}", gateway.address.port());
    let host = own.trim_start_matches("http://");
    let get = async |path: &str, headers: &[(&str, &str)]| {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
        gateway.raw(request.as_bytes()).await.json()
    };
    let server = "/.well-known/oauth-authorization-server";
    let told = get(server, &[("Host", host)]).await;
    assert_eq!(told["issuer"], own);
    let methods = "token_endpoint_auth_methods_supported";
    assert_eq!(told[methods], json!(["client_secret_post", "none"]));
    let told = get(server, &[("Host", host), REVISION]).await;
    assert_eq!(told[methods], json!(["client_secret_post", "none", "client_secret_basic"]));
    let proxied = [("Host", host), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "pay.example")];
    assert_eq!(get(server, &proxied).await["token_endpoint"], "https://pay.example/oauth/token");
    for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"] {
        let told = get(path, &proxied).await;
        assert_eq!(told["resource"], "https://pay.example/mcp");
        assert_eq!(told["authorization_servers"], json!(["https://pay.example"]));
    }
    gateway.stop().await;

    let issuer = Some("https://pay.example/gate".to_owned());
    let gateway = with(OAuthConfig { issuer, ..OAuthConfig::default() }, |config| {
        config.trusted_proxies = Default::default();
    })
    .await;
    let told =
        gateway.get("/.well-known/oauth-protected-resource", &[("X-Forwarded-Host", "evil.example")]).await;
    assert_eq!(told.json()["resource"], "http://localhost/mcp");
    assert_eq!(told.json()["authorization_servers"], json!(["https://pay.example/gate"]));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_provider_nothing_of_it_is_there() {
    let gateway = Gateway::start().await;
    for path in ["/oauth/token", "/oauth/clients", "/.well-known/oauth-protected-resource/mcp"] {
        let told = gateway.send("PUT", path, &[], "").await;
        assert_eq!(error(&told), (404, json!("OAuth not enabled")), "{path}");
    }
    assert_eq!(gateway.post("", &call(1, "echo", json!({}))).await.status, 200);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_registration_and_what_is_too_much_is_refused() {
    let gateway = gateway().await;
    let refused = async |body: &str| gateway.send("POST", "/oauth/register", &[], body).await;
    for bad in
        ["", "{", "null", "[]", "5", r#"{"client_name":"x"}"#, r#"{"client_name":5,"redirect_uris":["a:b"]}"#]
    {
        assert_eq!(error(&refused(bad).await), (400, json!("invalid_client_metadata")), "{bad}");
    }
    let large =
        json!({"client_name": "x", "redirect_uris": ["a:b"], "scope": "s".repeat(20_000)}).to_string();
    assert_eq!(refused(&large).await.status, 413);
    let body = json!({"client_name": "x", "redirect_uris": ["a:b"]}).to_string();
    for _ in 0..60 {
        assert_eq!(refused(&body).await.status, 201);
    }
    let told = refused(&body).await;
    assert_eq!((told.status, told.header("retry-after")), (429, Some("60")));
    for (path, body) in [("/oauth/token", "null"), ("/oauth/revoke", "[]"), ("/oauth/authorize", "5")] {
        assert_eq!(gateway.send("POST", path, &[], body).await.status, 400, "{path}");
    }
    gateway.stop().await;
}
