//! Scopes: space-separated names. They narrow on the way from client to code to token, and never widen.

use paygate_core::text::trim::is_white_space;

/// The scope of a client that registered none: all that the key may do.
pub(super) const ALL_TOOLS: &str = "tools:*";

/// The scope of a code: what is asked for, as far as the client may have it; all it may have when nothing is asked for.
///
/// A client that may use all tools has set itself no bound: whatever it asks for is its own to say.
/// `None` when nothing is left.
pub(super) fn of_code(requested: Option<&str>, of_client: &str) -> Option<String> {
    let unbounded = names(of_client).any(|name| name == ALL_TOOLS);
    match requested {
        Some(requested) if unbounded && names(requested).next().is_some() => Some(requested.to_owned()),
        requested => narrowed(requested, of_client),
    }
}

/// What is asked for, as far as it is within what was granted; all of it when nothing is asked for. `None` when nothing
/// is left. A name that ends in `:*` covers all names that begin as it does.
pub(super) fn narrowed(requested: Option<&str>, granted: &str) -> Option<String> {
    let Some(requested) = requested.filter(|requested| names(requested).next().is_some()) else {
        return Some(granted.to_owned());
    };
    let covered = |name: &&str| names(granted).any(|granted| covers(granted, name));
    if names(requested).all(|name| covered(&name)) {
        return Some(requested.to_owned());
    }
    let kept: Vec<_> = names(requested).filter(covered).collect();
    (!kept.is_empty()).then(|| kept.join(" "))
}

fn names(scope: &str) -> impl Iterator<Item = &str> {
    scope.split(is_white_space).filter(|name| !name.is_empty())
}

fn covers(granted: &str, name: &str) -> bool {
    let begins = |start: &str| start.ends_with(':') && name.starts_with(start);
    granted == name || granted.strip_suffix('*').is_some_and(begins)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_narrows_and_never_widens() {
        let of = |requested: &str, granted: &str| narrowed(Some(requested), granted);
        assert_eq!(narrowed(None, "a b").as_deref(), Some("a b"));
        assert_eq!(of(" ", "a b").as_deref(), Some("a b"));
        assert_eq!(of("b", "a b").as_deref(), Some("b"));
        assert_eq!(of("b  a", "a b").as_deref(), Some("b  a"));
        assert_eq!(of("b root", "a b").as_deref(), Some("b"));
        assert_eq!(of("root", "a b"), None);
        assert_eq!(of("tools:read tools:*", "tools:*").as_deref(), Some("tools:read tools:*"));
        assert_eq!(of("tools:*", "tools:read"), None);
        assert_eq!(of("root", "tools:*"), None);
        assert_eq!(of("root", "*"), None);
        assert_eq!(of("", ""), Some(String::new()));
    }

    #[test]
    fn a_client_without_a_bound_may_name_what_it_wants() {
        assert_eq!(of_code(Some("x y"), ALL_TOOLS).as_deref(), Some("x y"));
        assert_eq!(of_code(None, ALL_TOOLS).as_deref(), Some(ALL_TOOLS));
        assert_eq!(of_code(Some(" "), ALL_TOOLS).as_deref(), Some(ALL_TOOLS));
        assert_eq!(of_code(Some("x y"), "y z").as_deref(), Some("y"));
        assert_eq!(of_code(Some("x"), "y z"), None);
    }

    proptest! {
        #[test]
        fn what_is_narrowed_is_within_the_grant(requested in "[abt:* ]{0,12}", granted in "[abt:* ]{0,12}") {
            if let Some(scope) = narrowed(Some(&requested), &granted) {
                for name in names(&scope) {
                    prop_assert!(names(&granted).any(|granted| covers(granted, name)));
                }
            }
        }
    }
}
