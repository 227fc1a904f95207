//! Who calls: keys, their records, the addresses they may call from, the teams they belong to.

pub mod address;
mod oddities;
pub mod permitted_tools;
pub mod record;
pub mod team;
