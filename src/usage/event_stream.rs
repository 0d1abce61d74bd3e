//! Takes AWS event streams apart without keeping a message of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc32fast::Hasher;

use super::documents::Documents;
use super::json::{PathReader, Progress, Value, Visitor};
use super::{Reading, Unreadable};

/// A message's lengths and their checksum.
const PRELUDE: usize = 12;
const CHECKSUM: usize = 4;

/// AWS's own bounds, in bytes (botocore 1.44, read 2026-11-23).
const LONGEST_HEADERS: u32 = 128 * 1024;
const LONGEST_PAYLOAD: u32 = 24 * 1024 * 1024;

/// Decodes `application/vnd.amazon.eventstream` (botocore 1.44, read 2026-11-23) down to the JSON of
/// its events.
///
/// The payload of a `chunk`, as Bedrock's InvokeModelWithResponseStream sends it, is
/// `{"bytes": "<base64 of JSON>"}`; that of any other event is JSON itself. A message that fails its
/// checksum takes along what it held, and one whose lengths do all that follows: nothing tells where
/// the next one begins.
#[derive(Debug, Default)]
pub(super) struct EventStream {
    at: At,
    /// The bytes of the current fixed-size field.
    field: Field,
    checksum: Hasher,
    headers: Headers,
    /// Bytes of the payload still to come.
    payload: u32,
    wrapped: Option<Wrapped>,
}

/// Where in a message the decoder is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Prelude,
    /// With this many bytes of headers still to come.
    Headers(u32),
    Payload,
    Checksum,
    Lost,
}

/// The beginning of something of a known size.
#[derive(Debug, Default)]
struct Field {
    bytes: [u8; PRELUDE],
    used: usize,
}

impl Field {
    /// Takes what is missing to `size` bytes; `Some` when it is there.
    fn fill<'a>(&mut self, size: usize, bytes: &mut &'a [u8]) -> Option<&[u8]> {
        let (taken, rest): (&'a [u8], _) = bytes.split_at(bytes.len().min(size - self.used));
        self.bytes[self.used..self.used + taken.len()].copy_from_slice(taken);
        self.used += taken.len();
        *bytes = rest;
        if self.used < size {
            return None;
        }
        self.used = 0;
        Some(&self.bytes[..size])
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(0, |number, byte| (number << 8) | u32::from(*byte))
}

impl EventStream {
    pub(super) fn feed(&mut self, mut bytes: &[u8], documents: &mut Documents) {
        while !bytes.is_empty() {
            match self.at {
                At::Prelude => self.prelude(&mut bytes),
                At::Headers(0) => {
                    self.wrapped = self.headers.is_chunk.then(Wrapped::new);
                    self.at = match self.payload {
                        0 => At::Checksum,
                        _ => At::Payload,
                    };
                }
                At::Headers(left) => {
                    let taken = take(&mut bytes, left);
                    self.checksum.update(taken);
                    self.headers.feed(taken);
                    self.at = At::Headers(left - taken.len() as u32);
                }
                At::Payload => {
                    let taken = take(&mut bytes, self.payload);
                    self.checksum.update(taken);
                    match &mut self.wrapped {
                        Some(wrapped) => wrapped.feed(taken, documents),
                        None => documents.feed(taken),
                    }
                    self.payload -= taken.len() as u32;
                    if self.payload == 0 {
                        self.at = At::Checksum;
                    }
                }
                At::Checksum => self.end(&mut bytes, documents),
                At::Lost => return,
            }
        }
    }

    fn prelude(&mut self, bytes: &mut &[u8]) {
        let Some(prelude) = self.field.fill(PRELUDE, bytes) else {
            return;
        };
        let (lengths, checksum) = prelude.split_at(PRELUDE - CHECKSUM);
        let (total, headers) = lengths.split_at(4);
        let (total, headers) = (number(total), number(headers));
        let mut hasher = Hasher::new();
        hasher.update(lengths);
        let around = (PRELUDE + CHECKSUM) as u32;
        let payload = total
            .checked_sub(around)
            .and_then(|inside| inside.checked_sub(headers))
            .filter(|payload| *payload <= LONGEST_PAYLOAD && headers <= LONGEST_HEADERS);
        match payload {
            Some(payload) if hasher.clone().finalize() == number(checksum) => {
                hasher.update(checksum);
                self.checksum = hasher;
                self.payload = payload;
                self.headers = Headers::default();
                self.at = At::Headers(headers);
            }
            _ => self.at = At::Lost,
        }
    }

    fn end(&mut self, bytes: &mut &[u8], documents: &mut Documents) {
        let Some(checksum) = self.field.fill(CHECKSUM, bytes) else {
            return;
        };
        let is_whole = std::mem::take(&mut self.checksum).finalize() == number(checksum);
        let is_decoded = match self.wrapped.take() {
            Some(wrapped) => wrapped.finish(documents),
            None => true,
        };
        match (is_whole && is_decoded, documents.is_blank()) {
            (true, false) => documents.end(),
            (true, true) => documents.begin(),
            (false, _) => documents.reject(),
        }
        self.at = At::Prelude;
    }

    /// What was read, taking the stream to end here.
    pub(super) fn finish(&self, documents: &Documents) -> Reading {
        let is_between = self.at == At::Prelude && self.field.used == 0;
        match documents.finish_ended() {
            Reading::Missing if self.at == At::Lost => Reading::Unreadable(Unreadable::Malformed),
            Reading::Missing if !is_between => Reading::Unreadable(Unreadable::Truncated),
            reading => reading,
        }
    }
}

fn take<'a>(bytes: &mut &'a [u8], most: u32) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(bytes.len().min(most as usize));
    *bytes = rest;
    taken
}

/// Reads the headers of a message for its event type.
#[derive(Debug, Default)]
struct Headers {
    at: HeaderAt,
    /// The name or value that is being read, as far as it may be one that is looked for.
    text: Text,
    is_event_type: bool,
    is_chunk: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum HeaderAt {
    #[default]
    NameLength,
    /// With this many bytes to come.
    Name(u8),
    Kind,
    /// With this many bytes of the length to come, and the length so far.
    ValueLength(u8, u16),
    Value(u16),
    Lost,
}

#[derive(Debug, Default)]
struct Text {
    bytes: [u8; 16],
    length: usize,
}

impl Text {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
        }
        self.length += 1;
    }

    fn is(&self, text: &[u8]) -> bool {
        self.bytes.get(..self.length) == Some(text)
    }
}

impl Headers {
    fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.at = match self.at {
                HeaderAt::NameLength => {
                    self.text = Text::default();
                    match byte {
                        0 => HeaderAt::Kind,
                        length => HeaderAt::Name(length),
                    }
                }
                HeaderAt::Name(left) => {
                    self.text.push(byte);
                    match left {
                        1 => HeaderAt::Kind,
                        _ => HeaderAt::Name(left - 1),
                    }
                }
                HeaderAt::Kind => {
                    self.is_event_type = self.text.is(b":event-type");
                    self.text = Text::default();
                    match byte {
                        // True and false, which are no bytes long.
                        0 | 1 => HeaderAt::NameLength,
                        2 => HeaderAt::Value(1),
                        3 => HeaderAt::Value(2),
                        4 => HeaderAt::Value(4),
                        // A number, a time.
                        5 | 8 => HeaderAt::Value(8),
                        // Bytes, text.
                        6 | 7 => HeaderAt::ValueLength(2, 0),
                        // A UUID.
                        9 => HeaderAt::Value(16),
                        _ => HeaderAt::Lost,
                    }
                }
                HeaderAt::ValueLength(left, length) => {
                    let length = (length << 8) | u16::from(byte);
                    match (left, length) {
                        (2.., _) => HeaderAt::ValueLength(left - 1, length),
                        (_, 0) => HeaderAt::NameLength,
                        (_, length) => HeaderAt::Value(length),
                    }
                }
                HeaderAt::Value(left) => {
                    self.text.push(byte);
                    match left {
                        1 => {
                            self.is_chunk |= self.is_event_type && self.text.is(b"chunk");
                            HeaderAt::NameLength
                        }
                        _ => HeaderAt::Value(left - 1),
                    }
                }
                HeaderAt::Lost => return,
            };
        }
    }
}

/// A payload that holds another one in base64.
#[derive(Debug)]
struct Wrapped {
    payload: PathReader<Inside, 8>,
    base64: Base64,
}

/// Where in the payload the other one is.
#[derive(Debug)]
struct Inside([&'static str; 1]);

static INSIDE: [Inside; 1] = [Inside(["bytes"])];

impl AsRef<[&'static str]> for Inside {
    fn as_ref(&self) -> &[&'static str] {
        &self.0
    }
}

impl Wrapped {
    fn new() -> Self {
        Self {
            payload: PathReader::new(&INSIDE),
            base64: Base64::default(),
        }
    }

    fn feed(&mut self, bytes: &[u8], documents: &mut Documents) {
        let base64 = &mut self.base64;
        self.payload
            .feed(bytes, &mut Decoding { base64, documents });
    }

    /// Whether it was what it should be.
    fn finish(mut self, documents: &mut Documents) -> bool {
        self.base64.decode(documents);
        !self.base64.is_broken && self.payload.progress() == Progress::Complete
    }
}

#[derive(Debug, Default)]
struct Base64 {
    symbols: Symbols,
    is_broken: bool,
}

/// Symbols that are not decoded yet.
#[derive(Debug)]
struct Symbols {
    bytes: [u8; Self::MOST],
    used: usize,
}

impl Symbols {
    /// A multiple of four symbols, which are three bytes.
    const MOST: usize = 512;
}

impl Default for Symbols {
    fn default() -> Self {
        Self {
            bytes: [0; Self::MOST],
            used: 0,
        }
    }
}

impl Base64 {
    fn feed(&mut self, mut written: &[u8], documents: &mut Documents) {
        while !written.is_empty() {
            let Symbols { bytes, used } = &mut self.symbols;
            let (taken, rest) = written.split_at(written.len().min(Symbols::MOST - *used));
            bytes[*used..*used + taken.len()].copy_from_slice(taken);
            *used += taken.len();
            written = rest;
            if *used == Symbols::MOST {
                self.decode(documents);
            }
        }
    }

    fn decode(&mut self, documents: &mut Documents) {
        let mut decoded = [0; Symbols::MOST / 4 * 3];
        let symbols = &self.symbols.bytes[..self.symbols.used];
        match STANDARD.decode_slice(symbols, &mut decoded) {
            Ok(length) => documents.feed(&decoded[..length]),
            Err(_) => self.is_broken = true,
        }
        self.symbols.used = 0;
    }
}

struct Decoding<'a> {
    base64: &'a mut Base64,
    documents: &'a mut Documents,
}

impl Visitor<Inside> for Decoding<'_> {
    const SIZES: bool = true;

    fn value(&mut self, _: &'static Inside, _: Value<'_>) {}

    fn text(&mut self, at: Option<&'static Inside>, written: &[u8]) {
        if at.is_some() {
            // JSON may write `/` as `\/`, and nothing else of base64 needs an escape.
            for piece in written.split(|byte| *byte == b'\\') {
                self.base64.feed(piece, self.documents);
            }
        }
    }
}
