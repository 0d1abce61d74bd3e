//! Images and files that are inlined in a request, as base64: no text for a tokenizer.

use super::image::ImageSize;

/// Whether `kind` is that of a part which is an image.
pub(super) fn is_image_kind(kind: &[u8]) -> bool {
    IMAGE_KINDS.iter().any(|known| known.as_bytes() == kind)
}

/// Whether `kind` is that of a part whose data only the provider can read.
pub(super) fn is_sealed_kind(kind: &[u8]) -> bool {
    SEALED_KINDS.iter().any(|known| known.as_bytes() == kind)
}

/// What is inlined in a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inlined {
    /// An image, with its size as far as that was looked for and found.
    Image(Option<ImageSize>),
    /// A document, a recording, a video, of so many bytes as it is written.
    File(u64),
}

/// What the string before a string says of it. In JSON that is its key, but for later items of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// Whatever stands here is read by the model as text, also if it looks otherwise.
    Prose,
    /// The kind of a part.
    Kind,
    /// What the provider sealed and wants back: thoughts, signatures.
    Sealed,
    /// Base64 without a `data:` around it.
    Payload,
    #[default]
    Other,
}

/// The names by which requests call these (API references and SDKs, read 2026-11-23).
static PLACES: [(&str, Place); 30] = [
    ("arguments", Place::Prose),
    ("content", Place::Prose),
    ("input", Place::Prose),
    ("instructions", Place::Prose),
    ("output", Place::Prose),
    ("prompt", Place::Prose),
    ("system", Place::Prose),
    ("text", Place::Prose),
    ("thinking", Place::Prose),
    ("type", Place::Kind),
    // OpenAI, Anthropic, Gemini.
    ("encrypted_content", Place::Sealed),
    ("signature", Place::Sealed),
    ("thoughtSignature", Place::Sealed),
    ("thought_signature", Place::Sealed),
    ("redactedContent", Place::Sealed),
    // Anthropic, Gemini, audio at OpenAI.
    ("data", Place::Payload),
    // Bedrock.
    ("bytes", Place::Payload),
    // Vertex.
    ("bytesBase64Encoded", Place::Payload),
    // OpenAI.
    ("file_data", Place::Payload),
    // An image that OpenAI made, shown to it again.
    ("result", Place::Payload),
    // Mistral.
    ("input_audio", Place::Payload),
    ("imageBytes", Place::Payload),
    ("audio", Place::Payload),
    ("b64_json", Place::Payload),
    // Ollama, llama.cpp.
    ("images", Place::Payload),
    ("image", Place::Payload),
    ("image_data", Place::Payload),
    ("inputImage", Place::Payload),
    ("multimodal_data", Place::Payload),
    ("mask", Place::Payload),
];

/// The kinds of parts that are images, wherever their pixels are.
static IMAGE_KINDS: [&str; 3] = ["image_url", "input_image", "image"];

/// The kinds of parts whose data is sealed.
static SEALED_KINDS: [&str; 2] = ["redacted_thinking", "reasoning.encrypted"];

/// Shorter ones are text that happens to look like it.
const LEAST_PAYLOAD: usize = 64;

impl Place {
    /// Where the string after `name` stands.
    pub(super) fn after(name: &[u8]) -> Self {
        PLACES
            .iter()
            .find(|(known, _)| known.as_bytes() == name)
            .map_or(Self::Other, |(_, place)| *place)
    }

    /// What is inlined in `written`, a string as JSON writes it, if it is no text.
    pub(super) fn inlined(self, written: &[u8]) -> Option<Inlined> {
        match self {
            Self::Prose | Self::Kind | Self::Sealed => None,
            Self::Payload if is_image(written) && is_base64(written) => {
                Some(Inlined::Image(size::of(written)))
            }
            Self::Payload if is_file(written) && is_base64(written) => {
                Some(Inlined::File(written.len() as u64))
            }
            Self::Payload | Self::Other => {
                let (is_image, payload) = data_url(written)?;
                Some(match is_image {
                    true => Inlined::Image(size::of(payload)),
                    false => Inlined::File(payload.len() as u64),
                })
            }
        }
    }
}

/// Whether `url`, one like `data:image/png;base64,iVBO`, has an image in it, and its payload. Prose may
/// begin with `data:` as well.
fn data_url(url: &[u8]) -> Option<(bool, &[u8])> {
    const LONGEST_TYPE: usize = 128;
    const BASE64: &[u8] = b";base64,";

    let rest = url.strip_prefix(b"data:")?;
    let head = &rest[..rest.len().min(LONGEST_TYPE)];
    let end = head
        .windows(BASE64.len())
        .take_while(|window| !window[0].is_ascii_whitespace())
        .position(|window| window == BASE64)?;
    Some((head.starts_with(b"image"), &rest[end + BASE64.len()..]))
}

/// All of it: text may begin with a word, a rule or a list of numbers.
fn is_base64(written: &[u8]) -> bool {
    let is_written_so = |&byte: &u8| is_digit(byte) || matches!(byte, b'\\' | b'=');
    written.len() >= LEAST_PAYLOAD && written.iter().all(is_written_so)
}

/// Of base64, in either of its alphabets.
const fn is_digit(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'-' | b'_')
}

/// The first bytes of PNG, JPEG, GIF, BMP and WebP, in base64.
fn is_image(payload: &[u8]) -> bool {
    const STARTS: [&[u8]; 5] = [b"iVBORw0KGgo", b"/9j/", br"\/9j", b"R0lGOD", b"Qk0"];

    STARTS.iter().any(|start| payload.starts_with(start))
        || (payload.starts_with(b"UklGR") && payload.get(12..16) == Some(b"RUJQ"))
}

/// The first bytes of PDF, ZIP (with the documents of offices), MP3, Ogg, FLAC, Matroska, WAV and MP4, in
/// base64. Samples without a header begin with silence or anything.
fn is_file(payload: &[u8]) -> bool {
    const STARTS: [&[u8]; 10] = [
        b"JVBERi0",
        b"UEsDB",
        b"SUQz",
        b"//s",
        b"//u",
        b"//v",
        b"T2dnU",
        b"ZkxhQw",
        b"GkXfo",
        b"AAAAAAAA",
    ];

    STARTS.iter().any(|start| payload.starts_with(start))
        || (payload.starts_with(b"UklGR") && payload.get(12..16) == Some(b"QVZF"))
        || (payload.starts_with(b"AAAA") && payload.get(5..10) == Some(b"GZ0eX"))
}

#[cfg(not(feature = "images"))]
mod size {
    use super::ImageSize;

    pub(super) const fn of(_payload: &[u8]) -> Option<ImageSize> {
        None
    }
}

#[cfg(feature = "images")]
mod size {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

    use super::{ImageSize, is_digit};

    /// How much of an image to decode for its size, in digits of base64: most tell it at once, some
    /// photographs after a preview and a colour profile.
    const STEPS: [usize; 2] = [4 * 1024, 512 * 1024];

    pub(super) fn of(payload: &[u8]) -> Option<ImageSize> {
        let size = STEPS.into_iter().find_map(|step| {
            let head = decoded(payload, step)?;
            imagesize::blob_size(&head).ok()
        })?;
        Some(ImageSize::new(
            u64::try_from(size.width).ok()?,
            u64::try_from(size.height).ok()?,
        ))
    }

    /// What up to `most` digits encode, in groups of four, for nothing shorter is whole.
    fn decoded(payload: &[u8], most: usize) -> Option<Vec<u8>> {
        const GROUP: usize = 4;

        // JSON may write a slash with a backslash before it.
        let digits = payload.iter().copied().filter(|&byte| byte != b'\\');
        let mut digits: Vec<u8> = digits
            .take_while(|&byte| is_digit(byte))
            .take(most)
            .collect();
        digits.truncate(digits.len() / GROUP * GROUP);
        let engine = match digits.iter().any(|byte| matches!(byte, b'-' | b'_')) {
            true => URL_SAFE_NO_PAD,
            false => STANDARD_NO_PAD,
        };
        engine.decode(digits).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pixel of Anthropic's documentation, with more of it than there is.
    const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";

    fn sized(width: u64, height: u64) -> Option<Inlined> {
        let size = ImageSize::new(width, height);
        Some(Inlined::Image(cfg!(feature = "images").then_some(size)))
    }

    #[test]
    fn images_are_recognised_where_they_may_stand() {
        let url = format!("data:image/png;base64,{PNG}");
        let escaped = format!(r"data:image\/png;base64,{PNG}");
        for place in ["url", "image_url", "data", "images", "anything"] {
            let place = Place::after(place.as_bytes());
            assert_eq!(place.inlined(url.as_bytes()), sized(1, 1));
            assert_eq!(place.inlined(escaped.as_bytes()), sized(1, 1));
        }
        for place in ["data", "bytes", "images"] {
            assert_eq!(
                Place::after(place.as_bytes()).inlined(PNG.as_bytes()),
                sized(1, 1)
            );
        }
        for place in ["text", "content", "arguments", "type", "signature"] {
            let place = Place::after(place.as_bytes());
            assert_eq!(place.inlined(url.as_bytes()), None);
            assert_eq!(place.inlined(PNG.as_bytes()), None);
        }
        assert_eq!(Place::after(b"anything").inlined(PNG.as_bytes()), None);
    }

    #[test]
    fn what_is_no_image_is_a_file_or_text() {
        let pdf = "JVBERi0xLjcKJeLjz9MK".repeat(8);
        let size = pdf.len() as u64;
        assert_eq!(
            Place::Payload.inlined(pdf.as_bytes()),
            Some(Inlined::File(size))
        );
        let url = format!("data:application/pdf;base64,{pdf}");
        assert_eq!(
            Place::Other.inlined(url.as_bytes()),
            Some(Inlined::File(size))
        );
        for text in [
            "iVBORw0KGgo",
            "",
            "data:",
            "data: ;base64,",
            "data:image/svg+xml,<svg/>",
        ] {
            assert_eq!(Place::Payload.inlined(text.as_bytes()), None, "{text}");
        }
        // Documents of text, and what tools return.
        let ruled = "-".repeat(72) + r"\n1. Introduction\nThis is text.";
        let genome = "ACGT".repeat(100);
        for text in [ruled, genome] {
            assert_eq!(Place::Payload.inlined(text.as_bytes()), None, "{text}");
        }
        let prose = "It is a long text, and there are blanks in it, and signs: +/=.".repeat(9);
        assert_eq!(Place::Payload.inlined(prose.as_bytes()), None);
    }

    #[cfg(feature = "images")]
    #[test]
    fn sizes_are_found_in_every_format() {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;

        let gif: &[u8] = b"GIF89a\x80\x02\xe0\x01\xf0\x00\x00";
        let webp: &[u8] = b"RIFF\x1a\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x7f\x02\0\xdf\x01\0";
        // A photograph with a preview of 40,000 bytes before its size.
        let mut jpeg = b"\xff\xd8\xff\xe1\x9c\x42Exif\0\0".to_vec();
        jpeg.resize(6 + 0x9c40, 7);
        jpeg.extend_from_slice(
            b"\xff\xc0\x00\x11\x08\x01\xe0\x02\x80\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01",
        );
        for image in [gif, webp, &jpeg] {
            let mut padded = image.to_vec();
            padded.resize(image.len().max(64) + 64, 0);
            let payload = STANDARD.encode(&padded);
            let escaped = payload.replace('/', r"\/");
            for written in [payload, escaped] {
                assert_eq!(
                    Place::Payload.inlined(written.as_bytes()),
                    sized(640, 480),
                    "{:?}",
                    &written[..20]
                );
            }
        }
    }

    #[cfg(feature = "images")]
    #[test]
    fn damaged_images_have_no_size() {
        let mut rng = fastrand::Rng::with_seed(20_261_124);
        for start in ["iVBORw0KGgo", "/9j/", "R0lGOD", "Qk0", "UklGR"] {
            for _ in 0..2_000 {
                let length = rng.usize(64..400);
                let rest = (0..length).map(|_| rng.alphanumeric());
                let payload: String = start.chars().chain(rest).collect();
                let url = format!("data:image/png;base64,{payload}");
                assert!(Place::Payload.inlined(url.as_bytes()).is_some());
            }
        }
    }
}
