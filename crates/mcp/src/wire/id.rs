//! A message's id, as its sender wrote it.

/// A message's id, with the type and the digits its sender gave it.
///
/// `7`, `"7"`, `7.0` and `9007199254740993` are four different ids and come back as four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Id<'a> {
    /// The message has no `id` member.
    Absent,
    /// The `id` is `null`.
    Null,
    /// The raw JSON of a string or a number, quotes included.
    Raw(&'a str),
}

impl<'a> Id<'a> {
    /// The raw JSON of the id: `None` when there is no `id` member.
    #[must_use]
    pub fn raw(self) -> Option<&'a str> {
        match self {
            Self::Absent => None,
            Self::Null => Some("null"),
            Self::Raw(raw) => Some(raw),
        }
    }

    /// The number that an id of ours comes back as.
    ///
    /// A backend that knows only doubles may answer `7` with `7.0`; that is the same id.
    #[must_use]
    pub fn number(self) -> Option<u64> {
        const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
        let Self::Raw(raw) = self else { return None };
        raw.parse().ok().or_else(|| {
            let double: f64 = raw.parse().ok()?;
            (double.fract() == 0.0 && (0.0..=EXACT_MAX).contains(&double)).then_some(double as u64)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_ours_are_known_again_however_a_double_prints_them() {
        assert_eq!(Id::Raw("7").number(), Some(7));
        assert_eq!(Id::Raw("7.0").number(), Some(7));
        assert_eq!(Id::Raw("1e3").number(), Some(1000));
        assert_eq!(Id::Raw("18446744073709551615").number(), Some(u64::MAX));
        for other in ["\"7\"", "7.5", "-7", "1e300"] {
            assert_eq!(Id::Raw(other).number(), None, "{other}");
        }
        assert_eq!(Id::Null.number(), None);
        assert_eq!(Id::Absent.number(), None);
    }
}
