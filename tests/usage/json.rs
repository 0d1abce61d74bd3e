//! One JSON document, or a list of them.

use proactive_rate_limit::provider::OpenAi;
use proactive_rate_limit::usage::{Reading, Unreadable, UsageField, UsagePath};

use crate::bodies::OPENAI_CHAT;
use crate::{EVENTS, JSON, read, read_pieces, reader, two};

/// Of counts as Gemini reports them.
pub(crate) static GEMINI: [UsagePath; 2] = [
    UsagePath::last(&["usageMetadata", "promptTokenCount"], UsageField::Input),
    UsagePath::last(
        &["usageMetadata", "candidatesTokenCount"],
        UsageField::Output,
    ),
];

pub(crate) const GEMINI_ARRAY: &str = "[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"o]\"}]}}],\"usageMetadata\":{\"promptTokenCount\":200,\"candidatesTokenCount\":3}}\r\n,\r\n\
    {\"candidates\":[],\"usageMetadata\":{\"promptTokenCount\":200,\"candidatesTokenCount\":12}}\n]\n";

#[test]
fn a_cut_array_is_truncated() {
    let bytes = GEMINI_ARRAY.trim_end().as_bytes();
    for cut in 1..bytes.len() {
        let reading = read_pieces(&GEMINI, JSON, [&bytes[..cut]]);
        assert_eq!(
            reading,
            Reading::Unreadable(Unreadable::Truncated),
            "cut at {cut}"
        );
    }
}

#[test]
fn only_the_outermost_usage_counts() {
    let bodies = [
        r#"{"choices":[{"usage":{"prompt_tokens":1,"completion_tokens":2}}]}"#,
        r#"[[{"usage":{"prompt_tokens":1,"completion_tokens":2}}]]"#,
        "[]",
        "[1,\"usage\",null]",
        r#"{"text":"\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}"}"#,
        r#"{"usage":[{"prompt_tokens":1}]}"#,
        r#"{"x":{"usage":{"prompt_tokens":1}}}"#,
        r#"{"usage":{"x":{"prompt_tokens":1}}}"#,
        r#"{"prompt_tokens":1}"#,
        r#"{"usage":null}"#,
        r#"{"usage":{"prompt_tokens":null}}"#,
        r#"{"usage":{}}"#,
        r#""usage""#,
        "\n\n{}\n",
        "",
    ];
    for body in bodies {
        assert_eq!(read(&OpenAi, JSON, body), Reading::Missing, "{body}");
    }
}

#[test]
fn keys_are_compared_by_what_they_mean() {
    let body =
        r#"{"\u0075sage":{"prompt\u005ftokens":1,"completion_tokens":2,"prompt_tokens\\":9}}"#;
    assert_eq!(read(&OpenAi, JSON, body), two(1, 2));
}

#[test]
fn the_last_of_repeated_counts_wins() {
    let body = r#"{"usage":{"prompt_tokens":1,"prompt_tokens":2,"completion_tokens":3},
                   "usage":{"completion_tokens":4}}"#;
    assert_eq!(read(&OpenAi, JSON, body), two(2, 4));

    let stream = "data: {\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":1}}\n\n\
        data: {\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n\
        data: {\"usage\":null}\n\n";
    assert_eq!(read(&OpenAi, EVENTS, stream), two(5, 2));
}

#[test]
fn an_invalid_number_spoils_the_reading() {
    let invalid = Reading::Unreadable(Unreadable::InvalidNumber);
    for number in [
        "-1",
        "12.5",
        "1e2",
        "1000000000001",
        "99999999999999999999999999",
        "\"12\"",
        "true",
        "[]",
        "{}",
    ] {
        let body = format!(r#"{{"usage":{{"prompt_tokens":{number},"completion_tokens":2}}}}"#);
        assert_eq!(read(&OpenAi, JSON, &body), invalid, "{number}");
        let stream = format!("data: {body}\n\n");
        assert_eq!(read(&OpenAi, EVENTS, &stream), invalid, "{number}");
    }
    let body = r#"{"usage":{"prompt_tokens":12.0,"completion_tokens":1000000000000}}"#;
    assert_eq!(read(&OpenAi, JSON, body), two(12, 1_000_000_000_000));
}

#[test]
fn what_is_not_json_is_malformed() {
    for body in [
        "<html>",
        "{usage}",
        r#"{"usage":{"prompt_tokens":1 2}}"#,
        r#"{"usage":{"prompt_tokens":1}} {"#,
        r#"{"usage":{"prompt_tokens":12abc}}"#,
        "{\"usage\":{\"prompt_tokens\":1}}\n{\"usage\":{\"prompt_tokens\":2}}\n",
        r#"[{"usage":{"prompt_tokens":1}} {}]"#,
        r#"[{"usage":{"prompt_tokens":1}}]]"#,
        r#"[{"usage":{"prompt_tokens":1}},]"#,
    ] {
        let expected = Reading::Unreadable(Unreadable::Malformed);
        assert_eq!(read(&OpenAi, JSON, body), expected, "{body}");
    }
}

#[test]
fn blank_lines_may_come_first() {
    let body = format!("\n\r\n \n{OPENAI_CHAT}\n");
    assert_eq!(read(&OpenAi, JSON, &body), read(&OpenAi, JSON, OPENAI_CHAT));
}

#[test]
fn a_gap_loses_a_document() {
    let mut reader = reader(&OpenAi, JSON);
    reader.feed(b"{\"usage\":{\"prompt_tokens\":1}");
    reader.mark_gap();
    reader.feed(b"}");
    assert_eq!(reader.finish(), Reading::Unreadable(Unreadable::Gap));
}

#[test]
fn a_body_of_many_values_is_passed_over() {
    let mut reader = reader(&OpenAi, JSON);
    reader.feed(b"{\"data\":[0");
    let numbers = ",-0.0123456,{\"a\":[1e-9,\"\\\"\"]}".repeat(1_000);
    for _ in 0..200 {
        reader.feed(numbers.as_bytes());
    }
    reader.feed(b"],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}");
    assert_eq!(reader.finish(), two(1, 2));
}

#[test]
fn nesting_is_only_counted() {
    let deep = "[".repeat(1_000_000);
    let shallow = "]".repeat(1_000_000);
    let body =
        format!(r#"{{"x":{deep}{shallow},"usage":{{"prompt_tokens":1,"completion_tokens":2}}}}"#);
    assert_eq!(read(&OpenAi, JSON, &body), two(1, 2));
    assert_eq!(
        read(&OpenAi, JSON, &deep),
        Reading::Unreadable(Unreadable::Truncated)
    );
}

pub(crate) static LISTED: [UsagePath; 4] = [
    UsagePath::last(&["usage", "input"], UsageField::Input),
    UsagePath::last(&["usage", "output"], UsageField::Output),
    UsagePath::last(
        &["usage", "parts", UsagePath::EACH, "output"],
        UsageField::Output,
    ),
    UsagePath::last(
        &["usage", "rows", UsagePath::EACH, UsagePath::EACH],
        UsageField::Input,
    ),
];

pub(crate) const LISTED_BODY: &str = r#"{"usage":{"parts":[ 1 , "a]" , null , [ {"output":5} ] , {"x":[{"output":6}],"output":7} , {} ] , "input":2,"rows":[[1],[]]}}"#;

#[test]
fn counts_in_a_list_add_up_in_any_pieces() {
    let cases = [
        (
            r#"{"usage":{"parts":[{"output":3},{"output":4}],"input":2}}"#,
            two(2, 7),
        ),
        // The larger of what is told twice, in either order.
        (
            r#"{"usage":{"input":2,"output":9,"parts":[{"output":3},{"output":4}]}}"#,
            two(2, 9),
        ),
        (
            r#"{"usage":{"parts":[{"output":3},{"output":4}],"output":6,"input":2}}"#,
            two(2, 7),
        ),
        // Whatever else is among them is passed over.
        (LISTED_BODY, two(2, 7)),
        (
            r#"{"usage":{"parts":[],"input":2,"output":1},"parts":[{"output":5}]}"#,
            two(2, 1),
        ),
        (
            r#"{"usage":{"parts":{"output":5},"input":2,"output":1}}"#,
            two(2, 1),
        ),
        (
            r#"{"usage":{"parts":{"[]":{"output":5}},"input":2,"output":1}}"#,
            two(2, 1),
        ),
        // Lists of lists.
        (r#"{"usage":{"rows":[[1,2],[],[3]],"output":1}}"#, two(6, 1)),
        (
            r#"{"usage":{"rows":[[1,{"a":[2]}],[[3],4]],"output":1}}"#,
            Reading::Unreadable(Unreadable::InvalidNumber),
        ),
        // Documents in a list have running totals of their own.
        (
            r#"[{"usage":{"input":2,"parts":[{"output":3}]}},{"usage":{"parts":[{"output":1}]}}]"#,
            two(2, 3),
        ),
    ];
    for (body, expected) in cases {
        let bytes = body.as_bytes();
        for split in 0..=bytes.len() {
            let (first, second) = bytes.split_at(split);
            let reading = read_pieces(&LISTED, JSON, [first, second]);
            assert_eq!(reading, expected, "{body} split at {split}");
        }
        let reading = read_pieces(&LISTED, JSON, bytes.chunks(1));
        assert_eq!(reading, expected, "{body} in single bytes");
    }
}

#[test]
fn a_list_that_is_no_json_is_malformed() {
    for body in [
        r#"{"usage":{"parts":[{"output":3}}}"#,
        r#"{"usage":{"parts":[{"output":3],"input":2}}"#,
        r#"{"usage":{"parts":[{"output":3},],"input":2}}"#,
        r#"{"usage":{"parts":[,{"output":3}],"input":2}}"#,
        r#"{"usage":{"parts":[{"output":3} {"output":3}],"input":2}}"#,
        r#"{"usage":{"parts":[1 2],"input":2}}"#,
        r#"{"usage":{"parts":["a":1],"input":2}}"#,
        r#"{"usage":{"rows":[[1,2},"input":2}}"#,
    ] {
        let reading = read_pieces(&LISTED, JSON, [body.as_bytes()]);
        assert_eq!(
            reading,
            Reading::Unreadable(Unreadable::Malformed),
            "{body}"
        );
    }
}
