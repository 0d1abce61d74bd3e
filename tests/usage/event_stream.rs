//! Messages of AWS.

use base64::Engine;
use proactive_rate_limit::usage::{Reading, Unreadable, UsageField, UsagePath};

use crate::{read_pieces, two};

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

pub(crate) const MESSAGES: &str = "application/vnd.amazon.eventstream";

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

pub(crate) fn streams_of_messages() -> [(&'static [UsagePath], Vec<u8>); 2] {
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
