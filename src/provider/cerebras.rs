use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

use super::duration::{DAY, HOUR, MINUTE};
use super::{Feedback, LimitHeaders, Provider};
use crate::tier::Meter;

/// Cerebras' OpenAI-compatible API.
///
/// It limits requests and tokens by the minute, the hour and the day, each with headers of its own.
/// Their resets are plain seconds, and some refusals come without any of them (read 2026-11-23).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cerebras;

/// Read 2026-11-23.
static LIMITS: [LimitHeaders; 6] = [
    LimitHeaders::new(
        Meter::Requests,
        "x-ratelimit-limit-requests-minute",
        "x-ratelimit-remaining-requests-minute",
        Some("x-ratelimit-reset-requests-minute"),
    )
    .per(MINUTE),
    LimitHeaders::new(
        Meter::Requests,
        "x-ratelimit-limit-requests-hour",
        "x-ratelimit-remaining-requests-hour",
        Some("x-ratelimit-reset-requests-hour"),
    )
    .per(HOUR),
    LimitHeaders::new(
        Meter::Requests,
        "x-ratelimit-limit-requests-day",
        "x-ratelimit-remaining-requests-day",
        Some("x-ratelimit-reset-requests-day"),
    )
    .per(DAY),
    LimitHeaders::new(
        Meter::Tokens,
        "x-ratelimit-limit-tokens-minute",
        "x-ratelimit-remaining-tokens-minute",
        Some("x-ratelimit-reset-tokens-minute"),
    )
    .per(MINUTE),
    LimitHeaders::new(
        Meter::Tokens,
        "x-ratelimit-limit-tokens-hour",
        "x-ratelimit-remaining-tokens-hour",
        Some("x-ratelimit-reset-tokens-hour"),
    )
    .per(HOUR),
    LimitHeaders::new(
        Meter::Tokens,
        "x-ratelimit-limit-tokens-day",
        "x-ratelimit-remaining-tokens-day",
        Some("x-ratelimit-reset-tokens-day"),
    )
    .per(DAY),
];

impl Provider for Cerebras {
    fn name(&self) -> &'static str {
        "cerebras"
    }

    fn feedback(&self, status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Feedback {
        Feedback::read(status, headers, now, &LIMITS)
    }
}
