use std::borrow::Cow;

use super::{Escape, Token};

/// The text of a string as JSON writes it between its quotes. `None`: it is none of JSON.
pub(crate) fn unescape(written: &[u8]) -> Option<Cow<'_, str>> {
    /// Of one escape and a half character before it that came to nothing.
    const LONGEST: usize = 8;

    if !written.contains(&b'\\') {
        return std::str::from_utf8(written).ok().map(Cow::Borrowed);
    }
    let mut text = Vec::with_capacity(written.len());
    let mut token = Token::<LONGEST>::new();
    let mut escape = Escape::None;
    for &byte in written {
        escape = match escape {
            Escape::None if byte == b'\\' => Escape::Backslash,
            Escape::None => {
                token.end();
                token.append(&[byte]);
                Escape::None
            }
            _ => escape.next(byte, &mut token)?,
        };
        text.extend_from_slice(token.bytes());
        token.used = 0;
    }
    token.end();
    text.extend_from_slice(token.bytes());
    String::from_utf8(text).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_what_serde_json_gives() {
        let cases = [
            "",
            "plain",
            r#"a\n\t\r\b\f\"\\\/z"#,
            r"caf\u00e9",
            r"\ud83d\ude00!",
            r"天\u6c14",
            r"\u0000",
        ];
        for written in cases {
            let expected: String = serde_json::from_str(&format!("\"{written}\"")).unwrap();
            assert_eq!(unescape(written.as_bytes()).unwrap(), expected, "{written}");
        }
    }

    #[test]
    fn half_characters_become_replacements() {
        let cases = [
            (r"\ud83d", "\u{fffd}"),
            (r"\ud83dx", "\u{fffd}x"),
            (r"\ud83d\n", "\u{fffd}\n"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}😀"),
            (
                r"\ud83d\ud83d\ud83d\ud83d",
                "\u{fffd}\u{fffd}\u{fffd}\u{fffd}",
            ),
            (r"\ude00", "\u{fffd}"),
        ];
        for (written, expected) in cases {
            assert_eq!(unescape(written.as_bytes()).unwrap(), expected, "{written}");
        }
    }

    #[test]
    fn other_escapes_are_refused() {
        for written in [r"\x", r"\u00g0", "\\\u{ff}"] {
            assert_eq!(unescape(written.as_bytes()), None, "{written}");
        }
        assert_eq!(unescape(b"\xff"), None);
        assert_eq!(unescape(b"\xff\\n"), None);
    }
}
