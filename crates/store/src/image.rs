//! 2.9.0's state file: reading what may be damaged, writing by rename.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// The records of an image by their keys. Of several with one key the last counts, at the place of the first.
pub(crate) type Records = IndexMap<String, Map<String, Value>>;

/// What an image holds.
#[derive(Debug, Default)]
pub(crate) struct Image {
    pub(crate) records: Records,
    /// The places of entries that are no pairs, counted from 0.
    pub(crate) misfits: Vec<usize>,
}

/// Why an image cannot be read.
#[derive(Debug)]
pub(crate) struct Unreadable {
    /// The byte where reading ended.
    pub(crate) offset: usize,
    pub(crate) reason: Reason,
}

#[derive(Debug)]
pub(crate) enum Reason {
    /// It is no file that can be read, or no JSON.
    Text(String),
    /// It is JSON, but no list.
    NotAList,
}

/// The sha256 of an image, in hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes everything");
    }
    text
}

/// The sha256 of the image in a file, read piece by piece; `None` when there is none.
pub(crate) fn digest_of(path: &Path) -> Result<Option<String>, Unreadable> {
    let digest = || {
        let (mut file, mut sha256) = (File::open(path)?, Sha256::new());
        let mut piece = vec![0; 1 << 16];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(hexadecimal(&sha256.finalize())),
                length => sha256.update(&piece[..length]),
            }
        }
    };
    found(digest())
}

/// The bytes of an image; `None` when there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, Unreadable> {
    found(fs::read(path))
}

/// What was read of a file that may be missing.
fn found<T>(read: io::Result<T>) -> Result<Option<T>, Unreadable> {
    match read {
        Ok(content) => Ok(Some(content)),
        // As 2.9.0 has it, a path below a plain file is a file that is missing.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(Unreadable { offset: 0, reason: Reason::Text(error.to_string()) }),
    }
}

/// Reads the text of an image.
pub(crate) fn parse(bytes: &[u8]) -> Result<Image, Unreadable> {
    let bytes = &*mend(bytes);
    let value: Value = serde_json::from_slice(bytes).map_err(|error| {
        let offset = offset(bytes, error.line(), error.column());
        Unreadable { offset, reason: Reason::Text(error.to_string()) }
    })?;
    let Value::Array(entries) = value else {
        return Err(Unreadable { offset: 0, reason: Reason::NotAList });
    };
    let mut image = Image::default();
    for (place, entry) in entries.into_iter().enumerate() {
        image.add(place, entry);
    }
    Ok(image)
}

/// Reads whatever pairs a damaged text still has.
pub(crate) fn salvage(bytes: &[u8]) -> Image {
    let bytes = &*mend(bytes);
    let mut image = Image::default();
    // Behind the bracket of the list; then each bracket may begin a pair.
    let mut at = next_bracket(bytes, 0) + 1;
    loop {
        at = next_bracket(bytes, at);
        if at >= bytes.len() {
            return image;
        }
        let mut values = serde_json::Deserializer::from_slice(&bytes[at..]).into_iter::<Value>();
        match values.next() {
            Some(Ok(entry)) => {
                at += values.byte_offset();
                image.add(0, entry);
            }
            _ => at += 1,
        }
    }
}

fn next_bracket(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    rest.iter().position(|byte| *byte == b'[').map_or(bytes.len(), |found| from + found)
}

impl Image {
    /// Adds one entry of the list, by 2.9.0's rules for pairs.
    fn add(&mut self, place: usize, entry: Value) {
        let pair = match entry {
            Value::Array(pair) => pair,
            Value::String(_) => return, // JavaScript takes it apart too, and finds no record in it
            _ => return self.misfits.push(place),
        };
        let mut parts = pair.into_iter();
        let (Some(Value::String(key)), Some(Value::Object(record))) = (parts.next(), parts.next()) else {
            return;
        };
        if !key.is_empty() && record.get("key").is_some_and(Value::is_string) {
            self.records.insert(key, record);
        }
    }
}

/// Replaces what Rust's strings cannot hold by U+FFFD, as the books hold it: bytes that are no UTF-8, and halves of
/// surrogate pairs, which 2.9.0 writes when it cuts a name in the middle of a character.
fn mend(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut text = match String::from_utf8_lossy(bytes) {
        Cow::Borrowed(_) => Cow::Borrowed(bytes),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    };
    let mut at = 0;
    while let Some(found) = text[at..].iter().position(|byte| *byte == b'\\') {
        at += found;
        let unit = |from: usize| text.get(from..from + 6).and_then(escaped_unit);
        match (unit(at), unit(at + 6)) {
            (Some(0xD800..0xDC00), Some(0xDC00..0xE000)) => at += 12,
            (Some(0xD800..0xE000), _) => {
                text.to_mut()[at..at + 6].copy_from_slice(b"\\ufffd");
                at += 6;
            }
            // Any other escape is at least two bytes, the second of which may be a backslash.
            _ => at = (at + 2).min(text.len()),
        }
    }
    text
}

/// The UTF-16 unit that `\uxxxx` stands for.
fn escaped_unit(escape: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(escape).ok()?.strip_prefix("\\u")?;
    u32::from_str_radix(digits, 16).ok()
}

/// The place of a byte that is named by line and column, both counted from 1.
fn offset(bytes: &[u8], line: usize, column: usize) -> usize {
    let before = line.saturating_sub(1);
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').take(before);
    (lines.map(<[u8]>::len).sum::<usize>() + column.saturating_sub(1)).min(bytes.len())
}

/// Puts an image in its place: written beside it and renamed, so that readers see the old or the new one. A new file is
/// readable by its owner only; one that is there keeps its mode; a link is replaced.
pub(crate) fn write(path: &Path, bytes: &[u8], sync: bool) -> io::Result<()> {
    make_folder(path)?;
    let beside = with_suffix(path, ".tmp");
    let mut file = create_private(&beside)?;
    let permissions = match fs::metadata(path) {
        Ok(present) if present.is_file() => Some(present.permissions()),
        _ => private_permissions(),
    };
    if let Some(permissions) = permissions {
        file.set_permissions(permissions)?;
    }
    file.write_all(bytes)?;
    if sync {
        file.sync_all()?;
    }
    drop(file);
    let renamed = fs::rename(&beside, path);
    if renamed.is_err() {
        // Nobody would look for it; the error that counts is the rename's.
        let _ = fs::remove_file(&beside);
    }
    renamed
}

/// Makes the folder a file is to be in.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => fs::create_dir_all(folder),
        _ => Ok(()),
    }
}

/// A path with something behind its whole name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Makes an empty file that only its owner may read; one that is there is emptied.
fn create_private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes a file that only its owner may read, unless there is one.
pub(crate) fn ensure_private(path: &Path) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn private_permissions() -> Option<fs::Permissions> {
    Some(std::os::unix::fs::PermissionsExt::from_mode(0o600))
}

#[cfg(not(unix))]
fn private_permissions() -> Option<fs::Permissions> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(image: &Image) -> Vec<&str> {
        image.records.keys().map(String::as_str).collect()
    }

    #[test]
    fn bad_entries_never_drop_good_ones() {
        let image = parse(br#"[["a",{"key":"a"}],5,null,{},["b",{"key":"b"}]]"#).unwrap();
        assert_eq!((keys(&image), &*image.misfits), (vec!["a", "b"], &[1, 2, 3][..]));
        let odd = br#"[["",{"key":""}],["a",{}],[],"xy",["b",null],[null,{"key":"n"}],["c",{"key":"c"},1]]"#;
        let image = parse(odd).unwrap();
        assert_eq!((keys(&image), image.misfits.len()), (vec!["c"], 0));
    }

    #[test]
    fn of_a_key_named_twice_the_last_record_counts_at_the_first_place() {
        let image = parse(br#"[["a",{"key":"1"}],["b",{"key":"b"}],["a",{"key":"2"}]]"#).unwrap();
        assert_eq!((keys(&image), &image.records["a"]["key"]), (vec!["a", "b"], &Value::from("2")));
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_byte() {
        let refused = |text: &[u8]| parse(text).map(|_| ()).unwrap_err();
        let text = "[\n  [\"é\", {]\n]".as_bytes();
        assert_eq!(text[refused(text).offset], b']');
        assert_eq!(refused(b"").offset, 0);
        assert_eq!(refused(b"\xEF\xBB\xBF[]").offset, 0);
        assert_eq!(refused(b"[1,").offset, 2);
        for text in ["{}", "null", "\"x\"", "7"] {
            assert!(matches!(refused(text.as_bytes()).reason, Reason::NotAList), "{text}");
        }
        assert!(matches!(
            read(std::env::temp_dir().as_path()),
            Err(Unreadable { reason: Reason::Text(_), .. })
        ));
    }

    #[test]
    fn halves_of_characters_become_replacement_characters() {
        let mended = |text: &str| String::from_utf8(mend(text.as_bytes()).into_owned()).unwrap();
        assert_eq!(mended(r#""a\ud83d" "\udE00b""#), r#""a\ufffd" "\ufffdb""#);
        assert_eq!(mended(r#""\ud83d\ude00 \\ud83d \u00e9 \"#), r#""\ud83d\ude00 \\ud83d \u00e9 \"#);
        assert_eq!(mended(r"\ud83d\ud83d\ude00"), r"\ufffd\ud83d\ude00");
        assert_eq!(&*mend(b"\"\xFF\""), "\"\u{FFFD}\"".as_bytes());
        assert_eq!(keys(&parse(br#"[["a",{"key":"a","name":"\ud83d"}]]"#).unwrap()), ["a"]);
    }

    #[test]
    fn a_damaged_text_gives_what_is_whole_in_it() {
        let whole = r#"[["a",{"key":"a","tags":["x"]}],["b",{"key":"b"}],["c",{"key":"c"}]]"#;
        assert_eq!(keys(&salvage(whole.as_bytes())), ["a", "b", "c"]);
        assert_eq!(keys(&salvage(&whole.as_bytes()[..whole.len() - 5])), ["a", "b"]);
        assert_eq!(keys(&salvage(whole.replace(r#"{"key":"b""#, "{key:").as_bytes())), ["a", "c"]);
        for end in 0..whole.len() {
            assert!(salvage(&whole.as_bytes()[..end]).records.len() <= 3);
        }
    }
}
