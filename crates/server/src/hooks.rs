//! What an embedding program has a say in, or hears of, while a call is decided.
//!
//! The decision itself is the gate's, and no lock is held while a hook runs: the gate is asked first whether it would
//! let the call through, then the hook, and then the gate again, which decides.

use std::future::Future;
use std::pin::Pin;

use paygate_core::credits::Credits;

/// Something that takes a while.
pub type Running<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What an embedding program has a say in, or hears of.
pub trait CallHooks: Send + Sync {
    /// Whether somebody is to be asked before credits are taken.
    fn asks(&self) -> bool;

    /// Asks whether a key's owner lets it spend so much. The error is the reason why not, if one is given; whoever
    /// fails or takes too long has refused.
    fn allows<'a>(&'a self, key: &'a str, credits: Credits) -> Running<'a, Result<(), Option<String>>>;

    /// Whether somebody wants to hear of what was decided.
    fn hears(&self) -> bool;

    /// Tells of a decision or an ending that was reached on this thread just now, and of what was taken if it let a
    /// call through. What is returned ends when everybody has heard.
    fn heard(&self, taken: Option<(&str, Credits)>) -> Running<'static, ()>;
}
