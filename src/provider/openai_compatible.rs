use std::time::SystemTime;

use http::{HeaderMap, HeaderName, StatusCode};

use super::error_body::ErrorBody;
use super::refusal::Sign;
use super::{Feedback, LimitHeaders, Provider, Refusal, RefusalCause};
use crate::tier::Meter;
use crate::usage::{UsageField, UsagePath};

/// A service that speaks OpenAI's language, and is not known to count by OpenAI's rules.
///
/// What differs is the price of a prompt: OpenAI documents that it estimates from characters, while
/// such a service may count the tokens of its own tokenizer. So the bound of its tokens is
/// reserved, whatever is charged in the end.
///
/// All of it is what a [`Provider`] does by default, except that the codes of Z.AI are known, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenAiCompatible;

impl Provider for OpenAiCompatible {
    fn name(&self) -> &'static str {
        "openai-compatible"
    }

    fn refusal(&self, status: StatusCode, _headers: &HeaderMap, body: &[u8]) -> Option<Refusal> {
        refusal(status, &ErrorBody::read(body), &ZAI_SIGNS)
    }
}

/// Z.AI's codes, by measurement (read 2026-11-23). What else it refuses with is a limit: 1302 on
/// concurrent requests, 1308 and 1310 until a time that its text names without a zone.
static ZAI_SIGNS: [(Sign, RefusalCause); 2] = [
    (Sign::Code("1113"), RefusalCause::Exhausted),
    (Sign::Code("1305"), RefusalCause::Capacity),
];

/// Response objects of the openai Python SDK 3.54, and what its imitators add to them, read
/// 2026-11-23.
pub(super) static USAGE: [UsagePath; 29] = [
    // Chat completions, completions and embeddings.
    UsagePath::last(&["usage", "prompt_tokens"], UsageField::Input),
    UsagePath::last(&["usage", "completion_tokens"], UsageField::Output),
    UsagePath::last(&["usage", "total_tokens"], UsageField::Total),
    UsagePath::last(
        &["usage", "prompt_tokens_details", "cached_tokens"],
        UsageField::CachedInput,
    ),
    UsagePath::last(
        &["usage", "prompt_tokens_details", "cache_write_tokens"],
        UsageField::CacheCreation,
    ),
    UsagePath::last(
        &["usage", "prompt_tokens_details", "audio_tokens"],
        UsageField::InputAudio,
    ),
    UsagePath::last(
        &["usage", "completion_tokens_details", "reasoning_tokens"],
        UsageField::Reasoning,
    ),
    UsagePath::last(
        &["usage", "completion_tokens_details", "audio_tokens"],
        UsageField::OutputAudio,
    ),
    // DeepSeek.
    UsagePath::last(
        &["usage", "prompt_cache_hit_tokens"],
        UsageField::CachedInput,
    ),
    // Responses, with the same total.
    UsagePath::last(&["usage", "input_tokens"], UsageField::Input),
    UsagePath::last(&["usage", "output_tokens"], UsageField::Output),
    UsagePath::last(
        &["usage", "input_tokens_details", "cached_tokens"],
        UsageField::CachedInput,
    ),
    UsagePath::last(
        &["usage", "input_tokens_details", "cache_write_tokens"],
        UsageField::CacheCreation,
    ),
    UsagePath::last(
        &["usage", "input_tokens_details", "audio_tokens"],
        UsageField::InputAudio,
    ),
    UsagePath::last(
        &["usage", "output_tokens_details", "reasoning_tokens"],
        UsageField::Reasoning,
    ),
    UsagePath::last(
        &["usage", "output_tokens_details", "audio_tokens"],
        UsageField::OutputAudio,
    ),
    // Responses, streamed: the last event holds the whole response.
    UsagePath::closing(&["response", "usage", "input_tokens"], UsageField::Input),
    UsagePath::closing(&["response", "usage", "output_tokens"], UsageField::Output),
    UsagePath::closing(&["response", "usage", "total_tokens"], UsageField::Total),
    UsagePath::closing(
        &["response", "usage", "input_tokens_details", "cached_tokens"],
        UsageField::CachedInput,
    ),
    UsagePath::closing(
        &[
            "response",
            "usage",
            "input_tokens_details",
            "cache_write_tokens",
        ],
        UsageField::CacheCreation,
    ),
    UsagePath::closing(
        &["response", "usage", "input_tokens_details", "audio_tokens"],
        UsageField::InputAudio,
    ),
    UsagePath::closing(
        &[
            "response",
            "usage",
            "output_tokens_details",
            "reasoning_tokens",
        ],
        UsageField::Reasoning,
    ),
    UsagePath::closing(
        &["response", "usage", "output_tokens_details", "audio_tokens"],
        UsageField::OutputAudio,
    ),
    // Groq's streams, which need not be asked for `usage`.
    UsagePath::last(&["x_groq", "usage", "prompt_tokens"], UsageField::Input),
    UsagePath::last(
        &["x_groq", "usage", "completion_tokens"],
        UsageField::Output,
    ),
    UsagePath::last(&["x_groq", "usage", "total_tokens"], UsageField::Total),
    UsagePath::last(
        &["x_groq", "usage", "prompt_tokens_details", "cached_tokens"],
        UsageField::CachedInput,
    ),
    UsagePath::last(
        &[
            "x_groq",
            "usage",
            "completion_tokens_details",
            "reasoning_tokens",
        ],
        UsageField::Reasoning,
    ),
];

/// OpenAI's names (rate-limits guide, read 2026-11-23; a project may have a token limit of its
/// own).
pub(super) const REQUESTS: LimitHeaders = LimitHeaders::new(
    Meter::Requests,
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    Some("x-ratelimit-reset-requests"),
);
pub(super) const TOKENS: LimitHeaders = LimitHeaders::new(
    Meter::Tokens,
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    Some("x-ratelimit-reset-tokens"),
);
pub(super) const PROJECT_TOKENS: LimitHeaders = LimitHeaders::new(
    Meter::Tokens,
    "x-ratelimit-limit-project-tokens",
    "x-ratelimit-remaining-project-tokens",
    Some("x-ratelimit-reset-project-tokens"),
);

/// Those of gateways that count requests only.
pub(super) const GATEWAY: LimitHeaders = LimitHeaders::new(
    Meter::Requests,
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    Some("x-ratelimit-reset"),
);

static LIMITS: [LimitHeaders; 4] = [REQUESTS, TOKENS, PROJECT_TOKENS, GATEWAY];

/// Where gateways that count requests tell the end of the window.
static RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

pub(super) fn feedback(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Feedback {
    feedback_of(&LIMITS, status, headers, now)
}

/// The same, of other limits.
pub(super) fn feedback_of(
    limits: &[LimitHeaders],
    status: StatusCode,
    headers: &HeaderMap,
    now: SystemTime,
) -> Feedback {
    Feedback::read(status, headers, now, limits).or_wait_for(&RESET, headers, now)
}

/// OpenAI's error-codes page of 2026-08-26 and its texts, read 2026-11-23. A rate limit and a
/// request that is too large have one code, `rate_limit_exceeded`.
static SIGNS: [(Sign, RefusalCause); 8] = [
    (Sign::Code("insufficient_quota"), RefusalCause::Exhausted),
    (
        Sign::Code("credit_balance_exhausted"),
        RefusalCause::Exhausted,
    ),
    (
        Sign::Code("organization_spend_limit_exceeded"),
        RefusalCause::Exhausted,
    ),
    (
        Sign::Code("project_spend_limit_exceeded"),
        RefusalCause::Exhausted,
    ),
    (
        Sign::Code("organization_usage_limit_exceeded"),
        RefusalCause::Exhausted,
    ),
    (
        Sign::Code("billing_hard_limit_reached"),
        RefusalCause::Exhausted,
    ),
    (
        Sign::Begins(429, "request too large"),
        RefusalCause::TooLarge,
    ),
    // The flexible service tier, short of capacity.
    (
        Sign::Says(429, "resource unavailable"),
        RefusalCause::Capacity,
    ),
];

/// Reads an error in OpenAI's language, looking for a dialect's own `signs` before OpenAI's.
pub(super) fn refusal(
    status: StatusCode,
    error: &ErrorBody,
    signs: &[(Sign, RefusalCause)],
) -> Option<Refusal> {
    Refusal::read(status, error, signs.iter().chain(&SIGNS))
}
