use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::usage::documents::Documents;
use crate::usage::json::{PathReader, Progress, Value, Visitor};

/// A payload that holds another one in base64.
#[derive(Debug)]
pub(super) struct Wrapped {
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
    pub(super) fn new() -> Self {
        Self {
            payload: PathReader::new(&INSIDE),
            base64: Base64::new(),
        }
    }

    pub(super) fn feed(&mut self, bytes: &[u8], documents: &mut Documents) {
        let base64 = &mut self.base64;
        self.payload
            .feed(bytes, &mut Decoding { base64, documents });
    }

    /// Whether it was what it should be.
    pub(super) fn finish(mut self, documents: &mut Documents) -> bool {
        self.base64.decode(documents);
        !self.base64.is_broken && self.payload.progress() == Progress::Complete
    }
}

/// Decodes base64 that comes in pieces.
#[derive(Debug)]
struct Base64 {
    /// Symbols that are not decoded yet.
    symbols: [u8; MOST_SYMBOLS],
    used: usize,
    is_broken: bool,
}

/// A multiple of four symbols, which are three bytes.
const MOST_SYMBOLS: usize = 512;

impl Base64 {
    fn new() -> Self {
        Self {
            symbols: [0; MOST_SYMBOLS],
            used: 0,
            is_broken: false,
        }
    }

    fn feed(&mut self, mut written: &[u8], documents: &mut Documents) {
        while !written.is_empty() {
            let fits = written.len().min(MOST_SYMBOLS - self.used);
            let (taken, rest) = written.split_at(fits);
            self.symbols[self.used..self.used + fits].copy_from_slice(taken);
            self.used += fits;
            written = rest;
            if self.used == MOST_SYMBOLS {
                self.decode(documents);
            }
        }
    }

    fn decode(&mut self, documents: &mut Documents) {
        let mut decoded = [0; MOST_SYMBOLS / 4 * 3];
        match STANDARD.decode_slice(&self.symbols[..self.used], &mut decoded) {
            Ok(length) => documents.feed(&decoded[..length]),
            Err(_) => self.is_broken = true,
        }
        self.used = 0;
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
