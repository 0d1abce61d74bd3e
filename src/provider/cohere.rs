use std::time::SystemTime;

use http::{HeaderMap, HeaderName, StatusCode};

use super::error_body::ErrorBody;
use super::refusal::Sign;
use super::{Feedback, LimitHeaders, Provider, Refusal, RefusalCause, openai_compatible};
use crate::tier::Meter;

/// Cohere's API.
///
/// Trial keys see what remains of an endpoint's calls. A refusal without `Retry-After` may name the
/// Unix time of its end in `X-RateLimit-Reset` (cohere SDK 7.3, read 2026-11-23).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cohere;

/// Answers to trial keys, read 2026-11-23. The limit by the month has no remainder.
static LIMITS: [LimitHeaders; 1] = [LimitHeaders::new(
    Meter::Requests,
    "x-trial-endpoint-call-limit",
    "x-trial-endpoint-call-remaining",
    None,
)];

static RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The month of a trial key does not end while anybody waits.
static SIGNS: [(Sign, RefusalCause); 1] =
    [(Sign::Says(429, "calls / month"), RefusalCause::Exhausted)];

impl Provider for Cohere {
    fn name(&self) -> &'static str {
        "cohere"
    }

    fn feedback(&self, status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Feedback {
        Feedback::read(status, headers, now, &LIMITS).or_wait_for(&RESET, headers, now)
    }

    fn refusal(&self, status: StatusCode, _headers: &HeaderMap, body: &[u8]) -> Option<Refusal> {
        openai_compatible::refusal(status, &ErrorBody::read(body), &SIGNS)
    }
}
