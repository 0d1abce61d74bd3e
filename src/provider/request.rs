mod image;
mod media;
mod text;

pub use self::image::{ImageSize, ImageTokens};
use self::media::{Inlined, Place};
use super::request_path::REQUEST_PATHS;
use super::tokenizer::Tokenizer;
use super::{Endpoint, RequestField, RequestPath, TokenEstimate};
use crate::schedule::Cost;
use crate::tier::Charge;
use crate::usage::json::{self, PathReader, Progress, Value, Visitor};

/// Longer strings at a path are not a model's name.
const LONGEST_TEXT: usize = 128;

/// What an inlined document or recording is taken for at least, in tokens: some pages, two minutes.
const FILE_TOKENS: u64 = 4 * 1024;

/// Bytes of a large one, in base64, for each token: six minutes of MP3 are 15,000.
const FILE_BYTES: u64 = 512;

/// What a string counts at least, in bytes of text: no piece of a prompt is less than a token.
const LEAST_STRING: u64 = 4;

/// Bytes of what a provider sealed for each token in it. Base64 makes 4 bytes of 3, and a token of
/// thoughts has more than 3 (an assumption: nobody but the provider can look).
const SEALED_BYTES: u64 = 4;

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
    /// take more tokens. Images and files that are inlined as base64 are not text.
    pub text_bytes: u64,
    /// The most tokens that a tokenizer may make of that text, or, if one was asked, those that it
    /// did make. `None`: nobody saw the text, and half its bytes are assumed.
    ///
    /// It is a bound by what kinds of bytes meet, for prose, code, JSON, base64 and most languages;
    /// how far it is off, and for which text it is too low, is printed by `cargo test --test tokens
    /// -- --nocapture`.
    pub text_tokens: Option<u64>,
    /// The images in the request, inlined or named, with their sizes where these are known: with the
    /// feature `images` those of inlined ones are read.
    pub images: Vec<Option<ImageSize>>,
    /// Tokens of other files inlined in the request: documents, recordings. Each is taken for 4,096, or
    /// one for every 512 bytes in base64; a document with much text on its pages needs a
    /// [`TokenEstimate`], as does what the provider fetches or has kept: files, caches and conversations
    /// that a request only names.
    pub file_tokens: u64,
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
            text_tokens: None,
            images: Vec::new(),
            file_tokens: 0,
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
        Prompt::read(paths, body, text::bound).unwrap_or_else(|| Self::of_length(body.len() as u64))
    }

    /// The model that `body` names, and nothing else.
    pub(crate) fn model_in(paths: &'static [RequestPath], body: &[u8]) -> Option<String> {
        /// Whose strings are not looked at.
        #[derive(Default)]
        struct Model(Option<String>);

        impl Visitor<RequestPath> for Model {
            fn value(&mut self, at: &'static RequestPath, value: Value<'_>) {
                if let (RequestField::Model, Value::Text(model)) = (at.field(), value) {
                    self.0 = Some(model.to_owned());
                }
            }
        }

        let mut model = Model::default();
        let mut reader = PathReader::<_, LONGEST_TEXT>::new(paths);
        reader.feed(body, &mut model);
        model.0.filter(|_| reader.progress() == Progress::Complete)
    }

    /// Counts the tokens of the text in `body`, from which these facts were read, by `tokenizer`, if
    /// it knows the model.
    pub(crate) fn count_by(&mut self, tokenizer: &dyn Tokenizer, body: &[u8]) {
        let Some(model) = self.model.as_deref().filter(|model| tokenizer.knows(model)) else {
            return;
        };
        let count = |written: &[u8]| match json::unescape(written) {
            Some(text) => tokenizer.count(model, &text).saturating_mul(text::TOKEN),
            None => text::bound(written),
        };
        if let Some(counted) = Prompt::read(&[], body, count) {
            self.text_tokens = counted.text_tokens;
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
    /// The text of the input is estimated as a quarter of its bytes under [`Charge::Reserved`], as
    /// providers that count by characters do themselves. Under [`Charge::Actual`] it is
    /// [`text_tokens`](Self::text_tokens), which is mostly too much; that comes back when the request
    /// settles. Images are by the rule of `images`. Output is the cap, or what is assumed without one,
    /// for each choice.
    pub fn cost(&self, charge: Charge, images: ImageTokens) -> Cost {
        let (input, output) = match self.estimate {
            Some(estimate) => (estimate.input, estimate.output),
            None => (self.input(charge, images), self.output()),
        };
        Cost::request()
            .with_input_tokens(input)
            .with_output_tokens(output)
            .with_tokens(input.saturating_add(output))
    }

    fn input(&self, charge: Charge, images: ImageTokens) -> u64 {
        let text = match (self.endpoint, charge) {
            (Endpoint::Lookup, _) => return 0,
            (_, Charge::Reserved) => self.text_bytes.div_ceil(4),
            (_, Charge::Actual) => self
                .text_tokens
                .unwrap_or(self.text_bytes.div_ceil(2))
                .saturating_add(FRAME_TOKENS),
        };
        let images = self.images.iter().map(|size| images.of(*size));
        images.fold(text.saturating_add(self.file_tokens), u64::saturating_add)
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

/// A request's body while it is read. `C` tells how many tokens a string takes, in shares of one.
struct Prompt<C> {
    facts: RequestFacts,
    count: C,
    shares: u64,
    /// Of the coming string.
    place: Place,
    /// What is inlined in the current string.
    inlined: Option<Inlined>,
    /// Parts that are images, whether inlined or only named.
    image_parts: usize,
    /// The data of the current part is sealed.
    is_sealed: bool,
}

impl<C: FnMut(&[u8]) -> u64> Prompt<C> {
    /// `None` if `body` is not one whole JSON document.
    fn read(paths: &'static [RequestPath], body: &[u8], count: C) -> Option<RequestFacts> {
        let mut prompt = Self {
            facts: RequestFacts::default(),
            count,
            shares: 0,
            place: Place::default(),
            inlined: None,
            image_parts: 0,
            is_sealed: false,
        };
        // In one piece, so that every string comes in one, too.
        let mut reader = PathReader::<_, LONGEST_TEXT>::new(paths);
        reader.feed(body, &mut prompt);
        (reader.progress() == Progress::Complete).then(|| prompt.finish())
    }

    fn finish(mut self) -> RequestFacts {
        let images = &mut self.facts.images;
        images.resize(images.len().max(self.image_parts), None);
        self.facts.text_tokens = Some(self.shares.div_ceil(text::TOKEN));
        self.facts
    }

    fn add_text(&mut self, bytes: u64, shares: u64) {
        self.facts.text_bytes = self.facts.text_bytes.saturating_add(bytes);
        self.shares = self.shares.saturating_add(shares);
    }
}

impl<C: FnMut(&[u8]) -> u64> Visitor<RequestPath> for Prompt<C> {
    const SIZES: bool = true;

    fn value(&mut self, at: &'static RequestPath, value: Value<'_>) {
        let facts = &mut self.facts;
        match (at.field(), value) {
            (RequestField::Model, Value::Text(model)) => facts.model = Some(model.to_owned()),
            (RequestField::MaxOutput, Value::Count(tokens)) => {
                facts.max_output_tokens = facts.max_output_tokens.max(Some(tokens));
            }
            (RequestField::Choices, Value::Count(choices)) => {
                facts.choices = facts.choices.max(choices);
            }
            _ => {}
        }
    }

    fn text(&mut self, _at: Option<&'static RequestPath>, written: &[u8]) {
        if self.place == Place::Payload && self.is_sealed {
            self.place = Place::Sealed;
        }
        self.inlined = self.place.inlined(written);
        if self.inlined.is_some() {
            return;
        }
        let shares = match self.place {
            Place::Sealed => text::TOKEN * (written.len() as u64).div_ceil(SEALED_BYTES),
            _ => (self.count)(written),
        };
        self.add_text(0, shares);
    }

    fn string(&mut self, length: u64, beginning: &[u8]) {
        if self.place == Place::Kind {
            self.image_parts += usize::from(media::is_image_kind(beginning));
            self.is_sealed = media::is_sealed_kind(beginning);
        }
        match self.inlined.take() {
            Some(inlined) => {
                match inlined {
                    Inlined::Image(size) => self.facts.images.push(size),
                    Inlined::File(bytes) => {
                        let tokens = FILE_TOKENS.max(bytes.div_ceil(FILE_BYTES));
                        let all = &mut self.facts.file_tokens;
                        *all = all.saturating_add(tokens);
                    }
                }
                // What follows in a list of them is one more.
                self.place = Place::Payload;
            }
            None => {
                // The quotes around it, or what takes their place.
                self.add_text(length.max(LEAST_STRING), text::TOKEN);
                self.place = Place::after(beginning);
            }
        }
    }

    fn bare(&mut self, bytes: &[u8]) {
        let text = bytes.iter().map(|byte| match byte {
            b'0'..=b'9' => 1,
            // A list of token ids has one token for each, however few its digits.
            b',' => LEAST_STRING,
            _ => 0,
        });
        self.add_text(text.sum(), text::bound_of_bare(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGES: ImageTokens = ImageTokens::each(1_000);

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
    fn bounds_the_tokens_of_every_string() {
        let cases = [
            (r#"{}"#, 0),
            // A token for the quotes of each, and what is between them.
            (r#"{"a":""}"#, 2 + 1),
            (r#"{"a":"b c d"}"#, 2 + 4),
            (r#"{"a":["b","c"]}"#, 2 + 2 + 2 + 1),
        ];
        for (json, expected) in cases {
            assert_eq!(facts(json).text_tokens, Some(expected), "{json}");
        }
        let sealed = format!(r#"{{"signature":"{}"}}"#, "Ab1/".repeat(100));
        let open = sealed.replace("signature", "sincerity");
        assert!(facts(&sealed).text_tokens < facts(&open).text_tokens);
    }

    const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";

    fn image() -> Option<ImageSize> {
        cfg!(feature = "images").then_some(ImageSize::new(1, 1))
    }

    #[test]
    fn images_are_not_text() {
        let shapes = [
            // OpenAI's chat, and its responses.
            r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,PIXEL"}}"#,
            r#"{"type":"input_image","image_url":"data:image/png;base64,PIXEL"}"#,
            // Anthropic.
            r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"PIXEL"}}"#,
            // Gemini.
            r#"{"inlineData":{"mimeType":"image/png","data":"PIXEL"}}"#,
            // Bedrock.
            r#"{"image":{"format":"png","source":{"bytes":"PIXEL"}}}"#,
            // Ollama.
            r#"{"role":"user","content":"What is it?","images":["PIXEL"]}"#,
        ];
        let large = PIXEL.to_owned() + &"A".repeat(3_000_000);
        for shape in shapes {
            let json = shape.replace("PIXEL", &large);
            let found = facts(&json);
            assert_eq!(found.images, [image()], "{shape}");
            assert_eq!(found.file_tokens, 0, "{shape}");
            assert!(found.text_bytes < 200, "{shape}");
            assert!(found.text_tokens < Some(60), "{shape}");
        }
        let both = shapes[5].replace(r#""PIXEL""#, &format!(r#""{PIXEL}","{PIXEL}""#));
        assert_eq!(facts(&both).images, [image(), image()]);
        let text =
            r#"{"type":"text","text":"data:image/png;base64,PIXEL"}"#.replace("PIXEL", &large);
        assert!(facts(&text).text_bytes > 3_000_000);
        assert_eq!(facts(&text).images, []);
    }

    #[test]
    fn images_may_only_be_named() {
        let url = r#"{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}"#;
        let claude =
            r#"{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}}"#;
        let inlined = format!(
            r#"{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{PIXEL}"}}}}"#
        );
        assert_eq!(facts(url).images, [None]);
        assert_eq!(facts(claude).images, [None]);
        let mixed = facts(&format!("[{url},{inlined},{claude}]"));
        assert_eq!(mixed.images, [image(), None, None]);
        assert_eq!(
            mixed
                .cost(Charge::Actual, ImageTokens::each(7))
                .input_tokens,
            mixed.text_tokens.unwrap() + FRAME_TOKENS + 21
        );
    }

    #[test]
    fn files_count_as_such() {
        let payload = "JVBERi0xLjcK".repeat(10_000);
        let pdf = format!(
            r#"{{"type":"document","source":{{"type":"base64","media_type":"application/pdf","data":"{payload}"}}}}"#
        );
        let found = facts(&pdf);
        assert_eq!((found.file_tokens, found.images.len()), (FILE_TOKENS, 0));
        for charge in [Charge::Actual, Charge::Reserved] {
            let input = found.cost(charge, IMAGES).input_tokens;
            assert!((FILE_TOKENS..FILE_TOKENS + 100).contains(&input), "{input}");
        }
    }

    #[test]
    fn what_is_sealed_counts_by_its_length() {
        let sealed = "Ab1/".repeat(200);
        let block = format!(r#"{{"type":"redacted_thinking","data":"{sealed}"}}"#);
        let ten = vec![block; 10].join(",");
        let tokens = facts(&format!("[{ten}]")).text_tokens.unwrap();
        assert!((2_000..2_500).contains(&tokens), "{tokens}");
        let open = format!(r#"{{"type":"functionResponse","data":"{sealed}"}}"#);
        assert!(facts(&open).text_tokens > Some(500));
    }

    /// Every letter is a token.
    #[derive(Debug)]
    struct Letters;

    impl Tokenizer for Letters {
        fn knows(&self, model: &str) -> bool {
            model == "letters"
        }

        fn count(&self, _model: &str, text: &str) -> u64 {
            text.chars().count() as u64
        }
    }

    #[test]
    fn a_tokenizer_counts_for_the_models_it_knows() {
        let json =
            r#"{"model":"letters","a":"\u00e9\ud83d\ude00\"","data":"data:image/png;base64,AAAA"}"#;
        let mut counted = facts(json);
        counted.count_by(&Letters, json.as_bytes());
        let expected = "modellettersaé😀\"data".chars().count() + 5;
        assert_eq!(counted.text_tokens, Some(expected as u64));
        assert_eq!(counted.model.as_deref(), Some("letters"));
        assert_eq!(counted.images, [None]);

        let mut unknown = facts(json);
        unknown.model = Some("digits".to_owned());
        let bound = unknown.clone();
        unknown.count_by(&Letters, json.as_bytes());
        assert_eq!(unknown, bound);
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
        let reserved = facts.cost(Charge::Reserved, IMAGES);
        assert_eq!(reserved.input_tokens, 251);
        assert_eq!(reserved.output_tokens, 300);
        assert_eq!(reserved.tokens, 551);
        assert_eq!(
            facts.cost(Charge::Actual, IMAGES).input_tokens,
            501 + FRAME_TOKENS
        );
    }

    #[test]
    fn without_a_cap_the_assumption_counts() {
        let facts = RequestFacts {
            assumed_output_tokens: 50,
            choices: 2,
            ..RequestFacts::default()
        };
        assert_eq!(facts.cost(Charge::Actual, IMAGES).output_tokens, 100);
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
        assert_eq!(facts.cost(Charge::Actual, IMAGES), expected);
    }

    #[test]
    fn nothing_overflows() {
        let facts = RequestFacts {
            text_bytes: u64::MAX,
            max_output_tokens: Some(u64::MAX),
            choices: u64::MAX,
            ..RequestFacts::default()
        };
        assert_eq!(facts.cost(Charge::Actual, IMAGES).tokens, u64::MAX);
    }

    #[test]
    fn a_lookup_costs_no_tokens() {
        let facts = RequestFacts {
            endpoint: Endpoint::Lookup,
            text_bytes: 100,
            assumed_output_tokens: 9,
            ..RequestFacts::default()
        };
        assert_eq!(facts.cost(Charge::Actual, IMAGES), Cost::request());
    }
}
