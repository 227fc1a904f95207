//! Date texts as V8's `Date.parse` reads them.
//!
//! The ISO forms come first; what is left goes to the lenient reading that browsers share by habit rather than by
//! any standard. Keys were stored with expiry texts that only that reading understands, so it is followed token by
//! token, odd corners included: a key must not outlive, or die before, the instant 2.9.0 gave it.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::{DAYS_PER_ERA, INSTANT_MAX, MS_PER_DAY, civil_from_days, days_from_civil};
use crate::text::trim::is_white_space;

/// Reads a date text as JavaScript does, into milliseconds since 1970; `None` where that is an invalid date.
///
/// A date alone in an ISO form is midnight UTC; whatever else names no offset is in the zone `local`. A wall time
/// that a clock change skips counts by the offset before the change, one that comes twice is the first of the two.
///
/// # Examples
/// ```
/// # use paygate_core::text::date::parse_date;
/// let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(-5));
/// assert_eq!(parse_date("2020-06-01", &zone), Some(1_590_969_600_000));
/// assert_eq!(parse_date("June 1, 2020", &zone), Some(1_590_969_600_000 + 5 * 3_600_000));
/// assert_eq!(parse_date("tomorrow", &zone), None);
/// ```
pub fn parse_date(text: &str, local: &TimeZone) -> Option<i64> {
    let mut parser = Parser::new(text);
    let unread = parser.iso_form()?;
    parser.lenient_form(unread)?;

    let (year, month, day) = parser.date.resolve()?;
    // Such a year is past every valid instant, and its days would overflow what follows.
    if year.abs() > 1_000_000 {
        return None;
    }
    let wall = days_from_civil(year, month, day) * MS_PER_DAY + parser.time.resolve()?;
    let instant = match parser.zone.resolve()? {
        Some(offset_seconds) => wall - offset_seconds * 1000,
        None => from_wall_time(wall, local)?,
    };
    (-INSTANT_MAX..=INSTANT_MAX).contains(&instant).then_some(instant)
}

/// Finds the instant at which clocks in a zone show a wall time, given as if it were UTC.
fn from_wall_time(wall: i64, zone: &TimeZone) -> Option<i64> {
    const ERA: i64 = DAYS_PER_ERA * MS_PER_DAY;
    // Zones know the years -9999 to 9999. Clock changes repeat with the calendar, so a year farther out is
    // looked up some whole eras nearer.
    let eras = wall / ERA;
    let shift = (eras - eras.clamp(-19, 19)) * ERA;
    let wall = wall - shift;

    let (year, month, day) = civil_from_days(wall.div_euclid(MS_PER_DAY));
    let second = wall.rem_euclid(MS_PER_DAY) / 1000;
    let date = jiff::civil::Date::new(i16::try_from(year).ok()?, month as i8, day as i8).ok()?;
    let time =
        jiff::civil::Time::new((second / 3600) as i8, (second / 60 % 60) as i8, (second % 60) as i8, 0)
            .ok()?;
    let instant = zone.to_ambiguous_timestamp(DateTime::from_parts(date, time)).compatible().ok()?;
    Some(instant.as_second() * 1000 + wall.rem_euclid(1000) + shift)
}

struct Parser<'a> {
    tokens: Tokens<'a>,
    date: DateParts,
    time: TimeParts,
    zone: ZoneParts,
    number_read: bool,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        Parser {
            tokens: Tokens::new(text),
            date: DateParts::default(),
            time: TimeParts::default(),
            zone: ZoneParts::default(),
            number_read: false,
        }
    }

    /// Reads `[±YY]YYYY[-MM[-DD]][THH:mm[:ss[.fraction]][Z|±HH:mm|±HHmm]]`.
    ///
    /// Returns the token at which the text left that form, with the parts before it kept for the lenient reading;
    /// [`Token::End`] when the whole text was read; `None` when the text cannot be a date, as after a `T`.
    fn iso_form(&mut self) -> Option<Token> {
        if let Token::Sign(sign) = self.tokens.peek() {
            self.tokens.next();
            let Some(year) = self.tokens.peek().fixed_number(6) else { return Some(Token::Sign(sign)) };
            self.tokens.next();
            if sign < 0 && year == 0 {
                return Some(Token::Sign(sign));
            }
            self.date.add(sign * year)?;
        } else if let Some(year) = self.tokens.peek().fixed_number(4) {
            self.tokens.next();
            self.date.add(year)?;
        } else {
            return Some(self.tokens.next());
        }

        for bound in [12, 31] {
            if !self.tokens.skip(Token::MINUS) {
                break;
            }
            match self.tokens.peek().fixed_number(2) {
                Some(part) if (1..=bound).contains(&part) => self.date.add(part)?,
                _ => return Some(self.tokens.next()),
            }
            self.tokens.next();
        }

        match self.tokens.peek() {
            Token::Word { keyword: Keyword::TimeSeparator, .. } => {
                self.tokens.next();
                self.iso_time()?;
            }
            Token::End => self.zone.set(0),
            _ => return Some(self.tokens.next()),
        }
        self.date.is_iso = true;
        Some(Token::End)
    }

    /// Reads what follows the `T` of an ISO form, to the end of the text.
    fn iso_time(&mut self) -> Option<()> {
        let hour = self.two_digits(24)?;
        let ends_day = hour == 24; // 24:00 is the next midnight; no later time begins with 24
        self.time.add(hour)?;
        self.expect(Token::Symbol(':'))?;
        let minute = self.two_digits(if ends_day { 0 } else { 59 })?;
        self.time.add(minute)?;
        if self.tokens.skip(Token::Symbol(':')) {
            let second = self.two_digits(if ends_day { 0 } else { 59 })?;
            self.time.add(second)?;
            if self.tokens.skip(Token::Symbol('.')) {
                let fraction = self.tokens.next();
                let (value, ms) = (fraction.number()?, fraction.milliseconds()?);
                if ends_day && value > 0 {
                    return None;
                }
                self.time.add(ms)?;
            }
        }

        match self.tokens.peek() {
            token if token.is_zulu() => {
                self.tokens.next();
                self.zone.set(0);
            }
            Token::Sign(sign) => {
                self.tokens.next();
                let (hour, minute) = match self.tokens.peek().fixed_number(4) {
                    Some(hhmm) => {
                        self.tokens.next();
                        (hhmm / 100, hhmm % 100)
                    }
                    None => {
                        let hour = self.two_digits(23)?;
                        self.expect(Token::Symbol(':'))?;
                        (hour, self.two_digits(59)?)
                    }
                };
                if hour > 23 || minute > 59 {
                    return None;
                }
                self.zone = ZoneParts { sign: Some(sign), hour: Some(hour), minute: Some(minute) };
            }
            _ => {}
        }
        self.expect(Token::End)
    }

    fn two_digits(&mut self, max: i64) -> Option<i64> {
        self.tokens.next().fixed_number(2).filter(|number| *number <= max)
    }

    fn expect(&mut self, token: Token) -> Option<()> {
        (self.tokens.next() == token).then_some(())
    }

    /// Reads the rest of a text that is in no ISO form, beginning with the token at which that showed.
    fn lenient_form(&mut self, unread: Token) -> Option<()> {
        self.number_read = !self.date.is_empty();
        let mut token = unread;
        while token != Token::End {
            match token {
                Token::Number { value, .. } => {
                    self.number_read = true;
                    self.lenient_number(value)?;
                }
                Token::Word { keyword, .. } => self.lenient_word(keyword)?,
                Token::Sign(sign) if self.zone.is_utc() || !self.time.is_empty() => {
                    self.lenient_offset(sign)?
                }
                // Neither an offset without a time nor a stray parenthesis may follow a number.
                Token::Sign(_) | Token::Symbol(')') if self.number_read => return None,
                _ => {}
            }
            token = self.tokens.next();
        }
        Some(())
    }

    /// What follows a number, and what was read before it, decides what it is: a part of the time, the minutes of
    /// an offset, or a part of the date.
    fn lenient_number(&mut self, value: i64) -> Option<()> {
        if self.tokens.skip(Token::Symbol(':')) {
            if self.tokens.skip(Token::Symbol(':')) {
                if !self.time.is_empty() {
                    return None;
                }
                self.time.add(value)?;
                self.time.add(0)?;
            } else {
                self.time.add(value)?;
            }
        } else if self.tokens.skip(Token::Symbol('.')) && self.time.expects(value) {
            self.time.add(value)?;
            let ms = self.tokens.next().milliseconds()?;
            self.time.finish(ms);
        } else if self.zone.expects_minute(value) {
            self.zone.minute = Some(value);
        } else if self.time.expects(value) {
            self.time.finish(value);
            let next = self.tokens.peek();
            let may_follow = matches!(next, Token::End | Token::Blank | Token::Sign(_)) || next.is_zulu();
            if !may_follow {
                return None;
            }
        } else {
            self.date.add(value)?;
            self.tokens.skip(Token::MINUS);
        }
        Some(())
    }

    fn lenient_word(&mut self, keyword: Keyword) -> Option<()> {
        match keyword {
            Keyword::HalfDay(hours) if !self.time.is_empty() => self.time.half_day = Some(hours),
            Keyword::Month(month) => {
                self.date.named_month = Some(month);
                self.tokens.skip(Token::MINUS);
            }
            Keyword::Zone(hours) if self.number_read => self.zone.set(hours),
            // Other words may stand before the first number only, and not right before it.
            _ if self.number_read || self.tokens.peek().number().is_some() => return None,
            _ => {}
        }
        Some(())
    }

    /// Reads the offset after `UTC` or a time: `+h`, `+hh`, `+hmm`, `+hhmm`, `+h:` with the minutes to come.
    fn lenient_offset(&mut self, sign: i64) -> Option<()> {
        self.number_read = true;
        let (value, length) = match self.tokens.peek() {
            Token::Number { value, length } => {
                self.tokens.next();
                (value, length)
            }
            _ => (0, 0),
        };
        let (hour, minute) = match length {
            _ if self.tokens.peek() == Token::Symbol(':') => (value, None),
            1 | 2 => (value, Some(0)),
            3 | 4 => (value / 100, Some(value % 100)),
            _ => return None,
        };
        self.zone = ZoneParts { sign: Some(sign), hour: Some(hour), minute };
        Some(())
    }
}

/// Up to three numbers, and perhaps the name of a month, that together are a date.
#[derive(Default)]
struct DateParts {
    numbers: [i64; 3],
    count: usize,
    named_month: Option<i64>,
    is_iso: bool,
}

impl DateParts {
    fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn add(&mut self, number: i64) -> Option<()> {
        *self.numbers.get_mut(self.count)? = number;
        self.count += 1;
        Some(())
    }

    /// Decides which number is which: year, month, day.
    fn resolve(&self) -> Option<(i64, i64, i64)> {
        if self.is_empty() {
            return None;
        }
        // What is missing is 1, a missing year as well, which then means 2001.
        let part = |at: usize| if at < self.count { self.numbers[at] } else { 1 };
        let is_day = |number: i64| (1..=31).contains(&number);
        let (year, month, day) = match self.named_month {
            None if self.is_iso || !is_day(part(0)) => (part(0), part(1), part(2)),
            None => (part(2), part(0), part(1)),
            Some(month) if !is_day(part(0)) => (part(0), month, part(1)),
            Some(month) => (part(1), month, part(0)),
        };
        let year = match year {
            0..=49 if !self.is_iso => year + 2000,
            50..=99 if !self.is_iso => year + 1900,
            _ => year,
        };
        ((1..=12).contains(&month) && is_day(day)).then_some((year, month, day))
    }
}

/// Hour, minute, second and millisecond, as far as they were read.
#[derive(Default)]
struct TimeParts {
    numbers: [i64; 4],
    count: usize,
    half_day: Option<i64>,
}

impl TimeParts {
    fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn add(&mut self, number: i64) -> Option<()> {
        *self.numbers.get_mut(self.count)? = number;
        self.count += 1;
        Some(())
    }

    /// Adds the last part there is; those after it are zero.
    fn finish(&mut self, number: i64) {
        if let Some(slot) = self.numbers.get_mut(self.count) {
            *slot = number;
        }
        self.count = self.numbers.len();
    }

    /// Tells whether a number can be the next part of a time that has begun.
    fn expects(&self, number: i64) -> bool {
        match self.count {
            1 | 2 => number < 60,
            3 => number < 1000,
            _ => false,
        }
    }

    /// The time in milliseconds since midnight.
    fn resolve(&self) -> Option<i64> {
        let [mut hour, minute, second, ms] = self.numbers;
        if let Some(half_day) = self.half_day {
            if hour > 12 {
                return None;
            }
            hour = hour % 12 + half_day;
        }
        let within_day = hour < 24 && minute < 60 && second < 60 && ms < 1000;
        let ends_day = (hour, minute, second, ms) == (24, 0, 0, 0);
        (within_day || ends_day).then_some(((hour * 60 + minute) * 60 + second) * 1000 + ms)
    }
}

/// The offset from UTC, as far as it was read.
#[derive(Default)]
struct ZoneParts {
    sign: Option<i64>,
    hour: Option<i64>,
    minute: Option<i64>,
}

impl ZoneParts {
    fn set(&mut self, hours: i64) {
        let sign = if hours < 0 { -1 } else { 1 };
        *self = ZoneParts { sign: Some(sign), hour: Some(hours.abs()), minute: Some(0) };
    }

    fn is_utc(&self) -> bool {
        self.hour == Some(0) && self.minute == Some(0)
    }

    fn expects_minute(&self, number: i64) -> bool {
        self.hour.is_some() && self.minute.is_none() && number < 60
    }

    /// The offset in seconds, or within `Some` none when the text named no zone.
    fn resolve(&self) -> Option<Option<i64>> {
        let Some(sign) = self.sign else { return Some(None) };
        // V8 counts these seconds in 32 bits, so an absurd hour comes round again before it is refused.
        let seconds = (self.hour.unwrap_or(0) * 3600 + self.minute.unwrap_or(0) * 60) as u32;
        i32::try_from(seconds).ok().map(|seconds| Some(sign * i64::from(seconds)))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Token {
    End,
    Number { value: i64, length: usize },
    Word { keyword: Keyword, length: usize },
    Sign(i64),
    Symbol(char),
    Blank,
    Other,
}

#[derive(Clone, Copy, PartialEq)]
enum Keyword {
    Month(i64),
    HalfDay(i64),
    Zone(i64),
    TimeSeparator,
    Unknown,
}

/// Numbers are read to this many digits, leading zeros not counted; the rest is skipped.
const SIGNIFICANT_DIGITS: usize = 9;

impl Token {
    const MINUS: Token = Token::Sign(-1);

    fn number(self) -> Option<i64> {
        match self {
            Token::Number { value, .. } => Some(value),
            _ => None,
        }
    }

    fn fixed_number(self, digits: usize) -> Option<i64> {
        match self {
            Token::Number { value, length } if length == digits => Some(value),
            _ => None,
        }
    }

    /// A number as the fraction of a second, in milliseconds.
    fn milliseconds(self) -> Option<i64> {
        let Token::Number { value, length } = self else { return None };
        Some(match length.min(SIGNIFICANT_DIGITS) {
            1 => value * 100,
            2 => value * 10,
            digits => value / 10_i64.pow(digits as u32 - 3),
        })
    }

    fn is_zulu(self) -> bool {
        matches!(self, Token::Word { keyword: Keyword::Zone(_), length: 1 })
    }
}

struct Tokens<'a> {
    rest: &'a str,
    current: Token,
}

impl<'a> Tokens<'a> {
    fn new(text: &'a str) -> Self {
        let mut tokens = Tokens { rest: text, current: Token::End };
        tokens.next();
        tokens
    }

    fn peek(&self) -> Token {
        self.current
    }

    fn next(&mut self) -> Token {
        let next = self.scan();
        std::mem::replace(&mut self.current, next)
    }

    fn skip(&mut self, token: Token) -> bool {
        let found = self.current == token;
        if found {
            self.next();
        }
        found
    }

    fn scan(&mut self) -> Token {
        let mut chars = self.rest.chars();
        let token = match chars.next() {
            None | Some('\0') => return Token::End, // V8 takes the character for the end of the text
            Some('0'..='9') => return self.number(),
            Some(c) if is_word_character(c) => return self.word(),
            Some('(') => {
                self.skip_parentheses();
                return Token::Other;
            }
            Some('+') => Token::Sign(1),
            Some('-') => Token::Sign(-1),
            Some(c @ (':' | '.' | ')')) => Token::Symbol(c),
            Some(c) if is_white_space(c) => Token::Blank,
            Some(_) => Token::Other,
        };
        self.rest = chars.as_str();
        token
    }

    /// Takes characters off the rest of the text while they belong.
    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    fn number(&mut self) -> Token {
        let digits = self.take_while(|c| c.is_ascii_digit());
        let significant = digits.trim_start_matches('0').bytes().take(SIGNIFICANT_DIGITS);
        let value = significant.fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
        Token::Number { value, length: digits.len() }
    }

    fn word(&mut self) -> Token {
        let word = self.take_while(is_word_character);
        Token::Word { keyword: Keyword::of(word), length: word.encode_utf16().count() }
    }

    fn skip_parentheses(&mut self) {
        let mut open = 0;
        let end = self.rest.find(|c| {
            match c {
                '(' => open += 1,
                ')' => open -= 1,
                _ => {}
            }
            open == 0 || c == '\0'
        });
        let rest = end.map_or("", |at| &self.rest[at..]);
        self.rest = rest.strip_prefix(')').unwrap_or(rest);
    }
}

/// Words hold everything from `A` on, brackets and all other scripts included, but not blanks.
fn is_word_character(c: char) -> bool {
    // The two line ends count as blanks everywhere but here.
    c >= 'A' && (!is_white_space(c) || matches!(c, '\u{2028}' | '\u{2029}'))
}

impl Keyword {
    fn of(word: &str) -> Self {
        const MONTHS: [&str; 12] =
            ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
        // Months are known by their first three letters, everything else by the whole word.
        if let Some(start) = word.get(..3)
            && let Some(at) = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(start))
        {
            return Keyword::Month(at as i64 + 1);
        }
        match word.to_ascii_lowercase().as_str() {
            "am" => Keyword::HalfDay(0),
            "pm" => Keyword::HalfDay(12),
            "ut" | "utc" | "z" | "gmt" => Keyword::Zone(0),
            "edt" => Keyword::Zone(-4),
            "est" | "cdt" => Keyword::Zone(-5),
            "cst" | "mdt" => Keyword::Zone(-6),
            "mst" | "pdt" => Keyword::Zone(-7),
            "pst" => Keyword::Zone(-8),
            "t" => Keyword::TimeSeparator,
            _ => Keyword::Unknown,
        }
    }
}
