use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};

use super::duration::{self, MINUTE};
use super::error_body::ErrorBody;
use super::head::Head;
use super::moment::moments;
use super::refusal::Sign;
use super::{Counting, Feedback, ImageTokens, LimitHeaders, Provider, Refusal, RefusalCause};
use crate::tier::{Charge, Meter};
use crate::usage::{UsageField, UsagePath};

/// Anthropic's Messages API.
///
/// From its rate-limits page, read 2026-11-23:
///
/// - Input counts `input_tokens` and `cache_creation_input_tokens`; reading a cache is free, except
///   with Claude Haiku 3.5.
/// - Output counts the tokens that are produced, while they are produced. `max_tokens` does not
///   count, but it is what bounds them, so it is reserved.
/// - A context that was compacted on the way counts, though the totals of the answer leave it out; so
///   does what another model was asked for an answer, as that list does not part them.
/// - What was used is what counts: [`Charge::Actual`](crate::Charge::Actual).
/// - The remaining tokens in its headers are rounded to thousands.
/// - 529 says that Anthropic is overloaded, not that a limit was reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anthropic;

/// Patches of 28 pixels; Claude 4.7 and later make larger images smaller to 4,784 of them, earlier ones to
/// some 1,570 (image-token-cost, a data set of measurements that fit this to the token, and client
/// code, read 2026-11-24).
pub(super) const IMAGE_TOKENS: ImageTokens = ImageTokens::by_patches(28, 4_784);

/// Response objects of the anthropic Python SDK 2.12, read 2026-11-23.
pub(super) static USAGE: [UsagePath; 14] = [
    // A whole message, or the running totals of a stream's `message_delta`. Only the output is
    // always there, and only it says that the message came to its end.
    UsagePath::closing(&["usage", "output_tokens"], UsageField::Output),
    UsagePath::interim(&["usage", "input_tokens"], UsageField::UncachedInput),
    UsagePath::interim(
        &["usage", "cache_creation_input_tokens"],
        UsageField::CacheCreation,
    ),
    UsagePath::interim(
        &["usage", "cache_read_input_tokens"],
        UsageField::CachedInput,
    ),
    UsagePath::interim(
        &["usage", "output_tokens_details", "thinking_tokens"],
        UsageField::Reasoning,
    ),
    // What an answer took that the model began several times for: to compact its context, or to ask
    // another. The totals leave out the former (beta of the same SDK, read 2026-11-23).
    UsagePath::interim(
        &["usage", "iterations", UsagePath::EACH, "output_tokens"],
        UsageField::Output,
    ),
    UsagePath::interim(
        &["usage", "iterations", UsagePath::EACH, "input_tokens"],
        UsageField::UncachedInput,
    ),
    UsagePath::interim(
        &[
            "usage",
            "iterations",
            UsagePath::EACH,
            "cache_creation_input_tokens",
        ],
        UsageField::CacheCreation,
    ),
    UsagePath::interim(
        &[
            "usage",
            "iterations",
            UsagePath::EACH,
            "cache_read_input_tokens",
        ],
        UsageField::CachedInput,
    ),
    // A stream's `message_start`.
    UsagePath::interim(&["message", "usage", "output_tokens"], UsageField::Output),
    UsagePath::interim(
        &["message", "usage", "input_tokens"],
        UsageField::UncachedInput,
    ),
    UsagePath::interim(
        &["message", "usage", "cache_creation_input_tokens"],
        UsageField::CacheCreation,
    ),
    UsagePath::interim(
        &["message", "usage", "cache_read_input_tokens"],
        UsageField::CachedInput,
    ),
    UsagePath::interim(
        &[
            "message",
            "usage",
            "output_tokens_details",
            "thinking_tokens",
        ],
        UsageField::Reasoning,
    ),
];

/// API reference, read 2026-11-23: all are per minute (rate-limits page, 2026-10-04). Resets tell when
/// all of it is back.
/// `anthropic-ratelimit-tokens-*` repeats whichever limit is tightest and is not one of its own.
static LIMITS: [LimitHeaders; 3] = [
    LimitHeaders::new(
        Meter::Requests,
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        Some("anthropic-ratelimit-requests-reset"),
    )
    .per(MINUTE),
    LimitHeaders::new(
        Meter::InputTokens,
        "anthropic-ratelimit-input-tokens-limit",
        "anthropic-ratelimit-input-tokens-remaining",
        Some("anthropic-ratelimit-input-tokens-reset"),
    )
    .per(MINUTE)
    .rounded_to(1_000),
    LimitHeaders::new(
        Meter::OutputTokens,
        "anthropic-ratelimit-output-tokens-limit",
        "anthropic-ratelimit-output-tokens-remaining",
        Some("anthropic-ratelimit-output-tokens-reset"),
    )
    .per(MINUTE)
    .rounded_to(1_000),
];

/// The anthropic Python SDK 2.12 and API errors page, read 2026-11-23. An invalid request is what a
/// spending cap of the account's own makes, and a lack of credit.
static SIGNS: [(Sign, RefusalCause); 8] = [
    (
        Sign::Code("enforced_spend_limit_reached"),
        RefusalCause::Exhausted,
    ),
    (
        Sign::Code("contract_spend_limit_reached"),
        RefusalCause::Exhausted,
    ),
    (
        Sign::Code("linked_organization_spend_limit_reached"),
        RefusalCause::Exhausted,
    ),
    (Sign::Code("billing_error"), RefusalCause::Exhausted),
    (Sign::Code("overloaded_error"), RefusalCause::Capacity),
    (Sign::Code("request_too_large"), RefusalCause::TooLarge),
    (
        Sign::Begins(400, "you have reached your specified api usage limits"),
        RefusalCause::Exhausted,
    ),
    (
        Sign::Begins(400, "your credit balance is too low"),
        RefusalCause::Exhausted,
    ),
];

/// Claude Haiku 3.5, by its ids here and at its other hosts (rate-limits page, read 2026-11-23).
static COUNT_CACHE: [&str; 2] = ["claude-3-5-haiku", "claude-haiku-3-5"];

impl Provider for Anthropic {
    fn name(&self) -> &'static str {
        "anthropic"
    }

    fn usage_paths(&self) -> &'static [UsagePath] {
        &USAGE
    }

    fn counting(&self, model: Option<&str>, _charge: Charge) -> Counting {
        match model {
            Some(model) if COUNT_CACHE.iter().any(|name| model.contains(name)) => Counting::ALL,
            _ => Counting::ALL.without_cached_input(),
        }
    }

    fn feedback(&self, status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Feedback {
        Feedback::read(status, headers, now, &LIMITS)
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Refusal> {
        let error = ErrorBody::read(body);
        let refusal = Refusal::read(status, &error, &SIGNS)?;
        Some(match refusal.cause {
            RefusalCause::Exhausted => Refusal {
                retry_after: until_regained(headers, &error.message).or(refusal.retry_after),
                ..refusal
            },
            _ => refusal,
        })
    }
}

/// How long a spending cap of the account's own still holds, if its message names the end and the
/// response its own date: `you will regain access on 2026-12-01 at 00:00 utc.`
fn until_regained(headers: &HeaderMap, message: &str) -> Option<Duration> {
    let (_, when) = message.split_once("regain access on ")?;
    let (date, when) = when.split_once(" at ")?;
    let (time, _) = when.split_once(" utc")?;
    let end = moments(&format!("{date}T{time}:00Z")).next()?;
    let made = Head::new(headers, SystemTime::UNIX_EPOCH).date()?;
    duration::plausible(end.duration_since(made).ok()?)
}
