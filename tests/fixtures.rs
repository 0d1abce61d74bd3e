//! Every dialect against requests and responses in the shapes that its provider documents.
//!
//! The cases are in `tests/fixtures/<dialect>/<kind>-<case>.txt`. A file has up to four sections, and
//! lines before the first are comments:
//!
//! ```text
//! --- request          a line `METHOD URI`, headers, an empty line, the body
//! --- facts            what the dialect makes of it
//! --- response         the status, headers, an empty line, the body
//! --- read             what the dialect makes of it
//! ```
//!
//! What is expected was written by hand, from the provider's documentation. Whatever is left out of a
//! section is expected not to be there. A price is that of a prompt of [`PROMPT`] tokens; where the
//! request has no cap, [`UNCAPPED`] are assumed. A body of AWS events has one on each line, as
//! `[event-type] payload`; what is `[chunk]` is wrapped as `InvokeModel` does.

#[path = "fixtures/event_stream.rs"]
mod event_stream;
#[path = "fixtures/fixture.rs"]
mod fixture;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode, Uri};
use proactive_rate_limit::provider::{
    self, Counting, Endpoint, Provider, Refusal, RefusalCause, RequestFacts, TokenEstimate,
    UsageHeader,
};
use proactive_rate_limit::schedule::ReportedLimit;
use proactive_rate_limit::usage::{Reading, Usage, UsageReader};
use proactive_rate_limit::{Charge, Cost, Meter};

use self::fixture::{Expected, Fixture, Request, Response};

/// Tokens that stand in for the prompt as written, whose measure is not what is tested here.
const PROMPT: u64 = 1_000;

/// Generated tokens that are assumed without a cap.
const UNCAPPED: u64 = 2_000;

/// What every dialect has cases of.
const KINDS: [&str; 4] = ["json", "stream", "refusal", "headers"];

/// Dialects whose providers have no headers on limits.
const WITHOUT_HEADERS: [&str; 8] = [
    "bedrock",
    "deepseek",
    "gemini",
    "llama-cpp",
    "ollama",
    "vertex",
    "vllm",
    "xai",
];

#[test]
fn every_dialect_has_cases_of_every_kind() {
    let fixtures = fixture::all();
    for dialect in provider::all().map(Provider::name) {
        let kinds: BTreeSet<_> = fixtures
            .iter()
            .filter(|fixture| fixture.dialect == dialect)
            .map(|fixture| fixture.kind.as_str())
            .collect();
        let expected = KINDS
            .into_iter()
            .filter(|kind| *kind != "headers" || !WITHOUT_HEADERS.contains(&dialect))
            .collect();
        assert_eq!(kinds, expected, "{dialect}");
    }
    for fixture in &fixtures {
        assert_eq!(provider::by_name(&fixture.dialect).name(), fixture.dialect);
    }
}

#[test]
fn requests_are_understood_and_priced() {
    for fixture in fixture::all() {
        let (Some(request), Some(expected)) = (&fixture.request, &fixture.facts) else {
            assert_eq!(
                fixture.request.is_some(),
                fixture.facts.is_some(),
                "{fixture}"
            );
            continue;
        };
        let dialect = provider::by_name(&fixture.dialect);
        let facts = facts(dialect, request);
        let mut found = Expected::default();
        found.put("endpoint", endpoint(facts.endpoint));
        found.put_if("model", facts.model.clone());
        found.put_if("cap", facts.max_output_tokens.map(|cap| cap.to_string()));
        found.put("choices", facts.choices.to_string());
        found.put("price", output_and_tokens(price(dialect, &facts)));
        let detected = provider::detect(&request.uri);
        found.put_if("detected", detected.map(|found| found.name().to_owned()));
        assert_eq!(&found, expected, "{fixture}");

        // As it is priced when the layer sees it.
        let written = dialect.price(&facts, dialect.default_charge());
        assert_eq!(written.requests, 1, "{fixture}");
        match facts.endpoint {
            Endpoint::Lookup => assert_eq!(written, Cost::request(), "{fixture}"),
            _ => assert!(written.input_tokens > 0, "{fixture}"),
        }
        assert_eq!(
            written.output_tokens,
            price(dialect, &facts).output_tokens,
            "{fixture}"
        );
    }
}

#[test]
fn responses_are_understood() {
    let mut misread = String::new();
    for fixture in fixture::all() {
        let (Some(response), Some(expected)) = (&fixture.response, &fixture.read) else {
            assert_eq!(
                fixture.response.is_some(),
                fixture.read.is_some(),
                "{fixture}"
            );
            continue;
        };
        let found = read(&fixture, response);
        if found != *expected {
            misread += &format!("{fixture}\n  read     {found:?}\n  expected {expected:?}\n");
        }
    }
    assert!(misread.is_empty(), "\n{misread}");
}

#[test]
fn bodies_are_understood_however_they_are_cut() {
    for fixture in fixture::all() {
        let Some(response) = &fixture.response else {
            continue;
        };
        if !response.status.is_success() {
            continue;
        }
        let body = &response.body;
        let whole = usage(&fixture, response, [body.as_slice()]);
        for at in 0..=body.len() {
            let (first, second) = body.split_at(at);
            let halves = usage(&fixture, response, [first, second]);
            assert_eq!(halves, whole, "{fixture}: cut at {at}");
        }
        let bytes = usage(&fixture, response, body.chunks(1));
        assert_eq!(bytes, whole, "{fixture}: in single bytes");
    }
}

/// A body that is cut off settles nothing that the whole would not, and a refusal stays one.
#[test]
fn what_is_cut_off_says_no_more_than_the_whole() {
    for fixture in fixture::all() {
        let Some(response) = &fixture.response else {
            continue;
        };
        let dialect = provider::by_name(&fixture.dialect);
        for end in 0..response.body.len() {
            let seen = &response.body[..end];
            let refusal = dialect.refusal(response.status, &response.headers, seen);
            assert!(
                !response.status.is_success() || refusal.is_none(),
                "{fixture}: {end} bytes"
            );
            assert!(
                response.status != StatusCode::TOO_MANY_REQUESTS || refusal.is_some(),
                "{fixture}: {end} bytes"
            );
            usage(&fixture, response, [seen]);
        }
    }
}

/// What a dialect sets aside is never less than what it counts for as many tokens.
#[test]
fn what_is_reserved_covers_what_is_counted() {
    for dialect in provider::all() {
        for model in [None, Some("anthropic.claude-sonnet-5-5-v1:0"), Some("m")] {
            let counting = dialect.counting(model, Charge::Actual);
            let facts = facts_of(model, 300);
            let charge = Charge::Actual;
            let reserved = dialect.price(&facts, charge);
            let used = Usage::default()
                .with(proactive_rate_limit::usage::UsageField::Input, PROMPT)
                .with(proactive_rate_limit::usage::UsageField::Output, 300);
            let charged = counting.charged(&used, &reserved);
            assert!(charged.fits_in(&reserved), "{dialect:?} {model:?}");
            assert!(
                reserved.tokens <= reserved.input_tokens + reserved.output_tokens,
                "{dialect:?} {model:?}"
            );
        }
    }
}

fn facts_of(model: Option<&str>, cap: u64) -> RequestFacts {
    let mut facts = RequestFacts::default();
    facts.model = model.map(str::to_owned);
    facts.max_output_tokens = Some(cap);
    facts.estimate = Some(TokenEstimate::new(PROMPT, cap));
    facts
}

fn facts(dialect: &dyn Provider, request: &Request) -> RequestFacts {
    let mut facts = dialect.facts(&request.method, &request.uri, Some(&request.body));
    let least = dialect.uncapped_output(facts.model.as_deref());
    facts.assumed_output_tokens = UNCAPPED.max(least.unwrap_or(0));
    facts
}

/// The price with a prompt of [`PROMPT`] tokens.
fn price(dialect: &dyn Provider, facts: &RequestFacts) -> Cost {
    let mut facts = facts.clone();
    facts.estimate = match facts.endpoint {
        Endpoint::Lookup => None,
        Endpoint::Embeddings => Some(TokenEstimate::new(PROMPT, 0)),
        _ => {
            let assumed = facts.assumed_output_tokens;
            let each = facts.max_output_tokens.unwrap_or(assumed);
            Some(TokenEstimate::new(PROMPT, each * facts.choices))
        }
    };
    dialect.price(&facts, dialect.default_charge())
}

fn read(fixture: &Fixture, response: &Response) -> Expected {
    let dialect = provider::by_name(&fixture.dialect);
    let mut found = Expected::default();
    // 2026-11-24T00:00:00Z.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_478_400);
    let feedback = dialect.feedback(response.status, &response.headers, now);
    for limit in &feedback.limits {
        found.put("limit", described(limit));
    }
    found.put_if("wait", feedback.retry_after.map(seconds));
    assert_eq!(
        feedback.throttled,
        response.status == StatusCode::TOO_MANY_REQUESTS,
        "{fixture}"
    );
    let refusal = dialect.refusal(response.status, &response.headers, &response.body);
    found.put_if("refusal", refusal.map(|refusal| told(&refusal)));
    if response.status.is_success() {
        match usage(fixture, response, [response.body.as_slice()]) {
            Reading::Usage(usage) => {
                found.put("usage", counts(&usage));
                let (counting, reserved) = settlement(dialect, fixture);
                let charged = counting.charged(&usage, &reserved);
                assert!(charged.tokens <= charged.input_tokens + charged.output_tokens);
                found.put("charged", components(charged));
            }
            Reading::Missing => found.put("usage", "missing".to_owned()),
            other => found.put("usage", format!("{other:?}")),
        }
    }
    found
}

fn settlement(dialect: &dyn Provider, fixture: &Fixture) -> (Counting, Cost) {
    match &fixture.request {
        Some(request) => {
            let facts = facts(dialect, request);
            let counting = dialect.counting(facts.model.as_deref(), Charge::Actual);
            (counting, price(dialect, &facts))
        }
        None => (dialect.counting(None, Charge::Actual), Cost::request()),
    }
}

fn usage<'a>(
    fixture: &Fixture,
    response: &Response,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Reading {
    let dialect = provider::by_name(&fixture.dialect);
    let uri = fixture.request.as_ref().map(|request| &request.uri);
    let path = uri.map_or("/v1/chat/completions", Uri::path);
    let mut reader = reader(dialect, path, &response.headers);
    for piece in pieces {
        reader.feed(piece);
    }
    reader.finish()
}

fn reader(dialect: &dyn Provider, path: &str, headers: &HeaderMap) -> UsageReader {
    let told = UsageHeader::read(dialect.usage_headers(), headers);
    UsageReader::new(dialect.usage_paths_of(path), headers).beginning_with(told)
}

fn endpoint(endpoint: Endpoint) -> String {
    match endpoint {
        Endpoint::Generation => "generation",
        Endpoint::Embeddings => "embeddings",
        Endpoint::Lookup => "lookup",
        other => panic!("{other:?} has no name here"),
    }
    .to_owned()
}

fn output_and_tokens(cost: Cost) -> String {
    format!("output {}, tokens {}", cost.output_tokens, cost.tokens)
}

fn components(cost: Cost) -> String {
    format!(
        "input {}, output {}, tokens {}",
        cost.input_tokens, cost.output_tokens, cost.tokens
    )
}

fn counts(usage: &Usage) -> String {
    let counts = [
        ("input", usage.input_tokens),
        ("uncached", usage.uncached_input_tokens),
        ("cached", usage.cached_input_tokens),
        ("cache-creation", usage.cache_creation_tokens),
        ("tool-use", usage.tool_use_tokens),
        ("input-audio", usage.input_audio_tokens),
        ("output", usage.output_tokens),
        ("reasoning", usage.reasoning_tokens),
        ("thoughts", usage.thoughts_tokens),
        ("output-audio", usage.output_audio_tokens),
        ("billed-input", usage.billed_input_tokens),
        ("billed-output", usage.billed_output_tokens),
        ("total", usage.total_tokens),
    ];
    let told: Vec<_> = counts
        .into_iter()
        .filter_map(|(name, count)| Some(format!("{name} {}", count?)))
        .collect();
    told.join(", ")
}

fn described(limit: &ReportedLimit) -> String {
    let mut words = vec![meter(limit.meter).to_owned()];
    let mut say = |name: &str, value: Option<String>| {
        words.extend(value.map(|value| format!("{name} {value}")));
    };
    say("limit", limit.limit.map(|number| number.to_string()));
    say(
        "remaining",
        limit.remaining.map(|number| number.to_string()),
    );
    let reset = if limit.refills { "full" } else { "reset" };
    say(reset, limit.reset.map(seconds));
    say("per", limit.window.map(seconds));
    let rounded = (limit.rounded_to != 1).then(|| limit.rounded_to.to_string());
    say("rounded", rounded);
    words.join(", ")
}

fn told(refusal: &Refusal) -> String {
    let cause = match refusal.cause {
        RefusalCause::RateLimit => "rate-limit",
        RefusalCause::Capacity => "capacity",
        RefusalCause::TooLarge => "too-large",
        RefusalCause::Exhausted => "exhausted",
        RefusalCause::NotAllowed => "not-allowed",
        RefusalCause::ContextLength => "context-length",
        other => panic!("{other:?} has no name here"),
    };
    let mut words = vec![cause.to_owned()];
    let mut say = |name: &str, value: Option<String>| {
        words.extend(value.map(|value| format!("{name} {value}")));
    };
    say("code", refusal.code.clone());
    say("of", refusal.meter.map(|counted| meter(counted).to_owned()));
    say("per", refusal.window.map(seconds));
    say("limit", refusal.limit.map(|number| number.to_string()));
    say("used", refusal.used.map(|number| number.to_string()));
    say(
        "requested",
        refusal.requested.map(|number| number.to_string()),
    );
    say("wait", refusal.retry_after.map(seconds));
    words.join(", ")
}

fn meter(meter: Meter) -> &'static str {
    match meter {
        Meter::Requests => "requests",
        Meter::Tokens => "tokens",
        Meter::InputTokens => "input-tokens",
        Meter::OutputTokens => "output-tokens",
        Meter::Concurrent => "concurrent",
    }
}

fn seconds(duration: Duration) -> String {
    let nanos = format!("{:09}", duration.subsec_nanos());
    let fraction = nanos.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}s", duration.as_secs())
}
