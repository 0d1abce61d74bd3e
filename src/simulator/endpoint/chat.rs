use bytes::Bytes;
use serde_json::{Value, json};

use super::{Answer, Endpoint, Prompt, Stream, data, filler, prompt};

/// `/v1/chat/completions`
pub(super) struct Chat;

impl Endpoint for Chat {
    fn read(&self, body: &Value) -> Result<Prompt, String> {
        Ok(Prompt {
            model: prompt::model(body)?,
            input_tokens: prompt::tokens([prompt::messages(body)?]),
            output: prompt::cap(body, &["max_completion_tokens", "max_tokens"])?,
            inputs: 1,
            stream: prompt::flag(&body["stream"]),
            include_usage: prompt::flag(&body["stream_options"]["include_usage"]),
        })
    }

    fn whole(&self, answer: &Answer) -> Value {
        json!({
            "id": id(answer),
            "object": "chat.completion",
            "created": answer.created,
            "model": answer.model,
            "choices": [{
                "index": 0,
                "message": {"role": "assistant", "content": answer.text(), "refusal": null},
                "logprobs": null,
                "finish_reason": finish_reason(answer),
            }],
            "usage": usage(answer),
        })
    }

    fn stream(&self) -> Option<&'static dyn Stream> {
        Some(&Self)
    }
}

impl Stream for Chat {
    fn opening(&self, answer: &Answer) -> Vec<Bytes> {
        let delta = json!({"role": "assistant", "content": ""});
        vec![data(&chunk(answer, delta, Value::Null))]
    }

    fn token(&self, answer: &Answer, token: u64) -> Bytes {
        let delta = json!({"content": filler::word(token)});
        data(&chunk(answer, delta, Value::Null))
    }

    fn closing(&self, answer: &Answer) -> Vec<Bytes> {
        let last = chunk(answer, json!({}), finish_reason(answer).into());
        let mut events = vec![data(&last)];
        if answer.include_usage {
            let mut with_usage = chunk(answer, Value::Null, Value::Null);
            with_usage["choices"] = json!([]);
            with_usage["usage"] = usage(answer);
            events.push(data(&with_usage));
        }
        events.push(Bytes::from_static(b"data: [DONE]\n\n"));
        events
    }
}

fn chunk(answer: &Answer, delta: Value, finish_reason: Value) -> Value {
    let mut chunk = json!({
        "id": id(answer),
        "object": "chat.completion.chunk",
        "created": answer.created,
        "model": answer.model,
        "choices": [{
            "index": 0,
            "delta": delta,
            "logprobs": null,
            "finish_reason": finish_reason,
        }],
    });
    if answer.include_usage {
        chunk["usage"] = Value::Null;
    }
    chunk
}

fn id(answer: &Answer) -> String {
    format!("chatcmpl-{}", answer.index)
}

fn finish_reason(answer: &Answer) -> &'static str {
    if answer.truncated { "length" } else { "stop" }
}

fn usage(answer: &Answer) -> Value {
    json!({
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answer.total_tokens(),
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    })
}
