//! The threads that work while the script does something else.
//!
//! There is one runtime for the whole process, made when something first needs it: workers and several copies of the
//! package share it. It keeps no process alive.

use std::future::Future;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// The runtime's handle.
pub(crate) fn handle() -> &'static Handle {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let make = || {
        let runtime = Builder::new_multi_thread().thread_name("paygate").enable_all().build();
        runtime.expect("a process that can run a script can start threads")
    };
    RUNTIME.get_or_init(make).handle()
}

/// Starts some work. A panic in it ends the work alone.
pub(crate) fn spawn<F>(work: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    handle().spawn(work)
}
