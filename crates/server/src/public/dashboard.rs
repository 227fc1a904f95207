//! The admin page for the browser: one document that asks nothing of other places.
//!
//! The page is the same for everyone; who may see what is decided by the routes that its script calls.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use paygate_mcp_wire::wire::Spliced;
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::http::request::Request;
use crate::http::respond::{self, Response};
use crate::http::route::{Access, Routes};

/// The document, with a mark wherever the server's name belongs.
const PAGE: &str = include_str!("dashboard.html");
const NAME_MARK: &str = "{{server}}";

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

pub(super) fn routes(routes: &mut Routes) {
    routes.at("/dashboard", Access::Public).any(dashboard);
}

async fn dashboard(app: Arc<App>, _request: Request) -> Response {
    let page = Spliced::from(dashboard_html(&app.name).into_bytes());
    let mut response = respond::with_body(StatusCode::OK, HTML, page);
    let policy = HeaderValue::try_from(dashboard_security_policy()).expect("a policy is plain text");
    let headers = [
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    response.headers_mut().extend(headers);
    response
}

/// The admin page of a server, under its name.
pub fn dashboard_html(server_name: &str) -> String {
    PAGE.replace(NAME_MARK, &escaped(server_name))
}

/// The `Content-Security-Policy` to send with the page: its own script and style, its own server, and nothing else.
pub fn dashboard_security_policy() -> String {
    format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        digest(between("<script>", "</script>")),
        digest(between("<style>", "</style>")),
    )
}

/// A text as it stands in HTML, between tags or quotes.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The first part of the document between two tags.
fn between(start: &str, end: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(start).expect("the page has the tag");
    let (inside, _) = rest.split_once(end).expect("the page closes the tag");
    inside
}

/// The source expression that allows exactly this text.
pub(super) fn digest(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_text_wherever_it_stands() {
        let html = dashboard_html("Tools & <b>More</b> \"Inc\" </script> {{server}}");
        let name = "Tools &amp; &lt;b&gt;More&lt;/b&gt; &quot;Inc&quot; &lt;/script&gt; {{server}}";
        assert!(html.starts_with("<!DOCTYPE html>\n"));
        assert!(html.contains(&format!("<title>{name} — Dashboard</title>")));
        assert_eq!(html.matches(name).count(), PAGE.matches(NAME_MARK).count());
        assert_eq!(html.matches("</script>").count(), 1);
    }

    #[test]
    fn the_policy_allows_the_script_and_the_style_that_are_served() {
        // The digest of the empty text is a known one.
        assert_eq!(digest(""), "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        let policy = dashboard_security_policy();
        let html = dashboard_html("A name");
        for (kind, tag) in [("script-src", "script"), ("style-src", "style")] {
            let blocks: Vec<_> = html.split(&format!("<{tag}>")).skip(1).collect();
            let [block] = blocks[..] else { panic!("{} blocks of {tag}", blocks.len()) };
            let (inside, _) = block.split_once(&format!("</{tag}>")).expect("the tag is closed");
            assert!(policy.contains(&format!("{kind} '{}'", digest(inside))), "{policy}");
        }
    }

    #[test]
    fn nothing_in_the_page_needs_more_than_the_policy_allows() {
        // Browsers make line feeds of other line breaks before they take a digest.
        assert!(!PAGE.contains('\r'));
        for forbidden in
            ["http:", "https:", "//cdn", " style=", " onclick=", "innerHTML", "<script ", "@import", "eval("]
        {
            assert!(!PAGE.contains(forbidden), "{forbidden}");
        }
    }
}
