use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

use super::{Feedback, LimitHeaders, Provider};
use crate::schedule::Cost;
use crate::tier::Meter;
use crate::usage::{Usage, UsageField, UsagePath};

/// Anthropic's Messages API.
///
/// From its rate-limits page, read 2026-11-23:
///
/// - Input counts `input_tokens` and `cache_creation_input_tokens`; reading a cache is free. (Claude
///   Haiku 3.5 counts that too, which is not told apart here.)
/// - Output counts the tokens that are produced, while they are produced. `max_tokens` does not
///   count, but it is what bounds them, so it is reserved.
/// - What was used is what counts: [`Charge::Actual`](crate::Charge::Actual).
/// - The remaining tokens in its headers are rounded to thousands.
/// - 529 says that Anthropic is overloaded, not that a limit was reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anthropic;

/// Response objects of the anthropic Python SDK 2.12, read 2026-11-23.
static USAGE: [UsagePath; 10] = [
    // A whole message, or the running totals of a stream's `message_delta`. Only the output is
    // always there, and only it says that the message came to its end.
    UsagePath::closing(&["usage", "output_tokens"], UsageField::Output),
    UsagePath::interim(&["usage", "input_tokens"], UsageField::Input),
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
    // A stream's `message_start`.
    UsagePath::interim(&["message", "usage", "output_tokens"], UsageField::Output),
    UsagePath::interim(&["message", "usage", "input_tokens"], UsageField::Input),
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

/// API reference, read 2026-11-23. Resets are points in time and need a clock: they are left out.
/// `anthropic-ratelimit-tokens-*` repeats whichever limit is tightest and is not one of its own.
static LIMITS: [LimitHeaders; 3] = [
    LimitHeaders::new(
        Meter::Requests,
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        None,
    ),
    LimitHeaders::new(
        Meter::InputTokens,
        "anthropic-ratelimit-input-tokens-limit",
        "anthropic-ratelimit-input-tokens-remaining",
        None,
    ),
    LimitHeaders::new(
        Meter::OutputTokens,
        "anthropic-ratelimit-output-tokens-limit",
        "anthropic-ratelimit-output-tokens-remaining",
        None,
    ),
];

impl Provider for Anthropic {
    fn name(&self) -> &'static str {
        "anthropic"
    }

    fn usage_paths(&self) -> &'static [UsagePath] {
        &USAGE
    }

    fn charged(&self, usage: &Usage, reserved: &Cost) -> Cost {
        let input = usage
            .input_tokens
            .map_or(reserved.input_tokens, |uncached| {
                uncached.saturating_add(usage.cache_creation_tokens.unwrap_or(0))
            });
        let output = usage.output_tokens.unwrap_or(reserved.output_tokens);
        Cost {
            input_tokens: input,
            output_tokens: output,
            tokens: input.saturating_add(output),
            ..*reserved
        }
    }

    fn feedback(&self, status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Feedback {
        Feedback::read(status, headers, now, &LIMITS)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;

    use super::*;

    #[test]
    fn charges_what_the_limits_count() {
        let reserved = Cost::request()
            .with_input_tokens(100)
            .with_output_tokens(400)
            .with_tokens(500);
        let usage = Usage {
            input_tokens: Some(50),
            output_tokens: Some(12),
            cached_input_tokens: Some(2_000),
            cache_creation_tokens: Some(30),
            ..Usage::default()
        };
        let charged = Anthropic.charged(&usage, &reserved);
        assert_eq!((charged.input_tokens, charged.output_tokens), (80, 12));
        assert_eq!((charged.tokens, charged.requests), (92, 1));
        assert_eq!(Anthropic.charged(&Usage::default(), &reserved), reserved);
    }

    #[test]
    fn reads_its_headers() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("anthropic-ratelimit-requests-limit", "1000"),
            ("anthropic-ratelimit-requests-remaining", "999"),
            ("anthropic-ratelimit-requests-reset", "2026-11-23T00:00:00Z"),
            ("anthropic-ratelimit-tokens-limit", "80000"),
            ("anthropic-ratelimit-tokens-remaining", "79000"),
            ("anthropic-ratelimit-output-tokens-limit", "400000"),
            ("anthropic-ratelimit-output-tokens-remaining", "399000"),
            ("retry-after", "3"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let overloaded = StatusCode::from_u16(529).unwrap();
        let feedback = Anthropic.feedback(overloaded, &headers, SystemTime::UNIX_EPOCH);
        assert!(!feedback.throttled);
        assert_eq!(feedback.retry_after, Some(Duration::from_secs(3)));
        let limits: Vec<_> = feedback
            .limits
            .iter()
            .map(|limit| (limit.meter, limit.limit, limit.remaining, limit.reset))
            .collect();
        assert_eq!(
            limits,
            [
                (Meter::Requests, Some(1_000), Some(999), None),
                (Meter::OutputTokens, Some(400_000), Some(399_000), None),
            ]
        );
        assert!(
            Anthropic
                .feedback(
                    StatusCode::TOO_MANY_REQUESTS,
                    &headers,
                    SystemTime::UNIX_EPOCH
                )
                .throttled
        );
    }
}
