use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::json::{PathReader, Progress, Value, Visitor};
use super::sse::{Part, SseDecoder};
use super::{Finality, LONGEST_KEY, Usage, UsagePath};

/// What OpenAI and its imitators send in place of JSON when a stream is over.
const DONE: &[u8] = b"[DONE]";

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
    /// The body is compressed or otherwise encoded.
    Encoded,
    /// The body, or an event of it, is not JSON.
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
/// A body of type `text/event-stream` is read as server-sent events, each holding JSON, and any
/// other as one JSON document. White space around the document is ignored, for providers that send
/// blank lines to keep a connection alive. See the [module](super) for an example.
#[derive(Clone, Debug)]
pub struct UsageReader {
    format: Format,
    document: PathReader<UsagePath, LONGEST_KEY>,
    /// What the current document holds. A document that turns out broken takes it along.
    found: Tally,
    /// What whole documents held.
    total: Tally,
    /// How much of `[DONE]` the current event has shown, if it has shown nothing else.
    done: Option<usize>,
    /// An event was `[DONE]`.
    is_done: bool,
    /// An event was not JSON.
    is_malformed: bool,
    has_gap: bool,
}

#[derive(Clone, Copy, Debug)]
enum Format {
    Json,
    Events(SseDecoder),
    Encoded,
}

impl UsageReader {
    /// A reader for the body that follows `headers`, finding counts at `paths`.
    pub fn new(paths: &'static [UsagePath], headers: &HeaderMap) -> Self {
        Self {
            format: Format::of(headers),
            document: PathReader::new(paths),
            found: Tally::default(),
            total: Tally::default(),
            done: Some(0),
            is_done: false,
            is_malformed: false,
            has_gap: false,
        }
    }

    /// Shows the next bytes of the body, split anywhere.
    pub fn feed(&mut self, bytes: &[u8]) {
        match &mut self.format {
            Format::Json => {
                if !self.has_gap {
                    self.document.feed(bytes, &mut self.found);
                }
            }
            Format::Events(decoder) => {
                let (document, found) = (&mut self.document, &mut self.found);
                decoder.feed(bytes, |part| match part {
                    Part::Data(data) => {
                        self.done = self.done.and_then(|shown| match_done(shown, data));
                        document.feed(data, found);
                    }
                    Part::End => {
                        self.is_done |= self.done == Some(DONE.len());
                        self.done = Some(0);
                        if document.progress() == Progress::Complete {
                            self.total.update(found);
                        } else {
                            self.is_malformed = true;
                        }
                        document.reset();
                        *found = Tally::default();
                    }
                });
            }
            Format::Encoded => {}
        }
    }

    /// Says that the body has bytes here which are not shown.
    ///
    /// Events that come after the gap are read again; a plain JSON body is lost.
    pub fn mark_gap(&mut self) {
        self.has_gap = true;
        if let Format::Events(decoder) = &mut self.format {
            decoder.tear();
            self.document.reset();
            self.done = Some(0);
            self.found = Tally::default();
            // The gap may hide counts that replace these.
            self.total.is_final = false;
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
        match self.format {
            Format::Encoded => Reading::Unreadable(Unreadable::Encoded),
            Format::Json => self.finish_document(),
            Format::Events(_) => self.finish_events(),
        }
    }

    /// Whether the response said that nothing follows, so that it need not be read to its end: a
    /// whole JSON document, `[DONE]`, or the event that ends a stream by its provider's rule.
    ///
    /// Many clients stop reading there, and drop the rest of the body.
    pub fn is_over(&self) -> bool {
        match self.format {
            Format::Json => !self.has_gap && self.document.progress() == Progress::Complete,
            Format::Events(_) => self.is_done || self.total.is_closed,
            Format::Encoded => false,
        }
    }

    fn finish_document(&self) -> Reading {
        if self.has_gap {
            return Reading::Unreadable(Unreadable::Gap);
        }
        match self.document.progress() {
            Progress::Complete => self.found.reading().unwrap_or(Reading::Missing),
            Progress::Empty => Reading::Missing,
            Progress::Partial => Reading::Unreadable(Unreadable::Truncated),
            Progress::Lost => Reading::Unreadable(Unreadable::Malformed),
        }
    }

    fn finish_events(&self) -> Reading {
        let mut total = self.total;
        let last = self.document.progress();
        // A stream may end without the blank line that ends its last event.
        if last == Progress::Complete {
            total.update(&self.found);
        }
        if let Some(reading) = total.reading() {
            return reading;
        }
        if self.has_gap {
            Reading::Unreadable(Unreadable::Gap)
        } else if self.is_malformed || last == Progress::Lost {
            Reading::Unreadable(Unreadable::Malformed)
        } else if last == Progress::Partial && self.found != Tally::default() {
            Reading::Unreadable(Unreadable::Truncated)
        } else {
            Reading::Missing
        }
    }
}

/// How much of [`DONE`] is shown after `data`, of which the event showed `shown` bytes before.
fn match_done(shown: usize, data: &[u8]) -> Option<usize> {
    DONE[shown..]
        .starts_with(data)
        .then_some(shown + data.len())
}

impl Format {
    fn of(headers: &HeaderMap) -> Self {
        let is_encoded = headers
            .get_all(CONTENT_ENCODING)
            .iter()
            .any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
        if is_encoded {
            return Self::Encoded;
        }
        let is_events = headers.get(CONTENT_TYPE).is_some_and(|value| {
            let essence = value.as_bytes().split(|byte| *byte == b';').next();
            essence.is_some_and(|essence| {
                essence
                    .trim_ascii()
                    .eq_ignore_ascii_case(b"text/event-stream")
            })
        });
        if is_events {
            Self::Events(SseDecoder::new())
        } else {
            Self::Json
        }
    }
}

/// Counts found so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    usage: Usage,
    /// A count is among them that is not followed by a better one.
    is_final: bool,
    /// A count is among them that ends the response.
    is_closed: bool,
    is_invalid: bool,
}

impl Tally {
    fn update(&mut self, newer: &Self) {
        self.usage.update(&newer.usage);
        self.is_final |= newer.is_final;
        self.is_closed |= newer.is_closed;
        self.is_invalid |= newer.is_invalid;
    }

    fn reading(&self) -> Option<Reading> {
        if self.is_invalid {
            Some(Reading::Unreadable(Unreadable::InvalidNumber))
        } else {
            self.is_final.then_some(Reading::Usage(self.usage))
        }
    }
}

impl Visitor<UsagePath> for Tally {
    fn value(&mut self, at: &'static UsagePath, value: Value<'_>) {
        match value {
            Value::Count(tokens) => {
                self.usage.set(at.field, tokens);
                self.is_final |= at.finality >= Finality::Last;
                self.is_closed |= at.finality == Finality::Closing;
            }
            Value::Null => {}
            Value::Text(_) | Value::Other => self.is_invalid = true,
        }
    }
}
