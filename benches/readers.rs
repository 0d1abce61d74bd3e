//! What reading the usage costs: bodies of each format in frames of 16 KiB, through a reader and past
//! it.
//!
//! `cargo bench --bench readers`

use std::hint::black_box;
use std::io::Write;
use std::time::Duration;

use base64::Engine;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use proactive_rate_limit::provider;
use proactive_rate_limit::usage::{Reading, UsageReader};

const FRAME: usize = 16 * 1024;

const SIZES: [(&str, usize); 3] = [("1KB", 1_000), ("100KB", 100_000), ("10MB", 10_000_000)];

/// Prose, with an escape now and then.
const TEXT: &str = "The quick brown fox jumps over the lazy dog, and says \\\"so what\\\". \\n";

struct Format {
    name: &'static str,
    dialect: &'static str,
    path: &'static str,
    content_type: &'static str,
    encoding: Option<&'static str>,
    body: fn(usize) -> Vec<u8>,
}

const FORMATS: [Format; 5] = [
    Format {
        name: "json",
        dialect: "openai",
        path: "/v1/chat/completions",
        content_type: "application/json",
        encoding: None,
        body: json,
    },
    Format {
        name: "sse",
        dialect: "openai",
        path: "/v1/chat/completions",
        content_type: "text/event-stream",
        encoding: None,
        body: sse,
    },
    Format {
        name: "ndjson",
        dialect: "ollama",
        path: "/api/chat",
        content_type: "application/x-ndjson",
        encoding: None,
        body: ndjson,
    },
    Format {
        name: "event_stream",
        dialect: "bedrock",
        path: "/model/m/invoke-with-response-stream",
        content_type: "application/vnd.amazon.eventstream",
        encoding: None,
        body: event_stream,
    },
    Format {
        name: "gzip",
        dialect: "openai",
        path: "/v1/chat/completions",
        content_type: "application/json",
        encoding: Some("gzip"),
        body: gzip,
    },
];

fn json(size: usize) -> Vec<u8> {
    let text = TEXT.repeat(size / TEXT.len());
    let usage = r#""usage":{"prompt_tokens":120,"completion_tokens":45,"total_tokens":165}"#;
    format!(r#"{{"choices":[{{"message":{{"content":"{text}"}}}}],{usage}}}"#).into_bytes()
}

fn sse(size: usize) -> Vec<u8> {
    let chunk =
        r#"{"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":" the"}}],"usage":null}"#;
    let mut body = format!("data: {chunk}\n\n").repeat(size / (chunk.len() + 8));
    body += "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":120,\"completion_tokens\":45}}\n\n";
    body += "data: [DONE]\n\n";
    body.into_bytes()
}

fn ndjson(size: usize) -> Vec<u8> {
    let chunk = "{\"model\":\"gemma4\",\"message\":{\"role\":\"assistant\",\"content\":\" the\"},\"done\":false}\n";
    let mut body = chunk.repeat(size / chunk.len());
    body += "{\"done\":true,\"prompt_eval_count\":120,\"eval_count\":45}\n";
    body.into_bytes()
}

fn event_stream(size: usize) -> Vec<u8> {
    let chunk =
        message(r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":" the"}}"#);
    let mut body = chunk.repeat(size / chunk.len());
    body.extend(message(
        r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":120,"outputTokenCount":45}}"#,
    ));
    body
}

fn message(native: &str) -> Vec<u8> {
    let payload = format!(
        r#"{{"bytes":"{}"}}"#,
        base64::engine::general_purpose::STANDARD.encode(native)
    );
    let mut headers = Vec::new();
    for (name, value) in [(":event-type", "chunk"), (":message-type", "event")] {
        headers.push(name.len() as u8);
        headers.extend(name.as_bytes());
        headers.push(7);
        headers.extend((value.len() as u16).to_be_bytes());
        headers.extend(value.as_bytes());
    }
    let mut message = Vec::new();
    message.extend((16 + headers.len() as u32 + payload.len() as u32).to_be_bytes());
    message.extend((headers.len() as u32).to_be_bytes());
    message.extend(crc32fast::hash(&message).to_be_bytes());
    message.extend(headers);
    message.extend(payload.as_bytes());
    message.extend(crc32fast::hash(&message).to_be_bytes());
    message
}

/// Of so many bytes when decoded.
fn gzip(size: usize) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&json(size)).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// What whoever takes the frames does with them at least: looks where they end.
fn pass(body: &[u8]) -> usize {
    body.chunks(FRAME).map(|frame| black_box(frame).len()).sum()
}

fn readers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("readers");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    for (size_name, size) in SIZES {
        for format in &FORMATS {
            let body = (format.body)(size);
            let mut headers = HeaderMap::from_iter([(
                CONTENT_TYPE,
                HeaderValue::from_static(format.content_type),
            )]);
            if let Some(encoding) = format.encoding {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
            }
            let paths = provider::by_name(format.dialect).usage_paths_of(format.path);
            // Of a compressed body, what comes out.
            group.throughput(Throughput::Bytes(size as u64));
            group.bench_function(format!("{}/{size_name}", format.name), |bencher| {
                bencher.iter(|| {
                    let mut reader = UsageReader::new(paths, &headers);
                    for frame in body.chunks(FRAME) {
                        reader.feed(black_box(frame));
                    }
                    let reading = reader.finish();
                    assert!(matches!(reading, Reading::Usage(_)), "{reading:?}");
                });
            });
        }
        let body = json(size);
        group.bench_function(format!("bare/{size_name}"), |bencher| {
            bencher.iter(|| assert_eq!(pass(&body), body.len()));
        });
        // The least that anything costs that touches each byte.
        group.bench_function(format!("checksum/{size_name}"), |bencher| {
            bencher.iter(|| {
                body.chunks(FRAME)
                    .fold(0, |sum, frame| sum ^ crc32fast::hash(black_box(frame)))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, readers);
criterion_main!(benches);
