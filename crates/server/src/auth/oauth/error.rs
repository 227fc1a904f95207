//! Why the authorization server says no.

/// Why the authorization server says no. Nothing was issued or registered.
///
/// Displayed as 2.9.0 words it, where it says the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OAuthError {
    /// A registration without a name, or without an address to return to.
    #[error("clientName and at least one redirectUri are required")]
    ClientMetadataMissing,
    /// An address that is no URL, or one that would run as a script.
    #[error("Invalid redirect URI: {0}")]
    RedirectUriInvalid(String),
    /// A way to authenticate that is not offered.
    #[error("Unsupported token_endpoint_auth_method: {0}")]
    AuthMethodUnsupported(String),
    /// As many clients as there may be are registered, and all of them are in use.
    #[error("Too many registered clients")]
    TooManyClients,
    /// No such client.
    #[error("Unknown client")]
    UnknownClient,
    /// An address that the client has not registered.
    #[error("Invalid redirect_uri")]
    RedirectUriUnregistered,
    /// An authorization without a challenge.
    #[error("code_challenge is required (PKCE)")]
    ChallengeMissing,
    /// A challenge made in another way than S256.
    #[error("Only S256 code_challenge_method is supported")]
    ChallengeMethodUnsupported,
    /// There is no key that the tokens could stand for.
    #[error("No API key linked to this client. Admin must link an API key first.")]
    NoKeyLinked,
    /// Nothing of what was asked for is within what was granted.
    #[error("invalid_scope: The requested scope exceeds the granted scope")]
    ScopeExceeded,
    /// The client registered a way to authenticate and has not done so.
    #[error("invalid_client: Client authentication failed")]
    ClientUnauthenticated,
    /// No such code: never issued, used, or long expired.
    #[error("invalid_grant: Unknown or expired code")]
    UnknownCode,
    /// The code came too late.
    #[error("invalid_grant: Code expired")]
    CodeExpired,
    /// The code or token is another client's.
    #[error("invalid_grant: Client mismatch")]
    ClientMismatch,
    /// The code was issued for another address.
    #[error("invalid_grant: redirect_uri mismatch")]
    RedirectUriMismatch,
    /// The verifier is absent.
    #[error(
        "The \"data\" argument must be of type string or an instance of Buffer, TypedArray, or DataView. Received undefined"
    )]
    VerifierMissing,
    /// The verifier is empty, too long, or does not answer the challenge.
    #[error("invalid_grant: PKCE verification failed")]
    VerificationFailed,
    /// No such token.
    #[error("invalid_grant: Unknown refresh token")]
    UnknownRefreshToken,
    /// An access token where a refresh token belongs.
    #[error("invalid_grant: Not a refresh token")]
    NotARefreshToken,
    /// The refresh token's time is over.
    #[error("invalid_grant: Refresh token expired")]
    RefreshTokenExpired,
    /// The refresh token was used before: somebody has a copy of it, so all tokens of its approval were revoked.
    #[error("invalid_grant: Refresh token was already used")]
    RefreshTokenReused,
}

impl OAuthError {
    /// The error code of the protocol for an answer of the token and authorization endpoints.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownCode
            | Self::CodeExpired
            | Self::ClientMismatch
            | Self::RedirectUriMismatch
            | Self::VerificationFailed
            | Self::UnknownRefreshToken
            | Self::NotARefreshToken
            | Self::RefreshTokenExpired
            | Self::RefreshTokenReused => "invalid_grant",
            Self::ScopeExceeded => "invalid_scope",
            Self::ClientUnauthenticated => "invalid_client",
            Self::ClientMetadataMissing
            | Self::RedirectUriInvalid(_)
            | Self::AuthMethodUnsupported(_)
            | Self::TooManyClients => "invalid_client_metadata",
            Self::UnknownClient
            | Self::RedirectUriUnregistered
            | Self::ChallengeMissing
            | Self::ChallengeMethodUnsupported
            | Self::NoKeyLinked
            | Self::VerifierMissing => "invalid_request",
        }
    }
}
