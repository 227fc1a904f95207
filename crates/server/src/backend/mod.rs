//! The servers behind the gate.

pub(crate) mod backend;
