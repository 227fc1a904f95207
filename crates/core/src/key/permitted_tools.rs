//! Which tools a key may call.

use std::collections::HashSet;

/// A list of exact tool names, in the order given, duplicates kept.
///
/// Asking costs the same however long the list is. Most keys have none, which takes one word of their record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToolList(Option<Box<Listed>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    names: Vec<Box<str>>,
    index: Option<HashSet<Box<str>>>,
}

/// Up to this many names a walk is faster than a hash.
const WALKED_NAMES_MAX: usize = 8;

impl ToolList {
    /// The names as a slice.
    pub fn names(&self) -> &[Box<str>] {
        self.0.as_ref().map_or(&[], |listed| &listed.names)
    }

    /// Whether no name is listed.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the name is listed, letter for letter.
    pub fn contains(&self, tool: &str) -> bool {
        self.0.as_ref().is_some_and(|listed| match &listed.index {
            Some(index) => index.contains(tool),
            None => listed.names.iter().any(|name| **name == *tool),
        })
    }
}

impl<S: Into<Box<str>>> FromIterator<S> for ToolList {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        let names: Vec<Box<str>> = names.into_iter().map(Into::into).collect();
        let index = (names.len() > WALKED_NAMES_MAX).then(|| names.iter().cloned().collect());
        Self((!names.is_empty()).then(|| Box::new(Listed { names, index })))
    }
}
