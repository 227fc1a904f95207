//! `AnalyticsEngine`: reports over any list of events. The shell hands them over in columns.

use std::borrow::Cow;

use paygate_core::clock::Clock;
use paygate_core::usage::{AnalyticsError, AnalyticsOptions, AnalyticsQuery, EventTime, EventView};
use serde::Deserialize;

use crate::call::{Call, Failure, Value};
use crate::host::HostClock;

/// What a report is asked for; what is null has a default.
#[derive(Deserialize)]
struct GivenOptions {
    from: Option<String>,
    to: Option<String>,
    granularity: String,
}

/// Numbers of an event: the places of its key, name and tool among the words, its credits, whether it was let
/// through.
const NUMBERS: usize = 5;

/// `analyticsReport(options, top, times, words, numbers)`: a report as JSON text. The times are a JSON list of texts,
/// the words a JSON list of all other texts, each once, the numbers five for each event.
pub(crate) fn report(call: &Call<'_>) -> Value {
    let options: GivenOptions = call.json(0).expect("always given");
    let options = AnalyticsOptions {
        from: options.from.as_deref(),
        to: options.to.as_deref(),
        granularity: Some(&options.granularity),
        top: call.number(1),
    };
    let query = match AnalyticsQuery::new(options, HostClock.wall()) {
        Ok(query) => query,
        Err(error @ (AnalyticsError::InvalidTime | AnalyticsError::TooManyBuckets(_))) => {
            return call.fail(Failure::Range, error);
        }
    };
    let (times, words) = (call.given(2), call.given(3));
    let times: Vec<Cow<'_, str>> = read_list(&times);
    let words: Vec<Cow<'_, str>> = read_list(&words);
    let report = call.with_numbers(4, |numbers| {
        let (numbers, _) = numbers.as_chunks::<NUMBERS>();
        query.report(times.iter().zip(numbers).map(|(time, numbers)| view(time, &words, numbers)))
    });
    call.json_text(&report.expect("the shell passes numbers here"))
}

fn read_list(list: &str) -> Vec<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);
    let texts: Vec<Borrowed<'_>> = serde_json::from_str(list).expect("the shell passes a list of texts");
    texts.into_iter().map(|Borrowed(text)| text).collect()
}

fn view<'a>(time: &'a str, words: &'a [Cow<'a, str>], numbers: &[f64; NUMBERS]) -> EventView<'a> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the shell counts from 0")]
    let word = |number: f64| &*words[number as usize];
    let [key, key_name, tool, credits, allowed] = *numbers;
    EventView {
        time: EventTime::Text(time),
        key: word(key),
        key_name: word(key_name),
        tool: word(tool),
        credits,
        allowed: allowed == 1.0,
    }
}
