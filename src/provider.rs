//! What providers do differently: the price of a request, where usage is reported, which headers
//! speak of limits.
//!
//! A [`Provider`] is such a dialect. It is pure: no clock, no lock, no async. Everything it knows
//! about a provider carries its source and date; what a response header says wins over it.
//!
//! # Adding a provider
//!
//! One file beside [`Groq`]'s with a type that implements [`Provider`], and one line in
//! [`by_name`]'s list. Everything but its name is OpenAI's until it says otherwise. A dialect of
//! your own needs neither: pass it where a `&dyn Provider` is wanted.

mod anthropic;
mod azure;
mod bedrock;
mod cerebras;
mod cohere;
mod deepseek;
mod duration;
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
mod limit_headers;
mod mistral;
mod moment;
mod openai;
mod openai_compatible;
mod openrouter;
mod refusal;
mod request;
mod together;
mod xai;

use std::fmt;
use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

pub use self::anthropic::Anthropic;
pub use self::azure::Azure;
pub use self::bedrock::Bedrock;
pub use self::cerebras::Cerebras;
pub use self::cohere::Cohere;
pub use self::deepseek::DeepSeek;
use self::error_body::ErrorBody;
pub use self::estimate::TokenEstimate;
pub use self::feedback::Feedback;
pub use self::fireworks::Fireworks;
pub use self::gemini::Gemini;
pub use self::groq::Groq;
pub use self::limit_headers::LimitHeaders;
pub use self::mistral::Mistral;
pub use self::openai::OpenAi;
pub use self::openai_compatible::OpenAiCompatible;
pub use self::openrouter::OpenRouter;
pub use self::refusal::{Refusal, RefusalCause};
pub use self::request::{Endpoint, RequestFacts};
pub use self::together::Together;
pub use self::xai::Xai;
use crate::schedule::Cost;
use crate::tier::Charge;
use crate::usage::{Usage, UsagePath};

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
/// assert_eq!(cost.tokens, cost.input_tokens + cost.output_tokens);
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

    /// Where its responses report token counts.
    ///
    /// The default is where OpenAI's chat completions, responses and embeddings do.
    fn usage_paths(&self) -> &'static [UsagePath] {
        &openai_compatible::USAGE
    }

    /// What to reserve for a request: at least what the provider will count for it.
    ///
    /// The default is [`RequestFacts::cost`] for a provider that counts with a tokenizer, whatever
    /// the charge: one that estimates from characters has to be known to. It fills every component,
    /// whatever the provider counts: a component without a limit on it does no harm.
    fn price(&self, request: &RequestFacts, charge: Charge) -> Cost {
        let _ = charge;
        request.cost(Charge::Actual)
    }

    /// What the provider's limits count for `usage`, when they count what was used.
    ///
    /// A component that `usage` does not tell stays as `reserved`. The default counts all input,
    /// all output and their sum.
    fn charged(&self, usage: &Usage, reserved: &Cost) -> Cost {
        openai_compatible::charged(usage, reserved)
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

/// Every built-in provider.
static PROVIDERS: [&dyn Provider; 15] = [
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
    &Mistral,
    &OpenRouter,
    &Together,
    &Xai,
    &OpenAiCompatible,
];

/// The built-in provider of this name, in any case.
///
/// There are `openai`, `anthropic`, `azure`, `bedrock`, `cerebras`, `cohere`, `deepseek`,
/// `fireworks`, `gemini`, `groq`, `mistral`, `openrouter`, `together` and `xai`.
///
/// Any other name gives [`OpenAiCompatible`], for most other services imitate OpenAI. What the
/// service is called is the caller's to keep.
pub fn by_name(name: &str) -> &'static dyn Provider {
    PROVIDERS
        .into_iter()
        .find(|provider| provider.name().eq_ignore_ascii_case(name))
        .unwrap_or(&OpenAiCompatible)
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
