//! Sessions of clients: their ids, how long they live, and what each has under way.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use parking_lot::Mutex;
use paygate_core::clock::{Clock, Timestamp};
use paygate_core::entropy::Entropy;
use tokio::sync::watch;

/// Sessions without an open stream that are kept; beyond them the one that was used longest ago goes. Those with an
/// open stream cost their clients a connection each, which bounds them.
const SESSIONS_MAX: usize = 1000;
/// Streams that a session may have open at a time.
const STREAMS_MAX: usize = 3;
/// How long a session lives without being used.
const IDLE_TIME_MAX: Duration = Duration::from_secs(30 * 60);

const PREFIX: &str = "mcp_sess_";

/// A session's id: 128 random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(u128);

impl SessionId {
    /// Reads an id; only as it was written is it one.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX)?;
        let lower_hex = digits.len() == 32 && digits.bytes().all(|d| matches!(d, b'0'..=b'9' | b'a'..=b'f'));
        lower_hex.then(|| u128::from_str_radix(digits, 16).ok().map(Self))?
    }

    /// The id as a header has it.
    pub(crate) fn header(self) -> HeaderValue {
        HeaderValue::try_from(self.to_string()).expect("letters and digits may stand in a header")
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{:032x}", self.0)
    }
}

/// All sessions. Callable from any thread.
pub struct Sessions {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    sessions: HashMap<SessionId, Session>,
    /// Every use, in order. Only the last of a session counts; the others are passed over.
    uses: VecDeque<(SessionId, u64)>,
    /// Counts uses.
    use_next: u64,
    /// Sessions that have a stream open.
    listening: usize,
}

/// What is told of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionView {
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used.
    pub used_at: Timestamp,
    /// The key its first message came with.
    pub key: Option<Box<str>>,
}

struct Session {
    view: SessionView,
    used_at: Duration,
    last_use: u64,
    /// Requests under way: the client's id as it was written, and ours.
    under_way: Vec<(Box<str>, u64)>,
    /// Streams that the client listens on.
    streams_open: usize,
    /// Dropped with the session, which ends its streams.
    end: Option<watch::Sender<()>>,
}

/// A stream that a client listens on, until it is dropped.
pub(crate) struct SessionStream {
    sessions: Arc<Sessions>,
    id: SessionId,
    end: watch::Receiver<()>,
}

/// Why a stream is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamError {
    /// The session has as many as it may have.
    TooMany,
    /// There is no such session.
    UnknownSession,
}

impl SessionStream {
    /// Returns once the session has ended, or the server's streams have.
    pub(crate) async fn ended(&mut self) {
        // Nothing is ever sent: an error says that the other end is gone.
        while self.end.changed().await.is_ok() {}
    }
}

impl Drop for SessionStream {
    fn drop(&mut self) {
        let mut table = self.sessions.table.lock();
        let Some(session) = table.sessions.get_mut(&self.id) else { return };
        session.streams_open -= 1;
        if session.streams_open == 0 {
            table.listening -= 1;
            table.evict_surplus();
        }
    }
}

impl Sessions {
    /// No sessions.
    pub fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clock, entropy, table: Mutex::default() }
    }

    /// Makes a session for the holder of a key, if there is one.
    pub fn create(&self, key: Option<&str>) -> SessionId {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        let id = SessionId(u128::from_be_bytes(bytes));
        let used_at = self.clock.monotonic();
        let now = self.clock.wall();
        let view = SessionView { created_at: now, used_at: now, key: key.map(Into::into) };
        let mut table = self.table.lock();
        table.sessions.insert(id, Session::new(view, used_at));
        table.note_use(id, used_at);
        table.evict_surplus();
        id
    }

    /// How many sessions there are, with those that have been idle too long and were not met since.
    pub fn count(&self) -> usize {
        self.table.lock().sessions.len()
    }

    /// Uses a session that lives; false when there is none.
    pub(crate) fn touch(&self, id: SessionId) -> bool {
        self.using(id, |_| ()).is_some()
    }

    /// Uses a session that lives, and tells of it.
    pub fn view(&self, id: SessionId) -> Option<SessionView> {
        self.using(id, SessionView::clone)
    }

    fn using<T>(&self, id: SessionId, tell: impl FnOnce(&SessionView) -> T) -> Option<T> {
        let (wall, now) = (self.clock.wall(), self.clock.monotonic());
        let mut table = self.table.lock();
        let session = table.sessions.get_mut(&id)?;
        if now.saturating_sub(session.used_at) >= IDLE_TIME_MAX {
            table.remove(id);
            return None;
        }
        session.view.used_at = wall;
        let told = tell(&session.view);
        table.note_use(id, now);
        Some(told)
    }

    /// Opens a stream for the client of a session, which uses it.
    ///
    /// # Errors
    /// [`StreamError`].
    pub(crate) fn open_stream(self: &Arc<Self>, id: SessionId) -> Result<SessionStream, StreamError> {
        if !self.touch(id) {
            return Err(StreamError::UnknownSession);
        }
        let mut table = self.table.lock();
        let session = table.sessions.get_mut(&id).ok_or(StreamError::UnknownSession)?;
        if session.streams_open >= STREAMS_MAX {
            return Err(StreamError::TooMany);
        }
        session.streams_open += 1;
        let end = session.end.get_or_insert_with(|| watch::Sender::new(())).subscribe();
        if session.streams_open == 1 {
            table.listening += 1;
        }
        Ok(SessionStream { sessions: self.clone(), id, end })
    }

    /// Ends all streams, and no session.
    pub(crate) fn end_streams(&self) {
        self.table.lock().sessions.values_mut().for_each(|session| session.end = None);
    }

    /// Ends all sessions.
    pub fn end_all(&self) {
        *self.table.lock() = Table::default();
    }

    /// Ends a session; false when there is none.
    pub fn end(&self, id: SessionId) -> bool {
        self.touch(id) && self.table.lock().remove(id)
    }

    /// Ends sessions that have been idle too long. To listen is not to use.
    pub(crate) fn sweep(&self) {
        let now = self.clock.monotonic();
        let mut table = self.table.lock();
        let idle: Vec<_> = table
            .sessions
            .iter()
            .filter(|(_, session)| now.saturating_sub(session.used_at) >= IDLE_TIME_MAX)
            .map(|(id, _)| *id)
            .collect();
        for id in idle {
            table.remove(id);
        }
    }

    /// Notes that a request of a session is under way, by the client's id and by ours.
    pub(crate) fn begin_request(&self, session: SessionId, client_id: &str, our_id: u64) {
        if let Some(session) = self.table.lock().sessions.get_mut(&session) {
            session.under_way.push((client_id.into(), our_id));
        }
    }

    /// Notes that a request has ended.
    pub(crate) fn end_request(&self, session: SessionId, our_id: u64) {
        if let Some(session) = self.table.lock().sessions.get_mut(&session) {
            session.under_way.retain(|(_, ours)| *ours != our_id);
        }
    }

    /// Our id of the request that a session has under way under an id of the client's, the latest of several.
    pub(crate) fn request_under_way(&self, session: SessionId, client_id: &str) -> Option<u64> {
        let table = self.table.lock();
        let under_way = &table.sessions.get(&session)?.under_way;
        under_way.iter().rev().find(|(id, _)| **id == *client_id).map(|(_, ours)| *ours)
    }
}

impl Session {
    fn new(view: SessionView, used_at: Duration) -> Self {
        Self { view, used_at, last_use: 0, under_way: Vec::new(), streams_open: 0, end: None }
    }
}

impl Table {
    /// Takes a session out; false when there is none.
    fn remove(&mut self, id: SessionId) -> bool {
        let Some(session) = self.sessions.remove(&id) else { return false };
        self.listening -= usize::from(session.streams_open > 0);
        true
    }

    fn note_use(&mut self, id: SessionId, now: Duration) {
        let this_use = self.use_next;
        self.use_next += 1;
        if let Some(session) = self.sessions.get_mut(&id) {
            session.used_at = now;
            session.last_use = this_use;
        }
        self.uses.push_back((id, this_use));
        if self.uses.len() > 4 * SESSIONS_MAX.max(self.sessions.len()) {
            let sessions = &self.sessions;
            self.uses.retain(|(id, used)| sessions.get(id).is_some_and(|session| session.last_use == *used));
        }
    }

    fn evict_surplus(&mut self) {
        while self.sessions.len() - self.listening > SESSIONS_MAX {
            let Some((id, used)) = self.uses.pop_front() else { return };
            match self.sessions.get(&id) {
                Some(session) if session.last_use != used => {}
                Some(session) if session.streams_open > 0 => self.uses.push_back((id, used)),
                Some(_) => drop(self.remove(id)),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use paygate_core::clock::ManualClock;
    use paygate_core::entropy::SeededEntropy;

    use super::*;

    fn sessions() -> (Sessions, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::default());
        (Sessions::new(clock.clone(), Arc::new(SeededEntropy::new(1))), clock)
    }

    #[test]
    fn an_id_is_read_only_as_it_was_written() {
        let (sessions, _) = sessions();
        let id = sessions.create(None);
        let text = id.to_string();
        assert_eq!(text.len(), PREFIX.len() + 32);
        assert_eq!(SessionId::parse(&text), Some(id));
        for other in [&text[1..], &text[..text.len() - 1], &text.to_uppercase(), "mcp_sess_nope", ""] {
            assert_eq!(SessionId::parse(other), None, "{other}");
        }
        assert_eq!(SessionId::parse("mcp_sess_+000000000000000000000000000001f"), None);
    }

    #[test]
    fn a_session_lives_half_an_hour_from_its_last_use() {
        let (sessions, clock) = sessions();
        let id = sessions.create(None);
        clock.advance(Duration::from_secs(1799));
        assert!(sessions.touch(id));
        clock.advance(Duration::from_secs(1799));
        assert!(sessions.touch(id));
        clock.advance(Duration::from_secs(1800));
        assert!(!sessions.touch(id));
        assert!(!sessions.end(id));
    }

    #[test]
    fn the_session_used_longest_ago_goes_first() {
        let (sessions, _) = sessions();
        let (kept, gone) = (sessions.create(None), sessions.create(None));
        for _ in 0..3 * SESSIONS_MAX {
            sessions.create(None);
            assert!(sessions.touch(kept));
        }
        assert!(!sessions.touch(gone));
        let table = sessions.table.lock();
        assert_eq!(table.sessions.len(), SESSIONS_MAX);
        assert!(table.uses.len() <= 4 * SESSIONS_MAX);
    }

    #[test]
    fn sessions_with_an_open_stream_are_not_pushed_out() {
        let sessions = Arc::new(sessions().0);
        let listening = sessions.create(None);
        let stream = sessions.open_stream(listening).unwrap();
        for _ in 0..3 * SESSIONS_MAX {
            sessions.create(None);
        }
        assert_eq!(sessions.count(), SESSIONS_MAX + 1);
        assert!(sessions.touch(listening));
        drop(stream);
        assert_eq!(sessions.count(), SESSIONS_MAX);
        for _ in 0..SESSIONS_MAX {
            sessions.create(None);
        }
        assert!(!sessions.touch(listening));
    }

    #[tokio::test]
    async fn streams_are_few_and_end_with_their_session() {
        let (sessions, clock) = sessions();
        let sessions = Arc::new(sessions);
        let id = sessions.create(None);
        let mut streams: Vec<_> = (0..STREAMS_MAX).map(|_| sessions.open_stream(id).unwrap()).collect();
        assert_eq!(sessions.open_stream(id).err(), Some(StreamError::TooMany));
        drop(streams.pop());
        streams.push(sessions.open_stream(id).unwrap());
        clock.advance(IDLE_TIME_MAX);
        sessions.sweep();
        for stream in &mut streams {
            stream.ended().await;
        }
        assert_eq!(sessions.open_stream(id).err(), Some(StreamError::UnknownSession));
        assert_eq!(sessions.table.lock().listening, 0);
        drop(streams);
        let id = sessions.create(None);
        let mut stream = sessions.open_stream(id).unwrap();
        sessions.end_streams();
        stream.ended().await;
        assert!(sessions.touch(id));
    }

    #[test]
    fn requests_under_way_are_known_by_the_id_of_their_own_session() {
        let (sessions, _) = sessions();
        let (one, other) = (sessions.create(None), sessions.create(None));
        sessions.begin_request(one, "7", 41);
        sessions.begin_request(other, "7", 42);
        assert_eq!(sessions.request_under_way(one, "7"), Some(41));
        assert_eq!(sessions.request_under_way(one, "\"7\""), None);
        sessions.end_request(one, 41);
        assert_eq!(sessions.request_under_way(one, "7"), None);
        assert_eq!(sessions.request_under_way(other, "7"), Some(42));
    }
}
