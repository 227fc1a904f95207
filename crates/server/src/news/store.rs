//! How the books are kept, in numbers.

use std::sync::Arc;

use paygate_store::StateFile;

use super::{News, count};

impl News {
    /// Shows from now on how the books are written.
    pub(crate) fn show_books(&self, books: &Arc<StateFile>) {
        let (failures, queue) = (books.clone(), books.clone());
        self.metrics.register_supplied_gauge(
            "paygate_store_failed_commits",
            "Commits of the books that failed since the start",
            move || Some(count(usize::try_from(failures.health().failed_commits).unwrap_or(usize::MAX))),
        );
        self.metrics.register_supplied_gauge(
            "paygate_store_queued_entries",
            "Entries of the books that are not on disk yet",
            move || Some(count(queue.health().queued)),
        );
    }
}
