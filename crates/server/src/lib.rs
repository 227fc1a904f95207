//! Carries a request through: who asks, may they, do it, tell it.
//!
//! [`Server`] is the whole surface: it is bound to an address, serves until it is told to stop, and then drains.
//! A request comes in by `http`, is named by `auth`, and is answered by `public`, `admin` or, for the calls that are
//! paid for, by `call`, which alone talks to the `backend`.

mod admin;
mod app;
mod auth;
mod backend;
mod batch_answer;
mod call;
mod call_events;
mod config;
mod decided;
pub mod history;
mod hooks;
mod http;
mod members;
mod news;
mod parts;
mod public;
mod server;
mod session;
mod task;
mod tool_list;
pub mod webhook;

pub use auth::oauth;
pub use backend::{
    Backend, BackendConfig, BackendError, BackendStatus, EntryError, Pending, RouteError, ServerEntry,
    WrappedConfig,
};
pub use batch_answer::BatchAnswer;
pub use call_events::{BatchCallEvent, CallListener, ToolCallEvent};
pub use config::{HttpLimits, ServerConfig, VERSION};
pub use decided::{Done, Till};
pub use hooks::{CallHooks, Running};
pub use news::News;
pub use parts::ServerParts;
pub use public::dashboard::{dashboard_html, dashboard_security_policy};
pub use server::{Server, StartError};
pub use session::{SessionId, SessionView, Sessions};
