use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

use super::duration::MINUTE;
use super::error_body::ErrorBody;
use super::refusal::Sign;
use super::{
    Feedback, ImageTokens, LimitHeaders, Provider, Refusal, RefusalCause, openai, openai_compatible,
};
use crate::tier::Meter;

/// Azure OpenAI, which speaks OpenAI's language.
///
/// - A deployment's headers speak of the minute, and their resets are plain numbers of seconds
///   (quotas page of 2026-02-17). Requests are refused by windows of 1 or 10 seconds all the same.
/// - Its token limit may be below the configured one for hours: the header is right (same page).
/// - Provisioned deployments ask for their waits in `retry-after-ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Azure;

/// Quotas page of 2026-02-17.
static LIMITS: [LimitHeaders; 2] = [
    LimitHeaders::new(
        Meter::Requests,
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        Some("x-ratelimit-reset-requests"),
    )
    .per(MINUTE),
    LimitHeaders::new(
        Meter::Tokens,
        "x-ratelimit-limit-tokens",
        "x-ratelimit-remaining-tokens",
        Some("x-ratelimit-reset-tokens"),
    )
    .per(MINUTE),
];

/// Its texts for a want of capacity, read 2026-11-23.
static SIGNS: [(Sign, RefusalCause); 2] = [
    (
        Sign::Says(429, "temporarily unable to process your request"),
        RefusalCause::Capacity,
    ),
    (Sign::Says(429, "high demand"), RefusalCause::Capacity),
];

impl Provider for Azure {
    fn name(&self) -> &'static str {
        "azure"
    }

    fn image_tokens(&self, model: Option<&str>) -> ImageTokens {
        openai::image_tokens(model)
    }

    fn feedback(&self, status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Feedback {
        Feedback::read(status, headers, now, &LIMITS)
    }

    fn refusal(&self, status: StatusCode, _headers: &HeaderMap, body: &[u8]) -> Option<Refusal> {
        openai_compatible::refusal(status, &ErrorBody::read(body), &SIGNS)
    }
}
