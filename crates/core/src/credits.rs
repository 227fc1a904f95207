//! Money: whole credits.

use std::fmt;

/// A number of credits: a whole number from 0 to 2^53 − 1.
///
/// The bound is the largest whole number that JavaScript and JSON carry exactly, so a balance is the same
/// number in the books, on the wire and in a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Credits(u64);

/// Why a number is no number of credits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CreditsError {
    /// NaN, an infinity, or beyond 2^53 − 1.
    #[error("must be a whole number from 0 to 9007199254740991")]
    OutOfRange,
    /// A sum would pass 2^53 − 1; nothing was changed.
    #[error("the sum would be more than 9007199254740991 credits")]
    SumTooLarge,
    /// A fraction where an exact amount is asked for.
    #[error("must be a whole number of credits")]
    Fraction,
}

impl Credits {
    /// No credits.
    pub const ZERO: Self = Self(0);
    /// The most credits there can be: 2^53 − 1.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// The number as it is, or `None` past the bound.
    pub const fn new(credits: u64) -> Option<Self> {
        if credits <= Self::MAX.0 { Some(Self(credits)) } else { None }
    }

    /// Floors a number and raises it to at least 0, as amounts are taken from users.
    ///
    /// # Errors
    /// [`CreditsError::OutOfRange`] for NaN, the infinities and numbers past the bound.
    pub fn floored(number: f64) -> Result<Self, CreditsError> {
        let floored = number.floor();
        if !floored.is_finite() || floored > Self::MAX.as_f64() {
            return Err(CreditsError::OutOfRange);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, and within the bound"
        )]
        Ok(Self(floored.max(0.0) as u64))
    }

    /// Takes a number that must already be whole and not negative.
    ///
    /// # Errors
    /// [`CreditsError::Fraction`] or [`CreditsError::OutOfRange`].
    pub fn exact(number: f64) -> Result<Self, CreditsError> {
        if number.is_finite() && number.floor() != number {
            return Err(CreditsError::Fraction);
        }
        if number < 0.0 { Err(CreditsError::OutOfRange) } else { Self::floored(number) }
    }

    /// The bare number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number as JavaScript has it; exact.
    #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
    pub const fn as_f64(self) -> f64 {
        self.0 as f64
    }

    /// The number with a sign, for differences.
    #[expect(clippy::cast_possible_wrap, reason = "below 2^53")]
    pub const fn as_i64(self) -> i64 {
        self.0 as i64
    }

    /// The sum.
    ///
    /// # Errors
    /// [`CreditsError::SumTooLarge`] past the bound.
    pub fn plus(self, other: Self) -> Result<Self, CreditsError> {
        Self::new(self.0 + other.0).ok_or(CreditsError::SumTooLarge)
    }

    /// The difference, or `None` below 0.
    pub const fn minus(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(rest) => Some(Self(rest)),
            None => None,
        }
    }

    /// The difference, but not below 0.
    pub const fn saturating_minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_from_a_user_is_floored_and_raised_to_zero() {
        let floored = |n: f64| Credits::floored(n).map(Credits::get);
        assert_eq!(floored(2.9), Ok(2));
        assert_eq!(floored(-0.5), Ok(0));
        assert_eq!(floored(-1e300), Ok(0));
        assert_eq!(floored(9_007_199_254_740_991.0), Ok(Credits::MAX.get()));
    }

    #[test]
    fn what_cannot_be_a_balance_is_refused() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 9_007_199_254_740_992.0] {
            assert_eq!(Credits::floored(number), Err(CreditsError::OutOfRange));
        }
        assert_eq!(Credits::exact(0.5), Err(CreditsError::Fraction));
        assert_eq!(Credits::exact(-1.0), Err(CreditsError::OutOfRange));
        assert_eq!(Credits::MAX.plus(Credits(1)), Err(CreditsError::SumTooLarge));
    }
}
