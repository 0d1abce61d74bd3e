//! What has to hold for any bytes from the network. The fuzzer and the test `corpus` both run
//! these.

use std::time::{Duration, SystemTime};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proactive_rate_limit::provider::{self, Feedback, Provider, Refusal, RefusalCause};
use proactive_rate_limit::usage::{Reading, Unreadable, Usage, UsageReader};
use proactive_rate_limit::{Charge, Cost};

/// The longest duration that is plausible.
const LONGEST: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// The largest number that is taken for a count of tokens.
const MAX_COUNT: u64 = 1_000_000_000_000;

fn providers() -> impl Iterator<Item = &'static dyn Provider> {
    provider::all()
}

/// The body of a response, one JSON document.
pub(crate) fn usage_json(body: &[u8]) {
    for provider in metering() {
        let reading = assert_cuts_do_not_matter(provider, "application/json", body);
        assert_counts_are_plausible(provider, reading);
        for split in cuts(body) {
            let mut reader = reader(provider, "application/json");
            reader.feed(&body[..split]);
            reader.mark_gap();
            reader.feed(&body[split..]);
            assert!(!matches!(reader.finish(), Reading::Usage(_)));
            assert!(!reader.is_over());
        }
    }
}

/// The body of a response, a stream of events.
pub(crate) fn usage_events(body: &[u8]) {
    for provider in metering() {
        let reading = assert_cuts_do_not_matter(provider, "text/event-stream", body);
        assert_counts_are_plausible(provider, reading);
        // Only at the beginning of a stream, a byte order mark is none of its text.
        if body.starts_with(b"\xEF\xBB\xBF") {
            continue;
        }
        for split in cuts(body) {
            let mut reader = reader(provider, "text/event-stream");
            reader.feed(&body[..split]);
            reader.mark_gap();
            // The end of the event that the gap tore.
            reader.feed(b"\n\n");
            reader.feed(body);
            assert_is_read_again(reading, reader.finish());
        }
    }
}

/// The head of a response: its status, then its headers, one to a line.
pub(crate) fn headers(head: &[u8]) {
    let (status, headers, _) = parse(head);
    // 2026-11-24T00:00:00Z.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_478_400);
    let with_nonsense = with_nonsense(&headers);
    // A structured field that gets too long is not read.
    let doubled = (head.len() <= 1024).then(|| doubled(&headers));
    let (plain, more) = with_more(&headers);
    for provider in providers() {
        let read = |headers| provider.feedback(status, headers, now);
        let feedback = read(&headers);
        assert_is_plausible(&feedback);
        assert_eq!(feedback.throttled, status == StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(feedback, read(&with_nonsense), "nonsense counts");
        if let Some(doubled) = &doubled {
            assert_eq!(feedback, read(doubled), "saying it twice changes it");
        }
        assert_is_no_less_careful(&read(&more), &read(&plain));
    }
}

/// A whole response: its head, an empty line, and the beginning of its body.
pub(crate) fn refusals(response: &[u8]) {
    let (status, headers, body) = parse(response);
    let says_so = [402, 413, 429, 503, 529].contains(&status.as_u16());
    let is_error = status.is_client_error() || status.is_server_error();
    for provider in providers() {
        for end in cuts(body) {
            let refusal = provider.refusal(status, &headers, &body[..end]);
            assert!(!says_so || refusal.is_some(), "{status} is a refusal");
            assert!(is_error || refusal.is_none(), "{status} is none");
            if let Some(refusal) = refusal {
                assert_is_consistent(&refusal);
            }
        }
    }
}

/// One provider for each way to report usage.
fn metering() -> impl Iterator<Item = &'static dyn Provider> {
    let mut seen = Vec::new();
    providers().filter(move |provider| {
        let paths = provider.usage_paths().as_ptr();
        let is_new = !seen.contains(&paths);
        seen.push(paths);
        is_new
    })
}

fn reader(provider: &dyn Provider, content_type: &'static str) -> UsageReader {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
    UsageReader::new(provider.usage_paths(), &headers)
}

fn read<'a>(
    provider: &dyn Provider,
    content_type: &'static str,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Reading {
    let mut reader = reader(provider, content_type);
    for piece in pieces {
        reader.feed(piece);
    }
    reader.finish()
}

fn assert_cuts_do_not_matter(
    provider: &dyn Provider,
    content_type: &'static str,
    body: &[u8],
) -> Reading {
    let whole = read(provider, content_type, [body]);
    for size in [1, 2, 3, 7, 64] {
        let pieces = read(provider, content_type, body.chunks(size));
        assert_eq!(pieces, whole, "in pieces of {size}");
    }
    for split in cuts(body) {
        let (first, second) = body.split_at(split);
        let halves = read(provider, content_type, [first, &[], second]);
        assert_eq!(halves, whole, "cut at {split}");
    }
    whole
}

/// After a gap, a stream that is read from its beginning says at least what it says alone.
fn assert_is_read_again(alone: Reading, after_gap: Reading) {
    let Reading::Usage(alone) = alone else {
        return;
    };
    match after_gap {
        Reading::Usage(after_gap) => {
            for (alone, after_gap) in counts(&alone).into_iter().zip(counts(&after_gap)) {
                assert!(alone.is_none() || alone == after_gap);
            }
        }
        // Before the gap.
        Reading::Unreadable(Unreadable::InvalidNumber) => {}
        other => panic!("{alone:?} after a gap is {other:?}"),
    }
}

fn counts(usage: &Usage) -> [Option<u64>; 13] {
    [
        usage.input_tokens,
        usage.uncached_input_tokens,
        usage.output_tokens,
        usage.total_tokens,
        usage.cached_input_tokens,
        usage.cache_creation_tokens,
        usage.reasoning_tokens,
        usage.thoughts_tokens,
        usage.tool_use_tokens,
        usage.input_audio_tokens,
        usage.output_audio_tokens,
        usage.billed_input_tokens,
        usage.billed_output_tokens,
    ]
}

fn assert_counts_are_plausible(provider: &dyn Provider, reading: Reading) {
    let Reading::Usage(usage) = reading else {
        return;
    };
    let counts = counts(&usage).into_iter().flatten();
    assert!(counts.max().is_some_and(|largest| largest <= MAX_COUNT));
    let reserved = Cost::request()
        .with_input_tokens(100)
        .with_output_tokens(400)
        .with_tokens(500);
    let charged = provider
        .counting(None, Charge::Actual)
        .charged(&usage, &reserved);
    assert_eq!(charged.requests, 1);
    assert!(charged.input_tokens <= 2 * MAX_COUNT);
    assert!(charged.tokens <= 4 * MAX_COUNT);
    assert!(charged.output_tokens >= usage.output_tokens.unwrap_or(0));
}

/// Places to cut at: a few, spread over all of it, and both ends.
fn cuts(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let length = bytes.len();
    (0..=8).map(move |part| length * part / 8)
}

fn assert_is_plausible(feedback: &Feedback) {
    assert!(feedback.retry_after.is_none_or(|wait| wait <= LONGEST));
    for limit in &feedback.limits {
        assert!(limit.limit.is_some() || limit.remaining.is_some());
        assert!(limit.reset.is_none_or(|reset| reset <= LONGEST));
        assert!(
            limit
                .window
                .is_none_or(|window| !window.is_zero() && window <= LONGEST)
        );
        assert!(limit.rounded_to >= 1);
    }
}

/// Whatever is said besides, a number does not grow and a reset does not get shorter.
fn assert_is_no_less_careful(after: &Feedback, before: &Feedback) {
    assert!(after.retry_after >= before.retry_after);
    for limit in &before.limits {
        let is_kept = after.limits.iter().any(|after| {
            (after.meter, after.window) == (limit.meter, limit.window)
                && limit.limit.is_none_or(|number| after.limit <= Some(number))
                && limit
                    .remaining
                    .is_none_or(|number| after.remaining <= Some(number))
                && after.reset >= limit.reset
        });
        assert!(is_kept, "{limit:?} is not in {after:?}");
    }
}

/// The headers with a further line to each, after those without it. What is left out of both are
/// structured fields, whose lines are one, and what is read before another.
fn with_more(headers: &HeaderMap) -> (HeaderMap, HeaderMap) {
    let mut plain = headers.clone();
    for name in [
        "ratelimit",
        "ratelimit-policy",
        "retry-after",
        "retry-after-ms",
    ] {
        plain.remove(name);
    }
    let mut more = plain.clone();
    for name in plain.keys() {
        more.append(name, HeaderValue::from_static("5"));
    }
    (plain, more)
}

fn with_nonsense(headers: &HeaderMap) -> HeaderMap {
    let mut with = headers.clone();
    // One line that is malformed spoils a structured field.
    let plain = headers
        .keys()
        .filter(|name| !["ratelimit", "ratelimit-policy"].contains(&name.as_str()));
    for name in plain {
        with.append(name, HeaderValue::from_static("nonsense"));
    }
    with
}

fn doubled(headers: &HeaderMap) -> HeaderMap {
    let mut doubled = headers.clone();
    for (name, value) in headers {
        doubled.append(name, value.clone());
    }
    doubled
}

fn assert_is_consistent(refusal: &Refusal) {
    assert!(refusal.retry_after.is_none_or(|wait| wait <= LONGEST));
    assert!(refusal.window.is_none_or(|window| window <= LONGEST));
    if let Some(code) = &refusal.code {
        assert!((1..=128).contains(&code.len()));
    }
    if refusal.cause == RefusalCause::RateLimit {
        assert_ne!(refusal.limit, Some(0));
        if let (Some(requested), Some(limit)) = (refusal.requested, refusal.limit) {
            assert!(requested <= limit);
        }
    }
}

/// Takes a response apart. What is no status is 429, what is no header is passed over.
fn parse(response: &[u8]) -> (StatusCode, HeaderMap, &[u8]) {
    let (head, body) = match response.windows(2).position(|pair| pair == b"\n\n") {
        Some(end) => (&response[..end], &response[end + 2..]),
        None => (response, &[][..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let status = lines
        .next()
        .and_then(|line| StatusCode::from_bytes(line).ok())
        .unwrap_or(StatusCode::TOO_MANY_REQUESTS);
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    (status, headers, body)
}
