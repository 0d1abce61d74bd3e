use serde_json::Value;

use super::Output;

/// Characters to a token, about right for English.
const CHARS_PER_TOKEN: u64 = 4;

/// The tokens of some contents together: a quarter of their characters, rounded up.
pub(super) fn tokens<'a>(contents: impl IntoIterator<Item = &'a Value>) -> u64 {
    contents
        .into_iter()
        .map(characters)
        .sum::<u64>()
        .div_ceil(CHARS_PER_TOKEN)
}

/// The characters of a content: of a text, or of the texts in its parts, however deep.
///
/// What is no text (images, audio, calls of tools) has none.
fn characters(content: &Value) -> u64 {
    match content {
        Value::String(text) => text.chars().count() as u64,
        Value::Array(parts) => parts.iter().map(characters).sum(),
        Value::Object(part) => ["text", "content"]
            .iter()
            .filter_map(|field| part.get(*field))
            .map(characters)
            .sum(),
        _ => 0,
    }
}

pub(super) fn model(body: &Value) -> Result<String, String> {
    match body.get("model").and_then(Value::as_str) {
        Some(model) => Ok(model.to_owned()),
        None => Err("you must provide a model parameter".to_owned()),
    }
}

/// A required list of messages.
pub(super) fn messages(body: &Value) -> Result<&Value, String> {
    body.get("messages")
        .filter(|messages| messages.as_array().is_some_and(|list| !list.is_empty()))
        .ok_or_else(|| "'messages' must be a list with at least one message".to_owned())
}

/// The first of these fields that caps the answer.
pub(super) fn cap(body: &Value, fields: &[&str]) -> Result<Output, String> {
    let found = fields
        .iter()
        .filter_map(|field| Some((field, body.get(*field).filter(|cap| !cap.is_null())?)))
        .next();
    match found {
        None => Ok(Output::Unlimited),
        Some((field, cap)) => cap
            .as_u64()
            .filter(|&cap| cap > 0)
            .map(Output::AtMost)
            .ok_or_else(|| format!("'{field}' must be an integer of at least 1")),
    }
}

pub(super) fn flag(value: &Value) -> bool {
    value.as_bool().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tokens_are_a_quarter_of_all_characters_rounded_up() {
        let text = json!("12345");
        let parts = json!([
            {"role": "user", "content": [
                {"type": "text", "text": "äöü"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            ]},
        ]);

        assert_eq!(tokens([&text]), 2);
        assert_eq!(tokens([&text, &parts]), 2);
        assert_eq!(tokens([&text, &parts, &text]), 4);
        assert_eq!(tokens([]), 0);
    }

    #[test]
    fn a_cap_is_the_first_field_that_is_set() {
        let body = json!({"a": null, "b": 7, "c": 9, "zero": 0});

        assert_eq!(cap(&body, &["a", "b", "c"]), Ok(Output::AtMost(7)));
        assert_eq!(cap(&body, &["a", "x"]), Ok(Output::Unlimited));
        assert!(cap(&body, &["zero"]).is_err());
    }
}
