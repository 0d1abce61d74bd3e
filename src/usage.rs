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

mod documents;
#[cfg(feature = "decompression")]
mod encoded;
#[cfg(feature = "event-stream")]
mod event_stream;
pub(crate) mod json;
mod reader;
mod sse;

pub use self::reader::{Reading, Unreadable, UsageReader};

/// The longest key that a [`UsagePath`] can name, in bytes. A [`UsageReader`] keeps a key of that
/// size in itself.
const LONGEST_KEY: usize = 64;

/// The token counts of one response, as its provider reported them.
///
/// A count that the response did not name is `None`, which is not zero. What the counts include
/// differs by provider: an OpenAI input contains its cached part, an Anthropic input does not. A
/// [`Provider`](crate::provider::Provider) turns them into a [`Cost`](crate::Cost).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the prompt.
    pub input_tokens: Option<u64>,
    /// Generated tokens.
    pub output_tokens: Option<u64>,
    /// The provider's own sum.
    pub total_tokens: Option<u64>,
    /// Prompt tokens that were read from a cache.
    pub cached_input_tokens: Option<u64>,
    /// Prompt tokens that were written to a cache.
    pub cache_creation_tokens: Option<u64>,
    /// Generated tokens that were spent on reasoning.
    pub reasoning_tokens: Option<u64>,
}

impl Usage {
    fn set(&mut self, field: UsageField, tokens: u64) {
        let place = match field {
            UsageField::Input => &mut self.input_tokens,
            UsageField::Output => &mut self.output_tokens,
            UsageField::Total => &mut self.total_tokens,
            UsageField::CachedInput => &mut self.cached_input_tokens,
            UsageField::CacheCreation => &mut self.cache_creation_tokens,
            UsageField::Reasoning => &mut self.reasoning_tokens,
        };
        *place = Some(tokens);
    }

    /// Streams report running totals, so a newer count replaces an older one; they never add up.
    fn update(&mut self, newer: &Self) {
        self.input_tokens = newer.input_tokens.or(self.input_tokens);
        self.output_tokens = newer.output_tokens.or(self.output_tokens);
        self.total_tokens = newer.total_tokens.or(self.total_tokens);
        self.cached_input_tokens = newer.cached_input_tokens.or(self.cached_input_tokens);
        self.cache_creation_tokens = newer.cache_creation_tokens.or(self.cache_creation_tokens);
        self.reasoning_tokens = newer.reasoning_tokens.or(self.reasoning_tokens);
    }
}

/// A count of [`Usage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UsageField {
    /// [`Usage::input_tokens`].
    Input,
    /// [`Usage::output_tokens`].
    Output,
    /// [`Usage::total_tokens`].
    Total,
    /// [`Usage::cached_input_tokens`].
    CachedInput,
    /// [`Usage::cache_creation_tokens`].
    CacheCreation,
    /// [`Usage::reasoning_tokens`].
    Reasoning,
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
    /// A count that is final once it is read, until a later one replaces it.
    ///
    /// `path` names the keys from the outermost object inwards. It never leads through an array.
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

    /// The keys from the outermost object inwards.
    pub const fn path(&self) -> &'static [&'static str] {
        self.path
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
