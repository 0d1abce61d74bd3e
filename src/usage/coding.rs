//! The codings that bodies are compressed by.

use std::io::{self, Write};

/// The largest window of a zstd frame, as a power of two: 8 MiB, as RFC 9659 asks for.
const LARGEST_ZSTD_WINDOW: u32 = 23;

const BROTLI_BUFFER: usize = 4096;

/// Pushes what it decodes into a writer, so that nothing is kept but its window.
#[expect(
    clippy::large_enum_variant,
    reason = "it is boxed, or on the stack for one call"
)]
pub(super) enum Decoder<W: Write> {
    Gzip(flate2::write::MultiGzDecoder<W>),
    Deflate(flate2::write::ZlibDecoder<W>),
    Brotli(brotli::DecompressorWriter<W>),
    Zstd(zstd::stream::write::Decoder<'static, W>),
}

impl<W: Write> Decoder<W> {
    /// The codings of RFC 9110, RFC 7932 and RFC 8878.
    pub(super) fn of(coding: &str, onward: W) -> Option<Self> {
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

    /// Decodes all of `bytes` that can be decoded by now.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> io::Result<()> {
        let decoder: &mut dyn Write = match self {
            Self::Gzip(decoder) => decoder,
            Self::Deflate(decoder) => decoder,
            Self::Brotli(decoder) => decoder,
            Self::Zstd(decoder) => decoder,
        };
        decoder.write_all(bytes)?;
        decoder.flush()
    }

    pub(super) fn onward(&self) -> &W {
        match self {
            Self::Gzip(decoder) => decoder.get_ref(),
            Self::Deflate(decoder) => decoder.get_ref(),
            Self::Brotli(decoder) => decoder.get_ref(),
            Self::Zstd(decoder) => decoder.get_ref(),
        }
    }
}
