mod longest;

use http::{HeaderMap, HeaderName, StatusCode};

use super::error_body::ErrorBody;
use super::refusal::Sign;
use super::usage_header::UsageHeader;
use super::{Counting, Provider, Refusal, RefusalCause, anthropic, openai_compatible};
use crate::tier::{Charge, Meter};
use crate::usage::{UsageField, UsagePath};

/// AWS Bedrock: `InvokeModel` and `Converse` with their streams, and its OpenAI and Anthropic
/// endpoints.
///
/// - At the start of a request its prompt and its cap are set aside; in the end it counts input, what
///   was written to a cache, and its output times the burndown rate: 5 for Claude 3.7 and later, 1
///   for others (quotas page, read 2026-11-23). Reading a cache is free then. So the cap is reserved
///   at that rate, and output is counted in such weighted units.
/// - For a request without a cap AWS sets the model's maximum aside, in plain tokens: 128,000 for the
///   latest Claudes. That is reserved, or what the tier assumes at the burndown rate, if it is more. An
///   answer that burns down more still, such as one of over 25,600 tokens there, is counted at its end.
/// - A model that is not recognised by its id, such as a profile of the account's own, is taken for
///   one with the higher rate and a maximum of 128,000.
/// - It has no headers on limits.
/// - The hosts of `bedrock-mantle`, which counts input and output apart under quotas of its own (same
///   page), are not detected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bedrock;

/// The burndown rate of output (quotas page, read 2026-11-23).
const BURNDOWN: u64 = 5;

/// What every id of a Claude has in it, and of those that came before 3.7.
const CLAUDE: &str = "claude";
static EARLY_CLAUDES: [&str; 7] = [
    "claude-3-haiku",
    "claude-3-sonnet",
    "claude-3-opus",
    "claude-3-5-",
    "claude-v2",
    "claude-v1",
    "claude-instant",
];

/// Who makes the models without a burndown rate, as ids name them (read 2026-11-23).
static OTHER_MAKERS: [&str; 10] = [
    "ai21",
    "amazon",
    "cohere",
    "deepseek",
    "google",
    "meta",
    "mistral",
    "openai",
    "qwen",
    "stability",
];

/// Of `Converse` and its stream (botocore 1.44, read 2026-11-23). Input is without what came from or
/// went to a cache; so is the total, which is left out here.
pub(super) static CONVERSE_USAGE: [UsagePath; 4] = [
    UsagePath::closing(&["usage", "outputTokens"], UsageField::Output),
    UsagePath::interim(&["usage", "inputTokens"], UsageField::UncachedInput),
    UsagePath::interim(&["usage", "cacheReadInputTokens"], UsageField::CachedInput),
    UsagePath::interim(
        &["usage", "cacheWriteInputTokens"],
        UsageField::CacheCreation,
    ),
];

/// Of Titan's embeddings, which generate nothing (AWS model parameters, read 2026-11-24).
pub(super) static EMBED_USAGE: [UsagePath; 1] =
    [UsagePath::last(&["inputTextTokenCount"], UsageField::Input)];

/// Of models in their own languages: Claude's, as in its own API, and those of the others.
pub(super) static NATIVE_USAGE: [UsagePath; 33] =
    UsagePath::joined(&anthropic::USAGE, &OTHERS_USAGE);

/// Nova's, Llama's, Titan's, and OpenAI's shape, which several have. The metrics are in the last event
/// of a stream (botocore 1.44, litellm 1.109, read 2026-11-23).
static OTHERS_USAGE: [UsagePath; 19] = [
    // Nova, whose stream has its usage in `metadata`.
    UsagePath::closing(&["usage", "outputTokens"], UsageField::Output),
    UsagePath::interim(&["usage", "inputTokens"], UsageField::UncachedInput),
    UsagePath::interim(
        &["usage", "cacheReadInputTokenCount"],
        UsageField::CachedInput,
    ),
    UsagePath::interim(
        &["usage", "cacheWriteInputTokenCount"],
        UsageField::CacheCreation,
    ),
    UsagePath::closing(&["metadata", "usage", "outputTokens"], UsageField::Output),
    UsagePath::interim(
        &["metadata", "usage", "inputTokens"],
        UsageField::UncachedInput,
    ),
    UsagePath::interim(
        &["metadata", "usage", "cacheReadInputTokenCount"],
        UsageField::CachedInput,
    ),
    UsagePath::interim(
        &["metadata", "usage", "cacheWriteInputTokenCount"],
        UsageField::CacheCreation,
    ),
    // Llama.
    UsagePath::interim(&["prompt_token_count"], UsageField::UncachedInput),
    UsagePath::last(&["generation_token_count"], UsageField::Output),
    // Titan, whole and streamed.
    UsagePath::interim(&["inputTextTokenCount"], UsageField::UncachedInput),
    UsagePath::last(
        &["results", UsagePath::EACH, "tokenCount"],
        UsageField::Output,
    ),
    UsagePath::last(&["totalOutputTextTokenCount"], UsageField::Output),
    // OpenAI's shape.
    UsagePath::last(&["usage", "prompt_tokens"], UsageField::Input),
    UsagePath::last(&["usage", "completion_tokens"], UsageField::Output),
    // What Bedrock adds to any stream.
    UsagePath::closing(
        &["amazon-bedrock-invocationMetrics", "outputTokenCount"],
        UsageField::Output,
    ),
    UsagePath::interim(
        &["amazon-bedrock-invocationMetrics", "inputTokenCount"],
        UsageField::UncachedInput,
    ),
    UsagePath::interim(
        &[
            "amazon-bedrock-invocationMetrics",
            "cacheReadInputTokenCount",
        ],
        UsageField::CachedInput,
    ),
    UsagePath::interim(
        &[
            "amazon-bedrock-invocationMetrics",
            "cacheWriteInputTokenCount",
        ],
        UsageField::CacheCreation,
    ),
];

/// Of `InvokeModel` without a stream; some models do not have them (read 2026-11-23).
static USAGE_HEADERS: [UsageHeader; 4] = [
    UsageHeader::new(
        "x-amzn-bedrock-input-token-count",
        UsageField::UncachedInput,
    ),
    UsageHeader::new("x-amzn-bedrock-output-token-count", UsageField::Output),
    UsageHeader::new(
        "x-amzn-bedrock-cache-read-input-token-count",
        UsageField::CachedInput,
    ),
    UsageHeader::new(
        "x-amzn-bedrock-cache-write-input-token-count",
        UsageField::CacheCreation,
    ),
];

/// Where AWS names an error, besides the body or instead of it.
static ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// AWS SDK (botocore 1.44), read 2026-11-23.
static SIGNS: [(Sign, RefusalCause); 2] = [
    (Sign::Code("ThrottlingException"), RefusalCause::RateLimit),
    (Sign::Code("ModelNotReadyException"), RefusalCause::Capacity),
];

impl Provider for Bedrock {
    fn name(&self) -> &'static str {
        "bedrock"
    }

    fn counting(&self, model: Option<&str>, _charge: Charge) -> Counting {
        Counting::ALL
            .without_cached_input()
            .with_output_weight(burndown(model))
    }

    /// The maximum is set aside as it is, and generated tokens count at the burndown rate: these are
    /// as many as it takes.
    fn uncapped_output(&self, model: Option<&str>) -> Option<u64> {
        Some(longest::output(model).div_ceil(burndown(model)))
    }

    fn usage_headers(&self) -> &'static [UsageHeader] {
        &USAGE_HEADERS
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Refusal> {
        let named = headers
            .get(&ERROR_TYPE)
            .and_then(|value| value.to_str().ok());
        // `ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/`
        let name = named.and_then(|named| named.split(':').next());
        let error = ErrorBody::read(body).named(name);
        let refusal = openai_compatible::refusal(status, &error, &SIGNS)?;
        // Elsewhere that may be said of any limit; here it is `Too many tokens` otherwise.
        let of_requests = error.message.starts_with("too many requests");
        Some(Refusal {
            meter: refusal.meter.or(of_requests.then_some(Meter::Requests)),
            ..refusal
        })
    }
}

fn burndown(model: Option<&str>) -> u64 {
    match model {
        Some(model) if burns_down_evenly(model) => 1,
        _ => BURNDOWN,
    }
}

fn burns_down_evenly(model: &str) -> bool {
    match model.contains(CLAUDE) {
        true => EARLY_CLAUDES.iter().any(|name| model.contains(name)),
        // `meta.llama3-1-8b`, `us.meta.llama3-1-8b`, `…:inference-profile/us.meta.llama3-1-8b`
        false => OTHER_MAKERS.iter().any(|maker| {
            let parts = model.split(['/', '.']);
            parts
                .into_iter()
                .any(|part| part == maker.trim_end_matches('.'))
        }),
    }
}
