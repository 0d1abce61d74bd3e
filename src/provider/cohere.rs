use std::time::SystemTime;

use http::{HeaderMap, HeaderName, StatusCode};

use super::error_body::ErrorBody;
use super::refusal::Sign;
use super::{Feedback, LimitHeaders, Provider, Refusal, RefusalCause, openai_compatible};
use crate::tier::Meter;
use crate::usage::{UsageField, UsagePath};

/// Cohere's API.
///
/// Trial keys see what remains of an endpoint's calls. A refusal without `Retry-After` may name the
/// Unix time of its end in `X-RateLimit-Reset` (cohere SDK 7.3, read 2026-11-23).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cohere;

/// Response objects of the cohere Python SDK 7.3, read 2026-11-23: its numbers may have a fraction of
/// zero. What the model read and wrote goes before what is billed.
pub(super) static USAGE: [UsagePath; 14] = [
    // Chat.
    UsagePath::last(&["usage", "tokens", "input_tokens"], UsageField::Input),
    UsagePath::last(&["usage", "tokens", "output_tokens"], UsageField::Output),
    UsagePath::last(&["usage", "cached_tokens"], UsageField::CachedInput),
    UsagePath::last(
        &["usage", "billed_units", "input_tokens"],
        UsageField::BilledInput,
    ),
    UsagePath::last(
        &["usage", "billed_units", "output_tokens"],
        UsageField::BilledOutput,
    ),
    // Chat, streamed: the `message-end`.
    UsagePath::closing(
        &["delta", "usage", "tokens", "input_tokens"],
        UsageField::Input,
    ),
    UsagePath::closing(
        &["delta", "usage", "tokens", "output_tokens"],
        UsageField::Output,
    ),
    UsagePath::closing(
        &["delta", "usage", "cached_tokens"],
        UsageField::CachedInput,
    ),
    UsagePath::closing(
        &["delta", "usage", "billed_units", "input_tokens"],
        UsageField::BilledInput,
    ),
    UsagePath::closing(
        &["delta", "usage", "billed_units", "output_tokens"],
        UsageField::BilledOutput,
    ),
    // Embeddings, reranking and the first API.
    UsagePath::last(&["meta", "tokens", "input_tokens"], UsageField::Input),
    UsagePath::last(&["meta", "tokens", "output_tokens"], UsageField::Output),
    UsagePath::last(
        &["meta", "billed_units", "input_tokens"],
        UsageField::BilledInput,
    ),
    UsagePath::last(
        &["meta", "billed_units", "output_tokens"],
        UsageField::BilledOutput,
    ),
];

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

    fn usage_paths(&self) -> &'static [UsagePath] {
        &USAGE
    }

    fn feedback(&self, status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Feedback {
        Feedback::read(status, headers, now, &LIMITS).or_wait_for(&RESET, headers, now)
    }

    fn refusal(&self, status: StatusCode, _headers: &HeaderMap, body: &[u8]) -> Option<Refusal> {
        openai_compatible::refusal(status, &ErrorBody::read(body), &SIGNS)
    }
}
