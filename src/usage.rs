//! How many tokens a response says it used, read while it passes by.
//!
//! A [`UsageReader`] is shown the bytes of a response body, in whatever pieces they arrive, and
//! remembers the numbers at the places a provider's [table of paths](UsagePath) names. It looks at
//! JSON structure and never searches for text, so a model that *writes* about usage changes
//! nothing. Its memory is fixed: it does not grow with the body, a line or the nesting.
//!
//! ```
//! use proactive_rate_limit::usage::{Reading, UsageField, UsagePath, UsageReader};
//!
//! static PATHS: [UsagePath; 2] = [
//!     UsagePath::last(&["usage", "prompt_tokens"], UsageField::Input),
//!     UsagePath::last(&["usage", "completion_tokens"], UsageField::Output),
//! ];
//!
//! let mut reader = UsageReader::new(&PATHS, &http::HeaderMap::new());
//! reader.feed(br#"{"choices":[],"usage":{"prompt_to"#);
//! reader.feed(br#"kens":120,"completion_tokens":45}}"#);
//!
//! let Reading::Usage(usage) = reader.finish() else {
//!     panic!("a whole body with both numbers is a usage");
//! };
//! assert_eq!((usage.input_tokens, usage.output_tokens), (Some(120), Some(45)));
//! ```

mod beginning;
#[cfg(feature = "decompression")]
mod coding;
mod documents;
#[cfg(feature = "decompression")]
mod encoded;
#[cfg(feature = "event-stream")]
mod event_stream;
pub(crate) mod json;
mod last_document;
mod reader;
mod sse;

pub(crate) use self::beginning::beginning;
pub use self::reader::{Reading, Unreadable, UsageReader};

/// The longest key that a [`UsagePath`] can name, in bytes. A [`UsageReader`] keeps a key of that
/// size in itself.
const LONGEST_KEY: usize = 64;

/// The token counts of one response, as its provider reported them.
///
/// A count that the response did not name is `None`, which is not zero. Providers cut the whole
/// into different parts, so each field says what it includes, and [`input`](Self::input),
/// [`output`](Self::output) and [`total`](Self::total) put the parts together. A
/// [`Counting`](crate::provider::Counting) turns them into a [`Cost`](crate::Cost).
///
/// ```
/// use proactive_rate_limit::usage::{Usage, UsageField};
///
/// // Anthropic reports what it read from a cache beside the input, Gemini thoughts beside the output.
/// let anthropic = Usage::default()
///     .with(UsageField::UncachedInput, 50)
///     .with(UsageField::CachedInput, 2_000);
/// assert_eq!(anthropic.input(), Some(2_050));
/// let gemini = Usage::default().with(UsageField::Output, 12).with(UsageField::Thoughts, 80);
/// assert_eq!(gemini.output(), Some(92));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the whole prompt, those from a cache among them.
    pub input_tokens: Option<u64>,
    /// Tokens of the prompt that were neither read from a cache nor written to one.
    pub uncached_input_tokens: Option<u64>,
    /// Prompt tokens that were read from a cache.
    pub cached_input_tokens: Option<u64>,
    /// Prompt tokens that were written to a cache.
    pub cache_creation_tokens: Option<u64>,
    /// Tokens that tools put before the model, beside the prompt.
    pub tool_use_tokens: Option<u64>,
    /// Prompt tokens that are audio, a part of the prompt.
    pub input_audio_tokens: Option<u64>,
    /// Generated tokens.
    pub output_tokens: Option<u64>,
    /// Generated tokens that were spent on reasoning, a part of the output.
    pub reasoning_tokens: Option<u64>,
    /// Generated tokens that were spent on thinking, beside the output.
    pub thoughts_tokens: Option<u64>,
    /// Generated tokens that are audio, a part of the output.
    pub output_audio_tokens: Option<u64>,
    /// Prompt tokens that are billed, where the provider bills others than the model read.
    pub billed_input_tokens: Option<u64>,
    /// Generated tokens that are billed, where the provider bills others than were generated.
    pub billed_output_tokens: Option<u64>,
    /// The provider's own sum.
    pub total_tokens: Option<u64>,
}

impl Usage {
    /// This usage with another count.
    #[must_use]
    pub fn with(mut self, field: UsageField, tokens: u64) -> Self {
        self.set(field, tokens);
        self
    }

    /// All that the model read: the prompt, cached or not, and what tools put before it.
    ///
    /// Of a prompt that is not reported, what is billed stands in, or else what the total has beyond
    /// the output.
    pub fn input(&self) -> Option<u64> {
        let beside_cache = |uncached: u64| {
            uncached
                .saturating_add(self.cached_input_tokens.unwrap_or(0))
                .saturating_add(self.cache_creation_tokens.unwrap_or(0))
        };
        let prompt = self
            .input_tokens
            .or_else(|| self.uncached_input_tokens.map(beside_cache))
            .or(self.billed_input_tokens);
        match prompt {
            Some(prompt) => Some(prompt.saturating_add(self.tool_use_tokens.unwrap_or(0))),
            None => Some(self.total_tokens?.saturating_sub(self.generated()?)),
        }
    }

    /// All that was generated, reasoning and thoughts among it.
    ///
    /// Some providers leave reasoning out of the output but not out of the total (xAI), and
    /// embeddings report no output at all, so what the total has beyond the input is output.
    pub fn output(&self) -> Option<u64> {
        let beyond_input = match (self.total_tokens, self.input()) {
            (Some(total), Some(input)) => Some(total.saturating_sub(input)),
            _ => None,
        };
        self.generated().max(beyond_input)
    }

    fn generated(&self) -> Option<u64> {
        let answer = self.output_tokens.or(self.billed_output_tokens);
        match (answer, self.thoughts_tokens) {
            (None, None) => None,
            (answer, thoughts) => Some(answer.unwrap_or(0).saturating_add(thoughts.unwrap_or(0))),
        }
    }

    /// All that was read and generated: the sum of both, or the provider's own if that is more.
    pub fn total(&self) -> Option<u64> {
        let sum = match (self.input(), self.output()) {
            (Some(input), Some(output)) => Some(input.saturating_add(output)),
            _ => None,
        };
        self.total_tokens.max(sum)
    }

    fn set(&mut self, field: UsageField, tokens: u64) {
        *self.place(field) = Some(tokens);
    }

    fn place(&mut self, field: UsageField) -> &mut Option<u64> {
        match field {
            UsageField::Input => &mut self.input_tokens,
            UsageField::UncachedInput => &mut self.uncached_input_tokens,
            UsageField::CachedInput => &mut self.cached_input_tokens,
            UsageField::CacheCreation => &mut self.cache_creation_tokens,
            UsageField::ToolUse => &mut self.tool_use_tokens,
            UsageField::InputAudio => &mut self.input_audio_tokens,
            UsageField::Output => &mut self.output_tokens,
            UsageField::Reasoning => &mut self.reasoning_tokens,
            UsageField::Thoughts => &mut self.thoughts_tokens,
            UsageField::OutputAudio => &mut self.output_audio_tokens,
            UsageField::BilledInput => &mut self.billed_input_tokens,
            UsageField::BilledOutput => &mut self.billed_output_tokens,
            UsageField::Total => &mut self.total_tokens,
        }
    }

    fn add(&mut self, field: UsageField, tokens: u64) {
        let place = self.place(field);
        let sum = place.unwrap_or(0).saturating_add(tokens);
        *place = Some(sum.min(json::MAX_COUNT));
    }

    /// Of each count the larger.
    fn raise(&mut self, other: &Self) {
        let mut other = *other;
        for field in UsageField::ALL {
            let place = self.place(field);
            *place = (*other.place(field)).max(*place);
        }
    }

    /// Streams report running totals, so a newer count replaces an older one; they never add up.
    fn update(&mut self, newer: &Self) {
        let mut newer = *newer;
        for field in UsageField::ALL {
            let place = self.place(field);
            *place = newer.place(field).or(*place);
        }
    }
}

/// A count of [`Usage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UsageField {
    /// [`Usage::input_tokens`].
    Input,
    /// [`Usage::uncached_input_tokens`].
    UncachedInput,
    /// [`Usage::cached_input_tokens`].
    CachedInput,
    /// [`Usage::cache_creation_tokens`].
    CacheCreation,
    /// [`Usage::tool_use_tokens`].
    ToolUse,
    /// [`Usage::input_audio_tokens`].
    InputAudio,
    /// [`Usage::output_tokens`].
    Output,
    /// [`Usage::reasoning_tokens`].
    Reasoning,
    /// [`Usage::thoughts_tokens`].
    Thoughts,
    /// [`Usage::output_audio_tokens`].
    OutputAudio,
    /// [`Usage::billed_input_tokens`].
    BilledInput,
    /// [`Usage::billed_output_tokens`].
    BilledOutput,
    /// [`Usage::total_tokens`].
    Total,
}

impl UsageField {
    const ALL: [Self; 13] = [
        Self::Input,
        Self::UncachedInput,
        Self::CachedInput,
        Self::CacheCreation,
        Self::ToolUse,
        Self::InputAudio,
        Self::Output,
        Self::Reasoning,
        Self::Thoughts,
        Self::OutputAudio,
        Self::BilledInput,
        Self::BilledOutput,
        Self::Total,
    ];
}

/// Where in a response one count of [`Usage`] is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsagePath {
    path: &'static [&'static str],
    field: UsageField,
    finality: Finality,
}

/// What may follow a count in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Finality {
    /// A final one will.
    Interim,
    /// A newer one might.
    Last,
    /// Nothing: it comes with the event that ends the response.
    Closing,
}

impl UsagePath {
    /// The key in a path that stands for every value of a list.
    ///
    /// The counts at such a path add up within a document, and are taken where they are more than what
    /// the document tells elsewhere.
    ///
    /// ```
    /// use proactive_rate_limit::usage::{Reading, UsageField, UsagePath, UsageReader};
    ///
    /// static PATHS: [UsagePath; 1] = [UsagePath::last(
    ///     &["results", UsagePath::EACH, "tokenCount"],
    ///     UsageField::Output,
    /// )];
    ///
    /// let mut reader = UsageReader::new(&PATHS, &http::HeaderMap::new());
    /// reader.feed(br#"{"results":[{"tokenCount":12},{"tokenCount":3}]}"#);
    /// let Reading::Usage(usage) = reader.finish() else {
    ///     panic!("both are counts");
    /// };
    /// assert_eq!(usage.output_tokens, Some(15));
    /// ```
    pub const EACH: &'static str = json::EACH;

    /// A count that is final once it is read, until a later one replaces it.
    ///
    /// `path` names the keys from the outermost object inwards, with [`EACH`](Self::EACH) for lists.
    ///
    /// # Panics
    ///
    /// If `path` is empty or has a key of more than 64 bytes; in a `static`, that does not compile.
    pub const fn last(path: &'static [&'static str], field: UsageField) -> Self {
        assert_readable(path);
        Self {
            path,
            field,
            finality: Finality::Last,
        }
    }

    /// A count in the event that ends a stream. A stream that is dropped after it is as good as
    /// read to its end.
    ///
    /// # Panics
    ///
    /// As [`last`](Self::last) does.
    pub const fn closing(path: &'static [&'static str], field: UsageField) -> Self {
        assert_readable(path);
        Self {
            path,
            field,
            finality: Finality::Closing,
        }
    }

    /// A count that a stream reports on its way, to be followed by a final one.
    ///
    /// A response that ends with nothing but interim counts is [`Reading::Missing`]: the one output
    /// token that Anthropic reports at the start of a stream must not settle a request.
    ///
    /// # Panics
    ///
    /// As [`last`](Self::last) does.
    pub const fn interim(path: &'static [&'static str], field: UsageField) -> Self {
        assert_readable(path);
        Self {
            path,
            field,
            finality: Finality::Interim,
        }
    }

    /// Two tables in one.
    pub(crate) const fn joined<const N: usize>(first: &[Self], second: &[Self]) -> [Self; N] {
        assert!(N == first.len() + second.len() && !first.is_empty());
        let mut all = [first[0]; N];
        let mut index = 0;
        while index < N {
            all[index] = match index < first.len() {
                true => first[index],
                false => second[index - first.len()],
            };
            index += 1;
        }
        all
    }

    /// The keys from the outermost object inwards.
    pub const fn path(&self) -> &'static [&'static str] {
        self.path
    }

    /// Whether it leads through a list.
    fn adds_up(&self) -> bool {
        self.path.contains(&Self::EACH)
    }

    /// Which count is found there.
    pub const fn field(&self) -> UsageField {
        self.field
    }
}

const fn assert_readable(mut path: &[&str]) {
    assert!(!path.is_empty(), "a usage path has no keys");
    while let [key, rest @ ..] = path {
        assert!(key.len() <= LONGEST_KEY, "a usage path has too long a key");
        path = rest;
    }
}

impl AsRef<[&'static str]> for UsagePath {
    fn as_ref(&self) -> &[&'static str] {
        self.path
    }
}
