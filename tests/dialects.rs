//! What dialects do where a fixture of one alone would not show it: together, and through the layer.

mod support;

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use proactive_rate_limit::Meter::Requests;
use proactive_rate_limit::schedule::ReportedLimit;
use proactive_rate_limit::{
    BoxError, Limit, ProactiveRateLimitLayer, RateLimitTracker, Tier, TokenEstimate, provider,
};
use support::Body;
use tower::{Layer, ServiceExt, service_fn};

fn report(limit: impl Into<Option<u64>>, remaining: u64) -> ReportedLimit {
    let mut report = ReportedLimit::of(Requests);
    report.limit = limit.into();
    report.remaining = Some(remaining);
    report
}

fn reset(seconds: u64, mut report: ReportedLimit) -> ReportedLimit {
    report.reset = Some(Duration::from_secs(seconds));
    report
}

/// Whoever has no headers of its own may stand behind a gateway that does.
#[test]
fn imitators_and_gateways() {
    let headers = [
        ("x-ratelimit-limit-requests", "100"),
        ("x-ratelimit-remaining-requests", "99"),
        ("x-ratelimit-limit", "5000"),
        ("x-ratelimit-remaining", "4999"),
        ("x-ratelimit-reset", "1795482000"),
        ("ratelimit-remaining", "7"),
        ("ratelimit-policy", r#""burst";q=10;w=1"#),
        ("ratelimit", r#""burst";r=9;t=1"#),
    ];
    let headers: HeaderMap = headers
        .into_iter()
        .map(|(name, value)| {
            let value = HeaderValue::from_static(value);
            (HeaderName::from_static(name), value)
        })
        .collect();
    // 2026-11-24T00:00:00Z.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_478_400);
    let mut burst = reset(1, report(10, 9));
    burst.window = Some(Duration::from_secs(1));
    let expected = [
        report(100, 99),
        reset(3_600, report(5_000, 4_999)),
        report(None, 7),
        burst,
    ];
    for name in ["openai-compatible", "xai", "deepseek", "gemini"] {
        let feedback = provider::by_name(name).feedback(StatusCode::OK, &headers, now);
        assert_eq!(feedback.limits, expected, "{name}");
    }
}

/// Generated tokens that a request to `model` on Bedrock reserves.
async fn reserved<B: HttpBody + 'static>(
    model: &str,
    assumed: u64,
    request: impl FnOnce(Request<()>) -> Request<B>,
) -> u64 {
    let tier = Tier::builder("bedrock", "any")
        .limit(Limit::output_tokens(1_000_000).per_minute())
        .assumed_output_tokens(assumed)
        .build()
        .unwrap();
    let layer = ProactiveRateLimitLayer::new(tier).tracker(&RateLimitTracker::new());
    let uri = format!("https://bedrock-runtime.us-east-1.amazonaws.com/model/{model}/converse");
    let request = request(Request::post(uri).body(()).unwrap());
    let inner = service_fn(|_: Request<B>| {
        std::future::ready(Ok::<_, BoxError>(Response::new(Body::default())))
    });
    let response = layer.layer(inner).oneshot(request).await.unwrap();
    let used = layer.stats().unwrap().limits[0].used;
    drop(response);
    used
}

const CLAUDE: &str = "us.anthropic.claude-sonnet-5-5-v1%3A0";

#[tokio::test(start_paused = true)]
async fn bedrock_without_a_cap_reserves_what_is_set_aside() {
    let uncapped = |request: Request<()>| request.map(|()| Body::from(r#"{"messages":[]}"#));
    assert_eq!(reserved(CLAUDE, 1_024, uncapped).await, 128_000);
    // What the tier assumes burns down five times, and is more here.
    assert_eq!(reserved(CLAUDE, 40_000, uncapped).await, 200_000);
    let llama = "meta.llama3-1-8b-instruct-v1%3A0";
    assert_eq!(reserved(llama, 1_024, uncapped).await, 8_192);
}

#[tokio::test(start_paused = true)]
async fn what_a_request_tells_wins_over_what_is_set_aside() {
    let capped = |request: Request<()>| {
        request.map(|()| Body::from(r#"{"inferenceConfig":{"maxTokens":300},"messages":[]}"#))
    };
    assert_eq!(reserved(CLAUDE, 1_024, capped).await, 1_500);
    let estimated = |request: Request<()>| {
        let mut request = request.map(|()| Body::from(r#"{"messages":[]}"#));
        request.extensions_mut().insert(TokenEstimate::new(10, 200));
        request
    };
    assert_eq!(reserved(CLAUDE, 1_024, estimated).await, 1_000);
}

/// There may be a cap in it, so what the tier assumes holds, five times.
#[tokio::test(start_paused = true)]
async fn of_a_body_that_nobody_saw_the_tier_assumes() {
    let boxed = |request: Request<()>| request.map(|()| Body::from("{}").boxed());
    assert_eq!(reserved(CLAUDE, 1_024, boxed).await, 5_120);
}
