//! Responses of OpenAI and Anthropic, with what is to be read of each.

use proactive_rate_limit::provider::{Anthropic, OpenAi, Provider};
use proactive_rate_limit::usage::{Reading, Unreadable, UsageField};

use crate::{EVENTS, JSON, reader, usage};

pub(crate) struct Fixture {
    pub(crate) provider: &'static dyn Provider,
    pub(crate) content_type: &'static str,
    pub(crate) body: &'static str,
    pub(crate) expected: Reading,
}

pub(crate) const OPENAI_CHAT: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-6-sol","choices":[{"index":0,"message":{"role":"assistant","content":"ok {\"usage\":{\"prompt_tokens\":9}}"},"finish_reason":"stop"}],"usage":{"prompt_tokens":120,"completion_tokens":45,"total_tokens":165,"prompt_tokens_details":{"cached_tokens":64,"cache_write_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":30,"audio_tokens":0}}}"#;

const OPENAI_RESPONSE: &str = r#"{"id":"resp_1","object":"response","status":"completed","output":[{"type":"message","usage":{"input_tokens":1}}],"usage":{"input_tokens":120,"input_tokens_details":{"cached_tokens":64,"cache_write_tokens":0},"output_tokens":45,"output_tokens_details":{"reasoning_tokens":30},"total_tokens":165}}"#;

const OPENAI_EMBEDDINGS: &str = r#"{"object":"list","model":"text-embedding-3-small","data":[{"object":"embedding","index":0,"embedding":[0.0023,-1.5e-3,1]}],"usage":{"prompt_tokens":8,"total_tokens":8}}"#;

pub(crate) const OPENAI_CHAT_STREAM: &str = "data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"He\"}}],\"usage\":null,\"obfuscation\":\"a1\"}\n\n\
    data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n\
    data: {\"id\":\"chatcmpl-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":120,\"completion_tokens\":45,\"total_tokens\":165}}\n\n\
    data: [DONE]\n\n";

const OPENAI_CHAT_STREAM_WITHOUT: &str = "data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"He\"}}]}\n\n\
    data: [DONE]\n\n";

const OPENAI_RESPONSE_STREAM: &str = "event: response.created\r\n\
    data: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"usage\":null}}\r\n\r\n\
    event: response.output_text.delta\r\n\
    data: {\"type\":\"response.output_text.delta\",\"delta\":\"usage\"}\r\n\r\n\
    event: response.completed\r\n\
    data: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"usage\":{\"input_tokens\":120,\"input_tokens_details\":{\"cached_tokens\":64,\"cache_write_tokens\":0},\"output_tokens\":45,\"output_tokens_details\":{\"reasoning_tokens\":30},\"total_tokens\":165}}}\r\n\r\n";

const ANTHROPIC_MESSAGE: &str = r#"{"type":"message","id":"msg_1","content":[{"type":"text","text":"ok"}],"stop_reason":"end_turn","usage":{"input_tokens":50,"cache_creation_input_tokens":7,"cache_read_input_tokens":2000,"cache_creation":{"ephemeral_5m_input_tokens":7},"output_tokens":12,"output_tokens_details":{"thinking_tokens":4},"service_tier":"standard"}}"#;

pub(crate) const ANTHROPIC_START: &str = "event: message_start\n\
    data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"content\":[],\"usage\":{\"input_tokens\":50,\"cache_creation_input_tokens\":7,\"cache_read_input_tokens\":2000,\"output_tokens\":1}}}\n\n\
    event: content_block_delta\n\
    data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"ok\"}}\n\n";

const ANTHROPIC_STREAM: &str = "event: message_start\n\
    data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"content\":[],\"usage\":{\"input_tokens\":50,\"cache_creation_input_tokens\":7,\"cache_read_input_tokens\":2000,\"output_tokens\":1}}}\n\n\
    event: ping\n\
    data: {\"type\": \"ping\"}\n\n\
    event: message_delta\n\
    data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":12,\"input_tokens\":53}}\n\n\
    event: message_stop\n\
    data: {\"type\":\"message_stop\"}\n\n";

pub(crate) fn fixtures() -> Vec<Fixture> {
    let fixture = |provider, content_type, body, expected| Fixture {
        provider,
        content_type,
        body,
        expected,
    };
    let full = Reading::Usage(usage([
        Some(120),
        Some(45),
        Some(165),
        Some(64),
        Some(0),
        Some(30),
    ]));
    let embeddings = Reading::Usage(usage([Some(8), None, Some(8), None, None, None]));
    let chat_stream = Reading::Usage(usage([Some(120), Some(45), Some(165), None, None, None]));
    let silent = |full| match full {
        Reading::Usage(usage) => Reading::Usage(
            usage
                .with(UsageField::InputAudio, 0)
                .with(UsageField::OutputAudio, 0),
        ),
        other => other,
    };
    let message_of = |uncached, reasoning| {
        let rest = usage([None, Some(12), None, Some(2000), Some(7), reasoning]);
        Reading::Usage(rest.with(UsageField::UncachedInput, uncached))
    };
    let message = message_of(50, Some(4));
    let message_stream = message_of(53, None);
    vec![
        fixture(&OpenAi, JSON, OPENAI_CHAT, silent(full)),
        fixture(&OpenAi, JSON, OPENAI_RESPONSE, full),
        fixture(&OpenAi, JSON, OPENAI_EMBEDDINGS, embeddings),
        fixture(&OpenAi, EVENTS, OPENAI_CHAT_STREAM, chat_stream),
        fixture(
            &OpenAi,
            EVENTS,
            OPENAI_CHAT_STREAM_WITHOUT,
            Reading::Missing,
        ),
        fixture(&OpenAi, EVENTS, OPENAI_RESPONSE_STREAM, full),
        fixture(&Anthropic, JSON, ANTHROPIC_MESSAGE, message),
        fixture(&Anthropic, EVENTS, ANTHROPIC_STREAM, message_stream),
        fixture(&Anthropic, EVENTS, ANTHROPIC_START, Reading::Missing),
    ]
}

#[test]
fn every_split_reads_the_same() {
    for fixture in fixtures() {
        let bytes = fixture.body.as_bytes();
        for split in 0..=bytes.len() {
            let mut reader = reader(fixture.provider, fixture.content_type);
            reader.feed(&bytes[..split]);
            reader.feed(&bytes[split..]);
            assert_eq!(reader.finish(), fixture.expected, "split at {split}");
        }
        for piece in 1..20 {
            let mut reader = reader(fixture.provider, fixture.content_type);
            for bytes in bytes.chunks(piece) {
                reader.feed(bytes);
            }
            assert_eq!(reader.finish(), fixture.expected, "pieces of {piece}");
        }
    }
}

#[test]
fn a_cut_body_never_reads_as_another_usage() {
    for fixture in fixtures() {
        for cut in 0..fixture.body.len() {
            let mut reader = reader(fixture.provider, fixture.content_type);
            reader.feed(&fixture.body.as_bytes()[..cut]);
            match reader.finish() {
                Reading::Usage(_) => {
                    assert_eq!(reader.finish(), fixture.expected, "cut at {cut}");
                    assert_eq!(fixture.content_type, EVENTS, "cut at {cut}");
                }
                Reading::Missing => {
                    assert!(cut == 0 || fixture.content_type == EVENTS, "cut at {cut}");
                }
                Reading::Unreadable(reason) => assert_eq!(reason, Unreadable::Truncated),
                other => panic!("unexpected {other:?}"),
            }
        }
    }
}
