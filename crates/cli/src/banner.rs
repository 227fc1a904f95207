//! What is shown after a start. Scripts read the labels, the port and the admin key; the rest is for people.

use std::fmt::Write;
use std::net::SocketAddr;

use paygate_core::text::number::js_number;

use crate::settings::Settings;

/// Columns between the sides of the box.
const WIDTH: usize = 50;
/// Longest path that is shown whole.
const PATH_SHOWN: usize = 33;
/// Longest command line that is shown whole.
const COMMAND_SHOWN: usize = 27;
/// So much of an admin key is shown in the box.
const ADMIN_KEY_SHOWN: usize = 20;

/// The box and, when the admin key was made at this start, the key.
pub(crate) fn banner(settings: &Settings, address: SocketAddr, made_admin_key: Option<&str>) -> String {
    let gate = &settings.gate;
    let (command, args) = &settings.command;
    let command_line = [std::slice::from_ref(command), args].concat().join(" ");
    let state = settings.state.as_ref().map(|state| first(&state.path.to_string_lossy(), PATH_SHOWN));
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
        ("Backend", format!("stdio → {}", first(&command_line, COMMAND_SHOWN))),
        ("Pricing", format!("{} credit(s) per tool call", gate.prices.default)),
        ("Rate Limit", limit),
        ("Shadow", gate.shadow_mode.to_string()),
        ("Persist", state.unwrap_or("off (in-memory)".to_owned())),
        ("Stripe", "off".to_owned()),
        ("Refund", gate.refunds.on_failure.to_string()),
        ("Webhook", "off".to_owned()),
        ("Signed", "off".to_owned()),
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
    if let Some(key) = made_admin_key {
        let _ = writeln!(text, "  Admin key (save this): {key}\n");
    }
    text
}

fn row(text: &mut String, content: &str) {
    let _ = writeln!(text, "  ║  {content:<width$}║", width = WIDTH - 2);
}

fn first(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}
