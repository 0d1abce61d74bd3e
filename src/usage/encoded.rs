//! Reads bodies that are compressed, of a decoded copy.

use std::fmt;
use std::io::{self, Write};

use super::{Reading, Unreadable, UsageReader};

/// A body under one coding, and what is inside it.
pub(super) struct Encoded {
    decoder: Box<Decoder>,
    is_corrupt: bool,
}

/// Decoders push what they decode into the reader of it, so that nothing is kept but their windows.
#[expect(clippy::large_enum_variant, reason = "it is boxed as a whole")]
enum Decoder {
    Gzip(flate2::write::MultiGzDecoder<Onward>),
    Deflate(flate2::write::ZlibDecoder<Onward>),
    Brotli(brotli::DecompressorWriter<Onward>),
    Zstd(zstd::stream::write::Decoder<'static, Onward>),
}

/// The largest window of a zstd frame, as a power of two: 8 MiB, as RFC 9659 asks for.
const LARGEST_ZSTD_WINDOW: u32 = 23;

const BROTLI_BUFFER: usize = 4096;

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
            let decoder = self.decoder.as_write();
            self.is_corrupt = decoder
                .write_all(bytes)
                .and_then(|()| decoder.flush())
                .is_err();
        }
    }

    pub(super) fn finish(&self) -> Reading {
        match self.is_corrupt {
            true => Reading::Unreadable(Unreadable::Malformed),
            false => self.decoder.inner().finish(),
        }
    }

    pub(super) fn last_document(&self) -> &[u8] {
        self.decoder.inner().last_document()
    }

    pub(super) fn is_over(&self) -> bool {
        !self.is_corrupt && self.decoder.inner().is_over()
    }
}

impl Decoder {
    /// The codings of RFC 9110, RFC 7932 and RFC 8878.
    fn of(coding: &str, onward: Onward) -> Option<Self> {
        Some(match coding {
            "gzip" | "x-gzip" => Self::Gzip(flate2::write::MultiGzDecoder::new(onward)),
            "deflate" => Self::Deflate(flate2::write::ZlibDecoder::new(onward)),
            "br" => Self::Brotli(brotli::DecompressorWriter::new(onward, BROTLI_BUFFER)),
            "zstd" => {
                let mut decoder = zstd::stream::write::Decoder::new(onward).ok()?;
                decoder.window_log_max(LARGEST_ZSTD_WINDOW).ok()?;
                Self::Zstd(decoder)
            }
            _ => return None,
        })
    }

    fn as_write(&mut self) -> &mut dyn Write {
        match self {
            Self::Gzip(decoder) => decoder,
            Self::Deflate(decoder) => decoder,
            Self::Brotli(decoder) => decoder,
            Self::Zstd(decoder) => decoder,
        }
    }

    fn inner(&self) -> &UsageReader {
        let onward = match self {
            Self::Gzip(decoder) => decoder.get_ref(),
            Self::Deflate(decoder) => decoder.get_ref(),
            Self::Brotli(decoder) => decoder.get_ref(),
            Self::Zstd(decoder) => decoder.get_ref(),
        };
        &onward.reader
    }
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoded")
            .field("inner", self.decoder.inner())
            .field("is_corrupt", &self.is_corrupt)
            .finish()
    }
}
