use bytes::Bytes;
use serde_json::{Value, json};

use super::{Answer, Endpoint, Prompt, Stream, filler, named, prompt};

/// `/v1/responses`
pub(super) struct Responses;

/// Events before the first token, from which the sequence numbers of the tokens follow.
const OPENING_EVENTS: u64 = 4;

impl Endpoint for Responses {
    fn read(&self, body: &Value) -> Result<Prompt, String> {
        let input = body
            .get("input")
            .filter(|input| input.is_string() || input.is_array())
            .ok_or("'input' must be a text or a list of items")?;
        Ok(Prompt {
            model: prompt::model(body)?,
            input_tokens: prompt::tokens([&body["instructions"], input]),
            output: prompt::cap(body, &["max_output_tokens"])?,
            inputs: 1,
            stream: prompt::flag(&body["stream"]),
            include_usage: true,
        })
    }

    fn whole(&self, answer: &Answer) -> Value {
        response(answer, State::Final)
    }

    fn stream(&self) -> Option<&'static dyn Stream> {
        Some(&Self)
    }
}

impl Stream for Responses {
    fn opening(&self, answer: &Answer) -> Vec<Bytes> {
        let begun = response(answer, State::InProgress);
        numbered(
            0,
            [
                json!({"type": "response.created", "response": begun}),
                json!({"type": "response.in_progress", "response": begun}),
                json!({
                    "type": "response.output_item.added",
                    "output_index": 0,
                    "item": message(answer, State::InProgress),
                }),
                json!({
                    "type": "response.content_part.added",
                    "item_id": message_id(answer),
                    "output_index": 0,
                    "content_index": 0,
                    "part": text_part(String::new()),
                }),
            ],
        )
    }

    fn token(&self, answer: &Answer, token: u64) -> Bytes {
        named(&json!({
            "type": "response.output_text.delta",
            "sequence_number": OPENING_EVENTS.saturating_add(token),
            "item_id": message_id(answer),
            "output_index": 0,
            "content_index": 0,
            "delta": filler::word(token),
        }))
    }

    fn closing(&self, answer: &Answer) -> Vec<Bytes> {
        numbered(
            OPENING_EVENTS.saturating_add(answer.output_tokens),
            [
                json!({
                    "type": "response.output_text.done",
                    "item_id": message_id(answer),
                    "output_index": 0,
                    "content_index": 0,
                    "text": answer.text(),
                }),
                json!({
                    "type": "response.content_part.done",
                    "item_id": message_id(answer),
                    "output_index": 0,
                    "content_index": 0,
                    "part": text_part(answer.text()),
                }),
                json!({
                    "type": "response.output_item.done",
                    "output_index": 0,
                    "item": message(answer, State::Final),
                }),
                json!({
                    "type": format!("response.{}", status(answer, State::Final)),
                    "response": response(answer, State::Final),
                }),
            ],
        )
    }
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    InProgress,
    Final,
}

fn numbered<const N: usize>(first: u64, events: [Value; N]) -> Vec<Bytes> {
    (first..)
        .zip(events)
        .map(|(number, mut event)| {
            event["sequence_number"] = number.into();
            named(&event)
        })
        .collect()
}

fn response(answer: &Answer, state: State) -> Value {
    let (output, usage) = match state {
        State::InProgress => (json!([]), Value::Null),
        State::Final => (json!([message(answer, state)]), usage(answer)),
    };
    let incomplete_details = match status(answer, state) {
        "incomplete" => json!({"reason": "max_output_tokens"}),
        _ => Value::Null,
    };
    json!({
        "id": format!("resp_{}", answer.index),
        "object": "response",
        "created_at": answer.created,
        "status": status(answer, state),
        "error": null,
        "incomplete_details": incomplete_details,
        "model": answer.model,
        "output": output,
        "parallel_tool_calls": true,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage,
        "metadata": {},
    })
}

fn message(answer: &Answer, state: State) -> Value {
    json!({
        "id": message_id(answer),
        "type": "message",
        "status": status(answer, state),
        "role": "assistant",
        "content": match state {
            State::InProgress => json!([]),
            State::Final => json!([text_part(answer.text())]),
        },
    })
}

fn text_part(text: String) -> Value {
    json!({"type": "output_text", "text": text, "annotations": []})
}

fn message_id(answer: &Answer) -> String {
    format!("msg_{}", answer.index)
}

fn status(answer: &Answer, state: State) -> &'static str {
    match state {
        State::InProgress => "in_progress",
        State::Final if answer.truncated => "incomplete",
        State::Final => "completed",
    }
}

fn usage(answer: &Answer) -> Value {
    json!({
        "input_tokens": answer.input_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": answer.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": answer.total_tokens(),
    })
}
