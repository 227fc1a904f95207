//! `help`: every command and flag.

use std::fmt::Write;

use crate::args::FLAGS;
use crate::env::PREFIX;

const HEAD: &str = "
  paygate-mcp — puts a price on the tools of an MCP server

USAGE:
  paygate-mcp wrap --server <cmd> [options]    Serve a wrapped MCP server
  paygate-mcp validate --config <path>         Check a configuration file
  paygate-mcp version                          Show the version
  paygate-mcp help                             Show this

OPTIONS:
";

const EXAMPLES: &str = "
EXAMPLES:
  paygate-mcp wrap --server \"npx my-mcp-server\" --price 2
  paygate-mcp wrap --server \"python server.py\" --tool-price search:5,write:3 --state-file keys.json
  paygate-mcp wrap --config paygate.json --port 8080
  paygate-mcp validate --config paygate.json
";

/// The whole text.
pub(crate) fn text() -> String {
    let mut text = HEAD.to_owned();
    for flag in &FLAGS {
        let usage = format!("--{} {}", flag.name, flag.value.unwrap_or("[true|false]"));
        let note = if flag.available { "" } else { " (not available yet)" };
        let _ = writeln!(text, "  {usage:<34} {}{note}", flag.help);
    }
    let _ = writeln!(text, "\n  Each flag may be given as a variable: --admin-key as {PREFIX}ADMIN_KEY.");
    text + EXAMPLES
}
