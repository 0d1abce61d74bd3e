//! How many tokens a text takes at most, told from the kinds of its bytes.
//!
//! A tokenizer merges what is common: words, runs of spaces, a few signs. What it merges cannot be
//! known without its vocabulary, but what it never merges can: it parts text where letters, digits,
//! signs and spaces meet, and where a small letter is followed by a capital. So every such seam
//! starts a token, and what follows inside costs a share of one that is high enough for languages and
//! code, rises in long runs, which no word has, and is higher yet for capitals and signs in a row.
//!
//! The shares were fitted to `o200k_base` with `cl100k_base` beside it (2026-11-24); `cargo test --test
//! tokens -- --nocapture` prints how far off they are, and for what text they are too low.

/// Shares of a token are counted in these.
pub(super) const TOKEN: u64 = 16;

/// Some tokenizers have a token for every digit, as Gemma's does.
const DIGIT: u64 = TOKEN;

/// The first letters of a word, and those that follow in what is longer than words are.
const COMMON_LETTERS: u32 = 8;
const LETTER: u64 = 5;
const LATE_LETTER: u64 = 9;

/// A small letter after the capital that began a word; the capital of an acronym.
const AFTER_CAPITAL: u64 = 8;
const CAPITAL: u64 = 11;

/// A sign after another, and after the same.
const SIGN: u64 = 11;
const SAME_SIGN: u64 = 5;

/// White space after the same, after a sign, and what indents a line.
const SAME_SPACE: u64 = 2;
const SPACE_AFTER_SIGN: u64 = 5;
const INDENTATION: u64 = 4;

/// What JSON writes as `\u` and four digits: a character of three bytes, or half of one of four.
const ESCAPED: u64 = 24;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Small,
    Capital,
    Digit,
    Space,
    Line,
    Sign,
    /// Of a character beyond ASCII.
    Wide,
}

static KINDS: [Kind; 256] = {
    let mut kinds = [Kind::Sign; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b'a'..=b'z' => Kind::Small,
            b'A'..=b'Z' => Kind::Capital,
            b'0'..=b'9' => Kind::Digit,
            b' ' | b'\t' => Kind::Space,
            b'\n' | b'\r' => Kind::Line,
            0x80.. => Kind::Wide,
            _ => Kind::Sign,
        };
        byte += 1;
    }
    kinds
};

/// What `written`, a string as JSON writes it, takes at most, in shares of a [`TOKEN`].
pub(super) fn bound(written: &[u8]) -> u64 {
    let mut seen = Seen {
        kind: Kind::Line,
        byte: b'\n',
        letters: 0,
    };
    let mut shares = 0;
    let mut bytes = written.iter();
    while let Some(&byte) = bytes.next() {
        if byte != b'\\' {
            shares += seen.next(byte);
            continue;
        }
        shares += match bytes.next() {
            Some(b'n' | b'r') => seen.next(b'\n'),
            Some(b't') => seen.next(b'\t'),
            Some(b'u') => {
                // The digits are four; fewer are no JSON.
                bytes.nth(3);
                seen.escaped()
            }
            Some(&escaped) => seen.next(escaped),
            None => 0,
        };
    }
    shares
}

/// What `bare` takes, bytes outside of strings: numbers, for which a prompt may be a list of token
/// ids, of which each is one token, however many its digits, and what tools return.
pub(super) fn bound_of_bare(bare: &[u8]) -> u64 {
    let mut last = b' ';
    let mut shares = 0;
    for &byte in bare {
        shares += match (byte, last) {
            (b'0'..=b'9', b'0'..=b'9') => TOKEN / 2,
            // `true`, `false` and `null` are words.
            (b'a'..=b'z', b'a'..=b'z') => 0,
            (b'0'..=b'9' | b'a'..=b'z' | b'-' | b',' | b'.', _) => TOKEN,
            _ => 0,
        };
        last = byte;
    }
    shares
}

/// The last byte, and how many letters of one word ended with it.
struct Seen {
    kind: Kind,
    byte: u8,
    letters: u32,
}

impl Seen {
    fn next(&mut self, byte: u8) -> u64 {
        let kind = KINDS[usize::from(byte)];
        let shares = match (self.kind, kind) {
            (Kind::Small | Kind::Wide, Kind::Small) => {
                self.letters += 1;
                if self.letters <= COMMON_LETTERS {
                    LETTER
                } else {
                    LATE_LETTER
                }
            }
            (Kind::Capital, Kind::Small) => {
                self.letters += 1;
                AFTER_CAPITAL
            }
            (Kind::Capital, Kind::Capital) => CAPITAL,
            (_, Kind::Small | Kind::Capital) => {
                self.letters = 1;
                TOKEN
            }
            (_, Kind::Wide) => {
                self.letters += u32::from(is_leading(byte));
                wide(byte, self.byte)
            }
            // Of a space before a word nothing is left: it is part of the word's token.
            (Kind::Space, Kind::Digit) => TOKEN + DIGIT,
            (_, Kind::Digit) => DIGIT,
            (Kind::Space, Kind::Space) if byte == self.byte => SAME_SPACE,
            (Kind::Space, Kind::Space) => TOKEN,
            (Kind::Line, Kind::Space) => INDENTATION,
            (Kind::Sign, Kind::Space) => SPACE_AFTER_SIGN,
            (_, Kind::Space) => 0,
            (Kind::Line, Kind::Line) => INDENTATION,
            (Kind::Sign, Kind::Sign) if byte == self.byte => SAME_SIGN,
            (Kind::Sign, Kind::Sign) => SIGN,
            (_, Kind::Line | Kind::Sign) => TOKEN,
        };
        self.kind = kind;
        self.byte = byte;
        shares
    }

    fn escaped(&mut self) -> u64 {
        self.kind = Kind::Wide;
        self.byte = 0;
        self.letters += 1;
        ESCAPED
    }
}

const fn is_leading(byte: u8) -> bool {
    byte >= 0xc0
}

/// What a byte of a character beyond ASCII takes: by the first, which tells the script, with more by the
/// second where scripts differ that share the first. The common characters of Chinese, Japanese and Korean
/// take less than this, the rare ones up to three tokens.
const fn wide(byte: u8, before: u8) -> u64 {
    match (before, byte) {
        // Lao and Tibetan, beside the scripts of India and Thai.
        (0xe0, 0xba..=0xbf) => 14,
        // Cherokee, beside Georgian, Burmese, Amharic and Khmer.
        (0xe1, 0x8e..=0x8f) => 10,
        // Yi, Javanese and others, beside Korean.
        (0xea, 0x80..=0xaf) => 32,
        (_, 0x80..=0xbf) => 0,
        // Two bytes: Latin with accents, phonetic signs, Greek, Cyrillic, Hebrew, Arabic.
        (_, 0xc9..=0xcb) => 40,
        (_, 0xc0..=0xdb) => 18,
        // Syriac, Thaana, N'Ko.
        (_, 0xdc..=0xdf) => 42,
        // Three bytes: the scripts of India and Thai.
        (_, 0xe0) => 22,
        // Georgian, Amharic, Khmer.
        (_, 0xe1) => 44,
        // Punctuation, arrows, mathematics.
        (_, 0xe2) => 40,
        // Chinese, Japanese, Korean.
        (_, 0xe3..=0xed) => 24,
        // Forms for compatibility, private use.
        (_, 0xee..=0xef) => 48,
        // Four: emoji and historic scripts.
        _ => 50,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seam_starts_a_token() {
        let cases = [
            ("", 0),
            ("a", TOKEN),
            ("word", TOKEN + 3 * LETTER),
            ("two words", 2 * TOKEN + (2 + 4) * LETTER),
            (
                "camelCase",
                2 * TOKEN + 4 * LETTER + AFTER_CAPITAL + 2 * LETTER,
            ),
            ("HTTP", TOKEN + 3 * CAPITAL),
            ("x = 10", 3 * TOKEN + SPACE_AFTER_SIGN + 2 * DIGIT),
            ("a1b", 3 * TOKEN),
            ("----", TOKEN + 3 * SAME_SIGN),
            (r#"\"a\","#, TOKEN + TOKEN + TOKEN + SIGN),
            (
                r"a\n\n  b",
                TOKEN + TOKEN + 2 * INDENTATION + SAME_SPACE + TOKEN,
            ),
            (r"caf\u00e9", TOKEN + 2 * LETTER + ESCAPED),
            ("né", TOKEN + 18),
            ("天气", 48),
        ];
        for (written, shares) in cases {
            assert_eq!(bound(written.as_bytes()), shares, "{written:?}");
        }
    }

    #[test]
    fn escapes_may_be_cut_off() {
        for written in [r"\", r"\u", r"\u00", r"a\u00e"] {
            assert!(bound(written.as_bytes()) < 4 * TOKEN, "{written:?}");
        }
    }

    #[test]
    fn lists_of_tokens_count_each() {
        assert!(bound_of_bare(b"[1212,318]") >= 2 * TOKEN);
        assert_eq!(bound_of_bare(b" { true } "), TOKEN);
        assert_eq!(bound_of_bare(b" {[ ]} "), 0);
    }
}
