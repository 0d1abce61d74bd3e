//! Takes AWS event streams apart without keeping a message of them.

mod headers;
mod wrapped;

use crc32fast::Hasher;

use self::headers::Headers;
use self::wrapped::Wrapped;
use super::documents::Documents;
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
                    self.wrapped = self.headers.is_chunk().then(Wrapped::new);
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
