//! Random and damaged bodies of every format.

use http::HeaderValue;
use http::header::CONTENT_ENCODING;
use proactive_rate_limit::provider::{OpenAi, Provider};
use proactive_rate_limit::usage::{UsagePath, UsageReader};
use proptest::prelude::*;

use crate::bodies::{OPENAI_CHAT, fixtures};
use crate::encoded::{CODINGS, encode};
use crate::event_stream::{MESSAGES, streams_of_messages};
use crate::json::{GEMINI, GEMINI_ARRAY, LISTED, LISTED_BODY};
use crate::lines::{OLLAMA, OLLAMA_STREAM};
use crate::{JSON, LINES, headers};

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
    formats.push((&LISTED, JSON, None, LISTED_BODY.into()));
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
