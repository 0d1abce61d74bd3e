//! What is read of the responses of OpenAI and Anthropic, whole, in pieces, cut and broken.

use std::io::Write;

use base64::Engine;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use proactive_rate_limit::provider::{Anthropic, OpenAi, Provider};
use proactive_rate_limit::usage::{Reading, Unreadable, Usage, UsageField, UsagePath, UsageReader};

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

/// Of counts as Ollama reports them.
static OLLAMA: [UsagePath; 2] = [
    UsagePath::last(&["prompt_eval_count"], UsageField::Input),
    UsagePath::closing(&["eval_count"], UsageField::Output),
];

/// Of counts as Gemini reports them.
static GEMINI: [UsagePath; 2] = [
    UsagePath::last(&["usageMetadata", "promptTokenCount"], UsageField::Input),
    UsagePath::last(
        &["usageMetadata", "candidatesTokenCount"],
        UsageField::Output,
    ),
];

const OLLAMA_STREAM: &str = "{\"model\":\"gemma4\",\"message\":{\"content\":\"{\\n\"},\"done\":false}\n\r\n\n\
    {\"model\":\"gemma4\",\"message\":{\"content\":\"\"},\"done\":true,\"prompt_eval_count\":11,\"eval_count\":18}\n";

const GEMINI_ARRAY: &str = "[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"o]\"}]}}],\"usageMetadata\":{\"promptTokenCount\":200,\"candidatesTokenCount\":3}}\r\n,\r\n\
    {\"candidates\":[],\"usageMetadata\":{\"promptTokenCount\":200,\"candidatesTokenCount\":12}}\n]\n";

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
fn lines_and_arrays_read_the_same_in_any_pieces() {
    let cases: [(&'static [UsagePath], &'static str, &str, Reading); 4] = [
        (&OLLAMA, LINES, OLLAMA_STREAM, two(11, 18)),
        (&OLLAMA, LINES, OLLAMA_STREAM.trim_end(), two(11, 18)),
        (&GEMINI, JSON, GEMINI_ARRAY, two(200, 12)),
        (&GEMINI, LINES, "\n\n", Reading::Missing),
    ];
    for (paths, content_type, body, expected) in cases {
        let bytes = body.as_bytes();
        for split in 0..=bytes.len() {
            let (first, second) = bytes.split_at(split);
            let reading = read_pieces(paths, content_type, [first, second]);
            assert_eq!(reading, expected, "{body} split at {split}");
        }
        for piece in 1..=8 {
            let reading = read_pieces(paths, content_type, bytes.chunks(piece));
            assert_eq!(reading, expected, "{body} in pieces of {piece}");
        }
    }
}

#[test]
fn a_cut_array_is_truncated() {
    let bytes = GEMINI_ARRAY.trim_end().as_bytes();
    for cut in 1..bytes.len() {
        let reading = read_pieces(&GEMINI, JSON, [&bytes[..cut]]);
        assert_eq!(
            reading,
            Reading::Unreadable(Unreadable::Truncated),
            "cut at {cut}"
        );
    }
}

#[test]
fn cut_lines_never_read_as_another_usage() {
    let last = OLLAMA_STREAM.rfind('}').unwrap();
    for cut in 0..=last {
        let reading = read_pieces(&OLLAMA, LINES, [&OLLAMA_STREAM.as_bytes()[..cut]]);
        assert!(!matches!(reading, Reading::Usage(_)), "cut at {cut}");
    }
}

#[test]
fn a_broken_line_loses_only_itself() {
    let good = "{\"prompt_eval_count\":1,\"eval_count\":2}\n";
    for broken in [
        "{\"eval_count\":7\n",
        "}\n",
        "{\"eval_count\":-7,\n",
        "[[\n",
    ] {
        for body in [format!("{broken}{good}"), format!("{good}{broken}")] {
            let reading = read_pieces(&OLLAMA, LINES, [body.as_bytes()]);
            assert_eq!(reading, two(1, 2), "{body:?}");
        }
        let reading = read_pieces(&OLLAMA, LINES, [broken.as_bytes()]);
        assert_eq!(reading, Reading::Unreadable(Unreadable::Malformed));
    }
}

#[test]
fn lines_say_when_they_are_over_and_survive_a_gap() {
    let mut reader = UsageReader::new(&OLLAMA, &headers(LINES));
    let (first, last) = OLLAMA_STREAM.split_once("\n\r\n").unwrap();
    reader.feed(first.as_bytes());
    reader.mark_gap();
    reader.feed(b"\"eval_count\":7}\n");
    assert_eq!(reader.finish(), Reading::Unreadable(Unreadable::Gap));
    assert!(!reader.is_over());
    reader.feed(last.as_bytes());
    assert_eq!(reader.finish(), two(11, 18));
    assert!(reader.is_over());
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
fn an_error_inside_a_stream_leaves_no_usage() {
    for stream in [
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n",
        "data: {\"error\":{\"code\":429,\"message\":\"usage\"}}\n\n",
    ] {
        for provider in [&OpenAi as &dyn Provider, &Anthropic] {
            assert_eq!(read(provider, EVENTS, stream), Reading::Missing);
        }
    }
}

/// Bodies in every coding, made by the crates that read them.
fn encode(coding: &str, body: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Default::default());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        "br" => {
            let mut encoded = Vec::new();
            brotli::CompressorWriter::new(&mut encoded, 4096, 5, 22)
                .write_all(body)
                .unwrap();
            encoded
        }
        "zstd" => zstd::encode_all(body, 3).unwrap(),
        other => panic!("{other}"),
    }
}

fn encoded_reader(content_type: &'static str, codings: &str) -> UsageReader {
    let mut headers = headers(content_type);
    headers.insert(CONTENT_ENCODING, codings.parse().unwrap());
    UsageReader::new(OpenAi.usage_paths(), &headers)
}

const CODINGS: [&str; 6] = [
    "gzip",
    "deflate",
    "br",
    "zstd",
    "gzip, br",
    "zstd, gzip, deflate",
];

#[test]
fn encoded_bodies_read_as_their_plain_ones_in_any_pieces() {
    for (content_type, body) in [(JSON, OPENAI_CHAT), (EVENTS, OPENAI_CHAT_STREAM)] {
        let expected = read(&OpenAi, content_type, body);
        assert!(matches!(expected, Reading::Usage(_)));
        for codings in CODINGS {
            let encoded = codings
                .split(", ")
                .fold(body.as_bytes().to_vec(), |body, coding| {
                    encode(coding, &body)
                });
            for split in 0..=encoded.len() {
                let mut reader = encoded_reader(content_type, codings);
                assert!(!reader.is_over());
                reader.feed(&encoded[..split]);
                reader.feed(&encoded[split..]);
                assert_eq!(reader.finish(), expected, "{codings} split at {split}");
                assert!(reader.is_over(), "{codings}");
            }
            for piece in 1..=8 {
                let mut reader = encoded_reader(content_type, codings);
                encoded.chunks(piece).for_each(|piece| reader.feed(piece));
                assert_eq!(reader.finish(), expected, "{codings} in pieces of {piece}");
            }
            for cut in 0..encoded.len() {
                let mut reader = encoded_reader(content_type, codings);
                reader.feed(&encoded[..cut]);
                let reading = reader.finish();
                assert!(
                    reading == expected || !matches!(reading, Reading::Usage(_)),
                    "{codings} cut at {cut}: {reading:?}"
                );
            }
            let mut reader = encoded_reader(content_type, codings);
            reader.feed(&encoded);
            reader.mark_gap();
            assert_eq!(reader.finish(), Reading::Unreadable(Unreadable::Gap));
        }
    }
}

#[test]
fn corrupt_encodings_are_malformed() {
    for codings in CODINGS {
        let mut reader = encoded_reader(JSON, codings);
        reader.feed(&[0xA5; 4096]);
        reader.feed(b"more");
        assert_eq!(
            reader.finish(),
            Reading::Unreadable(Unreadable::Malformed),
            "{codings}"
        );
    }
}

/// Megabytes that become gigabytes are given up before they hold up whoever reads them.
#[test]
fn what_comes_out_is_bounded() {
    let nothing = vec![b' '; 1 << 20];
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut reader = encoded_reader(JSON, "gzip");
    for _ in 0..=256 {
        encoder.write_all(&nothing).unwrap();
        reader.feed(encoder.get_ref());
        encoder.get_mut().clear();
    }
    reader.feed(&encoder.finish().unwrap());
    assert_eq!(reader.finish(), Reading::Unreadable(Unreadable::Malformed));
}

/// A frame may ask for a window of gigabytes.
#[test]
fn a_zstd_window_is_bounded() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.include_contentsize(false).unwrap();
    encoder.write_all(OPENAI_CHAT.as_bytes()).unwrap();
    let encoded = encoder.finish().unwrap();
    let mut reader = encoded_reader(JSON, "zstd");
    reader.feed(&encoded);
    assert_eq!(reader.finish(), Reading::Unreadable(Unreadable::Malformed));
}

/// A message of AWS with one header for each name and value.
fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut encoded_headers = Vec::new();
    // Of every kind that comes before the text that matters.
    for (kind, size) in [
        (0, 0),
        (1, 0),
        (2, 1),
        (3, 2),
        (4, 4),
        (5, 8),
        (8, 8),
        (9, 16),
    ] {
        encoded_headers.extend([1, b'k', kind]);
        encoded_headers.extend(std::iter::repeat_n(7, size));
    }
    for (name, value) in headers {
        encoded_headers.push(name.len() as u8);
        encoded_headers.extend(name.as_bytes());
        encoded_headers.push(7);
        encoded_headers.extend((value.len() as u16).to_be_bytes());
        encoded_headers.extend(value.as_bytes());
    }
    let total = 16 + encoded_headers.len() + payload.len();
    let mut message = Vec::new();
    message.extend((total as u32).to_be_bytes());
    message.extend((encoded_headers.len() as u32).to_be_bytes());
    message.extend(crc32fast::hash(&message).to_be_bytes());
    message.extend(encoded_headers);
    message.extend(payload);
    message.extend(crc32fast::hash(&message).to_be_bytes());
    message
}

fn event(kind: &str, payload: &str) -> Vec<u8> {
    let headers = [
        (":event-type", kind),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    message(&headers, payload.as_bytes())
}

fn chunk(native: &str) -> Vec<u8> {
    let base64 = base64::engine::general_purpose::STANDARD.encode(native);
    let payload = format!(
        r#"{{"p":"abcdefgh","bytes":"{}"}}"#,
        base64.replace('/', "\\/")
    );
    event("chunk", &payload)
}

const MESSAGES: &str = "application/vnd.amazon.eventstream";

static CONVERSE: [UsagePath; 2] = [
    UsagePath::last(&["usage", "inputTokens"], UsageField::Input),
    UsagePath::last(&["usage", "outputTokens"], UsageField::Output),
];

static INVOKE: [UsagePath; 2] = [
    UsagePath::last(
        &["amazon-bedrock-invocationMetrics", "inputTokenCount"],
        UsageField::Input,
    ),
    UsagePath::last(
        &["amazon-bedrock-invocationMetrics", "outputTokenCount"],
        UsageField::Output,
    ),
];

fn streams_of_messages() -> [(&'static [UsagePath], Vec<u8>); 2] {
    let converse = [
        event("messageStart", r#"{"role":"assistant"}"#),
        message(&[(":event-type", "contentBlockDelta")], b""),
        event("contentBlockDelta", r#"{"delta":{"text":"{\"usage\":1}"}}"#),
        event(
            "metadata",
            r#"{"usage":{"inputTokens":50,"outputTokens":12},"metrics":{"latencyMs":900}}"#,
        ),
    ];
    let long = "???>>>".repeat(300);
    let invoke = [
        chunk(&format!(
            r#"{{"type":"content_block_delta","text":"{long}"}}"#
        )),
        chunk(
            r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":50,"outputTokenCount":12}}"#,
        ),
    ];
    [(&CONVERSE, converse.concat()), (&INVOKE, invoke.concat())]
}

#[test]
fn messages_read_the_same_in_any_pieces() {
    for (paths, body) in streams_of_messages() {
        for split in 0..=body.len() {
            let (first, second) = body.split_at(split);
            let reading = read_pieces(paths, MESSAGES, [first, second]);
            assert_eq!(reading, two(50, 12), "split at {split}");
        }
        for piece in 1..=8 {
            let reading = read_pieces(paths, MESSAGES, body.chunks(piece));
            assert_eq!(reading, two(50, 12), "pieces of {piece}");
        }
        for cut in 0..body.len() {
            let reading = read_pieces(paths, MESSAGES, [&body[..cut]]);
            assert!(!matches!(reading, Reading::Usage(_)), "cut at {cut}");
        }
    }
}

/// Whatever bit is wrong, no wrong usage is read.
#[test]
fn no_flipped_bit_is_read_as_a_usage() {
    for (paths, body) in streams_of_messages() {
        // The last message is the one with the usage.
        for at in body.len() - 120..body.len() {
            for bit in 0..8 {
                let mut body = body.clone();
                body[at] ^= 1 << bit;
                let reading = read_pieces(paths, MESSAGES, [&body[..]]);
                assert!(
                    !matches!(reading, Reading::Usage(_)),
                    "byte {at}, bit {bit}: {reading:?}"
                );
            }
        }
    }
}

#[test]
fn lengths_out_of_bounds_are_malformed() {
    let malformed = Reading::Unreadable(Unreadable::Malformed);
    for (total, headers) in [
        (0_u32, 0_u32),
        (15, 0),
        (16, 1),
        (u32::MAX, 0),
        (u32::MAX, u32::MAX - 16),
        (200_000, 150_000),
        (26_000_000, 0),
    ] {
        let mut prelude = [total.to_be_bytes(), headers.to_be_bytes()].concat();
        prelude.extend(crc32fast::hash(&prelude).to_be_bytes());
        prelude.extend([0; 64]);
        assert_eq!(read_pieces(&CONVERSE, MESSAGES, [&prelude[..]]), malformed);
    }
    let html = b"<html>not a message</html>";
    assert_eq!(read_pieces(&CONVERSE, MESSAGES, [&html[..]]), malformed);
    let no_base64 = event("chunk", r#"{"bytes":"!!!!"}"#);
    assert_eq!(read_pieces(&INVOKE, MESSAGES, [&no_base64[..]]), malformed);
}

struct Fixture {
    provider: &'static dyn Provider,
    content_type: &'static str,
    body: &'static str,
    expected: Reading,
}

const OPENAI_CHAT: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-6-sol","choices":[{"index":0,"message":{"role":"assistant","content":"ok {\"usage\":{\"prompt_tokens\":9}}"},"finish_reason":"stop"}],"usage":{"prompt_tokens":120,"completion_tokens":45,"total_tokens":165,"prompt_tokens_details":{"cached_tokens":64,"cache_write_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":30,"audio_tokens":0}}}"#;

const OPENAI_RESPONSE: &str = r#"{"id":"resp_1","object":"response","status":"completed","output":[{"type":"message","usage":{"input_tokens":1}}],"usage":{"input_tokens":120,"input_tokens_details":{"cached_tokens":64,"cache_write_tokens":0},"output_tokens":45,"output_tokens_details":{"reasoning_tokens":30},"total_tokens":165}}"#;

const OPENAI_EMBEDDINGS: &str = r#"{"object":"list","model":"text-embedding-3-small","data":[{"object":"embedding","index":0,"embedding":[0.0023,-1.5e-3,1]}],"usage":{"prompt_tokens":8,"total_tokens":8}}"#;

const OPENAI_CHAT_STREAM: &str = "data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"He\"}}],\"usage\":null,\"obfuscation\":\"a1\"}\n\n\
    data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n\
    data: {\"id\":\"chatcmpl-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":120,\"completion_tokens\":45,\"total_tokens\":165}}\n\n\
    data: [DONE]\n\n";

const OPENAI_CHAT_STREAM_WITHOUT: &str = "data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"He\"}}]}\n\n\
    data: [DONE]\n\n";

const OPENAI_RESPONSE_STREAM: &str = "event: response.created\r\n\
    data: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"usage\":null}}\r\n\r\n\
    event: response.output_text.delta\r\n\
    data: {\"type\":\"response.output_text.delta\",\"delta\":\"usage\"}\r\n\r\n\
    event: response.completed\r\n\
    data: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"usage\":{\"input_tokens\":120,\"input_tokens_details\":{\"cached_tokens\":64,\"cache_write_tokens\":0},\"output_tokens\":45,\"output_tokens_details\":{\"reasoning_tokens\":30},\"total_tokens\":165}}}\r\n\r\n";

const ANTHROPIC_MESSAGE: &str = r#"{"type":"message","id":"msg_1","content":[{"type":"text","text":"ok"}],"stop_reason":"end_turn","usage":{"input_tokens":50,"cache_creation_input_tokens":7,"cache_read_input_tokens":2000,"cache_creation":{"ephemeral_5m_input_tokens":7},"output_tokens":12,"output_tokens_details":{"thinking_tokens":4},"service_tier":"standard"}}"#;

const ANTHROPIC_START: &str = "event: message_start\n\
    data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"content\":[],\"usage\":{\"input_tokens\":50,\"cache_creation_input_tokens\":7,\"cache_read_input_tokens\":2000,\"output_tokens\":1}}}\n\n\
    event: content_block_delta\n\
    data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"ok\"}}\n\n";

const ANTHROPIC_STREAM: &str = "event: message_start\n\
    data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"content\":[],\"usage\":{\"input_tokens\":50,\"cache_creation_input_tokens\":7,\"cache_read_input_tokens\":2000,\"output_tokens\":1}}}\n\n\
    event: ping\n\
    data: {\"type\": \"ping\"}\n\n\
    event: message_delta\n\
    data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":12,\"input_tokens\":53}}\n\n\
    event: message_stop\n\
    data: {\"type\":\"message_stop\"}\n\n";

fn fixtures() -> Vec<Fixture> {
    let fixture = |provider, content_type, body, expected| Fixture {
        provider,
        content_type,
        body,
        expected,
    };
    let full = Reading::Usage(usage([
        Some(120),
        Some(45),
        Some(165),
        Some(64),
        Some(0),
        Some(30),
    ]));
    let embeddings = Reading::Usage(usage([Some(8), None, Some(8), None, None, None]));
    let chat_stream = Reading::Usage(usage([Some(120), Some(45), Some(165), None, None, None]));
    let silent = |full| match full {
        Reading::Usage(usage) => Reading::Usage(
            usage
                .with(UsageField::InputAudio, 0)
                .with(UsageField::OutputAudio, 0),
        ),
        other => other,
    };
    let message_of = |uncached, reasoning| {
        let rest = usage([None, Some(12), None, Some(2000), Some(7), reasoning]);
        Reading::Usage(rest.with(UsageField::UncachedInput, uncached))
    };
    let message = message_of(50, Some(4));
    let message_stream = message_of(53, None);
    vec![
        fixture(&OpenAi, JSON, OPENAI_CHAT, silent(full)),
        fixture(&OpenAi, JSON, OPENAI_RESPONSE, full),
        fixture(&OpenAi, JSON, OPENAI_EMBEDDINGS, embeddings),
        fixture(&OpenAi, EVENTS, OPENAI_CHAT_STREAM, chat_stream),
        fixture(
            &OpenAi,
            EVENTS,
            OPENAI_CHAT_STREAM_WITHOUT,
            Reading::Missing,
        ),
        fixture(&OpenAi, EVENTS, OPENAI_RESPONSE_STREAM, full),
        fixture(&Anthropic, JSON, ANTHROPIC_MESSAGE, message),
        fixture(&Anthropic, EVENTS, ANTHROPIC_STREAM, message_stream),
        fixture(&Anthropic, EVENTS, ANTHROPIC_START, Reading::Missing),
    ]
}

#[test]
fn every_split_reads_the_same() {
    for fixture in fixtures() {
        let bytes = fixture.body.as_bytes();
        for split in 0..=bytes.len() {
            let mut reader = reader(fixture.provider, fixture.content_type);
            reader.feed(&bytes[..split]);
            reader.feed(&bytes[split..]);
            assert_eq!(reader.finish(), fixture.expected, "split at {split}");
        }
        for piece in 1..20 {
            let mut reader = reader(fixture.provider, fixture.content_type);
            for bytes in bytes.chunks(piece) {
                reader.feed(bytes);
            }
            assert_eq!(reader.finish(), fixture.expected, "pieces of {piece}");
        }
    }
}

#[test]
fn a_cut_body_never_reads_as_another_usage() {
    for fixture in fixtures() {
        for cut in 0..fixture.body.len() {
            let mut reader = reader(fixture.provider, fixture.content_type);
            reader.feed(&fixture.body.as_bytes()[..cut]);
            match reader.finish() {
                Reading::Usage(_) => {
                    assert_eq!(reader.finish(), fixture.expected, "cut at {cut}");
                    assert_eq!(fixture.content_type, EVENTS, "cut at {cut}");
                }
                Reading::Missing => {
                    assert!(cut == 0 || fixture.content_type == EVENTS, "cut at {cut}");
                }
                Reading::Unreadable(reason) => assert_eq!(reason, Unreadable::Truncated),
                other => panic!("unexpected {other:?}"),
            }
        }
    }
}

#[test]
fn a_cut_stream_without_final_usage_is_missing() {
    assert_eq!(read(&Anthropic, EVENTS, ANTHROPIC_START), Reading::Missing);
    let cut = OPENAI_CHAT_STREAM.find("\"choices\":[],").unwrap();
    assert_eq!(
        read(&OpenAi, EVENTS, &OPENAI_CHAT_STREAM[..cut]),
        Reading::Missing
    );
    let cut = OPENAI_CHAT_STREAM.find("45,").unwrap();
    assert_eq!(
        read(&OpenAi, EVENTS, &OPENAI_CHAT_STREAM[..cut]),
        Reading::Unreadable(Unreadable::Truncated)
    );
}

#[test]
fn only_the_outermost_usage_counts() {
    let bodies = [
        r#"{"choices":[{"usage":{"prompt_tokens":1,"completion_tokens":2}}]}"#,
        r#"[[{"usage":{"prompt_tokens":1,"completion_tokens":2}}]]"#,
        "[]",
        "[1,\"usage\",null]",
        r#"{"text":"\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}"}"#,
        r#"{"usage":[{"prompt_tokens":1}]}"#,
        r#"{"x":{"usage":{"prompt_tokens":1}}}"#,
        r#"{"usage":{"x":{"prompt_tokens":1}}}"#,
        r#"{"prompt_tokens":1}"#,
        r#"{"usage":null}"#,
        r#"{"usage":{"prompt_tokens":null}}"#,
        r#"{"usage":{}}"#,
        r#""usage""#,
        "\n\n{}\n",
        "",
    ];
    for body in bodies {
        assert_eq!(read(&OpenAi, JSON, body), Reading::Missing, "{body}");
    }
}

#[test]
fn keys_are_compared_by_what_they_mean() {
    let body =
        r#"{"\u0075sage":{"prompt\u005ftokens":1,"completion_tokens":2,"prompt_tokens\\":9}}"#;
    assert_eq!(read(&OpenAi, JSON, body), two(1, 2));
}

#[test]
fn the_last_of_repeated_counts_wins() {
    let body = r#"{"usage":{"prompt_tokens":1,"prompt_tokens":2,"completion_tokens":3},
                   "usage":{"completion_tokens":4}}"#;
    assert_eq!(read(&OpenAi, JSON, body), two(2, 4));

    let stream = "data: {\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":1}}\n\n\
        data: {\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n\
        data: {\"usage\":null}\n\n";
    assert_eq!(read(&OpenAi, EVENTS, stream), two(5, 2));
}

#[test]
fn an_invalid_number_spoils_the_reading() {
    let invalid = Reading::Unreadable(Unreadable::InvalidNumber);
    for number in [
        "-1",
        "12.5",
        "1e2",
        "1000000000001",
        "99999999999999999999999999",
        "\"12\"",
        "true",
        "[]",
        "{}",
    ] {
        let body = format!(r#"{{"usage":{{"prompt_tokens":{number},"completion_tokens":2}}}}"#);
        assert_eq!(read(&OpenAi, JSON, &body), invalid, "{number}");
        let stream = format!("data: {body}\n\n");
        assert_eq!(read(&OpenAi, EVENTS, &stream), invalid, "{number}");
    }
    let body = r#"{"usage":{"prompt_tokens":12.0,"completion_tokens":1000000000000}}"#;
    assert_eq!(read(&OpenAi, JSON, body), two(12, 1_000_000_000_000));
}

#[test]
fn what_is_not_json_is_malformed() {
    for body in [
        "<html>",
        "{usage}",
        r#"{"usage":{"prompt_tokens":1 2}}"#,
        r#"{"usage":{"prompt_tokens":1}} {"#,
        r#"{"usage":{"prompt_tokens":12abc}}"#,
        "{\"usage\":{\"prompt_tokens\":1}}\n{\"usage\":{\"prompt_tokens\":2}}\n",
        r#"[{"usage":{"prompt_tokens":1}} {}]"#,
        r#"[{"usage":{"prompt_tokens":1}}]]"#,
        r#"[{"usage":{"prompt_tokens":1}},]"#,
    ] {
        let expected = Reading::Unreadable(Unreadable::Malformed);
        assert_eq!(read(&OpenAi, JSON, body), expected, "{body}");
    }
}

#[test]
fn a_broken_event_loses_only_itself() {
    let good = "data: {\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n";
    let broken = [
        "data: {\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":8}\n\n",
        "data: {\"usage\":{\"prompt_tokens\":7,}}\n\n",
        "data: {\"usage\":{\"prompt_tokens\":-7,\n\n",
        "data: \"\n\n",
        "data: [[[\n\n",
        "data: ping\n\n",
        "\u{0}\u{1}\n\n",
        "data: {\"a\":\"\\u12\n\n",
    ];
    for event in broken {
        for stream in [format!("{event}{good}"), format!("{good}{event}")] {
            assert_eq!(read(&OpenAi, EVENTS, &stream), two(1, 2), "{stream:?}");
        }
    }
    assert_eq!(
        read(&OpenAi, EVENTS, broken[0]),
        Reading::Unreadable(Unreadable::Malformed)
    );
}

#[test]
fn an_event_may_span_lines_and_the_stream_may_just_end() {
    let stream = ": OPENROUTER PROCESSING\n\n\
        data: {\"usage\":\ndata: {\"prompt_tokens\":1,\ndata:\"completion_tokens\":2}\n\
        event: x\ndata: }";
    assert_eq!(read(&OpenAi, EVENTS, stream), two(1, 2));
}

#[test]
fn blank_lines_may_come_first() {
    let body = format!("\n\r\n \n{OPENAI_CHAT}\n");
    assert_eq!(read(&OpenAi, JSON, &body), read(&OpenAi, JSON, OPENAI_CHAT));
}

#[test]
fn a_body_in_an_unknown_coding_is_left_alone() {
    for (encoding, is_encoded) in [
        ("compress", true),
        ("aes128gcm, identity", true),
        ("gzip, unknown", true),
        ("br, br, br, br, br", true),
        ("identity", false),
        ("Identity", false),
    ] {
        let mut headers = headers(JSON);
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        let mut reader = UsageReader::new(OpenAi.usage_paths(), &headers);
        reader.feed(OPENAI_CHAT.as_bytes());
        let encoded = reader.finish() == Reading::Unreadable(Unreadable::Encoded);
        assert_eq!(encoded, is_encoded, "{encoding}");
    }
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
fn a_gap_loses_a_document() {
    let mut reader = reader(&OpenAi, JSON);
    reader.feed(b"{\"usage\":{\"prompt_tokens\":1}");
    reader.mark_gap();
    reader.feed(b"}");
    assert_eq!(reader.finish(), Reading::Unreadable(Unreadable::Gap));
}

#[test]
fn a_gap_in_a_stream_needs_final_counts_after_it() {
    let usage = b"data: {\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n";
    let mut reader = reader(&OpenAi, EVENTS);
    reader.feed(usage);
    assert_eq!(reader.finish(), two(1, 2));
    reader.mark_gap();
    assert_eq!(reader.finish(), Reading::Unreadable(Unreadable::Gap));
    // The rest of an event that began in the gap.
    reader.feed(b"{\"usage\":{\"prompt_tokens\":7}}\n");
    reader.feed(usage);
    assert_eq!(reader.finish(), Reading::Unreadable(Unreadable::Gap));
    reader.feed(usage);
    assert_eq!(reader.finish(), two(1, 2));
}

#[test]
fn memory_does_not_grow_with_the_body() {
    // Nothing in a reader of a plain body is on the heap, so its size is all the memory it has.
    assert!(
        size_of::<UsageReader>() <= 1_024,
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

#[test]
fn a_body_of_many_values_is_passed_over() {
    let mut reader = reader(&OpenAi, JSON);
    reader.feed(b"{\"data\":[0");
    let numbers = ",-0.0123456,{\"a\":[1e-9,\"\\\"\"]}".repeat(1_000);
    for _ in 0..200 {
        reader.feed(numbers.as_bytes());
    }
    reader.feed(b"],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}");
    assert_eq!(reader.finish(), two(1, 2));
}

#[test]
fn nesting_is_only_counted() {
    let deep = "[".repeat(1_000_000);
    let shallow = "]".repeat(1_000_000);
    let body =
        format!(r#"{{"x":{deep}{shallow},"usage":{{"prompt_tokens":1,"completion_tokens":2}}}}"#);
    assert_eq!(read(&OpenAi, JSON, &body), two(1, 2));
    assert_eq!(
        read(&OpenAi, JSON, &deep),
        Reading::Unreadable(Unreadable::Truncated)
    );
}

/// Paths, a type, a coding, and a body of that.
type FormatOf = (
    &'static [UsagePath],
    &'static str,
    Option<&'static str>,
    Vec<u8>,
);

/// Every format.
fn formats() -> Vec<FormatOf> {
    let mut formats: Vec<_> = fixtures()
        .into_iter()
        .map(|fixture| {
            let paths = fixture.provider.usage_paths();
            let body = fixture.body.as_bytes().to_vec();
            (paths, fixture.content_type, None, body)
        })
        .collect();
    formats.push((&OLLAMA, LINES, None, OLLAMA_STREAM.into()));
    formats.push((&GEMINI, JSON, None, GEMINI_ARRAY.into()));
    for (paths, body) in streams_of_messages() {
        formats.push((paths, MESSAGES, None, body));
    }
    for coding in CODINGS {
        let encoded = coding
            .split(", ")
            .fold(OPENAI_CHAT.as_bytes().to_vec(), |body, coding| {
                encode(coding, &body)
            });
        formats.push((OpenAi.usage_paths(), JSON, Some(coding), encoded));
    }
    formats
}

proptest! {
    #[test]
    fn any_bytes_read_the_same_in_any_pieces(
        which in any::<prop::sample::Index>(),
        body in prop::collection::vec(any::<u8>(), 0..400),
        piece in 1usize..30,
    ) {
        let formats = formats();
        let (paths, content_type, coding, _) = which.get(&formats);
        check_pieces(paths, content_type, *coding, &body, piece)?;
    }

    #[test]
    fn a_damaged_body_reads_the_same_in_any_pieces(
        which in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        piece in 1usize..30,
    ) {
        let formats = formats();
        let (paths, content_type, coding, body) = which.get(&formats);
        let mut body = body.clone();
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        check_pieces(paths, content_type, *coding, &body, piece)?;
    }
}

fn check_pieces(
    paths: &'static [UsagePath],
    content_type: &'static str,
    coding: Option<&'static str>,
    body: &[u8],
    piece: usize,
) -> Result<(), TestCaseError> {
    let mut headers = headers(content_type);
    if let Some(coding) = coding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    let mut whole = UsageReader::new(paths, &headers);
    whole.feed(body);
    let mut pieces = UsageReader::new(paths, &headers);
    for bytes in body.chunks(piece) {
        pieces.feed(bytes);
    }
    prop_assert_eq!(whole.finish(), pieces.finish());
    Ok(())
}

/// Clients stop reading when a stream says that it is over, and drop what is left of the body.
#[test]
fn a_stream_says_when_it_is_over() {
    let cases: [(&dyn Provider, &[&str]); 3] = [
        (
            &OpenAi,
            &[
                "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n",
                "data: [DO",
                "NE]\n\n",
            ],
        ),
        (
            &OpenAi,
            &[
                "event: response.created\ndata: {\"response\":{\"usage\":null}}\n\n",
                "data: {\"response\":{\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}}\n\n",
            ],
        ),
        (
            &Anthropic,
            &[
                "data: {\"message\":{\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n",
                "data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":2}}\n\n",
            ],
        ),
    ];
    for (provider, pieces) in cases {
        let mut reader = reader(provider, EVENTS);
        for piece in pieces {
            assert!(!reader.is_over(), "{piece}");
            reader.feed(piece.as_bytes());
        }
        assert!(reader.is_over(), "{pieces:?}");
    }
}

#[test]
fn what_only_looks_like_the_end_of_a_stream_is_not() {
    for piece in [
        "data: [DONE",
        "data: [DONE] \n\n",
        "data: [DONE]\n",
        "data: \"[DONE]\"\n\n",
        ": [DONE]\n\n",
        "data: [DO\ndata: NE]\n\n",
    ] {
        let mut reader = reader(&OpenAi, EVENTS);
        reader.feed(piece.as_bytes());
        assert!(!reader.is_over(), "{piece}");
    }
}
