use serde_json::{Value, json};

use super::{Answer, Endpoint, Output, Prompt, prompt};

/// `/v1/embeddings`
pub(super) struct Embeddings;

/// Short: nobody computes with them.
const EMBEDDING: [f64; 4] = [0.5, -0.5, 0.5, -0.5];

impl Endpoint for Embeddings {
    fn read(&self, body: &Value) -> Result<Prompt, String> {
        let (inputs, input_tokens) = read_input(&body["input"])
            .ok_or("'input' must be a text, a list of texts, or token ids")?;
        Ok(Prompt {
            model: prompt::model(body)?,
            input_tokens,
            output: Output::None,
            inputs,
            stream: false,
            include_usage: true,
        })
    }

    fn whole(&self, answer: &Answer) -> Value {
        let data: Vec<_> = (0..answer.inputs)
            .map(|index| json!({"object": "embedding", "index": index, "embedding": EMBEDDING}))
            .collect();
        json!({
            "object": "list",
            "data": data,
            "model": answer.model,
            "usage": {
                "prompt_tokens": answer.input_tokens,
                "total_tokens": answer.input_tokens,
            },
        })
    }
}

/// How many inputs there are, and their tokens.
fn read_input(input: &Value) -> Option<(usize, u64)> {
    match input {
        Value::String(_) => Some((1, prompt::tokens([input]))),
        Value::Array(list) if list.is_empty() => None,
        Value::Array(list) if list.iter().all(Value::is_number) => Some((1, list.len() as u64)),
        Value::Array(list) if list.iter().all(Value::is_string) => {
            Some((list.len(), prompt::tokens(list)))
        }
        Value::Array(list) => {
            let ids = list.iter().map(|ids| ids.as_array().map(Vec::len));
            let tokens = ids.sum::<Option<usize>>()?;
            Some((list.len(), tokens as u64))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_estimated_and_ids_counted() {
        assert_eq!(read_input(&json!("12345")), Some((1, 2)));
        assert_eq!(read_input(&json!(["1234", "12345"])), Some((2, 3)));
        assert_eq!(read_input(&json!([1, 2, 3])), Some((1, 3)));
        assert_eq!(read_input(&json!([[1, 2, 3], [4]])), Some((2, 4)));
        assert_eq!(read_input(&json!([])), None);
        assert_eq!(read_input(&json!([{"text": "a"}])), None);
        assert_eq!(read_input(&json!(null)), None);
    }
}
