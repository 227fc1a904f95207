//! Clients: who may ask for tokens, and where their users come back to.

use std::sync::Arc;

use parking_lot::Mutex;
use paygate_core::clock::Timestamp;
use paygate_core::key::record::truthy;
use paygate_core::text::trim::{cut, trim};
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value, json};
use url::Url;

use super::error::OAuthError;
use super::scope::ALL_TOOLS;
use super::secret::KeptSecret;

/// Longest name, in UTF-16 units; what is longer is cut.
const NAME_UNITS_MAX: usize = 200;
/// Most addresses a client may return to; what is more is dropped.
const REDIRECT_URIS_MAX: usize = 10;
/// Schemes that a browser would run as a script.
const SCRIPT_SCHEMES: [&str; 3] = ["javascript", "data", "vbscript"];

/// The fields of a client's record, in the order in which a new one shows them.
pub const CLIENT_FIELDS: [&str; 7] =
    ["clientId", "clientName", "redirectUris", "grantTypes", "scope", "createdAt", "apiKeyRef"];
/// The field of the secret: it is in a state file, where it holds a hash, and nowhere else.
const SECRET_FIELD: &str = "clientSecret";
/// The field of the registered way to authenticate, which a client without one has not.
const AUTH_METHOD_FIELD: &str = "tokenEndpointAuthMethod";

/// A client under a lock of its own.
pub type SharedClient = Arc<Mutex<Client>>;

/// A registered client, as its record shows it.
///
/// Scripts edit the record of a client as they like, and add fields of their own. So every field is kept as it was
/// written, and is read when it counts; one that does not read as what it should be counts for nothing.
#[derive(Debug, Clone)]
pub struct Client {
    fields: Map<String, Value>,
    secret: Option<KeptSecret>,
}

/// What a client says of itself. Absent and empty texts are the same.
#[derive(Debug, Clone, Default)]
pub struct Registration {
    /// Its label.
    pub client_name: String,
    /// Where its users may come back to.
    pub redirect_uris: Vec<String>,
    /// The grants it wants to use; kept, and not consulted. Default: both.
    pub grant_types: Option<Value>,
    /// The scope it may have. Default: `tools:*`.
    pub scope: Option<String>,
    /// The API key that its tokens stand for. It is not looked up.
    pub api_key: Option<String>,
    /// How it authenticates: `client_secret_post`, `client_secret_basic` or `none`. A client that names no way is not
    /// asked to.
    pub token_endpoint_auth_method: Option<String>,
}

/// How a client shows who it is when it asks for tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuthMethod {
    /// Its secret in the body.
    SecretPost,
    /// Its secret in the `Authorization` header.
    SecretBasic,
    /// Not at all.
    None,
}

impl ClientAuthMethod {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "client_secret_post" => Self::SecretPost,
            "client_secret_basic" => Self::SecretBasic,
            "none" => Self::None,
            _ => return None,
        })
    }
}

/// What a client shows to authenticate.
#[derive(Clone, Copy, Default)]
pub enum Credentials<'a> {
    /// Nothing.
    #[default]
    Absent,
    /// A secret in the body.
    InBody(&'a str),
    /// A secret in the `Authorization` header.
    InHeader(&'a str),
    /// A secret wherever it stood: that counts for the token endpoint alone, and not in process.
    Anywhere(&'a str),
}

impl Registration {
    /// Checks what a client says of itself.
    pub(super) fn check(&self) -> Result<(), OAuthError> {
        if self.client_name.is_empty() || self.redirect_uris.is_empty() {
            return Err(OAuthError::ClientMetadataMissing);
        }
        if let Some(uri) = self.redirect_uris.iter().find(|uri| !usable(uri)) {
            return Err(OAuthError::RedirectUriInvalid(uri.clone()));
        }
        match given(self.token_endpoint_auth_method.as_deref()) {
            Some(method) if ClientAuthMethod::from_name(method).is_none() => {
                Err(OAuthError::AuthMethodUnsupported(method.to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Whether the client is given a secret.
    pub(super) fn wants_secret(&self) -> bool {
        self.token_endpoint_auth_method.as_deref().and_then(ClientAuthMethod::from_name)
            != Some(ClientAuthMethod::None)
    }
}

/// Whether an address can be returned to: a URL of any scheme but those that run as scripts.
fn usable(uri: &str) -> bool {
    Url::parse(uri).is_ok_and(|uri| !SCRIPT_SCHEMES.contains(&uri.scheme()))
}

/// A text that says something.
pub(super) fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

impl Client {
    /// A client whose registration was checked.
    pub(super) fn new(registration: Registration, id: &str, secret: Option<&str>, now: Timestamp) -> Self {
        let Registration {
            client_name,
            mut redirect_uris,
            grant_types,
            scope,
            api_key,
            token_endpoint_auth_method,
        } = registration;
        redirect_uris.truncate(REDIRECT_URIS_MAX);
        let grant_types = grant_types.filter(truthy);
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
        put("clientId", id.into());
        put("clientName", cut(trim(&client_name), NAME_UNITS_MAX).into());
        put("redirectUris", redirect_uris.into());
        put("grantTypes", grant_types.unwrap_or_else(|| json!(["authorization_code", "refresh_token"])));
        put("scope", given(scope.as_deref()).unwrap_or(ALL_TOOLS).into());
        put("createdAt", now.to_string().into());
        put("apiKeyRef", given(api_key.as_deref()).into());
        if let Some(method) = given(token_endpoint_auth_method.as_deref()) {
            put(AUTH_METHOD_FIELD, method.into());
        }
        Self { fields, secret: secret.map(KeptSecret::of) }
    }

    /// A client as a state file has it.
    pub(super) fn from_file(mut fields: Map<String, Value>) -> Self {
        let secret = fields.shift_remove(SECRET_FIELD);
        let secret = secret.as_ref().and_then(Value::as_str);
        Self { secret: given(secret).map(KeptSecret::from_file), fields }
    }

    /// Writes the client as a state file has it: its fields, and behind its id how its secret is recognised.
    pub(super) fn image<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let secret = self.secret.as_ref().map(ToString::to_string);
        let mut object = to.serialize_map(Some(self.fields.len() + 1))?;
        let after_id = usize::from(self.fields.keys().next().is_some_and(|name| name == "clientId"));
        for (name, value) in self.fields.iter().take(after_id) {
            object.serialize_entry(name, value)?;
        }
        object.serialize_entry(SECRET_FIELD, &secret)?;
        for (name, value) in self.fields.iter().skip(after_id) {
            object.serialize_entry(name, value)?;
        }
        object.end()
    }

    /// The names of all fields, in the order in which they are shown.
    pub fn field_names(&self) -> Vec<&str> {
        self.fields.keys().map(String::as_str).collect()
    }

    /// The value of a field; `None` when there is none. The secret is not a field.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.fields.get(name)
    }

    /// Writes one field, as an assignment to a live record does; `None` removes it. A secret that is written counts from
    /// then on, and cannot be read.
    pub fn set(&mut self, name: &str, value: Option<Value>) {
        if name == SECRET_FIELD {
            let value = value.as_ref().and_then(Value::as_str);
            self.secret = given(value).map(KeptSecret::of);
            return;
        }
        match value {
            Some(value) => drop(self.fields.insert(name.to_owned(), value)),
            None => drop(self.fields.shift_remove(name)),
        }
    }

    /// How the secret begins, for lists: `pg_secret_` and two digits, or `none`.
    pub fn secret_prefix(&self) -> String {
        self.secret.as_ref().map_or_else(|| "none".to_owned(), |secret| format!("{}...", secret.start()))
    }

    fn text(&self, name: &str) -> &str {
        self.fields.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// What it is found by.
    pub fn id(&self) -> &str {
        self.text("clientId")
    }

    /// Its label.
    pub fn name(&self) -> &str {
        self.text("clientName")
    }

    /// The scope it may have.
    pub fn scope(&self) -> &str {
        self.text("scope")
    }

    /// The API key that it is linked to.
    pub fn api_key(&self) -> Option<&str> {
        given(Some(self.text("apiKeyRef")))
    }

    /// Links it to an API key, or to none.
    pub(super) fn link(&mut self, api_key: Option<&str>) {
        self.set("apiKeyRef", Some(api_key.into()));
    }

    /// Whether its users may come back to an address: one of its own, to the letter.
    pub(super) fn returns_to(&self, uri: &str) -> bool {
        let uris = self.fields.get("redirectUris").and_then(Value::as_array);
        uris.is_some_and(|uris| uris.iter().any(|known| known.as_str() == Some(uri)))
    }

    /// Whether it has shown who it is, by the way it registered. A client that registered none need not; one whose way
    /// is unknown cannot.
    pub(super) fn authenticated(&self, shown: Credentials<'_>) -> bool {
        let Some(method) = self.fields.get(AUTH_METHOD_FIELD) else { return true };
        let secret = match (method.as_str().and_then(ClientAuthMethod::from_name), shown) {
            (Some(ClientAuthMethod::None), _) => return true,
            (Some(ClientAuthMethod::SecretPost), Credentials::InBody(secret))
            | (Some(ClientAuthMethod::SecretBasic), Credentials::InHeader(secret))
            | (Some(_), Credentials::Anywhere(secret)) => secret,
            (None, _)
            | (Some(ClientAuthMethod::SecretPost), Credentials::Absent | Credentials::InHeader(_))
            | (Some(ClientAuthMethod::SecretBasic), Credentials::Absent | Credentials::InBody(_)) => {
                return false;
            }
        };
        self.secret.as_ref().is_some_and(|kept| kept.recognises(secret))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registration() -> Registration {
        Registration {
            client_name: "App".into(),
            redirect_uris: vec!["http://localhost/cb".into()],
            ..Registration::default()
        }
    }

    fn client(registration: Registration, secret: Option<&str>) -> Client {
        registration.check().unwrap();
        Client::new(registration, "pg_client_1", secret, Timestamp(0))
    }

    #[test]
    fn a_registration_is_cut_and_completed() {
        let given = Registration {
            client_name: format!(" {}", "n".repeat(300)),
            redirect_uris: (0..12).map(|number| format!("http://localhost/{number}")).collect(),
            grant_types: Some(json!([])),
            scope: Some(String::new()),
            api_key: Some(String::new()),
            token_endpoint_auth_method: None,
        };
        let client = client(given, None);
        assert_eq!(client.field_names(), CLIENT_FIELDS);
        assert_eq!(client.name(), "n".repeat(200));
        assert_eq!(client.value("redirectUris").unwrap().as_array().unwrap().len(), 10);
        assert_eq!(client.value("grantTypes"), Some(&json!([])));
        assert_eq!(client.scope(), "tools:*");
        assert_eq!(client.value("apiKeyRef"), Some(&Value::Null));
        assert_eq!(client.secret_prefix(), "none");
    }

    #[test]
    fn an_address_is_a_url_that_is_no_script() {
        let check = |uri: &str| {
            let redirect_uris = vec!["http://localhost/".into(), uri.to_owned()];
            Registration { redirect_uris, ..registration() }.check()
        };
        for uri in
            ["https://a.example/cb?x=1", "http://127.0.0.1:9/", "my-app:/cb", "ok:foo", "HTTP://A.EXAMPLE"]
        {
            assert_eq!(check(uri), Ok(()), "{uri}");
        }
        for uri in
            ["", "nope", "//a.example", "http://", "javascript:alert(1)", " JAVASCRIPT:x", "data:text/html,x"]
        {
            assert_eq!(check(uri), Err(OAuthError::RedirectUriInvalid(uri.to_owned())), "{uri}");
        }
    }

    #[test]
    fn a_client_authenticates_in_the_way_it_registered() {
        let by = |method: Option<&str>| {
            let method = method.map(str::to_owned);
            client(Registration { token_endpoint_auth_method: method, ..registration() }, Some("s3cret"))
        };
        let shown = |client: &Client| {
            [
                Credentials::Absent,
                Credentials::InBody("s3cret"),
                Credentials::InHeader("s3cret"),
                Credentials::Anywhere("s3cret"),
                Credentials::InBody("wrong"),
            ]
            .map(|credentials| client.authenticated(credentials))
        };
        assert_eq!(shown(&by(None)), [true; 5]);
        assert_eq!(shown(&by(Some("none"))), [true; 5]);
        assert_eq!(shown(&by(Some("client_secret_post"))), [false, true, false, true, false]);
        assert_eq!(shown(&by(Some("client_secret_basic"))), [false, false, true, true, false]);
        let mut odd = by(Some("client_secret_post"));
        odd.set(AUTH_METHOD_FIELD, Some(json!("private_key_jwt")));
        assert_eq!(shown(&odd), [false; 5]);
        let asked = Registration { token_endpoint_auth_method: Some("tls".into()), ..registration() };
        assert_eq!(asked.check(), Err(OAuthError::AuthMethodUnsupported("tls".into())));
    }

    #[test]
    fn a_record_may_be_edited_and_what_does_not_read_counts_for_nothing() {
        let mut client = client(registration(), Some("old-secret"));
        client.set("redirectUris", Some(json!("http://localhost/cb")));
        assert!(!client.returns_to("http://localhost/cb"));
        client.set("redirectUris", Some(json!([1, "x:y"])));
        assert!(client.returns_to("x:y"));
        client.set("apiKeyRef", Some(json!(5)));
        assert_eq!(client.api_key(), None);
        client.set("note", Some(json!({"own": true})));
        client.set(SECRET_FIELD, Some(json!("new-secret")));
        assert_eq!(client.secret_prefix(), "new-s...");
        assert_eq!(client.value(SECRET_FIELD), None);

        let image = |client: &Client| client.image(serde_json::value::Serializer).unwrap();
        let reread = Client::from_file(image(&client).as_object().unwrap().clone());
        assert_eq!(image(&reread), image(&client));
        assert_eq!(reread.value("note"), Some(&json!({"own": true})));
        assert_eq!(image(&client).as_object().unwrap().keys().nth(1).map(String::as_str), Some(SECRET_FIELD));
    }
}
