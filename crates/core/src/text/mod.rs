//! JavaScript's manners with text and numbers, so that what was stored or sent for 2.9.0 reads the same here.
//!
//! - [`number`]: numbers as JavaScript prints and reads them
//! - [`trim`]: white space and lengths as JavaScript counts them
//! - [`clean`]: what becomes of names, lists, tags and namespaces before they are kept
//! - [`csv`]: fields of tables for spreadsheets
//! - [`date`]: timestamps as they are shown, days and months, and date texts as `Date.parse` reads them
//! - [`round`]: rounding as `Math.round` does it

pub mod clean;
pub mod csv;
pub mod date;
pub mod number;
pub mod round;
pub mod trim;
