use std::time::Duration;

use super::duration::{self, DAY, HOUR, MINUTE, SECOND};
use crate::tier::Meter;

/// What a message about a limit says of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) meter: Option<Meter>,
    pub(super) window: Option<Duration>,
    pub(super) limit: Option<u64>,
    pub(super) used: Option<u64>,
    pub(super) requested: Option<u64>,
    pub(super) retry_after: Option<Duration>,
}

/// What messages call a limit. The first that a message has is what it is about.
///
/// OpenAI's and Groq's texts (read 2026-11-23), Anthropic's (seen 2025-05-29), OpenRouter's (seen
/// 2026-04-28), Cohere's, Azure's (seen 2025-11-23), Bedrock's (seen 2026-01-08).
static NAMES: [(&str, Meter, Option<Duration>); 15] = [
    ("input tokens per min", Meter::InputTokens, Some(MINUTE)),
    ("output tokens per min", Meter::OutputTokens, Some(MINUTE)),
    ("tokens per min", Meter::Tokens, Some(MINUTE)),
    ("tokens per day", Meter::Tokens, Some(DAY)),
    ("requests per second", Meter::Requests, Some(SECOND)),
    ("requests per min", Meter::Requests, Some(MINUTE)),
    ("requests per day", Meter::Requests, Some(DAY)),
    ("models-per-min", Meter::Requests, Some(MINUTE)),
    ("models-per-day", Meter::Requests, Some(DAY)),
    ("calls / minute", Meter::Requests, Some(MINUTE)),
    ("calls / month", Meter::Requests, None),
    ("concurren", Meter::Concurrent, None),
    ("token rate limit", Meter::Tokens, None),
    ("too many tokens", Meter::Tokens, None),
    ("call rate limit", Meter::Requests, None),
];

/// Words before a wait.
const WAITS: [&str; 3] = ["try again in ", "retry in ", "retry after "];

/// Words for units, by their beginnings.
const UNITS: [(&str, Duration); 6] = [
    ("millisecond", Duration::from_millis(1)),
    ("ms", Duration::from_millis(1)),
    ("second", SECOND),
    ("minute", MINUTE),
    ("hour", HOUR),
    ("day", DAY),
];

impl Figures {
    /// Reads a message, which has to be in lower case.
    ///
    /// Of several limits the smallest is taken, of several waits the longest.
    pub(super) fn read(message: &str) -> Self {
        let name = NAMES
            .iter()
            .find_map(|name| Some((message.find(name.0)?, name)));
        // `of 40,000 input tokens per minute`
        let before_name = name.and_then(|(at, _)| {
            let word = message[..at].split_ascii_whitespace().next_back()?;
            word.ends_with(|char: char| char.is_ascii_digit())
                .then(|| number(word))?
        });
        Self {
            meter: name.map(|(_, (_, meter, _))| *meter),
            window: name.and_then(|(_, (_, _, window))| *window),
            limit: labelled(message, "limit").or(before_name),
            used: labelled(message, "used"),
            requested: labelled(message, "requested"),
            retry_after: WAITS
                .iter()
                .flat_map(|words| after(message, words))
                .filter_map(wait)
                .max(),
        }
    }
}

/// `Limit 30000,` or `limit: 20`.
fn labelled(message: &str, label: &str) -> Option<u64> {
    after(message, label)
        .filter_map(|rest| number(rest.strip_prefix(':').unwrap_or(rest).strip_prefix(' ')?))
        .min()
}

/// What follows each place where `words` begin a word.
fn after<'a>(message: &'a str, words: &str) -> impl Iterator<Item = &'a str> {
    message.match_indices(words).filter_map(|(at, words)| {
        let is_beginning = !message[..at].ends_with(char::is_alphanumeric);
        is_beginning.then(|| &message[at + words.len()..])
    })
}

/// The whole number at the beginning of `text`, perhaps with commas between its thousands.
fn number(text: &str) -> Option<u64> {
    let end = text.find(|char: char| !char.is_ascii_digit() && char != ',');
    let (number, rest) = text.split_at(end.unwrap_or(text.len()));
    let has_fraction = rest
        .strip_prefix('.')
        .is_some_and(|rest| rest.starts_with(|char: char| char.is_ascii_digit()));
    if has_fraction {
        return None;
    }
    number.replace(',', "").parse().ok()
}

/// `6m0s.`, `12.94s`, `6 seconds.`
fn wait(text: &str) -> Option<Duration> {
    let mut words = text.split_ascii_whitespace();
    let amount = words.next()?.trim_end_matches(['.', ',', ';', ')']);
    let unit = words.next().unwrap_or_default();
    let unit = UNITS.iter().find(|(name, _)| unit.starts_with(name));
    match unit.and_then(|(_, unit)| duration::decimal(amount, *unit)) {
        Some(wait) => duration::plausible(wait),
        None => duration::reset(amount),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_and_names() {
        let openai = "rate limit reached for gpt-4o-mini in organization org-x on tokens per min \
                      (tpm): limit 200000, used 199000, requested 2000. please try again in 300ms.";
        assert_eq!(
            Figures::read(openai),
            Figures {
                meter: Some(Meter::Tokens),
                window: Some(MINUTE),
                limit: Some(200_000),
                used: Some(199_000),
                requested: Some(2_000),
                retry_after: Some(Duration::from_millis(300)),
            }
        );
        let anthropic = "this request would exceed the rate limit for your organization of 40,000 \
                         input tokens per minute.";
        assert_eq!(
            Figures::read(anthropic),
            Figures {
                meter: Some(Meter::InputTokens),
                window: Some(MINUTE),
                limit: Some(40_000),
                ..Figures::default()
            }
        );
        assert_eq!(Figures::read(""), Figures::default());
    }

    #[test]
    fn reads_the_smallest_limit() {
        let cases = [
            ("limit: 20, limit: 0, limit: 5", Some(0)),
            ("limit 1,000,000, used 5", Some(1_000_000)),
            ("limit 7.", Some(7)),
            ("limit 0.5", None),
            ("limit -1", None),
            ("limit", None),
            ("limit: ", None),
            ("limits 5", None),
            ("unlimit 5", None),
            ("limit 99999999999999999999", None),
            ("limit ,", None),
        ];
        for (message, expected) in cases {
            assert_eq!(Figures::read(message).limit, expected, "{message:?}");
        }
    }

    #[test]
    fn reads_waits() {
        let cases = [
            ("please try again in 6m0s.", Some(360_000)),
            ("try again in 1.5s, or retry in 12.94s", Some(12_940)),
            ("please retry after 6 seconds. please go", Some(6_000)),
            ("try again in 2 minutes", Some(120_000)),
            ("try again in 20 ms", Some(20)),
            ("please retry in 65205s", Some(65_205_000)),
            ("retry in 5", Some(5_000)),
            ("try again in a moment", None),
            ("retry in -5s", None),
            ("retry in 400 days", None),
            ("retry in", None),
        ];
        for (message, expected) in cases {
            let expected = expected.map(Duration::from_millis);
            assert_eq!(Figures::read(message).retry_after, expected, "{message:?}");
        }
    }
}
