use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

use super::error_body::ErrorBody;
use super::refusal::Sign;
use super::usage_header::UsageHeader;
use super::{Feedback, LimitHeaders, Provider, Refusal, RefusalCause, openai_compatible};
use crate::tier::Meter;
use crate::usage::UsageField;

/// Fireworks AI's OpenAI-compatible API.
///
/// Its prompts have two limits, one of them without cached tokens; both are taken for limits on
/// input. Its page says that the headers speak of a second, while their numbers are those of a
/// minute (observed 2026), so no window is claimed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fireworks;

/// Rate-limits page, read 2026-11-23. What remains is in headers that clients have seen.
static LIMITS: [LimitHeaders; 4] = [
    LimitHeaders::new(
        Meter::Requests,
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        None,
    ),
    LimitHeaders::new(
        Meter::InputTokens,
        "x-ratelimit-limit-tokens-prompt",
        "x-ratelimit-remaining-tokens-prompt",
        None,
    ),
    LimitHeaders::new(
        Meter::InputTokens,
        "x-ratelimit-limit-tokens-cache-adjusted-prompt",
        "x-ratelimit-remaining-tokens-cache-adjusted-prompt",
        None,
    ),
    LimitHeaders::new(
        Meter::OutputTokens,
        "x-ratelimit-limit-tokens-generated",
        "x-ratelimit-remaining-tokens-generated",
        None,
    ),
];

/// In the head of every answer, streamed or not (read 2026-11-23).
static USAGE_HEADERS: [UsageHeader; 2] = [
    UsageHeader::new("fireworks-prompt-tokens", UsageField::Input),
    UsageHeader::new("fireworks-cached-prompt-tokens", UsageField::CachedInput),
];

/// 412 says that the account is suspended (client code, read 2026-11-23).
static SIGNS: [(Sign, RefusalCause); 1] = [(Sign::Status(412), RefusalCause::Exhausted)];

impl Provider for Fireworks {
    fn name(&self) -> &'static str {
        "fireworks"
    }

    fn usage_headers(&self) -> &'static [UsageHeader] {
        &USAGE_HEADERS
    }

    fn feedback(&self, status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Feedback {
        Feedback::read(status, headers, now, &LIMITS)
    }

    fn refusal(&self, status: StatusCode, _headers: &HeaderMap, body: &[u8]) -> Option<Refusal> {
        openai_compatible::refusal(status, &ErrorBody::read(body), &SIGNS)
    }
}
