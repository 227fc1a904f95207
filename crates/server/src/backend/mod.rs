//! The servers behind the gate: one child process, one remote server, or several of either under prefixes.

pub(crate) mod backend;
mod config;
pub(crate) mod error;
mod router;
pub(crate) mod wrapped;

pub use backend::{Backend, BackendStatus, Pending};
pub use config::{BackendConfig, EntryError, ServerEntry, WrappedConfig};
pub use error::BackendError;
pub use router::RouteError;
pub(crate) use router::under_prefix;
