use bytes::Bytes;
use serde_json::{Value, json};

use super::{Answer, Endpoint, ErrorShape, Output, Prompt, Stream, filler, named, prompt};

/// `/v1/messages`, in the shape of Anthropic.
pub(super) struct Messages;

impl Endpoint for Messages {
    fn read(&self, body: &Value) -> Result<Prompt, String> {
        let output = match prompt::cap(body, &["max_tokens"])? {
            Output::Unlimited => return Err("max_tokens: Field required".to_owned()),
            output => output,
        };
        Ok(Prompt {
            model: prompt::model(body)?,
            input_tokens: prompt::tokens([&body["system"], prompt::messages(body)?]),
            output,
            inputs: 1,
            stream: prompt::flag(&body["stream"]),
            include_usage: true,
        })
    }

    fn whole(&self, answer: &Answer) -> Value {
        let mut message = message(answer, answer.output_tokens);
        message["content"] = json!([{"type": "text", "text": answer.text()}]);
        message["stop_reason"] = stop_reason(answer).into();
        message
    }

    fn stream(&self) -> Option<&'static dyn Stream> {
        Some(&Self)
    }

    fn errors(&self) -> ErrorShape {
        ErrorShape::Anthropic
    }
}

impl Stream for Messages {
    fn opening(&self, answer: &Answer) -> Vec<Bytes> {
        vec![
            named(&json!({
                "type": "message_start",
                // What has been generated at the start; the last event has the sum.
                "message": message(answer, answer.output_tokens.min(1)),
            })),
            named(&json!({
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "text", "text": ""},
            })),
            named(&json!({"type": "ping"})),
        ]
    }

    fn token(&self, _answer: &Answer, token: u64) -> Bytes {
        named(&json!({
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": filler::word(token)},
        }))
    }

    fn closing(&self, answer: &Answer) -> Vec<Bytes> {
        vec![
            named(&json!({"type": "content_block_stop", "index": 0})),
            named(&json!({
                "type": "message_delta",
                "delta": {"stop_reason": stop_reason(answer), "stop_sequence": null},
                "usage": {"output_tokens": answer.output_tokens},
            })),
            named(&json!({"type": "message_stop"})),
        ]
    }
}

/// A message without content.
fn message(answer: &Answer, output_tokens: u64) -> Value {
    json!({
        "id": format!("msg_{}", answer.index),
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
        "usage": {
            "input_tokens": answer.input_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": output_tokens,
        },
    })
}

fn stop_reason(answer: &Answer) -> &'static str {
    if answer.truncated {
        "max_tokens"
    } else {
        "end_turn"
    }
}
