//! Numbers as JavaScript prints and reads them, and the conversions it applies to JSON values on the way.

use std::fmt;

use serde_json::Value;

use super::trim::trim;

/// Shows a number in JavaScript's shortest form: `7`, `0.30000000000000004`, `1e+21`, `1e-7`, `NaN`, `Infinity`,
/// and negative zero as `0`.
///
/// # Examples
/// ```
/// # use paygate_core::text::number::js_number;
/// assert_eq!(format!("need {}", js_number(1e21)), "need 1e+21");
/// ```
pub fn js_number(value: f64) -> impl fmt::Display + Copy {
    JsNumber(value)
}

#[derive(Clone, Copy)]
struct JsNumber(f64);

impl fmt::Display for JsNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(ryu_js::Buffer::new().format(self.0))
    }
}

/// Reads text as JavaScript's `Number(text)` does: trimmed, empty is 0, and NaN for whatever is no number.
///
/// Decimal, exponent and `Infinity` forms may carry a sign; `0x`, `0o` and `0b` forms may not.
pub fn to_number(text: &str) -> f64 {
    let text = trim(text);
    let magnitude = text.strip_prefix(['+', '-']).unwrap_or(text);
    match text.as_bytes() {
        [] => 0.0,
        [b'0', b'x' | b'X', ..] => power_of_two_radix(&text[2..], 4),
        [b'0', b'o' | b'O', ..] => power_of_two_radix(&text[2..], 3),
        [b'0', b'b' | b'B', ..] => power_of_two_radix(&text[2..], 1),
        _ if magnitude == "Infinity" => {
            if text.starts_with('-') {
                f64::NEG_INFINITY
            } else {
                f64::INFINITY
            }
        }
        // Rust reads the same decimal forms, but also words such as `inf` and `nan`.
        bytes if bytes.iter().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')) => {
            text.parse().unwrap_or(f64::NAN)
        }
        _ => f64::NAN,
    }
}

/// Reads hexadecimal, octal or binary digits, each worth `bits` bits, and rounds to the nearest double.
fn power_of_two_radix(digits: &str, bits: u32) -> f64 {
    if digits.is_empty() {
        return f64::NAN;
    }
    // Digits past 59 bits cannot reach the 53 that are kept; whether any of them is set decides ties, so they
    // are gathered in the lowest bit.
    let (mut mantissa, mut exponent) = (0_u64, 0_i32);
    for digit in digits.chars() {
        let Some(value) = digit.to_digit(1 << bits) else { return f64::NAN };
        if mantissa < 1 << 58 {
            mantissa = mantissa << bits | u64::from(value);
        } else {
            mantissa |= u64::from(value != 0);
            exponent = exponent.saturating_add(bits as i32);
        }
    }
    mantissa as f64 * 2_f64.powi(exponent)
}

/// Converts a JSON value as JavaScript's `Number(value)` does.
///
/// Null is 0, booleans are 1 and 0, a list counts as its text (`[]` is 0, `[7]` is 7), an object is NaN.
pub fn json_to_number(value: &Value) -> f64 {
    match value {
        Value::Null => 0.0,
        Value::Bool(truth) => f64::from(u8::from(*truth)),
        Value::Number(number) => double(number),
        Value::String(text) => to_number(text),
        Value::Array(_) => to_number(&json_to_text(value)),
        Value::Object(_) => f64::NAN,
    }
}

/// Converts a JSON value as JavaScript's `String(value)` does.
///
/// A list is its elements joined with commas, those that are null empty; an object is `[object Object]`.
pub fn json_to_text(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => js_number(double(number)).to_string(),
        Value::String(text) => text.clone(),
        Value::Array(elements) => {
            let text =
                |element: &Value| if element.is_null() { String::new() } else { json_to_text(element) };
            elements.iter().map(text).collect::<Vec<_>>().join(",")
        }
        Value::Object(_) => "[object Object]".to_owned(),
    }
}

/// Reads the integer a text begins with, as JavaScript's `parseInt(text, 10)` does; `None` where that is NaN.
///
/// Leading white space and a sign are allowed, whatever follows the digits is ignored: `12abc` is 12, `0x18` is 0.
pub fn leading_integer(text: &str) -> Option<f64> {
    let text = trim(text);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let count = digits.bytes().take_while(u8::is_ascii_digit).count();
    let sign = text.len() - digits.len();
    text[..sign + count].parse().ok()
}

/// Drops the fraction of a number; `None` for NaN and for what an `i64` cannot hold.
pub(crate) fn to_whole(value: f64) -> Option<i64> {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    (value.abs() < BOUND).then_some(value as i64)
}

fn double(number: &serde_json::Number) -> f64 {
    number.as_f64().expect("every number is readable as a double without arbitrary precision")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn numbers_print_in_the_shortest_form() {
        for (value, text) in [
            (7.0, "7"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (-0.0, "0"),
            (-1.5, "-1.5"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(js_number(value).to_string(), text);
        }
    }

    #[test]
    fn values_become_numbers_as_the_credit_column_shows() {
        let floored = |value: &str| js_number(json_to_number(&json(value)).floor().max(0.0)).to_string();
        for (value, credits) in [
            ("5", "5"),
            ("2.9", "2"),
            ("-1", "0"),
            ("-0.5", "0"),
            ("null", "0"),
            ("\"50\"", "50"),
            ("\"\"", "0"),
            ("\" 12 \"", "12"),
            ("\"1e3\"", "1000"),
            ("\"0x10\"", "16"),
            ("true", "1"),
            ("[7]", "7"),
        ] {
            assert_eq!(floored(value), credits, "{value}");
        }
        for value in ["\"abc\"", "{}", "[1,2]", "[{}]"] {
            assert!(json_to_number(&json(value)).is_nan(), "{value}");
        }
    }

    #[test]
    fn texts_become_numbers_only_in_the_forms_javascript_knows() {
        for (text, value) in [
            ("", 0.0),
            (" \u{FEFF}\n", 0.0),
            ("+7.9", 7.9),
            (".5", 0.5),
            ("5.", 5.0),
            ("-2", -2.0),
            ("1E+3", 1000.0),
            ("0X1f", 31.0),
            ("0o17", 15.0),
            ("0B101", 5.0),
            ("Infinity", f64::INFINITY),
            ("+Infinity", f64::INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("1e400", f64::INFINITY),
            ("0x20000000000001", 9_007_199_254_740_992.0),
            ("0x20000000000003", 9_007_199_254_740_996.0),
            ("0x2000000000000100000001", 9_007_199_254_740_994.0 * 4_294_967_296.0),
        ] {
            assert_eq!(to_number(text), value, "{text:?}");
        }
        for text in [
            "abc", "inf", "nan", "NaN", "infinity", "1_000", "1n", "0x", "0xg", "-0x10", "+0b1", ".", "e5",
            "1e", "--1", "\u{85}5", "٣",
        ] {
            assert!(to_number(text).is_nan(), "{text:?}");
        }
        assert!(to_number("-0").is_sign_negative());
        assert_eq!(to_number(&format!("0x1{}", "0".repeat(400))), f64::INFINITY);
    }

    #[test]
    fn values_become_texts_as_javascript_shows_them() {
        for (value, text) in [
            ("5", "5"),
            ("1.0", "1"),
            ("-0", "0"),
            ("null", "null"),
            ("false", "false"),
            ("{}", "[object Object]"),
            ("[\"a\",\"b\"]", "a,b"),
            ("[1,null,[2,[null,3]],{}]", "1,,2,,3,[object Object]"),
            ("[]", ""),
        ] {
            assert_eq!(json_to_text(&json(value)), text);
        }
    }

    #[test]
    fn a_leading_integer_ends_at_the_first_other_character() {
        for (text, value) in [
            ("12abc", Some(12.0)),
            ("1.9", Some(1.0)),
            (" \t+24", Some(24.0)),
            ("-1", Some(-1.0)),
            ("0x18", Some(0.0)),
            ("1e1", Some(1.0)),
            ("010", Some(10.0)),
            ("", None),
            ("abc", None),
            ("+-1", None),
            ("- 1", None),
            ("Infinity", None),
        ] {
            assert_eq!(leading_integer(text), value, "{text:?}");
        }
        assert!(leading_integer("-0").unwrap().is_sign_negative());
        assert_eq!(leading_integer(&"9".repeat(400)), Some(f64::INFINITY));
    }

    #[test]
    fn whole_numbers_lose_their_fraction_and_keep_their_bounds() {
        assert_eq!(to_whole(-1.9), Some(-1));
        assert_eq!(to_whole(9e18), Some(9_000_000_000_000_000_000));
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e19] {
            assert_eq!(to_whole(value), None);
        }
    }
}
