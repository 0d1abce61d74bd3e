//! What providers do differently: the price of a request, where usage is reported, which headers
//! speak of limits.
//!
//! A [`Provider`] is such a dialect. It is pure: no clock, no lock, no async. Everything it knows
//! about a provider carries its source and date; what a response header says wins over it.
//!
//! # Adding a provider
//!
//! One file beside [`Groq`]'s with a type that implements [`Provider`], one line in [`by_name`]'s
//! list, perhaps one in [`detect`]'s, and a folder of fixtures. Everything but its name is OpenAI's
//! until it says otherwise. A dialect of your own needs none of these: pass it where a
//! `&dyn Provider` is wanted.

mod anthropic;
mod azure;
mod bedrock;
mod cerebras;
mod cohere;
mod counting;
mod deepseek;
mod detect;
mod duration;
mod endpoint;
mod error_body;
mod estimate;
mod feedback;
mod figures;
mod fireworks;
mod gemini;
mod groq;
mod head;
#[cfg(feature = "ietf-headers")]
mod ietf;
mod language;
mod limit_headers;
mod llama_cpp;
mod mistral;
mod moment;
mod ollama;
mod openai;
mod openai_compatible;
mod openrouter;
mod refusal;
mod request;
mod request_path;
mod together;
mod tokenizer;
pub(crate) mod url_model;
mod usage_header;
mod vertex;
mod vllm;
mod xai;

use std::fmt;
use std::time::SystemTime;

use http::{HeaderMap, Method, StatusCode, Uri};

pub use self::anthropic::Anthropic;
pub use self::azure::Azure;
pub use self::bedrock::Bedrock;
pub use self::cerebras::Cerebras;
pub use self::cohere::Cohere;
pub use self::counting::Counting;
pub use self::deepseek::DeepSeek;
pub use self::detect::detect;
pub use self::endpoint::Endpoint;
use self::error_body::ErrorBody;
pub use self::estimate::TokenEstimate;
pub use self::feedback::Feedback;
pub use self::fireworks::Fireworks;
pub use self::gemini::Gemini;
pub use self::groq::Groq;
pub use self::limit_headers::LimitHeaders;
pub use self::llama_cpp::LlamaCpp;
pub use self::mistral::Mistral;
pub use self::ollama::Ollama;
pub use self::openai::OpenAi;
pub use self::openai_compatible::OpenAiCompatible;
pub use self::openrouter::OpenRouter;
pub(crate) use self::refusal::in_stream;
pub use self::refusal::{Refusal, RefusalCause};
pub use self::request::{ImageSize, ImageTokens, RequestFacts};
use self::request_path::REQUEST_PATHS;
pub use self::request_path::{RequestField, RequestPath};
pub use self::together::Together;
#[cfg(feature = "tokenizer")]
#[cfg_attr(docsrs, doc(cfg(feature = "tokenizer")))]
pub use self::tokenizer::OpenAiTokenizer;
pub use self::tokenizer::Tokenizer;
pub use self::usage_header::UsageHeader;
pub use self::vertex::Vertex;
pub use self::vllm::Vllm;
pub use self::xai::Xai;
use crate::schedule::Cost;
use crate::tier::Charge;
use crate::usage::UsagePath;

/// The dialect of one provider.
///
/// Most services imitate OpenAI, so that is what a dialect does by default: see
/// [`OpenAiCompatible`].
///
/// ```
/// use proactive_rate_limit::provider::{self, RequestFacts};
/// use proactive_rate_limit::Charge;
///
/// let openai = provider::by_name("openai");
/// let facts = RequestFacts::from_json(
///     br#"{"model":"gpt-6-sol","max_completion_tokens":400,
///          "messages":[{"role":"user","content":"Why is the sky blue?"}]}"#,
/// );
/// let cost = openai.price(&facts, Charge::Reserved);
/// assert_eq!(cost.requests, 1);
/// assert_eq!(cost.output_tokens, 400);
/// assert!(cost.input_tokens >= 20 / 4);
/// // OpenAI counts the larger of both.
/// assert_eq!(cost.tokens, 400);
/// ```
pub trait Provider: Send + Sync + fmt::Debug {
    /// The name that [`by_name`] knows it by, in lower case: `"openai"`.
    fn name(&self) -> &'static str;

    /// What this provider counts in the end, where a tier does not say otherwise.
    ///
    /// The default is what a tier of this provider has that does not say.
    fn default_charge(&self) -> Charge {
        Charge::documented_for(self.name())
    }

    /// Where the JSON bodies of its requests name what their price depends on.
    ///
    /// The default knows the names of every built-in provider.
    fn request_paths(&self) -> &'static [RequestPath] {
        &REQUEST_PATHS
    }

    /// What is known of a request: by its method, by its URI, and by its body, if that can be seen.
    ///
    /// The default looks for the model in the URL before the body (Azure, Gemini, Bedrock), and knows
    /// which paths generate nothing: see [`Endpoint::of`].
    ///
    /// ```
    /// use http::{Method, Uri};
    /// use proactive_rate_limit::provider;
    ///
    /// let facts = provider::by_name("gemini").facts(
    ///     &Method::POST,
    ///     &Uri::from_static("/v1beta/models/gemini-3.8-flash:generateContent"),
    ///     Some(br#"{"generationConfig":{"maxOutputTokens":800,"candidateCount":2}}"#),
    /// );
    /// assert_eq!(facts.model.as_deref(), Some("gemini-3.8-flash"));
    /// assert_eq!((facts.max_output_tokens, facts.choices), (Some(800), 2));
    /// ```
    fn facts(&self, method: &Method, uri: &Uri, body: Option<&[u8]>) -> RequestFacts {
        let facts = match body {
            Some(body) => RequestFacts::read(self.request_paths(), body),
            None => RequestFacts::default(),
        };
        RequestFacts {
            endpoint: Endpoint::of(method, uri.path()),
            model: url_model::model(uri.path()).or(facts.model),
            ..facts
        }
    }

    /// Where its responses report token counts, unless the path of a request tells of another
    /// language.
    ///
    /// The default is where OpenAI's chat completions, responses and embeddings do.
    fn usage_paths(&self) -> &'static [UsagePath] {
        &openai_compatible::USAGE
    }

    /// Where the response to a request with this path reports token counts.
    ///
    /// Many speak more than one language: Bedrock has `/anthropic/v1/messages` beside its own APIs.
    /// The default goes by the path where it is sure, and is [`usage_paths`](Self::usage_paths)
    /// otherwise.
    fn usage_paths_of(&self, path: &str) -> &'static [UsagePath] {
        language::usage_paths(path).unwrap_or_else(|| self.usage_paths())
    }

    /// Response headers that report token counts. The default is none.
    fn usage_headers(&self) -> &'static [UsageHeader] {
        &[]
    }

    /// What to reserve for a request: at least what the provider will count for it.
    ///
    /// The default is [`RequestFacts::cost`] for a provider that counts with a tokenizer, whatever
    /// the charge, in the units of its [`counting`](Self::counting): one that estimates from
    /// characters has to be known to. It fills every component, whatever the provider counts: a
    /// component without a limit on it does no harm.
    fn price(&self, request: &RequestFacts, charge: Charge) -> Cost {
        let model = request.model.as_deref();
        self.counting(model, charge)
            .reserved(request.cost(Charge::Actual, self.image_tokens(model)))
    }

    /// What `model` makes of an image in a prompt.
    ///
    /// The default is a token for every patch of 28 pixels up to 4,784, which are Claude's numbers.
    fn image_tokens(&self, model: Option<&str>) -> ImageTokens {
        let _ = model;
        anthropic::IMAGE_TOKENS
    }

    /// What the provider's limits count of a request to `model`, of what it used or of what it
    /// reserved.
    ///
    /// The default counts every token once.
    fn counting(&self, model: Option<&str>, charge: Charge) -> Counting {
        let _ = (model, charge);
        Counting::ALL
    }

    /// Generated tokens, for each answer, that the provider itself assumes of a request to `model`
    /// which sets no cap. `None`: it does not, or does not say.
    ///
    /// A tier that [assumes](crate::Tier::assumed_output_tokens) less reserves this in its place, if
    /// the body of the request could be read; one that assumes more still does. The default is `None`.
    ///
    /// ```
    /// use proactive_rate_limit::provider;
    ///
    /// let nova = Some("amazon.nova-lite-v1:0");
    /// assert_eq!(provider::by_name("bedrock").uncapped_output(nova), Some(10_000));
    /// assert_eq!(provider::by_name("openai").uncapped_output(Some("gpt-6-sol")), None);
    /// ```
    fn uncapped_output(&self, model: Option<&str>) -> Option<u64> {
        let _ = model;
        None
    }

    /// What the head of a response, which arrived at `now`, says about limits.
    ///
    /// Providers name points in time; where the response has a `Date` of its own, that is what they
    /// are measured against, in place of `now`.
    ///
    /// The default reads OpenAI's headers and the plain `x-ratelimit-limit`, `-remaining` and
    /// `-reset`, of requests.
    fn feedback(&self, status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Feedback {
        openai_compatible::feedback(status, headers, now)
    }

    /// Why a request was refused, read from an answer whose status is none of success and of the
    /// beginning of its body. `None`: it is no matter of limits, or does not say.
    ///
    /// At most the first 16 KiB of the body are needed. They may be cut off anywhere, and need not
    /// be JSON. The default knows OpenAI's codes and texts, and what the status usually means.
    ///
    /// ```
    /// use http::{HeaderMap, StatusCode};
    /// use proactive_rate_limit::provider::{self, RefusalCause};
    ///
    /// let refusal = provider::by_name("openai")
    ///     .refusal(
    ///         StatusCode::TOO_MANY_REQUESTS,
    ///         &HeaderMap::new(),
    ///         br#"{"error":{"message":"TPM: Limit 30000, Requested 31756.","type":"tokens"}}"#,
    ///     )
    ///     .ok_or("a 429 is a refusal")?;
    /// assert_eq!(refusal.cause, RefusalCause::TooLarge);
    /// assert!(!refusal.cause.waiting_helps());
    /// # Ok::<(), &str>(())
    /// ```
    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<Refusal> {
        let _ = headers;
        openai_compatible::refusal(status, &ErrorBody::read(body), &[])
    }
}

static PROVIDERS: [&dyn Provider; 19] = [
    &OpenAi,
    &Anthropic,
    &Azure,
    &Bedrock,
    &Cerebras,
    &Cohere,
    &DeepSeek,
    &Fireworks,
    &Gemini,
    &Groq,
    &LlamaCpp,
    &Mistral,
    &Ollama,
    &OpenRouter,
    &Together,
    &Vertex,
    &Vllm,
    &Xai,
    &OpenAiCompatible,
];

/// Every built-in provider.
pub fn all() -> impl Iterator<Item = &'static dyn Provider> {
    PROVIDERS.into_iter()
}

/// The built-in provider of this name, in any case.
///
/// There are `openai`, `anthropic`, `azure`, `bedrock`, `cerebras`, `cohere`, `deepseek`,
/// `fireworks`, `gemini`, `groq`, `llama-cpp`, `mistral`, `ollama`, `openrouter`, `together`,
/// `vertex`, `vllm` and `xai`.
///
/// Any other name gives [`OpenAiCompatible`], for most other services imitate OpenAI. What the
/// service is called is the caller's to keep. A layer whose tier has such a name looks at every
/// request, too: see [`detect`].
pub fn by_name(name: &str) -> &'static dyn Provider {
    built_in(name).unwrap_or(&OpenAiCompatible)
}

/// The one that was chosen for a request with this URI, or else whose it is, as far as its host tells.
pub(crate) fn chosen_or_detected(
    chosen: Option<&'static dyn Provider>,
    uri: &Uri,
) -> &'static dyn Provider {
    chosen.or_else(|| detect(uri)).unwrap_or(&OpenAiCompatible)
}

/// The built-in provider of this name, in any case, if there is one.
pub(crate) fn built_in(name: &str) -> Option<&'static dyn Provider> {
    all().find(|provider| provider.name().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_their_provider() {
        for provider in PROVIDERS {
            assert_eq!(by_name(provider.name()).name(), provider.name());
            assert_eq!(provider.name(), provider.name().to_ascii_lowercase());
        }
        assert_eq!(by_name("Anthropic").name(), "anthropic");
        assert_eq!(by_name("my-gateway").name(), "openai-compatible");
    }
}
