use std::time::SystemTime;

use http::{HeaderMap, HeaderName, StatusCode};

use super::error_body::ErrorBody;
use super::{Feedback, LimitHeaders, Provider, Refusal, RefusalCause, openai_compatible};
use crate::tier::Meter;

/// OpenRouter's OpenAI-compatible API.
///
/// Headers come with refusals only, and tell in Unix milliseconds when the window of free models
/// ends (read 2026-09-20). That is the wait where there is no `Retry-After`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenRouter;

/// Read 2026-09-20.
static LIMITS: [LimitHeaders; 1] = [LimitHeaders::new(
    Meter::Requests,
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    Some("x-ratelimit-reset"),
)];

static RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

impl Provider for OpenRouter {
    fn name(&self) -> &'static str {
        "openrouter"
    }

    fn feedback(&self, status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Feedback {
        Feedback::read(status, headers, now, &LIMITS).or_wait_for(&RESET, headers, now)
    }

    fn refusal(&self, status: StatusCode, _headers: &HeaderMap, body: &[u8]) -> Option<Refusal> {
        let error = ErrorBody::read(body);
        let refusal = openai_compatible::refusal(status, &error, &[])?;
        Some(match refusal.cause {
            // The limit is OpenRouter's own at the provider behind it, not the caller's.
            RefusalCause::RateLimit if error.is_upstream => Refusal {
                cause: RefusalCause::Capacity,
                ..refusal
            },
            _ => refusal,
        })
    }
}
