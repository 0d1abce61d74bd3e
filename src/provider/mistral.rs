use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

use super::duration::MINUTE;
use super::{Feedback, LimitHeaders, Provider};
use crate::tier::Meter;

/// Mistral's API.
///
/// - Headers on requests and tokens speak of the minute and come with a 429 as well; there is neither a
///   reset nor a `Retry-After` (measured 2026-08-18).
/// - Measured then, a request is charged what it used. That is not documented, so the default
///   stays [`Charge::Reserved`](crate::Charge::Reserved).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mistral;

/// Measured 2026-08-18; the last two are of answers from 2025.
static LIMITS: [LimitHeaders; 4] = [
    LimitHeaders::new(
        Meter::Requests,
        "x-ratelimit-limit-req-minute",
        "x-ratelimit-remaining-req-minute",
        None,
    )
    .per(MINUTE),
    LimitHeaders::new(
        Meter::Tokens,
        "x-ratelimit-limit-tokens-minute",
        "x-ratelimit-remaining-tokens-minute",
        None,
    )
    .per(MINUTE),
    LimitHeaders::new(
        Meter::Tokens,
        "x-ratelimitbysize-limit-minute",
        "x-ratelimitbysize-remaining-minute",
        None,
    )
    .per(MINUTE),
    LimitHeaders::new(
        Meter::Tokens,
        "ratelimitbysize-limit",
        "ratelimitbysize-remaining",
        Some("ratelimitbysize-reset"),
    ),
];

impl Provider for Mistral {
    fn name(&self) -> &'static str {
        "mistral"
    }

    fn feedback(&self, status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Feedback {
        Feedback::read(status, headers, now, &LIMITS)
    }
}
