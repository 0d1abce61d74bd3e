//! A JSON document on each line.

use proactive_rate_limit::usage::{Reading, Unreadable, UsageField, UsagePath, UsageReader};

use crate::json::{GEMINI, GEMINI_ARRAY};
use crate::{JSON, LINES, headers, read_pieces, two};

/// Of counts as Ollama reports them.
pub(crate) static OLLAMA: [UsagePath; 2] = [
    UsagePath::last(&["prompt_eval_count"], UsageField::Input),
    UsagePath::closing(&["eval_count"], UsageField::Output),
];

pub(crate) const OLLAMA_STREAM: &str = "{\"model\":\"gemma4\",\"message\":{\"content\":\"{\\n\"},\"done\":false}\n\r\n\n\
    {\"model\":\"gemma4\",\"message\":{\"content\":\"\"},\"done\":true,\"prompt_eval_count\":11,\"eval_count\":18}\n";

#[test]
fn lines_and_arrays_read_the_same_in_any_pieces() {
    let cases: [(&'static [UsagePath], &'static str, &str, Reading); 4] = [
        (&OLLAMA, LINES, OLLAMA_STREAM, two(11, 18)),
        (&OLLAMA, LINES, OLLAMA_STREAM.trim_end(), two(11, 18)),
        (&GEMINI, JSON, GEMINI_ARRAY, two(200, 12)),
        (&GEMINI, LINES, "\n\n", Reading::Missing),
    ];
    for (paths, content_type, body, expected) in cases {
        let bytes = body.as_bytes();
        for split in 0..=bytes.len() {
            let (first, second) = bytes.split_at(split);
            let reading = read_pieces(paths, content_type, [first, second]);
            assert_eq!(reading, expected, "{body} split at {split}");
        }
        for piece in 1..=8 {
            let reading = read_pieces(paths, content_type, bytes.chunks(piece));
            assert_eq!(reading, expected, "{body} in pieces of {piece}");
        }
    }
}

#[test]
fn cut_lines_never_read_as_another_usage() {
    let last = OLLAMA_STREAM.rfind('}').unwrap();
    for cut in 0..=last {
        let reading = read_pieces(&OLLAMA, LINES, [&OLLAMA_STREAM.as_bytes()[..cut]]);
        assert!(!matches!(reading, Reading::Usage(_)), "cut at {cut}");
    }
}

#[test]
fn a_broken_line_loses_only_itself() {
    let good = "{\"prompt_eval_count\":1,\"eval_count\":2}\n";
    for broken in [
        "{\"eval_count\":7\n",
        "}\n",
        "{\"eval_count\":-7,\n",
        "[[\n",
    ] {
        for body in [format!("{broken}{good}"), format!("{good}{broken}")] {
            let reading = read_pieces(&OLLAMA, LINES, [body.as_bytes()]);
            assert_eq!(reading, two(1, 2), "{body:?}");
        }
        let reading = read_pieces(&OLLAMA, LINES, [broken.as_bytes()]);
        assert_eq!(reading, Reading::Unreadable(Unreadable::Malformed));
    }
}

#[test]
fn lines_say_when_they_are_over_and_survive_a_gap() {
    let mut reader = UsageReader::new(&OLLAMA, &headers(LINES));
    let (first, last) = OLLAMA_STREAM.split_once("\n\r\n").unwrap();
    reader.feed(first.as_bytes());
    reader.mark_gap();
    reader.feed(b"\"eval_count\":7}\n");
    assert_eq!(reader.finish(), Reading::Unreadable(Unreadable::Gap));
    assert!(!reader.is_over());
    reader.feed(last.as_bytes());
    assert_eq!(reader.finish(), two(11, 18));
    assert!(reader.is_over());
}
