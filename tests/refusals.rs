//! Why providers refuse, from literal bodies: what waiting can fix and what it cannot.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proactive_rate_limit::Meter;
use proactive_rate_limit::provider::RefusalCause::{
    self, Capacity, Exhausted, NotAllowed, RateLimit, TooLarge,
};
use proactive_rate_limit::provider::{self, Refusal};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

type Headers = &'static [(&'static str, &'static str)];

fn refusal(name: &str, status: u16, headers: Headers, body: &str) -> Option<Refusal> {
    let provider = provider::by_name(name);
    assert_eq!(provider.name(), name);
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| {
            let value = HeaderValue::from_static(value);
            (HeaderName::from_static(name), value)
        })
        .collect();
    provider.refusal(
        StatusCode::from_u16(status).unwrap(),
        &headers,
        body.as_bytes(),
    )
}

const OPENAI_TOKENS: &str = r#"{"error":{"message":"Rate limit reached for gpt-4o-mini in organization org-x on tokens per min (TPM): Limit 200000, Used 199000, Requested 2000. Please try again in 300ms. Visit https://platform.openai.com/account/rate-limits to learn more.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#;
const OPENAI_REQUESTS: &str = r#"{"error":{"message":"Rate limit reached for gpt-4o-mini in organization org-x on requests per day (RPD): Limit 10000, Used 10000, Requested 1. Please try again in 8.64s.","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#;
const OPENAI_TOO_LARGE: &str = r#"{"error":{"message":"Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 31756. The input or output tokens must be reduced in order to run successfully.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#;
const OPENAI_QUOTA: &str = r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#;
const GROQ_TOO_LARGE: &str = r#"{"error":{"message":"Request too large for model `openai/gpt-oss-20b` in organization `org_x` service tier `on_demand` on tokens per minute (TPM): Limit 8000, Requested 11088, please reduce your message size and try again.","type":"tokens","code":"rate_limit_exceeded"}}"#;
const GROQ_TOKENS: &str = r#"{"error":{"message":"Rate limit reached for model `openai/gpt-oss-20b` in organization `org_x` service tier `on_demand` on tokens per minute (TPM): Limit 8000, Used 2591, Requested 5863. Please try again in 3.405s.","type":"tokens","code":"rate_limit_exceeded"}}"#;
const AZURE_TOKENS: &str = r#"{"error":{"code":"429","message":"Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-05-01-preview have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 60 seconds. Please go here: https://aka.ms/oai/quotaincrease if you would like to further increase the default rate limit."}}"#;
const ANTHROPIC_TOKENS: &str = r#"{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed the rate limit for your organization of 40,000 input tokens per minute. For details, refer to: https://docs.anthropic.com/en/api/rate-limits."},"request_id":"req_1"}"#;
const GEMINI_MINUTE: &str = r#"{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_input_token_count, limit: 250000, model: gemini-3.8-flash\nPlease retry in 12.94s.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_input_token_count","quotaId":"GenerateContentInputTokensPerModelPerMinute-FreeTier","quotaDimensions":{"location":"global","model":"gemini-3.8-flash"},"quotaValue":"250000"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"12.941102168s"}]}}"#;
const GEMINI_DAY: &str = r#"{"error":{"code":429,"message":"You exceeded your current quota.\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 20, model: gemini-3.8-flash\nPlease retry in 38.2s.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier"},{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier","quotaValue":"20"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"38.2s"}]}}"#;
const GEMINI_ZERO: &str = r#"[{"error":{"code":429,"message":"You exceeded your current quota.\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_input_token_count, limit: 250000\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 0\nPlease retry in 9s.","status":"RESOURCE_EXHAUSTED"}}]"#;
const MISTRAL: &str = r#"{"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":null,"code":"1300","raw_status_code":429}"#;
const OPENROUTER_DAY: &str = r#"{"error":{"message":"Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day","code":429,"metadata":{"headers":{"X-RateLimit-Limit":"50","X-RateLimit-Remaining":"0","X-RateLimit-Reset":"1795564800000"},"provider_name":null}}}"#;
const XAI_CREDITS: &str = r#"{"code":"permission-denied","error":"Your team 16f2151a has either used all available credits or reached its monthly spending limit. To continue making API requests, please purchase more credits or raise your spending limit."}"#;

#[test]
fn tells_what_waiting_cannot_fix() {
    let cases: &[(&str, u16, &str, Option<RefusalCause>)] = &[
        ("openai", 429, OPENAI_TOKENS, Some(RateLimit)),
        ("openai", 429, OPENAI_REQUESTS, Some(RateLimit)),
        ("openai", 429, OPENAI_TOO_LARGE, Some(TooLarge)),
        // The same by its numbers alone.
        (
            "openai",
            429,
            r#"{"error":{"message":"TPM: Limit 30000, Requested 31756."}}"#,
            Some(TooLarge),
        ),
        (
            "openai",
            429,
            r#"{"error":{"message":"TPM: Limit 30000, Used 1, Requested 30001."}}"#,
            Some(TooLarge),
        ),
        (
            "openai",
            429,
            r#"{"error":{"message":"TPM: Limit 30000, Used 1, Requested 30000."}}"#,
            Some(RateLimit),
        ),
        (
            "openai",
            429,
            r#"{"error":{"message":"TPM: Limit 0, Used 0, Requested 5."}}"#,
            Some(NotAllowed),
        ),
        ("openai", 429, OPENAI_QUOTA, Some(Exhausted)),
        (
            "openai",
            429,
            r#"{"error":{"code":"credit_balance_exhausted","message":"Limit 1, Requested 2"}}"#,
            Some(Exhausted),
        ),
        (
            "openai",
            429,
            r#"{"error":{"code":"organization_spend_limit_exceeded"}}"#,
            Some(Exhausted),
        ),
        (
            "openai",
            429,
            r#"{"error":{"code":"project_spend_limit_exceeded"}}"#,
            Some(Exhausted),
        ),
        (
            "openai",
            429,
            r#"{"error":{"code":"organization_usage_limit_exceeded"}}"#,
            Some(Exhausted),
        ),
        (
            "openai",
            400,
            r#"{"error":{"code":"billing_hard_limit_reached"}}"#,
            Some(Exhausted),
        ),
        (
            "openai",
            429,
            r#"{"error":{"code":"slow_down"}}"#,
            Some(RateLimit),
        ),
        (
            "openai",
            429,
            r#"{"error":{"message":"Resource Unavailable"}}"#,
            Some(Capacity),
        ),
        (
            "openai",
            503,
            r#"{"error":{"message":"Slow Down"}}"#,
            Some(Capacity),
        ),
        (
            "openai",
            400,
            r#"{"error":{"code":"context_length_exceeded","type":"invalid_request_error"}}"#,
            None,
        ),
        (
            "openai",
            404,
            r#"{"error":{"message":"Resource unavailable"}}"#,
            None,
        ),
        ("openai", 500, r#"{"error":{"type":"server_error"}}"#, None),
        ("azure", 429, AZURE_TOKENS, Some(RateLimit)),
        (
            "azure",
            429,
            r#"{"error":{"code":"429","message":"Rate limit is exceeded."}}"#,
            Some(RateLimit),
        ),
        (
            "azure",
            429,
            r#"{"error":{"message":"The service is temporarily unable to process your request."}}"#,
            Some(Capacity),
        ),
        (
            "azure",
            429,
            r#"{"error":{"message":"System is experiencing high demand."}}"#,
            Some(Capacity),
        ),
        (
            "azure",
            429,
            r#"{"error":{"code":"insufficient_quota"}}"#,
            Some(Exhausted),
        ),
        ("anthropic", 429, ANTHROPIC_TOKENS, Some(RateLimit)),
        (
            "anthropic",
            429,
            r#"{"error":{"type":"rate_limit_error","details":{"error_code":"ramp_limit_exceeded"}}}"#,
            Some(RateLimit),
        ),
        (
            "anthropic",
            429,
            r#"{"error":{"type":"rate_limit_error","details":{"error_code":"enforced_spend_limit_reached"}}}"#,
            Some(Exhausted),
        ),
        (
            "anthropic",
            429,
            r#"{"error":{"type":"rate_limit_error","details":{"error_code":"contract_spend_limit_reached"}}}"#,
            Some(Exhausted),
        ),
        (
            "anthropic",
            402,
            r#"{"error":{"type":"billing_error"}}"#,
            Some(Exhausted),
        ),
        (
            "anthropic",
            402,
            r#"{"error":{"type":"billing_error","details":{"error_code":"linked_organization_spend_limit_reached"}}}"#,
            Some(Exhausted),
        ),
        (
            "anthropic",
            400,
            r#"{"error":{"type":"invalid_request_error","message":"You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."}}"#,
            Some(Exhausted),
        ),
        // What a user wrote is no cap.
        (
            "anthropic",
            400,
            r#"{"error":{"type":"invalid_request_error","message":"messages.0: \"You have reached your specified API usage limits\" is invalid"}}"#,
            None,
        ),
        (
            "anthropic",
            529,
            r#"{"error":{"type":"overloaded_error"}}"#,
            Some(Capacity),
        ),
        (
            "anthropic",
            500,
            r#"{"error":{"details":null,"type":"overloaded_error","message":"Overloaded"}}"#,
            Some(Capacity),
        ),
        (
            "anthropic",
            413,
            r#"{"error":{"type":"request_too_large"}}"#,
            Some(TooLarge),
        ),
        (
            "anthropic",
            401,
            r#"{"error":{"type":"authentication_error"}}"#,
            None,
        ),
        ("gemini", 429, GEMINI_MINUTE, Some(RateLimit)),
        ("gemini", 429, GEMINI_DAY, Some(RateLimit)),
        ("gemini", 429, GEMINI_ZERO, Some(NotAllowed)),
        (
            "gemini",
            503,
            r#"{"error":{"code":503,"status":"UNAVAILABLE"}}"#,
            Some(Capacity),
        ),
        (
            "bedrock",
            429,
            r#"{"message":"Too many tokens, please wait before trying again."}"#,
            Some(RateLimit),
        ),
        (
            "bedrock",
            400,
            r#"{"__type":"ThrottlingException","message":"Too many requests"}"#,
            Some(RateLimit),
        ),
        (
            "bedrock",
            429,
            r#"{"__type":"ModelNotReadyException"}"#,
            Some(Capacity),
        ),
        (
            "bedrock",
            503,
            r#"{"__type":"ServiceUnavailableException"}"#,
            Some(Capacity),
        ),
        ("mistral", 429, MISTRAL, Some(RateLimit)),
        ("groq", 429, GROQ_TOKENS, Some(RateLimit)),
        ("groq", 413, GROQ_TOO_LARGE, Some(TooLarge)),
        ("groq", 498, "", Some(Capacity)),
        (
            "cohere",
            429,
            r#"{"message":"You are using a Trial key, which is limited to 20 API calls / minute."}"#,
            Some(RateLimit),
        ),
        (
            "cohere",
            429,
            r#"{"message":"You are using a Trial key, which is limited to 1000 API calls / month."}"#,
            Some(Exhausted),
        ),
        (
            "deepseek",
            402,
            r#"{"error":{"message":"Insufficient Balance"}}"#,
            Some(Exhausted),
        ),
        ("deepseek", 429, "", Some(RateLimit)),
        ("deepseek", 503, "", Some(Capacity)),
        ("xai", 429, XAI_CREDITS, Some(Exhausted)),
        ("xai", 403, XAI_CREDITS, Some(Exhausted)),
        (
            "xai",
            403,
            r#"{"code":"x","error":"You have run out of credits or need a Grok subscription."}"#,
            Some(Exhausted),
        ),
        (
            "xai",
            403,
            r#"{"error":"Your newly created team doesn't have any credits or licenses yet."}"#,
            Some(Exhausted),
        ),
        (
            "xai",
            403,
            r#"{"error":"Content violates the usage guidelines."}"#,
            None,
        ),
        ("xai", 429, "", Some(RateLimit)),
        (
            "together",
            429,
            r#"{"error":{"message":"","error_type":"dynamic_token_limited"}}"#,
            Some(RateLimit),
        ),
        ("together", 503, "", Some(Capacity)),
        ("together", 402, "", Some(Exhausted)),
        ("fireworks", 429, "", Some(RateLimit)),
        ("fireworks", 503, "", Some(Capacity)),
        ("fireworks", 412, "", Some(Exhausted)),
        ("fireworks", 402, "", Some(Exhausted)),
        (
            "openrouter",
            402,
            r#"{"error":{"code":402,"message":"Insufficient credits"}}"#,
            Some(Exhausted),
        ),
        ("openrouter", 429, OPENROUTER_DAY, Some(RateLimit)),
        (
            "openrouter",
            429,
            r#"{"error":{"code":429,"message":"Provider returned error","metadata":{"raw":"slow down","provider_name":"DeepInfra"}}}"#,
            Some(Capacity),
        ),
        ("cerebras", 429, "", Some(RateLimit)),
        (
            "openai-compatible",
            429,
            "Too many requests",
            Some(RateLimit),
        ),
        (
            "openai-compatible",
            503,
            "<html>busy</html>",
            Some(Capacity),
        ),
        ("openai-compatible", 413, "", Some(TooLarge)),
        ("openai-compatible", 412, "", None),
        ("openai-compatible", 200, OPENAI_QUOTA, None),
        ("openai-compatible", 307, OPENAI_QUOTA, None),
    ];
    for (name, status, body, expected) in cases {
        let refusal = refusal(name, *status, &[], body);
        let cause = refusal.as_ref().map(|refusal| refusal.cause);
        assert_eq!(cause, *expected, "{name} {status} {body}: {refusal:?}");
    }
}

#[test]
fn reads_the_numbers_of_a_message() {
    let read = refusal("openai", 429, &[], OPENAI_TOKENS).unwrap();
    assert_eq!(read.code.as_deref(), Some("rate_limit_exceeded"));
    assert_eq!(read.meter, Some(Meter::Tokens));
    assert_eq!(read.window, Some(MINUTE));
    assert_eq!(
        (read.limit, read.used, read.requested),
        (Some(200_000), Some(199_000), Some(2_000))
    );
    assert_eq!(read.retry_after, Some(Duration::from_millis(300)));

    let read = refusal("openai", 429, &[], OPENAI_REQUESTS).unwrap();
    assert_eq!(
        (read.meter, read.window),
        (Some(Meter::Requests), Some(DAY))
    );
    assert_eq!(read.retry_after, Some(Duration::from_millis(8_640)));

    let read = refusal("groq", 413, &[], GROQ_TOO_LARGE).unwrap();
    assert_eq!((read.limit, read.requested), (Some(8_000), Some(11_088)));
    assert_eq!(read.retry_after, None);

    let read = refusal("azure", 429, &[], AZURE_TOKENS).unwrap();
    assert_eq!(read.meter, Some(Meter::Tokens));
    assert_eq!(read.retry_after, Some(MINUTE));

    let read = refusal("anthropic", 429, &[], ANTHROPIC_TOKENS).unwrap();
    assert_eq!(read.code.as_deref(), Some("rate_limit_error"));
    assert_eq!(read.meter, Some(Meter::InputTokens));
    assert_eq!((read.limit, read.window), (Some(40_000), Some(MINUTE)));

    let read = refusal("openrouter", 429, &[], OPENROUTER_DAY).unwrap();
    assert_eq!(
        (read.meter, read.window),
        (Some(Meter::Requests), Some(DAY))
    );

    let read = refusal(
        "together",
        429,
        &[],
        r#"{"error_type":"dynamic_request_limited"}"#,
    );
    assert_eq!(read.unwrap().meter, Some(Meter::Requests));

    let read = refusal("deepseek", 429, &[], "").unwrap();
    assert_eq!(read.meter, Some(Meter::Concurrent));
}

#[test]
fn gemini_names_its_quota() {
    let read = refusal("gemini", 429, &[], GEMINI_MINUTE).unwrap();
    assert_eq!(
        read.code.as_deref(),
        Some("GenerateContentInputTokensPerModelPerMinute-FreeTier")
    );
    assert_eq!(read.meter, Some(Meter::InputTokens));
    assert_eq!((read.limit, read.window), (Some(250_000), Some(MINUTE)));
    assert_eq!(read.retry_after, Some(Duration::from_nanos(12_941_102_168)));

    let read = refusal("gemini", 429, &[], GEMINI_ZERO).unwrap();
    assert_eq!(read.code.as_deref(), Some("RESOURCE_EXHAUSTED"));
    assert_eq!(read.limit, Some(0));
}

#[test]
fn a_quota_of_a_day_comes_back_at_midnight_pacific() {
    let dated: Headers = &[("date", "Tue, 24 Nov 2026 07:00:00 GMT")];
    let read = refusal("gemini", 429, dated, GEMINI_DAY).unwrap();
    assert_eq!(
        read.code.as_deref(),
        Some("GenerateRequestsPerDayPerProjectPerModel-FreeTier")
    );
    assert_eq!(
        (read.meter, read.window),
        (Some(Meter::Requests), Some(DAY))
    );
    assert_eq!(read.retry_after, Some(60 * MINUTE));
    let undated = refusal("gemini", 429, &[], GEMINI_DAY).unwrap();
    assert_eq!((undated.window, undated.retry_after), (Some(DAY), None));
    let named = r#"{"error":{"code":"quota_exceeded"}}"#;
    let named = refusal("gemini", 429, dated, named).unwrap();
    assert_eq!(named.retry_after, Some(60 * MINUTE));
}

#[test]
fn mistral_tells_by_its_headers() {
    let used_up: Headers = &[
        ("x-ratelimit-limit-req-minute", "4"),
        ("x-ratelimit-remaining-req-minute", "3"),
        ("x-ratelimit-limit-tokens-minute", "250000"),
        ("x-ratelimit-remaining-tokens-minute", "0"),
    ];
    let read = refusal("mistral", 429, used_up, MISTRAL).unwrap();
    assert_eq!(read.cause, RateLimit);
    assert_eq!(read.meter, Some(Meter::Tokens));
    assert_eq!((read.limit, read.window), (Some(250_000), Some(MINUTE)));
    let never: Headers = &[
        ("x-ratelimit-limit-req-minute", "0"),
        ("x-ratelimit-remaining-req-minute", "0"),
    ];
    let read = refusal("mistral", 429, never, MISTRAL).unwrap();
    assert_eq!((read.cause, read.limit), (NotAllowed, Some(0)));
    assert_eq!(
        refusal("mistral", 503, never, "").map(|read| read.cause),
        Some(Capacity)
    );
}

#[test]
fn bedrock_names_its_errors_in_a_header() {
    let headers: Headers = &[(
        "x-amzn-errortype",
        "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/",
    )];
    let body = r#"{"message":"Too many tokens per day, please wait before trying again."}"#;
    let read = refusal("bedrock", 429, headers, body).unwrap();
    assert_eq!(read.code.as_deref(), Some("ThrottlingException"));
    assert_eq!((read.meter, read.window), (Some(Meter::Tokens), Some(DAY)));
}

#[test]
fn a_body_that_is_cut_off_tells_what_it_can() {
    // `type` and `code` come first here, the message is cut.
    let cut = r#"{"error":{"code":"insufficient_quota","message":"You exceeded your cur"#;
    let read = refusal("openai", 429, &[], cut).unwrap();
    assert_eq!(read.cause, Exhausted);
    for end in 0..OPENAI_TOO_LARGE.len() {
        let read = refusal("openai", 429, &[], &OPENAI_TOO_LARGE[..end]).unwrap();
        assert!(
            matches!(read.cause, RateLimit | TooLarge),
            "{end}: {read:?}"
        );
    }
    let long = format!(r#"{{"error":{{"code":"{}"}}}}"#, "x".repeat(5_000));
    let read = refusal("openai", 429, &[], &long).unwrap();
    assert_eq!(read, Refusal::of(RateLimit));
}
