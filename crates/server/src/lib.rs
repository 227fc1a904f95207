//! Carries a request through: who asks, may they, do it, tell it.
//!
//! [`Server`] is the whole surface: it is bound to an address, serves until it is told to stop, and then drains.
//! A request comes in by `http`, is named by `auth`, and is answered by `public`, `admin` or, for the calls that are
//! paid for, by `call`, which alone talks to the `backend`.

mod admin;
mod app;
mod auth;
mod backend;
mod call;
mod config;
mod hooks;
mod http;
mod members;
mod parts;
mod public;
mod server;
mod session;
mod task;
mod tool_list;

pub use config::{HttpLimits, ServerConfig, VERSION};
pub use hooks::{CallHooks, Running};
pub use parts::ServerParts;
pub use server::{Server, StartError};
pub use session::{SessionId, SessionView, Sessions};
