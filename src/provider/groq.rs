use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

use super::duration::{DAY, MINUTE};
use super::{Feedback, LimitHeaders, Provider};
use crate::tier::Meter;

/// Groq's OpenAI-compatible API.
///
/// Its headers on requests always speak of the day, those on tokens of the minute, and both resets tell
/// when all of it is back (rate-limits page, read 2026-10-02; measured 2026-08-18).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Groq;

/// Rate-limits page, read 2026-10-02.
static LIMITS: [LimitHeaders; 2] = [
    LimitHeaders::new(
        Meter::Requests,
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        Some("x-ratelimit-reset-requests"),
    )
    .per(DAY),
    LimitHeaders::new(
        Meter::Tokens,
        "x-ratelimit-limit-tokens",
        "x-ratelimit-remaining-tokens",
        Some("x-ratelimit-reset-tokens"),
    )
    .per(MINUTE),
];

impl Provider for Groq {
    fn name(&self) -> &'static str {
        "groq"
    }

    fn feedback(&self, status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Feedback {
        Feedback::read(status, headers, now, &LIMITS)
    }
}
