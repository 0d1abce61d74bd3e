use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};

use super::documents::Documents;
#[cfg(feature = "decompression")]
use super::encoded::Encoded;
#[cfg(feature = "event-stream")]
use super::event_stream::EventStream;
use super::json::find;
use super::sse::{Part, SseDecoder};
use super::{Usage, UsagePath};

/// What a [`UsageReader`] made of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "a box would be an allocation for each answer"
)]
pub enum Reading {
    /// The final counts.
    Usage(Usage),
    /// The response reports no final counts: a stream without them, or one that was cut before.
    Missing,
    /// The response may report counts, but they cannot be relied on.
    Unreadable(Unreadable),
}

/// Why a response's usage cannot be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unreadable {
    /// The body is compressed or otherwise encoded, in a way that is not read.
    Encoded,
    /// The body, or a document of it, is not what its headers say.
    Malformed,
    /// The body ends in the middle.
    Truncated,
    /// A count is negative, not a whole number, not a number at all, or beyond 10¹².
    InvalidNumber,
    /// Bytes that could have held the usage were never shown.
    Gap,
}

/// Reads the [`Usage`] out of a response body while it passes by, in memory of a fixed size.
///
/// What a body is follows from its headers:
///
/// - `text/event-stream`: server-sent events, each holding JSON;
/// - `application/x-ndjson`, `ndjson`, `jsonl` or `jsonlines`: a JSON document on each line;
/// - `application/vnd.amazon.eventstream`: messages of AWS, each holding JSON, or JSON in base64 in
///   JSON (feature `event-stream`);
/// - any other: one JSON document, or one list of documents. White space around it is ignored, for
///   providers that send blank lines to keep a connection alive.
///
/// Of several documents the last count holds. A body with a `Content-Encoding` of `gzip`, `deflate`,
/// `br` or `zstd`, or several of them, is read decoded (feature `decompression`), unless more than
/// 256 MiB come out. See the [module](super) for an example.
#[derive(Debug)]
pub struct UsageReader {
    format: Format,
    /// What the response's head told of the usage.
    told: Usage,
    has_gap: bool,
}

#[derive(Debug)]
enum Format {
    Json(Documents),
    Lines(Documents),
    Events(SseDecoder, Documents),
    #[cfg(feature = "event-stream")]
    Messages(Box<EventStream>, Documents),
    #[cfg(feature = "decompression")]
    Encoded(Encoded),
    Unknown,
}

impl UsageReader {
    /// A reader for the body that follows `headers`, finding counts at `paths`.
    pub fn new(paths: &'static [UsagePath], headers: &HeaderMap) -> Self {
        let plain = Self::of(Format::of(headers.get(CONTENT_TYPE), paths));
        let codings = codings(headers);
        if codings.is_empty() {
            return plain;
        }
        #[cfg(feature = "decompression")]
        if codings.len() <= MOST_CODINGS {
            if let Some(encoded) = Encoded::new(codings.iter().map(String::as_str), plain) {
                return Self::of_encoded(encoded);
            }
        }
        Self::of(Format::Unknown)
    }

    fn of(format: Format) -> Self {
        Self {
            format,
            told: Usage::default(),
            has_gap: false,
        }
    }

    #[cfg(feature = "decompression")]
    pub(super) fn of_encoded(encoded: Encoded) -> Self {
        Self::of(Format::Encoded(encoded))
    }

    /// With what the head of the response told of its usage: it holds unless the body says better. The
    /// body need not say anything if input and output are told.
    #[must_use]
    pub fn beginning_with(mut self, told: Usage) -> Self {
        self.told = told;
        self
    }

    /// Shows the next bytes of the body, split anywhere.
    pub fn feed(&mut self, bytes: &[u8]) {
        match &mut self.format {
            Format::Json(document) => {
                if !self.has_gap {
                    document.feed(bytes);
                }
            }
            Format::Lines(documents) => feed_lines(bytes, documents),
            Format::Events(decoder, documents) => decoder.feed(bytes, |part| match part {
                Part::Data(data) => documents.feed(data),
                Part::End => documents.end(),
            }),
            #[cfg(feature = "event-stream")]
            Format::Messages(decoder, documents) => {
                if !self.has_gap {
                    decoder.feed(bytes, documents);
                }
            }
            #[cfg(feature = "decompression")]
            Format::Encoded(encoded) => {
                if !self.has_gap {
                    encoded.feed(bytes);
                }
            }
            Format::Unknown => {}
        }
    }

    /// Says that the body has bytes here which are not shown.
    ///
    /// Events and lines that come after the gap are read again; any other body is lost.
    pub fn mark_gap(&mut self) {
        self.has_gap = true;
        match &mut self.format {
            Format::Lines(documents) => {
                documents.tear();
                // The rest of a line is no document, however it looks.
                documents.feed(b"\0");
            }
            Format::Events(decoder, documents) => {
                decoder.tear();
                documents.tear();
            }
            _ => {}
        }
    }

    /// What was read, taking the body to end here.
    ///
    /// One invalid number spoils the reading: the counts beside it could be just as wrong.
    ///
    /// Some servers can send running totals in the place of final ones all along a stream (vLLM's
    /// `continuous_usage_stats`). Those cannot be told apart, so of a stream that is known to have
    /// been cut, a usage is only what was used *at least*.
    pub fn finish(&self) -> Reading {
        let told = self.told;
        match self.finish_body() {
            Reading::Usage(usage) => {
                let mut all = told;
                all.update(&usage);
                Reading::Usage(all)
            }
            _ if told.input().is_some() && told.output().is_some() => Reading::Usage(told),
            nothing => nothing,
        }
    }

    fn finish_body(&self) -> Reading {
        match &self.format {
            Format::Json(_) if self.has_gap => Reading::Unreadable(Unreadable::Gap),
            Format::Json(document) => document.finish_one(),
            Format::Lines(documents) | Format::Events(_, documents) => {
                documents.finish_all(self.has_gap)
            }
            #[cfg(feature = "event-stream")]
            Format::Messages(..) if self.has_gap => Reading::Unreadable(Unreadable::Gap),
            #[cfg(feature = "event-stream")]
            Format::Messages(decoder, documents) => decoder.finish(documents),
            #[cfg(feature = "decompression")]
            Format::Encoded(_) if self.has_gap => Reading::Unreadable(Unreadable::Gap),
            #[cfg(feature = "decompression")]
            Format::Encoded(encoded) => encoded.finish(),
            Format::Unknown => Reading::Unreadable(Unreadable::Encoded),
        }
    }

    /// The last whole document of a stream of them, if it is no longer than 2 KiB, else nothing.
    pub(crate) fn last_document(&self) -> &[u8] {
        match &self.format {
            Format::Lines(documents) | Format::Events(_, documents) => documents.last(),
            #[cfg(feature = "event-stream")]
            Format::Messages(_, documents) => documents.last(),
            #[cfg(feature = "decompression")]
            Format::Encoded(encoded) => encoded.last_document(),
            Format::Json(_) | Format::Unknown => &[],
        }
    }

    /// Whether the response said that nothing follows, so that it need not be read to its end: a
    /// whole JSON document, `[DONE]`, or the event that ends a stream by its provider's rule.
    ///
    /// Many clients stop reading there, and drop the rest of the body.
    pub fn is_over(&self) -> bool {
        match &self.format {
            Format::Json(document) => !self.has_gap && document.is_whole(),
            Format::Lines(documents) | Format::Events(_, documents) => documents.is_closed(),
            #[cfg(feature = "event-stream")]
            Format::Messages(_, documents) => !self.has_gap && documents.is_closed(),
            #[cfg(feature = "decompression")]
            Format::Encoded(encoded) => !self.has_gap && encoded.is_over(),
            Format::Unknown => false,
        }
    }
}

fn feed_lines(mut bytes: &[u8], documents: &mut Documents) {
    while let Some(end) = find(bytes, |byte| byte == b'\n') {
        documents.feed(&bytes[..end]);
        match documents.is_blank() {
            true => documents.begin(),
            false => documents.end(),
        }
        bytes = &bytes[end + 1..];
    }
    documents.feed(bytes);
}

impl Format {
    fn of(content_type: Option<&HeaderValue>, paths: &'static [UsagePath]) -> Self {
        let documents = Documents::new(paths);
        let essence = content_type
            .and_then(|value| value.as_bytes().split(|byte| *byte == b';').next())
            .map_or(&b""[..], <[u8]>::trim_ascii);
        let is = |name: &str| essence.eq_ignore_ascii_case(name.as_bytes());
        if is("text/event-stream") {
            Self::Events(SseDecoder::new(), documents.streamed())
        } else if LINES.into_iter().any(is) {
            Self::Lines(documents.streamed())
        } else if is("application/vnd.amazon.eventstream") {
            Self::messages(documents.streamed())
        } else {
            Self::Json(documents)
        }
    }

    #[cfg(feature = "event-stream")]
    fn messages(documents: Documents) -> Self {
        Self::Messages(Box::default(), documents)
    }

    #[cfg(not(feature = "event-stream"))]
    fn messages(_: Documents) -> Self {
        Self::Unknown
    }
}

/// What bodies of a JSON document on each line are called; nothing of that is registered.
const LINES: [&str; 4] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/jsonlines",
];

/// Nobody applies as many, and each takes memory.
#[cfg(feature = "decompression")]
const MOST_CODINGS: usize = 4;

/// The codings of a body, in the order in which they were applied.
pub(super) fn codings(headers: &HeaderMap) -> Vec<String> {
    let named = headers.get_all(CONTENT_ENCODING).iter().flat_map(|value| {
        let names = value.as_bytes().split(|byte| *byte == b',');
        names.map(|name| String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase())
    });
    named
        .filter(|name| !name.is_empty() && name != "identity")
        .collect()
}
