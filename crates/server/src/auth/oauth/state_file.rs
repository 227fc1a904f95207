//! Clients and tokens on disk, in 2.9.0's format but for what must not be read: of secrets and tokens there are hashes.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;
use parking_lot::Mutex;
use paygate_core::clock::Timestamp;
use paygate_store::replace_file;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::client::{Client, SharedClient};
use super::secret::Fingerprint;
use super::token::{Token, Tokens};

/// Hears what happens to the file, from any thread.
pub type Tell = Arc<dyn Fn(&Notice<'_>) + Send + Sync>;

/// What there is to tell; shown as the line that 2.9.0 prints, where it prints one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice<'a> {
    /// A state file was read.
    Loaded {
        /// The number of clients in it.
        clients: usize,
        /// The number of tokens in it.
        tokens: usize,
    },
    /// The state file could not be read.
    FailedToLoad(&'a str),
    /// So many entries of the state file could not be read; the others were.
    Skipped(usize),
    /// The state could not be written. The next change tries again.
    FailedToSave(&'a str),
}

impl Notice<'_> {
    /// Whether it belongs to standard output rather than standard error.
    pub fn good_news(&self) -> bool {
        matches!(self, Self::Loaded { .. })
    }
}

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[paygate:oauth] ")?;
        match self {
            Self::Loaded { clients, tokens } => write!(f, "Loaded {clients} client(s), {tokens} token(s)"),
            Self::FailedToLoad(message) => write!(f, "Failed to load state: {message}"),
            Self::Skipped(count) => write!(f, "Skipped {count} unreadable entry(s) of the state file"),
            Self::FailedToSave(message) => write!(f, "Failed to save state: {message}"),
        }
    }
}

/// Where the state is kept beside the state file of the keys: `keys-oauth.json` for `keys.json`, and for any other name
/// the name with `-oauth.json` behind it. Never the file of the keys itself.
pub fn state_path(keys: &Path) -> PathBuf {
    let mut name = match keys.extension() {
        Some(extension) if extension == "json" => keys.with_extension("").into_os_string(),
        _ => OsString::from(keys),
    };
    name.push("-oauth.json");
    name.into()
}

pub(super) type Clients = IndexMap<Box<str>, SharedClient>;

/// What a state file has.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) clients: Clients,
    pub(super) tokens: Tokens,
}

/// What is to be written.
#[derive(Serialize)]
pub(super) struct Image {
    pub(super) clients: Vec<(Box<str>, ClientImage)>,
    pub(super) tokens: Vec<TokenImage>,
}

/// A client that is to be written, and is locked while it is.
pub(super) struct ClientImage(pub(super) SharedClient);

impl Serialize for ClientImage {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.lock().image(to)
    }
}

/// A token that is to be written.
pub(super) struct TokenImage(pub(super) Fingerprint, pub(super) Arc<Token>);

impl Serialize for TokenImage {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (&self.0, self.1.image(&self.0)).serialize(to)
    }
}

/// A file that is ours to write.
pub(super) struct StateFile {
    path: PathBuf,
    /// The latest change that is in the file.
    written: Mutex<u64>,
    tell: Tell,
}

/// Why a file was not read.
enum Unread {
    /// There is none.
    Missing,
    /// It is somebody else's, or we may not read it: it is left as it is and nothing is written.
    Left(String),
    /// It is damaged.
    Damaged(String),
}

impl StateFile {
    /// Reads what a file has, if it is there. `None` when the file must not be written: it could not be read and was
    /// not moved aside either, or it is another store's.
    pub(super) fn open(path: &Path, now: Timestamp, tell: Tell) -> (Option<Self>, Loaded) {
        // A script may change its folder while the file is in use.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let file = |tell: Tell| Some(Self { path: path.clone(), written: Mutex::default(), tell });
        match read(&path) {
            Ok(state) => {
                let (loaded, skipped) = entries(state);
                if skipped > 0 {
                    tell(&Notice::Skipped(skipped));
                }
                let Loaded { clients, tokens } = &loaded;
                tell(&Notice::Loaded { clients: clients.len(), tokens: tokens.len() });
                (file(tell), loaded)
            }
            Err(Unread::Missing) => (file(tell), Loaded::default()),
            Err(Unread::Left(reason)) => {
                tell(&Notice::FailedToLoad(&format!(
                    "{reason}; the file is left as it is and nothing will be saved"
                )));
                (None, Loaded::default())
            }
            Err(Unread::Damaged(reason)) => {
                let mut aside = path.clone().into_os_string();
                aside.push(format!(".corrupt-{}", now.0));
                match fs::rename(&path, &aside) {
                    Ok(()) => {
                        let aside = PathBuf::from(aside);
                        tell(&Notice::FailedToLoad(&format!(
                            "{reason}; the file was moved to {}",
                            aside.display()
                        )));
                        (file(tell), Loaded::default())
                    }
                    Err(error) => {
                        tell(&Notice::FailedToLoad(&format!("{reason}; nothing will be saved: {error}")));
                        (None, Loaded::default())
                    }
                }
            }
        }
    }

    /// Returns once a change is in the file, or could not be written. `image` gives what is to be written and the latest
    /// change in it; of changes that wait for one another one write is made.
    pub(super) fn write(&self, change: u64, image: impl FnOnce() -> (u64, Image)) {
        let mut written = self.written.lock();
        if *written >= change {
            return;
        }
        let (latest, image) = image();
        let bytes = serde_json::to_vec_pretty(&image).expect("records are plain JSON");
        match replace_file(&self.path, &bytes) {
            Ok(()) => *written = latest,
            Err(error) => (self.tell)(&Notice::FailedToSave(&error.to_string())),
        }
    }
}

fn read(path: &Path) -> Result<Map<String, Value>, Unread> {
    let bytes = fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Unread::Missing,
        _ => Unread::Left(error.to_string()),
    })?;
    if bytes.starts_with(b"SQLite format 3\0") {
        return Err(Unread::Left("the file is a database".into()));
    }
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(state)) => Ok(state),
        // The state file of a key store is a list.
        Ok(Value::Array(_)) => Err(Unread::Left("the file is a list, as key stores write it".into())),
        Ok(_) => Err(Unread::Damaged("the file is not an object".into())),
        Err(error) => Err(Unread::Damaged(error.to_string())),
    }
}

/// All entries that can be read, and how many others there are. Entries without a name or a record never counted.
fn entries(mut state: Map<String, Value>) -> (Loaded, usize) {
    let mut loaded = Loaded::default();
    let (clients, mut skipped) = pairs(state.remove("clients"));
    for (id, record) in clients {
        loaded.clients.insert(id.into(), Arc::new(Mutex::new(Client::from_file(record))));
    }
    let (tokens, unreadable) = pairs(state.remove("tokens"));
    skipped += unreadable;
    for (text, record) in tokens {
        // 2.9.0 wrote the tokens themselves.
        let name = Fingerprint::from_text(&text).unwrap_or_else(|| Fingerprint::of(&text));
        match Token::from_file(&record) {
            Some(token) => loaded.tokens.put(name, token),
            None => skipped += 1,
        }
    }
    (loaded, skipped)
}

/// The pairs of a list, and how many of its entries are none.
fn pairs(list: Option<Value>) -> (Vec<Named>, usize) {
    let Some(Value::Array(entries)) = list else { return (Vec::new(), 0) };
    let mut unreadable = 0;
    let read = |entry| match pair(entry) {
        Pair::Of(named) => Some(named),
        Pair::Blank => None,
        Pair::Unreadable => {
            unreadable += 1;
            None
        }
    };
    (entries.into_iter().filter_map(read).collect(), unreadable)
}

/// A record and what it is found by.
type Named = (String, Map<String, Value>);

enum Pair {
    Of(Named),
    /// Nothing where the name or the record belongs.
    Blank,
    Unreadable,
}

fn pair(entry: Value) -> Pair {
    let blank = |value: &Value| !paygate_core::key::record::truthy(value);
    let Value::Array(entry) = entry else { return Pair::Unreadable };
    let mut values = entry.into_iter();
    match (values.next().unwrap_or_default(), values.next().unwrap_or_default()) {
        (name, record) if blank(&name) || blank(&record) => Pair::Blank,
        (Value::String(name), Value::Object(record)) => Pair::Of((name, record)),
        _ => Pair::Unreadable,
    }
}
