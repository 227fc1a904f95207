//! A backend that is a child process and talks over its standard streams.
//!
//! [`StdioBackend`] is the whole surface: requests go in, answers come back under the ids of
//! the requests, and the process behind it is kept running. What the child says of its own
//! accord goes to an [`Inbound`].

mod backend;
mod calls;
mod command_line;
mod config;
mod error;
mod inbound;
mod pipes;
mod process;
mod supervisor;

pub use backend::{PendingCall, StdioBackend};
pub use calls::{BackendState, BackendStatus, FIRST_ID};
pub use command_line::{CommandLineError, split_command_line};
pub use config::{RestartPolicy, StdioConfig, own_initialize};
pub use error::{CallError, Exit, StartError};
pub use inbound::{DropInbound, Inbound, InboundRequest};
