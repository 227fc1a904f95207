//! The embedded database behind the books, and 2.9.0's state file as an image beside it.
//!
//! [`StateFile::open`] gives a ledger whose changes are durable before they are acknowledged. [`SqliteJournal`]
//! commits what many threads append in groups; [`verify`] compares the accounts with the entries they come from.
//! What a change means is decided in `paygate-core`; nothing here moves a credit.

mod digests;
mod history;
mod holders;
mod image;
mod image_keeper;
mod losses;
mod payments;
mod read;
mod recovery;
mod registry;
mod schema;
mod state_file;
mod verify;
mod writer;

pub use history::{History, Retention};
pub use schema::{KNOWN_VERSION, SchemaError};
pub use state_file::{
    Change, Notice, OpenError, OpenOptions, Policies, SaveError, StateFile, Tell, WhenImageMissing,
    WhenUnreadable, WhenUnusable,
};
pub use verify::{Report, verify, verify_file};
pub use writer::{SqliteJournal, StoreHealth};

/// Puts a file in its place whole: written beside it and renamed. A new file is readable by its owner only; one that is
/// there keeps its mode. Folders are made.
///
/// # Errors
/// The file could not be written; the one that was there is as it was.
pub fn replace_file(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    image::write(path, bytes, false)
}
