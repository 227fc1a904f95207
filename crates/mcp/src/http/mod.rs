//! A backend that is a remote server and talks over HTTP: streamable HTTP, seen from the client.
//!
//! [`HttpBackend`] is the whole surface: requests go in, each as a POST of its own, and answers come back, whether
//! the server sends them as JSON or as events.

mod answer;
mod backend;
mod config;
mod error;
mod event_reader;
mod tls;

pub use backend::{HttpBackend, PendingPost};
pub use config::{HttpConfig, InvalidUrl};
pub use error::HttpError;
pub use event_reader::EventReader;
pub use tls::tls_config;
