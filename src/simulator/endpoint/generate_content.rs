use bytes::Bytes;
use serde_json::{Value, json};

use super::{Answer, Endpoint, ErrorShape, Prompt, Stream, data, filler, prompt};

/// `/v1beta/models/{model}:generateContent` and `:streamGenerateContent`, in the shape of Gemini.
pub(super) struct GenerateContent {
    pub(super) stream: bool,
}

impl Endpoint for GenerateContent {
    fn read(&self, body: &Value) -> Result<Prompt, String> {
        let contents = body["contents"].as_array().map_or(&[][..], Vec::as_slice);
        if contents.is_empty() {
            return Err("* GenerateContentRequest.contents: contents is not specified".to_owned());
        }
        let instruction = &body["systemInstruction"];
        let parts = contents
            .iter()
            .chain([instruction])
            .map(|content| &content["parts"]);
        Ok(Prompt {
            model: prompt::model(body)?,
            input_tokens: prompt::tokens(parts),
            output: prompt::cap(&body["generationConfig"], &["maxOutputTokens"])?,
            inputs: 1,
            stream: self.stream,
            include_usage: true,
        })
    }

    fn whole(&self, answer: &Answer) -> Value {
        response(
            answer,
            &answer.text(),
            answer.output_tokens,
            Some(finish_reason(answer)),
        )
    }

    fn stream(&self) -> Option<&'static dyn Stream> {
        Some(&Chunks)
    }

    fn errors(&self) -> ErrorShape {
        ErrorShape::Gemini
    }
}

/// The events of a stream: usage adds up over them, and the last has the reason to finish.
struct Chunks;

impl Stream for Chunks {
    fn opening(&self, _answer: &Answer) -> Vec<Bytes> {
        Vec::new()
    }

    fn token(&self, answer: &Answer, token: u64) -> Bytes {
        data(&response(answer, filler::word(token), token + 1, None))
    }

    fn closing(&self, answer: &Answer) -> Vec<Bytes> {
        let reason = Some(finish_reason(answer));
        vec![data(&response(answer, "", answer.output_tokens, reason))]
    }
}

fn response(
    answer: &Answer,
    text: &str,
    output_tokens: u64,
    finish_reason: Option<&'static str>,
) -> Value {
    let mut candidate = json!({
        "content": {"role": "model", "parts": [{"text": text}]},
        "index": 0,
    });
    if let Some(reason) = finish_reason {
        candidate["finishReason"] = reason.into();
    }
    json!({
        "candidates": [candidate],
        "usageMetadata": {
            "promptTokenCount": answer.input_tokens,
            "candidatesTokenCount": output_tokens,
            "totalTokenCount": answer.input_tokens.saturating_add(output_tokens),
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": answer.input_tokens}],
        },
        "modelVersion": answer.model,
        "responseId": format!("r{}", answer.index),
    })
}

fn finish_reason(answer: &Answer) -> &'static str {
    if answer.truncated {
        "MAX_TOKENS"
    } else {
        "STOP"
    }
}
