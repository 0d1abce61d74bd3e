use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

use super::duration::MINUTE;
use super::error_body::ErrorBody;
use super::head::Head;
use super::{Feedback, LimitHeaders, Provider, Refusal, RefusalCause, openai_compatible};
use crate::tier::Meter;

/// Mistral's API.
///
/// - Headers on requests and tokens speak of the minute and come with a 429 as well; there is
///   neither a reset nor a `Retry-After` (measured 2026-08-18).
/// - Measured then, a request is charged its `usage.total_tokens`, cached ones included, and not what
///   it asked for: the default is [`Charge::Actual`](crate::Charge::Actual).
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

    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Refusal> {
        let refusal = openai_compatible::refusal(status, &ErrorBody::read(body), &[])?;
        if refusal.cause != RefusalCause::RateLimit {
            return Some(refusal);
        }
        // One code for all that is refused, so the headers tell: a limit of zero is none for this
        // account, and the one that nothing remains of is the one that was reached.
        let head = Head::new(headers, SystemTime::UNIX_EPOCH);
        let limits = || LIMITS.iter().filter_map(|limit| limit.read(head));
        let zero = limits().find(|limit| limit.limit == Some(0));
        let reached = zero.or_else(|| limits().find(|limit| limit.remaining == Some(0)));
        let Some(reached) = reached else {
            return Some(refusal);
        };
        let refusal = Refusal {
            meter: Some(reached.meter),
            window: reached.window,
            limit: reached.limit,
            ..refusal
        };
        Some(refusal.judged_by_numbers())
    }
}
