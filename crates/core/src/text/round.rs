//! Rounding as JavaScript's `Math.round` does it.

/// Rounds to the nearest whole number, exact halves up.
///
/// # Examples
/// ```
/// # use paygate_core::text::round::half_up;
/// assert_eq!([2.5, -2.5, 0.49999999999999994].map(half_up), [3.0, -2.0, 0.0]);
/// ```
pub fn half_up(number: f64) -> f64 {
    let floor = number.floor();
    // The difference is exact, where a sum with 0.5 would be rounded itself.
    if number - floor >= 0.5 { floor + 1.0 } else { floor }
}

/// Rounds to one decimal as JavaScript code does, by way of `Math.round(number * 10) / 10`.
///
/// # Examples
/// ```
/// # use paygate_core::text::round::to_tenths;
/// assert_eq!(to_tenths(66.65), 66.7);
/// assert_eq!(to_tenths(6665.0 / 10_000.0 * 100.0), 66.6); // which is a little less than 66.65
/// ```
pub fn to_tenths(number: f64) -> f64 {
    half_up(number * 10.0) / 10.0
}
