use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

use super::duration::SECOND;
use super::error_body::ErrorBody;
use super::{Feedback, LimitHeaders, Provider, Refusal, openai_compatible};
use crate::tier::Meter;

/// Together AI's OpenAI-compatible API.
///
/// Its headers speak of one second, also where its console shows minutes. The dynamic limit, about
/// twice the rate of the past hour, has headers of its own (rate-limits page of 2026-01).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Together;

/// Rate-limits page of 2026-01.
static LIMITS: [LimitHeaders; 4] = [
    LimitHeaders::new(
        Meter::Requests,
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        Some("x-ratelimit-reset"),
    )
    .per(SECOND),
    LimitHeaders::new(
        Meter::Requests,
        "x-ratelimit-limit-dynamic",
        "x-ratelimit-remaining-dynamic",
        None,
    )
    .per(SECOND),
    LimitHeaders::new(
        Meter::Tokens,
        "x-tokenlimit-limit",
        "x-tokenlimit-remaining",
        None,
    )
    .per(SECOND),
    LimitHeaders::new(
        Meter::Tokens,
        "x-tokenlimit-limit-dynamic",
        "x-tokenlimit-remaining-dynamic",
        None,
    )
    .per(SECOND),
];

impl Provider for Together {
    fn name(&self) -> &'static str {
        "together"
    }

    fn feedback(&self, status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Feedback {
        Feedback::read(status, headers, now, &LIMITS)
    }

    fn refusal(&self, status: StatusCode, _headers: &HeaderMap, body: &[u8]) -> Option<Refusal> {
        let error = ErrorBody::read(body);
        let refusal = openai_compatible::refusal(status, &error, &[])?;
        // Error types of its rate-limits page of 2026-01.
        let meter = error.codes().find_map(|code| match code {
            "dynamic_request_limited" => Some(Meter::Requests),
            "dynamic_token_limited" => Some(Meter::Tokens),
            _ => None,
        });
        Some(Refusal {
            meter: meter.or(refusal.meter),
            ..refusal
        })
    }
}
