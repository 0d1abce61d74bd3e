//! What each provider's own headers are read as, from literal heads.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proactive_rate_limit::Meter::{self, InputTokens, OutputTokens, Requests, Tokens};
use proactive_rate_limit::provider::{self, Feedback};
use proactive_rate_limit::schedule::ReportedLimit;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

type Headers = &'static [(&'static str, &'static str)];

fn feedback(name: &str, status: u16, headers: Headers) -> Feedback {
    let provider = provider::by_name(name);
    assert_eq!(provider.name(), name);
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| {
            let value = HeaderValue::from_static(value);
            (HeaderName::from_static(name), value)
        })
        .collect();
    // 2026-11-24T00:00:00Z.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_478_400);
    provider.feedback(StatusCode::from_u16(status).unwrap(), &headers, now)
}

fn limits(name: &str, headers: Headers) -> Vec<ReportedLimit> {
    let feedback = feedback(name, 200, headers);
    assert!(!feedback.throttled);
    assert_eq!(feedback.retry_after, None);
    feedback.limits
}

fn report(meter: Meter, limit: impl Into<Option<u64>>, remaining: u64) -> ReportedLimit {
    let mut report = ReportedLimit::of(meter);
    report.limit = limit.into();
    report.remaining = Some(remaining);
    report
}

fn per(seconds: u64, mut report: ReportedLimit) -> ReportedLimit {
    report.window = Some(Duration::from_secs(seconds));
    report
}

fn reset(millis: u64, mut report: ReportedLimit) -> ReportedLimit {
    report.reset = Some(Duration::from_millis(millis));
    report
}

fn refilling(millis: u64, report: ReportedLimit) -> ReportedLimit {
    let mut report = reset(millis, report);
    report.refills = true;
    report
}

#[test]
fn openai() {
    let headers: Headers = &[
        ("x-ratelimit-limit-requests", "200"),
        ("x-ratelimit-remaining-requests", "199"),
        ("x-ratelimit-reset-requests", "7m12s"),
        ("x-ratelimit-limit-tokens", "150000"),
        ("x-ratelimit-remaining-tokens", "149990"),
        ("x-ratelimit-reset-tokens", "4ms"),
        ("x-ratelimit-limit-project-tokens", "1000"),
        ("x-ratelimit-remaining-project-tokens", "0"),
        ("x-ratelimit-reset-project-tokens", "3s"),
    ];
    assert_eq!(
        limits("openai", headers),
        [
            refilling(432_000, report(Requests, 200, 199)),
            refilling(4, report(Tokens, 150_000, 149_990)),
            refilling(3_000, report(Tokens, 1_000, 0)),
        ]
    );
    let refused = feedback("openai", 429, &[("retry-after", "20")]);
    assert!(refused.throttled);
    assert_eq!(refused.retry_after, Some(Duration::from_secs(20)));
    assert_eq!(feedback("openai", 200, &[]), Feedback::default());
}

#[test]
fn azure() {
    let headers: Headers = &[
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-remaining-requests", "59"),
        ("x-ratelimit-reset-requests", "10"),
        ("x-ratelimit-limit-tokens", "10000"),
        ("x-ratelimit-remaining-tokens", "9000"),
        ("x-ratelimit-reset-tokens", "300"),
    ];
    assert_eq!(
        limits("azure", headers),
        [
            per(MINUTE, reset(10_000, report(Requests, 60, 59))),
            per(MINUTE, reset(300_000, report(Tokens, 10_000, 9_000))),
        ]
    );
    let refused = feedback(
        "azure",
        429,
        &[("retry-after", "3"), ("retry-after-ms", "2000")],
    );
    assert_eq!(refused.retry_after, Some(Duration::from_secs(2)));
}

#[test]
fn anthropic() {
    let headers: Headers = &[
        ("date", "Mon, 23 Nov 2026 23:59:00 GMT"),
        ("anthropic-ratelimit-requests-limit", "1000"),
        ("anthropic-ratelimit-requests-remaining", "999"),
        ("anthropic-ratelimit-requests-reset", "2026-11-23T23:59:01Z"),
        ("anthropic-ratelimit-input-tokens-limit", "2000000"),
        ("anthropic-ratelimit-input-tokens-remaining", "1500000"),
        (
            "anthropic-ratelimit-input-tokens-reset",
            "2026-11-23T23:59:15Z",
        ),
        ("anthropic-ratelimit-output-tokens-limit", "400000"),
        ("anthropic-ratelimit-output-tokens-remaining", "399000"),
        (
            "anthropic-ratelimit-output-tokens-reset",
            "2026-11-23T23:59:00Z",
        ),
        // Whichever is tightest once more.
        ("anthropic-ratelimit-tokens-limit", "80000"),
        ("anthropic-ratelimit-tokens-remaining", "79000"),
        ("anthropic-ratelimit-tokens-reset", "2026-11-23T23:59:15Z"),
    ];
    let thousands = |mut report: ReportedLimit| {
        report.rounded_to = 1_000;
        per(MINUTE, report)
    };
    assert_eq!(
        limits("anthropic", headers),
        [
            per(MINUTE, reset(1_000, report(Requests, 1_000, 999))),
            thousands(reset(15_000, report(InputTokens, 2_000_000, 1_500_000))),
            thousands(reset(0, report(OutputTokens, 400_000, 399_000))),
        ]
    );
    let overloaded = feedback("anthropic", 529, &[("retry-after", "3")]);
    assert!(!overloaded.throttled);
    assert_eq!(overloaded.retry_after, Some(Duration::from_secs(3)));
}

#[test]
fn groq() {
    let headers: Headers = &[
        ("x-ratelimit-limit-requests", "1000"),
        ("x-ratelimit-remaining-requests", "999"),
        ("x-ratelimit-reset-requests", "1m26.4s"),
        ("x-ratelimit-limit-tokens", "8000"),
        ("x-ratelimit-remaining-tokens", "7950"),
        ("x-ratelimit-reset-tokens", "370ms"),
    ];
    assert_eq!(
        limits("groq", headers),
        [
            per(DAY, reset(86_400, report(Requests, 1_000, 999))),
            per(MINUTE, reset(370, report(Tokens, 8_000, 7_950))),
        ]
    );
}

#[test]
fn mistral() {
    let headers: Headers = &[
        ("x-ratelimit-limit-req-minute", "50"),
        ("x-ratelimit-remaining-req-minute", "49"),
        ("x-ratelimit-limit-tokens-minute", "50000"),
        ("x-ratelimit-remaining-tokens-minute", "49977"),
        ("x-ratelimit-tokens-query-cost", "23"),
    ];
    assert_eq!(
        limits("mistral", headers),
        [
            per(MINUTE, report(Requests, 50, 49)),
            per(MINUTE, report(Tokens, 50_000, 49_977)),
        ]
    );
    let earlier: Headers = &[
        ("ratelimitbysize-limit", "500000"),
        ("ratelimitbysize-remaining", "467993"),
        ("ratelimitbysize-reset", "27"),
        ("x-ratelimitbysize-limit-minute", "500000"),
        ("x-ratelimitbysize-remaining-minute", "467993"),
        ("x-ratelimitbysize-limit-month", "1000000000"),
        ("x-ratelimitbysize-remaining-month", "999967993"),
    ];
    assert_eq!(
        limits("mistral", earlier),
        [
            per(MINUTE, report(Tokens, 500_000, 467_993)),
            reset(27_000, report(Tokens, 500_000, 467_993)),
        ]
    );
}

#[test]
fn together() {
    let headers: Headers = &[
        ("x-ratelimit-limit", "10"),
        ("x-ratelimit-remaining", "9"),
        ("x-ratelimit-reset", "1"),
        ("x-ratelimit-limit-dynamic", "2"),
        ("x-ratelimit-remaining-dynamic", "1"),
        ("x-tokenlimit-limit", "3000"),
        ("x-tokenlimit-remaining", "2000"),
        ("x-tokenlimit-limit-dynamic", "600"),
        ("x-tokenlimit-remaining-dynamic", "500"),
    ];
    assert_eq!(
        limits("together", headers),
        [
            per(1, reset(1_000, report(Requests, 10, 9))),
            per(1, report(Requests, 2, 1)),
            per(1, report(Tokens, 3_000, 2_000)),
            per(1, report(Tokens, 600, 500)),
        ]
    );
}

#[test]
fn fireworks() {
    let headers: Headers = &[
        ("x-ratelimit-limit-requests", "6000"),
        ("x-ratelimit-remaining-requests", "5999"),
        ("x-ratelimit-limit-tokens-prompt", "21600000"),
        ("x-ratelimit-limit-tokens-cache-adjusted-prompt", "5400000"),
        ("x-ratelimit-limit-tokens-generated", "216000"),
        ("x-ratelimit-remaining-tokens-generated", "215000"),
    ];
    let limit = |limit| {
        let mut report = ReportedLimit::of(InputTokens);
        report.limit = Some(limit);
        report
    };
    assert_eq!(
        limits("fireworks", headers),
        [
            report(Requests, 6_000, 5_999),
            limit(21_600_000),
            limit(5_400_000),
            report(OutputTokens, 216_000, 215_000),
        ]
    );
}

#[test]
fn cerebras() {
    let headers: Headers = &[
        ("x-ratelimit-limit-requests-day", "14400"),
        ("x-ratelimit-remaining-requests-day", "14399"),
        ("x-ratelimit-reset-requests-day", "33011.382867"),
        ("x-ratelimit-limit-tokens-minute", "60000"),
        ("x-ratelimit-remaining-tokens-minute", "59989"),
        ("x-ratelimit-reset-tokens-minute", "26.5"),
        ("x-ratelimit-limit-tokens-hour", "1000000"),
        ("x-ratelimit-remaining-tokens-hour", "999989"),
    ];
    let mut daily = per(DAY, report(Requests, 14_400, 14_399));
    daily.reset = Some(Duration::from_nanos(33_011_382_867_000));
    assert_eq!(
        limits("cerebras", headers),
        [
            daily,
            per(MINUTE, reset(26_500, report(Tokens, 60_000, 59_989))),
            per(HOUR, report(Tokens, 1_000_000, 999_989)),
        ]
    );
}

#[test]
fn openrouter_tells_when_the_window_ends() {
    let headers: Headers = &[
        ("x-ratelimit-limit", "20"),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "1795478460000"),
    ];
    let refused = feedback("openrouter", 429, headers);
    assert_eq!(refused.limits, [reset(60_000, report(Requests, 20, 0))]);
    assert_eq!(refused.retry_after, Some(Duration::from_secs(60)));
}

#[test]
fn cohere_tells_when_the_window_ends() {
    let headers: Headers = &[
        ("x-endpoint-monthly-call-limit", "1000"),
        ("x-trial-endpoint-call-limit", "20"),
        ("x-trial-endpoint-call-remaining", "19"),
    ];
    assert_eq!(limits("cohere", headers), [report(Requests, 20, 19)]);
    let reset: Headers = &[("x-ratelimit-reset", "1795478430")];
    let refused = feedback("cohere", 429, reset);
    assert_eq!(refused.retry_after, Some(Duration::from_secs(30)));
    let both: Headers = &[("x-ratelimit-reset", "1795478430"), ("retry-after", "5")];
    let refused = feedback("cohere", 429, both);
    assert_eq!(refused.retry_after, Some(Duration::from_secs(5)));
}

#[test]
fn imitators_and_gateways() {
    let headers: Headers = &[
        ("x-ratelimit-limit-requests", "100"),
        ("x-ratelimit-remaining-requests", "99"),
        ("x-ratelimit-limit", "5000"),
        ("x-ratelimit-remaining", "4999"),
        ("x-ratelimit-reset", "1795482000"),
        ("ratelimit-remaining", "7"),
        ("ratelimit-policy", r#""burst";q=10;w=1"#),
        ("ratelimit", r#""burst";r=9;t=1"#),
    ];
    let expected = [
        report(Requests, 100, 99),
        reset(3_600_000, report(Requests, 5_000, 4_999)),
        report(Requests, None, 7),
        per(1, reset(1_000, report(Requests, 10, 9))),
    ];
    for name in ["openai-compatible", "xai", "deepseek", "gemini"] {
        assert_eq!(limits(name, headers), expected, "{name}");
    }
}
