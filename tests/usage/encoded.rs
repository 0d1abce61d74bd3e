//! Bodies with a `Content-Encoding`.

use std::io::Write;

use http::HeaderValue;
use http::header::CONTENT_ENCODING;
use proactive_rate_limit::provider::{OpenAi, Provider};
use proactive_rate_limit::usage::{Reading, Unreadable, UsageReader};

use crate::bodies::{OPENAI_CHAT, OPENAI_CHAT_STREAM};
use crate::{EVENTS, JSON, headers, read};

pub(crate) const CODINGS: [&str; 6] = [
    "gzip",
    "deflate",
    "br",
    "zstd",
    "gzip, br",
    "zstd, gzip, deflate",
];

/// Bodies in every coding, made by the crates that read them.
pub(crate) fn encode(coding: &str, body: &[u8]) -> Vec<u8> {
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
