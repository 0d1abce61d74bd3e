use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

use super::{Feedback, LimitHeaders, Provider, RequestFacts};
use crate::schedule::Cost;
use crate::tier::{Charge, Meter};
use crate::usage::{Usage, UsageField, UsagePath};

/// OpenAI, and the many services that speak its language.
///
/// - A request counts the larger of its output cap and an estimate from its characters (rate-limits
///   guide, read 2026-11-23). The sum of both is reserved, which is never less.
/// - That unused tokens come back is not documented, so the default is [`Charge::Reserved`].
/// - Cached prompt tokens count in full (prompt-caching guide, read 2026-11-23).
/// - A stream reports usage only if the request has `"stream_options":{"include_usage":true}`; the
///   Responses API always does (API reference, read 2026-11-23).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenAi;

/// Response objects of the openai Python SDK 3.54, read 2026-11-23.
static USAGE: [UsagePath; 17] = [
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
        &["usage", "completion_tokens_details", "reasoning_tokens"],
        UsageField::Reasoning,
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
        &["usage", "output_tokens_details", "reasoning_tokens"],
        UsageField::Reasoning,
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
        &[
            "response",
            "usage",
            "output_tokens_details",
            "reasoning_tokens",
        ],
        UsageField::Reasoning,
    ),
];

/// Rate-limits guide, read 2026-11-23. A project may have a token limit of its own.
static LIMITS: [LimitHeaders; 3] = [
    LimitHeaders::new(
        Meter::Requests,
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        Some("x-ratelimit-reset-requests"),
    ),
    LimitHeaders::new(
        Meter::Tokens,
        "x-ratelimit-limit-tokens",
        "x-ratelimit-remaining-tokens",
        Some("x-ratelimit-reset-tokens"),
    ),
    LimitHeaders::new(
        Meter::Tokens,
        "x-ratelimit-limit-project-tokens",
        "x-ratelimit-remaining-project-tokens",
        Some("x-ratelimit-reset-project-tokens"),
    ),
];

/// A service that speaks OpenAI's language, and is not known to count by OpenAI's rules.
///
/// What differs is the price of a prompt: OpenAI documents that it estimates from characters, while
/// such a service may count the tokens of its own tokenizer. So half of the bytes are reserved,
/// whatever is charged in the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenAiCompatible;

impl Provider for OpenAiCompatible {
    fn name(&self) -> &'static str {
        "openai-compatible"
    }

    fn usage_paths(&self) -> &'static [UsagePath] {
        OpenAi.usage_paths()
    }

    fn price(&self, request: &RequestFacts, _charge: Charge) -> Cost {
        request.cost(Charge::Actual)
    }

    fn charged(&self, usage: &Usage, reserved: &Cost) -> Cost {
        OpenAi.charged(usage, reserved)
    }

    fn feedback(&self, status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Feedback {
        OpenAi.feedback(status, headers, now)
    }
}

impl Provider for OpenAi {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn usage_paths(&self) -> &'static [UsagePath] {
        &USAGE
    }

    fn charged(&self, usage: &Usage, reserved: &Cost) -> Cost {
        // Some imitators leave reasoning out of the output but not out of the total (xAI), and
        // embeddings report no output at all: what the total has beyond the input is output.
        let beyond_input = match (usage.total_tokens, usage.input_tokens) {
            (Some(total), Some(input)) => Some(total.saturating_sub(input)),
            _ => None,
        };
        let output = usage.output_tokens.max(beyond_input);
        let sum = match (usage.input_tokens, output) {
            (Some(input), Some(output)) => Some(input.saturating_add(output)),
            _ => None,
        };
        Cost {
            input_tokens: usage.input_tokens.unwrap_or(reserved.input_tokens),
            output_tokens: output.unwrap_or(reserved.output_tokens),
            tokens: usage.total_tokens.max(sum).unwrap_or(reserved.tokens),
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
    use crate::provider::{Endpoint, RequestFacts};

    fn usage(input: Option<u64>, output: Option<u64>, total: Option<u64>) -> Usage {
        Usage {
            input_tokens: input,
            output_tokens: output,
            total_tokens: total,
            ..Usage::default()
        }
    }

    #[test]
    fn charges_what_the_limits_count() {
        let reserved = Cost::request()
            .with_input_tokens(100)
            .with_output_tokens(400)
            .with_tokens(500);
        let cases = [
            (usage(Some(120), Some(45), Some(165)), (120, 45, 165)),
            (usage(Some(120), Some(45), None), (120, 45, 165)),
            // Embeddings.
            (usage(Some(8), None, Some(8)), (8, 0, 8)),
            // Reasoning in the total only.
            (usage(Some(32), Some(9), Some(135)), (32, 103, 135)),
            // A total that does not add up.
            (usage(Some(120), Some(45), Some(100)), (120, 45, 165)),
            (usage(None, Some(45), None), (100, 45, 500)),
            (usage(Some(7), None, None), (7, 400, 500)),
            (usage(None, None, Some(77)), (100, 400, 77)),
            (usage(None, None, None), (100, 400, 500)),
        ];
        for (usage, (input, output, tokens)) in cases {
            let expected = Cost::request()
                .with_input_tokens(input)
                .with_output_tokens(output)
                .with_tokens(tokens);
            assert_eq!(OpenAi.charged(&usage, &reserved), expected, "{usage:?}");
        }
        let cached = Usage {
            cached_input_tokens: Some(64),
            ..usage(Some(120), Some(45), Some(165))
        };
        assert_eq!(OpenAi.charged(&cached, &reserved).tokens, 165);
    }

    #[test]
    fn reserves_no_less_than_the_documented_rule() {
        for (text_bytes, cap) in [(0, 10), (4_000, 16), (399, 400), (u64::MAX, u64::MAX)] {
            let facts = RequestFacts {
                text_bytes,
                max_output_tokens: Some(cap),
                ..RequestFacts::default()
            };
            let cost = OpenAi.price(&facts, Charge::Reserved);
            assert!(cost.tokens >= cap.max(text_bytes.div_ceil(4)));
        }
    }

    #[test]
    fn embeddings_have_no_output() {
        let facts = RequestFacts {
            text_bytes: 400,
            endpoint: Endpoint::Embeddings,
            assumed_output_tokens: 1_000,
            ..RequestFacts::default()
        };
        let cost = OpenAi.price(&facts, Charge::Reserved);
        assert_eq!(cost.output_tokens, 0);
        assert_eq!(cost.tokens, cost.input_tokens);
    }

    #[test]
    fn reads_its_headers() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-ratelimit-limit-requests", "200"),
            ("x-ratelimit-remaining-requests", "199"),
            ("x-ratelimit-reset-requests", "7m12s"),
            ("x-ratelimit-limit-tokens", "150000"),
            ("x-ratelimit-remaining-tokens", "149990"),
            ("x-ratelimit-reset-tokens", "4ms"),
            ("x-ratelimit-limit-project-tokens", "1000"),
            ("x-ratelimit-remaining-project-tokens", "0"),
            ("x-ratelimit-reset-project-tokens", "3s"),
            ("retry-after", "20"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let feedback = OpenAi.feedback(
            StatusCode::TOO_MANY_REQUESTS,
            &headers,
            SystemTime::UNIX_EPOCH,
        );
        assert!(feedback.throttled);
        assert_eq!(feedback.retry_after, Some(Duration::from_secs(20)));
        let limits: Vec<_> = feedback
            .limits
            .iter()
            .map(|limit| (limit.meter, limit.limit, limit.remaining, limit.reset))
            .collect();
        let millis = |millis| Some(Duration::from_millis(millis));
        assert_eq!(
            limits,
            [
                (Meter::Requests, Some(200), Some(199), millis(432_000)),
                (Meter::Tokens, Some(150_000), Some(149_990), millis(4)),
                (Meter::Tokens, Some(1_000), Some(0), millis(3_000)),
            ]
        );
        assert_eq!(
            OpenAi.feedback(StatusCode::OK, &HeaderMap::new(), SystemTime::UNIX_EPOCH),
            Feedback::default()
        );
    }
}
