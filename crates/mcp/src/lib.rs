//! Speaks MCP: JSON-RPC messages whose payloads stay as they were written, server-sent events,
//! line framing, a supervised child process behind a pair of pipes, and a remote server behind HTTP.
//!
//! Nothing here knows keys, prices or balances. A message is read once, borrowed, and passed on
//! byte for byte; the only thing ever exchanged is its id.

pub mod framing;
pub mod http;
pub mod sse;
pub mod stdio;
pub mod wire;
