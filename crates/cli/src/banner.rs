//! What is shown after a start. Scripts read the labels, the port and the admin key; the rest is for people.

use std::fmt::Write;
use std::net::SocketAddr;

use paygate_core::text::number::js_number;

use paygate_server::ServerEntry;

use crate::settings::{Settings, WrappedSettings};

/// Columns between the sides of the box.
const WIDTH: usize = 50;
/// Longest path that is shown whole.
const PATH_SHOWN: usize = 33;
/// Longest command line that is shown whole.
const COMMAND_SHOWN: usize = 27;
/// Longest address that is shown whole.
const URL_SHOWN: usize = 28;
/// Longest list of servers that is shown whole.
const SERVERS_SHOWN: usize = 35;
/// So much of an admin key is shown in the box.
const ADMIN_KEY_SHOWN: usize = 20;

/// The box and, when the admin key was made at this start, the key.
pub(crate) fn banner(settings: &Settings, address: SocketAddr, made_admin_key: Option<&str>) -> String {
    let gate = &settings.gate;
    let state = settings.state.as_ref().map(|state| first(&state.path.to_string_lossy(), PATH_SHOWN));
    let webhook = settings.webhook.as_ref();
    let signed = webhook.and_then(|webhook| webhook.secret.as_ref()).map(|_| "HMAC-SHA256");
    let limit = match gate.global_rate_limit {
        limit if limit > 0.0 => format!("{} calls/min per key", js_number(limit)),
        _ => "unlimited".to_owned(),
    };
    let rows = [
        ("Endpoint", format!("http://localhost:{}", address.port())),
        (
            "Admin Key",
            made_admin_key.map_or("as given".to_owned(), |key| format!("{}...", first(key, ADMIN_KEY_SHOWN))),
        ),
        ("Backend", backend(&settings.wrapped)),
        ("Pricing", format!("{} credit(s) per tool call", gate.prices.default)),
        ("Rate Limit", limit),
        ("Shadow", gate.shadow_mode.to_string()),
        ("Persist", state.unwrap_or("off (in-memory)".to_owned())),
        ("Stripe", settings.stripe.as_ref().map_or("off", |_| "enabled (/stripe/webhook)").to_owned()),
        ("Refund", gate.refunds.on_failure.to_string()),
        (
            "Webhook",
            webhook.map_or("off".to_owned(), |webhook| first(&without_credentials(&webhook.url), PATH_SHOWN)),
        ),
        ("Signed", signed.unwrap_or("off").to_owned()),
        ("Redis", "off (in-memory)".to_owned()),
    ];
    let routes = [
        "POST /mcp      MCP, with X-API-Key",
        "GET  /balance  What a key has left",
        "POST /keys     Make a key (X-Admin-Key)",
        "GET  /keys     List keys (X-Admin-Key)",
        "POST /topup    Add credits (X-Admin-Key)",
        "GET  /health   How it is doing",
    ];
    let rule = "═".repeat(WIDTH);
    let mut text = format!("\n  ╔{rule}╗\n");
    row(&mut text, "PayGate MCP — Server Running");
    let _ = writeln!(text, "  ╠{rule}╣");
    for (label, value) in rows {
        row(&mut text, &format!("{:<12}{value}", format!("{label}:")));
    }
    let _ = writeln!(text, "  ╠{rule}╣");
    for route in routes {
        row(&mut text, route);
    }
    let _ = writeln!(text, "  ╚{rule}╝\n");
    if let WrappedSettings::Many(servers) = &settings.wrapped {
        text.push_str(&servers_listed(servers));
    }
    if let Some(key) = made_admin_key {
        let _ = writeln!(text, "  Admin key (save this): {key}\n");
    }
    text
}

fn backend(wrapped: &WrappedSettings) -> String {
    match wrapped {
        WrappedSettings::Command(command, args) => {
            format!("stdio → {}", first(&command_line(command, args), COMMAND_SHOWN))
        }
        WrappedSettings::Remote(url) => format!("HTTP → {}", first(url, URL_SHOWN)),
        WrappedSettings::Many(servers) => {
            let prefixes: Vec<_> = servers.iter().filter_map(|server| server.prefix.as_deref()).collect();
            first(&format!("multi ({}) → {}", servers.len(), prefixes.join(", ")), SERVERS_SHOWN)
        }
    }
}

/// Every server on a line of its own, between two empty ones.
fn servers_listed(servers: &[ServerEntry]) -> String {
    let mut text = "  Multi-server backends:\n".to_owned();
    for ServerEntry { prefix, command, args, url } in servers {
        let prefix = prefix.as_deref().unwrap_or_default();
        let target = match (command, url) {
            (Some(command), _) => format!("stdio → {}", command_line(command, args)),
            (None, url) => format!("HTTP → {}", url.as_deref().unwrap_or_default()),
        };
        let _ = writeln!(text, "    {prefix}: {target}");
    }
    text.push('\n');
    text
}

fn command_line(command: &String, args: &[String]) -> String {
    [std::slice::from_ref(command), args].concat().join(" ")
}

/// An address without the user name and password that it may have.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host_start = rest[..host_end].rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}://{}", &rest[host_start..])
}

fn row(text: &mut String, content: &str) {
    let _ = writeln!(text, "  ║  {content:<width$}║", width = WIDTH - 2);
}

fn first(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}
