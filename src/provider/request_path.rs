/// Where in the JSON body of a request something is named that its price depends on.
///
/// ```
/// use proactive_rate_limit::provider::{RequestField, RequestFacts, RequestPath};
///
/// static PATHS: [RequestPath; 2] = [
///     RequestPath::new(&["deployment"], RequestField::Model),
///     RequestPath::new(&["sampling", "limit"], RequestField::MaxOutput),
/// ];
///
/// let facts = RequestFacts::read(&PATHS, br#"{"deployment":"m","sampling":{"limit":50}}"#);
/// assert_eq!((facts.model.as_deref(), facts.max_output_tokens), (Some("m"), Some(50)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestPath {
    path: &'static [&'static str],
    field: RequestField,
}

/// What a [`RequestPath`] leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestField {
    /// The model.
    Model,
    /// The most tokens that may be generated for each choice. Of several the largest counts.
    MaxOutput,
    /// How many answers are generated. Of several numbers the largest counts.
    Choices,
}

impl RequestPath {
    /// `path` names the keys from the outermost object inwards. It never leads through an array.
    ///
    /// # Panics
    ///
    /// If `path` is empty; in a `static`, that does not compile.
    pub const fn new(path: &'static [&'static str], field: RequestField) -> Self {
        assert!(!path.is_empty(), "a request path has no keys");
        Self { path, field }
    }

    /// The keys from the outermost object inwards.
    pub const fn path(&self) -> &'static [&'static str] {
        self.path
    }

    /// What is named there.
    pub const fn field(&self) -> RequestField {
        self.field
    }
}

impl AsRef<[&'static str]> for RequestPath {
    fn as_ref(&self) -> &[&'static str] {
        self.path
    }
}

/// The providers' API references and SDKs, read 2026-11-23. One table serves all of them: no two
/// mean different things by one name, and a gateway may speak any of their languages.
pub(super) static REQUEST_PATHS: [RequestPath; 23] = [
    // OpenAI and its imitators, Anthropic, Mistral, Cohere.
    RequestPath::new(&["model"], RequestField::Model),
    RequestPath::new(&["max_tokens"], RequestField::MaxOutput),
    RequestPath::new(&["max_completion_tokens"], RequestField::MaxOutput),
    RequestPath::new(&["max_output_tokens"], RequestField::MaxOutput),
    RequestPath::new(&["n"], RequestField::Choices),
    RequestPath::new(&["best_of"], RequestField::Choices),
    // Cohere's first API.
    RequestPath::new(&["num_generations"], RequestField::Choices),
    // Gemini, whose JSON has names of either kind.
    RequestPath::new(
        &["generationConfig", "maxOutputTokens"],
        RequestField::MaxOutput,
    ),
    RequestPath::new(
        &["generationConfig", "max_output_tokens"],
        RequestField::MaxOutput,
    ),
    RequestPath::new(
        &["generation_config", "maxOutputTokens"],
        RequestField::MaxOutput,
    ),
    RequestPath::new(
        &["generation_config", "max_output_tokens"],
        RequestField::MaxOutput,
    ),
    RequestPath::new(
        &["generationConfig", "candidateCount"],
        RequestField::Choices,
    ),
    RequestPath::new(
        &["generationConfig", "candidate_count"],
        RequestField::Choices,
    ),
    RequestPath::new(
        &["generation_config", "candidateCount"],
        RequestField::Choices,
    ),
    RequestPath::new(
        &["generation_config", "candidate_count"],
        RequestField::Choices,
    ),
    // Bedrock's Converse, and Amazon Nova there, by both of its names.
    RequestPath::new(&["inferenceConfig", "maxTokens"], RequestField::MaxOutput),
    RequestPath::new(
        &["inferenceConfig", "max_new_tokens"],
        RequestField::MaxOutput,
    ),
    // Models on Bedrock in their own languages: Claude's first, Llama, Titan, Jurassic.
    RequestPath::new(&["max_tokens_to_sample"], RequestField::MaxOutput),
    RequestPath::new(&["max_gen_len"], RequestField::MaxOutput),
    RequestPath::new(
        &["textGenerationConfig", "maxTokenCount"],
        RequestField::MaxOutput,
    ),
    RequestPath::new(&["maxTokens"], RequestField::MaxOutput),
    // Ollama and llama.cpp. Less than zero is no cap.
    RequestPath::new(&["options", "num_predict"], RequestField::MaxOutput),
    RequestPath::new(&["n_predict"], RequestField::MaxOutput),
];
