//! Timestamps as they are shown, the days and months that quotas count by, and date texts as they are read.
//!
//! An instant is a whole number of milliseconds since 1970-01-01T00:00:00Z, as in JavaScript. Nothing here asks
//! what time it is.

mod parse;
mod usual;

use std::cell::Cell;
use std::fmt;
use std::sync::OnceLock;

use jiff::tz::TimeZone;
use serde_json::Value;

pub use parse::parse_date;
pub use usual::parse_usual;

use super::number::{json_to_number, json_to_text, to_whole};

/// The instants a JavaScript date can hold lie within this many milliseconds of 1970.
pub const INSTANT_MAX: i64 = 8_640_000_000_000_000;

const MS_PER_DAY: i64 = 86_400_000;

/// Writes an instant as `YYYY-MM-DDTHH:mm:ss.sssZ`.
///
/// Years outside 0–9999 are written with a sign and six digits. An instant past [`INSTANT_MAX`] on either side is
/// written as that bound.
///
/// # Examples
/// ```
/// # use paygate_core::text::date::iso;
/// assert_eq!(iso(1_773_480_413_589), "2026-03-14T09:26:53.589Z");
/// assert_eq!(iso(-62_198_755_200_000), "-000001-01-01T00:00:00.000Z");
/// ```
pub fn iso(ms: i64) -> String {
    IsoText::of(ms).as_str().to_owned()
}

/// Writes what [`iso`] returns into `out`, without allocating.
pub fn write_iso(ms: i64, out: &mut impl fmt::Write) -> fmt::Result {
    out.write_str(IsoText::of(ms).as_str())
}

/// The zone this process lives in, by the `TZ` variable or the machine's setting; UTC where neither says.
///
/// It is asked once: a key must not expire at another time because the machine moved while the process ran.
pub fn local_zone() -> &'static TimeZone {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    ZONE.get_or_init(TimeZone::system)
}

/// Reads a JSON value as JavaScript's `new Date(value)` does, `None` where that date is invalid.
///
/// Numbers, booleans and null are milliseconds; text, and lists by their text, are read by [`parse_date`].
pub fn json_to_date(value: &Value, local: &TimeZone) -> Option<i64> {
    match value {
        Value::String(text) => parse_date(text, local),
        Value::Array(_) | Value::Object(_) => parse_date(&json_to_text(value), local),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            to_whole(json_to_number(value)).filter(|ms| (-INSTANT_MAX..=INSTANT_MAX).contains(ms))
        }
    }
}

/// A UTC calendar day, the first ten characters of a timestamp: `2026-03-14`.
///
/// Days compare as their texts do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day([u8; 10]);

impl Day {
    /// The day an instant lies in.
    pub fn of(ms: i64) -> Self {
        thread_local! {
            /// The day that was asked for last: one decision asks several times, and the next one asks for the same.
            static LAST: Cell<(i64, Day)> = const { Cell::new((i64::MIN, Day([0; 10]))) };
        }
        let number = ms.clamp(-INSTANT_MAX, INSTANT_MAX).div_euclid(MS_PER_DAY);
        LAST.with(|last| {
            if last.get().0 != number {
                last.set((number, Day(first(&DateText::of(number).bytes))));
            }
            last.get().1
        })
    }

    /// The day a record names. Text that can be no day is kept as an empty one, which is the day of no instant.
    pub fn from_text(text: &str) -> Self {
        Day(ascii_of_length(text).unwrap_or_default())
    }

    /// The month the day belongs to.
    pub fn month(self) -> Month {
        Month(first(&self.0))
    }

    /// The day's text.
    pub fn as_str(&self) -> &str {
        ascii(&self.0).trim_end_matches('\0')
    }
}

/// A UTC calendar month, the first seven characters of a timestamp: `2026-03`.
///
/// Months compare as their texts do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month([u8; 7]);

impl Month {
    /// The month an instant lies in.
    pub fn of(ms: i64) -> Self {
        Day::of(ms).month()
    }

    /// The month a record names. Text that can be no month is kept as an empty one, which is that of no instant.
    pub fn from_text(text: &str) -> Self {
        Month(ascii_of_length(text).unwrap_or_default())
    }

    /// The month's text.
    pub fn as_str(&self) -> &str {
        ascii(&self.0).trim_end_matches('\0')
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn ascii_of_length<const N: usize>(text: &str) -> Option<[u8; N]> {
    text.as_bytes().try_into().ok().filter(|bytes: &[u8; N]| bytes.is_ascii())
}

/// A calendar date in text: `2026-03-14`, or `+012026-03-14` outside the years 0–9999.
struct DateText {
    bytes: [u8; 13],
    length: usize,
}

impl DateText {
    fn of(days: i64) -> Self {
        let (year, month, day) = civil_from_days(days);
        let mut bytes = [b'-'; 13];
        let year_end = if (0..=9999).contains(&year) {
            put(&mut bytes[..4], year.unsigned_abs() as u32);
            4
        } else {
            bytes[0] = if year < 0 { b'-' } else { b'+' };
            put(&mut bytes[1..7], year.unsigned_abs() as u32);
            7
        };
        put(&mut bytes[year_end + 1..year_end + 3], month.into());
        put(&mut bytes[year_end + 4..year_end + 6], day.into());
        DateText { bytes, length: year_end + 6 }
    }
}

/// A timestamp in text, at most `+YYYYYY-MM-DDTHH:mm:ss.sssZ` long.
struct IsoText {
    bytes: [u8; 27],
    length: usize,
}

impl IsoText {
    fn of(ms: i64) -> Self {
        let ms = ms.clamp(-INSTANT_MAX, INSTANT_MAX);
        let date = DateText::of(ms.div_euclid(MS_PER_DAY));
        let in_day = ms.rem_euclid(MS_PER_DAY) as u32;

        let mut time = *b"T00:00:00.000Z";
        put(&mut time[1..3], in_day / 3_600_000);
        put(&mut time[4..6], in_day / 60_000 % 60);
        put(&mut time[7..9], in_day / 1000 % 60);
        put(&mut time[10..13], in_day % 1000);

        let mut bytes = [0; 27];
        let length = date.length + time.len();
        bytes[..date.length].copy_from_slice(&date.bytes[..date.length]);
        bytes[date.length..length].copy_from_slice(&time);
        IsoText { bytes, length }
    }

    fn as_str(&self) -> &str {
        ascii(&self.bytes[..self.length])
    }
}

/// Fills `slot` with the last digits of `value`.
fn put(slot: &mut [u8], mut value: u32) {
    for digit in slot.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes[..N].try_into().expect("a slice of N bytes is an array of N bytes")
}

fn ascii(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("digits and punctuation are ASCII")
}

/// Turns a count of days since 1970-01-01 into year, month (1–12) and day (1–31) of the Gregorian calendar.
///
/// The year is taken to begin in March, so that the leap day is its last and months have a regular pattern. Days
/// within an era are counted in 32 bits, because every call asks for its day and the divisions are what that costs.
fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let days = days + DAYS_BEFORE_1970;
    let era = days.div_euclid(DAYS_PER_ERA);
    let day_of_era = (days - era * DAYS_PER_ERA) as u32;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = i64::from(year_of_era) + era * YEARS_PER_ERA + i64::from(month <= 2);
    (year, month as u8, day as u8)
}

/// The inverse of [`civil_from_days`]; a day past the end of its month counts on into the next.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let era = year.div_euclid(YEARS_PER_ERA);
    let year_of_era = year.rem_euclid(YEARS_PER_ERA);
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_PER_ERA + day_of_era - DAYS_BEFORE_1970
}

/// The Gregorian calendar repeats after this many days, weekdays included.
const DAYS_PER_ERA: i64 = 146_097;
const YEARS_PER_ERA: i64 = 400;
/// From the first of March of the year 0, at which the first era begins.
const DAYS_BEFORE_1970: i64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_written_as_javascript_writes_them() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (1_773_480_413_589, "2026-03-14T09:26:53.589Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "+010000-01-01T00:00:00.000Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
            (-62_167_219_200_001, "-000001-12-31T23:59:59.999Z"),
            (INSTANT_MAX, "+275760-09-13T00:00:00.000Z"),
            (-INSTANT_MAX, "-271821-04-20T00:00:00.000Z"),
        ] {
            assert_eq!(iso(ms), text);
            let mut written = String::new();
            write_iso(ms, &mut written).unwrap();
            assert_eq!(written, text);
        }
        assert_eq!(iso(i64::MAX), iso(INSTANT_MAX));
        assert_eq!(iso(i64::MIN), iso(-INSTANT_MAX));
    }

    #[test]
    fn a_day_and_a_month_are_the_start_of_the_timestamp() {
        for ms in [0, -1, 1_773_480_413_589, 253_402_300_800_000, INSTANT_MAX, -INSTANT_MAX] {
            assert_eq!(Day::of(ms).as_str(), &iso(ms)[..10]);
            assert_eq!(Month::of(ms).as_str(), &iso(ms)[..7]);
        }
        let (midnight, before) = (1_773_446_400_000, 1_773_446_399_999);
        assert_ne!(Day::of(midnight), Day::of(before));
        assert_eq!(Month::of(midnight), Month::of(before));
        assert!(Day::of(before) < Day::of(midnight));
        assert_eq!(format!("{:>12}|{}", Day::of(midnight), Month::of(midnight)), "  2026-03-14|2026-03");
    }

    #[test]
    fn days_and_months_are_read_back_from_their_text() {
        for ms in [1_773_480_413_589, 253_402_300_800_000] {
            assert_eq!(Day::from_text(Day::of(ms).as_str()), Day::of(ms));
            assert_eq!(Month::from_text(Month::of(ms).as_str()), Month::of(ms));
        }
        for text in ["", "2026-03", "2026-3-14", "2026-03-14 ", "٢٢٢٢٢"] {
            assert_eq!(Day::from_text(text).as_str(), "", "{text:?}");
        }
        assert_eq!(Month::from_text("2026-03-14").as_str(), "");
        assert_eq!(Day::from_text("long since").as_str(), "long since");
    }

    #[test]
    fn civil_dates_and_day_counts_are_each_others_inverse() {
        let last = INSTANT_MAX / MS_PER_DAY;
        for days in (-last..=last).step_by(997).chain(-800..800) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month.into(), day.into()), days);
            assert!((1..=12).contains(&month) && (1..=31).contains(&day));
        }
    }

    #[test]
    fn values_become_dates_as_the_constructor_reads_them() {
        for (json, ms) in [
            ("\"2020-01-01\"", Some(1_577_836_800_000)),
            ("\"garbage\"", None),
            ("1", Some(1)),
            ("1.9", Some(1)),
            ("-1.9", Some(-1)),
            ("true", Some(1)),
            ("null", Some(0)),
            ("8.64e15", Some(INSTANT_MAX)),
            ("8640000000000001", None),
            ("[2020]", Some(1_577_836_800_000)),
            ("{}", None),
        ] {
            let value: Value = serde_json::from_str(json).unwrap();
            assert_eq!(json_to_date(&value, &TimeZone::UTC), ms, "{json}");
        }
    }
}
