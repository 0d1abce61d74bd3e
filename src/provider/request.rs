use super::request_path::REQUEST_PATHS;
use super::{Endpoint, RequestField, RequestPath, TokenEstimate};
use crate::schedule::Cost;
use crate::tier::Charge;
use crate::usage::json::{PathReader, Progress, Value, Visitor};

/// Longer strings at a path are not a model's name.
const LONGEST_TEXT: usize = 128;

/// What an inlined image counts at most, in bytes of text. At four bytes each that is 2,048 tokens:
/// 1.5 megapixels by Anthropic's width × height / 750, eleven tiles by OpenAI's 85 + 170 for each
/// (both from client code, read 2026-11-23).
const LARGEST_IMAGE: u64 = 8 * 1024;

/// What a string counts at least, in bytes of text: no piece of a prompt is less than a token.
const LEAST_STRING: u64 = 4;

/// What a provider's tokenizer puts around a prompt: roles, separators, the start of the answer.
const FRAME_TOKENS: u64 = 16;

/// What a request's price depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestFacts {
    /// What the request asks the provider to do.
    pub endpoint: Endpoint,
    /// The model, if the URL or the body names it.
    pub model: Option<String>,
    /// The request's own cap on generated tokens, for each choice.
    pub max_output_tokens: Option<u64>,
    /// How many answers are generated. At least 1.
    pub choices: u64,
    /// Bytes of text that a tokenizer may see, as written in the body.
    ///
    /// These are the contents of all strings with the keys of objects, for tool schemas are read
    /// with theirs, and numbers inside arrays and nested objects, for a prompt may be a list of
    /// token ids. Escapes and characters beyond ASCII count more than once, on purpose: they also
    /// take more tokens. A string that begins like a base64 `data:` URL counts at most 8 KiB, so that
    /// an image is not priced as megabytes of text; the price of a long document sent that way
    /// needs a [`TokenEstimate`].
    pub text_bytes: u64,
    /// Generated tokens to assume for each choice when the request sets no cap.
    pub assumed_output_tokens: u64,
    /// What the caller knows about the request. It wins over everything above.
    pub estimate: Option<TokenEstimate>,
}

impl Default for RequestFacts {
    /// A request to generate something, of which nothing is known.
    fn default() -> Self {
        Self {
            endpoint: Endpoint::Generation,
            model: None,
            max_output_tokens: None,
            choices: 1,
            text_bytes: 0,
            assumed_output_tokens: 0,
            estimate: None,
        }
    }
}

impl RequestFacts {
    /// Reads the facts out of a JSON body, at the places where the requests of all providers name
    /// them.
    ///
    /// Of a body that is not one whole JSON document, every byte counts as text and nothing else
    /// is known.
    ///
    /// ```
    /// use proactive_rate_limit::provider::RequestFacts;
    ///
    /// let facts = RequestFacts::from_json(br#"{"model":"gpt-6-sol","n":2,"max_tokens":100}"#);
    /// assert_eq!(facts.model.as_deref(), Some("gpt-6-sol"));
    /// assert_eq!((facts.choices, facts.max_output_tokens), (2, Some(100)));
    /// ```
    pub fn from_json(body: &[u8]) -> Self {
        Self::read(&REQUEST_PATHS, body)
    }

    /// As [`from_json`](Self::from_json), at the places that `paths` name.
    pub fn read(paths: &'static [RequestPath], body: &[u8]) -> Self {
        let mut reader = PathReader::<_, LONGEST_TEXT>::new(paths);
        let mut facts = Self::default();
        reader.feed(body, &mut facts);
        match reader.progress() {
            Progress::Complete => facts,
            _ => Self::of_length(body.len() as u64),
        }
    }

    /// The facts of a request of which only the length of its body is known, in bytes.
    pub fn of_length(text_bytes: u64) -> Self {
        Self {
            text_bytes,
            ..Self::default()
        }
    }

    /// What to reserve for this request: one request, its input, its output, and the sum of both as
    /// its tokens.
    ///
    /// Input is estimated as a quarter of the text's bytes under [`Charge::Reserved`], as providers
    /// that count by characters do themselves. Under [`Charge::Actual`] it is half of them, a bound for
    /// all but the densest text: a quarter was measured at 0.51 of the truth on JSON full of numbers
    /// (with o200k_base, 2026-11-23), and what is too much comes back when the request settles.
    /// Output is the cap, or what is assumed without one, for each choice.
    pub fn cost(&self, charge: Charge) -> Cost {
        let (input, output) = match self.estimate {
            Some(estimate) => (estimate.input, estimate.output),
            None => (self.input(charge), self.output()),
        };
        Cost::request()
            .with_input_tokens(input)
            .with_output_tokens(output)
            .with_tokens(input.saturating_add(output))
    }

    fn input(&self, charge: Charge) -> u64 {
        let (bytes_per_token, frame) = match charge {
            Charge::Reserved => (4, 0),
            Charge::Actual => (2, FRAME_TOKENS),
        };
        match self.endpoint {
            Endpoint::Generation | Endpoint::Embeddings => self
                .text_bytes
                .div_ceil(bytes_per_token)
                .saturating_add(frame),
            Endpoint::Lookup => 0,
        }
    }

    fn output(&self) -> u64 {
        match self.endpoint {
            Endpoint::Generation => self
                .max_output_tokens
                .unwrap_or(self.assumed_output_tokens)
                .saturating_mul(self.choices.max(1)),
            Endpoint::Embeddings | Endpoint::Lookup => 0,
        }
    }
}

impl Visitor<RequestPath> for RequestFacts {
    const SIZES: bool = true;

    fn value(&mut self, at: &'static RequestPath, value: Value<'_>) {
        match (at.field(), value) {
            (RequestField::Model, Value::Text(model)) => self.model = Some(model.to_owned()),
            (RequestField::MaxOutput, Value::Count(tokens)) => {
                self.max_output_tokens = self.max_output_tokens.max(Some(tokens));
            }
            (RequestField::Choices, Value::Count(choices)) => {
                self.choices = self.choices.max(choices);
            }
            _ => {}
        }
    }

    fn string(&mut self, length: u64, beginning: &[u8]) {
        let counted = if is_data_url(beginning) {
            length.min(LARGEST_IMAGE)
        } else {
            length
        };
        self.text_bytes = self.text_bytes.saturating_add(counted.max(LEAST_STRING));
    }

    fn bare(&mut self, bytes: &[u8]) {
        let text = bytes.iter().map(|byte| match byte {
            b'0'..=b'9' => 1,
            // A list of token ids has one token for each, however few its digits.
            b',' => LEAST_STRING,
            _ => 0,
        });
        self.text_bytes = self.text_bytes.saturating_add(text.sum());
    }
}

/// Whether a string begins like `data:image/png;base64,`. Prose may begin with `data:` as well.
fn is_data_url(beginning: &[u8]) -> bool {
    const BASE64: &[u8] = b";base64,";

    beginning.starts_with(b"data:")
        && beginning
            .windows(BASE64.len())
            .take_while(|window| !window[0].is_ascii_whitespace())
            .any(|window| window == BASE64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(json: &str) -> RequestFacts {
        RequestFacts::from_json(json.as_bytes())
    }

    #[test]
    fn reads_what_the_tables_name_and_nothing_deeper() {
        let facts = facts(
            r#"{"model":"m","max_tokens":10,"max_completion_tokens":30,"max_output_tokens":20,
                "n":2,"best_of":3,"tools":[{"n":9,"max_tokens":99}],
                "metadata":{"model":"x","n":8,"max_tokens":999,"text":"\"n\":7"}}"#,
        );
        assert_eq!(facts.model.as_deref(), Some("m"));
        assert_eq!(facts.max_output_tokens, Some(30));
        assert_eq!(facts.choices, 3);
    }

    #[test]
    fn odd_values_leave_the_defaults() {
        let facts = facts(r#"{"model":5,"max_tokens":"many","max_output_tokens":null,"n":0}"#);
        assert_eq!(facts.model, None);
        assert_eq!(facts.max_output_tokens, None);
        assert_eq!(facts.choices, 1);
    }

    #[test]
    fn counts_what_a_tokenizer_may_see() {
        // Every string counts four bytes at least, and every comma in a list.
        let cases = [
            (r#"{}"#, 0),
            (r#"{"ab":"cde"}"#, 4 + 4),
            (r#"{"prompt":"twelve bytes"}"#, 6 + 12),
            (r#"{"a":[{"b":"cd"},"e"]}"#, 4 * 4 + 4),
            (r#"{"a":"éàü"}"#, 4 + 6),
            (r#"{"a":"\n\n\n"}"#, 4 + 6),
            (r#"{"a":"\u00e9"}"#, 4 + 6),
            (r#"{"input":[1212,318]}"#, 5 + 7 + 4),
            (r#"[ "ab" , "c" ]"#, 4 + 4 + 4),
        ];
        for (json, expected) in cases {
            assert_eq!(facts(json).text_bytes, expected, "{json}");
        }
    }

    #[test]
    fn images_are_not_text() {
        let payload = "A".repeat(3_000_000);
        let image = format!(r#"{{"url":"data:image/png;base64,{payload}"}}"#);
        assert_eq!(facts(&image).text_bytes, 4 + LARGEST_IMAGE);
        let small = r#"{"url":"data:image/png;base64,AAAA"}"#;
        assert_eq!(facts(small).text_bytes, 4 + 26);
        for prose in ["data: ;base64,", "data:", "xdata:image/png;base64,"] {
            let json = format!(r#"{{"url":"{prose}{payload}"}}"#);
            assert!(facts(&json).text_bytes > 3_000_000, "{prose}");
        }
    }

    #[test]
    fn a_body_that_is_not_json_is_all_text() {
        for body in ["--boundary\r\n", r#"{"max_tokens":5"#, r#"{"n":3} {}"#, ""] {
            assert_eq!(facts(body), RequestFacts::of_length(body.len() as u64));
        }
    }

    #[test]
    fn prices_by_the_rule_of_the_charge() {
        let facts = RequestFacts {
            text_bytes: 1_001,
            max_output_tokens: Some(100),
            choices: 3,
            ..RequestFacts::default()
        };
        let reserved = facts.cost(Charge::Reserved);
        assert_eq!(reserved.input_tokens, 251);
        assert_eq!(reserved.output_tokens, 300);
        assert_eq!(reserved.tokens, 551);
        assert_eq!(facts.cost(Charge::Actual).input_tokens, 501 + FRAME_TOKENS);
    }

    #[test]
    fn without_a_cap_the_assumption_counts() {
        let facts = RequestFacts {
            assumed_output_tokens: 50,
            choices: 2,
            ..RequestFacts::default()
        };
        assert_eq!(facts.cost(Charge::Actual).output_tokens, 100);
    }

    #[test]
    fn an_estimate_wins() {
        let facts = RequestFacts {
            text_bytes: 1_000,
            max_output_tokens: Some(100),
            choices: 3,
            estimate: Some(TokenEstimate::new(7, 5)),
            ..RequestFacts::default()
        };
        let expected = Cost::request()
            .with_input_tokens(7)
            .with_output_tokens(5)
            .with_tokens(12);
        assert_eq!(facts.cost(Charge::Actual), expected);
    }

    #[test]
    fn nothing_overflows() {
        let facts = RequestFacts {
            text_bytes: u64::MAX,
            max_output_tokens: Some(u64::MAX),
            choices: u64::MAX,
            ..RequestFacts::default()
        };
        assert_eq!(facts.cost(Charge::Actual).tokens, u64::MAX);
    }

    #[test]
    fn a_lookup_costs_no_tokens() {
        let facts = RequestFacts {
            endpoint: Endpoint::Lookup,
            text_bytes: 100,
            assumed_output_tokens: 9,
            ..RequestFacts::default()
        };
        assert_eq!(facts.cost(Charge::Actual), Cost::request());
    }
}
