use std::borrow::Cow;

use http::HeaderMap;

/// The beginning of a body, decoded if it is compressed in a way that can be read (feature
/// `decompression`): at most `most` bytes. `body` may be cut off anywhere.
#[cfg_attr(not(feature = "decompression"), expect(unused_variables))]
pub(crate) fn beginning<'a>(headers: &HeaderMap, body: &'a [u8], most: usize) -> Cow<'a, [u8]> {
    #[cfg(feature = "decompression")]
    if let Some(decoded) = compressed::decode(headers, body, most) {
        return Cow::Owned(decoded);
    }
    Cow::Borrowed(body)
}

#[cfg(feature = "decompression")]
mod compressed {
    use std::io::{self, Write};

    use http::HeaderMap;

    use crate::usage::coding::Decoder;
    use crate::usage::reader::codings;

    /// The first bytes of what is written to it.
    struct First {
        bytes: Vec<u8>,
        most: usize,
    }

    impl Write for First {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = self.most - self.bytes.len();
            self.bytes
                .extend_from_slice(&bytes[..bytes.len().min(room)]);
            // More is of no use.
            match bytes.len() > room {
                true => Err(io::ErrorKind::FileTooLarge.into()),
                false => Ok(bytes.len()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// `None` if it is under no coding, or not under one alone that is known.
    pub(super) fn decode(headers: &HeaderMap, body: &[u8], most: usize) -> Option<Vec<u8>> {
        let codings = codings(headers);
        let [coding] = codings.as_slice() else {
            return None;
        };
        let first = First {
            bytes: Vec::new(),
            most,
        };
        let mut decoder = Decoder::of(coding, first)?;
        // What comes before the body breaks off is as good as any.
        let _ = decoder.feed(body);
        Some(decoder.onward().bytes.clone())
    }
}

#[cfg(all(test, feature = "decompression"))]
mod tests {
    use std::io::Write;

    use http::HeaderValue;
    use http::header::CONTENT_ENCODING;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn under(coding: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        headers
    }

    #[test]
    fn whatever_can_be_read_is() {
        let text: Vec<u8> = (0..20_000_u32).flat_map(u32::to_be_bytes).collect();
        let mut br = Vec::new();
        brotli::CompressorWriter::new(&mut br, 4096, 5, 20)
            .write_all(&text)
            .unwrap();
        let zstd = zstd::encode_all(text.as_slice(), 3).unwrap();
        for (coding, body) in [("gzip", gzip(&text)), ("br", br), ("zstd", zstd)] {
            let headers = under(coding);
            assert_eq!(*beginning(&headers, &body, 100_000), text[..], "{coding}");
            assert_eq!(*beginning(&headers, &body, 100), text[..100], "{coding}");
            for end in [0, 1, 10, body.len() / 2, body.len() - 1] {
                let cut = beginning(&headers, &body[..end], 100_000).into_owned();
                assert!(text.starts_with(&cut), "{coding}, {end}");
            }
        }
    }

    #[test]
    fn what_is_under_no_known_coding_stays() {
        assert_eq!(*beginning(&HeaderMap::new(), b"{}", 9), b"{}"[..]);
        assert_eq!(*beginning(&under("aes128gcm"), b"{}", 9), b"{}"[..]);
        assert_eq!(*beginning(&under("gzip, br"), b"{}", 9), b"{}"[..]);
    }
}
