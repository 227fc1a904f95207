//! Which tools a key may call.

use std::collections::HashSet;

/// A list of exact tool names, in the order given, duplicates kept.
///
/// Asking costs the same however long the list is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolList {
    names: Vec<Box<str>>,
    index: Option<HashSet<Box<str>>>,
}

/// Up to this many names a walk is faster than a hash.
const WALKED_NAMES_MAX: usize = 8;

impl ToolList {
    /// The names as a slice.
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// Whether no name is listed.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether the name is listed, letter for letter.
    pub fn contains(&self, tool: &str) -> bool {
        match &self.index {
            Some(index) => index.contains(tool),
            None => self.names.iter().any(|name| **name == *tool),
        }
    }
}

impl<S: Into<Box<str>>> FromIterator<S> for ToolList {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        let names: Vec<Box<str>> = names.into_iter().map(Into::into).collect();
        let index = (names.len() > WALKED_NAMES_MAX).then(|| names.iter().cloned().collect());
        Self { names, index }
    }
}
