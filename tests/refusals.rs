//! Why providers refuse, where a fixture for each answer would say little: the edges of numbers,
//! statuses and bodies that say next to nothing, and bodies that are cut off.

use http::{HeaderMap, StatusCode};
use proactive_rate_limit::provider::RefusalCause::{
    self, Capacity, Exhausted, NotAllowed, RateLimit, TooLarge,
};
use proactive_rate_limit::provider::{self, Refusal};

fn refusal(name: &str, status: u16, body: &str) -> Option<Refusal> {
    let provider = provider::by_name(name);
    assert_eq!(provider.name(), name);
    let status = StatusCode::from_u16(status).unwrap();
    provider.refusal(status, &HeaderMap::new(), body.as_bytes())
}

fn assert_causes(cases: &[(&str, u16, &str, Option<RefusalCause>)]) {
    for (name, status, body, expected) in cases {
        let refusal = refusal(name, *status, body);
        let cause = refusal.as_ref().map(|refusal| refusal.cause);
        assert_eq!(cause, *expected, "{name} {status} {body}: {refusal:?}");
    }
}

const TOO_LARGE: &str = r#"{"error":{"message":"Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 31756. The input or output tokens must be reduced in order to run successfully.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#;
const QUOTA: &str = r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#;

#[test]
fn numbers_judge_a_rate_limit_and_nothing_else() {
    let says = |message: &str| format!(r#"{{"error":{{"message":"TPM: {message}"}}}}"#);
    let cases = [
        ("Limit 30000, Requested 31756.", TooLarge),
        ("Limit 30000, Used 1, Requested 30001.", TooLarge),
        ("Limit 30000, Used 1, Requested 30000.", RateLimit),
        ("Limit 0, Used 0, Requested 5.", NotAllowed),
    ];
    for (message, expected) in cases {
        let read = refusal("openai", 429, &says(message));
        assert_eq!(read.map(|read| read.cause), Some(expected), "{message}");
    }
    let exhausted =
        r#"{"error":{"code":"credit_balance_exhausted","message":"Limit 1, Requested 2"}}"#;
    assert_causes(&[("openai", 429, exhausted, Some(Exhausted))]);
}

#[test]
fn a_status_tells_what_it_can_alone() {
    let page = "<html>busy</html>";
    assert_causes(&[
        (
            "openai-compatible",
            429,
            "Too many requests",
            Some(RateLimit),
        ),
        ("openai-compatible", 503, page, Some(Capacity)),
        ("openai-compatible", 529, page, Some(Capacity)),
        ("openai-compatible", 413, "", Some(TooLarge)),
        ("openai-compatible", 402, "", Some(Exhausted)),
        ("openai-compatible", 412, "", None),
        ("openai-compatible", 400, "", None),
        ("openai-compatible", 500, page, None),
        // Neither a success nor a redirection is a refusal, whatever it says.
        ("openai-compatible", 200, QUOTA, None),
        ("openai-compatible", 307, QUOTA, None),
        // Only Fireworks suspends by it, and only Groq is short of a flexible tier by that.
        ("fireworks", 412, "", Some(Exhausted)),
        ("groq", 498, "", Some(Capacity)),
        ("openai", 498, "", None),
    ]);
}

#[test]
fn texts_count_beside_their_status_alone() {
    assert_causes(&[
        (
            "openai",
            404,
            r#"{"error":{"message":"Resource unavailable"}}"#,
            None,
        ),
        (
            "anthropic",
            500,
            r#"{"error":{"details":null,"type":"overloaded_error","message":"Overloaded"}}"#,
            Some(Capacity),
        ),
        (
            "anthropic",
            401,
            r#"{"error":{"type":"authentication_error"}}"#,
            None,
        ),
        // Azure knows OpenAI's codes besides its own texts.
        (
            "azure",
            429,
            r#"{"error":{"code":"insufficient_quota"}}"#,
            Some(Exhausted),
        ),
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
        // Z.AI's numbers mean nothing elsewhere.
        (
            "mistral",
            429,
            r#"{"object":"error","message":"x","code":"1305"}"#,
            Some(RateLimit),
        ),
    ]);
}

#[test]
fn a_body_that_is_cut_off_tells_what_it_can() {
    // The code comes first here, and the message is cut.
    let cut = r#"{"error":{"code":"insufficient_quota","message":"You exceeded your cur"#;
    assert_causes(&[("openai", 429, cut, Some(Exhausted))]);
    for end in 0..TOO_LARGE.len() {
        let read = refusal("openai", 429, &TOO_LARGE[..end]).unwrap();
        assert!(
            matches!(read.cause, RateLimit | TooLarge),
            "{end}: {read:?}"
        );
    }
    let long = format!(r#"{{"error":{{"code":"{}"}}}}"#, "x".repeat(5_000));
    assert_eq!(refusal("openai", 429, &long), Some(Refusal::of(RateLimit)));
}
