//! Rolling windows by name: one a key, one a key and tool.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use parking_lot::Mutex;

use super::rate_window::{RateWindow, WINDOW_MS};
use crate::clock::Timestamp;
use crate::text::number::js_number;

/// Between key and tool in the name of a tool's window.
const TOOL_MARK: &str = ":tool:";

/// What a limit says to one more call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateVerdict {
    /// Whether one more call is within the limit.
    pub allowed: bool,
    /// The limit that was asked about, in calls a minute.
    pub limit: f64,
    /// Calls left after this one; infinite without a limit.
    pub remaining: f64,
    /// Milliseconds until the oldest call leaves the window; a minute when it is empty, 0 without a limit.
    pub resets_in_ms: f64,
}

impl RateVerdict {
    /// The refusal as the key's own limit words it.
    pub fn reason(&self) -> String {
        format!("rate_limited: {} calls/min exceeded", js_number(self.limit))
    }
}

/// The windows of one key: its own, and one for each tool with a limit.
#[derive(Debug, Default)]
pub struct KeyWindows {
    /// All calls of the key.
    pub all: RateWindow,
    tools: Vec<(Box<str>, RateWindow)>,
}

impl KeyWindows {
    /// Calls of one tool in the last minute.
    pub fn tool_count(&mut self, tool: &str, now: Timestamp) -> u64 {
        self.tools.iter_mut().find(|(name, _)| **name == *tool).map_or(0, |(_, window)| window.count(now))
    }

    /// The window of one tool.
    pub fn tool(&mut self, tool: &str) -> &mut RateWindow {
        let at = self.tools.iter().position(|(name, _)| **name == *tool).unwrap_or_else(|| {
            self.tools.push((tool.into(), RateWindow::default()));
            self.tools.len() - 1
        });
        &mut self.tools[at].1
    }

    fn forget_old(&mut self, now: Timestamp) {
        if self.all.count(now) == 0 {
            self.all = RateWindow::default(); // its memory goes too
        }
        self.tools.retain_mut(|(_, window)| window.count(now) > 0);
    }

    fn is_empty(&self) -> bool {
        self.all.is_empty() && self.tools.is_empty()
    }
}

/// The windows of one key, shared by the books and the limiter.
pub type SharedWindows = Arc<Mutex<KeyWindows>>;

/// All windows, by name. Callable from any thread; each key's windows have a lock of their own.
#[derive(Debug)]
pub struct RateLimiter {
    hasher: foldhash::fast::RandomState,
    shards: Box<[Mutex<Shard>]>,
}

type Shard = HashMap<Arc<str>, SharedWindows, foldhash::fast::RandomState>;

impl Default for RateLimiter {
    fn default() -> Self {
        Self {
            hasher: foldhash::fast::RandomState::default(),
            shards: (0..16).map(|_| Mutex::default()).collect(),
        }
    }
}

impl RateLimiter {
    /// The windows of a key, made if need be. A name of the form `key:tool:name` is that tool's window of the key.
    pub fn windows(&self, key: &str) -> SharedWindows {
        let mut shard = self.shard(key).lock();
        match shard.get(key) {
            Some(windows) => windows.clone(),
            None => shard.entry(key.into()).or_default().clone(),
        }
    }

    /// As [`Self::windows`], sharing the text of the key.
    pub fn windows_of(&self, key: &Arc<str>) -> SharedWindows {
        self.shard(key).lock().entry(key.clone()).or_default().clone()
    }

    /// Asks whether one more call under this name is within `limit` calls a minute. Counts nothing.
    ///
    /// A limit of 0 or below is no limit; one that is not a number never refuses.
    pub fn check(&self, name: &str, limit: f64, now: Timestamp) -> RateVerdict {
        if limit <= 0.0 {
            return RateVerdict { allowed: true, limit, remaining: f64::INFINITY, resets_in_ms: 0.0 };
        }
        let (calls, resets_in_ms) = self.with_window(name, |window| {
            let calls = window.count(now);
            (calls, window.resets_in_ms(now))
        });
        verdict(calls, resets_in_ms, limit)
    }

    /// Counts a call under this name and gives the calls of the last minute, this one included.
    pub fn record(&self, name: &str, now: Timestamp) -> u64 {
        self.with_window(name, |window| {
            window.take(now);
            window.count(now)
        })
    }

    /// Calls under this name in the last minute.
    pub fn count(&self, name: &str, now: Timestamp) -> u64 {
        let (key, tool) = split(name);
        let Some(windows) = self.shard(key).lock().get(key).cloned() else { return 0 };
        let mut windows = windows.lock();
        match tool {
            Some(tool) => windows.tool_count(tool, now),
            None => windows.all.count(now),
        }
    }

    /// Moves all windows of a key to another, which takes the place of it.
    pub fn rename(&self, from: &str, to: &str) {
        let moved = std::mem::take(&mut *self.windows(from).lock());
        *self.windows(to).lock() = moved;
    }

    /// Forgets what is older than a minute, and windows that are empty and nobody holds.
    pub fn sweep(&self, now: Timestamp) {
        for shard in &self.shards {
            shard.lock().retain(|_, shared| {
                let mut windows = shared.lock();
                windows.forget_old(now);
                let empty = windows.is_empty();
                drop(windows);
                !empty || Arc::strong_count(shared) > 1
            });
        }
    }

    fn with_window<T>(&self, name: &str, act: impl FnOnce(&mut RateWindow) -> T) -> T {
        let (key, tool) = split(name);
        let windows = self.windows(key);
        let mut windows = windows.lock();
        match tool {
            Some(tool) => act(windows.tool(tool)),
            None => act(&mut windows.all),
        }
    }

    fn shard(&self, key: &str) -> &Mutex<Shard> {
        #[expect(clippy::cast_possible_truncation, reason = "only the low bits choose the shard")]
        let at = self.hasher.hash_one(key) as usize % self.shards.len();
        &self.shards[at]
    }
}

/// What a limit says, given the calls in the window.
pub fn verdict(calls: u64, resets_in_ms: Option<i64>, limit: f64) -> RateVerdict {
    #[expect(clippy::cast_precision_loss, reason = "a minute holds far fewer calls than 2^53")]
    let (calls, resets_in_ms) = (calls as f64, resets_in_ms.unwrap_or(WINDOW_MS) as f64);
    if calls >= limit {
        return RateVerdict { allowed: false, limit, remaining: 0.0, resets_in_ms: resets_in_ms.max(0.0) };
    }
    RateVerdict { allowed: true, limit, remaining: limit - calls - 1.0, resets_in_ms }
}

/// The key and the tool that a window's name stands for.
fn split(name: &str) -> (&str, Option<&str>) {
    match name.split_once(TOOL_MARK) {
        Some((key, tool)) => (key, Some(tool)),
        None => (name, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    #[test]
    fn a_full_window_reopens_exactly_when_it_said() {
        let limiter = RateLimiter::default();
        limiter.record("key", NOW);
        let full = limiter.check("key", 1.0, Timestamp(NOW.0 + 20_000));
        assert_eq!((full.allowed, full.resets_in_ms), (false, 40_000.0));
        assert!(limiter.check("key", 1.0, Timestamp(NOW.0 + 60_000)).allowed);
    }

    #[test]
    fn odd_limits_behave_as_numbers_do() {
        let limiter = RateLimiter::default();
        assert!(limiter.check("k", f64::NAN, NOW).allowed);
        assert!(limiter.check("k", -5.0, NOW).remaining.is_infinite());
        limiter.record("k", NOW);
        assert_eq!(limiter.check("k", 1.5, NOW).remaining, -0.5);
        limiter.record("k", NOW);
        assert_eq!(limiter.check("k", 1.5, NOW).reason(), "rate_limited: 1.5 calls/min exceeded");
    }

    #[test]
    fn a_key_and_its_tools_are_counted_apart_and_move_together() {
        let limiter = RateLimiter::default();
        limiter.record("old", NOW);
        limiter.record("old:tool:a:tool:b", NOW);
        assert_eq!((limiter.count("old", NOW), limiter.count("old:tool:a", NOW)), (1, 0));
        limiter.rename("old", "new");
        assert_eq!((limiter.count("old", NOW), limiter.count("new:tool:a:tool:b", NOW)), (0, 1));
    }

    #[test]
    fn a_sweep_forgets_names_that_are_no_longer_used() {
        let limiter = RateLimiter::default();
        limiter.record("k", NOW);
        limiter.sweep(Timestamp(NOW.0 + WINDOW_MS));
        assert!(limiter.shards.iter().all(|shard| shard.lock().is_empty()));
    }
}
