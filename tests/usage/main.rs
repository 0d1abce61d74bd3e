//! What is read of responses, whole, in pieces, cut and broken: a file for each format.

mod bodies;
mod damaged;
mod encoded;
mod event_stream;
mod json;
mod lines;
mod sse;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use proactive_rate_limit::provider::{OpenAi, Provider};
use proactive_rate_limit::usage::{Reading, Usage, UsagePath, UsageReader};

use self::bodies::{OPENAI_CHAT, OPENAI_CHAT_STREAM};
use self::json::{GEMINI, GEMINI_ARRAY};

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream; charset=utf-8";
const LINES: &str = "application/x-ndjson";

fn headers(content_type: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))])
}

fn reader(provider: &dyn Provider, content_type: &'static str) -> UsageReader {
    UsageReader::new(provider.usage_paths(), &headers(content_type))
}

fn read(provider: &dyn Provider, content_type: &'static str, body: &str) -> Reading {
    let mut reader = reader(provider, content_type);
    reader.feed(body.as_bytes());
    reader.finish()
}

/// A usage of input, output, total, cached input, written cache and reasoning tokens.
fn usage(counts: [Option<u64>; 6]) -> Usage {
    let mut usage = Usage::default();
    [
        usage.input_tokens,
        usage.output_tokens,
        usage.total_tokens,
        usage.cached_input_tokens,
        usage.cache_creation_tokens,
        usage.reasoning_tokens,
    ] = counts;
    usage
}

fn two(input: u64, output: u64) -> Reading {
    Reading::Usage(usage([Some(input), Some(output), None, None, None, None]))
}

/// What `paths` find in pieces of the body.
fn read_pieces<'a>(
    paths: &'static [UsagePath],
    content_type: &'static str,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Reading {
    let mut reader = UsageReader::new(paths, &headers(content_type));
    for piece in pieces {
        reader.feed(piece);
    }
    reader.finish()
}

#[test]
fn the_content_type_chooses_the_format() {
    for content_type in [
        "text/event-stream",
        "Text/Event-Stream",
        "text/event-stream;charset=utf-8",
        " text/event-stream ; charset=utf-8",
    ] {
        let reading = read(&OpenAi, content_type, OPENAI_CHAT_STREAM);
        assert!(matches!(reading, Reading::Usage(_)), "{content_type}");
    }
    let mut reader = UsageReader::new(OpenAi.usage_paths(), &HeaderMap::new());
    reader.feed(OPENAI_CHAT.as_bytes());
    assert!(matches!(reader.finish(), Reading::Usage(_)));
}

#[test]
fn counts_of_headers_hold_unless_the_body_gives_them() {
    let known = usage([Some(50), Some(12), None, Some(7), None, None]);
    let read = |known, body: &str| {
        let mut reader = UsageReader::new(&GEMINI, &headers(JSON)).beginning_with(known);
        reader.feed(body.as_bytes());
        reader.finish()
    };
    for body in [
        "",
        "{}",
        "<html>",
        "{\"usageMetadata\":{\"promptTokenCount\":1",
    ] {
        assert_eq!(read(known, body), Reading::Usage(known), "{body}");
    }
    assert_eq!(
        read(known, GEMINI_ARRAY),
        Reading::Usage(usage([Some(200), Some(12), None, Some(7), None, None]))
    );
    let input = usage([Some(50), None, None, None, None, None]);
    assert_eq!(read(input, "{}"), Reading::Missing);
}

#[test]
fn memory_does_not_grow_with_the_body() {
    // Nothing in a reader of a plain body is on the heap, so its size is all the memory it has.
    assert!(
        size_of::<UsageReader>() <= 1_152,
        "{}",
        size_of::<UsageReader>()
    );

    let filler = vec![b'x'; 1 << 20];
    let opening = b"data: {\"choices\":[{\"delta\":{\"content\":\"";
    let closing = b"\"}}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n";
    for (content_type, opening, megabytes) in
        [(EVENTS, &opening[..], 10), (JSON, &opening[6..], 100)]
    {
        let mut reader = reader(&OpenAi, content_type);
        reader.feed(opening);
        for _ in 0..megabytes {
            reader.feed(&filler);
        }
        reader.feed(closing);
        assert_eq!(reader.finish(), two(1, 2));
    }
}
