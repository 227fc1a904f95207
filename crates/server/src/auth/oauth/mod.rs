//! The authorization server: clients register, the owner of an API key approves them, and tokens stand for the key.
//!
//! It is the OAuth 2.1 subset that MCP clients need: authorization codes with PKCE (S256 alone), refresh tokens,
//! revocation, dynamic registration and the two metadata documents. [`OAuthProvider`] is synchronous and callable from
//! any thread; what HTTP makes of its answers is decided by whoever serves the routes.
//!
//! - `provider`: the whole surface, over the books below
//! - `authorize`: what becomes of a browser that asks for a code
//! - `client`, `grant`, `token`: one book each, in memory
//! - `scope`, `secret`: what narrows, and what is kept of things that must not be read
//! - `metadata`: the documents and the challenge that lead a client here
//! - `state_file`: clients and tokens on disk

mod authorize;
mod client;
mod config;
mod error;
mod grant;
mod metadata;
mod provider;
mod scope;
mod secret;
mod state_file;
mod token;

pub use authorize::{Authorization, AuthorizationRequest, Consent};
pub use client::{CLIENT_FIELDS, Client, ClientAuthMethod, Credentials, Registration, SharedClient};
pub use config::{DEFAULT_ISSUER, OAuthConfig};
pub use error::OAuthError;
pub use grant::{CodeExchange, CodeRequest};
pub use metadata::{ChallengeReason, ProtectedResource, ServerMetadata, challenge};
pub use provider::{OAuthOptions, OAuthProvider, Registered};
pub use state_file::{Notice, Tell, state_path};
pub use token::{RefreshRequest, Token, TokenGrant};
