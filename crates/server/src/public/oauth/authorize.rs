//! `/oauth/authorize`: a browser asks for a code. It is sent back to its client, its user is asked, or it is refused.

use std::sync::Arc;

use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use paygate_core::text::trim::trim;

use super::consent::{self, Problem};
use super::parameters::{Parameters, Sent};
use super::refusal::Refusal;
use super::{endpoint, provider};
use crate::app::App;
use crate::auth::oauth::{Authorization, AuthorizationRequest};
use crate::http::origin::sent_from_own_page;
use crate::http::request::Request;
use crate::http::respond::{self, Response};
use crate::http::route::Routes;

/// What the page sends back besides the parameters of the request: the key, and which button was used.
pub(super) const API_KEY: &str = "api_key";
pub(super) const DECISION: &str = "decision";
pub(super) const DENY: &str = "deny";

pub(crate) fn routes(routes: &mut Routes) {
    endpoint(routes, "/oauth/authorize").get(ask).post(answer);
}

/// A browser comes from a client.
async fn ask(app: Arc<App>, request: Request) -> Result<Response, Refusal> {
    let parameters = Parameters::of_query(&request);
    let authorization = provider(&app).authorize(&asked(&parameters));
    respond_with(&app, &parameters, authorization, None)
}

/// A browser comes from a client by a form, or its user has answered.
async fn answer(app: Arc<App>, request: Request) -> Result<Response, Refusal> {
    let Sent { headers, peer, parameters } = Sent::read(&app, request).await?;
    let provider = provider(&app);
    let asked = asked(&parameters);
    let api_key = parameters.text(API_KEY).map(trim);
    let decided = api_key.is_some() || parameters.text(DECISION).is_some();
    if decided && !sent_from_own_page(&peer, &headers) {
        return Err(Refusal::ForeignPage);
    }
    if parameters.text(DECISION) == Some(DENY) {
        return respond_with(&app, &parameters, provider.deny(&asked), None);
    }
    let authorization = provider.authorize(&asked);
    let (Authorization::Ask(_), Some(api_key)) = (&authorization, api_key) else {
        return respond_with(&app, &parameters, authorization, None);
    };
    let ledger = app.ledger();
    if ledger.accounts.usable_balance(api_key, ledger.now()).is_none() {
        return respond_with(&app, &parameters, authorization, Some(Problem::KeyNotUsable));
    }
    let authorization = provider.approve(&asked, api_key);
    respond_with(&app, &parameters, authorization, Some(Problem::OtherKeyLinked))
}

fn asked(parameters: &Parameters) -> AuthorizationRequest<'_> {
    AuthorizationRequest {
        response_type: parameters.text("response_type"),
        client_id: parameters.text("client_id"),
        redirect_uri: parameters.text("redirect_uri"),
        code_challenge: parameters.text("code_challenge"),
        code_challenge_method: parameters.text("code_challenge_method"),
        scope: parameters.text("scope"),
        state: parameters.text("state"),
    }
}

/// Sends a browser on. If its user has to be asked, the page tells what was wrong with the last answer.
fn respond_with(
    app: &App,
    parameters: &Parameters,
    authorization: Authorization,
    problem: Option<Problem>,
) -> Result<Response, Refusal> {
    match authorization {
        Authorization::Redirect(address) => redirect(&address),
        Authorization::Ask(consent) => Ok(consent::page(&app.name, &consent, parameters, problem)),
        Authorization::Refused { error, description } => Err(Refusal::NotAuthorized { error, description }),
    }
}

fn redirect(address: &str) -> Result<Response, Refusal> {
    let location = HeaderValue::try_from(address).map_err(|_| Refusal::NotAuthorized {
        error: "invalid_request",
        description: Some("Invalid redirect_uri".to_owned()),
    })?;
    let mut response = respond::empty(StatusCode::FOUND);
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}
