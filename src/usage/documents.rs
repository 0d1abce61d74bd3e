use super::json::{PathReader, Progress, Value, Visitor};
use super::last_document::LastDocument;
use super::{Finality, LONGEST_KEY, Reading, Unreadable, Usage, UsagePath};

/// What OpenAI and its imitators send in place of JSON when a stream is over.
const DONE: &[u8] = b"[DONE]";

/// The JSON documents of one response, one after the other, and the counts in them.
#[derive(Debug)]
pub(super) struct Documents {
    reader: PathReader<UsagePath, LONGEST_KEY>,
    /// What the current document holds. A document that turns out broken takes it along.
    found: Found,
    /// What whole documents held.
    total: Tally,
    /// How much of `[DONE]` the current document has shown, if it has shown nothing else.
    done: Option<usize>,
    /// A document was `[DONE]`.
    is_done: bool,
    /// A document was not JSON.
    is_malformed: bool,
    /// Of a stream of them.
    last: Option<LastDocument>,
}

impl Documents {
    pub(super) fn new(paths: &'static [UsagePath]) -> Self {
        Self {
            reader: PathReader::new(paths).listing(),
            found: Found::default(),
            total: Tally::default(),
            done: Some(0),
            is_done: false,
            is_malformed: false,
            last: None,
        }
    }

    /// They are a stream, of which the last one may say why there are no more.
    pub(super) fn streamed(mut self) -> Self {
        self.last = Some(LastDocument::default());
        self
    }

    /// The next bytes of the current document.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.done = self.done.and_then(|shown| match_done(shown, bytes));
        self.reader.feed(bytes, &mut self.found);
        if let Some(last) = &mut self.last {
            last.feed(bytes);
        }
    }

    /// The current document is whole.
    pub(super) fn end(&mut self) {
        if self.done == Some(DONE.len()) {
            self.is_done = true;
        } else if self.reader.progress() == Progress::Complete {
            self.total.update(&self.found.tally());
            if let Some(last) = &mut self.last {
                last.end();
            }
        } else {
            self.is_malformed = true;
        }
        self.begin();
    }

    /// The current document is broken in a way that its bytes do not show.
    #[cfg(feature = "event-stream")]
    pub(super) fn reject(&mut self) {
        self.is_malformed = true;
        self.begin();
    }

    /// What ended was no document.
    pub(super) fn begin(&mut self) {
        self.reader.reset();
        self.done = Some(0);
        self.found.clear();
        if let Some(last) = &mut self.last {
            last.begin();
        }
    }

    /// The last whole document of a stream, `[DONE]` left out. Empty, if it was long.
    pub(super) fn last(&self) -> &[u8] {
        self.last.as_ref().map_or(&[], LastDocument::get)
    }

    /// Whether the current document has shown nothing but white space.
    pub(super) fn is_blank(&self) -> bool {
        self.reader.progress() == Progress::Empty
    }

    /// Documents are missing here.
    pub(super) fn tear(&mut self) {
        self.begin();
        // The gap may hide counts that replace these.
        self.total.is_final = false;
    }

    /// Whether the one document of the response is whole.
    pub(super) fn is_whole(&self) -> bool {
        self.reader.progress() == Progress::Complete
    }

    /// Whether a document said that none follows.
    pub(super) fn is_closed(&self) -> bool {
        self.is_done || self.total.is_closed
    }

    /// What was read of a response that is one document.
    pub(super) fn finish_one(&self) -> Reading {
        match self.reader.progress() {
            Progress::Complete => self.found.tally().reading().unwrap_or(Reading::Missing),
            Progress::Empty => Reading::Missing,
            Progress::Partial => Reading::Unreadable(Unreadable::Truncated),
            Progress::Lost => Reading::Unreadable(Unreadable::Malformed),
        }
    }

    /// What was read of a stream of documents whose end is certain, of those that ended.
    #[cfg(feature = "event-stream")]
    pub(super) fn finish_ended(&self) -> Reading {
        match self.total.reading() {
            Some(reading) => reading,
            None if self.is_malformed => Reading::Unreadable(Unreadable::Malformed),
            None => Reading::Missing,
        }
    }

    /// What was read of a response that is a stream of documents.
    pub(super) fn finish_all(&self, has_gap: bool) -> Reading {
        let mut total = self.total;
        let last = self.reader.progress();
        // A stream may end without whatever ends its last document.
        if last == Progress::Complete {
            total.update(&self.found.tally());
        }
        if let Some(reading) = total.reading() {
            return reading;
        }
        if has_gap {
            Reading::Unreadable(Unreadable::Gap)
        } else if self.is_malformed || last == Progress::Lost && self.done.is_none() {
            Reading::Unreadable(Unreadable::Malformed)
        } else if last == Progress::Partial && self.found.tally() != Tally::default() {
            Reading::Unreadable(Unreadable::Truncated)
        } else {
            Reading::Missing
        }
    }
}

/// How much of [`DONE`] is shown after `data`, of which the document showed `shown` bytes before.
fn match_done(shown: usize, data: &[u8]) -> Option<usize> {
    DONE[shown..]
        .starts_with(data)
        .then_some(shown + data.len())
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

/// Counts found in one document.
#[derive(Debug, Default)]
struct Found {
    plain: Tally,
    /// The sums of those in lists.
    listed: Usage,
    has_lists: bool,
}

impl Found {
    fn clear(&mut self) {
        self.plain = Tally::default();
        if self.has_lists {
            *self = Self::default();
        }
    }

    /// A list has the parts of what is told beside it, or more than that: the larger counts.
    fn tally(&self) -> Tally {
        let mut tally = self.plain;
        if self.has_lists {
            tally.usage.raise(&self.listed);
        }
        tally
    }
}

impl Visitor<UsagePath> for Found {
    fn value(&mut self, at: &'static UsagePath, value: Value<'_>) {
        match value {
            Value::Count(tokens) => {
                if at.adds_up() {
                    self.listed.add(at.field, tokens);
                    self.has_lists = true;
                } else {
                    self.plain.usage.set(at.field, tokens);
                }
                self.plain.is_final |= at.finality >= Finality::Last;
                self.plain.is_closed |= at.finality == Finality::Closing;
            }
            Value::Null => {}
            Value::Text(_) | Value::Other => self.plain.is_invalid = true,
        }
    }

    fn next_document(&mut self) {
        if self.has_lists {
            *self = Self {
                plain: self.tally(),
                ..Self::default()
            };
        }
    }
}
