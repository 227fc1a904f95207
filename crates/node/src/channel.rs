//! How other threads tell the script something.
//!
//! Each copy of the shell opens one channel, over which everything comes: the ends of promises, events, questions of
//! hooks. What is told names its target, a number that the shell gave out. Texts arrive in the order in which they
//! were told. A channel does not keep the process alive unless the shell holds it, and when the script's environment
//! ends, what is still told is dropped.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use serde_json::json;

use crate::call::{Call, Post, UNDEFINED, Value};

/// The channels that are open, by number.
static OPEN: LazyLock<Mutex<Channels>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Channels {
    opened: u32,
    by_number: HashMap<u32, Open>,
}

struct Open {
    post: Arc<Post>,
    /// What runs when the environment ends, by the number it was given.
    endings: HashMap<u64, Box<dyn FnOnce() + Send>>,
}

/// Kinds of ends of a promise. The shell has the same list.
mod end {
    pub(super) const NOTHING: u8 = 0;
    pub(super) const TEXT: u8 = 1;
    pub(super) const FAILURE: u8 = 2;
}

/// Tells one target of a script something, from any thread; the default tells nobody.
#[derive(Clone, Default)]
pub(crate) struct Teller {
    post: Option<Arc<Post>>,
    target: u32,
}

impl Teller {
    /// Tells a text of some kind. False when nobody is left to hear it.
    pub(crate) fn tell(&self, kind: u8, text: &str) -> bool {
        self.post.as_ref().is_some_and(|post| post.send(self.target, kind, Some(text.to_owned())))
    }

    pub(crate) fn end(&self, ended: Result<Option<String>, Rejection>) {
        let Some(post) = &self.post else { return };
        // When the environment is gone, so is the promise.
        let _ = match ended {
            Ok(None) => post.send(self.target, end::NOTHING, None),
            Ok(Some(text)) => post.send(self.target, end::TEXT, Some(text)),
            Err(Rejection { message, code }) => {
                let failure = json!({"message": message, "code": code});
                post.send(self.target, end::FAILURE, Some(failure.to_string()))
            }
        };
    }
}

/// Why a promise is rejected: the error that the shell makes.
#[derive(Debug)]
pub(crate) struct Rejection {
    message: String,
    code: Option<&'static str>,
}

impl Rejection {
    /// An `Error`.
    pub(crate) fn new(message: impl ToString) -> Self {
        Self { message: message.to_string(), code: None }
    }

    /// The same error with a `code`, as system errors have one.
    #[must_use]
    pub(crate) fn with_code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }
}

/// `channelOpen(callback)`: makes a channel and gives its number. The callback takes a target, a kind and a text.
pub(crate) fn open(call: &Call<'_>) -> Value {
    let number = {
        let mut open = OPEN.lock();
        open.opened += 1;
        open.opened
    };
    let Some(post) = Post::open(call, move || close(number)) else { return UNDEFINED };
    OPEN.lock().by_number.insert(number, Open { post, endings: HashMap::new() });
    call.double(number.into())
}

fn close(number: u32) {
    let closed = OPEN.lock().by_number.remove(&number);
    closed.into_iter().flat_map(|open| open.endings.into_values()).for_each(|ending| ending());
}

/// Something that runs when the environment of a channel ends.
pub(crate) struct Ending {
    channel: u32,
    number: u64,
}

/// Has something run when the environment of a channel ends, be it a worker's or the process's last turn.
pub(crate) fn at_end(channel: u32, ending: impl FnOnce() + Send + 'static) -> Ending {
    static GIVEN: AtomicU64 = AtomicU64::new(0);
    let number = GIVEN.fetch_add(1, Ordering::Relaxed);
    if let Some(open) = OPEN.lock().by_number.get_mut(&channel) {
        open.endings.insert(number, Box::new(ending));
    }
    Ending { channel, number }
}

impl Ending {
    /// Has it not run after all, and lets go of what it holds.
    pub(crate) fn forget(self) {
        let forgotten =
            OPEN.lock().by_number.get_mut(&self.channel).and_then(|open| open.endings.remove(&self.number));
        // Not under the lock: what is let go may tell something.
        drop(forgotten);
    }
}

/// `channelHold(hold)`: whether the channel of the call keeps the process alive.
pub(crate) fn hold(call: &Call<'_>) -> Value {
    if let Some(post) = find(call.channel()) {
        post.hold(call, call.index(0) == 1);
    }
    UNDEFINED
}

/// The open channel of a number.
pub(crate) fn find(number: u32) -> Option<Arc<Post>> {
    OPEN.lock().by_number.get(&number).map(|open| open.post.clone())
}

/// A teller of a target of a channel.
pub(crate) fn teller(channel: u32, target: u32) -> Teller {
    Teller { post: find(channel), target }
}
