//! The page on which the owner of an API key approves a client: one document without scripts, which asks nothing of
//! other places.
//!
//! There is nobody to be logged in, so a request from elsewhere cannot borrow anybody's login: who approves shows the
//! key itself. The form has no address of its own and goes to the page's, so that it works under any path.

use std::fmt::Write as _;

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderValue, StatusCode};
use paygate_mcp_wire::wire::Spliced;
use url::{Host, Url};

use super::parameters::Parameters;
use crate::auth::oauth::Consent;
use crate::http::respond::{self, Response};
use crate::public::dashboard::{digest, escaped};

/// The document, with marks where something belongs.
const PAGE: &str = include_str!("consent.html");

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// The parameters of the request, which come back with the answer.
const CARRIED: [&str; 7] = [
    "response_type",
    "client_id",
    "redirect_uri",
    "code_challenge",
    "code_challenge_method",
    "scope",
    "state",
];

/// What was wrong with the last answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    /// The key is unknown, or cannot be used any more.
    KeyNotUsable,
    /// The client may only use the key that it is linked to.
    OtherKeyLinked,
}

impl Problem {
    const fn told(self) -> &'static str {
        match self {
            Self::KeyNotUsable => "This key is unknown, or cannot be used any more.",
            Self::OtherKeyLinked => "This client is linked to another key.",
        }
    }
}

/// Asks the owner of a key; and tells what was wrong with the last answer, if there was one.
pub(super) fn page(
    server_name: &str,
    consent: &Consent,
    parameters: &Parameters,
    problem: Option<Problem>,
) -> Response {
    let html = html(server_name, consent, parameters, problem);
    let status = if problem.is_some() { StatusCode::FORBIDDEN } else { StatusCode::OK };
    let mut response = respond::with_body(status, HTML, Spliced::from(html.into_bytes()));
    let headers = response.headers_mut();
    let mut add = |name: HeaderName, value| drop(headers.insert(name, value));
    let policy = HeaderValue::try_from(policy(&consent.redirect_uri)).expect("made of what may stand in it");
    add(CONTENT_SECURITY_POLICY, policy);
    add(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The own origin has to be told with the form.
    add(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    add(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    add(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}

fn html(server_name: &str, consent: &Consent, parameters: &Parameters, problem: Option<Problem>) -> String {
    let question = match consent.linked {
        true => "The API key that this client is linked to",
        false => "Your API key",
    };
    let problem =
        problem.map(|problem| format!("<p class=\"problem\" role=\"alert\">{}</p>\n", problem.told()));
    let mut fields = String::new();
    for name in CARRIED {
        if let Some(value) = parameters.text(name) {
            let value = escaped(value);
            writeln!(fields, "<input type=\"hidden\" name=\"{name}\" value=\"{value}\">")
                .expect("a text can always be written to");
        }
    }
    filled(&|mark| match mark {
        "server" => escaped(server_name),
        "client" => escaped(&consent.client_name),
        "destination" => escaped(destination(&consent.redirect_uri)),
        "scope" => escaped(&consent.scope),
        "problem" => problem.clone().unwrap_or_default(),
        "fields" => fields.clone(),
        "question" => question.to_owned(),
        _ => unreachable!("the page has no other marks"),
    })
}

/// The page with its marks replaced. What takes their place is not looked at again, whatever it looks like.
fn filled(value: &dyn Fn(&str) -> String) -> String {
    let mut pieces = PAGE.split("{{");
    let mut html = pieces.next().expect("a text has a beginning").to_owned();
    for piece in pieces {
        let (mark, rest) = piece.split_once("}}").expect("the page closes its marks");
        html.push_str(&value(mark));
        html.push_str(rest);
    }
    html
}

/// The address without what the client hid in its query.
fn destination(redirect_uri: &str) -> &str {
    redirect_uri.split(['?', '#']).next().unwrap_or_default()
}

/// The policy of the page: its own style, its own form, and nothing else.
fn policy(redirect_uri: &str) -> String {
    let (_, rest) = PAGE.split_once("<style>").expect("the page has a style");
    let (style, _) = rest.split_once("</style>").expect("the page closes its style");
    format!(
        "default-src 'none'; style-src '{}'; form-action 'self' {}; base-uri 'none'; frame-ancestors 'none'",
        digest(style),
        form_target(redirect_uri),
    )
}

/// Where the answer to the form leads on to, which browsers hold against the policy too.
fn form_target(redirect_uri: &str) -> String {
    let url = Url::parse(redirect_uri).expect("checked when the client was registered");
    let plain =
        |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    let scheme = url.scheme();
    match (url.host(), url.port()) {
        (Some(Host::Domain(host)), None) if plain(host) => format!("{scheme}://{host}"),
        (Some(Host::Domain(host)), Some(port)) if plain(host) => format!("{scheme}://{host}:{port}"),
        (Some(Host::Ipv4(host)), None) => format!("{scheme}://{host}"),
        (Some(Host::Ipv4(host)), Some(port)) => format!("{scheme}://{host}:{port}"),
        // Addresses of IPv6, and most schemes of apps, can only be named by their scheme.
        (Some(Host::Domain(_) | Host::Ipv6(_)) | None, _) => format!("{scheme}:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consent() -> Consent {
        Consent {
            client_name: "<b>App</b> {{fields}}".into(),
            redirect_uri: "https://app.example/cb?x=1".into(),
            scope: "tools:read".into(),
            linked: false,
        }
    }

    #[test]
    fn what_strangers_say_is_text() {
        let page = html("A & B", &consent(), &Parameters::default(), Some(Problem::KeyNotUsable));
        assert!(
            page.contains("<h1>&lt;b&gt;App&lt;/b&gt; {{fields}} asks for access to A &amp; B</h1>"),
            "{page}"
        );
        assert!(page.contains("<dd>https://app.example/cb</dd>"));
        assert!(page.contains("role=\"alert\">This key is unknown"));
        assert_eq!(page.matches("<form").count(), 1);
        assert!(!page.contains("action="), "the form goes to the page's own address");
    }

    #[test]
    fn the_policy_lets_the_answer_lead_back_to_the_client_and_nowhere_else() {
        for (uri, target) in [
            ("https://app.example/cb?x=1", "https://app.example"),
            ("http://127.0.0.1:9/cb", "http://127.0.0.1:9"),
            ("http://[::1]:9/cb", "http:"),
            ("my-app:/cb", "my-app:"),
            ("my-app://host;sandbox/cb", "my-app:"),
        ] {
            assert_eq!(form_target(uri), target);
        }
        let policy = policy("https://app.example/cb");
        assert!(policy.contains("form-action 'self' https://app.example; base-uri"), "{policy}");
    }

    #[test]
    fn nothing_in_the_page_needs_more_than_the_policy_allows() {
        // Browsers make line feeds of other line breaks before they take a digest.
        assert!(!PAGE.contains('\r'));
        for forbidden in ["http:", "https:", " style=", "<script", " onclick=", "@import"] {
            assert!(!PAGE.contains(forbidden), "{forbidden}");
        }
        assert_eq!(PAGE.matches("<style>").count(), 1);
    }
}
