//! What becomes of names, lists, tags and namespaces before they are kept, so that keys created anywhere look alike.
//!
//! The rules apply where such a value enters, not to records read from a file. Lengths count UTF-16 code units and
//! are cut as [`cut`] does. Values that are not text are turned into it by [`json_to_text`] first.
//!
//! [`json_to_text`]: super::number::json_to_text

use indexmap::IndexMap;
use serde_json::Value;

use super::number::json_to_text;
use super::trim::{cut, trim};

const KEY_NAME_UNITS: usize = 200;
const LIST_ENTRIES: usize = 100;
const TAG_ENTRIES: usize = 50;
const TAG_UNITS: usize = 100;
const NAMESPACE_UNITS: usize = 50;

/// The namespace of keys that were given none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Trims a key's name, then keeps its first 200 units, so that a space can end up last.
pub fn key_name(name: &str) -> &str {
    cut(trim(name), KEY_NAME_UNITS)
}

/// Cleans a list of tools or addresses given as JSON: `[]` for what is no list, non-text and blank entries
/// dropped, the rest trimmed, the first 100 kept. Duplicates stay.
pub fn name_list(list: &Value) -> Vec<Box<str>> {
    let entries = list.as_array().map_or(&[][..], Vec::as_slice);
    names(entries.iter().filter_map(Value::as_str))
}

/// Cleans a list of tools or addresses as [`name_list`] does.
pub fn names<'a>(entries: impl IntoIterator<Item = &'a str>) -> Vec<Box<str>> {
    let trimmed = entries.into_iter().map(trim).filter(|name| !name.is_empty());
    trimmed.take(LIST_ENTRIES).map(Box::from).collect()
}

/// Trims the name or the value of a tag, then keeps its first 100 units.
pub fn tag_text(text: &str) -> &str {
    cut(trim(text), TAG_UNITS)
}

/// Cleans the tags a key is created with; a list has its indexes as names, anything else but an object has none.
///
/// The first 50 entries in JavaScript's order of properties count, dropped ones included. An entry without a name
/// is dropped, of those that are cleaned to the same name the last wins, and `__proto__`, which JavaScript objects
/// cannot be given this way, vanishes.
pub fn tags(tags: &Value) -> IndexMap<Box<str>, Box<str>> {
    match tags {
        Value::Object(entries) => {
            tag_entries(property_order(entries).map(|(name, value)| (name, json_to_text(value))))
        }
        Value::Array(elements) => {
            let entries = elements.iter().enumerate();
            tag_entries(entries.map(|(index, value)| (index.to_string(), json_to_text(value))))
        }
        _ => IndexMap::new(),
    }
}

/// Cleans tags as [`tags`] does, given as entries in JavaScript's order of properties.
pub fn tag_entries<N: AsRef<str>, V: AsRef<str>>(
    entries: impl IntoIterator<Item = (N, V)>,
) -> IndexMap<Box<str>, Box<str>> {
    let mut cleaned = IndexMap::new();
    for (name, value) in entries.into_iter().take(TAG_ENTRIES) {
        let name = tag_text(name.as_ref());
        if !name.is_empty() && name != "__proto__" {
            cleaned.insert(name.into(), tag_text(value.as_ref()).into());
        }
    }
    sort_properties(&mut cleaned);
    cleaned
}

/// Lower-cases a namespace, keeps `a`–`z`, `0`–`9` and `-` of it, at most 50, and falls back to `default` when
/// nothing is left.
pub fn namespace(name: &str) -> String {
    // All other letters are lower-cased as well: the Kelvin sign gives `k`, the dotted capital I gives `i`.
    let kept = |c: &char| matches!(c, 'a'..='z' | '0'..='9' | '-');
    let name: String = name.chars().flat_map(char::to_lowercase).filter(kept).take(NAMESPACE_UNITS).collect();
    if name.is_empty() { DEFAULT_NAMESPACE.to_owned() } else { name }
}

/// Goes through the entries of a map in JavaScript's order of properties: array indexes ascending, then the rest
/// as inserted.
pub fn property_order<'a, K: AsRef<str> + 'a, V: 'a>(
    entries: impl IntoIterator<Item = (&'a K, &'a V)>,
) -> impl Iterator<Item = (&'a str, &'a V)> {
    let mut entries: Vec<_> = entries.into_iter().map(|(name, value)| (name.as_ref(), value)).collect();
    entries.sort_by_key(|(name, _)| property_rank(name));
    entries.into_iter()
}

/// Puts a map into the order of [`property_order`].
pub fn sort_properties<K: AsRef<str>, V>(map: &mut IndexMap<K, V>) {
    if map.keys().any(|name| property_rank(name.as_ref()) != UNRANKED) {
        map.sort_by(|a, _, b, _| property_rank(a.as_ref()).cmp(&property_rank(b.as_ref())));
    }
}

/// Where a property stands in JavaScript's order: a stable sort by this rank is that order.
fn property_rank(name: &str) -> u64 {
    // Indexes have at most ten digits, and zero alone begins with one.
    let canonical = name.len() <= 10
        && name.bytes().all(|digit| digit.is_ascii_digit())
        && (name == "0" || !name.starts_with('0'));
    let index = if canonical { name.parse().ok() } else { None };
    index.filter(|index| *index < u64::from(u32::MAX)).unwrap_or(UNRANKED)
}

const UNRANKED: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(map: &IndexMap<Box<str>, Box<str>>) -> String {
        serde_json::to_string(&map.iter().collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn key_names_are_trimmed_and_then_cut() {
        assert_eq!(key_name("  hi  "), "hi");
        assert_eq!(key_name(""), "");
        let long = key_name(&format!("{} bc", "a".repeat(199))).to_owned();
        assert!(long.len() == 200 && long.ends_with(' '));
        assert_eq!(key_name(&"\u{1F600}".repeat(150)).encode_utf16().count(), 200);
        assert_eq!(key_name("\u{FEFF}\u{A0}x\u{200B}"), "x\u{200B}");
        assert_eq!(key_name(&json_to_text(&json!(["a", "b"]))), "a,b");
    }

    #[test]
    fn lists_keep_their_first_hundred_names() {
        assert_eq!(name_list(&json!(["a", " b ", "", "  ", 1, null, {}, "a"])).join(","), "a,b,a");
        for none in [json!("abc"), json!(null), json!({"length": 1, "0": "a"})] {
            assert!(name_list(&none).is_empty());
        }
        let many: Vec<_> = (0..150).map(|i| format!("t{i}")).collect();
        assert_eq!(name_list(&json!(many)).join(","), many[..100].join(","));
        let blanks_do_not_count: Vec<_> = (0..200).map(|i| if i % 2 == 0 { "" } else { "t" }).collect();
        assert_eq!(names(blanks_do_not_count).len(), 100);
    }

    #[test]
    fn tags_become_texts_in_the_order_of_properties() {
        for (given, kept) in [
            (
                json!({" a ": " v ", "n": 5, "b": true, "z": null, "o": {}, "l": [1, 2]}),
                r#"[["a","v"],["n","5"],["b","true"],["z","null"],["o","[object Object]"],["l","1,2"]]"#,
            ),
            (json!({" a ": "1", "a": "2"}), r#"[["a","2"]]"#),
            (json!({"": "x", " ": "y"}), "[]"),
            (json!(["x", "y"]), r#"[["0","x"],["1","y"]]"#),
            (json!("abc"), "[]"),
            (json!({"b": "1", "2": "x", "1": "y"}), r#"[["1","y"],["2","x"],["b","1"]]"#),
            (json!({"__proto__": "p", "b": "c"}), r#"[["b","c"]]"#),
            (json!({"b": "c", " __proto__ ": "p", " 7": "x"}), r#"[["7","x"],["b","c"]]"#),
        ] {
            assert_eq!(shown(&tags(&given)), kept, "{given}");
        }
    }

    #[test]
    fn fifty_tags_are_taken_before_any_is_dropped() {
        let mut given = serde_json::Map::new();
        for i in 0..60 {
            given.insert(format!("t{i}"), json!(i));
        }
        given.insert(" ".to_owned(), json!("no name"));
        given.insert("3".to_owned(), json!("first, though written last"));
        let kept = tags(&Value::Object(given));
        assert_eq!((kept.len(), &**kept.first().unwrap().0, &**kept.last().unwrap().0), (50, "3", "t48"));
        let blanks = (0..50).map(|_| (" ", "v")).chain([("late", "v")]);
        assert!(tag_entries(blanks).is_empty());
        let long = tag_entries([("n".repeat(150), "v".repeat(150))]);
        assert_eq!(*long["n".repeat(100).as_str()], "v".repeat(100));
    }

    #[test]
    fn namespaces_keep_lower_case_letters_digits_and_hyphens() {
        for (given, kept) in [
            ("Team A_1!", "teama1"),
            ("   ", "default"),
            ("", "default"),
            ("---", "---"),
            ("-x-", "-x-"),
            ("ACME", "acme"),
            ("\u{C0}B", "b"),
            ("\u{130}stanbul", "istanbul"),
            ("\u{212A}elvin", "kelvin"),
            ("\u{65E5}\u{672C}", "default"),
            ("acme_corp", "acmecorp"),
        ] {
            assert_eq!(namespace(given), kept);
        }
        assert_eq!(namespace(&"a".repeat(80)), "a".repeat(50));
    }

    #[test]
    fn only_two_characters_beyond_ascii_are_kept_in_a_namespace() {
        let kept: Vec<char> =
            ('\u{80}'..=char::MAX).filter(|c| namespace(&c.to_string()) != DEFAULT_NAMESPACE).collect();
        assert_eq!(kept, ['\u{130}', '\u{212A}']);
    }

    #[test]
    fn array_indexes_come_first_in_ascending_order() {
        let names = ["b", "10", "9", "4294967295", "4294967294", "01", "-1", "0", "1.0", "a", ""];
        let mut map: IndexMap<&str, ()> = names.into_iter().map(|name| (name, ())).collect();
        let ordered = ["0", "9", "10", "4294967294", "b", "4294967295", "01", "-1", "1.0", "a", ""];
        assert!(property_order(&map).map(|(name, ())| name).eq(ordered));
        sort_properties(&mut map);
        assert!(map.keys().copied().eq(ordered));
    }
}
