//! How the authorization server is set up.

/// The issuer of a provider that knows no address: not configured, and not served anywhere.
pub const DEFAULT_ISSUER: &str = "http://localhost:3402";

/// How the authorization server is set up.
#[derive(Debug, Clone, PartialEq)]
pub struct OAuthConfig {
    /// What the server calls itself, as it is written: a slash at its end stays. When absent it is the address that the
    /// server is asked at.
    pub issuer: Option<String>,
    /// How long access tokens live, in seconds. 0, less, or no end is for ever. Default: an hour.
    pub access_token_ttl_seconds: f64,
    /// How long refresh tokens live, in seconds; as for access tokens. Default: 30 days.
    pub refresh_token_ttl_seconds: f64,
    /// How long authorization codes live, in seconds; 0 or less is no time at all. Default: 5 minutes.
    pub code_ttl_seconds: f64,
    /// The scopes that are advertised.
    pub scopes: Vec<String>,
    /// Whether a client that is linked to a key gets its codes without the owner being asked. Default: yes.
    pub approve_linked: bool,
    /// Whether a refresh token works once and is answered with the next. One that is shown again revokes all tokens that
    /// came of the same approval. Default: no.
    pub rotate_refresh_tokens: bool,
}

impl Default for OAuthConfig {
    fn default() -> Self {
        Self {
            issuer: None,
            access_token_ttl_seconds: 3600.0,
            refresh_token_ttl_seconds: 2_592_000.0,
            code_ttl_seconds: 300.0,
            scopes: ["tools:*", "tools:read", "tools:write"].map(str::to_owned).into(),
            approve_linked: true,
            rotate_refresh_tokens: false,
        }
    }
}
