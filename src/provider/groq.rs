use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

use super::duration::{DAY, MINUTE};
use super::error_body::ErrorBody;
use super::refusal::Sign;
use super::{Counting, Feedback, LimitHeaders, Provider, Refusal, RefusalCause, openai_compatible};
use crate::tier::{Charge, Meter};

/// Groq's OpenAI-compatible API.
///
/// Its headers on requests always speak of the day, those on tokens of the minute, and both resets
/// tell when all of it is back (rate-limits page, read 2026-10-02; measured 2026-08-18). Tokens that
/// were read from a cache do not count (same page).
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

/// 498 says that the flexible service tier is short of capacity (its reference, read 2026-11-23).
static SIGNS: [(Sign, RefusalCause); 1] = [(Sign::Status(498), RefusalCause::Capacity)];

impl Provider for Groq {
    fn name(&self) -> &'static str {
        "groq"
    }

    fn counting(&self, _model: Option<&str>, _charge: Charge) -> Counting {
        Counting::ALL.without_cached_input()
    }

    fn feedback(&self, status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Feedback {
        Feedback::read(status, headers, now, &LIMITS)
    }

    fn refusal(&self, status: StatusCode, _headers: &HeaderMap, body: &[u8]) -> Option<Refusal> {
        openai_compatible::refusal(status, &ErrorBody::read(body), &SIGNS)
    }
}
