//! Server-sent events.

use proactive_rate_limit::provider::{Anthropic, OpenAi, Provider};
use proactive_rate_limit::usage::{Reading, Unreadable};

use crate::bodies::{ANTHROPIC_START, OPENAI_CHAT_STREAM};
use crate::{EVENTS, read, reader, two};

#[test]
fn an_error_inside_a_stream_leaves_no_usage() {
    for stream in [
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n",
        "data: {\"error\":{\"code\":429,\"message\":\"usage\"}}\n\n",
    ] {
        for provider in [&OpenAi as &dyn Provider, &Anthropic] {
            assert_eq!(read(provider, EVENTS, stream), Reading::Missing);
        }
    }
}

#[test]
fn a_cut_stream_without_final_usage_is_missing() {
    assert_eq!(read(&Anthropic, EVENTS, ANTHROPIC_START), Reading::Missing);
    let cut = OPENAI_CHAT_STREAM.find("\"choices\":[],").unwrap();
    assert_eq!(
        read(&OpenAi, EVENTS, &OPENAI_CHAT_STREAM[..cut]),
        Reading::Missing
    );
    let cut = OPENAI_CHAT_STREAM.find("45,").unwrap();
    assert_eq!(
        read(&OpenAi, EVENTS, &OPENAI_CHAT_STREAM[..cut]),
        Reading::Unreadable(Unreadable::Truncated)
    );
}

#[test]
fn a_broken_event_loses_only_itself() {
    let good = "data: {\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n";
    let broken = [
        "data: {\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":8}\n\n",
        "data: {\"usage\":{\"prompt_tokens\":7,}}\n\n",
        "data: {\"usage\":{\"prompt_tokens\":-7,\n\n",
        "data: \"\n\n",
        "data: [[[\n\n",
        "data: ping\n\n",
        "\u{0}\u{1}\n\n",
        "data: {\"a\":\"\\u12\n\n",
    ];
    for event in broken {
        for stream in [format!("{event}{good}"), format!("{good}{event}")] {
            assert_eq!(read(&OpenAi, EVENTS, &stream), two(1, 2), "{stream:?}");
        }
    }
    assert_eq!(
        read(&OpenAi, EVENTS, broken[0]),
        Reading::Unreadable(Unreadable::Malformed)
    );
}

#[test]
fn an_event_may_span_lines_and_the_stream_may_just_end() {
    let stream = ": OPENROUTER PROCESSING\n\n\
        data: {\"usage\":\ndata: {\"prompt_tokens\":1,\ndata:\"completion_tokens\":2}\n\
        event: x\ndata: }";
    assert_eq!(read(&OpenAi, EVENTS, stream), two(1, 2));
}

#[test]
fn a_gap_in_a_stream_needs_final_counts_after_it() {
    let usage = b"data: {\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n";
    let mut reader = reader(&OpenAi, EVENTS);
    reader.feed(usage);
    assert_eq!(reader.finish(), two(1, 2));
    reader.mark_gap();
    assert_eq!(reader.finish(), Reading::Unreadable(Unreadable::Gap));
    // The rest of an event that began in the gap.
    reader.feed(b"{\"usage\":{\"prompt_tokens\":7}}\n");
    reader.feed(usage);
    assert_eq!(reader.finish(), Reading::Unreadable(Unreadable::Gap));
    reader.feed(usage);
    assert_eq!(reader.finish(), two(1, 2));
}

/// Clients stop reading when a stream says that it is over, and drop what is left of the body.
#[test]
fn a_stream_says_when_it_is_over() {
    let cases: [(&dyn Provider, &[&str]); 3] = [
        (
            &OpenAi,
            &[
                "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n",
                "data: [DO",
                "NE]\n\n",
            ],
        ),
        (
            &OpenAi,
            &[
                "event: response.created\ndata: {\"response\":{\"usage\":null}}\n\n",
                "data: {\"response\":{\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}}\n\n",
            ],
        ),
        (
            &Anthropic,
            &[
                "data: {\"message\":{\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\n",
                "data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":2}}\n\n",
            ],
        ),
    ];
    for (provider, pieces) in cases {
        let mut reader = reader(provider, EVENTS);
        for piece in pieces {
            assert!(!reader.is_over(), "{piece}");
            reader.feed(piece.as_bytes());
        }
        assert!(reader.is_over(), "{pieces:?}");
    }
}

#[test]
fn what_only_looks_like_the_end_of_a_stream_is_not() {
    for piece in [
        "data: [DONE",
        "data: [DONE] \n\n",
        "data: [DONE]\n",
        "data: \"[DONE]\"\n\n",
        ": [DONE]\n\n",
        "data: [DO\ndata: NE]\n\n",
    ] {
        let mut reader = reader(&OpenAi, EVENTS);
        reader.feed(piece.as_bytes());
        assert!(!reader.is_over(), "{piece}");
    }
}
