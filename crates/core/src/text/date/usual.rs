//! The form in which timestamps are told, read back quickly.

use super::{MS_PER_DAY, civil_from_days, days_from_civil};

/// Reads `YYYY-MM-DDTHH:mm:ss.sssZ`, and nothing else.
///
/// Whatever it reads, [`parse_date`](super::parse_date) reads as the same; it is for those who read many.
///
/// # Examples
/// ```
/// # use paygate_core::text::date::parse_usual;
/// assert_eq!(parse_usual("2026-03-14T09:26:53.589Z"), Some(1_773_480_413_589));
/// assert_eq!(parse_usual("2026-03-14"), None);
/// ```
pub fn parse_usual(text: &str) -> Option<i64> {
    let bytes: &[u8; 24] = text.as_bytes().try_into().ok()?;
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (23, b'Z')];
    if marks.iter().any(|(at, mark)| bytes[*at] != *mark) {
        return None;
    }
    let number = |from: usize, to: usize| {
        bytes[from..to].iter().try_fold(0, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0'))
        })
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hours, minutes, seconds) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let days = days_from_civil(year, month, day);
    // Past the end of its month, a day would count on into the next.
    if !(1..=28).contains(&day) && i64::from(civil_from_days(days).2) != day {
        return None;
    }
    Some(days * MS_PER_DAY + ((hours * 60 + minutes) * 60 + seconds) * 1000 + number(20, 23)?)
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;
    use crate::text::date::{iso, parse_date};

    #[test]
    fn nothing_but_the_usual_form_is_read() {
        for text in [
            "",
            "2026-03-14T09:26:53Z",
            "2026-03-14T09:26:53.589z",
            "2026-03-14 09:26:53.589Z",
            "+026-03-14T09:26:53.589Z",
            "2026-00-14T09:26:53.589Z",
            "2026-13-14T09:26:53.589Z",
            "2026-03-00T09:26:53.589Z",
            "2026-02-29T09:26:53.589Z",
            "2026-04-31T09:26:53.589Z",
            "2026-03-14T24:00:00.000Z",
            "2026-03-14T09:60:53.589Z",
            "2026-03-14T09:26:60.589Z",
            "2026-03-14T09:26:5é.58Z",
        ] {
            assert_eq!(parse_usual(text), None, "{text}");
        }
        assert_eq!(parse_usual("2024-02-29T00:00:00.000Z"), Some(1_709_164_800_000));
    }

    proptest! {
        #[test]
        fn what_is_told_is_read_back(ms in -62_167_219_200_000_i64..253_402_300_800_000) {
            prop_assert_eq!(parse_usual(&iso(ms)), Some(ms));
        }

        #[test]
        fn whatever_is_read_is_the_date_that_javascript_reads(text in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\\.[0-9]{3}Z") {
            if let Some(ms) = parse_usual(&text) {
                prop_assert_eq!(parse_date(&text, &TimeZone::UTC), Some(ms));
            }
        }
    }
}
