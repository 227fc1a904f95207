//! What becomes of OAuth's clients and tokens: in the log, and to the receiver of webhooks under the same name. 2.9.0
//! said nothing of them.

use paygate_core::text::trim::cut;
use paygate_core::usage::audit::{AuditEventType, mask_key};
use serde_json::{Value, json};

use super::{News, TEXT_UNITS_MAX};
use crate::auth::oauth::{Client, Token};

impl News {
    /// A client has registered itself.
    pub(crate) fn oauth_client_registered(&self, client: &Client) {
        let metadata = json!({
            "clientId": client.id(),
            "clientName": client.name(),
            "scope": cut(client.scope(), TEXT_UNITS_MAX),
            "keyMasked": client.api_key().map(mask_key),
        });
        let message = format!("OAuth client registered: {}", client.name());
        self.oauth(AuditEventType::OauthClientRegistered, client.id(), message, metadata);
    }

    /// A client was given an access token, for a code or for a refresh token.
    pub(crate) fn oauth_token_issued(&self, token: &Token, grant: &str) {
        let metadata = json!({
            "clientId": token.client_id(),
            "keyMasked": mask_key(token.api_key()),
            "scope": cut(token.scope(), TEXT_UNITS_MAX),
            "grantType": grant,
        });
        self.oauth(
            AuditEventType::OauthTokenIssued,
            token.client_id(),
            "OAuth token issued".to_owned(),
            metadata,
        );
    }

    /// A token was given back, and all that came of the same approval with it.
    pub(crate) fn oauth_token_revoked(&self, token: &Token) {
        let metadata = json!({"clientId": token.client_id(), "keyMasked": mask_key(token.api_key())});
        self.oauth(
            AuditEventType::OauthTokenRevoked,
            token.client_id(),
            "OAuth token revoked".to_owned(),
            metadata,
        );
    }

    fn oauth(&self, kind: AuditEventType, client_id: &str, message: String, metadata: Value) {
        let Value::Object(metadata) = metadata else { unreachable!("an object was written") };
        self.log_and_tell(kind, client_id, message, &metadata);
    }
}
