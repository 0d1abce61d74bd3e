//! Counting the tokens of a prompt before it is sent.

#[cfg(feature = "tokenizer")]
mod openai;

use std::fmt;

#[cfg(feature = "tokenizer")]
pub use self::openai::OpenAiTokenizer;

/// Counts the tokens of text, for models that it knows.
///
/// Given to a layer with [`tokenizer`](crate::ProactiveRateLimitLayer::tokenizer), it takes the place of
/// the built-in bound where a request's body can be seen and its model is known. It is asked for
/// each string of the request, keys and schemas included, so what a provider makes of these is
/// approximated; the text itself is counted exactly. Providers whose own rule is by characters are
/// still priced by that rule.
///
/// A count takes place in `call`, with no lock held; it should not block.
///
/// ```
/// use proactive_rate_limit::provider::Tokenizer;
///
/// /// Of a model that was trained on words.
/// #[derive(Debug)]
/// struct Words;
///
/// impl Tokenizer for Words {
///     fn knows(&self, model: &str) -> bool {
///         model.starts_with("words-")
///     }
///
///     fn count(&self, _model: &str, text: &str) -> u64 {
///         text.split_whitespace().count() as u64
///     }
/// }
///
/// assert_eq!(Words.count("words-1", "Why is the sky blue?"), 5);
/// ```
pub trait Tokenizer: Send + Sync + fmt::Debug {
    /// Whether it counts for `model`, as the request names it. If not, the bound is used.
    fn knows(&self, model: &str) -> bool;

    /// The tokens of `text` for a model that it [`knows`](Self::knows).
    fn count(&self, model: &str, text: &str) -> u64;
}
