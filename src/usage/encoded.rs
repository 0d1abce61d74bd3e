//! Reads bodies that are compressed, of a decoded copy.

use std::fmt;
use std::io::{self, Write};

use super::coding::Decoder;
use super::{Reading, Unreadable, UsageReader};

/// A body under one coding, and what is inside it.
pub(super) struct Encoded {
    decoder: Box<Decoder<Onward>>,
    is_corrupt: bool,
}

/// Bytes that may come out of a body. A few that are made for it become so many that reading them
/// would hold up everything else.
const MOST_DECODED: u64 = 256 * 1024 * 1024;

/// Hands decoded bytes to their reader.
struct Onward {
    reader: UsageReader,
    /// Bytes that may still come.
    left: u64,
}

impl Write for Onward {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or(io::ErrorKind::FileTooLarge)?;
        self.reader.feed(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Encoded {
    /// A decoder of `codings`, named in the order in which they were applied, into `plain`. `None` if
    /// one of them is not known.
    pub(super) fn new<'a>(
        codings: impl Iterator<Item = &'a str>,
        plain: UsageReader,
    ) -> Option<Self> {
        // The last one applied is the outermost.
        let mut inner = Err(plain);
        for coding in codings {
            let onward = Onward {
                reader: match inner {
                    Ok(encoded) => UsageReader::of_encoded(encoded),
                    Err(plain) => plain,
                },
                left: MOST_DECODED,
            };
            inner = Ok(Self {
                decoder: Box::new(Decoder::of(coding, onward)?),
                is_corrupt: false,
            });
        }
        inner.ok()
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        if !self.is_corrupt {
            self.is_corrupt = self.decoder.feed(bytes).is_err();
        }
    }

    fn inner(&self) -> &UsageReader {
        &self.decoder.onward().reader
    }

    pub(super) fn finish(&self) -> Reading {
        match self.is_corrupt {
            true => Reading::Unreadable(Unreadable::Malformed),
            false => self.inner().finish(),
        }
    }

    pub(super) fn last_document(&self) -> &[u8] {
        self.inner().last_document()
    }

    pub(super) fn is_over(&self) -> bool {
        !self.is_corrupt && self.inner().is_over()
    }
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoded")
            .field("inner", self.inner())
            .field("is_corrupt", &self.is_corrupt)
            .finish()
    }
}
