//! Deliveries that were given up.

use std::collections::VecDeque;
use std::sync::Arc;

use paygate_core::clock::Timestamp;
use serde::Serialize;

use super::delivery::{Delivery, WebhookEvent, as_text};

/// A delivery that was given up. Serialised as it is told, the names in the order of 2.9.0.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// What was to be told, in order.
    pub events: Vec<WebhookEvent>,
    /// The number of the last attempt, the first being 0.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub last_error: Box<str>,
    /// When it was first tried.
    #[serde(serialize_with = "as_text")]
    pub first_attempt: Timestamp,
    /// When it was given up.
    #[serde(serialize_with = "as_text")]
    pub last_attempt: Timestamp,
    /// Where it was to go.
    pub url: Box<str>,
}

impl DeadLetter {
    pub(super) fn new(delivery: Delivery, error: &str, now: Timestamp, url: Box<str>) -> Self {
        Self {
            events: delivery.events,
            attempts: delivery.attempt,
            last_error: error.into(),
            first_attempt: delivery.first_attempt,
            last_attempt: now,
            url,
        }
    }
}

/// The latest dead letters, numbered from 0.
#[derive(Debug)]
pub(super) struct DeadLetters {
    kept_max: usize,
    /// The number of the first that is kept.
    first: u64,
    kept: VecDeque<Arc<DeadLetter>>,
}

impl DeadLetters {
    pub(super) fn new(kept_max: usize) -> Self {
        Self { kept_max, first: 0, kept: VecDeque::new() }
    }

    /// Buries a letter, forgetting the oldest where there are too many.
    pub(super) fn push(&mut self, letter: DeadLetter) {
        self.kept.push_back(Arc::new(letter));
        while self.kept.len() > self.kept_max {
            self.kept.pop_front();
            self.first += 1;
        }
    }

    /// The number of the first that is kept, and all from a number on.
    pub(super) fn from(&self, number: u64) -> (u64, Vec<Arc<DeadLetter>>) {
        let skipped = usize::try_from(number.saturating_sub(self.first)).unwrap_or(usize::MAX);
        (self.first, self.kept.iter().skip(skipped).cloned().collect())
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Forgets all, and says how many they were.
    pub(super) fn clear(&mut self) -> usize {
        let count = self.kept.len();
        self.first += count as u64;
        self.kept.clear();
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(error: &str) -> DeadLetter {
        let delivery = Delivery::new("d".into(), Vec::new(), Timestamp(0));
        DeadLetter::new(delivery, error, Timestamp(1), "http://h/".into())
    }

    fn errors(letters: &DeadLetters, from: u64) -> (u64, Vec<Box<str>>) {
        let (first, letters) = letters.from(from);
        (first, letters.iter().map(|letter| letter.last_error.clone()).collect())
    }

    #[test]
    fn the_latest_letters_are_kept_and_their_numbers_stay() {
        let mut letters = DeadLetters::new(3);
        for error in ["a", "b", "c", "d", "e"] {
            letters.push(letter(error));
        }
        assert_eq!(errors(&letters, 0), (2, vec!["c".into(), "d".into(), "e".into()]));
        assert_eq!(errors(&letters, 4), (2, vec!["e".into()]));
        assert_eq!(letters.clear(), 3);
        assert_eq!(letters.clear(), 0);
        letters.push(letter("f"));
        assert_eq!(errors(&letters, 5), (5, vec!["f".into()]));
    }

    #[test]
    fn a_letter_is_told_with_the_names_of_2_9_0_in_their_order() {
        let told = serde_json::to_string(&letter("HTTP 500")).unwrap();
        assert_eq!(
            told,
            r#"{"events":[],"attempts":0,"lastError":"HTTP 500","firstAttempt":"1970-01-01T00:00:00.000Z","lastAttempt":"1970-01-01T00:00:00.001Z","url":"http://h/"}"#
        );
    }
}
