//! Compares this crate's readings with those of `node`, on random inputs put together from telling fragments.
//!
//! The seed of a run is in every failure; `PAYGATE_TEST_SEED=… cargo test` at build time runs it again.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::Write;
use std::process::{Command, Stdio};

use indexmap::IndexMap;
use jiff::tz::TimeZone;
use paygate_core::gate::argument_size::json_bytes;
use paygate_core::text::clean::{namespace, property_order};
use paygate_core::text::date::{INSTANT_MAX, iso, parse_date};
use paygate_core::text::number::{js_number, json_to_number, json_to_text, leading_integer, to_number};
use paygate_core::text::trim::{cut, trim};
use serde_json::{Value, json};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/javascript.mjs");

/// Asks one `node` process, in a time zone, and returns its answers by kind of question.
fn node(zone: &str, questions: &Value) -> Value {
    let mut child = Command::new("node")
        .arg(SCRIPT)
        .env("TZ", zone)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("these tests, like the build of the Node addon, need `node` on the PATH");
    // Node reads everything before it answers, so the pipe is drained while this side still writes.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(questions.to_string().as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "node ended with {}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Puts inputs of one kind to node and compares every answer with ours.
fn compare<T: serde::Serialize>(
    chance: &Chance,
    zone: &str,
    kind: &str,
    inputs: &[T],
    ours: impl Fn(&T) -> Value,
) {
    let answers = node(zone, &json!({ kind: inputs }));
    let theirs = answers[kind].as_array().unwrap();
    assert_eq!(theirs.len(), inputs.len());
    let differing: Vec<String> = inputs
        .iter()
        .zip(theirs)
        .filter_map(|(input, theirs)| {
            let ours = ours(input);
            (ours != *theirs).then(|| format!("{}: node {theirs}, here {ours}", json!(input)))
        })
        .collect();
    assert!(
        differing.is_empty(),
        "seed {}: {} of {} {kind} differ in {zone}:\n{}",
        chance.seed,
        differing.len(),
        inputs.len(),
        differing[..differing.len().min(20)].join("\n")
    );
}

/// Random numbers that can be had again (splitmix64).
struct Chance {
    seed: u64,
    state: u64,
}

impl Chance {
    fn new() -> Self {
        let given = option_env!("PAYGATE_TEST_SEED").map(|seed| seed.parse().expect("the seed is a number"));
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one("seed"));
        Chance { seed, state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }

    /// Joins up to `most` fragments.
    fn joined(&mut self, fragments: &[&str], most: usize) -> String {
        (0..self.below(most + 1)).map(|_| self.pick(fragments)).collect()
    }

    fn digits(&mut self, most: usize) -> String {
        (0..=self.below(most))
            .map(|_| self.pick(&["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]))
            .collect()
    }

    /// A double of any size, often a short one.
    fn double(&mut self) -> f64 {
        match self.below(4) {
            0 => (self.next() as i16).into(),
            1 => f64::from(self.next() as i32) / 1000.0,
            2 => format!("{}e{}", self.digits(17), self.below(60) as i32 - 30).parse().unwrap(),
            _ => f64::from_bits(self.next()),
        }
    }

    fn json(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 5 } else { 8 }) {
            0 => Value::Null,
            1 => self.below(2).eq(&0).into(),
            2 => json!(self.double()),
            3 => json!(self.next() >> self.below(64)),
            4 => self.joined(TEXTS, 3).into(),
            5 | 6 => (0..self.below(4)).map(|_| self.json(depth - 1)).collect(),
            _ => Value::Object((0..self.below(4)).map(|i| (i.to_string(), self.json(depth - 1))).collect()),
        }
    }

    /// A JSON text as somebody might write it: blanks, odd escapes, names that come twice.
    fn json_text(&mut self, depth: usize) -> String {
        let blank = self.joined(&[" ", "\n", "\t", "\r"], 2);
        let items = if depth == 0 { 0 } else { self.below(14) };
        let text = match self.below(if depth == 0 { 4 } else { 7 }) {
            0 => self.pick(&["null", "true", "false"]).to_owned(),
            1 | 2 => self.json_number(),
            3 => self.json_string(6),
            4 => format!("[{}]", (0..items).map(|_| self.json_text(depth - 1)).collect::<Vec<_>>().join(",")),
            _ => {
                let members = (0..items).map(|_| {
                    let blank = self.pick(&["", " ", "\n"]);
                    format!("{blank}{}{blank}:{}", self.json_string(2), self.json_text(depth - 1))
                });
                format!("{{{}{blank}}}", members.collect::<Vec<_>>().join(","))
            }
        };
        format!("{blank}{text}{blank}")
    }

    fn json_number(&mut self) -> String {
        let sign = self.pick(&["", "-"]);
        let digits = self.digits(30);
        let whole = match digits.trim_start_matches('0') {
            "" => "0",
            digits => &digits[..self.below(digits.len()) + 1],
        };
        let fraction = if self.below(2) == 0 { String::new() } else { format!(".{}", self.digits(20)) };
        let exponent = match self.below(3) {
            0 => format!("{}{}{}", self.pick(&["e", "E"]), self.pick(&["", "+", "-"]), self.digits(3)),
            _ => String::new(),
        };
        format!("{sign}{whole}{fraction}{exponent}")
    }

    fn json_string(&mut self, most: usize) -> String {
        const PIECES: &[&str] = &[
            "a",
            "b",
            "é",
            "日",
            "😀",
            "\u{7f}",
            "\u{2028}",
            "__proto__",
            "0",
            "1",
            "/",
            "\\/",
            "\\\"",
            "\\\\",
            "\\b",
            "\\f",
            "\\n",
            "\\r",
            "\\t",
            "\\u0061",
            "\\u0062",
            "\\u0000",
            "\\u001F",
            "\\u0008",
            "\\u0022",
            "\\u005c",
            "\\u00e9",
            "\\u65E5",
            "\\ud83d\\ude00",
            "\\udbff\\udfff",
            "\\uD83D",
            "\\uDE00",
            "\\uffff",
            "\\u2028",
        ];
        format!("\"{}\"", self.joined(PIECES, most))
    }

    /// A text that is nearly, or really, a date.
    fn date(&mut self) -> String {
        match self.below(4) {
            0 => self.iso_date(),
            1 => self.habitual_date(),
            2 => {
                // One change to a good date is where readings part.
                let mut date = if self.below(2) == 0 { self.iso_date() } else { self.habitual_date() };
                let places: Vec<usize> = (0..=date.len()).filter(|at| date.is_char_boundary(*at)).collect();
                let at = places[self.below(places.len())];
                match self.below(3) {
                    0 => date.insert_str(at, self.pick(DATE_FRAGMENTS)),
                    1 => date.truncate(at),
                    _ if at < date.len() => drop(date.remove(at)),
                    _ => {}
                }
                date
            }
            _ => self.joined(DATE_FRAGMENTS, 7),
        }
    }

    fn iso_date(&mut self) -> String {
        let year = match self.below(4) {
            0 => format!("{}{:06}", self.pick(&["+", "-"]), self.below(290_000)),
            1 => format!("{:04}", self.below(10_000)),
            _ => format!("{}", 1880 + self.below(200)),
        };
        let (month, day) = (self.below(13), self.below(33));
        let (hour, minute, second) = (self.below(26), self.below(61), self.below(61));
        let time = match self.below(5) {
            0 => String::new(),
            1 => format!("T{hour:02}:{minute:02}"),
            2 => format!("T{hour:02}:{minute:02}:{second:02}"),
            3 => format!("t{hour:02}:{minute:02}:{second:02}.{}", self.digits(12)),
            _ => self
                .pick(&["T24:00", "T24:00:00", "T24:00:00.000", "T24:00:00.001", "T24:01", "T2:30"])
                .to_owned(),
        };
        let zone = match self.below(5) {
            0 if !time.is_empty() => format!("{}{hour:02}:{minute:02}", self.pick(&["+", "-"])),
            1 if !time.is_empty() => format!("{}{hour:02}{minute:02}", self.pick(&["+", "-"])),
            2 => self.pick(&["Z", "z", "GMT", " Z"]).to_owned(),
            _ => String::new(),
        };
        match self.below(8) {
            0 => format!("{year}{zone}"),
            1 => format!("{year}-{month:02}{time}{zone}"),
            _ => format!("{year}-{month:02}-{day:02}{time}{zone}"),
        }
    }

    fn habitual_date(&mut self) -> String {
        const MONTHS: &[&str] = &[
            "Jan", "FEBRUARY", "march", "Apr.", "May", "june", "Jul", "Augustus", "Sept", "oct", "Nov",
            "December",
        ];
        let (year, month, day) = (1880 + self.below(200), self.below(14), self.below(33));
        let (name, short) = (self.pick(MONTHS), self.below(101));
        let date = match self.below(9) {
            0 => format!("{year}/{month}/{day}"),
            1 => format!("{month:02}/{day:02}/{year}"),
            2 => format!("{year}-{month}-{day}"),
            3 => format!("{name} {day}, {year}"),
            4 => format!("{day} {name} {year}"),
            5 => format!("{}, {day:02} {name} {year}", self.pick(&["Mon", "Tuesday", "wed", "?"])),
            6 => format!("{month}/{day}/{short}"),
            7 => format!("{day}-{name}-{short:02}"),
            _ => format!("{year}-{month:02}-{day:02}"),
        };
        let (hour, minute, second) = (self.below(26), self.below(61), self.below(61));
        let time = match self.below(7) {
            0 => String::new(),
            1 => format!(" {hour}:{minute:02}"),
            2 => format!(" {hour:02}:{minute:02}:{second:02}"),
            3 => format!(" {hour}:{minute:02} {}", self.pick(&["AM", "pm", "Pm.", "noon"])),
            4 => format!(" {hour:02}:{minute:02}:{second:02}.{}", self.digits(12)),
            5 => format!(" {hour}:{minute:02}{}", self.pick(&["am", "PM"])),
            _ => format!(" {hour}"),
        };
        let zone = match self.below(6) {
            0 => format!(" {}{hour:02}{minute:02}", self.pick(&["+", "-", "GMT+", "UTC-"])),
            1 => format!(" {}{hour}:{minute:02}", self.pick(&["+", "-", "GMT+", "GMT-", "EST+"])),
            2 => format!("{}{hour}", self.pick(&["+", "-", " GMT+", " UT-"])),
            3 => self
                .pick(&[
                    "Z", " Z", " GMT", " UTC", " ut", " EST", " edt", " CST", " CDT", " MST", " MDT", " PST",
                    " PDT", " CET",
                ])
                .to_owned(),
            4 => self.pick(&[" (Eastern)", " GMT (a (b) c)", " (open", " )", "(x)1"]).to_owned(),
            _ => String::new(),
        };
        format!("{date}{time}{zone}")
    }
}

const DATE_FRAGMENTS: &[&str] = &[
    "0",
    "1",
    "5",
    "00",
    "07",
    "12",
    "24",
    "30",
    "31",
    "32",
    "49",
    "50",
    "60",
    "99",
    "100",
    "999",
    "1000",
    "1970",
    "2020",
    "20200601",
    "1591000000",
    "000001",
    "002020",
    "275760",
    "275761",
    "0000000012",
    "123456789012",
    "4294967296",
    "596524",
    " ",
    "  ",
    "\t",
    "\n",
    "\u{a0}",
    "\u{2028}",
    "\u{202f}",
    "\u{feff}",
    "\u{85}",
    "\0",
    "-",
    "-",
    "+",
    ":",
    ":",
    "::",
    ".",
    "/",
    ",",
    ";",
    "T",
    "t",
    "Z",
    "z",
    "am",
    "PM",
    "GMT",
    "utc",
    "UT",
    "EST",
    "pdt",
    "Jan",
    "feb",
    "JUNE",
    "Decem",
    "foo",
    "tomorrow",
    "Mon",
    "(",
    ")",
    "(x)",
    "((",
    "[",
    "_",
    "é",
    "😀",
    "AM.",
    "ſep",
    "K",
];

const NUMBER_FRAGMENTS: &[&str] = &[
    "0",
    "1",
    "7",
    "9",
    "00",
    "123",
    "9007199254740993",
    "99999999999999999999",
    "e",
    "E",
    ".",
    "-",
    "+",
    "x",
    "X",
    "o",
    "b",
    "0x",
    "0X",
    "0o",
    "0b",
    "f",
    "A",
    "Infinity",
    "inf",
    "NaN",
    "nan",
    "_",
    "n",
    " ",
    "\n",
    "\u{a0}",
    "\u{feff}",
    "\u{85}",
    "\u{180e}",
    "٣",
    "e308",
    "e-324",
    ",",
    "00000000000000000000",
];

const TEXTS: &[&str] = &[
    "a",
    "B",
    "Z",
    "5",
    "-",
    "_",
    " ",
    "  ",
    "\t",
    "\n",
    "\r",
    "\u{b}",
    "\u{c}",
    "\u{85}",
    "\u{a0}",
    "\u{1680}",
    "\u{180e}",
    "\u{2000}",
    "\u{200a}",
    "\u{200b}",
    "\u{2028}",
    "\u{2029}",
    "\u{202f}",
    "\u{205f}",
    "\u{3000}",
    "\u{feff}",
    "é",
    "É",
    "Σ",
    "\u{130}",
    "\u{212a}",
    "ſ",
    "日",
    "😀",
    "\u{10ffff}",
    "1e3",
    "0x10",
];

#[test]
fn dates_are_read_as_node_reads_them() {
    let mut chance = Chance::new();
    let mut dates: Vec<String> = (0..20_000).map(|_| chance.date()).collect();
    let known = [
        "2020",
        "2020-06",
        "2020-06-01",
        "2020-02-30",
        "2026-03-14T11:26:53+02:00",
        "2026-03-14T09:26",
        "2020/06/01",
        "06/01/2020",
        "2020-6-1",
        "2020-06-01 00:00:00",
        "June 1, 2020",
        "1 Jun 2020",
        "Mon, 01 Jun 2020 00:00:00 GMT",
        "foo 2020",
        "12",
        "0",
        "20200601",
        "1591000000",
        "2020-13-01",
        "Jan 32 2020",
        "2020-06-01 10:00:60",
        "2020-06-01T10",
        "2020-W10",
        "2020-123",
        "tomorrow",
        "2020-01-01T24:00:00.0001",
        "1/1/2020 10:.5",
        "1/1/2020 10:00 +1193047:",
        "1/1/2020 10:00 +596524:",
        "",
        "-000000",
        "+275760-09-13T00:00:00.000Z",
        "+275760-09-13T00:00:00.001Z",
        "Sat Mar 14 2026 09:26:53 GMT+0000 (Coordinated Universal Time)",
        // Clock changes in New York, one hour skipped and one that comes twice.
        "2026-03-08T02:30",
        "2026-03-08 02:30",
        "2026-11-01T01:30",
        "2026-11-01 01:30:00.5",
        "1850-01-01T00:00",
        "9999-12-31T23:59",
    ];
    dates.extend(known.map(str::to_owned));
    for zone in ["UTC", "America/New_York"] {
        let local = TimeZone::get(zone).expect("the machine knows the zone");
        compare(&chance, zone, "dates", &dates, |text| json!(parse_date(text, &local)));
    }
}

#[test]
fn instants_are_written_as_node_writes_them() {
    let mut chance = Chance::new();
    let bound = INSTANT_MAX as u64;
    let instants: Vec<i64> = (0..5000)
        .map(|_| {
            let magnitude = (chance.next() % (bound + 1)) >> chance.below(53);
            if chance.below(2) == 0 { magnitude as i64 } else { -(magnitude as i64) }
        })
        .collect();
    compare(&chance, "UTC", "instants", &instants, |ms| json!(iso(*ms)));
}

#[test]
fn numbers_are_read_and_printed_as_node_does() {
    let shown = |value: f64| {
        if value == 0.0 && value.is_sign_negative() { "-0".to_owned() } else { js_number(value).to_string() }
    };
    let mut chance = Chance::new();
    let texts: Vec<String> = (0..20_000).map(|_| chance.joined(NUMBER_FRAGMENTS, 5)).collect();
    compare(&chance, "UTC", "toNumber", &texts, |text| json!(shown(to_number(text))));
    compare(&chance, "UTC", "leadingInteger", &texts, |text| {
        json!(shown(leading_integer(text).unwrap_or(f64::NAN)))
    });

    let hexadecimal: Vec<String> =
        (0..5000).map(|_| format!("0x{:x}{:x}", chance.next(), chance.next() >> chance.below(64))).collect();
    compare(&chance, "UTC", "toNumber", &hexadecimal, |text| json!(shown(to_number(text))));

    let doubles: Vec<String> = (0..10_000).map(|_| format!("{:016x}", chance.double().to_bits())).collect();
    compare(&chance, "UTC", "printed", &doubles, |hex| {
        json!(js_number(f64::from_bits(u64::from_str_radix(hex, 16).unwrap())).to_string())
    });
}

#[test]
fn values_are_converted_as_node_converts_them() {
    let mut chance = Chance::new();
    let values: Vec<Value> = (0..10_000).map(|_| chance.json(3)).collect();
    compare(&chance, "UTC", "jsonToText", &values, |value| json!(json_to_text(value)));
    compare(&chance, "UTC", "jsonToNumber", &values, |value| {
        let number = json_to_number(value);
        json!(if number == 0.0 && number.is_sign_negative() {
            "-0".to_owned()
        } else {
            js_number(number).to_string()
        })
    });
}

#[test]
fn texts_are_trimmed_cut_lowered_and_ordered_as_node_does() {
    let mut chance = Chance::new();
    let mut texts: Vec<String> = (0..5000).map(|_| chance.joined(TEXTS, 8)).collect();
    texts.extend(
        (0..2000).map(|_| char::from_u32(chance.next() as u32 % 0x11_0000).unwrap_or('a').to_string()),
    );
    compare(&chance, "UTC", "trimmed", &texts, |text| json!(trim(text)));
    compare(&chance, "UTC", "lowered", &texts, |text| json!(namespace(text)));
    compare(&chance, "UTC", "cut", &texts, |text| {
        (0..text.encode_utf16().count() + 2).map(|units| cut(text, units)).collect()
    });

    let names = [
        "0",
        "1",
        "2",
        "10",
        "01",
        "-1",
        "a",
        "b",
        "",
        "4294967294",
        "4294967295",
        "99999999999",
        "1.5",
        " 1",
    ];
    let lists: Vec<Vec<&str>> =
        (0..2000).map(|_| (0..chance.below(8)).map(|_| chance.pick(&names)).collect()).collect();
    compare(&chance, "UTC", "properties", &lists, |list| {
        let map: IndexMap<&str, ()> = list.iter().map(|name| (*name, ())).collect();
        property_order(&map).map(|(name, ())| name).collect()
    });
}

#[test]
fn argument_sizes_are_those_of_what_node_prints() {
    let mut chance = Chance::new();
    let texts: Vec<String> = (0..10_000).map(|_| chance.json_text(4)).collect();
    compare(&chance, "UTC", "sizes", &texts, |json| json!(json_bytes(json, 64).unwrap()));
}
