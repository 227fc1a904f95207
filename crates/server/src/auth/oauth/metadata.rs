//! The documents, and the challenge, that lead a client to the authorization server.

use serde::Serialize;

/// Where the protected resource describes itself (RFC 9728).
const RESOURCE_METADATA_PATH: &str = "/.well-known/oauth-protected-resource";
/// The resource that tokens are for.
const RESOURCE_PATH: &str = "/mcp";

/// What the authorization server offers (RFC 8414), in the order in which it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerMetadata {
    /// What the server calls itself.
    pub issuer: String,
    /// Where browsers ask for codes.
    pub authorization_endpoint: String,
    /// Where clients ask for tokens.
    pub token_endpoint: String,
    /// Where clients register.
    pub registration_endpoint: String,
    /// Where tokens are given back.
    pub revocation_endpoint: String,
    /// The scopes that are advertised.
    pub scopes_supported: Vec<String>,
    /// Codes alone.
    pub response_types_supported: [&'static str; 1],
    /// Codes and refresh tokens.
    pub grant_types_supported: [&'static str; 2],
    /// S256 alone.
    pub code_challenge_methods_supported: [&'static str; 1],
    /// How clients may authenticate: as 2.9.0 named it, without `client_secret_basic`, which works too.
    pub token_endpoint_auth_methods_supported: Vec<&'static str>,
}

impl ServerMetadata {
    /// The endpoints are the issuer, to the letter, and their paths.
    pub(super) fn new(issuer: &str, scopes: &[String]) -> Self {
        Self {
            issuer: issuer.to_owned(),
            authorization_endpoint: format!("{issuer}/oauth/authorize"),
            token_endpoint: format!("{issuer}/oauth/token"),
            registration_endpoint: format!("{issuer}/oauth/register"),
            revocation_endpoint: format!("{issuer}/oauth/revoke"),
            scopes_supported: scopes.to_owned(),
            response_types_supported: ["code"],
            grant_types_supported: ["authorization_code", "refresh_token"],
            code_challenge_methods_supported: ["S256"],
            token_endpoint_auth_methods_supported: vec!["client_secret_post", "none"],
        }
    }

    /// The same, with all ways in which clients may authenticate.
    #[must_use]
    pub fn with_all_auth_methods(mut self) -> Self {
        self.token_endpoint_auth_methods_supported.push("client_secret_basic");
        self
    }
}

/// What the MCP endpoint says of itself as a protected resource (RFC 9728).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProtectedResource {
    /// The MCP endpoint.
    pub resource: String,
    /// The issuers whose tokens are taken: this server's own.
    pub authorization_servers: [String; 1],
    /// The scopes that are advertised.
    pub scopes_supported: Vec<String>,
    /// Tokens come in the header.
    pub bearer_methods_supported: [&'static str; 1],
}

impl ProtectedResource {
    pub(super) fn new(origin: &str, issuer: &str, scopes: &[String]) -> Self {
        Self {
            resource: format!("{}{RESOURCE_PATH}", without_slash(origin)),
            authorization_servers: [issuer.to_owned()],
            scopes_supported: scopes.to_owned(),
            bearer_methods_supported: ["header"],
        }
    }
}

/// Why a request is sent to get a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeReason {
    /// It came without a credential.
    NoCredential,
    /// Its token is unknown or has expired.
    InvalidToken,
}

/// The `WWW-Authenticate` header of a 401, for a server that is asked at `origin` (`https://pay.example`).
///
/// An origin comes from the request; characters that could end the quotes or the header are left out.
pub fn challenge(origin: &str, reason: ChallengeReason) -> String {
    let harmless = |c: &char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
    let origin: String = without_slash(origin).chars().filter(harmless).collect();
    let place = format!("Bearer resource_metadata=\"{origin}{RESOURCE_METADATA_PATH}\"");
    match reason {
        ChallengeReason::NoCredential => place,
        ChallengeReason::InvalidToken => {
            format!(
                "{place}, error=\"invalid_token\", error_description=\"The access token is unknown or has expired\""
            )
        }
    }
}

fn without_slash(origin: &str) -> &str {
    origin.strip_suffix('/').unwrap_or(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issuer_is_used_to_the_letter() {
        let metadata = ServerMetadata::new("https://a.example/", &[]);
        assert_eq!(metadata.token_endpoint, "https://a.example//oauth/token");
    }

    #[test]
    fn a_challenge_names_the_document_and_cannot_be_broken_out_of() {
        let to = |origin: &str| challenge(origin, ChallengeReason::NoCredential);
        let document = "Bearer resource_metadata=\"https://a.example/.well-known/oauth-protected-resource\"";
        assert_eq!(to("https://a.example"), document);
        assert_eq!(to("https://a.example/"), document);
        assert_eq!(to("https://a.\"\\\r\n example"), document);
        let invalid = challenge("https://a.example", ChallengeReason::InvalidToken);
        assert!(invalid.starts_with(document) && invalid.contains(", error=\"invalid_token\""), "{invalid}");
    }

    #[test]
    fn the_resource_is_the_endpoint_of_the_server_that_was_asked() {
        let resource =
            ProtectedResource::new("https://a.example/", "https://issuer.example", &["s".to_owned()]);
        assert_eq!(
            serde_json::to_string(&resource).unwrap(),
            r#"{"resource":"https://a.example/mcp","authorization_servers":["https://issuer.example"],"scopes_supported":["s"],"bearer_methods_supported":["header"]}"#
        );
    }
}
