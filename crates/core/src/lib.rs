//! Decides who may call what at which price, and keeps the books. No async, no network, no JavaScript.
//!
//! Follow a call: [`gate::Gate`] judges it and takes the price, [`ledger::Ledger`] keeps the account,
//! [`journal::Journal`] makes the change durable, [`usage`] tells of it.

pub mod clock;
pub mod config;
pub mod credits;
pub mod entropy;
pub mod gate;
pub mod journal;
pub mod key;
pub mod ledger;
pub mod limit;
pub mod text;
pub mod usage;
