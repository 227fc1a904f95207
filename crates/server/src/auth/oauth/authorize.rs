//! What becomes of a browser that asks for a code: it is sent back, its user is asked, or it is refused.

use subtle::ConstantTimeEq;
use url::Url;

use super::client::given;
use super::error::OAuthError;
use super::grant::CodeRequest;
use super::provider::OAuthProvider;
use super::scope;

/// What a browser brings, as it came; absent and empty parameters are the same.
#[derive(Debug, Clone, Copy, Default)]
pub struct AuthorizationRequest<'a> {
    /// `code`.
    pub response_type: Option<&'a str>,
    /// The client.
    pub client_id: Option<&'a str>,
    /// Where to come back to.
    pub redirect_uri: Option<&'a str>,
    /// SHA-256 of the verifier, in base64url without padding.
    pub code_challenge: Option<&'a str>,
    /// `S256` if at all.
    pub code_challenge_method: Option<&'a str>,
    /// The scope that is wanted.
    pub scope: Option<&'a str>,
    /// What the client wants back.
    pub state: Option<&'a str>,
}

/// What becomes of a browser that asks for a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorization {
    /// It is sent to this address, which is one that the client registered, with a code or an error.
    Redirect(String),
    /// Its user is asked for the API key that the tokens are to stand for.
    Ask(Consent),
    /// It is refused where it is: it is not known where it may be sent.
    Refused {
        /// The error code of the protocol.
        error: &'static str,
        /// What is wrong.
        description: Option<String>,
    },
}

/// What the owner of a key is asked to agree to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// The client's label. Anybody can register under any label.
    pub client_name: String,
    /// Where the browser goes afterwards.
    pub redirect_uri: String,
    /// What is granted.
    pub scope: String,
    /// Whether only the key that the client is linked to is taken.
    pub linked: bool,
}

/// What of a request was checked against its client.
struct Checked<'a> {
    redirect_uri: &'a str,
    code: CodeRequest<'a>,
    client_name: String,
    linked_key: Option<String>,
    scope: String,
}

/// An answer that comes before the end of the checks.
type Early = Authorization;

impl OAuthProvider {
    /// Decides about a browser that asks for a code.
    ///
    /// A client that is linked to an API key is approved at once, unless `approve_linked` is off. For any other the
    /// owner of a key is asked; [`Self::approve`] goes on from there.
    pub fn authorize(&self, request: &AuthorizationRequest<'_>) -> Authorization {
        match self.checked(request) {
            Err(early) => early,
            Ok(checked) if checked.linked_key.is_some() && self.config().approve_linked => {
                self.send_back(request, &checked, None)
            }
            Ok(checked) => checked.ask(),
        }
    }

    /// Goes on after the owner of a live API key has agreed. The owner of another key than the one that the client is
    /// linked to is asked again.
    pub fn approve(&self, request: &AuthorizationRequest<'_>, api_key: &str) -> Authorization {
        let checked = match self.checked(request) {
            Err(early) => return early,
            Ok(checked) => checked,
        };
        let other = |linked: &String| !bool::from(linked.as_bytes().ct_eq(api_key.as_bytes()));
        if checked.linked_key.as_ref().is_some_and(other) {
            return checked.ask();
        }
        self.send_back(request, &checked, Some(api_key))
    }

    /// Sends a browser back whose user does not agree.
    pub fn deny(&self, request: &AuthorizationRequest<'_>) -> Authorization {
        match self.checked(request) {
            Err(early) => early,
            Ok(checked) => redirect(checked.redirect_uri, &[("error", "access_denied")], request.state),
        }
    }

    fn checked<'a>(&self, request: &AuthorizationRequest<'a>) -> Result<Checked<'a>, Early> {
        if request.response_type != Some("code") {
            return Err(Authorization::Refused { error: "unsupported_response_type", description: None });
        }
        let (Some(client_id), Some(redirect_uri), Some(code_challenge)) =
            (given(request.client_id), given(request.redirect_uri), given(request.code_challenge))
        else {
            let description = "client_id, redirect_uri, and code_challenge are required";
            return Err(refused(description));
        };
        // Until both are known, nobody is sent anywhere.
        let client = self.client(client_id).ok_or_else(|| refused(&OAuthError::UnknownClient))?;
        let client = client.lock();
        if !client.returns_to(redirect_uri) {
            return Err(refused(&OAuthError::RedirectUriUnregistered));
        }
        let (code_challenge_method, scope) = (request.code_challenge_method, given(request.scope));
        let code = CodeRequest {
            client_id,
            redirect_uri,
            code_challenge,
            code_challenge_method,
            scope,
            api_key: None,
        };
        let send = |error: OAuthError| send_error(redirect_uri, &error, request.state);
        code.check_challenge().map_err(send)?;
        Ok(Checked {
            redirect_uri,
            client_name: client.name().to_owned(),
            linked_key: client.api_key().map(str::to_owned),
            scope: scope::of_code(scope, client.scope()).ok_or_else(|| send(OAuthError::ScopeExceeded))?,
            code,
        })
    }

    fn send_back(
        &self,
        request: &AuthorizationRequest<'_>,
        checked: &Checked<'_>,
        api_key: Option<&str>,
    ) -> Authorization {
        match self.create_auth_code(&CodeRequest { api_key, ..checked.code }) {
            Ok(code) => redirect(checked.redirect_uri, &[("code", &code)], request.state),
            Err(error) => send_error(checked.redirect_uri, &error, request.state),
        }
    }
}

impl Checked<'_> {
    fn ask(self) -> Authorization {
        Authorization::Ask(Consent {
            client_name: self.client_name,
            redirect_uri: self.redirect_uri.to_owned(),
            scope: self.scope,
            linked: self.linked_key.is_some(),
        })
    }
}

fn refused(description: &(impl ToString + ?Sized)) -> Authorization {
    Authorization::Refused { error: "invalid_request", description: Some(description.to_string()) }
}

/// Sends an error back. All but those that 2.9.0 did not know have its code.
fn send_error(redirect_uri: &str, error: &OAuthError, state: Option<&str>) -> Authorization {
    let code = match error.code() {
        "invalid_scope" => "invalid_scope",
        _ => "server_error",
    };
    redirect(redirect_uri, &[("error", code), ("error_description", &error.to_string())], state)
}

/// An address with parameters set in its query, in order; what else is there stays.
fn redirect(uri: &str, parameters: &[(&str, &str)], state: Option<&str>) -> Authorization {
    let Ok(mut url) = Url::parse(uri) else { return refused(&OAuthError::RedirectUriUnregistered) };
    let mut pairs: Vec<_> = url.query_pairs().into_owned().collect();
    let state = given(state).map(|state| ("state", state));
    for (name, value) in parameters.iter().copied().chain(state) {
        let first = pairs.iter().position(|(known, _)| known == name);
        let mut at = 0..;
        pairs.retain(|(known, _)| at.next() == first || known != name);
        match first {
            Some(first) => value.clone_into(&mut pairs[first].1),
            None => pairs.push((name.to_owned(), value.to_owned())),
        }
    }
    url.query_pairs_mut().clear().extend_pairs(pairs);
    Authorization::Redirect(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(uri: &str, parameters: &[(&str, &str)], state: Option<&str>) -> String {
        match redirect(uri, parameters, state) {
            Authorization::Redirect(address) => address,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_redirect_keeps_the_query_and_sets_its_own_parameters() {
        let code = [("code", "c1")];
        assert_eq!(
            sent("http://cb.example/x?a=1", &code, Some("xyz 1")),
            "http://cb.example/x?a=1&code=c1&state=xyz+1"
        );
        assert_eq!(sent("http://cb.example", &code, None), "http://cb.example/?code=c1");
        assert_eq!(sent("myapp://cb", &code, Some("")), "myapp://cb?code=c1");
        assert_eq!(
            sent("http://cb.example/?code=0&b&code=9#f", &code, None),
            "http://cb.example/?code=c1&b=#f"
        );
        assert_eq!(
            sent("http://cb.example/", &code, Some("xyz 123/ä")),
            "http://cb.example/?code=c1&state=xyz+123%2F%C3%A4"
        );
        assert_eq!(redirect("no url", &code, None), refused("Invalid redirect_uri"));
    }
}
