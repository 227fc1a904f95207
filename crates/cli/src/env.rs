//! The environment: every variable that is read, by name. Nothing else in the program reads it.

use std::path::PathBuf;

/// Each flag may also be given by a variable of this prefix: `--admin-key` as `PAYGATE_ADMIN_KEY`.
pub(crate) const PREFIX: &str = "PAYGATE_";

/// Variables that the wrapped server does not get: all of ours, since some of them are secrets.
pub(crate) const WITHHELD: &str = "PAYGATE_*";

/// The arguments of the program, without its name. What is no text is read as well as can be.
pub(crate) fn arguments() -> Vec<String> {
    std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect()
}

/// The variable that stands for a flag, if it is set.
pub(crate) fn for_flag(flag: &str) -> Option<String> {
    variable(&variable_of(flag))
}

/// The name of the variable that stands for a flag.
pub(crate) fn variable_of(flag: &str) -> String {
    format!("{PREFIX}{}", flag.to_ascii_uppercase().replace('-', "_"))
}

/// The user's home folder.
pub(crate) fn home() -> Option<PathBuf> {
    variable("HOME").map(PathBuf::from)
}

/// A file of certificates that are trusted beside the usual ones, under the name that Node has for it.
pub(crate) fn extra_certificates() -> Option<PathBuf> {
    variable("NODE_EXTRA_CA_CERTS").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Whether colours are wanted nowhere.
pub(crate) fn no_color() -> bool {
    variable("NO_COLOR").is_some_and(|value| !value.is_empty())
}

#[expect(clippy::disallowed_methods, reason = "the one file that reads the environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}
